/* SPDX-License-Identifier: BSD-3-Clause */
/* find.h - the call sites: the instructions by which the dynamic loader itself opens files and looks at them. */
#ifndef MIOC_LOADER_FIND_H
#define MIOC_LOADER_FIND_H

#include "ldso.h"

#define MIOC_MOST_CALLSITES 16u
#define MIOC_NO_ROW (~0u)

enum mioc_callsite_kind {
    MIOC_CALLSITE_OPEN,
    MIOC_CALLSITE_STAT, /* by path, or of a descriptor by AT_EMPTY_PATH */
    MIOC_CALLSITE_FSTAT,
    MIOC_CALLSITE_READLINK,
    MIOC_CALLSITE_NONE
};

struct mioc_callsite {
    uintptr_t at;     /* of the instruction that enters the kernel */
    uintptr_t resume; /* where ld.so's code goes on: behind it, or behind the comparison that comes next (x86-64) */
    long number;      /* of the system call, as the code before says */
    long limit;       /* what that comparison compares the result with */
    unsigned row;     /* of the function in the unwind table; MIOC_NO_ROW: in none */
};

/* Fills `sites`, in order of address. Their number, or -1 and *why, a text that lives for ever: this ld.so is not
 * understood, or has a call that would have to be answered in a place where that cannot be done. */
int mioc_callsites_find(const struct mioc_ldso *ld, struct mioc_callsite sites[MIOC_MOST_CALLSITES], const char **why);

/* --- callsite.c -------------------------------------------------------------------------------------------------- */

enum mioc_callsite_kind mioc_callsite_kind(long number);

/* --- find_ARCHITECTURE.c ----------------------------------------------------------------------------------------- */

/* The next address from `from` on where an instruction that enters the kernel may be; ld->text_end: there is none. */
uintptr_t mioc_callsite_next(const struct mioc_ldso *ld, uintptr_t from);
/* Whether a function that may be patched makes such a call there: then all of *site is filled but the row. */
int mioc_callsite_read(const struct mioc_function *f, uintptr_t at, struct mioc_callsite *site);
/* Whether some bytes before `at` name the number of a call of one of these kinds (a bit each), be they understood or
 * not. */
int mioc_callsite_resembles(const struct mioc_ldso *ld, uintptr_t at, unsigned kinds);
/* Takes the comparison out of the sites into which a branch may lead from anywhere. */
void mioc_callsites_shorten(const struct mioc_ldso *ld, struct mioc_callsite *sites, unsigned count);

#endif
