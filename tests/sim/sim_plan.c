/* SPDX-License-Identifier: BSD-3-Clause */
/* sim_plan.c - what happens when: the network's and the filesystem's speed, questions, writes, faults; all by the seed.
 */
#include "sim.h"

#include <stdlib.h>

#define SHORT_STALL_MS 150u /* nobody may take it for death */
#define LONG_STALL_MS 900u
#define SHORT_LATENESS (250 * MS)
#define LONG_LATENESS (450 * MS)

static void choose_world(struct sim *s)
{
    static const uint64_t latencies[] = { 2 * US, 20 * US, 200 * US, 1 * MS };
    struct mioc_agent_config *c = &s->config;

    c->nodes = s->options.nodes > 0 ? s->options.nodes : 1 + (int)sim_random(s, sim_random(s, 2) ? 64 : 12);
    c->arity = s->options.arity > 0 ? s->options.arity : (c->nodes > 200) + 1 + (int)sim_random(s, 8);
    c->heartbeat_ns = 50 * MS;
    c->silence_ns = 400 * MS;
    c->window = 1 + (unsigned)sim_random(s, 4);
    s->latency = latencies[sim_random(s, 4)];
    s->jitter = 1 + sim_random(s, 3 * s->latency);
    s->service = sim_random(s, 3) == 0 ? 20 * MS : 500 * US;
    s->servers = s->service > MS ? SIM_SERVERS : 1 + (unsigned)sim_random(s, SIM_SERVERS);
    s->refuse_percent = sim_random(s, 2) ? 0 : (unsigned)sim_random(s, 20);
    s->detects_death = sim_random(s, 2) == 0;
    s->content_max = c->nodes > 100 ? 8000 : 300000;
    s->ask_count = c->nodes > 100 ? 30 : 20 + (unsigned)sim_random(s, 80);
    s->write_count = (unsigned)sim_random(s, 3) * (unsigned)sim_random(s, 10);
    s->has_faults = c->nodes > 1 && (s->options.faults < 0 ? sim_random(s, 2) == 0 : s->options.faults > 0);
    /* A child that stands still keeps its window's buffers. */
    s->buffers = s->has_faults ? (unsigned)c->arity * c->window + 9 : 1 + (unsigned)sim_random(s, 12);
    s->is_slow = sim_random(s, 6) == 0;
    s->client_ns = sim_random(s, 2)   ? 0
                   : sim_random(s, 2) ? sim_random(s, 400 * MS)
                                      : 2 * SECOND; /* the last: no end before the run's */
    s->slow_service = s->is_slow ? 1500 * MS : 0;
    c->request_ns = s->is_slow ? 500 * MS : 2 * SECOND;
    s->deadline = s->is_slow ? 600 * MS : 3 * SECOND;
    s->stop_at = SIM_WORK_NS + 3200 * MS;
}

/* Cards and cables of one kind, mostly; agents that are late to look, here and there. */
static void plan_nodes(struct sim *s)
{
    static const uint64_t speeds[] = { 100, 1000, 10000 };
    uint64_t speed = speeds[sim_random(s, 3)], is_mixed = sim_random(s, 3) == 0, is_lagging = sim_random(s, 2);
    uint64_t is_late = s->config.nodes > 1 && sim_random(s, 4) == 0;

    for (int i = 0; i < s->config.nodes; i++) {
        struct sim_node *n = &s->node[i];

        n->ns_per_kib = is_mixed ? speeds[sim_random(s, 3)] : speed;
        n->latency = is_mixed ? sim_random(s, 200 * US) : 0;
        n->lag = is_lagging ? sim_random(s, sim_random(s, 16) == 0 ? 20 * MS : 300 * US) + 1 : 0;
        if (is_late && sim_random(s, 4) == 0)
            n->stalled_until = sim_random(s, SHORT_LATENESS);
    }
}

/* The same by several threads of a node, while the answer is under way. */
static void plan_question(struct sim *s, uint64_t at, int node, int key)
{
    unsigned times = sim_random(s, 4) == 0 ? 2 + (unsigned)sim_random(s, 2) : 1;

    for (unsigned i = 0; i < times; i++)
        sim_at(s, at + (i == 0 ? 0 : sim_random(s, MS)), SIM_ASK, node, key, NULL, 0);
}

