/* SPDX-License-Identifier: BSD-3-Clause */
/* folder.h - lists the names in a directory, by raw system calls: past the interposers, without allocation. */
#ifndef MIOC_FOLDER_H
#define MIOC_FOLDER_H

/* Calls visit() for each name except "." and "..", from the descriptor's offset on, until visit() returns non-zero.
 * Returns that value, or 0 at the end, or -1 with errno. Needs 4 KiB of stack. Any thread; async-signal-safe if visit()
 * is. */
int mioc_folder_walk(int dirfd, int (*visit)(void *ctx, int dirfd, const char *name), void *ctx);

#endif
