/* SPDX-License-Identifier: BSD-3-Clause */
/* agent_stream.c - the publish stream: takes it in, hands it on to the children. */
#include "agent_internal.h"
#include "store/ring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BODY_MAX (MIOC_MESSAGE_MAX - (uint32_t)sizeof(struct mioc_message))

/* --- Contents that were given up --------------------------------------------------------------------------------- */

/* A child that joins later is still sent their chunks. Without memory it could not be, and the agent would end. */
static void note_evicted(struct mioc_agent *a, uint64_t content, uint64_t end)
{
    if (!a->config.has_joins || !a->is_interior)
        return;
    if (a->evictions == a->evictions_cap) {
        size_t cap = a->evictions_cap > 0 ? a->evictions_cap * 2 : 64;
        struct mioc_agent_evicted *list = realloc(a->evicted, cap * sizeof(*list));

        if (list == NULL)
            return;
        a->evicted = list;
        a->evictions_cap = cap;
    }
    a->evicted[a->evictions++] = (struct mioc_agent_evicted){ content, end };
}

/* The stream offset behind which the content is given up; 0: it is not. */
static uint64_t evicted_at(const struct mioc_agent *a, uint64_t content)
{
    for (size_t i = a->evictions; i > 0; i--)
        if (a->evicted[i - 1].content == content)
            return a->evicted[i - 1].end;
    return 0;
}

/* --- In ---------------------------------------------------------------------------------------------------------- */

/* Something of the stream was applied; `end` is the stream's end behind it. */
static void note_invalidate(struct mioc_agent *a, const struct mioc_invalidate_record *record, uint64_t end)
{
    if (record->item.flags & MIOC_FLAG_EVICT)
        note_evicted(a, record->token, end);
    mioc_agent_sync_note(a, record, end);
}

int mioc_agent_apply(struct mioc_agent *a, const struct mioc_item *item, const void *bytes)
{
    uint64_t expected = a->host.end(a->host.ctx);
    int64_t offset;

    /* The bytes first: a reader that sees the item in the stream may read them. */
    if (item->kind == MIOC_ITEM_CHUNK && a->host.write_chunk(a->host.ctx, (const void *)item, bytes) != 0)
        offset = -1;
    else
        offset = a->host.append(a->host.ctx, item);
    if (offset < 0 || (uint64_t)offset != expected) {
        mioc_agent_stop(a, offset < 0 ? MIOC_AGENT_STORE_FULL : MIOC_AGENT_PROTOCOL);
        return -1;
    }
    a->counters.items++;
    if (mioc_item_is_record(item->kind))
        mioc_agent_pending_answer(a, item, expected);
    if (item->kind == MIOC_ITEM_INVALIDATE)
        note_invalidate(a, (const void *)item, a->host.end(a->host.ctx));
    return 0;
}

void mioc_agent_take_stream(struct mioc_agent *a, const struct mioc_message *m)
{
    const struct mioc_item *item;
    const void *bytes;
    int rc;
    uint32_t at = 0;

    if (m->offset != a->host.end(a->host.ctx)) {
        mioc_agent_stop(a, MIOC_AGENT_PROTOCOL);
        return;
    }
    if (m->token > a->needed)
        a->needed = m->token;
    mioc_agent_note_readiness(a); /* before an item takes effect */
    while ((rc = mioc_wire_next_item(m, &at, &item, &bytes)) == 1)
        if (mioc_agent_apply(a, item, bytes) != 0)
            return;
    if (rc < 0)
        mioc_agent_stop(a, MIOC_AGENT_PROTOCOL);
}

/* --- Out --------------------------------------------------------------------------------------------------------- */

/* Whether the item can be sent. It was checked when it came, but the program can have written over the store since. */
static int is_whole(const struct mioc_item *item)
{
    const struct mioc_chunk_record *chunk = (const void *)item;

    return item->kind != MIOC_ITEM_CHUNK || (item->size == sizeof *chunk && chunk->length <= MIOC_CHUNK_MAX);
}

/* Bytes of a chunk on the wire, padding included; 0 for all other items. */
static uint32_t bytes_behind(const struct mioc_item *item)
{
    uint32_t length = item->kind == MIOC_ITEM_CHUNK ? ((const struct mioc_chunk_record *)item)->length : 0;

    return (length + MIOC_ITEM_ALIGN - 1) & ~(MIOC_ITEM_ALIGN - 1);
}

/* The bytes of a chunk; or zeros, if its content is given up further on in the stream. Nobody may read those: *needed
 * says how far a store must be before it is served. 0 or -1. */
static int copy_bytes(struct mioc_agent *a, const struct mioc_chunk_record *chunk, char *to, uint64_t *needed)
{
    uint64_t end;

    if (a->host.read_chunk(a->host.ctx, chunk, to) == 0)
        return 0;
    end = evicted_at(a, chunk->content);
    if (end == 0)
        return -1;
    memset(to, 0, chunk->length);
    *needed = end > *needed ? end : *needed;
    return 0;
}

/* Copies one item, and the bytes of a chunk, as the wire wants them. 0 or -1. */
static int copy_item(struct mioc_agent *a, const struct mioc_item *item, char *to, uint64_t *needed)
{
    struct mioc_item *copy = (void *)to;
    const struct mioc_chunk_record *chunk = (const void *)item;

    memcpy(to, item, item->size);
    copy->local_dead = 0;
    copy->local_applied_ms = 0;
    if (item->kind != MIOC_ITEM_CHUNK)
        return 0;
    memset(to + item->size + chunk->length, 0, bytes_behind(item) - chunk->length);
    return copy_bytes(a, chunk, to + item->size, needed);
}

