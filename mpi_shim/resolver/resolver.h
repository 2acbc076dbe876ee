/* SPDX-License-Identifier: BSD-3-Clause */
/* resolver.h - the root's threads that make the real calls.
 *
 * A question (kind, path) waits in a queue. A pool of threads answers it with real calls (preload/base/real.h).
 * Finished items go to the agent's thread through a bounded queue; a content comes as CHUNKs, then its CONTENT record.
 * What an import asks next, and what the last run asked (manifest.h), is read before anybody asks, but one thread stays
 * free for what is asked (mpi_shim/README.md, "Read-ahead and the manifest"). */
#ifndef MIOC_RESOLVER_H
#define MIOC_RESOLVER_H

#include "store/item.h"
#include "manifest.h"
#include <stddef.h>
#include <stdint.h>

struct mioc_resolver;
struct mioc_prefetch;

struct mioc_resolver_config {
    unsigned threads;  /* 1..64 */
    uint64_t max_file; /* larger contents are UNCACHED */
    /* The functions below are called with `ctx`, in any thread; client_ns(), find() and is_known() with the
     * resolver's lock held. */
    /* Something is ready: wakes the agent's thread. */
    void (*ready)(void *ctx);
    /* Whether a record of this key is in the store already, so that read-ahead does not repeat it. */
    int (*is_known)(void *ctx, unsigned kind, const char *path, uint32_t len);
    /* That record, or NULL; it stays readable. `find` NULL: the resolver does without. */
    const struct mioc_item *(*find)(void *ctx, unsigned kind, const char *path, uint32_t len);
    /* Takes `bytes` from what the stores may still hold. With may_evict others may go for it. 0, or -1: the content
     * stays uncached. */
    int (*reserve)(void *ctx, uint64_t bytes, int may_evict);
    /* Gives back what was taken for contents of which nothing was handed out. NULL: nobody counts. */
    void (*release)(void *ctx, uint64_t bytes);
    /* Whether files there have more names than their directories list (policy.h). NULL: they have not. */
    int (*maps_names)(void *ctx, const char *path, uint32_t len);
    /* Whether the path may be read before anybody asks (policy: library class). */
    int (*may_speculate)(void *ctx, const char *path, uint32_t len);
    /* The last run's questions, NULL: none. They are read behind what is asked now, and only where may_serve() says
     * that the policy serves such answers. It must live as long as the process. */
    struct mioc_manifest *manifest;
    /* How many ns this node's kernel may show a path as it was before another node's write, and for which device
     * (st_dev) that holds. For other devices it is client_most_ns. NULL: it always shows the present state. */
    uint64_t (*client_ns)(void *ctx, const char *path, uint32_t len, uint64_t *dev);
    uint64_t client_most_ns;
    uint64_t notice_ns; /* for how long a write may go unheard of */
    /* Contents that are being read for the manifest already (prefetch.h); the resolver frees it. NULL: none. */
    struct mioc_prefetch *prefetch;
    int (*may_serve)(void *ctx, unsigned kind, const char *path, uint32_t len);
    void *ctx;
};

/* Copies `config`, starts the threads. NULL with errno: ENOMEM, EAGAIN. */
struct mioc_resolver *mioc_resolver_new(const struct mioc_resolver_config *config);
/* Stops the threads. If one hangs in a real call for more than wait_ns, it and all memory are left behind. */
void mioc_resolver_free(struct mioc_resolver *r, uint64_t wait_ns);
/* Agent's thread. Copies the path. 0 or -1 (ENOMEM). */
int mioc_resolver_ask(struct mioc_resolver *r, unsigned kind, const char *path, uint32_t len);

/* Agent's thread: the path was written. Answers for it, for its parent's listing and stat, and with SUBTREE for all
 * below, that are being made or wait to be taken, are made anew. If another node wrote (`is_foreign`), answers from
 * looks that begin before client_ns is over are BRIEF (recent.h). */
void mioc_resolver_invalidate(struct mioc_resolver *r, const char *path, uint32_t len, uint32_t flags, int is_foreign);
/* Agent's thread: this name is a link, which was not known. Other nodes may have written lately what is below it. */
void mioc_resolver_distrust(struct mioc_resolver *r, const char *path, uint32_t len);

/* A finished item. Until mioc_resolved_free() it counts as under way, so that nobody reads it again before it is in the
 * store. Agent's thread, while the resolver exists.
 * A content may turn out incomplete after chunks were handed out (its file changed, or could not be read). Then an
 * INVALIDATE|EVICT comes behind the last chunk, and the caller gives back what was reserved when that item has taken
 * effect everywhere. */
struct mioc_resolved {
    struct mioc_resolver *resolver;
    void *memory;
    const struct mioc_item *item;
    const void *bytes;
    int is_overtaken; /* something else was written since the look began */
};
void mioc_resolved_free(struct mioc_resolved *resolved);
/* For a STAT or REALPATH that says of a name for the first time that it is a link, after mioc_resolver_distrust() of
 * that name: what was written may have been where the link leads. If something was, since the look began or by another
 * node lately, the item becomes a BRIEF one and is asked for again. */
void mioc_resolved_doubt(const struct mioc_resolved *resolved);
/* Agent's thread. 1 and the next finished item, or 0: there is none. Small answers overtake chunks of long contents. */
int mioc_resolver_take(struct mioc_resolver *r, struct mioc_resolved *out);
/* The same without items of long contents. */
int mioc_resolver_take_small(struct mioc_resolver *r, struct mioc_resolved *out);
/* Whether there are questions without answer or items that nobody has taken. Any thread. */
int mioc_resolver_is_busy(const struct mioc_resolver *r);
/* Real filesystem calls made so far. Any thread, no lock. */
uint64_t mioc_resolver_calls(const struct mioc_resolver *r);

#endif
