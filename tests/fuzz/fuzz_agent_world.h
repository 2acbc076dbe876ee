/* SPDX-License-Identifier: BSD-3-Clause */
/* fuzz_agent_world.h - what surrounds the agent of fuzz_agent.c: a store in memory, and a host that checks all that it
 * is asked. */
#ifndef MIOC_FUZZ_AGENT_WORLD_H
#define MIOC_FUZZ_AGENT_WORLD_H

#include "agent/agent.h"
#include "base/path.h"
#include "transport/transport.h"
#include "store/ring.h"
#include "fuzz_items.h"

#include <errno.h>

#define ARENA (1u << 20)
#define BUFFERS 24
#define JOIN_NODES 40
#define STREAM_NAME 77u

static struct {
    struct fuzz_input in;
    struct mioc_agent *agent;
    struct mioc_agent_config config;
    uint64_t end, now;
    uint64_t served_until;   /* as the agent said last */
    uint64_t token, settled; /* of this node's writes */
    unsigned out;            /* buffers that the agent or the transport has */
    void *sent[BUFFERS];     /* in the transport */
    int sent_to[BUFFERS];
    unsigned sends, resolving;
    char question[64][64];
    unsigned kind[64];
    /* with joins */
    int is_joined[JOIN_NODES], has_greeted[JOIN_NODES]; /* greeted: HELLO or WELCOME was sent */
    int was_linked, is_unlinked, welcomes;
    int hung_up; /* the ancestor whose link the agent wants no more, and 1; 0: none */
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
    PROMISE((w.config.node != 0 && !w.config.has_joins) || token <= w.token);
    PROMISE(w.config.node != 0 || token >= w.settled);
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

    if (c->has_joins)
        return peer >= 0 && peer < c->nodes && w.is_joined[peer];
    return peer >= 0 && peer < c->nodes &&
           ((c->node > 0 && peer == (c->node - 1) / c->arity) || (peer > 0 && (peer - 1) / c->arity == c->node));
}

/* A sign of life for a child that waits for its WELCOME; it says nothing else. */
static int is_bare_beat(const struct mioc_message *m)
{
    return m->kind == MIOC_MESSAGE_HEARTBEAT && m->offset == 0 && m->token == 0 && m->clock == 0 && m->grant == 0;
}

/* The first on a link is HELLO or WELCOME, or LEAVE for a child that is not taken. */
static int is_in_order(const struct mioc_message *m, int peer)
{
    enum mioc_message_kind first = peer > w.config.node ? MIOC_MESSAGE_WELCOME : MIOC_MESSAGE_HELLO;

    if (!w.config.has_joins)
        return m->kind != MIOC_MESSAGE_HELLO && m->kind != MIOC_MESSAGE_WELCOME;
    if (m->kind == MIOC_MESSAGE_LEAVE)
        return 1;
    if (!w.has_greeted[peer] && peer > w.config.node && is_bare_beat(m))
        return 1;
    if (!w.has_greeted[peer])
        return m->kind == first && (first == MIOC_MESSAGE_WELCOME || m->node == (uint32_t)w.config.node);
    return m->kind != MIOC_MESSAGE_WELCOME && (m->kind != MIOC_MESSAGE_HELLO || m->node > (uint32_t)w.config.node);
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
    PROMISE(is_in_order(m, peer));
    if (choice >= 250) {
        errno = choice == 250 ? EPIPE : EAGAIN;
        return -1;
    }
    if (w.config.has_joins && m->kind != MIOC_MESSAGE_LEAVE && !is_bare_beat(m))
        w.has_greeted[peer] = 1;
    w.sent[w.sends] = bytes;
    w.sent_to[w.sends++] = peer;
    return 0;
}

static void answer(void *ctx, unsigned kind, const char *path, uint32_t len, int answered)
{
    (void)ctx;
    PROMISE(path != NULL && len < 8192 && (kind != 0 || !answered)); /* 0 is everybody: nobody's answer is that */
    PROMISE(!answered || w.agent == NULL || mioc_agent_is_linked(w.agent));
}

static void report(void *ctx, int node, const void *bytes, uint32_t size)
{
    (void)ctx, (void)bytes;
    PROMISE(w.config.node == 0 && node > 0 && node < w.config.nodes && size > 0 && size <= MIOC_WIRE_SMALL_MAX);
}

static void wanted_report(void *ctx)
{
    (void)ctx;
    PROMISE(w.config.node > 0);
}

static int hello(void *ctx, int node, const void *bytes, uint32_t size)
{
    (void)ctx, (void)bytes;
    PROMISE(w.config.has_joins && node > w.config.node && node < w.config.nodes && size <= MIOC_WIRE_SMALL_MAX);
    return fuzz_byte(&w.in) >= 250 ? -1 : 0;
}

static int welcomed(void *ctx, const void *bytes, uint32_t size)
{
    (void)ctx, (void)bytes;
    PROMISE(w.config.has_joins && w.config.node > 0 && w.welcomes++ == 0 && size <= MIOC_MESSAGE_MAX);
    return fuzz_byte(&w.in) >= 250 ? -1 : 0;
}

static void unlinked(void *ctx)
{
    (void)ctx;
    PROMISE(w.config.has_joins && w.config.node > 0);
    w.is_unlinked = 1;
}

static void hang_up(void *ctx, int peer)
{
    (void)ctx;
    PROMISE(w.config.has_joins && peer >= 0 && peer < w.config.node);
    w.hung_up = peer + 1;
}

#endif
