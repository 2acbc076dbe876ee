/* SPDX-License-Identifier: BSD-3-Clause */
/* policy_order.c - puts the prefixes in the order in which policy.c looks at them, and notes how they begin. */
#include "policy_internal.h"

#include <stdlib.h>
#include <string.h>

/* The longest prefix comes first, as the longest one that has an opinion wins. */
static int compare_prefixes(const void *a, const void *b)
{
    const struct mioc_policy_prefix *x = a, *y = b;

    if (x->len != y->len)
        return x->len < y->len ? 1 : -1;
    if (x->interpreter_names_only != y->interpreter_names_only) /* the one with more names first */
        return x->interpreter_names_only > y->interpreter_names_only ? 1 : -1;
    return x->kind != y->kind ? (x->kind < y->kind ? 1 : -1) : strcmp(x->path, y->path);
}

/* Notes the first eight bytes of each prefix: a path that begins like none of them is not ours. */
static void make_heads(struct mioc_policy *policy)
{
    for (unsigned i = 0; i < policy->count; i++) {
        uint64_t head = 0, mask = 0;
        uint32_t len = policy->prefix[i].len < 8 ? policy->prefix[i].len : 8;
        unsigned k;

        memcpy(&head, policy->prefix[i].path, len);
        memset(&mask, 0xff, len);
        for (k = 0; k < policy->heads && (policy->head[k] != head || policy->mask[k] != mask); k++)
            ;
        if (k < policy->heads)
            continue;
        policy->head[k] = head;
        policy->mask[k] = mask;
        policy->heads++;
    }
}

void mioc_policy_order(struct mioc_policy *policy)
{
    qsort(policy->prefix, policy->count, sizeof policy->prefix[0], compare_prefixes);
    make_heads(policy);
}
