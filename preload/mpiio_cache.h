/* SPDX-License-Identifier: BSD-3-Clause */
/* mpiio_cache.h - functions by which a program asks the library that is preloaded in it. No program needs them.
 *
 * A program finds them in its own process: dlsym(RTLD_DEFAULT, "mpiio_cache_version"), or ctypes.CDLL(None). Without
 * the preload they are not there. A C program may link with libmpiio_cache.so (pkg-config mpiio_cache), or declare them
 * weak.
 *
 * Any thread may call them, at any time after main() has begun, in forked children too. None waits for other ranks.
 * Those that return int keep errno when they return 0. */
#ifndef MPIIO_CACHE_H
#define MPIIO_CACHE_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Returns the version, such as "0.1.0". The text lives for ever. */
const char *mpiio_cache_version(void);

/* Returns 1: this process is served from its node's store; or 0: it is not, or not any more, and every call is the real
 * one. *text, unless text is NULL, becomes a sentence for people: "active: 16 ranks on 4 nodes, …", "inactive: REASON",
 * or "" if there is nothing to say. The text lives for ever. */
int mpiio_cache_status(const char **text);

/* Writes this process's own counters as JSON: {"calls": {"stat": {"hit": N, "miss": N, "passed": N, "timeout": N,
 * "bytes": N}, …}}. The classes are those of a job's statistics (preload/base/stats.h). As snprintf(3), it writes at
 * most `size` bytes with the NUL, and returns the length of the whole text. */
size_t mpiio_cache_statistics(char *json, size_t size);

/* Tells the cache that `path` has changed, and everything below it if it is a directory. For changes that no rank's
 * library could see: by another program, or from a shell on another node. When the call returns, this node has
 * forgotten the path; all others forget it soon after. The next question goes to the filesystem. Returns 0, also if
 * nothing of it is cached; or -1 with errno. EINVAL: path is NULL or empty. ENODATA: this process is not served. */
int mpiio_cache_invalidate(const char *path);

#ifdef __cplusplus
}
#endif

#endif
