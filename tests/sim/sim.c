/* SPDX-License-Identifier: BSD-3-Clause */
/* sim.c - events, nodes, the run. */
#include "sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEAVE_NS (200 * MS) /* how long an ending process gives its agent */
#define END_NS (8 * SECOND) /* by when all must have ended */

uint64_t sim_random(struct sim *s, uint64_t below)
{
    uint64_t z = (s->random += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    return below ? z % below : 0;
}

void sim_fail(struct sim *s, const char *format, ...)
{
    va_list args;

    if (s->has_failed)
        return;
    s->has_failed = 1;
    va_start(args, format);
    vsnprintf(s->failure, sizeof s->failure, format, args);
    va_end(args);
}

/* --- Events: a binary heap by (time, order) ---------------------------------------------------------------------- */

static int is_before(const struct sim_event *a, const struct sim_event *b)
{
    return a->time < b->time || (a->time == b->time && a->order < b->order);
}

static void push(struct sim *s, struct sim_event event)
{
    size_t at = s->events++;

    if (at == s->events_cap) {
        s->events_cap = s->events_cap ? s->events_cap * 2 : 1024;
        s->heap = realloc(s->heap, s->events_cap * sizeof(*s->heap));
    }
    for (; at > 0 && is_before(&event, &s->heap[(at - 1) / 2]); at = (at - 1) / 2)
        s->heap[at] = s->heap[(at - 1) / 2];
    s->heap[at] = event;
}

static struct sim_event pop(struct sim *s)
{
    struct sim_event first = s->heap[0], last = s->heap[--s->events];
    size_t at = 0, child;

    while ((child = 2 * at + 1) < s->events) {
        child += child + 1 < s->events && is_before(&s->heap[child + 1], &s->heap[child]);
        if (!is_before(&s->heap[child], &last))
            break;
        s->heap[at] = s->heap[child];
        at = child;
    }
    s->heap[at] = last;
    return first;
}

void sim_at(struct sim *s, uint64_t time, enum sim_what what, int node, int peer, void *data, uint32_t size)
{
    sim_at_on(s, time, what, node, peer, data, size, 0);
}

void sim_at_on(struct sim *s, uint64_t time, enum sim_what what, int node, int peer, void *data, uint32_t size,
               unsigned link)
{
    push(s, (struct sim_event){ time, s->orders++, what, node, peer, size, link, data });
}

static uint32_t no_other_name(void *ctx, unsigned i, const char *path, uint32_t flags, char out[])
{
    (void)ctx, (void)i, (void)path, (void)flags, (void)out;
    return 0;
}

static void take_settled(void *ctx, uint64_t token)
{
    struct sim_node *n = ctx;

    sim_check_settled(n, token);
    n->settled = token;
}

/* --- Nodes ------------------------------------------------------------------------------------------------------- */

static void take_report(void *ctx, int node, const void *bytes, uint32_t size)
{
    struct sim_node *n = ctx;

    if (size != sizeof node || *(const int *)bytes != node || n->number != 0)
        sim_fail(n->sim, "node %d was given a report of %u bytes of node %d", n->number, size, node);
    else
        n->sim->node[node].reports++;
}

void sim_make_nodes(struct sim *s)
{
    s->node = calloc((size_t)s->config.nodes, sizeof(*s->node));
    for (int i = 0; i < s->config.nodes; i++) {
        struct sim_node *n = &s->node[i];

        n->sim = s;
        n->number = i;
        n->phase_ms = (unsigned)sim_random(s, SIM_COARSE_MS);
        n->limit = UINT32_MAX / 4;
    }
}

static int take_hello(void *ctx, int node, const void *bytes, uint32_t size)
{
    struct sim_node *n = ctx;
    unsigned life;

    if (size != sizeof life || node <= n->number) {
        sim_fail(n->sim, "node %d hears of node %d", n->number, node);
        return 0;
    }
    memcpy(&life, bytes, sizeof life);
    if (n->number == 0 && life > n->sim->node[node].hello_life) /* an old one may come again */
        n->sim->node[node].hello_life = life;
    return 0;
}

static int take_welcomed(void *ctx, const void *bytes, uint32_t size)
{
    struct sim_node *n = ctx;

    if (size != sizeof n->sim->seed || memcmp(bytes, &n->sim->seed, size) != 0 || ++n->welcomes > 1 || n->end > 0)
        sim_fail(n->sim, "node %d has a wrong welcome", n->number);
    return 0;
}

/* The agent's own time begins here. */
void sim_join(struct sim_node *n)
{
    const struct mioc_agent_host host = { .ctx = n,
                                          .is_known = sim_is_known,
                                          .append = sim_append,
                                          .write_chunk = sim_write_chunk,
                                          .read_chunk = sim_read_chunk,
                                          .item_at = sim_item_at,
                                          .end = sim_end_of,
                                          .resolve = sim_resolve,
                                          .invalidated = sim_invalidated,
                                          .get_buffer = sim_get_buffer,
                                          .put_buffer = sim_put_buffer,
                                          .send = sim_send,
                                          .answer = sim_answer,
                                          .settled = take_settled,
                                          .other_name = no_other_name,
                                          .report = take_report,
                                          .hello = take_hello,
                                          .welcomed = take_welcomed,
                                          .unlinked = sim_unlinked,
                                          .hang_up = sim_hang_up };

    n->sim->config.node = n->number;
    n->sim->config.hello = &n->life;
    n->sim->config.hello_size = sizeof n->life;
    n->sim->config.welcome = n->number == 0 ? &n->sim->seed : NULL;
    n->sim->config.stream = n->sim->seed | 1;
    n->sim->config.welcome_size = n->number == 0 ? sizeof n->sim->seed : 0;
    n->agent = mioc_agent_new(&n->sim->config, &host, n->sim->now);
}

static void leave(struct sim_node *n)
{
    n->is_leaving = 1;
    mioc_agent_leave(n->agent, &n->number, sizeof n->number, n->sim->now);
    sim_at(n->sim, n->sim->now + LEAVE_NS, SIM_END, n->number, 1, NULL, n->life);
}

static void be_gone(struct sim_node *n)
{
    n->ghost_until = n->agent != NULL ? mioc_agent_served_until(n->agent) : 0;
    if (n->sim->config.has_joins)
        sim_close_links(n);
    n->is_gone = 1;
    n->waiters = 0;
}

static void tick(struct sim_node *n)
{
    struct sim *s = n->sim;
    uint64_t next = mioc_agent_tick(n->agent, s->now), poll = s->now + (s->config.nodes > 64 ? 40 : 10) * MS;

    if (s->config.has_joins)
        sim_mind_link(n);
    if (next <= s->now)
        sim_fail(s, "node %d wants its next tick at once, for ever", n->number);
    if (n->has_asked_to_end && !n->is_leaving && mioc_agent_children(n->agent) == 0)
        leave(n);
    if (n->is_leaving && !mioc_agent_is_busy(n->agent))
        be_gone(n);
    sim_at(s, (next < poll ? next : poll) + sim_random(s, MS), SIM_TICK, n->number, (int)n->life, NULL, 0);
}

static void end_node(struct sim_node *n, int is_over)
{
    if (!is_over) {
        n->has_asked_to_end = 1;
        return;
    }
    if (!n->sim->has_faults)
        sim_fail(n->sim, "node %d could not say goodbye", n->number);
    be_gone(n);
}

static void fail_node(struct sim_node *n, enum sim_fault fault, uint32_t ms)
{
    if (n->life > 1 && (fault == SIM_DIE || fault == SIM_LEAVE))
        return; /* it was for the life before, which stood still */
    if (fault == SIM_DIE)
        be_gone(n);
    else if (fault == SIM_STALL)
        n->stalled_until = n->sim->now + ms * MS;
    else if (fault == SIM_LEAVE && !n->is_leaving)
        leave(n);
    else if (fault == SIM_CUT)
        sim_cut_link(n);
    else if (fault == SIM_HOLD)
        sim_hold_link(n, ms * MS);
}

/* --- Messages ---------------------------------------------------------------------------------------------------- */

static void count_request(struct sim *s, const struct sim_event *e)
{
    const struct mioc_message *m = mioc_wire_parse(e->data, e->size);
    const char *path;
    uint32_t len;

    if (e->node != 0 || m == NULL || m->kind != MIOC_MESSAGE_REQUEST)
        return;
    path = mioc_wire_path(m, &len);
    s->requests[sim_key(sim_path_number(path, len), m->record)]++;
}

static void take_message(struct sim_node *n, const struct sim_event *e)
{
    count_request(n->sim, e);
    mioc_agent_message(n->agent, e->peer, e->data, e->size, n->sim->now);
    if (e->size >= SIM_EAGER)
        sim_at_on(n->sim, n->sim->now + 1 + sim_random(n->sim, n->sim->latency), SIM_SENT, e->peer, n->number, NULL, 0,
                  e->link);
    free(e->data);
}

/* For a node that is no more. A large message is never taken; whether its sender hears of that is up to the network. */
static void miss(struct sim *s, const struct sim_event *e)
{
    if (e->what != SIM_MESSAGE)
        return;
    if (s->detects_death && !s->config.has_joins)
        sim_at(s, s->now + s->latency + s->jitter + 10 * MS + sim_random(s, 100 * MS), SIM_LOST, e->peer, e->node, NULL,
               e->size);
    free(e->data);
}

/* --- The run ----------------------------------------------------------------------------------------------------- */

/* With joins: whether an event concerns another process, or a link that is no more. */
static int is_past(const struct sim *s, const struct sim_event *e)
{
    const struct sim_node *n = &s->node[e->node];

    if (e->what == SIM_MESSAGE || e->what == SIM_SENT || e->what == SIM_BREAK)
        return !sim_link_is_open(s, e->link, e->node);
    if (e->what == SIM_TICK || e->what == SIM_TRY)
        return e->peer != (int)n->life;
    if (e->what == SIM_END && e->peer)
        return e->size != n->life;
    return n->life == 0;
}

/* What only joins bring. 1: it was that. */
static int happen_to_links(struct sim *s, const struct sim_event *e)
{
    struct sim_node *n = &s->node[e->node];

    if (e->what == SIM_BEGIN)
        sim_begin(n);
    else if (e->what == SIM_JOINED)
        sim_take_joined(s, e->link, e->node);
    else if (n->is_gone || is_past(s, e))
        miss(s, e);
    else
        return 0;
    return 1;
}

static void take_sent(struct sim_node *n, const struct sim_event *e)
{
    struct sim *s = n->sim;

    n->buffers--;
    if (s->config.has_joins)
        s->link[e->link].under_way[s->link[e->link].node[1] == n->number]--;
    mioc_agent_sent(n->agent, e->peer, s->now);
}

static void take_lost(struct sim_node *n, const struct sim_event *e)
{
    if (n->sim->config.has_joins) {
        sim_lose(n, e->link);
        return;
    }
    n->buffers -= e->size >= SIM_EAGER;
    mioc_agent_lost(n->agent, e->peer, n->sim->now);
}

static void happen(struct sim *s, struct sim_event *e)
{
    struct sim_node *n = &s->node[e->node];

    if (s->config.has_joins && (n->stalled_until <= s->now || e->what == SIM_BEGIN) && happen_to_links(s, e)) {
        if (n->agent != NULL && !n->is_gone)
            sim_check_state(n);
        return;
    }
    if (n->is_gone) {
        miss(s, e);
        return;
    }
    if (n->stalled_until > s->now) { /* in its old order, when it goes on */
        e->time = n->stalled_until;
        push(s, *e);
        return;
    }
    if (n->agent == NULL)
        sim_join(n);
    switch (e->what) {
    case SIM_TICK: tick(n); break;
    case SIM_MESSAGE: take_message(n, e); break;
    case SIM_LOST: take_lost(n, e); break;
    case SIM_SENT: take_sent(n, e); break;
    case SIM_ASK:
        if (!n->is_leaving)
            sim_ask(n, e->peer);
        break;
    case SIM_TAKE: sim_take_question(n, e->peer, e->size); break;
    case SIM_WRITE:
        if (!n->is_leaving)
            sim_write_path(n, e->peer, e->size);
        break;
    case SIM_DEADLINE: sim_pass_deadline(n, e->peer); break;
    case SIM_RESOLVED: sim_resolved(s, e->data); break;
    case SIM_FAULT: fail_node(n, (enum sim_fault)e->peer, e->size); break;
    case SIM_END: end_node(n, e->peer); break;
    case SIM_TRY: sim_try(n); break;
    case SIM_BREAK: sim_break(n, e->link); break;
    default: break;
    }
    sim_check_state(n);
}

static void run_until(struct sim *s, uint64_t time)
{
    while (s->events > 0 && s->heap[0].time <= time && !s->has_failed) {
        struct sim_event e = pop(s);

        s->now = e.time;
        happen(s, &e);
    }
    if (!s->has_failed)
        s->now = time;
}

static void clean_up(struct sim *s)
{
    for (size_t i = 0; i < s->events; i++)
        if (s->heap[i].what == SIM_MESSAGE)
            free(s->heap[i].data);
    sim_root_end(s);
    for (int i = 0; i < s->config.nodes; i++) {
        mioc_agent_free(s->node[i].agent);
        free(s->node[i].arena);
        free(s->node[i].waiter);
    }
    free(s->node);
    free(s->heap);
    free(s->link);
    s->node = NULL;
    s->heap = NULL;
    s->link = NULL;
}

int sim_run(struct sim *s, uint64_t seed, const struct sim_options *options)
{
    *s = (struct sim){ .seed = seed,
                       .random = seed * 0x2545f4914f6cdd1du,
                       .options = *options,
                       .contents = 1,
                       .recent = mioc_recent_new() };
    for (int key = 0; key < SIM_KEYS; key++)
        s->version[key] = 1;
    sim_plan(s);
    run_until(s, s->stop_at);
    if (!s->has_failed)
        sim_check_quiet(s);
    for (int i = 0; i < s->config.nodes; i++)
        sim_at(s, s->now + sim_random(s, 200 * MS), SIM_END, i, 0, NULL, 0);
    run_until(s, s->stop_at + END_NS);
    if (!s->has_failed)
        sim_check_over(s);
    clean_up(s);
    return s->has_failed ? -1 : 0;
}
