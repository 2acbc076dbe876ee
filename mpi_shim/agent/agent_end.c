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
    for (unsigned i = 0; i < a->children; i++)
        a->child[i].owes_leave = a->child[i].state == MIOC_LINK_UP;
    if (a->parent.state == MIOC_LINK_UP)
        say_leave(a);
    a->host.answer(a->host.ctx, 0, "", 0, 0);
}

void mioc_agent_drop(struct mioc_agent *a, struct mioc_agent_link *link, enum mioc_link_state state)
{
    link->state = state;
    link->inflight = 0;
    link->owes_leave = 0;
    if (link != &a->parent)
        return;
    mioc_agent_queue_clear(a);
    mioc_agent_stop(a, state == MIOC_LINK_LEFT ? MIOC_AGENT_PARENT_LEFT : MIOC_AGENT_PEER_DIED);
}
