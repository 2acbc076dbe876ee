/* SPDX-License-Identifier: BSD-3-Clause */
/* store_read.c - everyone's side of the store: lock-free lookup, and the way from a descriptor back to its record. */
#include "base/real.h"
#include "base/decimal.h"
#include "base/futex.h"
#include "base/clock.h"
#include "store_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* How often a waiter looks whether the agent's process died during its start. */
#define AWAIT_SLICE_NS 100000000

/* Returns the bounded item that a slot leads to, or NULL. The agent's program may have overwritten slot and item. Then
 * the item may be wrong, but nobody is led out of the arena. */
static const struct mioc_item *bounded_item(const struct mioc_store *s, uint64_t slot)
{
    uint64_t offset = ((slot & 0xffffffffu) - 1) * MIOC_ITEM_ALIGN, end = mioc_store_end(s);
    const struct mioc_item *item;
    const char *arena;

    if (end > s->index_size - MIOC_INDEX_ARENA_AT || offset >= end || end - offset < sizeof(*item) ||
        (arena = mioc_store_arena(s, end)) == NULL)
        return NULL;
    item = (const void *)(arena + offset);
    return item->size <= end - offset && mioc_item_is_bounded(item) ? item : NULL;
}

const struct mioc_item *mioc_store_lookup(const struct mioc_store *s, unsigned kind, const char *path, uint32_t len,
                                          uint64_t hash)
{
    uint32_t at = (uint32_t)hash & MIOC_INDEX_MASK, probes = 0;
    uint64_t slot;

    if (mioc_store_end(s) == 0) /* perhaps the table's pages are not reserved yet */
        return NULL;
    while (probes < MIOC_INDEX_SLOTS && (slot = __atomic_load_n(&s->table[at], __ATOMIC_ACQUIRE)) != 0) {
        const struct mioc_item *item = mioc_slot_may_be(slot, hash) ? bounded_item(s, slot) : NULL;

        if (item != NULL && mioc_item_is(item, kind, path, len, hash)) {
            if (!mioc_item_is_dead(item))
                return item;
            /* The agent stores the new record's slot before it marks the old record dead. So a dead record in a slot
             * that has not changed has no successor. */
            if (__atomic_load_n(&s->table[at], __ATOMIC_ACQUIRE) == slot)
                return NULL;
            continue;
        }
        at = (at + 1) & MIOC_INDEX_MASK;
        probes++;
    }
    return NULL;
}

uint64_t mioc_store_end(const struct mioc_store *s) { return __atomic_load_n(&s->index->end, __ATOMIC_ACQUIRE); }

const struct mioc_item *mioc_store_item_at(const struct mioc_store *s, uint64_t offset)
{
    uint64_t end = mioc_store_end(s);
    const struct mioc_item *item;
    const char *arena;

    /* The offset may come from a neighbour. What is no item must not lead anybody out of the arena. */
    if (end > s->index_size - MIOC_INDEX_ARENA_AT || offset % MIOC_ITEM_ALIGN != 0 || offset >= end ||
        end - offset < sizeof(*item) || (arena = mioc_store_arena(s, end)) == NULL)
        return NULL;
    item = (const void *)(arena + offset);
    if (item->size > end - offset || item->size < sizeof(*item) || item->size % MIOC_ITEM_ALIGN != 0 ||
        item->kind == 0 || item->kind >= MIOC_ITEM_KINDS)
        return NULL;
    return item;
}

void mioc_store_content_path(const struct mioc_store *s, uint32_t content, char path[MIOC_STORE_PATH_MAX])
{
    memcpy(path, s->path, s->path_len);
    memcpy(path + s->path_len, "/c/", 3);
    (void)mioc_decimal(path + s->path_len + 3, content);
}

int mioc_store_open_content(const struct mioc_store *s, const struct mioc_content_record *record, int open_flags)
{
    char path[MIOC_STORE_PATH_MAX];

    if (record->open_errno != 0 || (record->item.flags & MIOC_FLAG_UNCACHED)) {
        errno = EINVAL; /* there is no copy */
        return -1;
    }
    mioc_store_content_path(s, record->content, path);
    return mioc_real(open)(path, O_RDONLY | open_flags); /* F_GETFL would show other flags */
}

