/* SPDX-License-Identifier: BSD-3-Clause */
/* prefetch.h - reads the contents that the manifest names, in threads of rank 0, while MPI starts.
 *
 * MPI's libraries may be rewriting libc's memory functions in place at that very time (UCX patches mmap, munmap,
 * madvise, brk). So these threads allocate and free nothing, call open, read and statx only, and do not end, which
 * would unmap their stacks, before mioc_prefetch_release(). All memory is one mapping, made before. They have
 * descriptors of their own. Any thread may call these functions unless it says otherwise. */
#ifndef MIOC_PREFETCH_H
#define MIOC_PREFETCH_H

#include "manifest.h"
#include <stdint.h>

struct mioc_prefetch;

struct mioc_prefetch_file {
    struct mioc_stat st;        /* fstat of what was read */
    const unsigned char *bytes; /* st.size bytes */
};

/* Main thread, before MPI starts: starts the threads. `max_bytes`: of all contents together; `max_file`: of one.
 * `m` must live as long as the result. may_serve: as in resolver.h, called in threads that must not allocate. NULL: no
 * memory, no threads, or no manifest. */
struct mioc_prefetch *mioc_prefetch_start(const struct mioc_manifest *m, uint64_t max_bytes, uint64_t max_file,
                                          int (*may_serve)(void *ctx, unsigned kind, const char *path, uint32_t len),
                                          void *ctx);
/* MPI has started, or will not: the threads may end when all is read. */
void mioc_prefetch_release(struct mioc_prefetch *a);
/* Waits until the threads have ended, at most wait_ns. 0, or -1: they have not; do not free it. */
int mioc_prefetch_wait(struct mioc_prefetch *a, uint64_t wait_ns);
/* The file of that path, valid until mioc_prefetch_free(); NULL: it was not read, not yet, or all is void. */
const struct mioc_prefetch_file *mioc_prefetch_find(const struct mioc_prefetch *a, const char *path, uint32_t len);
/* Waits until it is known whether that file could be read, at most until `until` (CLOCK_MONOTONIC, ns). 0, or -1: the
 * time is over. */
int mioc_prefetch_await(struct mioc_prefetch *a, const char *path, uint32_t len, uint64_t until);
/* Something was written: nothing is found any more. */
void mioc_prefetch_void(struct mioc_prefetch *a);
/* Filesystem calls made so far. */
uint64_t mioc_prefetch_calls(const struct mioc_prefetch *a);
/* Frees it, after release and a wait that returned 0. Nobody uses it any more. */
void mioc_prefetch_free(struct mioc_prefetch *a);

#endif
