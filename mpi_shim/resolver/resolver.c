/* SPDX-License-Identifier: BSD-3-Clause */
/* resolver.c - the root's threads: their start, loop and end, and what the agent takes from them. */
#include "jobs.h"
#include "resolve.h"
#include "base/clock.h"
#include "prefetch.h"
#include "base/io_thread.h"
#include "base/path.h"
#include "base/thread.h"
#include "observe/trace.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define THREAD_STACK (512u * 1024u)
/* How long threads that have read all may take to end. */
#define AHEAD_END_NS 1000000000u

/* With the lock held: takes what was read ahead, if nobody needs it any more. */
static struct mioc_prefetch *take_spent(struct mioc_resolver *r)
{
    struct mioc_prefetch *prefetch = r->is_manifest_queued && r->listed == 0 ? r->prefetch : NULL;

    if (prefetch != NULL)
        __atomic_store_n(&r->prefetch, NULL, __ATOMIC_RELEASE);
    return prefetch;
}

static void *thread_main(void *arg)
{
    struct mioc_resolver *r = arg;

    mioc_io_thread_part_from_descriptors();
    mioc_trace_reopen();
    mioc_trace_name_thread("resolver");
    pthread_mutex_lock(&r->lock);
    if (r->config.manifest != NULL && !r->has_read_manifest) {
        r->has_read_manifest = 1;
        pthread_mutex_unlock(&r->lock);
        mioc_resolver_read_manifest(r);
        pthread_mutex_lock(&r->lock);
        r->is_manifest_queued = 1;
    }
    while (!r->stop) {
        struct mioc_job *job = mioc_resolver_next_job(r);
        struct mioc_prefetch *spent = job == NULL ? take_spent(r) : NULL;

        if (spent != NULL) {
            pthread_mutex_unlock(&r->lock);
            mioc_resolver_count(r, (unsigned)mioc_prefetch_calls(spent));
            if (mioc_prefetch_wait(spent, AHEAD_END_NS) == 0) /* else its threads still use it: it stays */
                mioc_prefetch_free(spent);
            pthread_mutex_lock(&r->lock);
            continue;
        }
        if (job == NULL) {
            pthread_cond_wait(&r->work, &r->lock);
            continue;
        }
        mioc_resolver_start_job(r, job);
        pthread_mutex_unlock(&r->lock);
        mioc_resolver_run_job(r, job);
        pthread_mutex_lock(&r->lock);
        if (mioc_resolver_has_idle_work(r))
            pthread_cond_signal(&r->work); /* one thread more may do what nobody waits for */
    }
    r->threads--;
    pthread_cond_broadcast(&r->room);
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

/* --- Agent's side ------------------------------------------------------------------------------------------------ */

static int take(struct mioc_resolver *r, struct mioc_resolved *out, int is_small_only)
{
    struct mioc_result_queue *q;
    struct mioc_result *result;

    pthread_mutex_lock(&r->lock);
    q = r->small.head != NULL || is_small_only ? &r->small : &r->bulk;
    result = q->head;
    if (result != NULL) {
        q->head = result->next;
        if (q->head == NULL)
            q->tail = &q->head;
        r->in_hand = result;
        out->is_overtaken = result->writes != r->writes;
        r->queued_bytes -= mioc_result_bytes(result);
        pthread_cond_broadcast(&r->room);
        if (mioc_resolver_has_idle_work(r))
            pthread_cond_signal(&r->work);
    }
    pthread_mutex_unlock(&r->lock);
    if (result == NULL)
        return 0;
    out->resolver = r;
    out->memory = result;
    out->item = (const void *)result->item;
    out->bytes = result->bytes_len > 0 ? result->item + out->item->size : NULL;
    return 1;
}

int mioc_resolver_take(struct mioc_resolver *r, struct mioc_resolved *out) { return take(r, out, 0); }

int mioc_resolver_take_small(struct mioc_resolver *r, struct mioc_resolved *out) { return take(r, out, 1); }

int mioc_resolver_is_busy(const struct mioc_resolver *r)
{
    struct mioc_resolver *mutable = (struct mioc_resolver *)r;
    int busy;

    pthread_mutex_lock(&mutable->lock);
    busy = r->asked.first != NULL || mioc_resolver_has_idle_work(r) || r->active != NULL || r->libraries.going_on > 0 ||
           r->small.head != NULL || r->bulk.head != NULL;
    pthread_mutex_unlock(&mutable->lock);
    return busy;
}

uint64_t mioc_resolver_calls(const struct mioc_resolver *r) { return __atomic_load_n(&r->calls, __ATOMIC_RELAXED); }

static int start_thread(struct mioc_resolver *r)
{
    int rc;

    pthread_mutex_lock(&r->lock);
    rc = mioc_thread_start(NULL, 0, THREAD_STACK, thread_main, r);
    r->threads += rc == 0;
    pthread_mutex_unlock(&r->lock);
    return rc == 0 ? 0 : -1;
}

struct mioc_resolver *mioc_resolver_new(const struct mioc_resolver_config *config)
{
    struct mioc_resolver *r = calloc(1, sizeof *r);
    pthread_condattr_t attr;

    if (r == NULL)
        return NULL;
    r->config = *config;
    pthread_mutex_init(&r->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&r->work, NULL);
    pthread_cond_init(&r->room, &attr);
    pthread_condattr_destroy(&attr);
    r->asked.last = &r->asked.first;
    r->early.last = &r->early.first;
    mioc_results_init(&r->small);
    mioc_results_init(&r->bulk);
    r->next_content = 1;
    r->prefetch = config->prefetch;
    r->run_job = mioc_resolver_run_job;
    mioc_resolve_needed_start(r);
    for (unsigned i = 0; i < config->threads; i++)
        if (start_thread(r) != 0 && i == 0) {
            mioc_resolver_free(r, 0);
            errno = EAGAIN;
            return NULL;
        }
    return r;
}

static void free_results(struct mioc_result_queue *q)
{
    struct mioc_result *next;

    for (struct mioc_result *result = q->head; result != NULL; result = next) {
        next = result->next;
        mioc_result_free(result);
    }
}

void mioc_resolver_free(struct mioc_resolver *r, uint64_t wait_ns)
{
    struct timespec until = mioc_clock_timespec(mioc_clock_ns() + wait_ns);
    unsigned left;

    pthread_mutex_lock(&r->lock);
    r->stop = 1;
    pthread_cond_broadcast(&r->work);
    pthread_cond_broadcast(&r->room);
    while (r->threads > 0 && pthread_cond_timedwait(&r->room, &r->lock, &until) == 0)
        ;
    left = r->threads;
    pthread_mutex_unlock(&r->lock);
    if (left > 0)
        return; /* its threads still use it */
    if (r->prefetch != NULL && mioc_prefetch_wait(r->prefetch, 0) == 0)
        mioc_prefetch_free(r->prefetch);
    mioc_resolver_free_jobs(r->asked.first);
    mioc_resolver_free_jobs(r->early.first);
    mioc_resolver_free_jobs(r->guesses);
    mioc_resolver_free_jobs(r->libraries.queue.first);
    mioc_resolve_needed_end(r);
    for (unsigned i = 0; i < r->roots; i++)
        free(r->root[i]);
    mioc_keys_free(&r->keys);
    mioc_recent_free(r->recent);
    mioc_recent_free(r->own);
    free_results(&r->small);
    free_results(&r->bulk);
    pthread_cond_destroy(&r->work);
    pthread_cond_destroy(&r->room);
    pthread_mutex_destroy(&r->lock);
    free(r);
}
