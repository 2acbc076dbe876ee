/* SPDX-License-Identifier: BSD-3-Clause */
/* mpiio_cache.h - what a program may ask of the library that is preloaded in it. Optional: nothing needs it.
 *
 * The functions are found in the process itself, as dlsym(RTLD_DEFAULT, "mpiio_cache_version") or ctypes.CDLL(None);
 * without the preload they are not there. C programs may link with libmpiio_cache.so (pkg-config mpiio_cache) or take
 * them as weak.
 *
 * All may be called from any thread, at any time after main() began, in forked children too; none waits for other
 * ranks. Those that return int keep errno where they return 0. */
#ifndef MPIIO_CACHE_H
#define MPIIO_CACHE_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* "0.1.0". Lives for ever. */
const char *mpiio_cache_version(void);

/* 1: this process is served from its node's store. 0: it is not, or not any more; every call is the real one. *text,
 * unless text is NULL, is a sentence for people ("active: 16 ranks on 4 nodes, …", "inactive: REASON"; "" where there
 * is nothing to say) that lives for ever. */
int mpiio_cache_status(const char **text);

/* This process's own counters, as JSON: {"calls": {"stat": {"hit": N, "miss": N, "passed": N, "timeout": N, "bytes":
 * N}, …}}, the classes as in a job's statistics (preload/base/stats.h). Writes at most size bytes with the NUL, and
 * returns the length that the whole text has, as snprintf(3). */
size_t mpiio_cache_statistics(char *json, size_t size);

/* Says that path, and with it all below if it is a directory, was changed by somebody whom no rank's library could see:
 * another program, another node's shell. It is forgotten on this node when the call returns, and on all others soon
 * after; what is asked for next is read from the filesystem. 0, also where nothing of it is cached; or -1 with errno:
 * EINVAL: path is NULL or empty; ENODATA: this process is not served, so there is nothing to forget. */
int mpiio_cache_invalidate(const char *path);

#ifdef __cplusplus
}
#endif

#endif
