/* SPDX-License-Identifier: BSD-3-Clause */
/* agent_sync.c - how far all stores are in the stream, so that a write can wait until every node has heard of it.
 * mpi_shim/README.md ("A write") explains it. A neighbour that left or died serves nothing, so nobody waits for it. */
#include "agent_internal.h"

static uint64_t lesser(uint64_t a, uint64_t b) { return a < b ? a : b; }

/* How far all stores of this subtree are that are served. It never goes back: a child that joins late counts as far as
 * its WELCOME said (agent_join.c), which is at least what was claimed before. A store that was lost counts as long as
 * it may be served. */
static uint64_t applied_below(const struct mioc_agent *a)
{
    uint64_t applied = a->host.end(a->host.ctx);

    for (unsigned i = 0; i < a->children; i++)
        if (a->child[i].state == MIOC_LINK_UP)
            applied = lesser(applied, a->child[i].applied);
    return mioc_agent_has_lost(a) ? lesser(applied, a->lost_applied) : applied;
}

/* What a child hears of how far the job is: no more than it has of the stream, or knows that it lacks. */
static uint64_t settled_for(const struct mioc_agent *a, const struct mioc_agent_link *child)
{
    return lesser(a->settled, child->cursor > child->needed ? child->cursor : child->needed);
}

/* Those that `node` can be below hear how far the job is. With has_joins that can be several: a node hangs at whatever
 * ancestor it found. The number may come from a message and be of no node at all. */
static void await_news(struct mioc_agent *a, uint32_t node, uint64_t end)
{
    for (unsigned i = 0; i < a->children; i++)
        if (mioc_agent_is_below(a, (uint32_t)a->child[i].node, node))
            a->child[i].awaited = end;
}

/* What an earlier process of this node wrote can come behind the WELCOME of this one. */
static int is_of_this_life(const struct mioc_agent *a, uint64_t token)
{
    return !a->config.has_joins || (a->first_token > 0 && token >= a->first_token && token <= a->last_token);
}

void mioc_agent_sync_note(struct mioc_agent *a, const struct mioc_invalidate_record *record, uint64_t end)
{
    if (!(record->item.flags & MIOC_FLAG_EVICT))
        mioc_agent_queue_confirm(a, record->node, record->token);
    /* Nobody waits for it; or who did was there before this node was. */
    if (record->token == 0 || end <= a->born)
        return;
    a->awaited = end;
    /* No node waits for an eviction. But the root wants to know when it has taken effect everywhere. */
    if (record->item.flags & MIOC_FLAG_EVICT)
        return;
    await_news(a, record->node, end);
    if (record->node != (uint32_t)a->config.node || !is_of_this_life(a, record->token) ||
        (a->config.has_joins && record->token <= a->noted_token))
        return;
    a->noted_token = record->token;
    a->writes -= a->writes == MIOC_AGENT_WRITES;
    a->write[a->writes++] = (struct mioc_agent_write){ end, record->token };
}

void mioc_agent_sync_take(struct mioc_agent *a, struct mioc_agent_link *link, const struct mioc_message *m)
{
    uint64_t *how_far = link == &a->parent ? &a->settled : &link->applied;

    if (m->token > *how_far)
        *how_far = m->token;
    if (link == &a->parent)
        mioc_agent_take_grant(a, m->clock, m->grant);
    else
        mioc_agent_note_clock(a, link, m->clock);
}

static size_t compose(struct mioc_agent *a, struct mioc_agent_link *link, void *buf, uint64_t applied)
{
    size_t size = mioc_wire_heartbeat(buf, a->host.end(a->host.ctx), applied);

    if (link->state != MIOC_LINK_UP) /* a mere sign of life */
        return mioc_wire_plain(buf, MIOC_MESSAGE_HEARTBEAT, 0);
    if (a->config.has_joins && link == &a->parent)
        mioc_wire_add_lease(buf, a->now, 0);
    else if (a->config.has_joins)
        mioc_wire_add_lease(buf, link->clock, mioc_agent_grant(a, link));
    return size;
}

int mioc_agent_beat(struct mioc_agent *a, struct mioc_agent_link *link)
{
    uint64_t applied = link == &a->parent ? applied_below(a) : link->state == MIOC_LINK_UP ? settled_for(a, link) : 0;
    void *buf = mioc_agent_buffer(a);

    if (buf == NULL || mioc_agent_post(a, link, buf, compose(a, link, buf, applied)) != 0)
        return -1;
    *(link == &a->parent ? &a->applied : &link->told) = applied;
    link->beaten = a->now;
    link->owes_beat = 0;
    return 0;
}

static void answer_writes(struct mioc_agent *a)
{
    unsigned settled = 0;

    while (settled < a->writes && a->write[settled].end <= a->settled)
        settled++;
    if (settled == 0)
        return;
    a->host.settled(a->host.ctx, a->write[settled - 1].token);
    a->writes -= settled;
    for (unsigned i = 0; i < a->writes; i++)
        a->write[i] = a->write[i + settled];
}

void mioc_agent_sync(struct mioc_agent *a)
{
    uint64_t applied = applied_below(a);

    if (mioc_agent_is_root(a))
        a->settled = applied;
    else if (applied > a->applied && a->applied < a->awaited && a->parent.state == MIOC_LINK_UP &&
             a->parent.inflight < MIOC_AGENT_UP_WINDOW)
        (void)mioc_agent_beat(a, &a->parent);
    for (unsigned i = 0; i < a->children && a->state == MIOC_AGENT_RUNNING; i++) {
        struct mioc_agent_link *child = &a->child[i];

        if (settled_for(a, child) > child->told && child->told < child->awaited && child->state == MIOC_LINK_UP &&
            child->inflight < a->config.window)
            (void)mioc_agent_beat(a, child);
    }
    answer_writes(a);
}

int mioc_agent_is_syncing(const struct mioc_agent *a)
{
    int is_settling = a->writes > 0 || (mioc_agent_is_root(a) ? a->settled : a->applied) < a->awaited;

    for (unsigned i = 0; i < a->children; i++)
        is_settling |= a->child[i].state == MIOC_LINK_UP && a->child[i].told < a->child[i].awaited;
    return is_settling;
}
