/* SPDX-License-Identifier: BSD-3-Clause */
/* prefetch.h - the manifest's contents, read by rank 0 while MPI starts, when the filesystem would stand idle.
 *
 * MPI's libraries may be rewriting libc's memory functions in place at that very time (UCX patches mmap, munmap,
 * madvise, brk). So these threads allocate nothing and free nothing, call no more than open, read and statx, and do not
 * end, as that would give their stacks back, before mioc_prefetch_release(). All memory is one mapping, made before.
 * They have descriptors of their own.
 *
 * What they read counts as long as nobody wrote: mioc_prefetch_void() makes the whole of it void. */
#ifndef MIOC_PREFETCH_H
#define MIOC_PREFETCH_H

#include "manifest.h"
#include <stdint.h>

struct mioc_prefetch;

struct mioc_prefetch_file {
    struct mioc_stat st;        /* fstat of what was read */
    const unsigned char *bytes; /* st.size of them */
};

/* Main thread, before MPI: starts reading. `max_bytes`: of all contents; `max_file`: of one. may_serve as in
 * resolver.h, called in threads that must not allocate. NULL: no memory, no threads, or no manifest. */
struct mioc_prefetch *mioc_prefetch_start(const struct mioc_manifest *m, uint64_t max_bytes, uint64_t max_file,
                                          int (*may_serve)(void *ctx, unsigned kind, const char *path, uint32_t len),
                                          void *ctx);
/* MPI has started, or will not: the threads may end. */
void mioc_prefetch_release(struct mioc_prefetch *a);
/* Any thread. Waits until all is read, at most wait_ns. 0 or -1: it is not, and is not to be used. */
int mioc_prefetch_wait(struct mioc_prefetch *a, uint64_t wait_ns);
/* Any thread: the file, valid until the end, or NULL: not read, or not yet. */
const struct mioc_prefetch_file *mioc_prefetch_find(const struct mioc_prefetch *a, const char *path, uint32_t len);
/* Any thread. Waits until it is known whether that file is read, until then on CLOCK_MONOTONIC, ns. 0 or -1: the time
 * is over. */
int mioc_prefetch_await(struct mioc_prefetch *a, const char *path, uint32_t len, uint64_t until);
void mioc_prefetch_void(struct mioc_prefetch *a);
/* Filesystem calls made. */
uint64_t mioc_prefetch_calls(const struct mioc_prefetch *a);
/* After a wait that succeeded, released, nobody using it any more. */
void mioc_prefetch_free(struct mioc_prefetch *a);

#endif
