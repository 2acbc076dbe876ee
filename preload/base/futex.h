/* SPDX-License-Identifier: BSD-3-Clause */
/* futex.h - sleeps until a 32-bit number changes (futex(2)). No cancellation point; async-signal-safe; overwrites
 * errno.
 *
 * A wait may end early, by a signal or for no reason: the caller looks at the number again. With is_private only
 * threads of this process can wake each other, which is cheaper. Without it the number may lie in memory that processes
 * share. */
#ifndef MIOC_FUTEX_H
#define MIOC_FUTEX_H

#include "clock.h"
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MIOC_FUTEX_FOREVER UINT64_MAX

/* Sleeps while *at is `value`, for at most `ns`, or MIOC_FUTEX_FOREVER. Returns 0, or -1: the time is over. */
static inline int mioc_futex_wait(const void *at, uint32_t value, uint64_t ns, int is_private)
{
    struct timespec time = mioc_clock_timespec(ns);
    int operation = is_private ? FUTEX_WAIT_PRIVATE : FUTEX_WAIT;
    long rc = syscall(SYS_futex, at, operation, value, ns == MIOC_FUTEX_FOREVER ? NULL : &time, NULL, 0);

    return rc != 0 && errno == ETIMEDOUT ? -1 : 0;
}

/* Wakes at most `most` of those that sleep at `at`. */
static inline void mioc_futex_wake(const void *at, int most, int is_private)
{
    (void)syscall(SYS_futex, at, is_private ? FUTEX_WAKE_PRIVATE : FUTEX_WAKE, most, NULL, NULL, 0);
}

#endif
