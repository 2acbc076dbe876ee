/* SPDX-License-Identifier: BSD-3-Clause */
/* sim_root.c - the root's resolver, modelled: answers after a while, contents in chunks, speculation, reading anew
 * after a write. Its kernel may go on showing what was there before another node's write. */
#include "sim.h"

#include <stdlib.h>
#include <string.h>

static _Alignas(8) char item[MIOC_ITEM_MAX], bytes[MIOC_CHUNK_MAX];

/* By the first thread that is free; what hangs for long hangs in a thread that nobody misses. */
static void schedule(struct sim *s, struct sim_job *job)
{
    uint64_t *server = &s->server[0];

    for (unsigned i = 1; i < s->servers; i++)
        if (s->server[i] < *server)
            server = &s->server[i];
    if (s->slow_service && job->key % 11 == 3) {
        sim_at(s, s->now + s->slow_service, SIM_RESOLVED, 0, job->key, job, 0);
        return;
    }
    *server = (*server > s->now ? *server : s->now) + s->service / 4 + sim_random(s, s->service);
    sim_at(s, *server, SIM_RESOLVED, 0, job->key, job, 0);
}

static uint16_t look(struct sim *s, int key)
{
    if (s->kept[key].until <= s->now) {
        s->kept[key].version = s->version[key];
        s->kept[key].until = s->now + s->client_ns;
    }
    return s->kept[key].version;
}

static void drop_kept(void *ctx, int key) { ((struct sim *)ctx)->kept[key].until = 0; }

void sim_root_wrote(struct sim *s, int path, uint32_t flags) { sim_concerned(path, flags, drop_kept, s); }

/* The version counts as read here, at the beginning: the worst case for a write that comes during the service. */
static void read_anew(struct sim *s, struct sim_job *job)
{
    int is_content = job->key % SIM_KINDS + 1 == MIOC_ITEM_CONTENT;

    job->started = s->now;
    job->version = look(s, job->key);
    job->is_dirty = 0;
    job->at = job->size = 0;
    if (is_content && s->contents < SIM_CONTENTS) {
        job->content = s->contents++;
        job->size = sim_random(s, 4) == 0 ? (uint32_t)sim_random(s, s->content_max) : (uint32_t)sim_random(s, 3000);
    }
    schedule(s, job);
}

static struct sim_job *job_of(struct sim *s, int key)
{
    for (struct sim_job *job = s->jobs; job; job = job->next)
        if (job->key == key && job->abandoned_at == 0)
            return job;
    return NULL;
}

static void add_job(struct sim *s, int key)
{
    struct sim_job *job = calloc(1, sizeof(*job));

    job->key = key;
    job->next = s->jobs;
    s->jobs = job;
    read_anew(s, job);
}

void sim_resolve(void *ctx, unsigned kind, const char *path, uint32_t len)
{
    struct sim *s = ((struct sim_node *)ctx)->sim;
    int number = sim_path_number(path, len), key = sim_key(number, kind), content = sim_key(number, MIOC_ITEM_CONTENT);

    s->resolves[key]++;
    if (job_of(s, key) == NULL)
        add_job(s, key);
    if (kind == MIOC_ITEM_STAT && sim_random(s, 3) == 0 && s->node[0].live[content] == 0 && job_of(s, content) == NULL)
        add_job(s, content);
}

static void note_heard(void *ctx, int key)
{
    struct sim *s = ctx;

    s->heard[key] = s->now;
}

static void count_and_spoil(void *ctx, int key)
{
    struct sim *s = ctx;
    struct sim_job *job = job_of(s, key);

    s->invalidations[key]++;
    if (job)
        job->is_dirty = 1;
}

void sim_invalidated(void *ctx, const char *path, uint32_t len, uint32_t flags, uint32_t node)
{
    struct sim *s = ((struct sim_node *)ctx)->sim;

    if (node != 0)
        mioc_recent_add(s->recent, path, len, flags, s->now);
    if (node != 0)
        sim_concerned(sim_path_number(path, len), flags, note_heard, s);
    sim_concerned(sim_path_number(path, len), flags, count_and_spoil, s);
}

static void remove_job(struct sim *s, struct sim_job *job)
{
    struct sim_job **link = &s->jobs;

    while (*link != job)
        link = &(*link)->next;
    *link = job->next;
    free(job);
}

/* What was built, or the word that it cannot be told yet: 1. */
static int doubt(struct sim *s, const struct sim_job *job)
{
    struct mioc_item *built = (void *)item;
    char path[64];
    uint32_t len = sim_path_name(job->key / SIM_KINDS, path);
    uint64_t ns = mioc_recent_doubt(s->recent, built->kind, path, len, job->started, s->client_ns, s->now);

    if (ns > 0 && s->heard[job->key] == 0)
        sim_fail(s, "the root doubts key %d, which no other node wrote", job->key);
    if (ns > 0)
        mioc_item_finish(item,
                         mioc_item_begin(item, (unsigned)(job->key % SIM_KINDS) + 1, mioc_item_brief(ns), path, len));
    return ns > 0;
}

