/* SPDX-License-Identifier: BSD-3-Clause */
/* agent_end.c - a neighbour is gone, or this agent ends. */
#include "agent_internal.h"

static void say_leave(struct mioc_agent *a)
{
    struct mioc_agent_out *out = mioc_agent_out_new(sizeof(struct mioc_message));

    if (out == NULL)
        return; /* without memory; silence tells the parent, too */
    out->size = (uint32_t)mioc_wire_plain(out->bytes, MIOC_MESSAGE_LEAVE, 0);
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
        if (link->state == MIOC_LINK_JOINED || link->state == MIOC_LINK_GREETED)
            link->state = MIOC_LINK_LEFT; /* it waits for a WELCOME, and has nothing to say before */
    }
    if (state == MIOC_AGENT_PROTOCOL && a->parent.state != MIOC_LINK_UP)
        mioc_agent_queue_clear(a); /* nothing is said before WELCOME, and this parent will say none */
    /* A parent that has yet to say WELCOME, or to join, still gets what waits in the queue. */
    if (a->parent.state == MIOC_LINK_UP || a->parent.state == MIOC_LINK_GREETED || a->queued > 0)
        say_leave(a);
    a->host.answer(a->host.ctx, 0, "", 0, 0);
}

void mioc_agent_drop(struct mioc_agent *a, struct mioc_agent_link *link, enum mioc_link_state state)
{
    int was_up = link->state == MIOC_LINK_UP;

    if (link->state != MIOC_LINK_LEFT || !a->config.has_joins) /* who was dismissed is not heard any more */
        link->state = state;
    if (link == &a->parent || !a->config.has_joins)
        link->inflight = 0;
    link->owes_leave = link->owes_wish = 0;
    if (link != &a->parent)
        return;
    if (!was_up && state == MIOC_LINK_DEAD && a->state == MIOC_AGENT_RUNNING) {
        link->state = MIOC_LINK_NONE;
        return;
    }
    mioc_agent_queue_clear(a);
    if (!was_up)
        mioc_agent_stop(a, MIOC_AGENT_REFUSED);
    else
        mioc_agent_stop(a, state == MIOC_LINK_LEFT ? MIOC_AGENT_PARENT_LEFT : MIOC_AGENT_PEER_DIED);
}