/* Ranks import the same things at about the same time; some are late, some want something else. */
static void plan_questions(struct sim *s)
{
    for (int i = 0; i < s->config.nodes; i++) {
        uint64_t late = sim_random(s, 5) == 0 ? sim_random(s, 300 * MS) : 0;

        for (unsigned q = 0; q < s->ask_count; q++) {
            int key = (int)((q * 7919u + s->seed * 31u) % 89u * 2u % SIM_KEYS);
            uint64_t at = SIM_WORK_NS * 6 / 10 * q / s->ask_count + late + sim_random(s, 20 * MS);

            if (sim_random(s, 8) == 0)
                key = (int)sim_random(s, SIM_KEYS);
            plan_question(s, at, i, key);
        }
    }
}

static void plan_writes(struct sim *s)
{
    for (unsigned i = 0; i < s->write_count; i++) {
        int node = (int)sim_random(s, (uint64_t)s->config.nodes), path = (int)sim_random(s, SIM_PATHS);
        uint32_t flags = sim_random(s, 6) == 0 ? MIOC_FLAG_STICKY : sim_random(s, 6) == 0 ? MIOC_FLAG_SUBTREE : 0;
        uint64_t at = sim_random(s, SIM_WORK_NS);

        sim_at(s, at, SIM_WRITE, node, path, NULL, flags);
        /* The writer looks at what it wrote, before its INVALIDATE is back and later. */
        for (unsigned n = 0; n < 4; n++)
            sim_at(s, at + 1 + sim_random(s, 5 * MS), SIM_ASK, node, sim_key(path, 1 + sim_random(s, SIM_KINDS)), NULL,
                   0);
    }
}

/* A link to a parent, or a process for a while: nothing that its neighbours do not get over. */
static void plan_trouble(struct sim *s)
{
    static const enum sim_fault faults[] = { SIM_STALL, SIM_CUT, SIM_HOLD };
    int number = (int)sim_random(s, (uint64_t)s->config.nodes);
    uint32_t ms = sim_random(s, 2) ? 1 + (uint32_t)sim_random(s, LONG_STALL_MS) : LONG_STALL_MS;

    if (number > 0 && sim_random(s, 2))
        number = (number - 1) / s->config.arity;
    sim_at(s, sim_random(s, SIM_WORK_NS), SIM_FAULT, number, (int)faults[sim_random(s, 3)], NULL, ms);
}

static void plan_fault(struct sim *s)
{
    int number = (int)sim_random(s, (uint64_t)s->config.nodes);
    struct sim_node *n = &s->node[number];
    enum sim_fault fault = (enum sim_fault)(1 + sim_random(s, SIM_FAULTS - 1));
    uint64_t at = sim_random(s, 8) == 0 ? 0 : sim_random(s, SIM_WORK_NS);
    uint32_t ms = 0;

    if (number == 0 && sim_random(s, 4) != 0)
        return; /* mostly the root stays, or there would be little to see */
    if (fault == SIM_STALL)
        ms = sim_random(s, 2) ? 1 + (uint32_t)sim_random(s, SHORT_STALL_MS) : LONG_STALL_MS;
    if (fault == SIM_FULL)
        n->limit = sim_random(s, 20000);
    if (fault == SIM_LATE) /* its neighbours have given it up when it comes */
        n->stalled_until = LONG_LATENESS + sim_random(s, SECOND / 2);
    if (s->options.joins && fault == SIM_LATE) { /* who has not begun is given up by nobody */
        n->stalled_until = 0;
        fault = SIM_DIE;
    }
    if (s->options.joins && (n->failed_at > 0 || n->is_absent || fault == SIM_STALL)) {
        plan_trouble(s);
        return;
    }
    if (fault != SIM_STALL || ms > SHORT_STALL_MS) {
        n->is_faulty = 1;
        n->failed_at = at + 1 + ms * MS;
    }
    sim_at(s, at, SIM_FAULT, number, (int)fault, NULL, ms);
}

