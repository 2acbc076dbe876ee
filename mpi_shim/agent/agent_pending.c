/* SPDX-License-Identifier: BSD-3-Clause */
/* agent_pending.c - questions that wait for their record, and where each key's newest record stands in the stream. */
#include "agent_internal.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_BUCKETS 64u
#define FIRST_PLACES 64u

/* --- The set ----------------------------------------------------------------------------------------------------- */

int mioc_agent_pending_start(struct mioc_agent *a)
{
    TAILQ_INIT(&a->by_age);
    TAILQ_INIT(&a->unsent);
    a->bucket = calloc(FIRST_BUCKETS, sizeof(struct mioc_agent_pending *));
    a->buckets = a->bucket ? FIRST_BUCKETS : 0;
    return a->bucket ? 0 : -1;
}

static struct mioc_agent_pending **link_of(const struct mioc_agent *a, unsigned kind, const char *path, uint32_t len,
                                           uint64_t hash)
{
    struct mioc_agent_pending **link = &a->bucket[hash & (a->buckets - 1)];

    while (*link && !((*link)->hash == hash && (*link)->kind == kind && (*link)->len == len &&
                      memcmp((*link)->path, path, len) == 0))
        link = &(*link)->next;
    return link;
}

static void grow(struct mioc_agent *a)
{
    unsigned buckets = a->buckets * 2;
    struct mioc_agent_pending **bucket = calloc(buckets, sizeof(struct mioc_agent_pending *)), *p;

    if (bucket == NULL)
        return; /* the chains become longer, that is all */
    TAILQ_FOREACH(p, &a->by_age, by_age) {
        p->next = bucket[p->hash & (buckets - 1)];
        bucket[p->hash & (buckets - 1)] = p;
    }
    free(a->bucket);
    a->bucket = bucket;
    a->buckets = buckets;
}

static struct mioc_agent_pending *add(struct mioc_agent *a, unsigned kind, const char *path, uint32_t len,
                                      uint64_t hash)
{
    struct mioc_agent_pending *p = malloc(sizeof(*p) + len + 1), **link;

    if (p == NULL)
        return NULL;
    if (a->pendings >= a->buckets)
        grow(a);
    link = &a->bucket[hash & (a->buckets - 1)];
    *p = (struct mioc_agent_pending){
        .next = *link, .hash = hash, .since = a->now, .posed = a->now, .kind = kind, .len = len
    };
    memcpy(p->path, path, len);
    p->path[len] = '\0';
    *link = p;
    TAILQ_INSERT_TAIL(&a->by_age, p, by_age);
    a->pendings++;
    return p;
}

static void take_out(struct mioc_agent *a, struct mioc_agent_pending **link)
{
    struct mioc_agent_pending *p = *link;

    *link = p->next;
    TAILQ_REMOVE(&a->by_age, p, by_age);
    if (p->is_unsent)
        TAILQ_REMOVE(&a->unsent, p, unsent);
    a->pendings--;
    free(p);
}

void mioc_agent_pending_clear(struct mioc_agent *a)
{
    struct mioc_agent_pending *p;

    while ((p = TAILQ_FIRST(&a->by_age)) != NULL)
        take_out(a, link_of(a, p->kind, p->path, p->len, p->hash));
}

void mioc_agent_pending_free(struct mioc_agent *a)
{
    if (a->bucket)
        mioc_agent_pending_clear(a);
    free(a->bucket);
    free(a->place);
}

void mioc_agent_pending_again(struct mioc_agent *a)
{
    struct mioc_agent_pending *p;

    TAILQ_FOREACH(p, &a->by_age, by_age) {
        if (!p->is_unsent)
            TAILQ_INSERT_TAIL(&a->unsent, p, unsent);
        p->is_unsent = 1;
    }
}

void mioc_agent_pending_expire(struct mioc_agent *a)
{
    struct mioc_agent_pending *p;

    while ((p = TAILQ_FIRST(&a->by_age)) != NULL && a->now - p->since >= a->config.request_ns)
        take_out(a, link_of(a, p->kind, p->path, p->len, p->hash));
}

/* --- Asking ------------------------------------------------------------------------------------------------------ */

