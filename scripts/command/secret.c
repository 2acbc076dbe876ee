/* SPDX-License-Identifier: BSD-3-Clause */
/* secret.c - whether this node could prove over TCP that it is of the user: the part of mpiio-cache check that needs
 * libsodium.
 *
 * Call: secret [KEYFILE]. One line: "+" and what it would prove it with, or "-" and why it cannot. */
#include "transport/secret.h"

#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct mioc_secret secret;
    char reason[512] = "";
    int rc;

    (void)alarm(10); /* munged may not answer */
    if (argc > 1)
        rc = mioc_secret_from_file(&secret, argv[1], "check", reason, sizeof reason);
    else
        rc = mioc_secret_from_munge(&secret, reason, sizeof reason);
    if (rc != 0)
        printf("-%s\n", reason);
    else if (argc > 1)
        printf("+the key file %s\n", argv[1]);
    else
        printf("+MUNGE\n");
    return 0;
}
