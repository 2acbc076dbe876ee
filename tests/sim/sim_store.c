/* SPDX-License-Identifier: BSD-3-Clause */
/* sim_store.c - a node's store, modelled: which record of a key is found, holds, expiry by a coarse clock. */
#include "sim.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define GROUP (1 + SIM_FILES)

/* --- Paths and keys ---------------------------------------------------------------------------------------------- */

uint32_t sim_path_name(int path, char out[64])
{
    static const char pattern[] = "/lib/dX/fX.py"; /* one digit each: most of a run's time would go into printf */
    uint32_t len = path % GROUP == 0 ? 7 : 13;

    memcpy(out, pattern, len);
    out[len] = '\0';
    out[6] = (char)('0' + path / GROUP);
    if (len > 7)
        out[9] = (char)('0' + path % GROUP);
    return len;
}

int sim_path_number(const char *path, uint32_t len)
{
    int number = len == 7 || len == 13 ? (path[6] - '0') * GROUP + (len > 7 ? path[9] - '0' : 0) : -1;
    char name[64];

    return number >= 0 && number < SIM_PATHS && sim_path_name(number, name) == len && strcmp(path, name) == 0 ? number
                                                                                                              : -1;
}

static void concern_path(int path, void (*visit)(void *ctx, int key), void *ctx)
{
    for (int kind = 1; kind <= SIM_KINDS; kind++)
        visit(ctx, sim_key(path, kind));
}

void sim_concerned(int path, uint32_t flags, void (*visit)(void *ctx, int key), void *ctx)
{
    int dir = path - path % GROUP;

    concern_path(path, visit, ctx);
    if (path != dir) {
        visit(ctx, sim_key(dir, MIOC_ITEM_STAT));
        visit(ctx, sim_key(dir, MIOC_ITEM_LIST));
    } else if (flags & MIOC_FLAG_SUBTREE) {
        for (int i = 1; i <= SIM_FILES; i++)
            concern_path(dir + i, visit, ctx);
    }
}

int sim_has_ttl(int key) { return key % (7 * SIM_KINDS) == 2 * SIM_KINDS; /* STAT of every seventh path */ }

/* --- Records ----------------------------------------------------------------------------------------------------- */

uint32_t sim_build(void *buf, int key, uint16_t version, uint32_t content, uint64_t size)
{
    char path[64], *end;
    uint32_t len = sim_path_name(key / SIM_KINDS, path);
    unsigned kind = (unsigned)(key % SIM_KINDS) + 1;

    end = mioc_item_begin(buf, kind, 0, path, len);
    switch (kind) {
    case MIOC_ITEM_STAT:
        ((struct mioc_stat_record *)buf)->link_errno = EINVAL;
        ((struct mioc_stat_record *)buf)->stat.ino = version;
        break;
    case MIOC_ITEM_LIST:
        ((struct mioc_list_record *)buf)->list_errno = ENOTDIR;
        ((struct mioc_list_record *)buf)->stat.ino = version;
        break;
    case MIOC_ITEM_CONTENT:
        ((struct mioc_content_record *)buf)->content = content;
        ((struct mioc_content_record *)buf)->size = size;
        ((struct mioc_content_record *)buf)->stat.ino = version;
        break;
    case MIOC_ITEM_ACCESS: ((struct mioc_access_record *)buf)->err[0] = version; break;
    default: ((struct mioc_realpath_record *)buf)->realpath_errno = version;
    }
    return mioc_item_finish(buf, end);
}

uint16_t sim_version_of(const struct mioc_item *item)
{
    const void *record = item;

    switch (item->kind) {
    case MIOC_ITEM_STAT: return (uint16_t)((const struct mioc_stat_record *)record)->stat.ino;
    case MIOC_ITEM_LIST: return (uint16_t)((const struct mioc_list_record *)record)->stat.ino;
    case MIOC_ITEM_CONTENT: return (uint16_t)((const struct mioc_content_record *)record)->stat.ino;
    case MIOC_ITEM_ACCESS: return (uint16_t)((const struct mioc_access_record *)record)->err[0];
    default: return (uint16_t)((const struct mioc_realpath_record *)record)->realpath_errno;
    }
}

