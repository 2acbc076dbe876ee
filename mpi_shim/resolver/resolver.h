/* SPDX-License-Identifier: BSD-3-Clause */
/* resolver.h - the root's threads that make the real calls, and its speculation.
 *
 * A question (kind, path) is put in a queue; a pool of threads answers it with real calls (preload/base/real.h) and
 * hands finished items, contents as CHUNKs followed by their CONTENT record, to the agent's thread through a bounded
 * queue. Speculation: the first question about a name in a directory brings that directory's listing; a `.py` that
 * exists brings its `.pyc` (stat and content) once a question has shown how this interpreter names them; and a `.pyc`
 * that was read brings the modules that it imports, behind all that is asked. What was published is not read again
 * unless asked for again. Manifest: what the last run asked (manifest.h) is read before anybody asks, by all threads
 * but one, which is there for what is asked. */
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
    /* Called from resolver threads when something is ready: rings the agent's doorbell. */
    void (*ready)(void *ctx);
    /* Whether a record of this key is in the store already (thread-safe), so that speculation does not repeat it. */
    int (*is_known)(void *ctx, unsigned kind, const char *path, uint32_t len);
    /* That record, if it is (thread-safe; it stays readable). NULL: nothing is looked for there. */
    const struct mioc_item *(*find)(void *ctx, unsigned kind, const char *path, uint32_t len);
    /* Takes `bytes` from what the stores may still hold; 0, or -1: the content stays uncached (thread-safe). */
    int (*reserve)(void *ctx, uint64_t bytes, int may_evict);
    /* Gives back what was taken for contents of which nothing was handed out (thread-safe). NULL: nobody counts. */
    void (*release)(void *ctx, uint64_t bytes);
    /* Whether files there have more names than are listed (policy.h). NULL: nowhere. */
    int (*maps_names)(void *ctx, const char *path, uint32_t len);
    /* Whether speculation may touch this path (policy: library class). */
    int (*may_speculate)(void *ctx, const char *path, uint32_t len);
    /* What the last run asked, NULL for none: read by the resolver's threads, behind what is asked now. Its questions
     * count only where may_serve says that the policy serves such answers. It must live as long as the process. */
    struct mioc_manifest *manifest;
    /* How long this node's kernel may go on showing what was there before another node's write to that path, ns, and of
     * which device (st_dev) that is known (thread-safe); of others, and of what is on no device, client_most_ns. NULL:
     * it never does. */
    uint64_t (*client_ns)(void *ctx, const char *path, uint32_t len, uint64_t *dev);
    uint64_t client_most_ns;
    struct mioc_prefetch
        *ahead; /* what is being read of it already (prefetch.h), NULL: nothing; the resolver's to free */
    int (*may_serve)(void *ctx, unsigned kind, const char *path, uint32_t len);
    void *ctx;
};

struct mioc_resolver *mioc_resolver_new(const struct mioc_resolver_config *config);
/* Stops the threads; one that hangs in a real call is left behind (its memory too) after `wait_ns`. */
void mioc_resolver_free(struct mioc_resolver *r, uint64_t wait_ns);
/* Agent's thread. Copies the path. 0 or -1 (ENOMEM). */
int mioc_resolver_ask(struct mioc_resolver *r, unsigned kind, const char *path, uint32_t len);

/* Agent's thread: what is being read, or waits to be taken, for this path, its parent's listing and stat, and with
 * SUBTREE all below, may be from before a write: it is read again before it is handed out. If another node wrote
 * (`is_foreign`), answers from looks that begin before client_ns is over are handed out as BRIEF ones (recent.h). */
void mioc_resolver_invalidate(struct mioc_resolver *r, const char *path, uint32_t len, uint32_t flags, int is_foreign);
/* Agent's thread: this name leads to elsewhere, which was not known before: all below it may be what other nodes have
 * written lately. */
void mioc_resolver_distrust(struct mioc_resolver *r, const char *path, uint32_t len);

/* A finished item, and its end: until then it counts as under way, so that nobody reads it again before it is in the
 * store. Agent's thread; the resolver still exists. A content of which chunks were handed out, and which will not be
 * complete (its file changed, or could not be read), ends with an INVALIDATE|EVICT behind the last of them: what was
 * reserved for it is the caller's to give back, when that has taken effect everywhere. */
struct mioc_resolved {
    struct mioc_resolver *resolver;
    void *memory;
    const struct mioc_item *item;
    const void *bytes;
    int is_overtaken; /* something was written since the look began; not, as far as was known then, what the item is
                         about */
};
void mioc_resolved_free(struct mioc_resolved *resolved);
/* For a STAT or REALPATH that says of a name for the first time that it is a link, after mioc_resolver_distrust() of
 * that name: what was written may have been where the link leads. If something was, since the look began or by another
 * node lately, the item becomes a BRIEF one and is asked for again. */
void mioc_resolved_doubt(const struct mioc_resolved *resolved);
/* Agent's thread: 1 and the next finished item, or 0. Small answers overtake chunks of large contents. */
int mioc_resolver_take(struct mioc_resolver *r, struct mioc_resolved *out);
/* The same, but none of a long content. */
int mioc_resolver_take_small(struct mioc_resolver *r, struct mioc_resolved *out);
/* Questions not answered yet, items not taken yet. */
int mioc_resolver_is_busy(const struct mioc_resolver *r);
/* Real filesystem calls made so far. */
uint64_t mioc_resolver_calls(const struct mioc_resolver *r);

#endif
