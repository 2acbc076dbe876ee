/* SPDX-License-Identifier: BSD-3-Clause */
/* agent_join.c - links that join: HELLO and WELCOME, and children that are dismissed. README.md ("Joining")
 * explains it. */
#include "agent_internal.h"

#include <stdlib.h>
#include <string.h>

int mioc_agent_keep(void **to, uint32_t *to_size, const void *bytes, uint32_t size)
{
    void *copy = size > 0 ? malloc(size) : NULL;

    if (size > 0 && copy == NULL)
        return -1;
    if (size > 0)
        memcpy(copy, bytes, size);
    free(*to);
    *to = copy;
    *to_size = size;
    return 0;
}

int mioc_agent_is_below(const struct mioc_agent *a, uint32_t ancestor, uint32_t node)
{
    while (node > ancestor)
        node = (node - 1) / (uint32_t)a->config.arity;
    return node == ancestor;
}

struct mioc_agent_link *mioc_agent_child(struct mioc_agent *a, int node)
{
    for (unsigned i = 0; i < a->children; i++)
        if (a->child[i].node == node)
            return &a->child[i];
    return NULL;
}

void mioc_agent_dismiss(struct mioc_agent *a, struct mioc_agent_link *link, uint32_t flags)
{
    if (link->state == MIOC_LINK_UP)
        mioc_agent_note_lost(a, link);
    link->state = MIOC_LINK_LEFT;
    link->owes_leave = 1;
    link->leave_flags = flags;
    link->owes_wish = 0;
}

void mioc_agent_blame(struct mioc_agent *a, struct mioc_agent_link *link)
{
    if (a->config.has_joins && link != NULL && link != &a->parent)
        mioc_agent_dismiss(a, link, 0);
    else
        mioc_agent_stop(a, MIOC_AGENT_PROTOCOL);
}

/* --- A peer can be reached --------------------------------------------------------------------------------------- */

static void meet_parent(struct mioc_agent *a, int peer)
{
    if (!mioc_agent_is_below(a, (uint32_t)peer, (uint32_t)a->config.node))
        return; /* none of this node's ancestors */
    if (mioc_agent_is_there(&a->parent) && a->parent.node == peer)
        mioc_agent_drop(a, &a->parent, MIOC_LINK_DEAD);
    if (a->parent.state == MIOC_LINK_NONE)
        a->parent = (struct mioc_agent_link){ .node = peer, .state = MIOC_LINK_JOINED, .heard = a->now };
}

/* A place in the list: of a link that is no more, if there are many. NULL: no memory. */
static struct mioc_agent_link *new_child(struct mioc_agent *a)
{
    struct mioc_agent_link *list;
    unsigned cap = a->children_cap > 0 ? a->children_cap * 2 : MIOC_AGENT_CHILDREN_MAX;

    for (unsigned i = 0; i < a->children && a->children >= MIOC_AGENT_CHILDREN_MAX; i++)
        if (!mioc_agent_is_there(&a->child[i]) && a->child[i].inflight == 0 && !a->child[i].owes_leave)
            return &a->child[i];
    if (a->children < a->children_cap)
        return &a->child[a->children++];
    list = realloc(a->child, cap * sizeof(*list));
    if (list == NULL)
        return NULL;
    a->child = list;
    a->children_cap = cap;
    return &a->child[a->children++];
}

/* Whatever a link to this child was before does not count any more. */
static void meet_child(struct mioc_agent *a, int peer)
{
    struct mioc_agent_link *link = mioc_agent_child(a, peer);

    if (link != NULL && link->state == MIOC_LINK_UP)
        mioc_agent_note_lost(a, link);
    if (link == NULL)
        link = new_child(a);
    if (link == NULL)
        return; /* it gets no WELCOME */
    *link = (struct mioc_agent_link){ .node = peer, .state = MIOC_LINK_JOINED, .heard = a->now };
    if (a->state != MIOC_AGENT_RUNNING || !mioc_agent_is_below(a, (uint32_t)a->config.node, (uint32_t)peer))
        mioc_agent_dismiss(a, link, mioc_agent_farewell(a));
}

void mioc_agent_meet(struct mioc_agent *a, int peer)
{
    if (!a->config.has_joins || peer < 0 || peer >= a->config.nodes || peer == a->config.node)
        return;
    if (peer < a->config.node)
        meet_parent(a, peer);
    else
        meet_child(a, peer);
}

/* --- HELLO ------------------------------------------------------------------------------------------------------- */

/* A child that is gone counts as long as messages to it are under way: their buffers are missing elsewhere. */
static int has_room(const struct mioc_agent *a)
{
    unsigned taken = 0;

    for (unsigned i = 0; i < a->children; i++)
        taken +=
            a->child[i].state == MIOC_LINK_GREETED || a->child[i].state == MIOC_LINK_UP || a->child[i].inflight > 0;
    return taken < MIOC_AGENT_CHILDREN_MAX;
}

/* Whether an item of the stream begins there, or the stream ends there. */
static int is_boundary(const struct mioc_agent *a, uint64_t offset)
{
    const struct mioc_item *item;
    uint64_t at = 0;

    if (offset == a->host.end(a->host.ctx))
        return 1;
    /* The program can have written over the store. */
    while (at < offset && (item = a->host.item_at(a->host.ctx, at)) != NULL && item->size >= sizeof(*item) &&
           item->size % MIOC_ITEM_ALIGN == 0)
        at += item->size;
    return at == offset;
}

/* Whether this agent can go on with what the child's store has. One that was served before cannot be given zeros for
 * contents that are given up: a thread may be about to read. What this node itself was not served without may be such.
 */
