/* SPDX-License-Identifier: BSD-3-Clause */
/* store_write.c - the agent's side: the publish stream grows, and its items take effect. */
#include "base/real.h"
#include "base/futex.h"
#include "base/clock.h"
#include "store_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define FIRST_STEP (256u << 10)
#define STEP (1u << 20)

/* Returns how many bytes of the arena to reserve for `end`, or 0: the limits forbid it. */
static uint64_t size_for(const struct mioc_store *s, uint64_t end)
{
    const struct mioc_store_limits *limits = &s->writer->limits;
    uint64_t step = s->index->allocated < 4 * STEP ? FIRST_STEP : STEP;
    uint64_t want = (end + step - 1) / step * step;

    if (end > limits->max_arena || s->index->content_bytes > limits->max_bytes)
        return 0;
    if (want > limits->max_arena)
        want = limits->max_arena;
    if (want > limits->max_bytes - s->index->content_bytes)
        want = mioc_page_round(end);
    return want <= limits->max_bytes - s->index->content_bytes ? want : 0;
}

struct growth {
    const struct mioc_store *s;
    uint64_t size;
};

/* In the I/O thread. */
static int grow_file(void *arg)
{
    static const char index[] = "/index";
    const struct growth *growth = arg;
    const struct mioc_store *s = growth->s;
    char path[MIOC_STORE_PATH_MAX];
    struct stat st;
    int fd, result = -1, saved;

    memcpy(path, s->path, s->path_len);
    memcpy(path + s->path_len, index, sizeof(index));
    fd = mioc_store_open(AT_FDCWD, path, O_RDWR);
    if (fd < 0)
        return -1;
    if (mioc_real(fstat)(fd, &st) == 0 && st.st_dev == s->dev && st.st_ino == s->ino)
        result = mioc_store_reserve(fd, MIOC_INDEX_ARENA_AT + s->index->allocated, growth->size - s->index->allocated);
    saved = errno;
    mioc_real(close)(fd);
    errno = saved;
    return result;
}

int mioc_store_grow(struct mioc_store *s, uint64_t end)
{
    struct growth growth = { .s = s };

    if (end > s->index->allocated) {
        errno = ENOSPC;
        growth.size = size_for(s, end);
        if (growth.size == 0 || mioc_io_thread_run(s->writer->io_thread, grow_file, &growth) != 0)
            return -1;
        s->index->allocated = growth.size;
    }
    return end <= __atomic_load_n(&s->mapped, __ATOMIC_ACQUIRE) || mioc_store_map_more(s, end, 1) != NULL ? 0 : -1;
}

static int has_slot_for(const struct mioc_store *s, const struct mioc_item *item)
{
    int is_new;

    if (item->kind > MIOC_ITEM_REALPATH || s->writer->used < MIOC_INDEX_SLOTS_MAX)
        return 1;
    mioc_store_slot(s, item->kind, mioc_item_path(item), item->path_len, item->hash, &is_new);
    return !is_new;
}

static void evict(struct mioc_store *s, const struct mioc_invalidate_record *record)
{
    uint32_t len = record->item.path_len;
    const struct mioc_content_record *content = (const void *)mioc_store_lookup(
        s, MIOC_ITEM_CONTENT, record->path, len, mioc_item_hash(MIOC_ITEM_CONTENT, record->path, len));

    /* Not a newer record, which has superseded it. */
    if (content != NULL && content->content == record->token && !(content->item.flags & MIOC_FLAG_UNCACHED))
        __atomic_store_n(&((struct mioc_content_record *)content)->item.local_dead, 1, __ATOMIC_RELEASE);
    mioc_store_drop_content(s, (uint32_t)record->token, record->pages);
}

