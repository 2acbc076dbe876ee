/* SPDX-License-Identifier: BSD-3-Clause */
/* patch.h - turns call sites into jumps to the stubs: all is planned before a byte is written, and can be undone.
 *
 * x86-64: the call and the comparison behind it become a `jmp` to the stub, which makes the comparison; where a
 * branch leads to that comparison, the call alone becomes a short `jmp` to the padding between two functions, and
 * there is the `jmp` to the stub.
 * aarch64: the `svc` becomes a `b` to the stub, whose last instruction becomes a `b` back. */
#ifndef MIOC_LOADER_PATCH_H
#define MIOC_LOADER_PATCH_H

#include "find.h"

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

/* Plans the stubs for all sites, in order, and fills the stubs' tables. 0, or -1 and *why: one that has to be
 * answered cannot be. */
int mioc_plan_sites(const struct mioc_ldso *ld, const struct mioc_callsite *sites, unsigned count,
                    struct mioc_plan *plan, const char **why);

/* Write the plan into the running loader. is_alone: there is no other thread at all, so that text need not be
 * executable for a moment. 0, or -1: it may not be written, and nothing has been. Undo is for what was applied. */
int mioc_patch_apply(const struct mioc_ldso *ld, const struct mioc_plan *plan, int is_alone);
int mioc_patch_undo(const struct mioc_ldso *ld, const struct mioc_plan *plan, int is_alone);

/* --- plan_ARCHITECTURE.c ----------------------------------------------------------------------------------------- */

/* Plans one site for stub number `i`. 0, or -1: no stub is in reach, or no room for the jump; then the plan is as it
 * was. */
int mioc_plan_site(const struct mioc_ldso *ld, const struct mioc_callsite *site, unsigned i, struct mioc_plan *plan);
/* Adds a change, of `size` bytes. 0, or -1: the plan is full. */
int mioc_plan_add(struct mioc_plan *plan, uintptr_t at, const void *after, unsigned size);

#endif
