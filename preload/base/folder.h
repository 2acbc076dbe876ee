/* SPDX-License-Identifier: BSD-3-Clause */
/* folder.h - the names in a directory, by raw system calls: past the interposers, without allocation. */
#ifndef MIOC_FOLDER_H
#define MIOC_FOLDER_H

/* Calls visit() with each name but "." and ".." until it returns non-zero; that, or 0 at the end, or -1 with errno. */
int mioc_folder_walk(int dirfd, int (*visit)(void *ctx, int dirfd, const char *name), void *ctx);

#endif
