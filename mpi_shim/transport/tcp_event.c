/* SPDX-License-Identifier: BSD-3-Clause */
/* tcp_event.c - the order of the events.
 *
 * Events are not queued: each connection knows what is still to be told of it, in this order: JOINED, buffers that were
 * sent, the message that came, buffers that will not be sent, LOST. */
#include "tcp_internal.h"
#include "base/clock.h"

/* A node that joins anew while its old connection's end is not told yet waits for that. */
static int is_waiting_for_its_past(const struct mioc_transport *t, const struct mioc_tcp_connection *c)
{
    for (const struct mioc_tcp_connection *at = t->joined; at != NULL; at = at->next)
        if (at != c && at->peer == c->peer && at->is_dead)
            return 1;
    return 0;
}

/* Those that LOST gives back were not sent. */
int mioc_tcp_event_has_sent(const struct mioc_tcp_link *link) { return (int)(link->next - link->first) > 0; }

static int is_ready(const struct mioc_transport *t, const struct mioc_tcp_connection *c)
{
    if (!c->is_reported)
        return c->is_dead || !is_waiting_for_its_past(t, c);
    return mioc_tcp_event_has_sent(&c->link) || c->link.has_frame || c->is_dead;
}

static void tell_message(struct mioc_transport *t, struct mioc_tcp_connection *c, struct mioc_event *event)
{
    event->kind = MIOC_EVENT_MESSAGE;
    event->data = mioc_tcp_link_frame(&c->link);
    event->size = c->link.size;
    t->held = mioc_tcp_link_take(&c->link);
    if (!c->is_dead)
        mioc_tcp_connection_watch(t, c);
}

static void tell_end(struct mioc_transport *t, struct mioc_tcp_connection *c, struct mioc_event *event)
{
    int is_parent = c->peer < t->config.node, was_reported = c->is_reported, peer = c->peer;

    if (was_reported && c->link.first != c->link.last) {
        event->kind = MIOC_EVENT_LOST;
        event->data = c->link.queue[c->link.first++ % MIOC_TCP_SENDS].message;
        return;
    }
    event->kind = was_reported ? MIOC_EVENT_LOST : MIOC_EVENT_NONE;
    mioc_tcp_connection_free(t, c);
    if (is_parent)
        mioc_tcp_search_again(t, peer, mioc_clock_ns());
}

/* Behind the others, so that each has its turn. */
static void move_to_end(struct mioc_transport *t, struct mioc_tcp_connection *c)
{
    struct mioc_tcp_connection **at = &t->joined;

    if (c->next == NULL)
        return;
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    while (*at != NULL)
        at = &(*at)->next;
    c->next = NULL;
    *at = c;
}

int mioc_tcp_event_take(struct mioc_transport *t, struct mioc_event *event)
{
    struct mioc_tcp_connection *c = t->joined;

    while (c != NULL && !is_ready(t, c))
        c = c->next;
    if (c == NULL)
        return 0;
    *event = (struct mioc_event){ .peer = c->peer };
    move_to_end(t, c);
    if (!c->is_reported && !c->is_dead) {
        c->is_reported = 1;
        event->kind = MIOC_EVENT_JOINED;
    } else if (mioc_tcp_event_has_sent(&c->link)) {
        event->kind = MIOC_EVENT_SENT;
        event->data = c->link.queue[c->link.first++ % MIOC_TCP_SENDS].message;
    } else if (c->link.has_frame)
        tell_message(t, c, event);
    else
        tell_end(t, c, event);
    return 1;
}

int mioc_tcp_event_is_due(const struct mioc_transport *t)
{
    for (const struct mioc_tcp_connection *c = t->joined; c != NULL; c = c->next)
        if (is_ready(t, c))
            return 1;
    return 0;
}
