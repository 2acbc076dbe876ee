/* SPDX-License-Identifier: BSD-3-Clause */
/* advice.h - what a person can do about a reason for running uncached. */
#ifndef MIOC_ADVICE_H
#define MIOC_ADVICE_H

/* A sentence without full stop, for a process's own reason or another rank's that reached it; lives for ever. NULL: the
 * reason is not known here, which a test of the sources holds to be impossible. Any thread. */
const char *mioc_advice(const char *reason);

#endif
