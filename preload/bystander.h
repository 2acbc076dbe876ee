/* SPDX-License-Identifier: BSD-3-Clause */
/* bystander.h - programs below a rank that are no interpreters (tar, cp, a compiler): they are served nothing, so their start costs
 * nothing, but what they write below a cached prefix must be told like everybody's.
 *
 * The store of their job step is looked for at their first write, and the ranks' policy, which says what is cached, lies in
 * the store's directory. */
#ifndef MIOC_BYSTANDER_H
#define MIOC_BYSTANDER_H

#include "policy.h"

/* In a process that is neither rank nor guest, once it has started: its writes may look for a store. */
void mioc_bystander_allow(void);
/* Before a write is told: finds the store if that is allowed and was not tried before. Allocates nothing from the heap and
 * keeps errno, so it may be called where writes may: in vfork children and signal handlers. */
void mioc_bystander_join(void);

/* Leaves the policy in the directory of a store that this process made: 0 or -1. */
int mioc_bystander_save_policy(const struct mioc_policy *policy, const char *store_dir);

#endif
