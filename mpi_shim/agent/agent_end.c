/* SPDX-License-Identifier: BSD-3-Clause */
/* agent_end.c - a neighbour is gone, or this agent ends. */
#include "agent_internal.h"

uint32_t mioc_agent_farewell(const struct mioc_agent *a)
{
    return mioc_agent_is_root(a) || a->is_over ? MIOC_LEAVE_OVER : MIOC_LEAVE_ELSEWHERE;
}

/* Whether a store below may be served still when this agent is gone. */
static int has_served_below(const struct mioc_agent *a)
{
    int has = mioc_agent_has_lost(a);

    for (unsigned i = 0; i < a->children; i++)
        has |= a->child[i].state == MIOC_LINK_UP;
    return a->config.has_joins && has;
}

static void say_leave(struct mioc_agent *a)
{
    struct mioc_agent_out *out = mioc_agent_out_new(sizeof(struct mioc_message));

    if (out == NULL)
        return; /* without memory; silence tells the parent, too */
    out->size = (uint32_t)mioc_wire_leave(out->bytes, has_served_below(a) ? MIOC_LEAVE_BELOW : 0);
    mioc_agent_out_append(a, out);
}

void mioc_agent_stop(struct mioc_agent *a, enum mioc_agent_end state)
{
    if (a->state != MIOC_AGENT_RUNNING)
        return;
    a->state = state;
    mioc_agent_pending_clear(a);
    for (unsigned i = 0; i < a->children; i++) {
        struct mioc_agent_link *link = &a->child[i];

        link->owes_leave |= mioc_agent_is_there(link);
        if (a->config.has_joins && mioc_agent_is_there(link))
            link->leave_flags = mioc_agent_farewell(a);
        if (link->state == MIOC_LINK_JOINED || link->state == MIOC_LINK_GREETED)
            link->state = MIOC_LINK_LEFT; /* it waits for a WELCOME, and has nothing to say before */
    }
    if (state == MIOC_AGENT_PROTOCOL && a->parent.state != MIOC_LINK_UP)
        mioc_agent_queue_clear(a); /* nothing is said before WELCOME, and this parent will say none */
    /* A parent that has yet to say WELCOME, or to join, still gets what waits in the queue. */
    if (!a->is_over && (a->parent.state == MIOC_LINK_UP || a->parent.state == MIOC_LINK_GREETED || a->queued > 0))
        say_leave(a);
    a->host.answer(a->host.ctx, 0, "", 0, 0);
}

/* --- A neighbour is gone ----------------------------------------------------------------------------------------- */

/* The next ancestor gets all that this one may have lost. An agent that has ended still tells of its writes. */
static void be_orphan(struct mioc_agent *a)
{
    a->parent.state = MIOC_LINK_NONE;
    a->parent.inflight = 0;
    a->lease = 0;
    mioc_agent_queue_again(a);
}

void mioc_agent_drop(struct mioc_agent *a, struct mioc_agent_link *link, enum mioc_link_state state)
{
    int was_up = link->state == MIOC_LINK_UP;

    if (link != &a->parent && was_up && state == MIOC_LINK_DEAD)
        mioc_agent_note_lost(a, link);
    if (link->state != MIOC_LINK_LEFT || !a->config.has_joins) /* who was dismissed is not heard any more */
        link->state = state;
    if (link == &a->parent || !a->config.has_joins)
        link->inflight = 0;
    link->owes_leave = link->owes_wish = link->owes_beat = 0;
    if (link != &a->parent)
        return;
    if (!a->config.has_joins) {
        mioc_agent_queue_clear(a);
        mioc_agent_stop(a, state == MIOC_LINK_LEFT ? MIOC_AGENT_PARENT_LEFT : MIOC_AGENT_PEER_DIED);
        return;
    }
    be_orphan(a);
    if (a->host.hang_up != NULL)
        a->host.hang_up(a->host.ctx, link->node);
}

void mioc_agent_take_leave(struct mioc_agent *a, struct mioc_agent_link *link, const struct mioc_message *m)
{
    if (!a->config.has_joins) {
        mioc_agent_drop(a, link, MIOC_LINK_LEFT);
        return;
    }
    if (link != &a->parent) {
        if (link->state == MIOC_LINK_UP && (m->flags & MIOC_LEAVE_BELOW))
            mioc_agent_note_lost(a, link);
        mioc_agent_drop(a, link, MIOC_LINK_LEFT);
        return;
    }
    if (m->flags == 0 && link->state == MIOC_LINK_UP) { /* it still hears of this node's writes */
        mioc_agent_queue_again(a);
        mioc_agent_stop(a, MIOC_AGENT_REFUSED);
        return;
    }
    mioc_agent_drop(a, link, MIOC_LINK_LEFT);
    if (m->flags & MIOC_LEAVE_ELSEWHERE)
        return;
    mioc_agent_queue_clear(a); /* nobody takes it */
    a->is_over |= (m->flags & MIOC_LEAVE_OVER) != 0;
    mioc_agent_stop(a, (m->flags & MIOC_LEAVE_OVER) ? MIOC_AGENT_PARENT_LEFT : MIOC_AGENT_REFUSED);
}
