/* SPDX-License-Identifier: BSD-3-Clause */
/* agent_message.c - what the transport says: messages of neighbours, each checked before use; peers that join or are
 * lost; sends that have finished. */
#include "agent_internal.h"

static struct mioc_agent_link *link_to(struct mioc_agent *a, int peer)
{
    if (a->parent.state != MIOC_LINK_NONE && peer == a->parent.node)
        return &a->parent;
    return mioc_agent_child(a, peer);
}

/* --- What may come ----------------------------------------------------------------------------------------------- */

/* Whether `node` is the child's, or below it. */
static int is_of(const struct mioc_agent *a, const struct mioc_agent_link *child, uint32_t node)
{
    return node < (uint32_t)a->config.nodes && mioc_agent_is_below(a, (uint32_t)child->node, node);
}

/* Before a link is up, HELLO or WELCOME comes, and nothing else but signs of life. */
static int is_greeting(const struct mioc_agent *a, const struct mioc_agent_link *link, const struct mioc_message *m)
{
    if (link == &a->parent && m->kind == MIOC_MESSAGE_HEARTBEAT && a->config.has_joins) /* the parent waits, too */
        return link->state == MIOC_LINK_GREETED && m->offset == 0 && m->token == 0 && m->clock == 0 && m->grant == 0;
    if (link == &a->parent)
        return link->state == MIOC_LINK_GREETED && m->kind == MIOC_MESSAGE_WELCOME &&
               m->grant <= UINT64_MAX - a->greeted;
    return link->state == MIOC_LINK_JOINED && m->kind == MIOC_MESSAGE_HELLO && m->node == (uint32_t)link->node;
}

static int is_plausible_of_parent(const struct mioc_agent *a, const struct mioc_message *m)
{
    uint64_t end = a->host.end(a->host.ctx);

    switch (m->kind) {
    case MIOC_MESSAGE_HEARTBEAT: /* the job does not wait for what this node is not served without */
        return m->offset >= end && m->token <= (end > a->needed ? end : a->needed) && m->clock <= a->now &&
               m->grant <= UINT64_MAX - m->clock;
    case MIOC_MESSAGE_STREAM: return a->config.has_joins || m->token == 0;
    case MIOC_MESSAGE_REPORT: return m->body == 0 && m->node == 0;
    default: return 0;
    }
}

static int is_plausible_of_child(const struct mioc_agent *a, const struct mioc_agent_link *link,
                                 const struct mioc_message *m)
{
    uint64_t end = a->host.end(a->host.ctx); /* no child has more of the stream than its parent */

    switch (m->kind) {
    case MIOC_MESSAGE_REQUEST: return m->offset <= end;
    case MIOC_MESSAGE_HEARTBEAT: return m->offset <= end && m->token <= m->offset && m->grant == 0;
    case MIOC_MESSAGE_INVALIDATE: return is_of(a, link, m->node);
    case MIOC_MESSAGE_REPORT: return m->body > 0 && is_of(a, link, m->node);
    case MIOC_MESSAGE_HELLO: /* of a node further below, passed on */
        return a->config.has_joins && m->node != (uint32_t)link->node && is_of(a, link, m->node) && m->offset == 0;
    default: return 0;
    }
}

/* Whether this neighbour may send this message now. */
static int is_plausible(const struct mioc_agent *a, const struct mioc_agent_link *link, const struct mioc_message *m)
{
    if (m->kind == MIOC_MESSAGE_LEAVE)
        return 1;
    if (link->state == MIOC_LINK_JOINED || link->state == MIOC_LINK_GREETED)
        return is_greeting(a, link, m);
    return link == &a->parent ? is_plausible_of_parent(a, m) : is_plausible_of_child(a, link, m);
}

/* --- What comes -------------------------------------------------------------------------------------------------- */

static void take_request(struct mioc_agent *a, const struct mioc_message *m)
{
    uint32_t len;
    const char *path = mioc_wire_path(m, &len);
    uint64_t hash = mioc_item_hash(m->record, path, len);

    a->counters.requests_children++;
    if (mioc_agent_is_behind(a, hash, m->offset) && a->host.is_known(a->host.ctx, m->record, path, len))
        a->counters.requests_merged++;
    else
        mioc_agent_take_question(a, m->record, path, len, hash, 1);
}

