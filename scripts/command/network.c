/* SPDX-License-Identifier: BSD-3-Clause */
/* network.c - whether this node could listen for others over TCP, and prove that it is of the user: the part of
 * mpiio-cache check that needs libsodium.
 *
 * Two lines: the port, then what it would prove itself with; each "+" and what there is, or "-" and why there is none.
 */
#include "base/config.h"
#include "transport/secret.h"
#include "transport/tcp.h"

#include <stdio.h>
#include <unistd.h>

static int has_no_hosts(void *ctx, int node, char *name, size_t size)
{
    (void)ctx;
    (void)node;
    (void)name;
    (void)size;
    return -1;
}

/* Listens as the root of two nodes does, for a moment. */
static void look_at_network(const struct mioc_config *config)
{
    const struct mioc_tcp_config tcp = { .node = 0,
                                         .nodes = 2,
                                         .arity = 2,
                                         .step = "mpiio-cache check",
                                         .port_first = config->port_first,
                                         .port_last = config->port_last,
                                         .interface = config->interface,
                                         .secret = { .has_key = 1 },
                                         .host = has_no_hosts };
    struct mioc_transport *transport;
    char reason[512];

    if (mioc_tcp_open(&transport, &tcp, reason, sizeof reason) != 0) {
        printf("-%s\n", reason);
        return;
    }
    printf("+port %u%s%s\n", mioc_tcp_port(transport), config->interface[0] != '\0' ? " of " : "", config->interface);
    mioc_tcp_ops.close(transport);
}

static void look_at_secret(const struct mioc_config *config)
{
    struct mioc_secret secret;
    char reason[1500];

    if (config->keyfile[0] != '\0'
            ? mioc_secret_from_file(&secret, config->keyfile, "check", reason, sizeof reason) != 0
            : mioc_secret_from_munge(&secret, reason, sizeof reason) != 0)
        printf("-%s\n", reason);
    else if (config->keyfile[0] != '\0')
        printf("+the key file %s\n", config->keyfile);
    else
        printf("+MUNGE\n");
}

int main(void)
{
    (void)alarm(10); /* munged may not answer */
    setvbuf(stdout, NULL, _IOLBF, 0);
    look_at_network(mioc_config());
    look_at_secret(mioc_config());
    return 0;
}