static int can_go_on(const struct mioc_agent *a, const struct mioc_message *m)
{
    if (m->offset > a->host.end(a->host.ctx) || !is_boundary(a, m->offset))
        return 0;
    if (m->token != a->stream && m->offset > 0)
        return 0;
    return (m->flags & MIOC_HELLO_SERVED) == 0 || (mioc_agent_is_ready(a) && m->offset >= a->needed);
}

static int is_taken_by_host(struct mioc_agent *a, const struct mioc_message *m)
{
    return a->host.hello == NULL || a->host.hello(a->host.ctx, (int)m->node, m + 1, m->body) == 0;
}

/* 0, or -1: too much waits for the parent. */
static int pass_on(struct mioc_agent *a, const struct mioc_message *m)
{
    struct mioc_agent_out *out = NULL;

    if (mioc_agent_is_root(a))
        return 0;
    if (a->queued < MIOC_AGENT_QUEUE_MAX / 2)
        out = mioc_agent_out_new(sizeof(*m) + m->body);
    if (out == NULL)
        return -1;
    out->size = (uint32_t)mioc_wire_hello(out->bytes, m->node, 0, m + 1, m->body);
    mioc_agent_out_append(a, out);
    return 0;
}

void mioc_agent_take_hello(struct mioc_agent *a, struct mioc_agent_link *link, const struct mioc_message *m)
{
    int is_own = m->node == (uint32_t)link->node;

    if (is_own && (!has_room(a) || !can_go_on(a, m))) {
        mioc_agent_dismiss(a, link, MIOC_LEAVE_ELSEWHERE);
        return;
    }
    if (!is_taken_by_host(a, m)) {
        if (is_own)
            mioc_agent_dismiss(a, link, 0);
        return;
    }
    if (pass_on(a, m) != 0) {
        mioc_agent_dismiss(a, link, MIOC_LEAVE_ELSEWHERE);
        return;
    }
    if (!is_own)
        return;
    link->state = MIOC_LINK_GREETED;
    link->cursor = m->offset;
    link->is_served = (m->flags & MIOC_HELLO_SERVED) != 0;
    link->beaten = a->now;
    mioc_agent_note_clock(a, link, m->clock);
}

void mioc_agent_send_hello(struct mioc_agent *a)
{
    size_t size;
    void *buf;

    /* An agent that has ended joins only to tell of its writes. */
    if (a->parent.state != MIOC_LINK_JOINED || (a->state != MIOC_AGENT_RUNNING && a->queued == 0))
        return;
    buf = mioc_agent_buffer(a);
    if (buf == NULL)
        return;
    size = mioc_wire_hello(buf, (uint32_t)a->config.node, a->host.end(a->host.ctx), a->hello, a->hello_size);
    a->greeted = a->parent.beaten = a->now;
    mioc_wire_add_lease(buf, a->greeted, 0);
    mioc_wire_add_stream(buf, a->stream, a->has_served ? MIOC_HELLO_SERVED : 0);
    if (mioc_agent_post(a, &a->parent, buf, size) == 0)
        a->parent.state = MIOC_LINK_GREETED;
}

/* --- WELCOME ----------------------------------------------------------------------------------------------------- */

void mioc_agent_take_welcome(struct mioc_agent *a, const struct mioc_message *m)
{
    int is_first = a->stream == 0;

    a->parent.state = MIOC_LINK_UP;
    a->applied = m->offset;
    if (m->offset > a->needed) /* what came as zeros from an earlier parent stays so */
        a->needed = m->offset;
    mioc_agent_take_grant(a, a->greeted, m->grant);
    if (a->state != MIOC_AGENT_RUNNING)
        return; /* what it owes can go up now */
    if (is_first)
        a->born = m->offset;
    else if (m->token != a->stream) /* another root's: nothing of this store counts there */
        mioc_agent_stop(a, MIOC_AGENT_REFUSED);
    if (!is_first)
        return;
    a->stream = m->token;
    if (a->host.welcomed != NULL && a->host.welcomed(a->host.ctx, m + 1, m->body) != 0)
        mioc_agent_stop(a, MIOC_AGENT_REFUSED);
    else if (mioc_agent_keep(&a->welcome, &a->welcome_size, m + 1, m->body) != 0)
        mioc_agent_stop(a, MIOC_AGENT_STORE_FULL);
}

/* What this agent has ever said to have applied, for itself and for those below, is at most the offset that it names
 * here. So the child can count as that far already: it is not served before it is. */
static int welcome(struct mioc_agent *a, struct mioc_agent_link *link)
{
    uint64_t end = a->host.end(a->host.ctx), born = end > a->needed ? end : a->needed;
    void *buf = mioc_agent_buffer(a);
    size_t size;

    if (buf == NULL)
        return -1;
    size = mioc_wire_body(buf, MIOC_MESSAGE_WELCOME, born, a->welcome, a->welcome_size);
    link->heard = a->now;
    link->needed = born;
    mioc_wire_add_lease(buf, 0, mioc_agent_grant(a, link));
    mioc_wire_add_stream(buf, a->stream, 0);
    if (mioc_agent_post(a, link, buf, size) != 0)
        return -1;
    link->state = MIOC_LINK_UP;
    link->applied = born;
    link->beaten = a->now;
    link->owes_beat = 0;
    link->is_served |= link->cursor >= born;
    link->awaited = born; /* a write of its own may have come to the root already */
    return 0;
}

void mioc_agent_send_welcomes(struct mioc_agent *a)
{
    if (!mioc_agent_is_root(a) && a->parent.state != MIOC_LINK_UP)
        return;
    for (unsigned i = 0; i < a->children; i++)
        if (a->child[i].state == MIOC_LINK_GREETED && welcome(a, &a->child[i]) != 0 && a->is_starved)
            return;
}
