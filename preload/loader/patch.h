/* SPDX-License-Identifier: BSD-3-Clause */
/* patch.h - turns call sites into jumps to the stubs. All is planned before a byte is written, and can be undone.
 *
 * x86-64: the call and the comparison after it become a `jmp` to the stub, which makes the comparison. If a branch
 * leads into that comparison, the call alone becomes a short `jmp` to padding between two functions, which holds the
 * `jmp` to the stub. aarch64: the `svc` becomes a `b` to the stub, whose last instruction becomes a `b` back.
 *
 * All functions are for a process with one thread, and do not set errno as a result. */
#ifndef MIOC_LOADER_PATCH_H
#define MIOC_LOADER_PATCH_H

#include "find.h"

/* Bytes of text, before and after the patch. */
struct mioc_change {
    uintptr_t at;
    unsigned size;
    unsigned char before[8], after[8];
};

#define MIOC_MOST_CHANGES (2 * MIOC_MOST_CALLSITES)
struct mioc_plan {
    unsigned count;
    struct mioc_change change[MIOC_MOST_CHANGES];
};

/* Plans the jumps for all sites, in order, and fills the stubs' tables. Returns 0, or -1 and *why: a site that must be
 * replaced is out of reach. */
int mioc_plan_sites(const struct mioc_ldso *ld, const struct mioc_callsite *sites, unsigned count,
                    struct mioc_plan *plan, const char **why);

/* Write the plan into the running loader, and undo a plan that was applied. is_alone: no other thread exists at all,
 * not even an emulator's, so the text may be not executable for a moment. Return 0, or -1: the text may not be written,
 * and is as it was. */
int mioc_patch_apply(const struct mioc_ldso *ld, const struct mioc_plan *plan, int is_alone);
int mioc_patch_undo(const struct mioc_ldso *ld, const struct mioc_plan *plan, int is_alone);

/* --- plan_ARCHITECTURE.c ----------------------------------------------------------------------------------------- */

/* Plans the jump of one site to stub number `i`. Returns 0, or -1: the stub is out of reach, or there is no room for
 * the jump; then the plan is as it was. */
int mioc_plan_site(const struct mioc_ldso *ld, const struct mioc_callsite *site, unsigned i, struct mioc_plan *plan);
/* Adds a change of `size` bytes at `at`. Returns 0, or -1: the plan is full. */
int mioc_plan_add(struct mioc_plan *plan, uintptr_t at, const void *after, unsigned size);

#endif
