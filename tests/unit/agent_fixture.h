/* SPDX-License-Identifier: BSD-3-Clause */
/* agent_fixture.h - one agent in a world that the test holds in its hands: a store in memory, a log of what it sends.
 */
#ifndef MIOC_TEST_AGENT_FIXTURE_H
#define MIOC_TEST_AGENT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/agent.h"
#include "transport/transport.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MS 1000000ull
#define LEASE (480 * MS)
#define STREAM_NAME 77
#define CHILD_CLOCK 1000000
#define SENT_MAX 256
#define NONE UINT64_MAX

struct sent {
    int peer;
    uint64_t bytes[512 / 8];
    size_t size;
    const struct mioc_message *m;
};

struct world {
    struct mioc_agent *agent;
    _Alignas(8) char arena[1 << 20], item[MIOC_ITEM_MAX], message[MIOC_MESSAGE_MAX];
    uint64_t end, room, now, settled;
    char other_names[64];       /* another name of whatever is written */
    char dead[64];              /* a key of this path is not known though it stands in the arena */
    struct sent sent[SENT_MAX]; /* the first bytes of each message */
    unsigned sends, buffers, limit, resolved, answered, real, real_all, invalidated, writer, reports, reporter, chunks;
    unsigned wishes, hellos, hello_node, welcomes;
    unsigned unlinks, hang_ups;
    int hello_rc, welcomed_rc, hung_up;
    int refuse, refuse_peer; /* errno for sends to that peer, -1: to all */
    int chunk_fails, chunk_first, gets_refused;
};

static struct world w;

static int fake_is_known(void *ctx, unsigned kind, const char *path, uint32_t len)
{
    (void)ctx;
    for (uint64_t at = 0; at < w.end; at += ((struct mioc_item *)(w.arena + at))->size) {
        const struct mioc_item *item = (void *)(w.arena + at);

        if (item->kind == kind && item->path_len == len && memcmp(mioc_item_path(item), path, len) == 0)
            return strcmp(w.dead, mioc_item_path(item)) != 0;
    }
    return 0;
}

static int64_t fake_append(void *ctx, const struct mioc_item *item)
{
    uint64_t offset = w.end;

    (void)ctx;
    if (item->size > w.room - w.end)
        return errno = ENOSPC, -1;
    memcpy(w.arena + offset, item, item->size);
    ((struct mioc_item *)(w.arena + offset))->local_applied_ms = 77;
    ((struct mioc_item *)(w.arena + offset))->local_dead = 1;
    w.chunk_first += item->kind == MIOC_ITEM_CHUNK ? w.chunks == 1 : 0;
    w.end += item->size;
    return (int64_t)offset;
}

static int fake_write_chunk(void *ctx, const struct mioc_chunk_record *chunk, const void *bytes)
{
    (void)ctx, (void)chunk, (void)bytes;
    w.chunks++;
    return w.chunk_fails ? -1 : 0;
}

static int fake_read_chunk(void *ctx, const struct mioc_chunk_record *chunk, void *bytes)
{
    (void)ctx;
    memset(bytes, 'c', chunk->length);
    return w.chunk_fails ? -1 : 0;
}

static const struct mioc_item *fake_item_at(void *ctx, uint64_t offset)
{
    (void)ctx;
    return offset < w.end ? (const void *)(w.arena + offset) : NULL;
}

static uint64_t fake_end(void *ctx)
{
    (void)ctx;
    return w.end;
}

static void fake_resolve(void *ctx, unsigned kind, const char *path, uint32_t len)
{
    (void)ctx, (void)kind, (void)path, (void)len;
    w.resolved++;
}

static void fake_invalidated(void *ctx, const char *path, uint32_t len, uint32_t flags, uint32_t node)
{
    (void)ctx, (void)path, (void)len, (void)flags;
    w.invalidated++;
    w.writer = node;
}