/* SIGSTOP of the whole job: everybody stands still for long, nobody is dead. */
static void plan_suspension(struct sim *s)
{
    uint64_t from = sim_random(s, SIM_WORK_NS), length = 500 * MS + sim_random(s, SECOND);

    for (int i = 0; i < s->config.nodes; i++)
        sim_at(s, from + sim_random(s, 20 * MS), SIM_FAULT, i, SIM_STALL, NULL,
               (uint32_t)((length + sim_random(s, 20 * MS)) / MS));
    s->stop_at += length + SECOND;
    s->is_slow = 1; /* deadlines pass */
}

/* --- With joins -------------------------------------------------------------------------------------------------- */

/* Few children, as those of a node that is not there come to its parent. No chain of 64: a lease takes its way. */
static void choose_joins(struct sim *s)
{
    s->config.has_joins = 1;
    s->config.lease_ns = 300 * MS;
    s->evicts = sim_random(s, 2) == 0;
    if (s->config.arity > 4)
        s->config.arity = 4;
    if (s->config.nodes > 12 && s->config.arity == 1)
        s->config.arity = 2;
    s->buffers = s->has_faults ? MIOC_AGENT_CHILDREN_MAX * (s->config.window + 1) + 9 : s->buffers;
}

/* Nodes begin at about the same time, or much later; one or two never. */
static void plan_begins(struct sim *s)
{
    uint64_t is_late = sim_random(s, 2), absent = sim_random(s, 3);

    for (int i = 0; i < s->config.nodes; i++) {
        struct sim_node *n = &s->node[i];
        uint64_t at = sim_random(s, 10 * MS);

        if (is_late && i > 0 && sim_random(s, 3) == 0) {
            at = sim_random(s, 350 * MS);
            n->ns_per_kib = sim_random(s, 2) ? 20000 : n->ns_per_kib; /* much happens while it catches up */
        }
        n->stalled_until = 0;
        n->began_at = at;
        if (i > 0 && absent > 0 && sim_random(s, (uint64_t)s->config.nodes) < 2) {
            absent--;
            n->is_absent = n->is_faulty = 1;
        } else {
            sim_at(s, at, SIM_BEGIN, i, 0, NULL, 0);
        }
    }
}

/* Faulty nodes begin anew, or not. Who does so is well from then on, if the root is. */
static void plan_returns(struct sim *s)
{
    for (int i = 1; i < s->config.nodes; i++) {
        struct sim_node *n = &s->node[i];
        uint64_t at;

        n->is_cut = n->is_faulty || s->node[0].is_faulty;
        if (!n->is_faulty || n->is_absent || sim_random(s, 3) == 0)
            continue;
        at = (n->failed_at > n->began_at ? n->failed_at : n->began_at) + 1 +
             sim_random(s, sim_random(s, 2) ? 600 * MS : 20 * MS);
        if (n->failed_at > 2 * MS && sim_random(s, 2)) /* its INVALIDATE may outlive it */
            sim_at(s, n->failed_at - sim_random(s, 2 * MS), SIM_WRITE, i, (int)sim_random(s, SIM_PATHS), NULL, 0);
        if (at > SIM_WORK_NS + 500 * MS) /* too late to be checked */
            continue;
        n->heals = !s->node[0].is_faulty;
        sim_at(s, at, SIM_BEGIN, i, 0, NULL, 0);
    }
}

void sim_plan(struct sim *s)
{
    choose_world(s);
    if (s->options.joins)
        choose_joins(s);
    sim_make_nodes(s);
    plan_nodes(s);
    if (s->options.joins)
        plan_begins(s);
    plan_questions(s);
    plan_writes(s);
    for (uint64_t faults = s->has_faults ? 1 + sim_random(s, 4) : 0; faults > 0; faults--)
        plan_fault(s);
    if (s->options.joins) {
        s->node[0].is_cut = s->node[0].is_faulty;
        plan_returns(s);
        return;
    }
    if (!s->has_faults && sim_random(s, 8) == 0)
        plan_suspension(s);
    for (int i = 0; i < s->config.nodes; i++) {
        struct sim_node *n = &s->node[i];

        n->is_cut = n->is_faulty || (i > 0 && s->node[(i - 1) / s->config.arity].is_cut);
        sim_at(s, sim_random(s, 10 * MS), SIM_TICK, i, 0, NULL, 0);
    }
}
