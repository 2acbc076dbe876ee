/* SPDX-License-Identifier: BSD-3-Clause */
/* recent.c - what other nodes wrote a short while ago, by path. */
#include "recent.h"
#include "base/hash.h"
#include "store/item.h"
#include "base/path.h"

#include <stdlib.h>
#include <string.h>

#define BUCKETS 512u

struct written {
    struct written *next;
    uint64_t itself, inside, below; /* last write of the path, of a name in it, of all below it; 0: none */
    uint32_t len;
    char path[];
};

struct mioc_recent {
    struct written *bucket[BUCKETS];
    size_t bytes;
    uint64_t all;  /* last write that did not fit: all paths count as written then */
    uint64_t last; /* the last of all */
};

static uint64_t later(uint64_t a, uint64_t b) { return a > b ? a : b; }

struct mioc_recent *mioc_recent_new(void) { return calloc(1, sizeof(struct mioc_recent)); }

static unsigned bucket_of(const char *path, uint32_t len) { return (unsigned)(mioc_hash(path, len) % BUCKETS); }

static struct written *find(const struct mioc_recent *r, const char *path, uint32_t len)
{
    struct written *w = r->bucket[bucket_of(path, len)];

    while (w != NULL && !(w->len == len && memcmp(w->path, path, len) == 0))
        w = w->next;
    return w;
}

static uint64_t last_of(const struct written *w) { return later(w->itself, later(w->inside, w->below)); }

void mioc_recent_forget(struct mioc_recent *r, uint64_t before)
{
    for (unsigned i = 0; i < BUCKETS && r->bytes > 0; i++)
        for (struct written **at = &r->bucket[i], *w; (w = *at) != NULL;) {
            if (last_of(w) >= before) {
                at = &w->next;
                continue;
            }
            *at = w->next;
            r->bytes -= sizeof *w + w->len;
            free(w);
        }
    if (r->last < before)
        r->last = 0;
}

void mioc_recent_free(struct mioc_recent *r)
{
    if (r != NULL)
        mioc_recent_forget(r, UINT64_MAX);
    free(r);
}

/* The path's entry, made if it is not there. NULL: there is no room. */
static struct written *enter(struct mioc_recent *r, const char *path, uint32_t len)
{
    struct written *w = find(r, path, len), **bucket = &r->bucket[bucket_of(path, len)];

    if (w != NULL || r->bytes + sizeof *w + len > MIOC_RECENT_MOST_BYTES ||
        (w = calloc(1, sizeof *w + len + 1)) == NULL)
        return w;
    w->len = len;
    memcpy(w->path, path, len); /* calloc() has put the NUL behind it */
    w->next = *bucket;
    *bucket = w;
    r->bytes += sizeof *w + len;
    return w;
}

void mioc_recent_add(struct mioc_recent *r, const char *path, uint32_t len, uint32_t flags, uint64_t now)
{
    char buf[MIOC_PATH_MAX];
    const char *plain = mioc_path_plain(path, &len, buf);
    uint32_t parent = mioc_path_parent(plain, len);
    struct written *w = enter(r, plain, len), *folder = parent > 0 ? enter(r, plain, parent) : w;

    r->last = now;
    if (w == NULL || folder == NULL) {
        mioc_recent_forget(r, UINT64_MAX);
        r->all = r->last = now;
        return;
    }
    w->itself = now;
    if (flags & MIOC_FLAG_SUBTREE)
        w->below = now;
    if (parent > 0)
        folder->inside = now;
}

uint64_t mioc_recent_moved(const struct mioc_recent *r, const char *plain, uint32_t len)
{
    const struct written *w;
    uint64_t at = r->all;

    for (; len > 0; len = mioc_path_parent(plain, len))
        if ((w = find(r, plain, len)) != NULL)
            at = later(at, w->below);
    return at;
}

void mioc_recent_each_moved(const struct mioc_recent *r,
                            void (*visit)(void *ctx, const char *path, uint32_t len, uint64_t at), void *ctx)
{
    if (r->all > 0)
        visit(ctx, "/", 1, r->all);
    for (unsigned i = 0; i < BUCKETS && r->bytes > 0; i++)
        for (const struct written *w = r->bucket[i]; w != NULL; w = w->next)
            if (w->below > 0)
                visit(ctx, w->path, w->len, w->below);
}

/* When the root heard of the last write that concerns (kind, path); 0: of none. */
static uint64_t written_at(const struct mioc_recent *r, unsigned kind, const char *plain, uint32_t len)
{
    const struct written *w = find(r, plain, len);
    uint64_t at = mioc_recent_moved(r, plain, len);

    if (w != NULL)
        at = later(at, later(w->itself, kind == MIOC_ITEM_STAT || kind == MIOC_ITEM_LIST ? w->inside : 0));
    return at;
}

uint64_t mioc_recent_doubt(const struct mioc_recent *r, unsigned kind, const char *path, uint32_t len, uint64_t started,
                           uint64_t client_ns, uint64_t now)
{
    char buf[MIOC_PATH_MAX];
    uint32_t plain_len = len, n;
    const char *plain;
    uint64_t at;

    if (client_ns == 0 || (r->bytes == 0 && r->all == 0))
        return 0;
    plain = mioc_path_plain(path, &plain_len, buf);
    at = written_at(r, kind, plain, plain_len);
    /* A path that goes on by ".." from a directory depends on what that directory is, not on what is in it. */
    for (unsigned i = 0; plain == buf && (n = mioc_path_turn(path, len, i, buf)) > 0; i++)
        at = later(at, written_at(r, MIOC_ITEM_REALPATH, buf, n));
    if (at == 0 || started >= at + client_ns)
        return 0;
    return at + client_ns > now ? at + client_ns - now : 1; /* 1: the next look counts */
}

uint64_t mioc_recent_last(const struct mioc_recent *r) { return r->last; }

size_t mioc_recent_bytes(const struct mioc_recent *r) { return r->bytes; }
