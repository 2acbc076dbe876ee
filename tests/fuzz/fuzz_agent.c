/* SPDX-License-Identifier: BSD-3-Clause */
/* fuzz_agent.c - a real agent among neighbours, threads and a transport that say and do anything, in any order:
 * messages that are well-formed, cut, repeated, or turned in any byte. Promises: nothing but checked items reaches the
 * store, in order and each once; what it sends is well-formed and goes to neighbours only; every buffer comes back; an
 * ended agent takes nothing any more. */
#include "agent/agent.h"
#include "base/path.h"
#include "transport/transport.h"
#include "store/ring.h"
#include "fuzz_items.h"

#include <errno.h>

#define ARENA (1u << 20)
#define BUFFERS 24

static struct {
    struct fuzz_input in;
    struct mioc_agent *agent;
    struct mioc_agent_config config;
    uint64_t end, now;
    uint64_t token, settled; /* of this node's writes */
    unsigned out;            /* buffers that the agent or the transport has */
    void *sent[BUFFERS];     /* in the transport */
    int sent_to[BUFFERS];
    unsigned sends, resolving;
    char question[64][64];
    unsigned kind[64];
} w;
static _Alignas(8) char arena[ARENA], message[MIOC_MESSAGE_MAX + 64], last[4096],
    item[MIOC_ITEM_MAX + MIOC_CHUNK_MAX + 4096];
static size_t last_size;

/* --- Its surroundings -------------------------------------------------------------------------------------------- */

static int is_known(void *ctx, unsigned kind, const char *path, uint32_t len)
{
    (void)ctx;
    for (uint64_t at = 0; at < w.end; at += ((struct mioc_item *)(void *)(arena + at))->size) {
        const struct mioc_item *found = (void *)(arena + at);

        if (found->kind == kind && found->path_len == len && memcmp(mioc_item_path(found), path, len) == 0)
            return w.now % 7 != 0; /* and sometimes it is dead */
    }
    return 0;
}

static int64_t append(void *ctx, const struct mioc_item *from)
{
    uint64_t offset = w.end;

    (void)ctx;
    PROMISE(mioc_agent_state(w.agent) == MIOC_AGENT_RUNNING);
    PROMISE(mioc_item_check(from, from->size) == 0);
    PROMISE(from->local_dead == 0 && from->local_applied_ms == 0);
    if (from->size > ARENA - w.end || fuzz_byte(&w.in) == 255) {
        errno = ENOSPC;
        return -1;
    }
    memcpy(arena + offset, from, from->size);
    ((struct mioc_item *)(void *)(arena + offset))->local_dead = 1;
    ((struct mioc_item *)(void *)(arena + offset))->local_applied_ms = w.now;
    w.end += from->size;
    return (int64_t)offset;
}

static int write_chunk(void *ctx, const struct mioc_chunk_record *chunk, const void *bytes)
{
    uint8_t sum = 0;

    (void)ctx;
    PROMISE(chunk->length >= 1 && chunk->length <= MIOC_CHUNK_MAX && chunk->offset + chunk->length <= chunk->total);
    for (uint32_t i = 0; i < chunk->length; i++)
        sum ^= ((const uint8_t *)bytes)[i];
    *(volatile uint8_t *)&sum;
    return 0;
}

static int read_chunk(void *ctx, const struct mioc_chunk_record *chunk, void *bytes)
{
    (void)ctx;
    memset(bytes, 'c', chunk->length);
    return fuzz_byte(&w.in) == 254 ? -1 : 0;
}

static const struct mioc_item *item_at(void *ctx, uint64_t offset)
{
    (void)ctx;
    PROMISE(offset <= w.end && offset % MIOC_ITEM_ALIGN == 0);
    return offset < w.end ? (void *)(arena + offset) : NULL;
}

static uint64_t end_of(void *ctx)
{
    (void)ctx;
    return w.end;
}

