/* SPDX-License-Identifier: BSD-3-Clause */
/* resolve_lookup.c - looks for the libraries that objects need, where the loader will look; by listings first. */
#include "base/path.h"
#include "jobs.h"
#include "resolve.h"
#include <elf.h>
#include <errno.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

struct looking {
    const char *name;
    uint32_t len;
    int has;
};

static void look_at(void *ctx, const struct mioc_list_record *list)
{
    struct looking *looking = ctx;

    looking->has = mioc_list_find(list, looking->name, looking->len) != NULL;
}

enum verdict { ABSENT, FOUND, PERHAPS, UNLISTED };

/* What the nearest known listing above the path says. FOUND: its own directory lists it. UNLISTED: nothing speaks
 * against it, but the listing of its own directory is unknown. PERHAPS: that listing cannot be read. */
static enum verdict judge(struct mioc_resolver *r, const char *path, uint32_t len)
{
    enum verdict if_there = FOUND;
    uint32_t parent;

    for (uint32_t at = len; (parent = mioc_path_parent(path, at)) > 0; at = parent) {
        const uint32_t name = parent + (path[parent] == '/');
        struct looking looking = { path + name, at - name, 0 };

        switch (mioc_resolver_look_at_listing(r, path, parent, look_at, &looking)) {
        case MIOC_LISTING_READ: return looking.has ? if_there : ABSENT;
        case MIOC_LISTING_ABSENT: return ABSENT;
        case MIOC_LISTING_UNSHARED: return if_there == UNLISTED ? UNLISTED : PERHAPS;
        case MIOC_LISTING_UNKNOWN: if_there = UNLISTED; break;
        }
    }
    return if_there;
}

enum parking { CANNOT_WAIT, IS_PARKED, HAS_COME };

/* With the lock held: lets the lookup wait for that directory's listing. HAS_COME: it is in the store since it was
 * looked for there. */
static enum parking park(struct mioc_resolver *r, struct mioc_lookup *lookup, const char *dir, uint32_t len)
{
    const uint64_t hash = mioc_item_hash(MIOC_ITEM_LIST, dir, len);

    if (lookup->listing == hash) /* it waited for this one, in vain */
        return CANNOT_WAIT;
    lookup->listing = hash;
    if (!mioc_keys_has(&r->keys, hash) && r->config.find != NULL &&
        r->config.find(r->config.ctx, MIOC_ITEM_LIST, dir, len) != NULL)
        return HAS_COME;
    if (r->stop ||
        (!mioc_resolver_has_job(r, hash) && mioc_resolver_enqueue_needed(r, MIOC_ITEM_LIST, dir, len, NULL) != 0))
        return CANNOT_WAIT;
    lookup->next = r->libraries.parked;
    r->libraries.parked = lookup;
    return IS_PARKED;
}

enum step { TRY_AGAIN, TRY_NEXT_DIR, TRY_NEXT_NAME, PARKED };

/* The first name may be at `path`: queues a job that reads it. If it is not there, a lookup goes on behind it. */
static void read_perhaps(struct mioc_resolver *r, struct mioc_lookup *lookup, const char *path, uint32_t len)
{
    const char *name = lookup->names + lookup->at;
    struct mioc_lookup *rest = mioc_lookup_new(lookup->path, lookup->turn + 1, name, (uint32_t)strlen(name) + 1);

    pthread_mutex_lock(&r->lock);
    if (rest != NULL && mioc_resolver_enqueue_needed(r, MIOC_ITEM_CONTENT, path, len, rest) == 0)
        rest = NULL;
    pthread_mutex_unlock(&r->lock);
    mioc_lookup_free(rest);
}

/* Whether the content is under way, or its record is known. *step: what that means for the name. In this order: a
 * record that waits goes from the queue to the store, and is under way until it is there. */
