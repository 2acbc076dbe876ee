/* SPDX-License-Identifier: BSD-3-Clause */
/* agent.c - the events of the protocol's state machine: what this node's threads and its neighbours say. */
#include "agent_internal.h"
#include "base/path.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* --- Life -------------------------------------------------------------------------------------------------------- */

static void meet_family(struct mioc_agent *a, uint64_t now)
{
    int64_t arity = a->config.arity, first = arity * a->config.node + 1, last = first + arity;

    if (last > a->config.nodes)
        last = a->config.nodes;
    a->first_child = (int)(first < last ? first : last);
    a->children = first < last ? (unsigned)(last - first) : 0;
    a->parent.node = (a->config.node - 1) / a->config.arity;
    a->parent.state = mioc_agent_is_root(a) ? MIOC_LINK_NONE : MIOC_LINK_UP;
    a->parent.heard = now;
}

struct mioc_agent *mioc_agent_new(const struct mioc_agent_config *config, const struct mioc_agent_host *host,
                                  uint64_t now)
{
    struct mioc_agent *a;

    if (config->arity < 1 || config->node < 0 || config->node >= config->nodes || config->window < 1) {
        errno = EINVAL;
        return NULL;
    }
    a = calloc(1, sizeof(*a));
    if (a == NULL)
        return NULL;
    a->config = *config;
    a->host = *host;
    a->now = a->ticked = now;
    STAILQ_INIT(&a->queue);
    meet_family(a, now);
    a->child = calloc(a->children + 1, sizeof(*a->child));
    if (mioc_agent_is_root(a))
        a->scratch = malloc(MIOC_ITEM_MAX);
    if (mioc_agent_pending_start(a) != 0 || a->child == NULL || (mioc_agent_is_root(a) && a->scratch == NULL)) {
        mioc_agent_free(a);
        errno = ENOMEM;
        return NULL;
    }
    for (unsigned i = 0; i < a->children; i++)
        a->child[i] = (struct mioc_agent_link){ .node = a->first_child + (int)i, .state = MIOC_LINK_UP, .heard = now };
    return a;
}

void mioc_agent_free(struct mioc_agent *a)
{
    if (a == NULL)
        return;
    mioc_agent_queue_clear(a);
    mioc_agent_pending_free(a);
    free(a->child);
    free(a->scratch);
    free(a);
}

/* Time never goes back: a caller may have read its clock before the last event came. */
static void set_time(struct mioc_agent *a, uint64_t now)
{
    if (now > a->now)
        a->now = now;
}

/* --- What this node's threads want ------------------------------------------------------------------------------- */

/* Without memory the agent ends: a question must not be lost silently. */
static void want(struct mioc_agent *a, unsigned kind, const char *path, uint32_t len, uint64_t hash, int is_child)
{
    if (mioc_agent_want(a, kind, path, len, hash, is_child) != 0)
        mioc_agent_stop(a, MIOC_AGENT_STORE_FULL);
}

void mioc_agent_ask(struct mioc_agent *a, unsigned kind, const char *path, uint32_t len, uint64_t now)
{
    set_time(a, now);
    a->counters.requests_local++;
    /* Every process of the node can write into the ring. A question that a parent would reject ends here. */
    if (a->state != MIOC_AGENT_RUNNING || !mioc_item_is_record(kind) || !mioc_path_is_sound(path, len)) {
        a->host.answer(a->host.ctx, kind, path, len, 0);
        return;
    }
    if (a->host.is_known(a->host.ctx, kind, path, len)) {
        a->host.answer(a->host.ctx, kind, path, len, 1);
        return;
    }
    want(a, kind, path, len, mioc_item_hash(kind, path, len), 0);
    mioc_agent_flush(a);
}

/* Tells the parent. A node whose writes cannot be told must not go on. */
static void tell_written(struct mioc_agent *a, uint32_t node, uint64_t token, uint32_t flags, const char *path,
                         uint32_t len)
{
    struct mioc_agent_out *out = NULL;

    if (a->queued < MIOC_AGENT_QUEUE_MAX)
        out = mioc_agent_out_new(sizeof(struct mioc_message) + len + 1);
    if (out == NULL) {
        mioc_agent_stop(a, MIOC_AGENT_PEER_DIED);
        return;
    }
    out->size = (uint32_t)mioc_wire_invalidate(out->bytes, node, token, flags, path, len);
    mioc_agent_out_append(a, out);
}

