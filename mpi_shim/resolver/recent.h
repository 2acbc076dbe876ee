/* SPDX-License-Identifier: BSD-3-Clause */
/* recent.h - what other nodes wrote a short while ago: the root does not believe its own kernel about that.
 *
 * The client of a shared filesystem keeps attributes, names and missing names for a time (NFS: acregmax, acdirmax). It
 * knows what its own node writes. What another node wrote, it may not know until that time is over: what it kept from
 * before the write is dead then. So a look at what was written that began earlier says nothing lasting. What a write
 * concerns is what a hold covers (store.h).
 *
 * Memory is bounded: of more writes than fit only the time of the last is kept, and all paths count as written then.
 * Times are nanoseconds of one clock. Paths in any spelling, NUL-terminated. No lock. */
#ifndef MIOC_RECENT_H
#define MIOC_RECENT_H

#include <stddef.h>
#include <stdint.h>

#define MIOC_RECENT_MOST_BYTES (1u << 20)

struct mioc_recent;

struct mioc_recent *mioc_recent_new(void); /* NULL: ENOMEM */
void mioc_recent_free(struct mioc_recent *r);

/* The root has heard at `now` of a write to that path with these flags (MIOC_FLAG_SUBTREE). */
void mioc_recent_add(struct mioc_recent *r, const char *path, uint32_t len, uint32_t flags, uint64_t now);
/* Writes that the root heard of before `before` do not matter any more: no look is under way or to come that they could
 * concern. */
void mioc_recent_forget(struct mioc_recent *r, uint64_t before);
/* How many ns from `now` on an answer (kind, path) does not count that comes of a look begun at `started`, where the
 * client keeps what it knows for client_ns. 0: it counts. */
uint64_t mioc_recent_doubt(const struct mioc_recent *r, unsigned kind, const char *path, uint32_t len, uint64_t started,
                           uint64_t client_ns, uint64_t now);
/* When the last write was heard of; 0: none that is not forgotten. */
uint64_t mioc_recent_last(const struct mioc_recent *r);
/* Bytes that it takes for what it remembers. */
size_t mioc_recent_bytes(const struct mioc_recent *r);

#endif
