/* SPDX-License-Identifier: BSD-3-Clause */
/* change.c - one planned change of the dynamic loader's text. */
#include "patch.h"

#include <string.h>

int mioc_plan_add(struct mioc_plan *plan, uintptr_t at, const void *after, unsigned size)
{
    struct mioc_change *change = &plan->change[plan->count];

    if (plan->count == MIOC_MOST_CHANGES || size > sizeof change->after)
        return -1;
    change->at = at;
    change->size = size;
    memcpy(change->after, after, size);
    memcpy(change->before, mioc_bytes(at), size);
    plan->count++;
    return 0;
}