/* Passes the question on: to the parent as soon as there is room, or to the resolver. `p` may be freed meanwhile. */
static void pose(struct mioc_agent *a, struct mioc_agent_pending *p, const char *path)
{
    p->posed = a->now;
    if (mioc_agent_is_root(a)) {
        a->counters.requests_resolved++;
        a->host.resolve(a->host.ctx, p->kind, path, p->len);
        return;
    }
    if (!p->is_unsent)
        TAILQ_INSERT_TAIL(&a->unsent, p, unsent);
    p->is_unsent = 1;
}

int mioc_agent_want(struct mioc_agent *a, unsigned kind, const char *path, uint32_t len, uint64_t hash, int is_child)
{
    struct mioc_agent_pending *p = *link_of(a, kind, path, len, hash);
    /* A child asks again after request_ns. It first asked before the question came here, so less has passed here. */
    uint64_t patience = is_child ? a->config.request_ns / 2 : a->config.request_ns;

    if (p == NULL) {
        p = add(a, kind, path, len, hash);
        if (p == NULL)
            return -1;
        p->is_child = is_child;
        pose(a, p, path);
        return 0;
    }
    a->counters.requests_merged++;
    p->is_child |= is_child;
    p->since = a->now;
    TAILQ_REMOVE(&a->by_age, p, by_age);
    TAILQ_INSERT_TAIL(&a->by_age, p, by_age);
    if (a->now - p->posed >= patience)
        pose(a, p, path);
    return 0;
}

/* --- Answers ----------------------------------------------------------------------------------------------------- */

static struct mioc_agent_place *place_of(const struct mioc_agent *a, uint64_t hash)
{
    size_t at = hash & (a->places_cap - 1);

    while (a->place[at].hash != 0 && a->place[at].hash != hash)
        at = (at + 1) & (a->places_cap - 1);
    return &a->place[at];
}

static int grow_places(struct mioc_agent *a)
{
    struct mioc_agent_place *old = a->place;
    size_t old_cap = a->places_cap, cap = old_cap ? old_cap * 2 : FIRST_PLACES;
    struct mioc_agent_place *place = calloc(cap, sizeof(*place));

    if (place == NULL)
        return -1;
    a->place = place;
    a->places_cap = cap;
    for (size_t i = 0; i < old_cap; i++)
        if (old[i].hash != 0)
            *place_of(a, old[i].hash) = old[i];
    free(old);
    return 0;
}

/* Without memory the place stays unknown, or an older one. Then needless requests go up: slower, not wrong. */
static void note_place(struct mioc_agent *a, uint64_t hash, uint64_t offset)
{
    struct mioc_agent_place *place;

    if (a->places * 2 >= a->places_cap && grow_places(a) != 0 && a->places + 1 >= a->places_cap)
        return;
    place = place_of(a, hash);
    a->places += place->hash == 0;
    *place = (struct mioc_agent_place){ hash, offset };
}

int mioc_agent_is_behind(const struct mioc_agent *a, uint64_t hash, uint64_t offset)
{
    const struct mioc_agent_place *place = a->places > 0 ? place_of(a, hash) : NULL;

    return place != NULL && place->hash == hash && place->offset >= offset;
}

void mioc_agent_pending_answer(struct mioc_agent *a, const struct mioc_item *item, uint64_t offset)
{
    const char *path = mioc_item_path(item);
    struct mioc_agent_pending **link = link_of(a, item->kind, path, item->path_len, item->hash);

    if (a->is_interior)
        note_place(a, item->hash, offset);
    if (*link == NULL || !mioc_agent_is_ready(a))
        return;
    take_out(a, link);
    /* Also where a hold keeps the record unreachable: the waiter looks, finds nothing and makes the real call. */
    a->host.answer(a->host.ctx, item->kind, path, item->path_len, 1);
}

void mioc_agent_pending_review(struct mioc_agent *a)
{
    struct mioc_agent_pending *p, *next;

    for (p = TAILQ_FIRST(&a->by_age); p != NULL; p = next) {
        next = TAILQ_NEXT(p, by_age);
        if (!a->host.is_known(a->host.ctx, p->kind, p->path, p->len))
            continue;
        a->host.answer(a->host.ctx, p->kind, p->path, p->len, 1);
        if (!p->is_child)
            take_out(a, link_of(a, p->kind, p->path, p->len, p->hash));
    }
}
