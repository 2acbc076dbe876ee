/* SPDX-License-Identifier: BSD-3-Clause */
/* clock.h - the system's clocks as numbers. All functions are async-signal-safe and cannot fail; a vDSO serves them. */
#ifndef MIOC_CLOCK_H
#define MIOC_CLOCK_H

#include <stdint.h>
#include <time.h>

#define MIOC_NS_PER_MS 1000000u
#define MIOC_NS_PER_S 1000000000u

static inline uint64_t mioc_clock_read(clockid_t clock)
{
    struct timespec now = { 0 };

    (void)clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * MIOC_NS_PER_S + (uint64_t)now.tv_nsec;
}

/* CLOCK_MONOTONIC, ns: for deadlines and durations. */
static inline uint64_t mioc_clock_ns(void) { return mioc_clock_read(CLOCK_MONOTONIC); }

/* CLOCK_MONOTONIC_COARSE, ms: cheaper, and behind by up to one tick (10 ms). */
static inline uint64_t mioc_clock_coarse_ms(void) { return mioc_clock_read(CLOCK_MONOTONIC_COARSE) / MIOC_NS_PER_MS; }

/* CLOCK_REALTIME, ns since the epoch: to compare with the times of files. */
static inline uint64_t mioc_clock_real_ns(void) { return mioc_clock_read(CLOCK_REALTIME); }

/* Returns the age of a file's time in ns; negative if that time lies in the future. */
static inline int64_t mioc_clock_age_ns(const struct timespec *time)
{
    return (int64_t)(mioc_clock_real_ns() - ((uint64_t)time->tv_sec * MIOC_NS_PER_S + (uint64_t)time->tv_nsec));
}

/* Splits ns into seconds and nanoseconds. */
static inline struct timespec mioc_clock_timespec(uint64_t ns)
{
    return (struct timespec){ .tv_sec = (time_t)(ns / MIOC_NS_PER_S), .tv_nsec = (long)(ns % MIOC_NS_PER_S) };
}

#endif
