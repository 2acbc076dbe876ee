/* SPDX-License-Identifier: BSD-3-Clause */
/* node_agent.c - the agent's thread of a leader: moves questions, answers and messages between ring, resolver,
 * transport and the protocol's state machine. */
#include "node_internal.h"
#include "base/futex.h"
#include "base/clock.h"
#include "client/client.h"
#include "base/log.h"
#include "base/thread.h"
#include "observe/trace.h"
#include "transport/pause.h"
#include "agent/wire.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000ull
/* Nobody to listen to but the ring, which rings. */
#define PAUSE_ALONE_NS (SECOND / 5)
#define SWEEP_NS (SECOND / 2)
#define TIDY_NS SECOND
#define SATURATED_NS 20000000ull
#define FLUSH_NS (SECOND / 5)
#define RESOLVER_END_NS (SECOND / 10)
#define AGENT_STACK (1024u * 1024u)
#define TAKE_MOST 64
/* Where each look takes the processor from a rank: how much rarer they are. */
#define CROWDED 4u

/* --- Events ------------------------------------------------------------------------------------------------------ */

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
    case MIOC_EVENT_NONE: break;
    }
}

/* Every second's heartbeats, received or sent, say nothing about what comes next. */
static int is_news(const struct mioc_event *event)
{
    return event->data == NULL || (event->kind == MIOC_EVENT_MESSAGE && event->size < sizeof(struct mioc_message)) ||
           ((const struct mioc_message *)event->data)->kind != MIOC_MESSAGE_HEARTBEAT;
}

/* Takes what has come; how much of it was news. */
static unsigned poll_transport(struct mioc_node *node)
{
    struct mioc_event event;
    unsigned news = 0;

    if (node->world.nodes == 1)
        return 0;
    for (unsigned events = 0; events < TAKE_MOST; events++) {
        node->ops->poll(node->transport, &event);
        if (event.kind == MIOC_EVENT_NONE)
            break;
        news += (unsigned)is_news(&event); /* the buffer is gone afterwards */
        handle_event(node, &event);
    }
    return news;
}

/* Waits until each neighbour was heard once, so that MPI has opened its connections before the program starts. */
static void meet_neighbours(struct mioc_node *node, uint64_t until)
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

int mioc_node_agent_start(struct mioc_node *node, uint64_t until)
{
    node->is_crowded = node->world.local_size > sysconf(_SC_NPROCESSORS_ONLN);
    if (mioc_node_host_start(node) != 0)
        return -1;
    if (node->world.nodes > 1)
        meet_neighbours(node, until);
    return 0;
}

/* --- The thread -------------------------------------------------------------------------------------------------- */

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

static void trace_question(const struct mioc_ask_request *request, uint64_t started)
{
    mioc_trace_flow('t', request->kind, request->path, request->len);
    mioc_trace_work("agent", "question", request->kind, request->path, request->len, started);
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
    /* An agent that has ended will hear of nobody. */
    if (!is_record && (node->settled >= node->token || mioc_agent_state(node->agent) != MIOC_AGENT_RUNNING)) {
        mioc_ring_answer(ring, request->slot, MIOC_ASK_ANSWERED);
        return;
    }
    if (node->waiters == MIOC_RING_SLOTS) { /* only slots that their clients dropped can be that many */
        mioc_ring_answer(ring, node->waiter[0].slot, MIOC_ASK_REAL);
        node->waiter[0] = node->waiter[--node->waiters];
    }
    node->waiter[node->waiters++] =
        (struct mioc_waiter){ request->slot, is_record ? mioc_item_hash(request->kind, request->path, request->len) : 0,
                              node->token };
    if (!is_record)
        return;
    mioc_agent_ask(node->agent, request->kind, request->path, request->len, mioc_clock_ns());
    if (started != 0)
        trace_question(request, started);
}

