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

static int read_all(void *bytes, size_t size)
{
    return mioc_io_read(MIOC_AGENT_FD, bytes, size) == (ssize_t)size ? 0 : -1;
}

static int read_order(struct mioc_agent_order *order)
{
    struct mioc_policy *policy = &order->policy;

    if (read_all(order, MIOC_AGENT_ORDER_HEAD) != 0 || order->version != mioc_agent_order_version() ||
        policy->count > MIOC_MAX_PREFIXES || policy->excludes > MIOC_MAX_PREFIXES)
        return -1;
    return read_all(policy->prefix, policy->count * sizeof policy->prefix[0]) == 0 &&
                   read_all(policy->exclude, policy->excludes * sizeof policy->exclude[0]) == 0
               ? 0
               : -1;
}

int main(void)
{
    static struct mioc_agent_order order;

    (void)prctl(PR_SET_NAME, "mpiio_cache");
    if (read_order(&order) != 0) {
        fprintf(stderr, "mpiio_cache: libmpiio_cache.so starts this program; it is of no use by itself\n");
        (void)mioc_io_write(MIOC_AGENT_FD, wrong_order, sizeof wrong_order - 1);
        return 2;
    }
    return mioc_node_serve(&order, &mioc_node_tcp, MIOC_AGENT_FD);
}