static void invalidate(struct mioc_store *s, const struct mioc_invalidate_record *record)
{
    char buf[MIOC_PATH_MAX];
    uint32_t len = record->item.path_len;
    const char *plain;

    if (record->item.flags & MIOC_FLAG_EVICT) {
        evict(s, record);
        return;
    }
    plain = mioc_path_plain(record->path, &len, buf);
    mioc_store_kill(s, plain, len, (record->item.flags & MIOC_FLAG_SUBTREE) != 0);
    if (record->node == s->writer->node)
        mioc_hold_lift(s->writer, plain, len, record->token);
}

/* Lets an item at `offset` of the published stream take effect. */
static void apply(struct mioc_store *s, struct mioc_item *item, uint64_t offset)
{
    const struct mioc_content_record *content = (const void *)item;

    switch (item->kind) {
    case MIOC_ITEM_CHUNK: return;
    case MIOC_ITEM_INVALIDATE: invalidate(s, (const void *)item); return;
    case MIOC_ITEM_CONTENT:
        if (content->open_errno != 0 || (item->flags & MIOC_FLAG_UNCACHED))
            break;
        if (mioc_store_seal(s, content, offset) != 0)
            return;
        mioc_store_mirror(s, content); /* before the record is reachable, so that all open the copy by one name */
        break;
    default: break;
    }
    mioc_store_link(s, item, offset);
}

int64_t mioc_store_append(struct mioc_store *s, const struct mioc_item *item)
{
    uint64_t offset = s->index->end;
    struct mioc_item *copy;
    int saved = errno;

    if (s->writer->is_full || !has_slot_for(s, item) || mioc_store_grow(s, offset + item->size) != 0) {
        /* Later items have no place either. But no record that is here may hide a write. */
        s->writer->is_full = 1;
        mioc_store_set_state(s, MIOC_STORE_FULL);
        if (item->kind == MIOC_ITEM_INVALIDATE)
            invalidate(s, (const void *)item);
        errno = ENOSPC;
        return -1;
    }
    copy = mioc_store_appended(s, offset);
    memcpy(copy, item, item->size);
    copy->local_dead = 1; /* until it is reachable */
    copy->local_applied_ms = mioc_clock_coarse_ms();
    __atomic_store_n(&s->index->end, offset + item->size, __ATOMIC_RELEASE);
    apply(s, copy, offset);
    errno = saved;
    return (int64_t)offset;
}

int mioc_store_hold(struct mioc_store *s, const char *path, uint32_t len, int subtree, uint64_t token)
{
    char given[MIOC_PATH_MAX], buf[MIOC_PATH_MAX];
    const char *plain;
    int result;

    if (len == 0 || len >= sizeof(given) || path[0] != '/') {
        errno = EINVAL;
        return -1;
    }
    memcpy(given, path, len);
    given[len] = '\0';
    plain = mioc_path_plain(given, &len, buf);
    result = mioc_hold_add(s->writer, plain, len, subtree, token);
    mioc_store_kill(s, plain, len, subtree);
    if (result != 0)
        errno = ENOMEM;
    return result;
}

void mioc_store_set_node(struct mioc_store *s, uint32_t node) { s->writer->node = node; }

void mioc_store_set_state(struct mioc_store *s, enum mioc_store_state state)
{
    uint32_t now = __atomic_load_n(&s->index->state, __ATOMIC_ACQUIRE);

    /* Forward only: the agent's FULL must not undo the LEFT of a thread that ends the process. */
    while ((uint32_t)state > now &&
           !__atomic_compare_exchange_n(&s->index->state, &now, (uint32_t)state, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        ;
    mioc_futex_wake(&s->index->state, INT_MAX, 0); /* sleepers in mioc_store_await() */
}

void mioc_store_set_devices(struct mioc_store *s, const struct mioc_device_pair *pairs, unsigned n)
{
    uint32_t used = 0;

    for (unsigned i = 0; i < n && used < MIOC_MAX_PREFIXES; i++)
        if (pairs[i].root != 0 && pairs[i].local != 0)
            s->index->device[used++] = pairs[i];
    __atomic_store_n(&s->index->devices, used, __ATOMIC_RELEASE);
}