static unsigned take_requests(struct mioc_node *node, struct mioc_ask_request *request)
{
    unsigned taken = 0;

    while (taken < TAKE_MOST && mioc_ring_take(mioc_store_ring(node->store), request)) {
        take_request(node, request);
        taken++;
    }
    return taken;
}

/* If a link has become known only after something was written, what is known below its name may have missed that; and
 * this very item. */
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

/* The stream is one: what is in it already goes before a small answer. So long contents come into it at the pace at
 * which the fastest child takes them; unless none takes anything for a moment, as their own node wants them too. */
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

static unsigned take_resolved(struct mioc_node *node)
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

/* Whether the node may end now, given what the ending thread wishes. */
static int may_end(struct mioc_node *node)
{
    switch (__atomic_load_n(&node->end_mode, __ATOMIC_ACQUIRE)) {
    case MIOC_END_LEAVE: return 1;
    case MIOC_END_FINALIZE: return node->has_left || mioc_agent_children(node->agent) == 0;
    case MIOC_END_LINGER: /* one that has left has told all and serves nobody */
        return node->has_left || (mioc_agent_children(node->agent) == 0 &&
                                  mioc_ring_ranks_running(mioc_store_ring(node->store), node->owner) == 0);
    default: return 0;
    }
}

/* Lets MPI move what is under way, for a moment. */
static void flush(struct mioc_node *node)
{
    uint64_t until = mioc_clock_ns() + FLUSH_NS;

    while (node->world.nodes > 1 && mioc_clock_ns() < until) {
        mioc_agent_tick(node->agent, mioc_clock_ns());
        if (poll_transport(node) == 0 && node->unsent == 0 && !mioc_agent_is_busy(node->agent))
            break;
        nanosleep(&(struct timespec){ 0, MIOC_PAUSE_FIRST_NS }, NULL);
    }
}

/* The agent is through with its neighbours, the process is not. Writes on other nodes are not heard of any more, so the
 * store is not served any more either. */
static void note_end(struct mioc_node *node)
{
    enum mioc_agent_end end = mioc_agent_state(node->agent);

    if (node->has_left || end == MIOC_AGENT_RUNNING)
        return;
    node->has_left = 1;
    mioc_store_set_state(node->store, MIOC_STORE_LEFT);
    mioc_log(MIOC_LOG_DEBUG, "node %d: agent ended (%d)", node->world.node, (int)end);
    flush(node); /* its farewells */
    if (end == MIOC_AGENT_PEER_DIED || end == MIOC_AGENT_PROTOCOL)
        node->ops->abandon(node->transport);
}

/* The program's memory grows towards the cgroup's limit, and the store's cannot be reclaimed: better no cache than the
 * kernel's killing. A quarter of what was left at the start, which is the store's bound, may be too much by now. */
static void respect_limits(struct mioc_node *node, uint64_t now)
{
    struct mioc_report report;

    if (node->has_left || !__atomic_load_n(&node->is_short, __ATOMIC_ACQUIRE))
        return;
    mioc_log(MIOC_LOG_INFO,
             "node %d: the memory cgroup's limit is near: the store is given back, this node goes on without the cache",
             node->world.node);
    mioc_node_fill_report(node, &report);
    mioc_agent_leave(node->agent, &report, sizeof report, now);
    note_end(node);
    mioc_store_give_back(node->store);
}

/* `silence`: how long ago the last news was. */
static uint64_t next_pause(const struct mioc_node *node, uint64_t silence, uint64_t tick, uint64_t now)
{
    int is_busy = mioc_agent_is_busy(node->agent) || node->unsent > 0;
    uint64_t pause = node->world.nodes == 1 || node->has_left ? PAUSE_ALONE_NS : mioc_pause(is_busy, silence);

    if (node->is_crowded && pause < MIOC_PAUSE_IDLE_NS / CROWDED)
        pause *= CROWDED;

    if (tick > now && tick - now < pause)
        pause = tick - now;
    /* Ranks that end or die ring no bell that is certain. */
    if (__atomic_load_n(&node->end_mode, __ATOMIC_ACQUIRE) != MIOC_END_RUN && pause > MIOC_PAUSE_IDLE_NS)
        pause = MIOC_PAUSE_IDLE_NS;
    return pause;
}

