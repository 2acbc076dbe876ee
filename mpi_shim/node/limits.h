/* SPDX-License-Identifier: BSD-3-Clause */
/* limits.h - how much memory a node's store may take, and whether that has become too much.
 *
 * `root` is put before /proc and /sys: "", but in tests. Any thread. Both open and close descriptors. */
#ifndef MIOC_LIMITS_H
#define MIOC_LIMITS_H

#include <stdint.h>

/* Bytes that a store in `dir` may take if MPIIO_CACHE_MAX_BYTES does not say. Never fails.
 * The kernel charges tmpfs to the job's memory cgroup and cannot reclaim it. So this is the lesser of two: a quarter of
 * what the cgroup still allows (v2 memory.max, v1 memory.limit_in_bytes, the lowest on the way up; page cache counts as
 * free), and half of what the filesystem of `dir` has free. */
uint64_t mioc_limits_default(const char *root, const char *dir);

/* 1: less than an eighth of a memory cgroup's limit is left, page cache counted as free. 0: more is left. -1: there is
 * no limit, and no need to ask again. */
int mioc_limits_are_near(const char *root);

#endif
