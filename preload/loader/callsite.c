/* SPDX-License-Identifier: BSD-3-Clause */
/* callsite.c - which kind of call a system call number is. */
#include "find.h"
#include <sys/syscall.h>

enum mioc_callsite_kind mioc_callsite_kind(long number)
{
    switch (number) {
#ifdef SYS_open
    case SYS_open: return MIOC_CALLSITE_OPEN;
    case SYS_stat:
    case SYS_lstat: return MIOC_CALLSITE_STAT;
    case SYS_readlink: return MIOC_CALLSITE_READLINK;
#endif
    case SYS_openat: return MIOC_CALLSITE_OPEN;
#ifdef SYS_newfstatat
    case SYS_newfstatat: return MIOC_CALLSITE_STAT;
#endif
    case SYS_fstat: return MIOC_CALLSITE_FSTAT;
    case SYS_readlinkat: return MIOC_CALLSITE_READLINK;
    default: return MIOC_CALLSITE_NONE;
    }
}
