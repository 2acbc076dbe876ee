/* SPDX-License-Identifier: BSD-3-Clause */
/* agent_report.c - reports on their way up to the root, each of one node; and the wish for them on its way down. */
#include "agent_internal.h"

int mioc_agent_queue_report(struct mioc_agent *a, uint32_t node, const void *bytes, uint32_t size)
{
    struct mioc_agent_out *out = NULL;

    if (!mioc_agent_is_there(&a->parent) || size == 0 || size > MIOC_WIRE_SMALL_MAX)
        return -1;
    if (a->queued < MIOC_AGENT_QUEUE_MAX / 2) /* writes must find room */
        out = mioc_agent_out_new(sizeof(struct mioc_message) + size);
    if (out == NULL)
        return -1;
    out->size = (uint32_t)mioc_wire_report(out->bytes, node, bytes, size);
    mioc_agent_out_append(a, out);
    return 0;
}

void mioc_agent_ask_children(struct mioc_agent *a)
{
    for (unsigned i = 0; i < a->children; i++)
        a->child[i].owes_wish = a->child[i].state == MIOC_LINK_UP;
}

void mioc_agent_take_report(struct mioc_agent *a, struct mioc_agent_link *link, const struct mioc_message *m)
{
    if (link == &a->parent) {
        if (a->state != MIOC_AGENT_RUNNING)
            return;
        if (a->host.wanted_report != NULL)
            a->host.wanted_report(a->host.ctx);
        mioc_agent_ask_children(a);
    } else if (mioc_agent_is_root(a)) {
        a->host.report(a->host.ctx, (int)m->node, m + 1, m->body);
    } else if (a->state == MIOC_AGENT_RUNNING) { /* else it would come behind this agent's LEAVE */
        (void)mioc_agent_queue_report(a, m->node, m + 1, m->body);
    }
}

void mioc_agent_send_wishes(struct mioc_agent *a)
{
    for (unsigned i = 0; i < a->children; i++) {
        struct mioc_agent_link *link = &a->child[i];
        void *buf;

        if (!link->owes_wish || link->state != MIOC_LINK_UP || link->inflight >= a->config.window)
            continue;
        buf = mioc_agent_buffer(a);
        if (buf == NULL)
            return;
        if (mioc_agent_post(a, link, buf, mioc_wire_plain(buf, MIOC_MESSAGE_REPORT, 0)) == 0)
            link->owes_wish = 0;
    }
}
