/* SPDX-License-Identifier: BSD-3-Clause */
/* node_events.c - takes the transport's events to the agent, meets the neighbours, flushes at the end. */
#include "node_internal.h"
#include "agent/wire.h"
#include "base/clock.h"
#include "transport/pause.h"

#include <time.h>

#define FLUSH_NS 200000000ull
/* The most that is taken in one turn of the agent's loop. */
#define TAKE_MOST 64

static void handle_event(struct mioc_node *node, const struct mioc_event *event)
{
    switch (event->kind) {
    case MIOC_EVENT_MESSAGE:
        mioc_agent_message(node->agent, event->peer, event->data, event->size, mioc_clock_ns());
        break;
    case MIOC_EVENT_SENT:
        node->unsent--;
        mioc_node_put_buffer(node, event->data);
        mioc_agent_sent(node->agent, event->peer, mioc_clock_ns());
        break;
    case MIOC_EVENT_LOST:
        if (event->data != NULL) {
            node->unsent--;
            mioc_node_put_buffer(node, event->data);
        }
        mioc_agent_lost(node->agent, event->peer, mioc_clock_ns());
        break;
    case MIOC_EVENT_JOINED: mioc_agent_joined(node->agent, event->peer, mioc_clock_ns()); break;
    case MIOC_EVENT_NONE: break;
    }
}

/* Whether more will come soon. A heartbeat, received or sent, comes every second and says nothing about that. */
static int is_news(const struct mioc_event *event)
{
    return event->data == NULL || (event->kind == MIOC_EVENT_MESSAGE && event->size < sizeof(struct mioc_message)) ||
           ((const struct mioc_message *)event->data)->kind != MIOC_MESSAGE_HEARTBEAT;
}

unsigned mioc_node_poll(struct mioc_node *node)
{
    struct mioc_event event;
    unsigned news = 0;

    if (node->world.nodes == 1 || node->ops == NULL)
        return 0;
    for (unsigned events = 0; events < TAKE_MOST; events++) {
        node->ops->poll(node->transport, &event);
        if (event.kind == MIOC_EVENT_NONE)
            break;
        news += (unsigned)is_news(&event); /* before the buffer goes back */
        handle_event(node, &event);
    }
    return news;
}

void mioc_node_meet(struct mioc_node *node, uint64_t until)
{
    int expected = mioc_agent_children(node->agent) + (node->world.node > 0), met = 0;
    char heard[1 + MIOC_NODE_ARITY] = { 0 }; /* parent, children */

    while (mioc_clock_ns() < until) {
        struct mioc_event event;

        mioc_agent_tick(node->agent, mioc_clock_ns());
        node->ops->poll(node->transport, &event);
        if (event.kind == MIOC_EVENT_MESSAGE) {
            int slot = event.peer < node->world.node ? 0 : event.peer - node->world.node * MIOC_NODE_ARITY;

            if (slot >= 0 && slot <= MIOC_NODE_ARITY && !heard[slot]) {
                heard[slot] = 1;
                met++;
            }
        }
        handle_event(node, &event);
        if (met >= expected && node->unsent == 0)
            break;
        if (event.kind == MIOC_EVENT_NONE)
            nanosleep(&(struct timespec){ 0, MIOC_PAUSE_BUSY_NS }, NULL);
    }
    mioc_plugin_note_descriptors();
}

void mioc_node_flush(struct mioc_node *node)
{
    uint64_t until = mioc_clock_ns() + FLUSH_NS;

    while (node->world.nodes > 1 && node->ops != NULL && mioc_clock_ns() < until) {
        mioc_agent_tick(node->agent, mioc_clock_ns());
        if (mioc_node_poll(node) == 0 && node->unsent == 0 && !mioc_agent_is_busy(node->agent))
            break;
        nanosleep(&(struct timespec){ 0, MIOC_PAUSE_FIRST_NS }, NULL);
    }
}
