/* SPDX-License-Identifier: BSD-3-Clause */
/* scale_node.c - a node: the agent's thread as in node_agent.c, its store, its rank. */
#include "transport/pause.h"
#include "scale.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LOOKS 2048u /* reach for a minute of silence; a heartbeat comes each second */

static uint64_t earlier(uint64_t a, uint64_t b) { return a < b ? a : b; }

/* --- The store: a prefix of the log ------------------------------------------------------------------------------ */

int scale_is_known(const struct scale_node *n, int job) { return job >= 0 && n->scale->at[job] < n->end; }

static int is_known(void *ctx, unsigned kind, const char *path, uint32_t len)
{
    const struct scale_node *n = ctx;

    return scale_is_known(n, scale_key(n->scale, kind, path, len));
}

/* What the root appends is new; to everybody else it must be what the log has there. */
static int64_t append(void *ctx, const struct mioc_item *item)
{
    struct scale_node *n = ctx;
    struct scale *s = n->scale;
    uint64_t at = n->end;

    s->now += SCALE_PER_ITEM;
    if (n->number == 0) {
        if (at + item->size > s->log_room) {
            s->log_room = (at + item->size) * 2;
            s->log = realloc(s->log, s->log_room);
            if (s->log == NULL)
                abort();
        }
        memcpy(s->log + at, item, item->size);
        s->log_end += item->size;
    } else if (at + item->size > s->log_end || memcmp(s->log + at, item, item->size) != 0) {
        scale_fail(s, "node %u is given another item than the root's at %lu", n->number, (unsigned long)at);
        return -1;
    }
    n->end += item->size;
    return (int64_t)at;
}

static int write_chunk(void *ctx, const struct mioc_chunk_record *chunk, const void *bytes)
{
    (void)bytes;
    ((struct scale_node *)ctx)->scale->now +=
        chunk->length * SCALE_PS_PER_BYTE / 1000 + (chunk->offset == 0 ? SCALE_PER_CONTENT : 0);
    return 0;
}

static int read_chunk(void *ctx, const struct mioc_chunk_record *chunk, void *bytes)
{
    (void)ctx;
    (void)chunk;
    (void)bytes;
    return 0;
}

static const struct mioc_item *item_at(void *ctx, uint64_t offset)
{
    const struct scale_node *n = ctx;

    return offset < n->end ? (const void *)(n->scale->log + offset) : NULL;
}

static uint64_t end_of(void *ctx) { return ((const struct scale_node *)ctx)->end; }

/* --- The rank ---------------------------------------------------------------------------------------------------- */

static const struct scale_lookup *lookup_of(const struct scale_node *n) { return &n->scale->trace.lookup[n->next]; }

/* Its own pace: cores are not equally fast, and something else runs now and then. */
static void think(struct scale_node *n)
{
    uint64_t time = lookup_of(n)->think;

    n->since += time * (95 + scale_random(n->scale, 11)) / 100;
}

static void finish(struct scale_node *n)
{
    struct scale *s = n->scale;

    n->is_done = 1;
    s->done++;
    s->all += n->since - n->began;
    if (n->since - n->began > s->longest)
        s->longest = n->since - n->began;
}

void scale_node_rank(struct scale_node *n)
{
    struct scale *s = n->scale;

    if (n->since < s->now)
        n->since = s->now;
    /* What is known now is known then. */
    while (scale_is_known(n, (int)lookup_of(n)->job) || scale_is_known(n, lookup_of(n)->other)) {
        if (++n->next == s->trace.lookups) {
            finish(n);
            return;
        }
        think(n);
    }
    if (n->since > s->now) {
        scale_at(s, n->since, SCALE_RANK, n->number);
        return;
    }
    n->is_asking = 1;
    scale_node_ring(n);
}

static void answer(void *ctx, unsigned kind, const char *path, uint32_t len, int answered)
{
    struct scale_node *n = ctx;
    const struct scale_job *job = &n->scale->trace.job[lookup_of(n)->job];

    if (n->is_asking != 2 || (kind != 0 && (kind != job->kind || len != job->len || memcmp(path, job->path, len) != 0)))
        return;
    if (!answered)
        scale_fail(n->scale, "node %u is sent to the real call", n->number);
    n->is_asking = 0;
    scale_at(n->scale, n->scale->now + SCALE_WAKE, SCALE_RANK, n->number);
}