static void resolve(void *ctx, unsigned kind, const char *path, uint32_t len)
{
    (void)ctx;
    PROMISE(w.config.node == 0 && mioc_item_is_record(kind) && mioc_path_is_sound(path, len));
    if (len >= sizeof w.question[0])
        return;
    memcpy(w.question[w.resolving % 64], path, len);
    w.question[w.resolving % 64][len] = '\0';
    w.kind[w.resolving++ % 64] = kind;
}

static void invalidated(void *ctx, const char *path, uint32_t len, uint32_t flags, uint32_t node)
{
    (void)ctx;
    PROMISE(w.config.node == 0 && node < (uint32_t)w.config.nodes && mioc_path_is_sound(path, len) &&
            (flags & ~(MIOC_FLAG_SUBTREE | MIOC_FLAG_STICKY)) == 0);
}

static uint32_t other_name(void *ctx, unsigned i, const char *path, uint32_t flags, char out[])
{
    (void)ctx, (void)flags;
    PROMISE(w.config.node == 0 && path[0] == '/');
    if (i > 1 || w.now % 3 != 0)
        return 0;
    strcpy(out, fuzz_paths[2 + i]);
    return (uint32_t)strlen(out);
}

static void settled(void *ctx, uint64_t token)
{
    (void)ctx;
    /* A parent that lies may put a token into the stream that was never given. */
    PROMISE(w.config.node != 0 || (token <= w.token && token >= w.settled));
    w.settled = token;
}

static void *get_buffer(void *ctx)
{
    (void)ctx;
    if (w.out == BUFFERS)
        return NULL;
    w.out++;
    return malloc(MIOC_MESSAGE_MAX);
}

static void put_buffer(void *ctx, void *buffer)
{
    (void)ctx;
    PROMISE(buffer != NULL && w.out > 0);
    free(buffer);
    w.out--;
}

static int is_neighbour(int peer)
{
    const struct mioc_agent_config *c = &w.config;

    return peer >= 0 && peer < c->nodes &&
           ((c->node > 0 && peer == (c->node - 1) / c->arity) || (peer > 0 && (peer - 1) / c->arity == c->node));
}

static int send_one(void *ctx, int peer, void *bytes, size_t size)
{
    const struct mioc_message *m = mioc_wire_parse(bytes, size);
    const struct mioc_item *found;
    const void *behind;
    uint32_t at = 0;
    unsigned choice = fuzz_byte(&w.in);
    int rc = 0;

    (void)ctx;
    PROMISE(m != NULL && is_neighbour(peer));
    while (m->kind == MIOC_MESSAGE_STREAM && (rc = mioc_wire_next_item(m, &at, &found, &behind)) == 1)
        ;
    PROMISE(rc == 0 && w.sends < BUFFERS);
    PROMISE(m->kind != MIOC_MESSAGE_STREAM || peer > w.config.node);
    if (choice >= 250) {
        errno = choice == 250 ? EPIPE : EAGAIN;
        return -1;
    }
    w.sent[w.sends] = bytes;
    w.sent_to[w.sends++] = peer;
    return 0;
}

static void answer(void *ctx, unsigned kind, const char *path, uint32_t len, int answered)
{
    (void)ctx;
    PROMISE(path != NULL && len < 8192 && (kind != 0 || !answered)); /* 0 is everybody: nobody's answer is that */
}

static void report(void *ctx, int child, const void *bytes, uint32_t size)
{
    (void)ctx, (void)bytes;
    PROMISE(is_neighbour(child) && child > w.config.node && size <= MIOC_MESSAGE_MAX);
}

/* --- What happens to it ------------------------------------------------------------------------------------------ */

static void deliver(int peer, const void *bytes, size_t size)
{
    uint64_t end = w.end;
    enum mioc_agent_end state = mioc_agent_state(w.agent);

    mioc_agent_message(w.agent, peer, bytes, size, w.now);
    PROMISE(state == MIOC_AGENT_RUNNING || w.end == end);
    if (size <= sizeof last && bytes != (void *)last) {
        memcpy(last, bytes, size);
        last_size = size;
    }
}

