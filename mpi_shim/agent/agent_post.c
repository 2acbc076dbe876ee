/* SPDX-License-Identifier: BSD-3-Clause */
/* agent_post.c - hands one message to the transport. */
#include "agent_internal.h"
#include <errno.h>

void *mioc_agent_buffer(struct mioc_agent *a)
{
    void *buf = a->host.get_buffer(a->host.ctx);

    if (buf == NULL)
        a->is_starved = 1;
    return buf;
}

int mioc_agent_post(struct mioc_agent *a, struct mioc_agent_link *link, void *buf, size_t size)
{
    if (a->host.send(a->host.ctx, link->node, buf, size) == 0) {
        link->inflight++;
        link->sent = a->now;
        link->has_sent = 1;
        a->counters.messages_sent++;
        a->counters.bytes_sent += size;
        return 0;
    }
    if (errno == EAGAIN)
        a->is_starved = 1;
    else
        mioc_agent_drop(a, link, MIOC_LINK_DEAD);
    a->host.put_buffer(a->host.ctx, buf);
    return -1;
}
