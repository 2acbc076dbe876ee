/* SPDX-License-Identifier: BSD-3-Clause */
/* find.c - finds the dynamic loader's call sites by their numbers, and fails if one that matters cannot be had. */
#include "find.h"

#include <sys/syscall.h>

#if defined __x86_64__ || defined __aarch64__

#define BIT(kind) (1u << (kind))
#define LOOKS (BIT(MIOC_CALLSITE_STAT) | BIT(MIOC_CALLSITE_FSTAT))
#define ALL (BIT(MIOC_CALLSITE_NONE) - 1)

int mioc_callsites_find(const struct mioc_ldso *ld, struct mioc_callsite sites[MIOC_MOST_CALLSITES], const char **why)
{
    unsigned count = 0, kinds = 0;

    for (uintptr_t at = mioc_callsite_next(ld, ld->text); at < ld->text_end; at = mioc_callsite_next(ld, at + 1)) {
        const int row = mioc_callsite_resembles(ld, at, ALL) ? mioc_ldso_find_function(ld, at) : -1;
        struct mioc_function f;
        struct mioc_callsite site;

        if (row >= 0)
            f = mioc_ldso_function(ld, (unsigned)row);
        if (row < 0 || !mioc_callsite_read(&f, at, &site)) {
            /* The loader knows a library by device and inode. If it opened a copy but asked the kernel for the stat,
             * it would not know the library again, and load it twice. */
            if (mioc_callsite_resembles(ld, at, LOOKS)) {
                *why = "a look of ld.so at files has no known form";
                return -1;
            }
            continue;
        }
        if (mioc_callsite_kind(site.number) == MIOC_CALLSITE_NONE)
            continue;
        if (count == MIOC_MOST_CALLSITES) {
            *why = "ld.so has more calls than expected";
            return -1;
        }
        site.row = (unsigned)row;
        kinds |= BIT(mioc_callsite_kind(site.number));
        sites[count++] = site;
    }
    if (!(kinds & BIT(MIOC_CALLSITE_OPEN)) || !(kinds & LOOKS)) {
        *why = "ld.so's calls have no known form";
        return -1;
    }
    mioc_callsites_shorten(ld, sites, count);
    return (int)count;
}

#endif
