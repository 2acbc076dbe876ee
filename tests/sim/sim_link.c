/* SPDX-License-Identifier: BSD-3-Clause */
/* sim_link.c - with joins: processes that begin, end and begin anew, and the links between them.
 *
 * A link is a connection of two processes. Each side knows of it from its JOINED to its LOST; what is under way to a
 * side that does not is lost, and a sender has its buffers back by SENT, or all at once by LOST. */
#include "sim.h"

#include <stdlib.h>
#include <string.h>

#define PATIENCE (400 * MS) /* with each ancestor that is not there */
#define RETRY (5 * MS)

enum { CHILD, PARENT };

static int side_of(const struct sim_link *l, int node) { return l->node[PARENT] == node ? PARENT : CHILD; }

struct sim_link *sim_link_of(struct sim *s, int node, int peer)
{
    for (unsigned i = s->links; i > 0; i--) {
        struct sim_link *l = &s->link[i - 1];

        if ((l->node[CHILD] == node && l->node[PARENT] == peer && l->is_open[CHILD]) ||
            (l->node[PARENT] == node && l->node[CHILD] == peer && l->is_open[PARENT]))
            return l;
    }
    return NULL;
}

/* Whether that side's process is the one that has the link, and it knows of it. */
static int is_open_at(const struct sim *s, const struct sim_link *l, int node)
{
    return l->is_open[side_of(l, node)] && l->life[side_of(l, node)] == s->node[node].life && !s->node[node].is_gone;
}

int sim_link_is_open(const struct sim *s, unsigned link, int node) { return is_open_at(s, &s->link[link], node); }

int sim_link_has_peer(const struct sim *s, const struct sim_link *l, int node)
{
    int other = !side_of(l, node);

    return l->life[other] == s->node[l->node[other]].life && !s->node[l->node[other]].is_gone;
}

/* --- The end of a link ------------------------------------------------------------------------------------------- */

void sim_lose(struct sim_node *n, unsigned link)
{
    struct sim_link *l = &n->sim->link[link];
    int side = side_of(l, n->number), peer = l->node[!side];

    if (!is_open_at(n->sim, l, n->number))
        return;
    l->is_open[side] = 0;
    n->buffers -= l->under_way[side];
    for (; l->under_way[side] > 0; l->under_way[side]--)
        mioc_agent_lost(n->agent, peer, n->sim->now);
    mioc_agent_lost(n->agent, peer, n->sim->now);
    if (side == CHILD)
        sim_at(n->sim, n->sim->now + RETRY, SIM_TRY, n->number, (int)n->life, NULL, 0);
}

void sim_break(struct sim_node *n, unsigned link)
{
    struct sim *s = n->sim;
    const struct sim_link *l = &s->link[link];

    if (n->welcomes > 0)
        return;
    sim_at_on(s, (l->last[PARENT] > s->now ? l->last[PARENT] : s->now) + 1, SIM_LOST, l->node[PARENT], n->number, NULL,
              0, link);
    sim_lose(n, link);
}

/* The process ends. The others hear of it behind its last words; or by its silence, if its node has died. */
void sim_close_links(struct sim_node *n)
{
    struct sim *s = n->sim;

    for (unsigned i = 0; i < s->links; i++) {
        struct sim_link *l = &s->link[i];
        int side = l->node[CHILD] == n->number ? CHILD : PARENT;

        if (l->node[side] != n->number || !l->is_open[side])
            continue;
        l->is_open[side] = 0;
        if (l->is_open[!side] && (s->detects_death || n->is_leaving))
            sim_at_on(s, (l->last[!side] > s->now ? l->last[!side] : s->now) + 1 + sim_random(s, 20 * MS), SIM_LOST,
                      l->node[!side], n->number, NULL, 0, i);
    }
}

/* --- A new link -------------------------------------------------------------------------------------------------- */

static int is_reachable(const struct sim_node *n)
{
    return n->agent != NULL && !n->is_gone && !n->is_leaving && mioc_agent_state(n->agent) == MIOC_AGENT_RUNNING;
}