/* Fills a message with whole items, from the child's place on. Its size, with the next place in *next, and in *needed
 * how far the child must be; *has_zeros: it is not all the stream says. 0: it cannot. */
static size_t compose(struct mioc_agent *a, const struct mioc_agent_link *link, char *buf, uint64_t *next,
                      uint64_t *needed, int *has_zeros)
{
    char *body = buf + sizeof(struct mioc_message);
    const struct mioc_item *item;
    uint64_t hollow = 0;
    uint32_t at = 0;

    /* What this node is not served without, its children are not either. */
    *needed = link->cursor < a->needed ? a->needed : 0;

    *next = link->cursor;
    while ((item = a->host.item_at(a->host.ctx, *next)) != NULL) {
        uint32_t size;

        if (item->size < sizeof(*item) || !is_whole(item))
            break;
        size = item->size + bytes_behind(item);
        if (size > BODY_MAX - at)
            break;
        if (copy_item(a, item, body + at, &hollow) != 0)
            return 0;
        at += size;
        *next += item->size;
    }
    *has_zeros = hollow > 0;
    *needed = hollow > *needed ? hollow : *needed;
    return at > 0 ? mioc_wire_stream(buf, link->cursor, *needed, body, at) : 0;
}

/* Sends one message to one child. 1: sent, and there may be more; 0: not now. */
static int pump_child(struct mioc_agent *a, struct mioc_agent_link *link)
{
    uint64_t next, needed;
    int has_zeros;
    size_t size;
    void *buf;

    if (link->state != MIOC_LINK_UP || link->inflight >= a->config.window || link->cursor >= a->host.end(a->host.ctx))
        return 0;
    buf = mioc_agent_buffer(a);
    if (buf == NULL)
        return 0;
    size = compose(a, link, buf, &next, &needed, &has_zeros);
    if (size > 0 && has_zeros && link->is_served && a->config.has_joins) { /* a thread may be about to read */
        a->host.put_buffer(a->host.ctx, buf);
        mioc_agent_dismiss(a, link, 0);
        link->state = MIOC_LINK_DEAD; /* its writes still count */
        link->is_refused = 1;
        return 1;
    }
    if (size == 0) { /* this node's store does not give back what it took */
        a->host.put_buffer(a->host.ctx, buf);
        mioc_agent_stop(a, MIOC_AGENT_STORE_FULL);
        return 0;
    }
    if (mioc_agent_post(a, link, buf, size) != 0)
        return 0;
    link->cursor = next;
    link->needed = needed > link->needed ? needed : link->needed;
    link->is_served |= next >= link->needed;
    return 1;
}

/* One message for each child in turn: no lack of buffers may starve the last child, and all subtrees start early. */
void mioc_agent_pump(struct mioc_agent *a)
{
    int has_sent;

    do {
        has_sent = 0;
        for (unsigned i = 0; i < a->children && a->state == MIOC_AGENT_RUNNING; i++)
            has_sent |= pump_child(a, &a->child[(a->turn + i) % a->children]);
        a->turn++;
    } while (has_sent && a->state == MIOC_AGENT_RUNNING);
}

/* --- Invalidation at the root ------------------------------------------------------------------------------------ */

static int compose_and_apply(struct mioc_agent *a, unsigned kind, uint32_t flags, const char *path, uint32_t len,
                             uint32_t node, uint64_t token)
{
    char *end = mioc_item_begin(a->scratch, kind, flags, path, len);

    if (kind == MIOC_ITEM_INVALIDATE) {
        struct mioc_invalidate_record *record = a->scratch;

        record->node = node;
        record->token = token;
    }
    mioc_item_finish(a->scratch, end);
    return mioc_agent_apply(a, a->scratch, NULL);
}

/* `writer` is who wrote. `node` and `token` go into the stream; token 0: no node waits for this name. */
static void invalidate_name(struct mioc_agent *a, uint32_t writer, uint32_t node, uint64_t token, uint32_t flags,
                            const char *path, uint32_t len)
{
    static const unsigned sticky[] = { MIOC_ITEM_STAT, MIOC_ITEM_CONTENT, MIOC_ITEM_ACCESS, MIOC_ITEM_REALPATH };

    a->host.invalidated(a->host.ctx, path, len, flags, writer);
    if (compose_and_apply(a, MIOC_ITEM_INVALIDATE, flags, path, len, node, token) != 0 || !(flags & MIOC_FLAG_STICKY))
        return;
    for (unsigned i = 0; i < sizeof(sticky) / sizeof(sticky[0]); i++)
        if (compose_and_apply(a, sticky[i], MIOC_FLAG_UNCACHED | MIOC_FLAG_STICKY, path, len, 0, 0) != 0)
            return;
}

/* The name that was written comes last: when its token is settled, all other names are, too. */
void mioc_agent_invalidate(struct mioc_agent *a, uint32_t node, uint64_t token, uint32_t flags, const char *path,
                           uint32_t len)
{
    char other[MIOC_PATH_MAX];
    uint32_t other_len;

    for (unsigned i = 0;
         a->state == MIOC_AGENT_RUNNING && (other_len = a->host.other_name(a->host.ctx, i, path, flags, other)) > 0;
         i++)
        invalidate_name(a, node, 0, 0, flags, other, other_len);
    if (a->state == MIOC_AGENT_RUNNING) /* a full store has ended the agent, and serves nobody any more */
        invalidate_name(a, node, node, token, flags, path, len);
}