/* Items one behind the other, as a parent sends them; some of them damaged. */
static void deliver_stream(struct fuzz_input *in, int peer)
{
    char *body = message + sizeof(struct mioc_message);
    unsigned items = 1 + fuzz_byte(in) % 4;
    size_t at = 0;

    for (unsigned i = 0; i < items; i++) {
        unsigned kind = 1 + fuzz_byte(in) % (MIOC_ITEM_KINDS - 1);
        uint32_t size = fuzz_item(in, item, kind), behind = 0;

        if (kind == MIOC_ITEM_CHUNK && ((struct mioc_chunk_record *)(void *)item)->length <= MIOC_CHUNK_MAX)
            behind = (((struct mioc_chunk_record *)(void *)item)->length + 7u) & ~7u;
        fuzz_mutate(in, item, size);
        if (at + size + behind > MIOC_MESSAGE_MAX - sizeof(struct mioc_message))
            break;
        memcpy(body + at, item, size);
        memset(body + at + size, 'b', behind);
        at += size + behind;
    }
    at -= fuzz_byte(in) == 255 && at > 8 ? 8 : 0;
    deliver(peer, message,
            mioc_wire_body(message, MIOC_MESSAGE_STREAM, fuzz_byte(in) < 250 ? w.end : fuzz_number(in, 8), body,
                           (uint32_t)at));
}

static void deliver_message(struct fuzz_input *in, int peer)
{
    uint32_t len;
    const char *path;
    size_t size = 0;
    const uint8_t *bytes;

    switch (fuzz_byte(in) % 8) {
    case 0:
        path = fuzz_path(in, &len);
        size = mioc_wire_request(message, 1 + fuzz_byte(in) % 5, fuzz_byte(in) < 200 ? 0 : w.end, path, len);
        break;
    case 1:
        path = fuzz_path(in, &len);
        size = mioc_wire_invalidate(message, fuzz_byte(in) % 8, fuzz_byte(in), fuzz_byte(in) & 6u, path, len);
        break;
    case 2:
        size = mioc_wire_heartbeat(message, fuzz_byte(in) < 128 ? w.end : fuzz_odd_number(in, w.end),
                                   fuzz_byte(in) < 128 ? w.end : fuzz_odd_number(in, w.end));
        break;
    case 3: size = mioc_wire_plain(message, MIOC_MESSAGE_LEAVE, 0); break;
    case 4:
        size = fuzz_bytes(in, fuzz_byte(in), &bytes);
        size = mioc_wire_body(message, MIOC_MESSAGE_REPORT, 0, bytes, (uint32_t)size);
        break;
    case 5: /* again what came last */ deliver(peer, memcpy(message, last, last_size), last_size); return;
    case 6: /* anything at all */
        size = fuzz_bytes(in, fuzz_number(in, 2) % 2048, &bytes);
        memcpy(message, bytes, size);
        break;
    default: deliver_stream(in, peer); return;
    }
    if (size == 0)
        return;
    fuzz_mutate(in, message, (uint32_t)size);
    if (fuzz_byte(in) == 255)
        size = fuzz_number(in, 2) % (size + 1);
    deliver(peer, message, size);
}

static void finish_send(unsigned i, int is_lost)
{
    int peer = w.sent_to[i];

    put_buffer(NULL, w.sent[i]);
    w.sent[i] = w.sent[--w.sends];
    w.sent_to[i] = w.sent_to[w.sends];
    if (is_lost)
        mioc_agent_lost(w.agent, peer, w.now);
    else
        mioc_agent_sent(w.agent, peer, w.now);
}