const struct mioc_content_record *mioc_store_record_of(const struct mioc_store *s, const struct stat *st)
{
    const struct mioc_content_record *record;
    const struct mioc_item *item;

    if (st->st_dev != s->dev || st->st_mode != (S_IFREG | 0400) || st->st_uid != s->uid || st->st_mtim.tv_nsec == 0 ||
        st->st_mtim.tv_sec < 0 || (uint64_t)st->st_mtim.tv_sec >= MIOC_ARENA_MAX / MIOC_ITEM_ALIGN)
        return NULL;
    item = mioc_store_item_at(s, (uint64_t)st->st_mtim.tv_sec * MIOC_ITEM_ALIGN);
    if (item == NULL || item->kind != MIOC_ITEM_CONTENT ||
        item->size < offsetof(struct mioc_content_record, path) + item->path_len + 1u)
        return NULL;
    /* Any file can have such an mtime by chance: only a record with the right hash is a record. */
    record = (const void *)item;
    if (mioc_content_tag(item->hash) != st->st_mtim.tv_nsec || record->size != (uint64_t)st->st_size ||
        record->open_errno != 0 || (item->flags & MIOC_FLAG_UNCACHED) ||
        item->hash != mioc_item_hash(MIOC_ITEM_CONTENT, record->path, item->path_len))
        return NULL;
    return record;
}

/* Returns the pair of a device of the root, or NULL. */
static const struct mioc_device_pair *find_device(const struct mioc_store *s, uint64_t root_dev)
{
    uint32_t n = __atomic_load_n(&s->index->devices, __ATOMIC_ACQUIRE);

    for (uint32_t i = 0; i < n && i < MIOC_MAX_PREFIXES; i++)
        if (s->index->device[i].root == root_dev)
            return &s->index->device[i];
    return NULL;
}

uint64_t mioc_store_local_dev(const struct mioc_store *s, uint64_t root_dev)
{
    const struct mioc_device_pair *pair = find_device(s, root_dev);

    return pair != NULL ? pair->local : root_dev;
}

int mioc_store_may_be_dev(const struct mioc_store *s, uint64_t root_dev, uint64_t dev)
{
    const struct mioc_device_pair *pair = find_device(s, root_dev);

    return pair == NULL || pair->local == dev;
}

void mioc_store_fill_stat(const struct mioc_store *s, const struct mioc_stat *from, struct stat *to)
{
    memset(to, 0, sizeof(*to));
    to->st_dev = mioc_store_local_dev(s, from->dev);
    to->st_ino = from->ino;
    to->st_mode = from->mode;
    to->st_nlink = from->nlink;
    to->st_uid = from->uid;
    to->st_gid = from->gid;
    to->st_rdev = from->rdev;
    to->st_size = (off_t)from->size;
    to->st_blksize = (blksize_t)from->blksize;
    to->st_blocks = (blkcnt_t)from->blocks;
    to->st_atim.tv_sec = from->atime;
    to->st_atim.tv_nsec = from->atime_ns;
    to->st_mtim.tv_sec = from->mtime;
    to->st_mtim.tv_nsec = from->mtime_ns;
    to->st_ctim.tv_sec = from->ctime;
    to->st_ctim.tv_nsec = from->ctime_ns;
}

uint64_t mioc_store_credentials(const struct mioc_store *s) { return s->index->credentials; }

enum mioc_store_state mioc_store_get_state(const struct mioc_store *s)
{
    return (enum mioc_store_state)__atomic_load_n(&s->index->state, __ATOMIC_ACQUIRE);
}

enum mioc_store_state mioc_store_await(const struct mioc_store *s, uint64_t until)
{
    while (mioc_store_get_state(s) == MIOC_STORE_STARTING) {
        if (mioc_clock_ns() >= until || !mioc_store_is_owner_alive(s))
            break;
        (void)mioc_futex_wait(&s->index->state, MIOC_STORE_STARTING, AWAIT_SLICE_NS, 0);
    }
    return mioc_store_get_state(s);
}

uint64_t mioc_store_dev(const struct mioc_store *s) { return s->dev; }

const char *mioc_store_path(const struct mioc_store *s) { return s->path; }

struct mioc_ring *mioc_store_ring(const struct mioc_store *s) { return s->ring; }

int mioc_store_lock_fd(const struct mioc_store *s) { return s->lock_fd; }

void mioc_store_usage(const struct mioc_store *s, uint64_t *arena_bytes, uint64_t *content_bytes, uint64_t *contents)
{
    *arena_bytes = mioc_store_end(s);
    *content_bytes = __atomic_load_n(&s->index->content_bytes, __ATOMIC_RELAXED);
    *contents = __atomic_load_n(&s->index->contents, __ATOMIC_RELAXED);
}
