/* SPDX-License-Identifier: BSD-3-Clause */
/* agent_lease.c - until when stores may be served, and which lost ones may be served still. README.md
 * ("Leases") explains it. */
#include "agent_internal.h"

static uint64_t lesser(uint64_t a, uint64_t b) { return a < b ? a : b; }

/* --- Above: what is promised to a child -------------------------------------------------------------------------- */

void mioc_agent_note_clock(struct mioc_agent *a, struct mioc_agent_link *link, uint64_t clock)
{
    if (clock == 0 || !a->config.has_joins)
        return;
    link->clock = clock;
    link->clock_at = a->now;
    if (mioc_agent_is_root(a)) /* others hand on what they get, as soon as they get it */
        mioc_agent_owe_beat(a, link);
}

/* A child's time was `clock` before this node's was `clock_at`. So what ends here at `promise` ends there, at the
 * latest, at `clock` and the difference. A sixteenth is for clocks that differ in speed, or are coarse. */
uint64_t mioc_agent_grant(const struct mioc_agent *a, const struct mioc_agent_link *link)
{
    uint64_t known = link->cursor > link->needed ? link->cursor : link->needed;
    uint64_t promise = lesser(link->heard + a->config.lease_ns - a->config.lease_ns / 16, a->lease);

    if (!a->config.has_joins || link->clock == 0 || !mioc_agent_is_ready(a) || known < a->needed ||
        a->now - link->clock_at >= a->config.silence_ns || promise <= link->clock_at)
        return 0;
    return promise - link->clock_at;
}

void mioc_agent_note_lost(struct mioc_agent *a, const struct mioc_agent_link *link)
{
    uint64_t until = link->heard + a->config.lease_ns;

    if (!a->config.has_joins || until <= a->now)
        return;
    a->lost_applied = mioc_agent_has_lost(a) ? lesser(a->lost_applied, link->applied) : link->applied;
    if (until > a->lost_until)
        a->lost_until = until;
}

int mioc_agent_has_lost(const struct mioc_agent *a) { return a->now < a->lost_until; }

/* --- Below: what the parent has promised ------------------------------------------------------------------------- */

void mioc_agent_take_grant(struct mioc_agent *a, uint64_t clock, uint64_t grant)
{
    if (!a->config.has_joins || grant == 0)
        return;
    if (clock + grant > a->lease)
        a->lease = clock + grant;
    /* At once, all the way down: otherwise each level would lose some of the lease. */
    for (unsigned i = 0; i < a->children; i++)
        if (a->child[i].state == MIOC_LINK_UP)
            mioc_agent_owe_beat(a, &a->child[i]);
}

void mioc_agent_owe_beat(const struct mioc_agent *a, struct mioc_agent_link *link)
{
    link->owes_beat |= a->now - link->beaten >= a->config.heartbeat_ns / 2;
}

/* Calls come before anything is sent: once HELLO is under way, nobody may be served by what the old parent said. */
void mioc_agent_note_readiness(struct mioc_agent *a)
{
    int is_ready = mioc_agent_is_ready(a);

    if (a->was_ready && !is_ready && a->state == MIOC_AGENT_RUNNING && a->host.unlinked != NULL)
        a->host.unlinked(a->host.ctx);
    if (!a->was_ready && is_ready) {
        mioc_agent_pending_review(a);
        mioc_agent_pending_again(a); /* an answer may have come and gone meanwhile */
    }
    a->was_ready = is_ready;
    a->has_served |= is_ready;
}
