/* SPDX-License-Identifier: BSD-3-Clause */
/* node_evict.c - the root gives contents up, on all nodes at once: old ones, and those that will not be complete.
 * mpi_shim/README.md ("A full store") says which, and why. */
#include "node_internal.h"
#include "base/clock.h"
#include "base/path.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PAGE 4096u
/* How long a resolver's thread waits for room: nodes tell how far they are once a second. */
#define WAIT_NS 1500000000ull
#define NAP_NS 1000000l
/* The stream's part of the bound: an eighth, within these two. Contents must not fill all of the bound. */
#define ARENA_LEAST (512u << 10)
#define ARENA_MOST (64u << 20)

/* Stream offsets of CONTENT records, a queue: offset[first..first + count). */
struct mioc_evictable {
    uint64_t first, count, cap, *offset;
};
struct mioc_abandoned {
    struct mioc_abandoned *next;
    struct mioc_resolved resolved;
    uint64_t end; /* of the stream when the item came: all chunks stand below it */
};

static uint64_t pages_of(uint64_t bytes) { return (bytes + PAGE - 1) / PAGE; }

void mioc_node_set_bound(struct mioc_node *node, uint64_t bytes)
{
    uint64_t arena = bytes / 8 > ARENA_MOST ? ARENA_MOST : bytes / 8;

    if (arena < ARENA_LEAST)
        arena = ARENA_LEAST < bytes / 2 ? ARENA_LEAST : bytes / 2;
    node->bound = bytes;
    node->arena_bound = arena;
    node->room = bytes - arena;
}