static void take_written(struct mioc_agent *a, uint32_t node, uint64_t token, uint32_t flags, const char *path,
                         uint32_t len)
{
    a->counters.invalidations++;
    if (mioc_agent_is_root(a))
        mioc_agent_invalidate(a, node, token, flags, path, len);
    else
        tell_written(a, node, token, flags, path, len);
}

void mioc_agent_wrote(struct mioc_agent *a, const char *path, uint32_t len, uint32_t flags, uint64_t token,
                      uint64_t now)
{
    set_time(a, now);
    if (a->state != MIOC_AGENT_RUNNING || !mioc_path_is_sound(path, len))
        return;
    take_written(a, (uint32_t)a->config.node, token, flags & (MIOC_FLAG_SUBTREE | MIOC_FLAG_STICKY), path, len);
    mioc_agent_flush(a);
}

uint64_t mioc_agent_synced(const struct mioc_agent *a) { return a->settled; }

int mioc_agent_publish(struct mioc_agent *a, const struct mioc_item *item, const void *bytes, uint64_t now)
{
    int rc;

    set_time(a, now);
    if (a->state != MIOC_AGENT_RUNNING || !mioc_agent_is_root(a)) {
        errno = a->state == MIOC_AGENT_STORE_FULL ? ENOSPC : EINVAL;
        return -1;
    }
    rc = mioc_agent_apply(a, item, bytes);
    mioc_agent_flush(a);
    return rc;
}

void mioc_agent_leave(struct mioc_agent *a, const void *report, uint32_t size, uint64_t now)
{
    struct mioc_agent_out *out;

    set_time(a, now);
    if (a->state != MIOC_AGENT_RUNNING)
        return;
    if (report != NULL && a->parent.state == MIOC_LINK_UP && size <= MIOC_MESSAGE_MAX - sizeof(struct mioc_message) &&
        (out = mioc_agent_out_new(sizeof(struct mioc_message) + size)) != NULL) {
        out->size = (uint32_t)mioc_wire_body(out->bytes, MIOC_MESSAGE_REPORT, 0, report, size);
        mioc_agent_out_append(a, out);
    }
    mioc_agent_stop(a, MIOC_AGENT_LEFT);
    mioc_agent_flush(a);
}

/* --- What neighbours say ----------------------------------------------------------------------------------------- */

static struct mioc_agent_link *link_to(struct mioc_agent *a, int peer)
{
    if (a->parent.state != MIOC_LINK_NONE && peer == a->parent.node)
        return &a->parent;
    if (peer >= a->first_child && (unsigned)(peer - a->first_child) < a->children)
        return &a->child[peer - a->first_child];
    return NULL;
}

static void take_request(struct mioc_agent *a, const struct mioc_message *m)
{
    uint32_t len;
    const char *path = mioc_wire_path(m, &len);
    uint64_t hash = mioc_item_hash(m->record, path, len);

    a->counters.requests_children++;
    if (m->offset > a->host.end(a->host.ctx)) { /* no child has more of the stream than its parent */
        mioc_agent_stop(a, MIOC_AGENT_PROTOCOL);
        return;
    }
    if (mioc_agent_is_behind(a, hash, m->offset) && a->host.is_known(a->host.ctx, m->record, path, len))
        a->counters.requests_merged++;
    else
        want(a, m->record, path, len, hash, 1);
}

/* Whether this neighbour may send this kind of message, with these values. */
static int is_plausible(const struct mioc_agent *a, const struct mioc_agent_link *link, const struct mioc_message *m)
{
    int is_parent = link == &a->parent;

    switch (m->kind) {
    case MIOC_MESSAGE_HEARTBEAT:
        return is_parent ? m->offset >= a->host.end(a->host.ctx) && m->token <= a->host.end(a->host.ctx)
                         : m->offset <= a->host.end(a->host.ctx) && m->token <= m->offset;
    case MIOC_MESSAGE_LEAVE: return 1;
    case MIOC_MESSAGE_STREAM: return is_parent;
    case MIOC_MESSAGE_INVALIDATE: /* the root tells nobody */
        return !is_parent && m->node > 0 && m->node < (uint32_t)a->config.nodes;
    default: return !is_parent;
    }
}

static void take_message(struct mioc_agent *a, struct mioc_agent_link *link, const struct mioc_message *m)
{
    const char *path;
    uint32_t len;

    switch (m->kind) {
    case MIOC_MESSAGE_REQUEST: take_request(a, m); break;
    case MIOC_MESSAGE_INVALIDATE:
        path = mioc_wire_path(m, &len);
        take_written(a, m->node, m->token, m->flags, path, len);
        break;
    case MIOC_MESSAGE_STREAM: mioc_agent_take_stream(a, m); break;
    case MIOC_MESSAGE_LEAVE: mioc_agent_drop(a, link, MIOC_LINK_LEFT); break;
    case MIOC_MESSAGE_REPORT: a->host.report(a->host.ctx, link->node, m + 1, m->body); break;
    case MIOC_MESSAGE_HEARTBEAT: mioc_agent_sync_take(a, link, m); break;
    default: break;
    }
}