/* A content of which chunks are published will not be complete. */
static void abandon(struct sim *s, const struct sim_job *job)
{
    struct sim_job *left = malloc(sizeof *left);

    *left = *job;
    left->next = s->jobs;
    left->abandoned_at = s->node[0].end;
    s->jobs = left;
    sim_at(s, s->now, SIM_RESOLVED, 0, left->key, left, 0);
}

/* Contents that are complete are given up, too, some time: to make room. */
static void evict_later(struct sim *s, const struct sim_job *job)
{
    struct sim_job *old;

    if (!s->evicts || job->size == 0 || sim_random(s, 2) != 0)
        return;
    old = malloc(sizeof *old);
    *old = *job;
    old->next = s->jobs;
    old->abandoned_at = s->node[0].end; /* its record stands behind this, but that makes no difference here */
    s->jobs = old;
    s->evictions[job->key]++;
    sim_at(s, s->now + sim_random(s, sim_random(s, 2) ? 10 * MS : 300 * MS), SIM_RESOLVED, 0, old->key, old, 0);
}

/* As soon as all nodes have had its chunks: whoever lacks one has it from its parent. */
static void give_up(struct sim *s, struct sim_job *job)
{
    struct mioc_invalidate_record *record = (void *)item;
    char path[64], *end;
    uint32_t len = sim_path_name(job->key / SIM_KINDS, path);

    if (mioc_agent_state(s->node[0].agent) == MIOC_AGENT_RUNNING &&
        mioc_agent_synced(s->node[0].agent) < job->abandoned_at) {
        sim_at(s, s->now + MS, SIM_RESOLVED, 0, job->key, job, 0);
        return;
    }
    end = mioc_item_begin(item, MIOC_ITEM_INVALIDATE, MIOC_FLAG_EVICT, path, len);
    record->node = UINT32_MAX;
    record->token = job->content;
    record->pages = (job->size + 4095) / 4096;
    mioc_item_finish(item, end);
    remove_job(s, job);
    s->given_up++;
    (void)mioc_agent_publish(s->node[0].agent, (void *)item, NULL, s->now);
}

static int publish_chunk(struct sim *s, struct sim_job *job)
{
    struct mioc_chunk_record *chunk = (void *)item;
    uint32_t length = job->size - job->at < 50000 ? job->size - job->at : 50000 + (uint32_t)sim_random(s, 3000);

    if (length > job->size - job->at)
        length = job->size - job->at;
    mioc_item_finish(item, mioc_item_begin(item, MIOC_ITEM_CHUNK, 0, "", 0));
    chunk->content = job->content;
    chunk->length = length;
    chunk->offset = job->at;
    chunk->total = job->size;
    sim_read_chunk(NULL, chunk, bytes);
    job->at += length;
    return mioc_agent_publish(s->node[0].agent, (void *)item, bytes, s->now);
}

void sim_resolved(struct sim *s, struct sim_job *job)
{
    int is_broken = job->at > 0 && job->at < job->size && sim_random(s, 16) == 0; /* its file shrank, perhaps */

    if (job->abandoned_at > 0) {
        give_up(s, job);
        return;
    }
    if ((job->is_dirty || is_broken) && job->at > 0)
        abandon(s, job);
    if (job->is_dirty) {
        read_anew(s, job);
        return;
    }
    if (job->at < job->size && !is_broken) {
        if (publish_chunk(s, job) == 0)
            sim_at(s, s->now + sim_random(s, 50 * US), SIM_RESOLVED, 0, job->key, job, 0);
        else
            remove_job(s, job);
        return;
    }
    sim_build(item, job->key, job->version, job->content, job->size);
    if (is_broken || (job->key % SIM_KINDS + 1 == MIOC_ITEM_CONTENT && job->content == 0 && job->size == 0))
        ((struct mioc_item *)item)->flags = MIOC_FLAG_UNCACHED; /* or out of contents */
    if (doubt(s, job) && job->at > 0 && !is_broken)
        abandon(s, job);
    if (!(((struct mioc_item *)item)->flags & MIOC_FLAG_UNCACHED))
        evict_later(s, job);
    remove_job(s, job); /* first: publishing may bring the next question */
    (void)mioc_agent_publish(s->node[0].agent, (void *)item, NULL, s->now);
}

void sim_root_end(struct sim *s)
{
    while (s->jobs)
        remove_job(s, s->jobs);
    mioc_recent_free(s->recent);
    s->recent = NULL;
}
