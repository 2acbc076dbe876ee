/* SPDX-License-Identifier: BSD-3-Clause */
/* store_hold.c - which keys are on hold: their records stay unreachable until the stream brings back a token of this
 * node.
 *
 * A hold has up to three entries: the path, its parent's STAT and LIST, and, with `subtree`, all below (README.md). */
#include "base/path.h"
#include "base/hash.h"
#include "store_internal.h"
#include <errno.h>
#include <stdlib.h>

#define ALL_KINDS (~0u)
#define PARENT_KINDS (1u << MIOC_ITEM_STAT | 1u << MIOC_ITEM_LIST)

struct mioc_hold {
    struct mioc_hold *next;
    uint64_t token;
    uint32_t kinds; /* bits of enum mioc_item_kind */
    uint32_t len;
    char path[];
};

static unsigned bucket_of(const char *path, uint32_t len)
{
    return (unsigned)(mioc_hash(path, len) % MIOC_HOLD_BUCKETS);
}

static struct mioc_hold *new_hold(const char *path, uint32_t len, uint32_t kinds, uint64_t token)
{
    struct mioc_hold *hold = malloc(sizeof(*hold) + len);

    if (hold) {
        hold->token = token;
        hold->kinds = kinds;
        hold->len = len;
        memcpy(hold->path, path, len);
    }
    return hold;
}

static int add(struct mioc_store_writer *w, struct mioc_hold **list, const char *path, uint32_t len, uint32_t kinds,
               uint64_t token)
{
    struct mioc_hold *hold = new_hold(path, len, kinds, token);

    if (hold == NULL) {
        w->holds_all = 1;
        return -1;
    }
    hold->next = *list;
    *list = hold;
    w->holds++;
    return 0;
}

int mioc_hold_add(struct mioc_store_writer *w, const char *plain, uint32_t len, int subtree, uint64_t token)
{
    uint32_t parent = mioc_path_parent(plain, len);
    int result = add(w, &w->hold[bucket_of(plain, len)], plain, len, ALL_KINDS, token);

    if (parent > 0)
        result |= add(w, &w->hold[bucket_of(plain, parent)], plain, parent, PARENT_KINDS, token);
    if (subtree)
        result |= add(w, &w->subtree_hold, plain, len, ALL_KINDS, token);
    return result;
}

static void lift(struct mioc_store_writer *w, struct mioc_hold **link, uint64_t token)
{
    while (*link) {
        struct mioc_hold *hold = *link;

        if (hold->token != token) {
            link = &hold->next;
            continue;
        }
        *link = hold->next;
        w->holds--;
        free(hold);
    }
}

void mioc_hold_lift(struct mioc_store_writer *w, const char *plain, uint32_t len, uint64_t token)
{
    uint32_t parent = mioc_path_parent(plain, len);

    if (w->holds == 0)
        return;
    lift(w, &w->hold[bucket_of(plain, len)], token);
    if (parent > 0)
        lift(w, &w->hold[bucket_of(plain, parent)], token);
    lift(w, &w->subtree_hold, token);
}

int mioc_hold_has(const struct mioc_store_writer *w, unsigned kind, const char *plain, uint32_t len)
{
    if (w->holds_all)
        return 1;
    if (w->holds == 0)
        return 0;
    for (const struct mioc_hold *hold = w->hold[bucket_of(plain, len)]; hold; hold = hold->next)
        if ((hold->kinds >> kind & 1u) && hold->len == len && memcmp(hold->path, plain, len) == 0)
            return 1;
    for (const struct mioc_hold *hold = w->subtree_hold; hold; hold = hold->next)
        if (mioc_path_is_below(plain, len, hold->path, hold->len))
            return 1;
    return 0;
}

int mioc_hold_has_turn(const struct mioc_store_writer *w, const char *path, uint32_t len)
{
    char turn[MIOC_PATH_MAX];
    uint32_t n;

    for (unsigned i = 0; w->holds > 0 && (n = mioc_path_turn(path, len, i, turn)) > 0; i++)
        if (mioc_hold_has(w, MIOC_ITEM_REALPATH, turn, n))
            return 1;
    return 0;
}

void mioc_hold_free(struct mioc_store_writer *w)
{
    for (unsigned i = 0; i <= MIOC_HOLD_BUCKETS; i++) {
        struct mioc_hold **list = i < MIOC_HOLD_BUCKETS ? &w->hold[i] : &w->subtree_hold;

        while (*list) {
            struct mioc_hold *hold = *list;

            *list = hold->next;
            free(hold);
        }
    }
}