static uint32_t fake_other_name(void *ctx, unsigned i, const char *path, uint32_t flags, char out[])
{
    (void)ctx, (void)path, (void)flags;
    if (w.other_names[0] == '\0' || i > 0)
        return 0;
    strcpy(out, w.other_names);
    return (uint32_t)strlen(out);
}

static void *fake_get_buffer(void *ctx)
{
    (void)ctx;
    if (w.buffers >= w.limit || w.gets_refused > 0) {
        w.gets_refused -= w.gets_refused > 0;
        return NULL;
    }
    w.buffers++;
    return malloc(MIOC_MESSAGE_MAX);
}

static void fake_put_buffer(void *ctx, void *buffer)
{
    (void)ctx;
    w.buffers--;
    free(buffer);
}

static int fake_send(void *ctx, int peer, void *message, size_t size)
{
    struct sent *sent = &w.sent[w.sends];

    (void)ctx;
    if (w.refuse && (w.refuse_peer < 0 || w.refuse_peer == peer))
        return errno = w.refuse, -1;
    assert_non_null(mioc_wire_parse(message, size));
    assert_true(w.sends < SENT_MAX);
    w.sends++;
    sent->peer = peer;
    sent->size = size;
    memcpy(sent->bytes, message, size < sizeof sent->bytes ? size : sizeof sent->bytes);
    sent->m = (const void *)sent->bytes;
    w.buffers--; /* as if sent at once; sent() is the test's to call */
    free(message);
    return 0;
}

static void fake_answer(void *ctx, unsigned kind, const char *path, uint32_t len, int answered)
{
    (void)ctx, (void)path, (void)len;
    w.answered += answered == 1;
    w.real += answered == 0;
    w.real_all += kind == 0 && answered == 0;
}

static void fake_settled(void *ctx, uint64_t token)
{
    (void)ctx;
    assert_true(token > w.settled);
    w.settled = token;
}

static void fake_report(void *ctx, int node, const void *bytes, uint32_t size)
{
    (void)ctx;
    w.reports += size == 6 && memcmp(bytes, "report", 6) == 0;
    w.reporter = (unsigned)node;
}

static void fake_wanted_report(void *ctx)
{
    (void)ctx;
    w.wishes++;
}

static int fake_hello(void *ctx, int node, const void *bytes, uint32_t size)
{
    (void)ctx;
    assert_true(size == 5 && memcmp(bytes, "hello", 5) == 0);
    w.hellos++;
    w.hello_node = (unsigned)node;
    return w.hello_rc;
}

static void fake_unlinked(void *ctx)
{
    (void)ctx;
    w.unlinks++;
}

static void fake_hang_up(void *ctx, int peer)
{
    (void)ctx;
    w.hung_up = peer;
    w.hang_ups++;
}

static int fake_welcomed(void *ctx, const void *bytes, uint32_t size)
{
    (void)ctx;
    assert_true(size == 7 && memcmp(bytes, "welcome", 7) == 0);
    w.welcomes++;
    return w.welcomed_rc;
}