/* A write that cannot be passed on: whoever is responsible must not go on as if all nodes had heard of it. */
static void take_invalidate(struct mioc_agent *a, struct mioc_agent_link *link, const struct mioc_message *m)
{
    uint32_t len;
    const char *path = mioc_wire_path(m, &len);

    if (mioc_agent_take_written(a, m->node, m->token, m->flags, path, len) == 0)
        return;
    if (a->config.has_joins)
        mioc_agent_dismiss(a, link, MIOC_LEAVE_ELSEWHERE);
    else
        mioc_agent_stop(a, MIOC_AGENT_PEER_DIED);
}

static void take_message(struct mioc_agent *a, struct mioc_agent_link *link, const struct mioc_message *m)
{
    switch (m->kind) {
    case MIOC_MESSAGE_REQUEST: take_request(a, m); break;
    case MIOC_MESSAGE_INVALIDATE: take_invalidate(a, link, m); break;
    case MIOC_MESSAGE_STREAM: mioc_agent_take_stream(a, m); break;
    case MIOC_MESSAGE_LEAVE: mioc_agent_take_leave(a, link, m); break;
    case MIOC_MESSAGE_REPORT: mioc_agent_take_report(a, link, m); break;
    case MIOC_MESSAGE_HEARTBEAT: mioc_agent_sync_take(a, link, m); break;
    case MIOC_MESSAGE_HELLO: mioc_agent_take_hello(a, link, m); break;
    case MIOC_MESSAGE_WELCOME: mioc_agent_take_welcome(a, m); break;
    default: break;
    }
}

/* A message of a neighbour that counts as dead: it was only slow, or its last messages come after the news of its end.
 * It does not get back in, because its place in the stream may be wrong by now. But it is told so by LEAVE, and its
 * writes and its report are not lost. */
static void take_belated(struct mioc_agent *a, struct mioc_agent_link *link, const struct mioc_message *m)
{
    if (m->kind == MIOC_MESSAGE_LEAVE) {
        link->state = MIOC_LINK_LEFT;
    } else if (link != &a->parent && link->inflight == 0 && !link->is_refused) {
        link->owes_leave = 1;
        link->leave_flags = a->config.has_joins ? MIOC_LEAVE_ELSEWHERE : 0;
    }
    if (m->kind == MIOC_MESSAGE_REPORT || (m->kind == MIOC_MESSAGE_INVALIDATE && a->state == MIOC_AGENT_RUNNING))
        take_message(a, link, m);
}

/* --- Events ------------------------------------------------------------------------------------------------------ */

void mioc_agent_joined(struct mioc_agent *a, int peer, uint64_t now)
{
    mioc_agent_set_time(a, now);
    mioc_agent_meet(a, peer);
    mioc_agent_flush(a);
}

/* Whether an agent that has ended still takes such a message. */
static int is_for_ended(const struct mioc_message *m)
{
    return m->kind == MIOC_MESSAGE_LEAVE || m->kind == MIOC_MESSAGE_REPORT || m->kind == MIOC_MESSAGE_WELCOME;
}

void mioc_agent_message(struct mioc_agent *a, int peer, const void *bytes, size_t size, uint64_t now)
{
    const struct mioc_message *m = mioc_wire_parse(bytes, size);
    struct mioc_agent_link *link = link_to(a, peer);

    mioc_agent_set_time(a, now);
    if (link != NULL)
        link->heard = a->now;
    if (a->config.has_joins && (link == NULL || link->state == MIOC_LINK_LEFT))
        return; /* the transport's last words of a link that is no more */
    if (m == NULL || link == NULL || !is_plausible(a, link, m))
        mioc_agent_blame(a, link);
    else if (link->state == MIOC_LINK_DEAD)
        take_belated(a, link, m);
    else if (mioc_agent_is_there(link) && (a->state == MIOC_AGENT_RUNNING || is_for_ended(m)))
        take_message(a, link, m);
    mioc_agent_flush(a);
}

void mioc_agent_sent(struct mioc_agent *a, int peer, uint64_t now)
{
    struct mioc_agent_link *link = link_to(a, peer);

    mioc_agent_set_time(a, now);
    if (link != NULL && link->inflight > 0)
        link->inflight--;
    mioc_agent_flush(a);
}

void mioc_agent_lost(struct mioc_agent *a, int peer, uint64_t now)
{
    struct mioc_agent_link *link = link_to(a, peer);

    mioc_agent_set_time(a, now);
    if (link != NULL && mioc_agent_is_there(link))
        mioc_agent_drop(a, link, MIOC_LINK_DEAD);
    if (link != NULL && link != &a->parent && a->config.has_joins) { /* what was under way has come back */
        link->state = MIOC_LINK_LEFT;
        link->inflight = 0;
        link->owes_leave = 0;
    }
    mioc_agent_flush(a);
}