/* A message of a neighbour that counts as dead: it was only slow, or its last messages come after the news of its end.
 * It does not get back in, because its place in the stream may be wrong by now. But it is told so by LEAVE, and its
 * writes and its report are not lost. */
static void take_belated(struct mioc_agent *a, struct mioc_agent_link *link, const struct mioc_message *m)
{
    if (m->kind == MIOC_MESSAGE_LEAVE)
        link->state = MIOC_LINK_LEFT;
    else if (link != &a->parent && link->inflight == 0)
        link->owes_leave = 1;
    if (m->kind == MIOC_MESSAGE_REPORT || (m->kind == MIOC_MESSAGE_INVALIDATE && a->state == MIOC_AGENT_RUNNING))
        take_message(a, link, m);
}

void mioc_agent_message(struct mioc_agent *a, int peer, const void *bytes, size_t size, uint64_t now)
{
    const struct mioc_message *m = mioc_wire_parse(bytes, size);
    struct mioc_agent_link *link = link_to(a, peer);

    set_time(a, now);
    if (link != NULL)
        link->heard = a->now;
    if (m == NULL || link == NULL || !is_plausible(a, link, m))
        mioc_agent_stop(a, MIOC_AGENT_PROTOCOL);
    else if (link->state == MIOC_LINK_DEAD)
        take_belated(a, link, m);
    else if (link->state == MIOC_LINK_UP &&
             (a->state == MIOC_AGENT_RUNNING || m->kind == MIOC_MESSAGE_LEAVE || m->kind == MIOC_MESSAGE_REPORT))
        take_message(a, link, m);
    mioc_agent_flush(a);
}

void mioc_agent_sent(struct mioc_agent *a, int peer, uint64_t now)
{
    struct mioc_agent_link *link = link_to(a, peer);

    set_time(a, now);
    if (link != NULL && link->inflight > 0)
        link->inflight--;
    mioc_agent_flush(a);
}

void mioc_agent_lost(struct mioc_agent *a, int peer, uint64_t now)
{
    struct mioc_agent_link *link = link_to(a, peer);

    set_time(a, now);
    if (link != NULL && link->state == MIOC_LINK_UP)
        mioc_agent_drop(a, link, MIOC_LINK_DEAD);
    mioc_agent_flush(a);
}

uint64_t mioc_agent_tick(struct mioc_agent *a, uint64_t now)
{
    set_time(a, now);
    mioc_agent_listen(a);
    mioc_agent_pending_expire(a);
    mioc_agent_heartbeats(a);
    mioc_agent_flush(a);
    return mioc_agent_next(a);
}

/* --- State -------------------------------------------------------------------------------------------------------- */

enum mioc_agent_end mioc_agent_state(const struct mioc_agent *a) { return a->state; }

int mioc_agent_is_busy(const struct mioc_agent *a)
{
    int is_running = a->state == MIOC_AGENT_RUNNING;

    if (a->pendings > 0 || a->queued > 0 || a->parent.inflight > 0 || (is_running && mioc_agent_is_syncing(a)))
        return 1;
    for (unsigned i = 0; i < a->children; i++) {
        const struct mioc_agent_link *link = &a->child[i];

        if (link->owes_leave || link->inflight > 0 ||
            (is_running && link->state == MIOC_LINK_UP && link->cursor < a->host.end(a->host.ctx)))
            return 1;
    }
    return 0;
}

int mioc_agent_is_saturated(const struct mioc_agent *a)
{
    for (unsigned i = 0; i < a->children; i++) {
        const struct mioc_agent_link *link = &a->child[i];

        if (link->state == MIOC_LINK_UP &&
            (link->inflight < a->config.window || link->cursor >= a->host.end(a->host.ctx)))
            return 0;
    }
    return mioc_agent_children(a) > 0;
}

unsigned mioc_agent_children(const struct mioc_agent *a)
{
    unsigned up = 0;

    for (unsigned i = 0; i < a->children; i++)
        up += a->child[i].state == MIOC_LINK_UP;
    return up;
}

const struct mioc_agent_counters *mioc_agent_counters(const struct mioc_agent *a) { return &a->counters; }
