/* SPDX-License-Identifier: BSD-3-Clause */
/* resolver_jobs.c - runs a job: makes the real calls and delivers the answer, again as often as writes overtake it. */
#include "jobs.h"
#include "resolve.h"
#include "base/clock.h"
#include "base/path.h"
#include "observe/trace.h"

#include <stdlib.h>
#include <string.h>

static void unlink_job(struct mioc_job **list, struct mioc_job *job)
{
    while (*list != job)
        list = &(*list)->next;
    *list = job->next;
}

static int is_brief(const struct mioc_result *result)
{
    return (((const struct mioc_item *)(const void *)result->item)->flags & MIOC_FLAG_BRIEF) != 0;
}

/* With the lock held: queues the job's items for the agent. 1: they are stale and thrown away, make them anew. */
static int deliver(struct mioc_resolver *r, struct mioc_job *job, struct mioc_answer *answer, int is_bulk)
{
    struct mioc_result *result, *next;
    int is_stale = job->dirty && !r->stop;

    if (!is_stale)
        mioc_resolver_doubt(r, job, answer);
    for (result = answer->results.head; result != NULL; result = next) {
        next = result->next;
        if (is_stale || r->stop) {
            mioc_resolver_abandon_record(r, (const void *)result->item, 0);
            mioc_result_free(result);
        } else {
            result->writes = job->writes;
            if ((job->is_listed || job->is_borrower) && !is_brief(result))
                ((struct mioc_item *)(void *)result->item)->flags |= MIOC_FLAG_EARLY;
            mioc_resolver_file(r, is_bulk ? &r->bulk : &r->small, result);
        }
    }
    job->dirty = 0;
    job->started = mioc_clock_ns(); /* for the case that it is made anew */
    job->writes = r->writes;
    return is_stale;
}

/* Whether the chunks went to the bulk queue. Then the CONTENT record must go there, too, to stay behind them. */
static int has_streamed(const struct mioc_answer *answer)
{
    int has_chunk = 0, has_content = 0;

    for (const struct mioc_result *result = answer->results.head; result != NULL; result = result->next) {
        const struct mioc_item *item = (const void *)result->item;
        has_chunk |= item->kind == MIOC_ITEM_CHUNK;
        if (item->kind == MIOC_ITEM_CONTENT)
            has_content = ((const struct mioc_content_record *)(const void *)item)->size > MIOC_CHUNK_MAX;
    }
    return has_content && !has_chunk;
}

static void trace_job(const struct mioc_job *job, uint64_t started)
{
    mioc_trace_flow('t', job->kind, job->path, job->len);
    mioc_trace_work("root", "resolve", job->kind, job->path, job->len, started);
}

/* Lookups that waited for the answer go on. */
static void go_on(struct mioc_resolver *r, struct mioc_job *job, struct mioc_lookup *parked)
{
    if (job->is_absent) {
        mioc_resolve_look_up(r, job->lookup);
        job->lookup = NULL;
    }
    mioc_resolve_look_up(r, parked);
    pthread_mutex_lock(&r->lock);
    r->libraries.going_on--;
    pthread_mutex_unlock(&r->lock);
}

void mioc_resolver_run_job(struct mioc_resolver *r, struct mioc_job *job)
{
    struct mioc_lookup *parked = NULL;
    int is_stale;

    do {
        struct mioc_answer answer;
        uint64_t started = mioc_trace_now();

        mioc_results_init(&answer.results);
        if (!mioc_resolver_answer_briefly(r, job, &answer)) {
            mioc_resolve(r, job, &answer);
            mioc_resolve_dead(r, &answer);
            mioc_resolve_sticky(r, job, &answer);
        }
        if (started != 0)
            trace_job(job, started);
        pthread_mutex_lock(&r->lock);
        is_stale = deliver(r, job, &answer, has_streamed(&answer));
        if (!is_stale) {
            unlink_job(&r->active, job);
            mioc_keys_remove(&r->keys, job->hash);
            r->idle_active -= job->is_early || job->is_guess;
            r->listed -= (unsigned)(job->is_listed + job->is_borrower);
            if (job->kind == MIOC_ITEM_LIST)
                parked = mioc_resolve_take_parked(r, job->hash);
            r->libraries.going_on++;
        }
        pthread_mutex_unlock(&r->lock);
        mioc_resolver_release(r);
    } while (is_stale);
    r->config.ready(r->config.ctx);
    go_on(r, job, parked);
    job->next = NULL;
    mioc_resolver_free_jobs(job);
}