/* Returns the resolver, with which nobody has business any more. */
static struct mioc_resolver *leave(struct mioc_node *node)
{
    struct mioc_resolver *resolver = node->resolver;
    struct mioc_report report;

    if (!node->has_left) {
        mioc_node_fill_report(node, &report);
        mioc_agent_leave(node->agent, &report, sizeof report, mioc_clock_ns());
        flush(node);
    }
    mioc_store_set_state(node->store, MIOC_STORE_LEFT);
    mioc_node_answer(node, 0, "", 0, 0);
    node->ops->abandon(node->transport);
    if (resolver != NULL) {
        node->resolver_calls = mioc_resolver_calls(resolver);
        __atomic_store_n(&node->resolver, NULL, __ATOMIC_RELEASE); /* the ending thread reports after us */
    }
    return resolver;
}

static void say_done(struct mioc_node *node)
{
    __atomic_store_n(&node->done, 1, __ATOMIC_RELEASE);
    mioc_futex_wake(&node->done, INT_MAX, 0);
}

static __thread int is_agent __attribute__((tls_model("initial-exec")));

void mioc_node_abort(void)
{
    struct mioc_node *node = &mioc_node;

    if (!is_agent || !mioc_node_is_owner() || node->ops->is_shared(node->transport))
        return;
    node->has_left = 1;
    node->ops->abandon(node->transport);
    mioc_store_set_state(node->store, MIOC_STORE_LEFT);
    mioc_node_answer(node, 0, "", 0, 0);
    mioc_log(
        MIOC_LOG_WARN,
        "node %d: MPI gave up, perhaps because another node died; running uncached on this one. The launcher says what "
        "became of the others",
        node->world.node);
    say_done(node);
    for (;;)
        pause();
}

static void *agent_main(void *arg)
{
    struct mioc_node *node = arg;
    struct mioc_ring *ring = mioc_store_ring(node->store);
    struct mioc_ask_request *request = malloc(sizeof *request);
    struct mioc_resolver *resolver;
    uint64_t heard = mioc_clock_ns(), swept = heard;
    int is_tidy = 1;

    is_agent = 1;
    mioc_client_exempt_thread(1); /* what MPI opens in here must not be asked of ourselves */
    mioc_trace_name_thread(node->world.node == 0 ? "agent (root)" : "agent");

    while (request != NULL && !may_end(node)) {
        uint64_t now = mioc_clock_ns(), tick;
        unsigned events = take_requests(node, request) + take_resolved(node) + mioc_node_make_room(node);

        if (!node->has_left) {
            events += poll_transport(node);
            tick = mioc_agent_tick(node->agent, now);
        } else {
            tick = now + SECOND;
        }
        note_end(node);
        respect_limits(node, now);
        mioc_ring_beat(ring);
        if (now - swept > SWEEP_NS) {
            mioc_ring_sweep(ring);
            swept = now;
        }
        if (events > 0) {
            heard = now;
            is_tidy = 0;
        } else if (!is_tidy && now - heard > TIDY_NS) {
            mioc_node_clear_buffers(node);
            is_tidy = 1;
        }
        if (events == 0)
            mioc_ring_sleep(ring, next_pause(node, now - heard, tick, now));
    }
    resolver = leave(node);
    say_done(node);
    /* Not before: the ending thread may hold malloc's lock. */
    if (resolver != NULL)
        mioc_resolver_free(resolver, RESOLVER_END_NS);
    free(request);
    return NULL;
}

int mioc_node_agent_run(struct mioc_node *node)
{
    int rc = mioc_thread_start(&node->thread, 0, AGENT_STACK, agent_main, node);

    node->has_thread = rc == 0;
    if (rc == 0)
        mioc_node_watch_memory(node);
    return rc == 0 ? 0 : -1;
}
