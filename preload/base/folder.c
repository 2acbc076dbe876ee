/* SPDX-License-Identifier: BSD-3-Clause */
/* folder.c - lists the names in a directory, by raw system calls. */
#include "folder.h"

#include <dirent.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int mioc_folder_walk(int dirfd, int (*visit)(void *ctx, int dirfd, const char *name), void *ctx)
{
    _Alignas(8) char buf[4096];
    long n;

    /* Not readdir(), which allocates; not getdents64(), which old C libraries lack. */
    while ((n = syscall(SYS_getdents64, dirfd, buf, sizeof(buf))) > 0) {
        for (long at = 0; at < n;) {
            const struct dirent64 *entry = (const void *)(buf + at);
            int result = 0;

            at += entry->d_reclen;
            if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
                result = visit(ctx, dirfd, entry->d_name);
            if (result != 0)
                return result;
        }
    }
    return n < 0 ? -1 : 0;
}
