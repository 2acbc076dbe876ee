/* SPDX-License-Identifier: BSD-3-Clause */
/* agent_link.c - sends what is due to neighbours (queue, requests, heartbeats, LEAVE), and notices their silence. */
#include "agent_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* --- Sending ----------------------------------------------------------------------------------------------------- */

static int send_leave(struct mioc_agent *a, struct mioc_agent_link *link)
{
    void *buf = mioc_agent_buffer(a);

    return buf == NULL ? -1 : mioc_agent_post(a, link, buf, mioc_wire_leave(buf, link->leave_flags));
}

/* A buffer for one more message to the parent; NULL: it must wait for WELCOME, the parent's window is full, or no
 * buffer is free. */
static void *parent_buffer(struct mioc_agent *a)
{
    int is_goodbye = a->state != MIOC_AGENT_RUNNING && a->queued == 1 && a->parent.state == MIOC_LINK_GREETED;

    if ((a->parent.state != MIOC_LINK_UP && !is_goodbye) || a->parent.inflight >= MIOC_AGENT_UP_WINDOW)
        return NULL;
    return mioc_agent_buffer(a);
}

/* What went to a parent that was lost goes again. But the stream may say that it came to the root. */
static int waits_for_stream(const struct mioc_agent *a, const struct mioc_agent_out *out)
{
    return out->sent != 0 && a->state == MIOC_AGENT_RUNNING && a->host.end(a->host.ctx) < a->needed;
}

static void send_queue(struct mioc_agent *a)
{
    struct mioc_agent_out *out;
    void *buf;

    while ((out = STAILQ_FIRST(&a->queue)) != NULL && !waits_for_stream(a, out) && (buf = parent_buffer(a)) != NULL) {
        memcpy(buf, out->bytes, out->size);
        if (mioc_agent_post(a, &a->parent, buf, out->size) != 0)
            return; /* the link may have been dropped, and the queue with it */
        mioc_agent_queue_sent(a);
    }
}

/* Behind the queue: a question that comes after a write must not be answered from before that write. */
static void send_requests(struct mioc_agent *a)
{
    struct mioc_agent_pending *p;
    size_t size;
    void *buf;

    if (!mioc_agent_is_ready(a)) /* what is on its way need not be asked */
        return;
    while (STAILQ_EMPTY(&a->queue) && (p = TAILQ_FIRST(&a->unsent)) != NULL && (buf = parent_buffer(a)) != NULL) {
        /* The end as it is now, not as it was at the question: an answer below it would have been taken already. */
        size = mioc_wire_request(buf, p->kind, a->host.end(a->host.ctx), p->path, p->len);
        if (mioc_agent_post(a, &a->parent, buf, size) != 0)
            return;
        TAILQ_REMOVE(&a->unsent, p, unsent);
        p->is_unsent = 0;
        a->counters.requests_sent++;
    }
}

static void send_leaves(struct mioc_agent *a)
{
    for (unsigned i = 0; i < a->children; i++)
        if (a->child[i].owes_leave && send_leave(a, &a->child[i]) == 0)
            a->child[i].owes_leave = 0;
}

void mioc_agent_flush(struct mioc_agent *a)
{
    enum mioc_agent_end before;

    a->is_starved = 0;
    do { /* once more if the agent ended on the way: then it owes LEAVE */
        before = a->state;
        mioc_agent_note_readiness(a);
        mioc_agent_send_hello(a);
        if (a->config.has_joins) /* before the stream fills the windows */
            mioc_agent_heartbeats(a);
        send_queue(a);
        if (a->state == MIOC_AGENT_RUNNING)
            send_requests(a);
        if (a->state == MIOC_AGENT_RUNNING)
            mioc_agent_send_welcomes(a);
        if (a->state == MIOC_AGENT_RUNNING)
            mioc_agent_send_wishes(a);
        if (a->state == MIOC_AGENT_RUNNING)
            mioc_agent_pump(a);
        if (a->state == MIOC_AGENT_RUNNING)
            mioc_agent_sync(a);
        send_leaves(a);
    } while (a->state != before);
}

/* --- Heartbeats -------------------------------------------------------------------------------------------------- */

/* With has_joins a child that waits for its WELCOME hears that its parent waits, too, and lives. */
static int has_beats(const struct mioc_agent *a, const struct mioc_agent_link *link)
{
    return link->state == MIOC_LINK_UP ||
           (link->state == MIOC_LINK_GREETED && link != &a->parent && a->config.has_joins);
}

