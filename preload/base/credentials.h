/* SPDX-License-Identifier: BSD-3-Clause */
/* credentials.h - hashes of what decides which file a path means to this thread, and whether the thread may have it. */
#ifndef MIOC_CREDENTIALS_H
#define MIOC_CREDENTIALS_H

#include <stdint.h>

/* Returns a hash of the effective user and group, the supplementary groups, the capabilities, the root directory and
 * the mount namespace. Threads with equal hashes get equal answers from the kernel. Raw system calls only;
 * async-signal-safe; keeps errno. */
uint64_t mioc_credentials(void);

/* Returns a hash of those credentials that processes on different nodes can share: user, groups and capabilities, and
 * the numbers of user and group outside of the user namespace. With is_one_node the hash also covers which user
 * namespace it is, as a process may not look into another namespace's processes. Opens files, so it must not run beside
 * threads of the program. Keeps errno. */
uint64_t mioc_credentials_rights(int is_one_node);

#endif
