/* SPDX-License-Identifier: BSD-3-Clause */
/* sim_thread.c - what a node's threads do: they ask, wait, and write. */
#include "sim.h"

#include <stdlib.h>

void sim_answer(void *ctx, unsigned kind, const char *path, uint32_t len, int answered)
{
    struct sim_node *n = ctx;
    int key = kind ? sim_key(sim_path_number(path, len), kind) : -1;
    unsigned kept = 0;

    if (answered && !mioc_agent_is_linked(n->agent))
        sim_fail(n->sim, "node %d answers from its store before it is linked", n->number);
    if (!answered && !n->is_cut && !n->is_leaving && !(n->sim->config.has_joins && n->sim->has_faults))
        sim_fail(n->sim, "node %d is told to make real calls for no reason", n->number);
    for (unsigned i = 0; i < n->waiters; i++) {
        const struct mioc_item *item;

        if (kind != 0 && n->waiter[i].key != key) {
            n->waiter[kept++] = n->waiter[i];
            continue;
        }
        item = answered ? sim_served(n, n->waiter[i].key) : NULL;
        if (item)
            sim_check_served(n, key, item);
        n->sim->answered += item != NULL;
        n->sim->real += item == NULL;
    }
    n->waiters = kept;
}

/* It is not linked any more for a while: who waits makes the real call. */
void sim_unlinked(void *ctx)
{
    struct sim_node *n = ctx;

    if (!n->sim->has_faults)
        sim_fail(n->sim, "node %d is not linked any more for no reason", n->number);
    n->sim->real += n->waiters;
    n->waiters = 0;
}

void sim_ask(struct sim_node *n, int key)
{
    struct sim *s = n->sim;
    const struct mioc_item *item = sim_served(n, key);

    s->asks++;
    if (item) {
        s->hits++;
        sim_check_served(n, key, item);
        return;
    }
    sim_at(s, s->now + sim_random(s, n->lag), SIM_TAKE, n->number, key, NULL, ++s->waiter_ids);
    sim_at(s, s->now + s->deadline, SIM_DEADLINE, n->number, (int)s->waiter_ids, NULL, 0);
}

/* The agent finds the question in the ring; its answer may have come meanwhile. */
void sim_take_question(struct sim_node *n, int key, uint32_t id)
{
    struct sim *s = n->sim;
    char path[64];
    uint32_t len = sim_path_name(key / SIM_KINDS, path);

    if (n->waiters == n->waiters_cap) {
        n->waiters_cap = n->waiters_cap ? n->waiters_cap * 2 : 8;
        n->waiter = realloc(n->waiter, n->waiters_cap * sizeof(*n->waiter));
    }
    n->waiter[n->waiters++] = (struct sim_waiter){ key, s->now, id };
    mioc_agent_ask(n->agent, (unsigned)(key % SIM_KINDS) + 1, path, len, s->now);
}

void sim_pass_deadline(struct sim_node *n, int id)
{
    for (unsigned i = 0; i < n->waiters; i++) {
        if ((int)n->waiter[i].id != id)
            continue;
        n->sim->timeouts++;
        if (!n->is_cut && !n->sim->is_slow)
            sim_fail(n->sim, "node %d never got an answer for key %d, asked at %llu us", n->number, n->waiter[i].key,
                     (unsigned long long)(n->waiter[i].asked / US));
        n->waiter[i] = n->waiter[--n->waiters];
        return;
    }
}

static void raise_version(void *ctx, int key)
{
    struct sim_node *n = ctx;

    n->wrote[key] = ++n->sim->version[key];
    n->sim->write[n->sim->writes].made[key] = n->wrote[key];
    n->sim->cut_writes[key] += n->is_cut != 0;
}

void sim_write_path(struct sim_node *n, int path, uint32_t flags)
{
    struct sim *s = n->sim;
    char name[64];
    uint32_t len = sim_path_name(path, name);

    sim_concerned(path, flags, raise_version, n);
    if (n->number == 0)
        sim_root_wrote(s, path, flags);
    s->write[s->writes].node = n->number;
    s->write[s->writes].is_cut = n->is_cut;
    s->write[s->writes].path = path;
    s->write[s->writes].flags = flags;
    s->write[s->writes++].token = ++n->tokens;
    sim_hold_add(n, path, flags, n->tokens);
    mioc_agent_wrote(n->agent, name, len, flags, n->tokens, s->now);
}