/* An agent of a binary tree: node 0 has the children 1 and 2, node 1 has 3 and 4. */
static void start_as(int node, int nodes, unsigned window, int has_joins)
{
    const struct mioc_agent_config config = { .node = node,
                                              .nodes = nodes,
                                              .arity = 2,
                                              .request_ns = 1000 * MS,
                                              .heartbeat_ns = 100 * MS,
                                              .silence_ns = 500 * MS,
                                              .window = window,
                                              .has_joins = has_joins,
                                              .lease_ns = has_joins ? LEASE : 0,
                                              .stream = STREAM_NAME,
                                              .hello = "hello",
                                              .hello_size = 5,
                                              .welcome = node == 0 ? "welcome" : NULL,
                                              .welcome_size = node == 0 ? 7 : 0 };
    const struct mioc_agent_host host = { .is_known = fake_is_known,
                                          .append = fake_append,
                                          .write_chunk = fake_write_chunk,
                                          .read_chunk = fake_read_chunk,
                                          .item_at = fake_item_at,
                                          .end = fake_end,
                                          .resolve = fake_resolve,
                                          .invalidated = fake_invalidated,
                                          .other_name = fake_other_name,
                                          .get_buffer = fake_get_buffer,
                                          .put_buffer = fake_put_buffer,
                                          .send = fake_send,
                                          .answer = fake_answer,
                                          .settled = fake_settled,
                                          .report = fake_report,
                                          .wanted_report = fake_wanted_report,
                                          .hello = fake_hello,
                                          .welcomed = fake_welcomed,
                                          .unlinked = fake_unlinked,
                                          .hang_up = fake_hang_up };

    memset(&w, 0, sizeof w);
    w.room = sizeof w.arena;
    w.limit = 1000;
    w.now = 5000 * MS;
    w.agent = mioc_agent_new(&config, &host, w.now);
    assert_non_null(w.agent);
}

static inline void start_with(int node, int nodes, unsigned window) { start_as(node, nodes, window, 0); }
static inline void start(int node) { start_with(node, 5, 2); }
/* With joins, and nobody has joined yet. */
static inline void start_alone(int node) { start_as(node, 63, 2, 1); }

static int stop_world(void **state)
{
    (void)state;
    mioc_agent_free(w.agent);
    w.agent = NULL;
    return w.buffers != 0;
}

/* --- What the test says ------------------------------------------------------------------------------------------ */

static inline uint32_t build(unsigned kind, const char *path)
{
    char *end = mioc_item_begin(w.item, kind, MIOC_FLAG_UNCACHED, path, (uint32_t)strlen(path));

    if (kind == MIOC_ITEM_CHUNK) {
        struct mioc_chunk_record *chunk = (void *)w.item;

        chunk->item.flags = 0;
        chunk->content = 1;
        chunk->length = 100001;
        chunk->total = 100001;
    }
    return mioc_item_finish(w.item, end);
}

static inline int publish(unsigned kind, const char *path)
{
    build(kind, path);
    return mioc_agent_publish(w.agent, (void *)w.item, kind == MIOC_ITEM_CHUNK ? w.message : NULL, w.now);
}

static inline void ask(unsigned kind, const char *path)
{
    mioc_agent_ask(w.agent, kind, path, (uint32_t)strlen(path), w.now);
}

static inline void wrote(const char *path, uint32_t flags, uint64_t token)
{
    mioc_agent_wrote(w.agent, path, (uint32_t)strlen(path), flags, token, w.now);
}

static inline void deliver(int from, size_t size) { mioc_agent_message(w.agent, from, w.message, size, w.now); }

static inline void deliver_request(int from, unsigned kind, uint64_t offset, const char *path)
{
    deliver(from, mioc_wire_request(w.message, kind, offset, path, (uint32_t)strlen(path)));
}

static inline void deliver_plain(int from, enum mioc_message_kind kind, uint64_t offset)
{
    deliver(from, mioc_wire_plain(w.message, kind, offset));
}

static inline void deliver_invalidate(int from, uint32_t node, uint64_t token, const char *path)
{
    deliver(from, mioc_wire_invalidate(w.message, node, token, 0, path, (uint32_t)strlen(path)));
}

/* One item from the parent (node 0), at that place in the stream. */
static inline void deliver_item(uint64_t offset, unsigned kind, const char *path)
{
    char *body = w.message + sizeof(struct mioc_message);
    uint32_t size = build(kind, path);

    memcpy(body, w.item, size);
    if (kind == MIOC_ITEM_CHUNK) {
        memset(body + size, 'c', 100008);
        size += 100008;
    }
    deliver(0, mioc_wire_body(w.message, MIOC_MESSAGE_STREAM, offset, body, size));
}

static inline void deliver_report(int from, uint32_t node)
{
    deliver(from, mioc_wire_report(w.message, node, "report", 6));
}

