/* SPDX-License-Identifier: BSD-3-Clause */
/* limits.h - how much memory a node's store may take when MPIIO_CACHE_MAX_BYTES does not say, and whether it has become
 * too much. */
#ifndef MIOC_LIMITS_H
#define MIOC_LIMITS_H

#include <stdint.h>

/* tmpfs is charged to the job's memory cgroup and cannot be reclaimed. So: a quarter of what the cgroup (v2 memory.max
 * or v1 memory.limit_in_bytes, the lowest on the way up) still allows, page cache that it would reclaim counted as
 * free, and half of what the filesystem of `dir` has free, whichever is less. `root` is "" but in tests, where it
 * stands before /proc and /sys. Never fails; bytes. */
uint64_t mioc_limits_default(const char *root, const char *dir);

/* 1: less than an eighth of a memory cgroup's limit is left, page cache again counted as free; 0: more; -1: there is no
 * limit, and no need to ask again. Opens and closes descriptors. */
int mioc_limits_are_near(const char *root);

#endif
