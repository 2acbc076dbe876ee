/* SPDX-License-Identifier: BSD-3-Clause */
/* credentials.h - what decides which file a path means to this thread, and whether it may have it. */
#ifndef MIOC_CREDENTIALS_H
#define MIOC_CREDENTIALS_H

#include <stdint.h>

/* A hash of the effective user, group, supplementary groups and capabilities, the root directory and the mount
 * namespace. Two equal ones: the same answers. Raw system calls only; keeps errno. Async-signal-safe. */
uint64_t mioc_credentials(void);
/* A hash of those of them that other nodes have as well: user, groups and capabilities, and what user and group are
 * outside of a user namespace; for processes of one node also which namespace that is, as those of others may not be
 * looked at. Opens files: not beside a program's threads. Keeps errno. */
uint64_t mioc_credentials_rights(int is_one_node);

#endif
