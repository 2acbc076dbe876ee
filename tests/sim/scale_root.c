/* SPDX-License-Identifier: BSD-3-Clause */
/* scale_root.c - the root's resolver threads and the metadata service that they call; the manifest's bulk. */
#include "scale.h"

#include <stdlib.h>
#include <string.h>

enum state { UNASKED, QUEUED, READY };

struct scale_root {
    enum state *state;         /* of each job */
    uint32_t *queue, *ready;   /* jobs: to be done, done */
    unsigned queue_first, queue_n, ready_first, ready_n, room;
    unsigned working;          /* threads */
    struct { uint64_t time; uint32_t job; } thread[SCALE_RESOLVERS];
    uint64_t *server;          /* until when each of the service's servers is busy */
    /* What is being handed out: its next item, its content's next byte. */
    unsigned item;
    uint64_t byte;
    uint32_t contents;
    uint32_t *start, *brings;  /* of each job: what it brings, brings[start[j]] .. brings[start[j + 1]] */
    char *at_once;
};

static _Alignas(8) char item[MIOC_ITEM_MAX];
static const char nothing[MIOC_CHUNK_MAX]; /* contents have no bytes here, only a length */

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* --- Doing jobs ---------------------------------------------------------------------------------------------------- */

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

static void start_threads(struct scale *s)
{
    struct scale_root *r = s->root;

    for (unsigned i = 0; i < SCALE_RESOLVERS && r->queue_n > r->queue_first; i++) {
        if (r->thread[i].time != NEVER)
            continue;
        r->thread[i].job = r->queue[r->queue_first++];
        r->thread[i].time = serve(s, &s->trace.job[r->thread[i].job]);
        scale_at(s, r->thread[i].time, SCALE_SERVED, i);
    }
}

static void bring(struct scale *s, uint32_t job, int is_at_once);

static void add_job(struct scale *s, uint32_t job)
{
    struct scale_root *r = s->root;

    if (r->state[job] != UNASKED || s->at[job] != NEVER)
        return;
    r->state[job] = QUEUED;
    r->queue[r->queue_n++] = job;
    bring(s, job, 1);
}

static void bring(struct scale *s, uint32_t job, int is_at_once)
{
    struct scale_root *r = s->root;

    for (uint32_t i = r->start[job]; i < r->start[job + 1]; i++)
        if (r->at_once[i] == is_at_once)
            add_job(s, r->brings[i]);
}

void scale_resolve(void *ctx, unsigned kind, const char *path, uint32_t len)
{
    struct scale *s = ((struct scale_node *)ctx)->scale;
    int job = scale_key(s, kind, path, len);

    if (job < 0) {
        scale_fail(s, "the root is asked for what nobody asked");
        return;
    }
    add_job(s, (uint32_t)job);
    start_threads(s);
}

void scale_served(struct scale *s)
{
    struct scale_root *r = s->root;

    for (unsigned i = 0; i < SCALE_RESOLVERS; i++) {
        if (r->thread[i].time > s->now)
            continue;
        r->thread[i].time = NEVER;
        r->ready[r->ready_n++] = r->thread[i].job;
        r->state[r->thread[i].job] = READY;
        bring(s, r->thread[i].job, 0);
    }
    start_threads(s);
    scale_node_ring(&s->node[0]);
}

/* --- Handing out --------------------------------------------------------------------------------------------------- */

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

    if (r->ready_first == r->ready_n)
        return 0;
    job = &s->trace.job[r->ready[r->ready_first]];
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
        r->ready_first++;
    }
    return 1;
}

/* --- Life ---------------------------------------------------------------------------------------------------------- */

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
                r->at_once[at++] = (char)t->cause[i].is_at_once;
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
    r->queue = calloc(t->jobs, sizeof(*r->queue));
    r->ready = calloc(t->jobs, sizeof(*r->ready));
    r->server = calloc((size_t)s->options.servers + 1, sizeof(*r->server));
    r->start = calloc(t->jobs + 1, sizeof(*r->start));
    r->brings = calloc(t->causes + 1, sizeof(*r->brings));
    r->at_once = calloc(t->causes + 1, 1);
    if (!r->state || !r->queue || !r->ready || !r->server || !r->start || !r->brings || !r->at_once)
        return -1;
    sort_causes(s);
    for (unsigned i = 0; i < SCALE_RESOLVERS; i++)
        r->thread[i].time = NEVER;
    /* The last run's questions, in their order, from the current filesystem. */
    for (uint32_t job = 0; s->options.is_manifest && job < t->jobs; job++)
        if (t->job[job].is_recorded)
            add_job(s, job);
    start_threads(s);
    return 0;
}

void scale_root_end(struct scale *s)
{
    struct scale_root *r = s->root;

    free(r->state);
    free(r->queue);
    free(r->ready);
    free(r->server);
    free(r->start);
    free(r->brings);
    free(r->at_once);
    free(r);
}