/* --- Looking ----------------------------------------------------------------------------------------------------- */

static uint64_t coarse_ms(const struct sim_node *n)
{
    return (n->sim->now / MS + 1000 + n->phase_ms) / SIM_COARSE_MS * SIM_COARSE_MS;
}

static struct mioc_item *linked(const struct sim_node *n, int key)
{
    return n->live[key] ? (struct mioc_item *)(n->arena + n->live[key] - 1) : NULL;
}

const struct mioc_item *sim_live(const struct sim_node *n, int key)
{
    const struct mioc_item *item = linked(n, key);

    if (item && mioc_item_is_over(item, coarse_ms(n)))
        return NULL;
    if (item && !(item->flags & MIOC_FLAG_UNCACHED) && sim_has_ttl(key) &&
        coarse_ms(n) >= item->local_applied_ms + SIM_TTL_MS)
        return NULL;
    return item;
}

int sim_is_served(const struct sim_node *n)
{
    if (n->agent == NULL)
        return 0;
    return n->sim->now < (n->is_gone ? n->ghost_until : mioc_agent_served_until(n->agent));
}

const struct mioc_item *sim_served(const struct sim_node *n, int key)
{
    return sim_is_served(n) ? sim_live(n, key) : NULL;
}

int sim_is_known(void *ctx, unsigned kind, const char *path, uint32_t len)
{
    return sim_live(ctx, sim_key(sim_path_number(path, len), kind)) != NULL;
}

const struct mioc_item *sim_item_at(void *ctx, uint64_t offset)
{
    const struct sim_node *n = ctx;

    return offset < n->end ? (const void *)(n->arena + offset) : NULL;
}

uint64_t sim_end_of(void *ctx) { return ((const struct sim_node *)ctx)->end; }

/* --- Writing ----------------------------------------------------------------------------------------------------- */

static void kill_key(void *ctx, int key)
{
    struct sim_node *n = ctx;
    struct mioc_item *item = linked(n, key);

    if (item == NULL || (item->flags & MIOC_FLAG_STICKY))
        return;
    item->local_dead = 1;
    n->live[key] = 0;
}

static void raise_hold(void *ctx, int key) { ((struct sim_node *)ctx)->held[key]++; }

static void lower_hold(void *ctx, int key) { ((struct sim_node *)ctx)->held[key]--; }

void sim_hold_add(struct sim_node *n, int path, uint32_t flags, uint64_t token)
{
    n->hold[n->holds++] = (struct sim_hold){ token, path, flags };
    sim_concerned(path, flags, raise_hold, n);
    sim_concerned(path, flags, kill_key, n);
}

static void lift_hold(struct sim_node *n, uint64_t token)
{
    for (unsigned i = 0; i < n->holds; i++) {
        if (n->hold[i].token != token)
            continue;
        sim_concerned(n->hold[i].path, n->hold[i].flags, lower_hold, n);
        n->hold[i] = n->hold[--n->holds];
        return;
    }
}

static void give_up(struct sim_node *n, int path, uint64_t content)
{
    int key = sim_key(path, MIOC_ITEM_CONTENT);
    const struct mioc_content_record *record = (const void *)linked(n, key);

    n->gave_up[content] = 1;
    n->hollows -= n->is_hollow[content];
    if (record != NULL && !(record->item.flags & MIOC_FLAG_UNCACHED) && record->content == content)
        kill_key(n, key);
}

