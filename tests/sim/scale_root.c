/* SPDX-License-Identifier: BSD-3-Clause */
/* scale_root.c - the root's resolver threads and the metadata service that they call; the manifest's bulk.
 *
 * A content is handed out when all of it was read, and in its turn; the real resolver hands its chunks out as they are
 * read, and lets small answers overtake them. So the simulated import is rather too slow. */
#include "scale.h"

#include <stdlib.h>
#include <string.h>

#define DEPTH 16 /* jobs that bring jobs that bring jobs */

enum state { UNASKED, EARLY, ASKED, READY };

struct thread {
    uint64_t time;
    unsigned depth;
    int is_early;
    uint32_t job[DEPTH];
}; /* the last first; NEVER: idle */

struct jobs {
    uint32_t *job;
    unsigned first, n;
};

struct scale_root {
    enum state *state; /* of each job */
    struct jobs asked, early, ready;
    struct thread thread[SCALE_RESOLVERS];
    unsigned early_active;
    uint64_t *server; /* until when each of the service's servers is busy */
    /* What is being handed out: its next item, its content's next byte. */
    unsigned item;
    uint64_t byte;
    uint32_t contents;
    uint32_t *start, *brings; /* of each job: what it brings, brings[start[j]] .. brings[start[j + 1]] */
    char *is_before;
};

static _Alignas(8) char item[MIOC_ITEM_MAX];
static const char nothing[MIOC_CHUNK_MAX]; /* contents have no bytes here, only a length */

static uint64_t later(uint64_t a, uint64_t b) { return a > b ? a : b; }

/* --- Doing jobs -------------------------------------------------------------------------------------------------- */

/* One call after the other, each by the server that is free first. */
static uint64_t serve(struct scale *s, const struct scale_job *job)
{
    uint64_t time = s->now, service = s->options.service_ns;

    for (uint32_t call = 0; call < job->calls; call++) {
        int best = 0;

        for (int i = 1; i < s->options.servers; i++)
            if (s->root->server[i] < s->root->server[best])
                best = i;
        if (s->options.servers > 0)
            time = s->root->server[best] = later(time, s->root->server[best]) + service;
        else
            time += service;
    }
    return time + job->bytes * SCALE_READ_PS_PER_BYTE / 1000;
}

static int is_new(const struct scale *s, uint32_t job) { return s->root->state[job] <= EARLY && s->at[job] == NEVER; }

static void ask(struct scale *s, uint32_t job)
{
    if (!is_new(s, job))
        return;
    s->root->state[job] = ASKED;
    s->root->asked.job[s->root->asked.n++] = job;
}

/* With what it brings before its own answer, if somebody asked for it. */
static void push(struct scale *s, struct thread *t, uint32_t job)
{
    struct scale_root *r = s->root;

    t->job[t->depth++] = job;
    for (uint32_t i = r->start[job]; i < r->start[job + 1] && !t->is_early && t->depth < DEPTH; i++)
        if (r->is_before[i] && r->state[r->brings[i]] == UNASKED && is_new(s, r->brings[i])) {
            r->state[r->brings[i]] = ASKED;
            push(s, t, r->brings[i]);
        }
}

static void go_on(struct scale *s, struct thread *t)
{
    t->time = serve(s, &s->trace.job[t->job[t->depth - 1]]);
    scale_at(s, t->time, SCALE_SERVED, 0);
}

/* What somebody waits for first; one thread is always kept for that. (resolver_jobs.c) */
static int take_job(struct scale *s, struct thread *t)
{
    struct scale_root *r = s->root;

    t->is_early = 0;
    if (r->asked.first < r->asked.n) {
        push(s, t, r->asked.job[r->asked.first++]);
        return 1;
    }
    while (r->early.first < r->early.n && r->state[r->early.job[r->early.first]] != EARLY)
        r->early.first++; /* asked meanwhile */
    if (r->early.first == r->early.n || r->early_active + 1 >= SCALE_RESOLVERS)
        return 0;
    t->is_early = 1;
    r->early_active++;
    r->state[r->early.job[r->early.first]] = ASKED;
    push(s, t, r->early.job[r->early.first++]);
    return 1;
}

static void start_threads(struct scale *s)
{
    for (unsigned i = 0; i < SCALE_RESOLVERS; i++) {
        struct thread *t = &s->root->thread[i];

        if (t->time == NEVER && take_job(s, t))
            go_on(s, t);
    }
}

void scale_resolve(void *ctx, unsigned kind, const char *path, uint32_t len)
{
    struct scale *s = ((struct scale_node *)ctx)->scale;
    int job = scale_key(s, kind, path, len);

    if (job < 0) {
        scale_fail(s, "the root is asked for what nobody asked");
        return;
    }
    ask(s, (uint32_t)job);
    start_threads(s);
}

static void finish_job(struct scale *s, struct thread *t)
{
    struct scale_root *r = s->root;
    uint32_t job = t->job[--t->depth];

    r->ready.job[r->ready.n++] = job;
    r->state[job] = READY;
    for (uint32_t i = r->start[job]; i < r->start[job + 1] && !t->is_early; i++)
        if (!r->is_before[i] && r->state[r->brings[i]] == UNASKED)
            ask(s, r->brings[i]);
    r->early_active -= (unsigned)t->is_early;
    t->time = NEVER;
    if (t->depth > 0)
        go_on(s, t);
}