static inline void joined(int peer) { mioc_agent_joined(w.agent, peer, w.now); }

/* Of a node that has nothing, or has some of this stream; `flags`: MIOC_HELLO_. */
static inline void deliver_hello_of(int from, uint32_t node, uint64_t offset, uint32_t flags)
{
    size_t size = mioc_wire_hello(w.message, node, offset, "hello", 5);

    mioc_wire_add_lease(w.message, from == (int)node ? CHILD_CLOCK : 0, 0);
    mioc_wire_add_stream(w.message, offset > 0 && from == (int)node ? STREAM_NAME : 0, flags);
    deliver(from, size);
}

static inline void deliver_hello(int from, uint32_t node, uint64_t offset) { deliver_hello_of(from, node, offset, 0); }

static inline void deliver_welcome_for(uint64_t born, uint64_t grant)
{
    size_t size = mioc_wire_body(w.message, MIOC_MESSAGE_WELCOME, born, "welcome", 7);

    mioc_wire_add_lease(w.message, 0, grant);
    mioc_wire_add_stream(w.message, STREAM_NAME, 0);
    deliver(0, size);
}

/* With a lease that outlives the test. */
static inline void deliver_welcome(uint64_t born) { deliver_welcome_for(born, 3600000 * MS); }

/* A child that holds the stream below `offset` is linked. */
static inline void join_child(int child, uint64_t offset)
{
    joined(child);
    deliver_hello(child, (uint32_t)child, offset);
}

/* The parent, node 0, is linked. */
static inline void join_parent(uint64_t born)
{
    joined(0);
    deliver_welcome(born);
}

static inline void deliver_heartbeat(int from, uint64_t offset, uint64_t applied)
{
    deliver(from, mioc_wire_heartbeat(w.message, offset, applied));
}

/* An INVALIDATE from the parent (node 0), at the stream's end. With EVICT `token` is a content. */
static inline void deliver_written_with(uint32_t node, uint64_t token, uint32_t flags)
{
    char *body = w.message + sizeof(struct mioc_message);
    struct mioc_invalidate_record *record = (void *)w.item;
    uint32_t size = build(MIOC_ITEM_INVALIDATE, "/lib/a");

    record->item.flags = flags;
    record->node = node;
    record->token = token;
    record->pages = (flags & MIOC_FLAG_EVICT) != 0;
    memcpy(body, w.item, size);
    deliver(0, mioc_wire_body(w.message, MIOC_MESSAGE_STREAM, w.end, body, size));
}

static inline void deliver_written(uint32_t node, uint64_t token) { deliver_written_with(node, token, 0); }

static inline void tick_after(uint64_t ns)
{
    w.now += ns;
    mioc_agent_tick(w.agent, w.now);
}

static inline void sent(int peer) { mioc_agent_sent(w.agent, peer, w.now); }

/* --- What the test sees ------------------------------------------------------------------------------------------ */

static inline unsigned count_sent(int peer, enum mioc_message_kind kind)
{
    unsigned n = 0;

    for (unsigned i = 0; i < w.sends; i++)
        n += w.sent[i].peer == peer && w.sent[i].m->kind == kind;
    return n;
}

/* The first or the last message of that kind to that peer, or NULL. */
static inline const struct mioc_message *first_to(int peer, enum mioc_message_kind kind)
{
    for (unsigned i = 0; i < w.sends; i++)
        if (w.sent[i].peer == peer && w.sent[i].m->kind == kind)
            return w.sent[i].m;
    return NULL;
}

static inline const struct mioc_message *last_to(int peer, enum mioc_message_kind kind)
{
    for (unsigned i = w.sends; i > 0; i--)
        if (w.sent[i - 1].peer == peer && w.sent[i - 1].m->kind == kind)
            return w.sent[i - 1].m;
    return NULL;
}

static inline enum mioc_agent_end ended(void) { return mioc_agent_state(w.agent); }

#endif
