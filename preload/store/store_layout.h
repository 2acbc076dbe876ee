/* SPDX-License-Identifier: BSD-3-Clause */
/* store_layout.h - the layout of the index, and a process's own notes about a store; only store_*.c include it. */
#ifndef MIOC_STORE_LAYOUT_H
#define MIOC_STORE_LAYOUT_H

#include "base/io_thread.h"
#include "ring.h"
#include "store.h"
#include <string.h>

#define MIOC_STORE_LAYOUT 3u
#define MIOC_STORE_PATH_MAX 1200u
#define MIOC_STORE_DEFAULT_ARENA (256ull << 20)

/* The hash table has open addressing and linear probing. A slot is one word: {upper half of the record's hash, arena
 * offset / 8 + 1}; 0: empty. The half hash spares looks at the records of other keys, which would be cache misses. A
 * slot never becomes empty again, so a reader on its way misses nothing that it passed. */
#define MIOC_INDEX_SLOTS (1u << 18)
#define MIOC_INDEX_MASK (MIOC_INDEX_SLOTS - 1)
#define MIOC_INDEX_SLOTS_MAX (MIOC_INDEX_SLOTS / 4 * 3)
#define MIOC_INDEX_TABLE_AT 4096u
#define MIOC_INDEX_ARENA_AT (MIOC_INDEX_TABLE_AT + MIOC_INDEX_SLOTS * 8u)
/* The largest offset that a slot can hold. */
#define MIOC_ARENA_MAX ((1ull << 35) - 4096)

/* The index file's first page. Fields that the agent changes often lie on other cache lines than those that readers
 * read often. */
struct mioc_index {
    uint64_t magic; /* stored last: without it there is no store yet */
    uint32_t layout, slots;
    uint64_t size; /* of the file, holes included */
    uint64_t key;
    uint64_t credentials;        /* of the agent's process (base/credentials.h) */
    _Alignas(64) uint32_t state; /* enum mioc_store_state */
    _Alignas(64) uint64_t end;   /* of the stream; the bytes below are written and never change */
    uint64_t allocated;          /* bytes of the arena that are reserved in the filesystem */
    uint64_t content_bytes, contents;
    _Alignas(64) uint32_t devices;
    struct mioc_device_pair device[MIOC_MAX_PREFIXES];
};
_Static_assert(sizeof(struct mioc_index) <= MIOC_INDEX_TABLE_AT, "the header is one page");

/* Where the first mapping of the index ends, unless the file ends before. Each further mapping is twice as long. */
#define MIOC_INDEX_FIRST_MAP (MIOC_INDEX_ARENA_AT + (2u << 20))
#define MIOC_INDEX_MAPS 16u

struct mioc_store {
    struct mioc_index *index; /* the first mapping: header, table, the arena's beginning; writable in the agent only */
    uint64_t *table;
    char *arena;     /* atomic; in the last mapping: mioc_store_arena() */
    uint64_t mapped; /* atomic; how many bytes of the arena that mapping has */
    int is_mapping;  /* atomic; somebody makes the next mapping */
    unsigned maps;
    struct {
        void *at;
        uint64_t size;
    } map[MIOC_INDEX_MAPS];
    struct mioc_ring *ring;
    uint64_t index_size;
    dev_t dev; /* of the index, and so of the contents */
    ino_t ino; /* of the index */
    uid_t uid;
    uint32_t path_len;
    char path[MIOC_STORE_PATH_MAX];
    struct mioc_store_writer *writer; /* in the agent's process, else NULL; only the agent's thread uses it */
    pid_t pid;                        /* in the agent's process: its pid */
    int lock_fd;                      /* in the agent's process, else -1 */
    struct mioc_store *next_own;      /* the next store that this process made */
};

/* A reachable record whose path is not in normal form. */
struct mioc_odd {
    uint64_t offset, plain; /* in the arena; mioc_hash() of the normal form */
    int has_turns;          /* the path has ".." */
};

/* A content that is not complete yet. */
struct mioc_arrival {
    uint32_t content;
    int failed;
    uint64_t total, received;
};

struct mioc_hold;
#define MIOC_HOLD_BUCKETS 256u

struct mioc_store_writer {
    struct mioc_store_limits limits;
    struct mioc_io_thread *io_thread; /* opens files: the program's descriptors stay as they are */
    uint32_t node;
    uint32_t used; /* slots that are not empty */
    int is_full;   /* an item did not fit: no later one can be appended */
    struct mioc_hold *hold[MIOC_HOLD_BUCKETS], *subtree_hold;
    unsigned holds;
    int holds_all;        /* there was no memory for a hold: nothing may become reachable any more */
    struct mioc_odd *odd; /* in no order */
    size_t odds, odds_cap;
    struct mioc_arrival *arrival;
    size_t arrivals, arrivals_cap;
};

/* --- Slots and items --------------------------------------------------------------------------------------------- */

static inline uint64_t mioc_slot_make(uint64_t hash, uint64_t offset)
{
    return (hash >> 32 << 32) | (offset / MIOC_ITEM_ALIGN + 1);
}
static inline int mioc_slot_may_be(uint64_t slot, uint64_t hash) { return slot >> 32 == hash >> 32; }
/* Returns the item that the agent has appended at `offset`. Agent only. */
static inline void *mioc_store_appended(const struct mioc_store *s, uint64_t offset)
{
    return __atomic_load_n(&s->arena, __ATOMIC_RELAXED) + offset;
}
/* Returns the item of a slot that is not empty. Agent only. */
static inline struct mioc_item *mioc_slot_item(const struct mioc_store *s, uint64_t slot)
{
    return mioc_store_appended(s, ((slot & 0xffffffffu) - 1) * MIOC_ITEM_ALIGN);
}
static inline int mioc_item_is(const struct mioc_item *item, unsigned kind, const char *path, uint32_t len,
                               uint64_t hash)
{
    return item->hash == hash && item->kind == kind && item->path_len == len &&
           memcmp((const char *)item + mioc_item_path_at(kind), path, len) == 0;
}
static inline int mioc_item_is_dead(const struct mioc_item *item)
{
    return __atomic_load_n(&item->local_dead, __ATOMIC_ACQUIRE) != 0;
}

/* The tag of a content's record, in the nanoseconds of its file's mtime. Never 0. */
static inline int64_t mioc_content_tag(uint64_t hash) { return 1 + (int64_t)(hash % 999999999u); }
static inline uint64_t mioc_page_round(uint64_t bytes) { return (bytes + 4095) & ~4095ull; }

#endif