static unsigned take_request(struct scale_node *n)
{
    const struct scale_job *job = &n->scale->trace.job[lookup_of(n)->job];

    if (n->is_asking != 1)
        return 0;
    n->is_asking = 2;
    n->scale->now += SCALE_PER_MESSAGE;
    mioc_agent_ask(n->agent, job->kind, job->path, job->len, n->scale->now);
    return 1;
}

/* --- The thread -------------------------------------------------------------------------------------------------- */

static void schedule(struct scale_node *n, uint64_t time)
{
    if (time >= n->wake)
        return;
    n->wake = time;
    scale_at(n->scale, time, SCALE_WAKE_AGENT, n->number);
}

void scale_node_ring(struct scale_node *n)
{
    uint64_t time = n->scale->now + SCALE_WAKE;

    schedule(n, time > n->looked ? time : n->looked);
}

/* When a silent thread looks: looks[is_busy][i] ns after the last that found something. Each sleep is a little longer.
 */
static uint64_t looks[2][LOOKS];

static void fill_looks(void)
{
    for (int is_busy = 0; is_busy < 2; is_busy++)
        for (unsigned i = 1; i < LOOKS; i++)
            looks[is_busy][i] = looks[is_busy][i - 1] + mioc_pause(is_busy, looks[is_busy][i - 1]) + SCALE_SLACK;
}

/* When it looks first at or behind `due`, if nothing rings: until then it finds nothing, and is_busy cannot change. */
static uint64_t next_look(const struct scale_node *n, uint64_t due)
{
    const uint64_t *table = looks[mioc_agent_is_busy(n->agent) || scale_unsent(n) > 0];
    uint64_t silence = due > n->looked ? due - n->looked : 0;
    unsigned low = 1, high = LOOKS - 1;

    while (low < high) {
        unsigned middle = (low + high) / 2;

        if (table[middle] < silence)
            low = middle + 1;
        else
            high = middle;
    }
    return n->looked + table[low];
}

void scale_node_expect(struct scale_node *n, uint64_t time)
{
    if (n->agent != NULL && time < n->wake)
        schedule(n, next_look(n, time));
}

/* agent_main() of node_agent.c. */
void scale_node_loop(struct scale_node *n)
{
    struct scale *s = n->scale;
    uint64_t before = s->now;
    unsigned found = 0;
    uint64_t due;

    n->wake = NEVER;
    for (;;) {
        unsigned events = take_request(n), taken = 0;

        while (n->number == 0 && taken < SCALE_TAKE_MOST && scale_take_resolved(s))
            taken++;
        events += taken;
        for (unsigned polls = 0; polls < SCALE_TAKE_MOST && scale_poll(n); polls++)
            events++;
        n->tick = mioc_agent_tick(n->agent, s->now);
        if (events == 0)
            break;
        found += events;
    }
    if (found > 0)
        n->looked = s->now;
    due = earlier(n->tick, scale_poll_due(n));
    schedule(n, next_look(n, due > s->now ? due : s->now + 1)); /* what came meanwhile is found behind a sleep */
    s->now = before;
}

int scale_node_start(struct scale_node *n, struct scale *s, uint32_t number)
{
    const struct mioc_agent_config config = { .node = (int)number,
                                              .nodes = s->options.nodes,
                                              .arity = SCALE_ARITY,
                                              .request_ns = 10 * SECOND,
                                              .heartbeat_ns = SECOND,
                                              .silence_ns = 10 * SECOND,
                                              .window = SCALE_WINDOW };
    const struct mioc_agent_host host = { .ctx = n,
                                          .is_known = is_known,
                                          .append = append,
                                          .write_chunk = write_chunk,
                                          .read_chunk = read_chunk,
                                          .item_at = item_at,
                                          .end = end_of,
                                          .resolve = scale_resolve,
                                          .get_buffer = scale_get_buffer,
                                          .put_buffer = scale_put_buffer,
                                          .send = scale_send,
                                          .answer = answer };

    if (number == 0)
        fill_looks();
    n->scale = s;
    n->number = number;
    n->wake = NEVER;
    n->agent = mioc_agent_new(&config, &host, 0);
    if (n->agent == NULL)
        return -1;
    n->looked = scale_random(s, MIOC_PAUSE_BUSY_NS); /* it has just met its neighbours */
    schedule(n, n->looked);
    n->began = n->since = (int)number + 1 < s->options.nodes ? s->options.lead_ns : 0;
    think(n);
    scale_at(s, n->since, SCALE_RANK, number);
    return 0;
}