static int is_decided(struct mioc_resolver *r, const char *path, uint32_t len, enum step *step)
{
    const struct mioc_content_record *known;
    int is_under_way;

    pthread_mutex_lock(&r->lock);
    is_under_way = mioc_keys_has(&r->keys, mioc_item_hash(MIOC_ITEM_CONTENT, path, len));
    pthread_mutex_unlock(&r->lock);
    *step = TRY_NEXT_NAME;
    if (is_under_way)
        return 1;
    if (r->config.find == NULL ||
        (known = (const void *)r->config.find(r->config.ctx, MIOC_ITEM_CONTENT, path, len)) == NULL)
        return 0;
    *step = !(known->item.flags & MIOC_FLAG_UNCACHED) && known->open_errno != 0 ? TRY_NEXT_DIR : TRY_NEXT_NAME;
    return 1;
}

/* Looks for the first name in the directory path[0..len); `path` has room for the name. Listings decide whether the
 * filesystem is asked at all: that of path[0..above), which may have glibc-hwcaps, then that of the directory. */
static enum step look_in(struct mioc_resolver *r, struct mioc_lookup *lookup, char path[PATH_MAX], uint32_t len,
                         uint32_t above)
{
    const char *name = lookup->names + lookup->at;
    const uint32_t name_len = (uint32_t)strlen(name);
    enum verdict verdict = FOUND;
    enum step step = TRY_NEXT_NAME;
    enum parking parking = CANNOT_WAIT;

    if (len + 1 + name_len >= PATH_MAX)
        return TRY_NEXT_DIR;
    path[len] = '/';
    memcpy(path + len + 1, name, name_len + 1);
    if (!r->config.may_speculate(r->config.ctx, path, len + 1 + name_len))
        return TRY_NEXT_DIR;
    if (above < len)
        verdict = judge(r, path, above + (uint32_t)sizeof "/glibc-hwcaps" - 1);
    if (verdict == FOUND) {
        above = len;
        verdict = judge(r, path, len + 1 + name_len);
    }
    if (verdict == UNLISTED && r->config.may_speculate(r->config.ctx, path, above)) {
        pthread_mutex_lock(&r->lock);
        parking = park(r, lookup, path, above);
        pthread_mutex_unlock(&r->lock);
        if (parking != CANNOT_WAIT)
            return parking == IS_PARKED ? PARKED : TRY_AGAIN;
    }
    if (verdict == ABSENT || (verdict != FOUND && above < len))
        return TRY_NEXT_DIR;
    if (!is_decided(r, path, len + 1 + name_len, &step))
        read_perhaps(r, lookup, path, len + 1 + name_len);
    return step;
}

/* Goes on with one lookup, and takes it. */
static void look_up(struct mioc_resolver *r, struct mioc_lookup *lookup)
{
    while (lookup->at < lookup->size) {
        char path[PATH_MAX];
        uint32_t above, len = mioc_library_path_dir(lookup->path, lookup->turn, path, &above);
        enum step next = len > 0 ? look_in(r, lookup, path, len, above) : TRY_NEXT_NAME;

        if (next == PARKED)
            return;
        if (next == TRY_AGAIN)
            continue;
        lookup->turn++;
        if (next == TRY_NEXT_NAME) {
            lookup->turn = 0;
            lookup->at += (uint32_t)strlen(lookup->names + lookup->at) + 1;
        }
    }
    mioc_lookup_free(lookup);
}

struct mioc_lookup *mioc_resolve_take_parked(struct mioc_resolver *r, uint64_t listing)
{
    struct mioc_lookup *taken = NULL, **at = &r->libraries.parked;

    while (*at != NULL) {
        struct mioc_lookup *lookup = *at;

        if (lookup->listing != listing) {
            at = &lookup->next;
            continue;
        }
        *at = lookup->next;
        lookup->next = taken;
        taken = lookup;
    }
    return taken;
}

void mioc_resolve_look_up(struct mioc_resolver *r, struct mioc_lookup *lookup)
{
    for (struct mioc_lookup *next; lookup != NULL; lookup = next) {
        next = lookup->next;
        lookup->next = NULL;
        look_up(r, lookup);
    }
}
