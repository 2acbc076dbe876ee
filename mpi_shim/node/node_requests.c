/* SPDX-License-Identifier: BSD-3-Clause */
/* node_requests.c - what the agent's thread takes from the ring and from the resolver: questions, writes, answers. */
#include "node_internal.h"
#include "base/clock.h"
#include "observe/trace.h"

/* Long contents wait for the children no longer than this if none takes anything. */
#define SATURATED_NS 20000000ull
/* The most that is taken in one turn of the agent's loop. */
#define TAKE_MOST 64

static void take_write(struct mioc_node *node, const struct mioc_ask_request *request)
{
    int is_held = mioc_store_hold(node->store, request->path, request->len, (request->kind & MIOC_FLAG_SUBTREE) != 0,
                                  ++node->token) == 0;

    mioc_agent_wrote(node->agent, request->path, request->len, request->kind, node->token, mioc_clock_ns());
    mioc_ring_answer(mioc_store_ring(node->store), request->slot,
                     !is_held                      ? MIOC_ASK_REAL
                     : node->settled < node->token ? MIOC_ASK_UNSYNCED
                                                   : MIOC_ASK_ANSWERED);
}

static void take_request(struct mioc_node *node, const struct mioc_ask_request *request)
{
    uint64_t started = mioc_trace_now();
    struct mioc_ring *ring = mioc_store_ring(node->store);
    int is_record = request->what == MIOC_ASK_RECORD;

    if (request->what == MIOC_ASK_INVALIDATE) {
        take_write(node, request);
        return;
    }
    /* An agent that has ended will never hear that a write has settled. */
    if (!is_record && (node->settled >= node->token || mioc_agent_state(node->agent) != MIOC_AGENT_RUNNING)) {
        mioc_ring_answer(ring, request->slot, MIOC_ASK_ANSWERED);
        return;
    }
    if (!mioc_node_is_linked(node) &&
        ((is_record && node->was_linked) || !mioc_node_waits_for_link(node, mioc_clock_ns()))) {
        mioc_ring_answer(ring, request->slot, is_record ? MIOC_ASK_REAL : MIOC_ASK_ANSWERED);
        return;
    }
    if (node->waiters == MIOC_RING_SLOTS) { /* so many can only be slots that their clients have dropped */
        mioc_ring_answer(ring, node->waiter[0].slot, MIOC_ASK_REAL);
        node->waiter[0] = node->waiter[--node->waiters];
    }
    node->waiter[node->waiters++] =
        (struct mioc_waiter){ request->slot, is_record ? mioc_item_hash(request->kind, request->path, request->len) : 0,
                              node->token };
    if (!is_record)
        return;
    mioc_trace_flow('t', request->kind, request->path, request->len); /* before the answer, which may come at once */
    mioc_agent_ask(node->agent, request->kind, request->path, request->len, mioc_clock_ns());
    if (started != 0)
        mioc_trace_work("agent", "question", request->kind, request->path, request->len, started);
}

unsigned mioc_node_take_requests(struct mioc_node *node, struct mioc_ask_request *request)
{
    unsigned taken = 0;

    while (taken < TAKE_MOST && mioc_ring_take(mioc_store_ring(node->store), request)) {
        take_request(node, request);
        taken++;
    }
    return taken;
}

/* The item may say for the first time that a name is a symbolic link. If something was written before, that write may
 * have concerned what is known below this name, and this very item, and nobody knew. So all of it is invalidated. */
static void learn_link(struct mioc_node *node, const struct mioc_resolved *resolved)
{
    const char *name;
    uint32_t len;

    if (!mioc_aliases_learn(node->aliases, resolved->item, &name, &len) ||
        mioc_agent_counters(node->agent)->invalidations == 0)
        return;
    mioc_resolver_distrust(node->resolver, name, len);
    mioc_resolved_doubt(resolved);
    mioc_agent_wrote(node->agent, name, len, MIOC_FLAG_SUBTREE, 0, mioc_clock_ns());
}

/* A small answer goes behind all that is in the stream already. So long contents come into it at the pace at which the
 * fastest child takes them. If no child takes anything for a moment they come all the same: this node wants them. */
static int has_room_for_bulk(struct mioc_node *node)
{
    uint64_t now = mioc_clock_ns(), sent = mioc_agent_counters(node->agent)->messages_sent;

    if (!mioc_agent_is_saturated(node->agent))
        return 1;
    if (sent != node->saturated_at) {
        node->saturated_at = sent;
        node->saturated_ns = now;
    }
    return now - node->saturated_ns > SATURATED_NS;
}

static int take_next(struct mioc_node *node, struct mioc_resolved *resolved)
{
    return has_room_for_bulk(node) ? mioc_resolver_take(node->resolver, resolved)
                                   : mioc_resolver_take_small(node->resolver, resolved);
}

unsigned mioc_node_take_resolved(struct mioc_node *node)
{
    struct mioc_resolved resolved;
    unsigned taken = 0;

    while (node->resolver != NULL && taken < TAKE_MOST && take_next(node, &resolved)) {
        uint64_t started = mioc_clock_ns(), offset;

        taken++;
        if (mioc_node_take_abandoned(node, &resolved))
            continue;
        learn_link(node, &resolved);
        offset = mioc_store_end(node->store);
        if (mioc_agent_publish(node->agent, resolved.item, resolved.bytes, started) == 0)
            mioc_node_note_published(node, resolved.item, offset);
        if (mioc_trace_is_on())
            mioc_trace_work("agent", "publish", resolved.item->kind,
                            mioc_item_path(resolved.item) != NULL ? mioc_item_path(resolved.item) : "",
                            resolved.item->path_len, started);
        mioc_resolved_free(&resolved);
    }
    return taken;
}
