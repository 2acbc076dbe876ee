/* SPDX-License-Identifier: BSD-3-Clause */
/* plan_aarch64.c - plans the branch from a call site to its stub, and the branch back. */
#ifdef __aarch64__

#include "patch.h"
#include "stubs.h"

#define BRANCH 0x14000000u
#define REACH (1 << 27) /* bytes, in either direction */
#define BACK_AT 20u     /* the offset of the stub's sixth instruction */

static int plan_branch(struct mioc_plan *plan, uintptr_t at, uintptr_t to)
{
    const intptr_t far = (intptr_t)(to - at);
    const uint32_t branch = BRANCH | ((uint32_t)(far >> 2) & 0x3ffffffu);

    return far < REACH && far >= -REACH ? mioc_plan_add(plan, at, &branch, sizeof branch) : -1;
}

int mioc_plan_site(const struct mioc_ldso *ld, const struct mioc_callsite *site, unsigned i, struct mioc_plan *plan)
{
    const unsigned before = plan->count;

    (void)ld;
    if (plan_branch(plan, mioc_stub_at(i) + BACK_AT, site->resume) == 0 &&
        plan_branch(plan, site->at, mioc_stub_at(i)) == 0)
        return 0;
    plan->count = before;
    return -1;
}

#endif
