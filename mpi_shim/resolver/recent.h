/* SPDX-License-Identifier: BSD-3-Clause */
/* recent.h - what was written a short while ago: the root does not believe its own kernel about what others wrote.
 *
 * mpi_shim/README.md, "What the root's kernel still believes", has the reasons. Times are nanoseconds of one clock.
 * Paths may have any spelling and are NUL-terminated. The caller locks. */
#ifndef MIOC_RECENT_H
#define MIOC_RECENT_H

#include <stddef.h>
#include <stdint.h>

/* Writes that do not fit count as writes of all paths. */
#define MIOC_RECENT_MOST_BYTES (1u << 20)

struct mioc_recent;

struct mioc_recent *mioc_recent_new(void); /* NULL: ENOMEM */
void mioc_recent_free(struct mioc_recent *r);

/* The root hears at `now` of a write to the path, with these flags (MIOC_FLAG_SUBTREE). */
void mioc_recent_add(struct mioc_recent *r, const char *path, uint32_t len, uint32_t flags, uint64_t now);
/* Forgets writes that the root heard of before `before`: they concern no look that is under way or to come. */
void mioc_recent_forget(struct mioc_recent *r, uint64_t before);
/* A look at (kind, path) began at `started`, and the filesystem's client there keeps what it knows for client_ns. For
 * how many ns from `now` on the answer does not count. 0: it counts. */
uint64_t mioc_recent_doubt(const struct mioc_recent *r, unsigned kind, const char *path, uint32_t len, uint64_t started,
                           uint64_t client_ns, uint64_t now);
/* When the root heard of the last write with SUBTREE to the path, in normal form, or to one above it; 0: of none. */
uint64_t mioc_recent_moved(const struct mioc_recent *r, const char *plain, uint32_t len);
/* Visits each path, in normal form, that was written with SUBTREE, and when the root heard of the last such write; "/"
 * for all. */
void mioc_recent_each_moved(const struct mioc_recent *r,
                            void (*visit)(void *ctx, const char *path, uint32_t len, uint64_t at), void *ctx);
/* When the root heard of the last write; 0: of none, or it is forgotten. */
uint64_t mioc_recent_last(const struct mioc_recent *r);
/* Bytes of memory for the writes. */
size_t mioc_recent_bytes(const struct mioc_recent *r);

#endif
