/* SPDX-License-Identifier: BSD-3-Clause */
/* advice.h - what a person can do about a reason for running uncached. */
#ifndef MIOC_ADVICE_H
#define MIOC_ADVICE_H

/* Returns the advice for a reason, whether this process or another rank found it: a sentence without full stop, which
 * lives for ever. NULL: the table has no advice for this reason (test_advice.c checks that it has one for each reason
 * in the sources). Any thread, signal handlers too. */
const char *mioc_advice(const char *reason);

#endif
