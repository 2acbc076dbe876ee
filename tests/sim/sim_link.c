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
#define LINK_NS SECOND /* how long a node's threads wait for its link */
#define DEPTH 128      /* the most ancestors that are tried */

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
        n->avoids = peer;
    if (side == CHILD)
        sim_at(n->sim, n->sim->now + RETRY, SIM_TRY, n->number, (int)n->life, NULL, 0);
}

/* The other side hears of it behind what is on its way. */
static void tell_other(struct sim_node *n, unsigned link, uint64_t late)
{
    struct sim *s = n->sim;
    const struct sim_link *l = &s->link[link];
    int other = !side_of(l, n->number);

    sim_at_on(s, (l->last[other] > s->now ? l->last[other] : s->now) + 1 + late, SIM_LOST, l->node[other], n->number,
              NULL, 0, link);
}

void sim_break(struct sim_node *n, unsigned link)
{
    if (n->welcomes > 0 && !n->sim->has_faults)
        return;
    tell_other(n, link, 0);
    sim_lose(n, link);
}

static struct sim_link *link_up(struct sim_node *n)
{
    struct sim *s = n->sim;

    for (unsigned i = 0; i < s->links; i++)
        if (s->link[i].node[CHILD] == n->number && is_open_at(s, &s->link[i], n->number))
            return &s->link[i];
    return NULL;
}

void sim_hang_up(void *ctx, int peer)
{
    struct sim_node *n = ctx;
    struct sim_link *l = sim_link_of(n->sim, n->number, peer);
    unsigned link = l != NULL ? (unsigned)(l - n->sim->link) : 0;

    if (l == NULL)
        return;
    sim_at_on(n->sim, n->sim->now, SIM_LOST, n->number, peer, NULL, 0, link);
    if (!l->is_cut)
        tell_other(n, link, n->sim->latency);
}

void sim_cut_link(struct sim_node *n)
{
    struct sim_link *l = link_up(n);
    struct sim *s = n->sim;

    if (l == NULL)
        return;
    l->is_cut = 1;
    for (int side = 0; side < 2; side++)
        sim_at_on(s, s->now + sim_random(s, sim_random(s, 2) ? 700 * MS : 5 * MS), SIM_LOST, l->node[side],
                  l->node[!side], NULL, 0, (unsigned)(l - s->link));
}

void sim_hold_link(struct sim_node *n, uint64_t ns)
{
    struct sim_link *l = link_up(n);
    uint64_t which = sim_random(n->sim, 3);

    for (unsigned side = 0; l != NULL && side < 2; side++)
        if (which != side && l->last[side] < n->sim->now + ns)
            l->last[side] = n->sim->now + ns;
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

/* Who had a parent goes on with the next ancestor; at first each one gets some time. */
static int find_ancestor(const struct sim_node *n)
{
    uint64_t waited = n->sim->now - n->began_at;
    int list[DEPTH], count = 0, first = 0;

    for (int at = n->number; at > 0 && count < DEPTH && (n->avoids >= 0 || (uint64_t)count * PATIENCE <= waited);
         count++) {
        at = (at - 1) / n->sim->config.arity;
        first = at == n->avoids ? count + 1 : first;
        list[count] = at;
    }
    for (int i = 0; i < count; i++)
        if (is_reachable(&n->sim->node[list[(first + i) % count]]))
            return list[(first + i) % count];
    return -1;
}

void sim_try(struct sim_node *n)
{
    struct sim *s = n->sim;
    int parent;

    if (n->number == 0 || !is_reachable(n) || link_up(n) != NULL)
        return;
    parent = find_ancestor(n);
    if (parent >= 0)
        sim_at_on(s, s->now + s->latency + sim_random(s, s->jitter), SIM_JOINED, parent, n->number, NULL, 0,
                  add_link(s, n->number, parent));
    else
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
    n->is_gone = n->is_leaving = n->was_linked = n->was_served = 0;
    n->welcomes = 0;
    n->avoids = -1;
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

/* As node/node_join.c: threads do not wait for ever for the link. */
void sim_mind_link(struct sim_node *n)
{
    if (mioc_agent_is_linked(n->agent) || n->linked_at < n->began_at)
        n->linked_at = n->sim->now;
    if (n->sim->now - n->linked_at < LINK_NS || !n->sim->has_faults)
        return;
    n->sim->real += n->waiters;
    n->waiters = 0;
}
