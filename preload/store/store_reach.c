/* SPDX-License-Identifier: BSD-3-Clause */
/* store_reach.c - which records can be found: makes them reachable in the table, and marks them dead. */
#include "base/path.h"
#include "base/hash.h"
#include "store_internal.h"
#include <stdlib.h>

uint32_t mioc_store_slot(const struct mioc_store *s, unsigned kind, const char *path, uint32_t len, uint64_t hash,
                         int *is_new)
{
    uint32_t at = (uint32_t)hash & MIOC_INDEX_MASK, reusable = UINT32_MAX;

    *is_new = 0;
    for (;; at = (at + 1) & MIOC_INDEX_MASK) {
        uint64_t slot = s->table[at];
        const struct mioc_item *item;

        if (slot == 0)
            break;
        item = mioc_slot_item(s, slot);
        if (mioc_slot_may_be(slot, hash) && mioc_item_is(item, kind, path, len, hash))
            return at;
        /* A dead record of another key can give up its slot: a search for that key finds nothing either way. But the
         * whole chain is walked first, because no key may be in it twice. */
        if (reusable == UINT32_MAX && mioc_item_is_dead(item))
            reusable = at;
    }
    if (reusable != UINT32_MAX)
        return reusable;
    *is_new = 1;
    return at;
}

/* --- Records whose path is not in normal form -------------------------------------------------------------------- */

/* A write to /a/b concerns records of /a/x/../b too. There are few such records, so a list has them. */
static int remember_odd(struct mioc_store *s, uint64_t offset, uint64_t plain, int has_turns)
{
    struct mioc_store_writer *w = s->writer;

    if (w->odds == w->odds_cap) {
        size_t kept = 0;

        for (size_t i = 0; i < w->odds; i++)
            if (!mioc_item_is_dead(mioc_store_appended(s, w->odd[i].offset)))
                w->odd[kept++] = w->odd[i];
        w->odds = kept;
        if (kept * 2 >= w->odds_cap) {
            size_t cap = w->odds_cap ? w->odds_cap * 2 : 64;
            struct mioc_odd *odd = realloc(w->odd, cap * sizeof(*odd));

            if (odd == NULL)
                return -1;
            w->odd = odd;
            w->odds_cap = cap;
        }
    }
    w->odd[w->odds++] = (struct mioc_odd){ offset, plain, has_turns };
    return 0;
}

/* --- Linking ----------------------------------------------------------------------------------------------------- */

static int has_sticky(const struct mioc_store *s, unsigned kind, const char *path, uint32_t len)
{
    const struct mioc_item *item = mioc_store_lookup(s, kind, path, len, mioc_item_hash(kind, path, len));

    return item != NULL && (item->flags & MIOC_FLAG_STICKY);
}

void mioc_store_link(struct mioc_store *s, struct mioc_item *item, uint64_t offset)
{
    const uint32_t sticky = MIOC_FLAG_UNCACHED | MIOC_FLAG_STICKY;
    struct mioc_store_writer *w = s->writer;
    char buf[MIOC_PATH_MAX];
    const char *path = mioc_item_path(item), *plain;
    uint32_t len = item->path_len, at;
    uint64_t old;
    int is_new, has_turns;

    plain = mioc_path_plain(path, &len, buf);
    has_turns = plain != path && mioc_path_has_dotdot(path, item->path_len);
    /* A sticky record says "make the real call", which is right during a hold too, and it does not come twice. */
    if ((item->flags & sticky) != sticky &&
        (mioc_hold_has(w, item->kind, plain, len) || has_sticky(s, item->kind, path, item->path_len) ||
         (plain != path && has_sticky(s, item->kind, plain, len)) ||
         (has_turns && mioc_hold_has_turn(w, path, item->path_len))))
        return;
    if (plain != path && remember_odd(s, offset, mioc_hash(plain, len), has_turns) != 0)
        return;
    at = mioc_store_slot(s, item->kind, path, item->path_len, item->hash, &is_new);
    old = s->table[at];
    w->used += (uint32_t)is_new;
    __atomic_store_n(&item->local_dead, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&s->table[at], mioc_slot_make(item->hash, offset), __ATOMIC_RELEASE);
    if (old != 0)
        __atomic_store_n(&mioc_slot_item(s, old)->local_dead, 1, __ATOMIC_RELEASE);
}

/* --- Marking dead ------------------------------------------------------------------------------------------------ */

/* A sticky record survives: whoever wrote the path may write on. */
static void kill_item(struct mioc_item *item)
{
    if (!(item->flags & MIOC_FLAG_STICKY))
        __atomic_store_n(&item->local_dead, 1, __ATOMIC_RELEASE);
}

static void kill_key(struct mioc_store *s, unsigned kind, const char *path, uint32_t len)
{
    const struct mioc_item *item = mioc_store_lookup(s, kind, path, len, mioc_item_hash(kind, path, len));

    if (item)
        kill_item((struct mioc_item *)item); /* the agent's own mapping is writable */
}

static void kill_below(struct mioc_store *s, const char *plain, uint32_t len)
{
    for (uint32_t at = 0; at < MIOC_INDEX_SLOTS; at++) {
        struct mioc_item *item;

        if (s->table[at] == 0)
            continue;
        item = mioc_slot_item(s, s->table[at]);
        if (mioc_path_is_below(mioc_item_path(item), item->path_len, plain, len))
            kill_item(item);
    }
}

static void kill_odd(struct mioc_store *s, const char *plain, uint32_t len, uint32_t parent, int subtree)
{
    struct mioc_store_writer *w = s->writer;
    uint64_t hash = mioc_hash(plain, len), parent_hash = parent ? mioc_hash(plain, parent) : 0;

    for (size_t i = 0; i < w->odds; i++) {
        struct mioc_item *item = mioc_store_appended(s, w->odd[i].offset);
        int of_names = item->kind == MIOC_ITEM_STAT || item->kind == MIOC_ITEM_LIST;

        if (w->odd[i].plain == hash || (of_names && w->odd[i].plain == parent_hash) ||
            ((subtree || w->odd[i].has_turns) &&
             mioc_path_is_concerned(mioc_item_path(item), item->path_len, of_names, plain, len, subtree)))
            kill_item(item);
    }
}

void mioc_store_kill(struct mioc_store *s, const char *plain, uint32_t len, int subtree)
{
    uint32_t parent = mioc_path_parent(plain, len);

    for (unsigned kind = MIOC_ITEM_STAT; kind <= MIOC_ITEM_REALPATH; kind++)
        kill_key(s, kind, plain, len);
    if (parent > 0) {
        kill_key(s, MIOC_ITEM_STAT, plain, parent);
        kill_key(s, MIOC_ITEM_LIST, plain, parent);
    }
    if (subtree)
        kill_below(s, plain, len);
    kill_odd(s, plain, len, parent, subtree);
}