static unsigned add_link(struct sim *s, int child, int parent)
{
    if (s->links == s->links_cap) {
        s->links_cap = s->links_cap ? s->links_cap * 2 : 64;
        s->link = realloc(s->link, s->links_cap * sizeof(*s->link));
    }
    s->link[s->links] =
        (struct sim_link){ .node = { child, parent }, .life = { s->node[child].life, s->node[parent].life } };
    return s->links++;
}

void sim_try(struct sim_node *n)
{
    struct sim *s = n->sim;
    uint64_t waited = s->now - n->began_at;
    int parent = n->number;

    if (n->number == 0 || !is_reachable(n))
        return;
    for (uint64_t patience = 0; parent > 0 && patience <= waited; patience += PATIENCE) {
        parent = (parent - 1) / s->config.arity;
        if (is_reachable(&s->node[parent])) {
            sim_at_on(s, s->now + s->latency + sim_random(s, s->jitter), SIM_JOINED, parent, n->number, NULL, 0,
                      add_link(s, n->number, parent));
            return;
        }
    }
    sim_at(s, s->now + RETRY + sim_random(s, RETRY), SIM_TRY, n->number, (int)n->life, NULL, 0);
}

/* The parent knows first: the child sends only when it has proved itself. */
void sim_take_joined(struct sim *s, unsigned link, int node)
{
    struct sim_link *l = &s->link[link];
    int side = side_of(l, node), peer = l->node[!side];
    struct sim_node *n = &s->node[node];
    struct sim_link *old;

    if (n->is_gone || n->agent == NULL || l->life[side] != n->life || (side == CHILD && !l->is_open[PARENT])) {
        sim_at(s, s->now + RETRY, SIM_TRY, l->node[CHILD], (int)l->life[CHILD], NULL, 0);
        return;
    }
    old = sim_link_of(s, node, peer);
    if (old != NULL)
        sim_lose(n, (unsigned)(old - s->link));
    l->is_open[side] = 1;
    if (side == PARENT)
        sim_at_on(s, s->now + s->latency + sim_random(s, s->jitter), SIM_JOINED, peer, node, NULL, 0, link);
    else if (sim_random(s, 8) == 0)
        sim_at_on(s, s->now + sim_random(s, 4 * s->latency), SIM_BREAK, node, peer, NULL, 0, link);
    mioc_agent_joined(n->agent, peer, s->now);
}

/* --- Lives ------------------------------------------------------------------------------------------------------- */

static void forget_store(struct sim_node *n)
{
    n->end = 0;
    n->limit = n->life > 1 ? UINT32_MAX / 4 : n->limit;
    memset(n->live, 0, sizeof n->live);
    memset(n->held, 0, sizeof n->held);
    memset(n->wrote, 0, sizeof n->wrote);
    memset(n->got, 0, sizeof n->got);
    memset(n->gave_up, 0, sizeof n->gave_up);
    memset(n->is_hollow, 0, sizeof n->is_hollow);
    n->holds = n->waiters = n->buffers = n->hollows = 0;
    n->settled = n->former = n->tokens;
}

void sim_begin(struct sim_node *n)
{
    struct sim *s = n->sim;

    if (n->agent != NULL && !n->is_gone)
        sim_close_links(n);
    mioc_agent_free(n->agent);
    n->life++;
    n->is_gone = n->is_leaving = n->was_linked = 0;
    n->welcomes = 0;
    n->synced = 0;
    n->stalled_until = 0;
    n->began_at = s->now;
    if (n->life > 1 && n->heals)
        n->is_cut = 0;
    forget_store(n);
    sim_join(n);
    sim_at(s, s->now + sim_random(s, 10 * MS), SIM_TICK, n->number, (int)n->life, NULL, 0);
    sim_at(s, s->now + sim_random(s, 5 * MS), SIM_TRY, n->number, (int)n->life, NULL, 0);
}