static int take_room(struct mioc_node *node, uint64_t bytes)
{
    uint64_t room = __atomic_load_n(&node->room, __ATOMIC_RELAXED);

    do {
        if (room < bytes)
            return -1;
    } while (!__atomic_compare_exchange_n(&node->room, &room, room - bytes, 1, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    return 0;
}

/* What is in use beyond the new bound stays. That node's store refuses what it has no room for. */
void mioc_node_lower_bound(struct mioc_node *node, uint64_t bytes)
{
    uint64_t contents = node->bound - node->arena_bound;
    static struct mioc_node lower; /* large, and only for its bounds */

    if (bytes >= node->bound)
        return;
    mioc_node_set_bound(&lower, bytes);
    node->bound = lower.bound;
    node->arena_bound = lower.arena_bound;
    if (take_room(node, contents - lower.room) != 0)
        __atomic_store_n(&node->room, 0, __ATOMIC_RELAXED);
}

static void give_room(struct mioc_node *node, uint64_t pages)
{
    (void)__atomic_fetch_add(&node->room, pages * PAGE, __ATOMIC_RELAXED);
}

void mioc_node_release(void *ctx, uint64_t bytes) { give_room(ctx, pages_of(bytes)); }

int mioc_node_reserve(void *ctx, uint64_t bytes, int may_evict)
{
    struct mioc_node *node = ctx;
    uint64_t needed = pages_of(bytes) * PAGE, until, wanted = 0;
    unsigned refusals = __atomic_load_n(&node->refusals, __ATOMIC_ACQUIRE);

    if (take_room(node, needed) == 0)
        return 0;
    if (!may_evict || needed > node->bound / 4)
        return -1;
    (void)__atomic_compare_exchange_n(&node->wanted, &wanted, needed, 0, __ATOMIC_RELEASE, __ATOMIC_RELAXED);
    mioc_ring_wake(mioc_store_ring(node->store));
    for (until = mioc_clock_ns() + WAIT_NS; mioc_clock_ns() < until; nanosleep(&(struct timespec){ 0, NAP_NS }, NULL)) {
        if (take_room(node, needed) == 0)
            return 0;
        if (__atomic_load_n(&node->refusals, __ATOMIC_ACQUIRE) != refusals)
            return -1;
        if (__atomic_load_n(&node->wanted, __ATOMIC_ACQUIRE) == 0) { /* another thread got its room */
            wanted = 0;
            (void)__atomic_compare_exchange_n(&node->wanted, &wanted, needed, 0, __ATOMIC_RELEASE, __ATOMIC_RELAXED);
        }
    }
    return -1;
}

void mioc_node_note_published(struct mioc_node *node, const struct mioc_item *item, uint64_t offset)
{
    const struct mioc_content_record *content = (const void *)item;
    const char *slash = item->kind == MIOC_ITEM_CONTENT ? memrchr(content->path, '/', item->path_len) : NULL;
    struct mioc_evictable *e = node->evictable;

    if (slash == NULL || content->open_errno != 0 || (item->flags & MIOC_FLAG_UNCACHED) || content->size == 0 ||
        mioc_path_is_object_name(slash + 1, item->path_len - (uint32_t)(slash + 1 - content->path)))
        return;
    if (e == NULL && (e = node->evictable = calloc(1, sizeof *e)) == NULL)
        return;
    if (e->first + e->count == e->cap) {
        uint64_t cap = e->count * 2 + 256, *grown = malloc(cap * sizeof *grown);

        if (grown == NULL)
            return; /* without memory that content stays */
        if (e->count > 0)
            memcpy(grown, e->offset + e->first, e->count * sizeof *grown);
        free(e->offset);
        *e = (struct mioc_evictable){ 0, e->count, cap, grown };
    }
    e->offset[e->first + e->count++] = offset;
}

/* Publishes that a content is given up. The bytes that this frees; 0: it could not be published. */
static uint64_t evict(struct mioc_node *node, const struct mioc_content_record *content)
{
    _Alignas(8) char buf[sizeof(struct mioc_invalidate_record) + MIOC_PATH_MAX + 64];
    struct mioc_invalidate_record *record = (void *)buf;
    char *end = mioc_item_begin(buf, MIOC_ITEM_INVALIDATE, MIOC_FLAG_EVICT, content->path, content->item.path_len);

    record->node = UINT32_MAX;
    record->token = content->content;
    record->pages = (uint32_t)pages_of(content->size);
    mioc_item_finish(buf, end);
    return mioc_agent_publish(node->agent, &record->item, NULL, mioc_clock_ns()) == 0 ? (uint64_t)record->pages * PAGE
                                                                                      : 0;
}

/* Whether the noted record is still there: the program can have written over the store. */
static int is_content(const struct mioc_item *item)
{
    return item != NULL && item->kind == MIOC_ITEM_CONTENT && item->path_len < MIOC_PATH_MAX &&
           mioc_item_is_bounded(item);
}

int mioc_node_take_abandoned(struct mioc_node *node, const struct mioc_resolved *resolved)
{
    struct mioc_abandoned **last = &node->abandoned, *entry;

    if (resolved->item->kind != MIOC_ITEM_INVALIDATE || !(resolved->item->flags & MIOC_FLAG_EVICT))
        return 0;
    entry = malloc(sizeof *entry);
    if (entry == NULL) {
        struct mioc_resolved unsaid = *resolved; /* nobody is told, and its room stays taken */

        mioc_resolved_free(&unsaid);
        return 1;
    }
    while (*last != NULL)
        last = &(*last)->next;
    *entry = (struct mioc_abandoned){ NULL, *resolved, mioc_store_end(node->store) };
    *last = entry;
    return 1;
}

/* Only what all nodes have had: a node that lacks chunks gets them from its parent's file, which must still exist. */
static unsigned give_up_abandoned(struct mioc_node *node)
{
    struct mioc_abandoned *entry;
    unsigned count = 0;

    for (; (entry = node->abandoned) != NULL && mioc_agent_synced(node->agent) >= entry->end; count++) {
        const struct mioc_invalidate_record *record = (const void *)entry->resolved.item;

        node->abandoned = entry->next;
        if (mioc_agent_publish(node->agent, &record->item, NULL, mioc_clock_ns()) == 0)
            give_room(node, record->pages);
        mioc_resolved_free(&entry->resolved);
        free(entry);
    }
    return count;
}

/* There will be no room: who waits for it stops waiting. */
static void refuse(struct mioc_node *node)
{
    (void)__atomic_fetch_add(&node->refusals, 1, __ATOMIC_RELEASE);
    __atomic_store_n(&node->wanted, 0, __ATOMIC_RELEASE);
}

unsigned mioc_node_make_room(struct mioc_node *node)
{
    uint64_t wanted = __atomic_load_n(&node->wanted, __ATOMIC_ACQUIRE), settled;
    struct mioc_evictable *e = node->evictable;
    unsigned evicted = node->abandoned != NULL ? give_up_abandoned(node) : 0;

    if (wanted == 0)
        return evicted;
    /* Contents that were given up are published again when asked for. That must end before the stream is full. */
    if (node->has_left || mioc_store_end(node->store) > node->arena_bound / 4 * 3) {
        refuse(node);
        return evicted;
    }
    settled = mioc_agent_synced(node->agent);
    while (__atomic_load_n(&node->room, __ATOMIC_RELAXED) < wanted) {
        const struct mioc_item *item;
        uint64_t bytes;

        if (e == NULL || e->count == 0) {
            if (node->abandoned == NULL)
                refuse(node);
            return evicted;
        }
        if (e->offset[e->first] >= settled)
            return evicted; /* not all nodes have it yet; the resolver's thread still waits */
        item = mioc_store_item_at(node->store, e->offset[e->first]);
        e->first++;
        e->count--;
        bytes = is_content(item) ? evict(node, (const void *)item) : 0;
        if (bytes > 0) {
            evicted++;
            give_room(node, bytes / PAGE);
        }
    }
    __atomic_store_n(&node->wanted, 0, __ATOMIC_RELEASE);
    return evicted;
}