/* When the next HEARTBEAT is due. Any message is a sign of life, but only a HEARTBEAT prolongs a lease. A child is told
 * at once what its parent hears of the lease, and by the clock only if the parent hears nothing: so a deep tree does
 * not lose some of the lease at each level. */
static uint64_t beat_due(const struct mioc_agent *a, const struct mioc_agent_link *link)
{
    if (!a->config.has_joins)
        return link->sent + a->config.heartbeat_ns;
    return link->beaten + a->config.heartbeat_ns * (link == &a->parent ? 1 : 2);
}

static void beat(struct mioc_agent *a, struct mioc_agent_link *link, unsigned window)
{
    /* In a full window a sign of life is under way already. */
    if (a->state == MIOC_AGENT_RUNNING && has_beats(a, link) && link->inflight < window &&
        ((!link->has_sent && link->state == MIOC_LINK_UP) || link->owes_beat || a->now >= beat_due(a, link)))
        (void)mioc_agent_beat(a, link);
}

void mioc_agent_heartbeats(struct mioc_agent *a)
{
    beat(a, &a->parent, MIOC_AGENT_UP_WINDOW);
    for (unsigned i = 0; i < a->children; i++)
        beat(a, &a->child[i], a->config.window);
}

/* --- Silence ----------------------------------------------------------------------------------------------------- */

/* It waits for its parent's WELCOME, and is to hear that the parent lives. */
static int is_waiting(const struct mioc_agent *a, const struct mioc_agent_link *link)
{
    return link == &a->parent && link->state == MIOC_LINK_GREETED && a->config.has_joins;
}

static void listen_for(struct mioc_agent *a, struct mioc_agent_link *link, uint64_t own_stall)
{
    int is_mute = link->state == MIOC_LINK_JOINED && link != &a->parent; /* it has yet to say HELLO */

    if (link->state != MIOC_LINK_UP && !is_mute && !is_waiting(a, link))
        return;
    link->heard += own_stall;
    if (link->heard > a->now)
        link->heard = a->now;
    if (a->now - link->heard < a->config.silence_ns)
        return;
    if (is_mute)
        mioc_agent_dismiss(a, link, MIOC_LEAVE_ELSEWHERE);
    else
        mioc_agent_drop(a, link, MIOC_LINK_DEAD);
}

/* Silence counts only while this agent listened: after a SIGSTOP of the whole job nobody is dead. */
void mioc_agent_listen(struct mioc_agent *a)
{
    uint64_t gap = a->now - a->ticked, own_stall = gap > 2 * a->config.heartbeat_ns ? gap : 0;

    a->ticked = a->now;
    listen_for(a, &a->parent, own_stall);
    for (unsigned i = 0; i < a->children; i++)
        listen_for(a, &a->child[i], own_stall);
}

static uint64_t sooner(uint64_t a, uint64_t b) { return a < b ? a : b; }

static uint64_t next_of_link(const struct mioc_agent *a, const struct mioc_agent_link *link)
{
    if (link->state == MIOC_LINK_JOINED && link != &a->parent)
        return link->heard + a->config.silence_ns;
    if (is_waiting(a, link))
        return link->heard + a->config.silence_ns;
    if (!has_beats(a, link))
        return UINT64_MAX;
    /* An agent that has ended sends no heartbeats. */
    return sooner(a->state == MIOC_AGENT_RUNNING ? beat_due(a, link) : UINT64_MAX,
                  link->state == MIOC_LINK_UP ? link->heard + a->config.silence_ns : UINT64_MAX);
}

uint64_t mioc_agent_next(const struct mioc_agent *a)
{
    uint64_t retry = a->now + MIOC_AGENT_RETRY_NS, next = a->now + a->config.heartbeat_ns;
    const struct mioc_agent_pending *oldest = TAILQ_FIRST(&a->by_age);

    if (a->is_starved)
        return retry;
    next = sooner(next, next_of_link(a, &a->parent));
    for (unsigned i = 0; i < a->children; i++)
        next = sooner(next, next_of_link(a, &a->child[i]));
    if (oldest != NULL)
        next = sooner(next, oldest->since + a->config.request_ns);
    if (mioc_agent_has_lost(a))
        next = sooner(next, a->lost_until);
    if (a->was_ready)
        next = sooner(next, a->lease);
    return next > retry ? next : retry;
}

uint64_t mioc_agent_tick(struct mioc_agent *a, uint64_t now)
{
    mioc_agent_set_time(a, now);
    mioc_agent_listen(a);
    mioc_agent_pending_expire(a);
    mioc_agent_queue_expire(a);
    mioc_agent_heartbeats(a);
    mioc_agent_flush(a);
    return mioc_agent_next(a);
}
