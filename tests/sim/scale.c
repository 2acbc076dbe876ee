/* SPDX-License-Identifier: BSD-3-Clause */
/* scale.c - the event queue, the run, the result. */
#include "scale.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- Events: a radix heap, since time only goes on; equal times in the order in which they came ------------------ */

struct bucket {
    struct scale_event *event;
    size_t n, cap;
};

struct scale_queue {
    struct bucket bucket[65]; /* by the highest bit in which the time differs from `last` */
    size_t first;             /* taken from bucket 0 */
    uint64_t last;
};

static void add_event(struct scale_queue *q, struct scale_event event)
{
    struct bucket *b = &q->bucket[event.time == q->last ? 0 : 64 - __builtin_clzll(event.time ^ q->last)];

    if (b->n == b->cap) {
        b->cap = b->cap ? b->cap * 2 : 64;
        b->event = realloc(b->event, b->cap * sizeof(*b->event));
        if (b->event == NULL)
            abort();
    }
    b->event[b->n++] = event;
}

/* Makes bucket 0 hold what comes next. 0: there is nothing. */
static int refill(struct scale_queue *q)
{
    unsigned i = 1;
    uint64_t first = NEVER;

    q->bucket[0].n = q->first = 0;
    while (i < 65 && q->bucket[i].n == 0)
        i++;
    if (i == 65)
        return 0;
    for (size_t e = 0; e < q->bucket[i].n; e++)
        if (q->bucket[i].event[e].time < first)
            first = q->bucket[i].event[e].time;
    q->last = first;
    for (size_t e = 0, n = q->bucket[i].n; e < n; e++)
        add_event(q, q->bucket[i].event[e]);
    q->bucket[i].n = 0;
    return 1;
}

static int next_event(struct scale_queue *q, struct scale_event *event)
{
    if (q->first == q->bucket[0].n && !refill(q))
        return 0;
    *event = q->bucket[0].event[q->first++];
    return 1;
}

void scale_at(struct scale *s, uint64_t time, enum scale_what what, uint32_t node)
{
    add_event(s->queue, (struct scale_event){ time > s->queue->last ? time : s->queue->last, node, what });
}

/* --- Chance, failure, keys --------------------------------------------------------------------------------------- */

uint64_t scale_random(struct scale *s, uint64_t below)
{
    uint64_t z = (s->random += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (z ^ (z >> 31)) % below;
}

void scale_fail(struct scale *s, const char *format, ...)
{
    va_list args;

    if (s->has_failed)
        return;
    s->has_failed = 1;
    va_start(args, format);
    vsnprintf(s->failure, sizeof s->failure, format, args);
    va_end(args);
}

static uint32_t *slot_of(const struct scale *s, uint64_t hash)
{
    uint32_t at = (uint32_t)hash & (s->hashes - 1);

    while (s->job_of_hash[at] != 0 && s->hash_of_job[s->job_of_hash[at] - 1] != hash)
        at = (at + 1) & (s->hashes - 1);
    return &s->job_of_hash[at];
}

int scale_key(const struct scale *s, unsigned kind, const char *path, uint32_t len)
{
    return (int)*slot_of(s, mioc_item_hash(kind, path, len)) - 1;
}

static int make_keys(struct scale *s)
{
    const struct scale_trace *t = &s->trace;

    s->hashes = 64;
    while (s->hashes < 2 * t->jobs)
        s->hashes *= 2;
    s->job_of_hash = calloc(s->hashes, sizeof(*s->job_of_hash));
    s->hash_of_job = calloc(t->jobs, sizeof(*s->hash_of_job));
    s->at = malloc(t->jobs * sizeof(*s->at));
    if (!s->job_of_hash || !s->hash_of_job || !s->at)
        return -1;
    for (uint32_t job = 0; job < t->jobs; job++) {
        s->at[job] = NEVER;
        s->hash_of_job[job] = mioc_item_hash(t->job[job].kind, t->job[job].path, t->job[job].len);
        *slot_of(s, s->hash_of_job[job]) = job + 1;
    }
    return 0;
}

/* --- The run ----------------------------------------------------------------------------------------------------- */

static void happen(struct scale *s, const struct scale_event *e)
{
    struct scale_node *n = &s->node[e->node];

    s->events++;
    switch ((enum scale_what)e->what) {
    case SCALE_WAKE_AGENT:
        if (n->wake == e->time) /* else something rang before */
            scale_node_loop(n);
        break;
    case SCALE_RANK: scale_node_rank(n); break;
    case SCALE_SERVED: scale_served(s); break;
    }
}

static int start(struct scale *s)
{
    s->queue = calloc(1, sizeof(*s->queue));
    s->node = calloc((size_t)s->options.nodes, sizeof(*s->node));
    if (s->queue == NULL || s->node == NULL || make_keys(s) != 0 || scale_root_start(s) != 0)
        return -1;
    for (int i = 0; i < s->options.nodes; i++)
        if (scale_node_start(&s->node[i], s, (uint32_t)i) != 0)
            return -1;
    return 0;
}

static void sum_up(const struct scale *s, struct scale_result *result)
{
    *result = (struct scale_result){ .seconds = (double)s->longest / 1e9,
                                     .stream_bytes = s->log_end,
                                     .mean_seconds = (double)s->all / s->options.nodes / 1e9,
                                     .requests_at_root = mioc_agent_counters(s->node[0].agent)->requests_children };
    for (int i = 0; i < s->options.nodes; i++) {
        const struct scale_node *n = &s->node[i];
        uint64_t messages = (uint64_t)n->messages_in + n->messages_out, bytes = n->bytes_in + n->bytes_out;

        if (i == 0) {
            result->root_messages = messages;
            result->root_bytes = bytes;
        }
        if (messages > result->node_messages)
            result->node_messages = messages;
        if (bytes > result->node_bytes)
            result->node_bytes = bytes;
    }
}

static void clean_up(struct scale *s)
{
    for (int i = 0; s->node && i < s->options.nodes; i++) {
        mioc_agent_free(s->node[i].agent);
        scale_net_free(&s->node[i]);
    }
    scale_net_end();
    if (s->root)
        scale_root_end(s);
    for (unsigned i = 0; s->queue && i < 65; i++)
        free(s->queue->bucket[i].event);
    free(s->queue);
    free(s->node);
    free(s->log);
    free(s->at);
    free(s->job_of_hash);
    free(s->hash_of_job);
}

int scale_run(struct scale *s, const struct scale_options *options, struct scale_result *result)
{
    struct scale_trace trace = s->trace;
    struct scale_event e;

    *s = (struct scale){ .trace = trace, .options = *options, .random = options->seed };
    if (start(s) != 0)
        scale_fail(s, "no memory");
    while (!s->has_failed && s->done < (unsigned)options->nodes && next_event(s->queue, &e)) {
        s->now = e.time;
        if (s->now > 2000 * SECOND)
            scale_fail(s, "%u of %d nodes have imported all after 1000 s", s->done, options->nodes);
        happen(s, &e);
    }
    if (!s->has_failed)
        sum_up(s, result);
    clean_up(s);
    return s->has_failed ? -1 : 0;
}