static void publish(struct fuzz_input *in)
{
    unsigned kind = 1 + fuzz_byte(in) % (MIOC_ITEM_KINDS - 1);
    uint32_t size = fuzz_item(in, item, kind);

    if (w.resolving > 0 && fuzz_byte(in) < 200) { /* the answer to a question */
        unsigned which = fuzz_byte(in) % (w.resolving < 64 ? w.resolving : 64);
        const char *path = w.question[which];

        size = mioc_item_finish(item,
                                mioc_item_begin(item, w.kind[which], MIOC_FLAG_UNCACHED, path, (uint32_t)strlen(path)));
    }
    /* The resolver is of this process: it publishes what is well-formed, and answers only. */
    if (mioc_item_check(item, size) == 0 && ((struct mioc_item *)(void *)item)->kind != MIOC_ITEM_INVALIDATE)
        (void)mioc_agent_publish(w.agent, (void *)item, item + MIOC_ITEM_MAX, w.now);
}

static void happen(struct fuzz_input *in)
{
    const char *path;
    uint32_t len;

    switch (fuzz_byte(in) % 12) {
    case 0:
        path = fuzz_path(in, &len);
        mioc_agent_ask(w.agent, fuzz_byte(in) < 250 ? 1 + fuzz_byte(in) % 5 : fuzz_byte(in), path, len, w.now);
        break;
    case 1:
        path = fuzz_path(in, &len);
        mioc_agent_wrote(w.agent, path, len, fuzz_byte(in), ++w.token, w.now);
        break;
    case 2:
        if (w.sends > 0)
            finish_send(fuzz_byte(in) % w.sends, fuzz_byte(in) >= 250);
        break;
    case 3:
        w.now += fuzz_byte(in) < 200 ? fuzz_number(in, 2) * 100000 : fuzz_number(in, 5);
        PROMISE(mioc_agent_tick(w.agent, w.now) > w.now);
        break;
    case 4: mioc_agent_lost(w.agent, fuzz_byte(in) % 8, w.now); break;
    case 5:
        if (fuzz_byte(in) >= 200)
            mioc_agent_leave(w.agent, "report", 6, w.now);
        break;
    case 6: publish(in); break;
    case 7: mioc_agent_sent(w.agent, fuzz_byte(in) % 8, w.now); break;
    default: deliver_message(in, fuzz_byte(in) < 250 ? fuzz_byte(in) % 8 : (int)fuzz_number(in, 4)); break;
    }
    (void)mioc_agent_is_busy(w.agent);
    PROMISE(mioc_agent_children(w.agent) <= (unsigned)w.config.nodes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct mioc_agent_host host = {
        .is_known = is_known,
        .append = append,
        .write_chunk = write_chunk,
        .read_chunk = read_chunk,
        .item_at = item_at,
        .end = end_of,
        .resolve = resolve,
        .invalidated = invalidated,
        .other_name = other_name,
        .settled = settled,
        .get_buffer = get_buffer,
        .put_buffer = put_buffer,
        .send = send_one,
        .answer = answer,
        .report = report,
    };

    memset(&w, 0, sizeof w);
    last_size = 0;
    w.in = (struct fuzz_input){ data, size };
    w.now = 1000000000;
    w.config = (struct mioc_agent_config){
        .node = fuzz_byte(&w.in) % 5,
        .nodes = 5,
        .arity = 1 + fuzz_byte(&w.in) % 3,
        .request_ns = 10000000000,
        .window = 2,
        .heartbeat_ns = 1000000000,
        .silence_ns = 10000000000,
    };
    w.agent = mioc_agent_new(&w.config, &host, w.now);
    PROMISE(w.agent != NULL);
    for (int steps = 0; w.in.left > 0 && steps < 2000; steps++)
        happen(&w.in);
    mioc_agent_leave(w.agent, NULL, 0, w.now);
    while (w.sends > 0)
        finish_send(0, 0);
    mioc_agent_free(w.agent);
    PROMISE(w.out == 0);
    return 0;
}
