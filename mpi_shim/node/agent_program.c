/* SPDX-License-Identifier: BSD-3-Clause */
/* agent_program.c - libexec/mpiio_cache/agent: a node's agent as a process of its own.
 *
 * Only launch/agent_start.c starts it, and speaks with it by MIOC_AGENT_FD. */
#include "base/io.h"
#include "node_tcp.h"

#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

static const char wrong_order[] = "the agent program is of another version than libmpiio_cache.so\n";

int main(void)
{
    static struct mioc_agent_order order;

    (void)prctl(PR_SET_NAME, "mpiio_cache");
    if (mioc_io_read(MIOC_AGENT_FD, &order, sizeof order) != (ssize_t)sizeof order ||
        order.version != mioc_agent_order_version()) {
        fprintf(stderr, "mpiio_cache: libmpiio_cache.so starts this program; it is of no use by itself\n");
        (void)mioc_io_write(MIOC_AGENT_FD, wrong_order, sizeof wrong_order - 1);
        return 2;
    }
    return mioc_node_serve(&order, &mioc_node_tcp, MIOC_AGENT_FD);
}
