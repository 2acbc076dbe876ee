/* SPDX-License-Identifier: BSD-3-Clause */
/* munge.h - credentials of MUNGE that only processes of this user can decode.
 *
 * libmunge.so.2 is loaded at the first use, so that nothing is linked with it. MUNGE_SOCKET names munged's socket. Both
 * functions wait for munged. -1 comes with a reason for people. Any thread. */
#ifndef MIOC_MUNGE_H
#define MIOC_MUNGE_H

#include <stddef.h>

/* Makes a credential, NUL-terminated, that carries `payload`. */
int mioc_munge_encode(char *credential, size_t credential_size, const void *payload, size_t payload_size, char *reason,
                      size_t size);
/* Takes the payload of a credential. It must have payload_size bytes and come from a process of this user. A credential
 * can be decoded once on each node. */
int mioc_munge_decode(const char *credential, void *payload, size_t payload_size, char *reason, size_t size);

#endif
