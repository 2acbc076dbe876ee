/* SPDX-License-Identifier: BSD-3-Clause */
/* find.h - finds the call sites: the instructions by which the dynamic loader itself opens files and asks for their
 * stat. All functions only read the image; any thread may call them. */
#ifndef MIOC_LOADER_FIND_H
#define MIOC_LOADER_FIND_H

#include "ldso.h"

#define MIOC_MOST_CALLSITES 16u
#define MIOC_NO_ROW (~0u) /* the bytes are in no function */

enum mioc_callsite_kind {
    MIOC_CALLSITE_OPEN,
    MIOC_CALLSITE_STAT, /* by path; with AT_EMPTY_PATH also of a descriptor */
    MIOC_CALLSITE_FSTAT,
    MIOC_CALLSITE_READLINK,
    MIOC_CALLSITE_NONE
};

struct mioc_callsite {
    uintptr_t at;     /* the address of the instruction that enters the kernel */
    uintptr_t resume; /* where ld.so's code goes on: after it or (x86-64) after the comparison that follows it */
    long number;      /* the system call, as the code before says */
    long limit;       /* what that comparison compares the result with */
    unsigned row;     /* the function's row in the unwind table, or MIOC_NO_ROW */
};

/* Fills `sites`, in order of address. Returns their number; or -1 and *why, a text that lives for ever: this ld.so is
 * not understood, or has a call that must be answered but cannot be replaced. */
int mioc_callsites_find(const struct mioc_ldso *ld, struct mioc_callsite sites[MIOC_MOST_CALLSITES], const char **why);

/* --- callsite.c -------------------------------------------------------------------------------------------------- */

/* The kind of a system call; MIOC_CALLSITE_NONE: the loader's call of it is not replaced. */
enum mioc_callsite_kind mioc_callsite_kind(long number);

/* --- find_ARCHITECTURE.c ----------------------------------------------------------------------------------------- */

/* The next address, from `from` on, at which an instruction that enters the kernel may be; ld->text_end if there is
 * none. */
uintptr_t mioc_callsite_next(const struct mioc_ldso *ld, uintptr_t from);
/* Whether `f` may be patched and makes a system call at `at`. If so fills *site, all but the row. */
int mioc_callsite_read(const struct mioc_function *f, uintptr_t at, struct mioc_callsite *site);
/* Whether bytes shortly before `at` look like the number of a call of one of these kinds (a bit for each). The code
 * around need not be understood. */
int mioc_callsite_resembles(const struct mioc_ldso *ld, uintptr_t at, unsigned kinds);
/* Leaves the comparison out of each site if a branch from anywhere may lead into the site. */
void mioc_callsites_shorten(const struct mioc_ldso *ld, struct mioc_callsite *sites, unsigned count);

#endif