void scale_served(struct scale *s)
{
    for (unsigned i = 0; i < SCALE_RESOLVERS; i++)
        if (s->root->thread[i].time <= s->now)
            finish_job(s, &s->root->thread[i]);
    start_threads(s);
    scale_node_ring(&s->node[0]);
}

/* --- Handing out ------------------------------------------------------------------------------------------------- */

static void publish_chunk(struct scale *s, const struct scale_job *job)
{
    struct scale_root *r = s->root;
    struct mioc_chunk_record *chunk = (void *)item;
    uint64_t left = job->bytes - r->byte;

    mioc_item_finish(item, mioc_item_begin(item, MIOC_ITEM_CHUNK, 0, "", 0));
    chunk->content = r->contents;
    chunk->length = left < MIOC_CHUNK_MAX ? (uint32_t)left : MIOC_CHUNK_MAX;
    chunk->offset = r->byte;
    chunk->total = job->bytes;
    r->byte += chunk->length;
    (void)mioc_agent_publish(s->node[0].agent, (void *)item, nothing, s->now);
}

/* Of the recorded size; what is in it matters to nobody here, but it must pass the checks. */
static void publish_record(struct scale *s, const struct scale_job *job, unsigned kind, uint32_t size)
{
    char *end = mioc_item_begin(item, kind, 0, job->path, job->len);
    int number = scale_key(s, kind, job->path, job->len);

    if (kind == MIOC_ITEM_STAT)
        ((struct mioc_stat_record *)item)->link_errno = 22;
    else if (kind == MIOC_ITEM_LIST)
        ((struct mioc_list_record *)item)->list_errno = 20;
    else if (kind == MIOC_ITEM_REALPATH)
        ((struct mioc_realpath_record *)item)->realpath_errno = 2;
    memset(end, 0, 8);
    if (size > (uint32_t)(end - item)) {
        memset(end, 0, size - (uint32_t)(end - item));
        end = item + size;
    }
    if (number >= 0)
        s->at[number] = s->log_end;
    mioc_item_finish(item, end);
    (void)mioc_agent_publish(s->node[0].agent, (void *)item, NULL, s->now);
}

int scale_take_resolved(struct scale *s)
{
    struct scale_root *r = s->root;
    const struct scale_job *job;

    if (r->ready.first == r->ready.n)
        return 0;
    job = &s->trace.job[r->ready.job[r->ready.first]];
    if (r->byte < job->bytes) {
        publish_chunk(s, job);
        return 1;
    }
    if (r->item < job->items) {
        publish_record(s, job, job->item[r->item].kind, job->item[r->item].size);
        r->item++;
    }
    if (r->item == job->items) {
        r->contents += job->bytes > 0;
        r->item = 0;
        r->byte = 0;
        r->ready.first++;
    }
    return 1;
}

/* --- Life -------------------------------------------------------------------------------------------------------- */

static void sort_causes(struct scale *s)
{
    struct scale_root *r = s->root;
    const struct scale_trace *t = &s->trace;
    uint32_t at = 0;

    for (uint32_t job = 0; job < t->jobs; job++) {
        r->start[job] = at;
        for (unsigned i = 0; i < t->causes; i++)
            if (t->cause[i].job == job) {
                r->brings[at] = t->cause[i].brings;
                r->is_before[at++] = (char)t->cause[i].is_before;
            }
    }
    r->start[t->jobs] = at;
}

int scale_root_start(struct scale *s)
{
    struct scale_root *r = s->root = calloc(1, sizeof(*r));
    const struct scale_trace *t = &s->trace;

    if (r == NULL)
        return -1;
    r->contents = 1;
    r->state = calloc(t->jobs, sizeof(*r->state));
    r->asked.job = calloc(t->jobs, sizeof(uint32_t));
    r->early.job = calloc(t->jobs, sizeof(uint32_t));
    r->ready.job = calloc(t->jobs, sizeof(uint32_t));
    r->server = calloc((size_t)s->options.servers + 1, sizeof(*r->server));
    r->start = calloc(t->jobs + 1, sizeof(*r->start));
    r->brings = calloc(t->causes + 1, sizeof(*r->brings));
    r->is_before = calloc(t->causes + 1, 1);
    if (!r->state || !r->asked.job || !r->early.job || !r->ready.job || !r->server || !r->start || !r->brings ||
        !r->is_before)
        return -1;
    sort_causes(s);
    for (unsigned i = 0; i < SCALE_RESOLVERS; i++)
        r->thread[i].time = NEVER;
    /* The last run's questions, in their order, from the current filesystem. */
    for (uint32_t job = 0; s->options.is_manifest && job < t->jobs; job++)
        if (t->job[job].is_recorded) {
            r->state[job] = EARLY;
            r->early.job[r->early.n++] = job;
        }
    start_threads(s);
    return 0;
}

void scale_root_end(struct scale *s)
{
    struct scale_root *r = s->root;

    free(r->state);
    free(r->asked.job);
    free(r->early.job);
    free(r->ready.job);
    free(r->server);
    free(r->start);
    free(r->brings);
    free(r->is_before);
    free(r);
}