static void take_effect(struct sim_node *n, struct mioc_item *item, uint64_t offset)
{
    const char *path = mioc_item_path(item);
    int number = path ? sim_path_number(path, item->path_len) : -1, key;
    const struct mioc_item *old;

    if (item->kind == MIOC_ITEM_CHUNK)
        return;
    if (number < 0) {
        sim_fail(n->sim, "node %d was given an unknown path", n->number);
        return;
    }
    if (item->flags & MIOC_FLAG_EVICT) {
        give_up(n, number, ((const struct mioc_invalidate_record *)(const void *)item)->token);
        return;
    }
    if (item->kind == MIOC_ITEM_INVALIDATE) {
        const struct mioc_invalidate_record *record = (const void *)item;

        sim_concerned(number, item->flags, kill_key, n);
        sim_check_heard(n, record);
        if ((int)record->node == n->number)
            lift_hold(n, record->token);
        return;
    }
    key = sim_key(number, item->kind);
    old = linked(n, key);
    if (!(item->flags & MIOC_FLAG_STICKY) && (n->held[key] > 0 || (old && (old->flags & MIOC_FLAG_STICKY))))
        return;
    if (old)
        ((struct mioc_item *)old)->local_dead = 1;
    n->live[key] = (uint32_t)offset + 1;
}

int64_t sim_append(void *ctx, const struct mioc_item *item)
{
    struct sim_node *n = ctx;
    uint64_t offset = n->end;
    int is_late = !mioc_agent_is_linked(n->agent);
    struct mioc_item *copy;

    if (mioc_item_check(item, item->size) != 0)
        sim_fail(n->sim, "node %d appends a malformed item", n->number);
    if (item->kind == MIOC_ITEM_CONTENT && !(item->flags & MIOC_FLAG_UNCACHED) &&
        n->got[((const struct mioc_content_record *)item)->content] != ((const struct mioc_content_record *)item)->size)
        sim_fail(n->sim, "node %d has a CONTENT without all its bytes", n->number);
    if (offset + item->size > n->limit) {
        errno = ENOSPC;
        return -1;
    }
    if (offset + item->size > n->room) {
        n->room = (offset + item->size) * 2;
        n->arena = realloc(n->arena, n->room);
    }
    copy = (void *)(n->arena + offset);
    memcpy(copy, item, item->size);
    copy->local_applied_ms = is_late ? 0 : coarse_ms(n);
    n->end += item->size;
    take_effect(n, copy, offset);
    return (int64_t)offset;
}

/* --- Contents: the bytes are a function of content and offset, so none are kept ---------------------------------- */

static void bytes_of(const struct mioc_chunk_record *chunk, char *out)
{
    memset(out, (int)((chunk->content * 31 + chunk->offset / 4096) % 255 + 1), chunk->length); /* no zeros */
}

int sim_write_chunk(void *ctx, const struct mioc_chunk_record *chunk, const void *bytes)
{
    static char expected[MIOC_CHUNK_MAX];
    struct sim_node *n = ctx;

    bytes_of(chunk, expected);
    if (n->sim->config.has_joins && n->number > 0 && ((const char *)bytes)[0] != expected[0]) {
        memset(expected, 0, chunk->length);
        if (n->was_served)
            sim_fail(n->sim, "node %d, which was served before, is given zeros for content %u", n->number,
                     chunk->content);
        n->hollows += n->is_hollow[chunk->content] == 0;
        n->is_hollow[chunk->content] = 1;
    }
    if (chunk->content >= SIM_CONTENTS || n->got[chunk->content] != chunk->offset ||
        memcmp(bytes, expected, chunk->length) != 0)
        sim_fail(n->sim, "node %d was given a chunk out of order or with other bytes", n->number);
    else
        n->got[chunk->content] += chunk->length;
    return 0;
}

int sim_read_chunk(void *ctx, const struct mioc_chunk_record *chunk, void *bytes)
{
    const struct sim_node *n = ctx;

    if (n != NULL && n->gave_up[chunk->content] && n->sim->config.has_joins)
        return -1;
    if (n != NULL && n->gave_up[chunk->content])
        sim_fail(n->sim, "node %d has given up what a child has yet to get", n->number);
    if (n != NULL && n->is_hollow[chunk->content])
        memset(bytes, 0, chunk->length);
    else
        bytes_of(chunk, bytes);
    return 0;
}
