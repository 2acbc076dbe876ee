/* SPDX-License-Identifier: BSD-3-Clause */
/* resolver_jobs.c - the resolver's questions: queued, hurried, brought, run, their answers delivered. */
#include "resolver_internal.h"
#include "base/path.h"
#include "observe/trace.h"

#include <stdlib.h>
#include <string.h>

/* ".cpython-311.pyc" of ".../__pycache__/name.cpython-311.pyc". */
static void learn_tag(struct mioc_resolver *r, const char *path)
{
    const char *dir = strstr(path, "/__pycache__/"), *name, *dot;
    size_t len;

    if (r->tag[0] != '\0' || dir == NULL)
        return;
    name = dir + strlen("/__pycache__/");
    dot = strchr(name, '.');
    len = strlen(name);
    if (dot == NULL || strchr(name, '/') != NULL || len < 5 || strcmp(name + len - 4, ".pyc") != 0 ||
        dot == name + len - 4 || strlen(dot) >= sizeof r->tag)
        return;
    strcpy(r->tag, dot);
}

static struct mioc_job *new_job(unsigned kind, const char *path, uint32_t len)
{
    struct mioc_job *job = malloc(sizeof *job + len + 1);

    if (job == NULL)
        return NULL;
    *job = (struct mioc_job){ .kind = kind, .len = len, .hash = mioc_item_hash(kind, path, len) };
    memcpy(job->path, path, len);
    job->path[len] = '\0';
    return job;
}

void mioc_resolver_free_jobs(struct mioc_job *job)
{
    for (struct mioc_job *next; job != NULL; job = next) {
        next = job->next;
        mioc_lookup_free(job->lookup);
        free(job);
    }
}

/* NULL: no memory. */
static struct mioc_job *add_job(struct mioc_resolver *r, struct mioc_job_queue *q, unsigned kind, const char *path,
                                uint32_t len)
{
    struct mioc_job *job = new_job(kind, path, len);

    if (job == NULL)
        return NULL;
    job->is_early = job->is_listed = q == &r->early;
    r->listed += (unsigned)job->is_listed;
    *q->last = job;
    q->last = &job->next;
    mioc_keys_add(&r->keys, job->hash);
    pthread_cond_signal(&r->work);
    return job;
}

int mioc_resolver_enqueue(struct mioc_resolver *r, unsigned kind, const char *path, uint32_t len)
{
    return add_job(r, &r->asked, kind, path, len) != NULL ? 0 : -1;
}

int mioc_resolver_enqueue_early(struct mioc_resolver *r, unsigned kind, const char *path, uint32_t len)
{
    if (mioc_keys_has(&r->keys, mioc_item_hash(kind, path, len)))
        return 0;
    return add_job(r, &r->early, kind, path, len) != NULL ? 0 : -1;
}

/* Takes the job of that key out of a list; *place is where the next one stands from then on. */
static struct mioc_job *take_out(struct mioc_job **at, uint64_t hash, struct mioc_job ***place)
{
    struct mioc_job *job;

    while (*at != NULL && (*at)->hash != hash)
        at = &(*at)->next;
    job = *at;
    if (job != NULL)
        *at = job->next;
    *place = at;
    return job;
}

static struct mioc_job *take_out_of_queue(struct mioc_job_queue *q, uint64_t hash)
{
    struct mioc_job **at, *job = take_out(&q->first, hash, &at);

    if (job != NULL && job->next == NULL)
        q->last = at;
    return job;
}

/* With the lock held: what waits, or runs, among what nobody waits for is asked now. */
static void hurry(struct mioc_resolver *r, uint64_t hash)
{
    struct mioc_job **at, *job = take_out_of_queue(&r->libraries.queue, hash);

    for (struct mioc_job *active = r->active; active != NULL; active = active->next)
        if (active->hash == hash) {
            active->is_hurried = 1;
            pthread_cond_broadcast(&r->room);
        }
    if (job != NULL)
        r->libraries.waiting--;
    else if ((job = take_out(&r->guesses, hash, &at)) != NULL)
        r->guesses_waiting--;
    else if ((job = take_out_of_queue(&r->early, hash)) == NULL)
        return;
    job->next = NULL;
    job->is_early = job->is_guess = job->is_guessed = 0;
    *r->asked.last = job;
    r->asked.last = &job->next;
    pthread_cond_signal(&r->work);
}

int mioc_resolver_has_job(const struct mioc_resolver *r, uint64_t hash)
{
    return mioc_keys_has(&r->keys, hash) && mioc_resolver_find_small(r, hash) == NULL;
}

int mioc_resolver_enqueue_needed(struct mioc_resolver *r, unsigned kind, const char *path, uint32_t len,
                                 struct mioc_lookup *lookup)
{
    struct mioc_job_queue *q = &r->libraries.queue;
    struct mioc_job *job;

    if (r->stop || r->libraries.waiting == MIOC_RESOLVER_GUESSES ||
        mioc_keys_has(&r->keys, mioc_item_hash(kind, path, len)) || (job = new_job(kind, path, len)) == NULL)
        return -1;
    job->is_guess = 1;
    job->lookup = lookup;
    *q->last = job;
    q->last = &job->next;
    r->libraries.waiting++;
    mioc_keys_add(&r->keys, job->hash);
    pthread_cond_signal(&r->work);
    return 0;
}

struct mioc_job *mioc_resolver_new_guess(struct mioc_resolver *r, unsigned kind, const char *path, uint32_t len)
{
    struct mioc_job *job;

    if (!r->config.may_speculate(r->config.ctx, path, len) || r->config.is_known(r->config.ctx, kind, path, len))
        return NULL;
    job = new_job(kind, path, len);
    if (job != NULL)
        job->is_guess = job->is_guessed = 1;
    return job;
}

void mioc_resolver_enqueue_guesses(struct mioc_resolver *r, struct mioc_job *first)
{
    struct mioc_job **at = &r->guesses, *job;

    pthread_mutex_lock(&r->lock);
    while ((job = first) != NULL) {
        first = job->next;
        if (r->stop || r->guesses_waiting == MIOC_RESOLVER_GUESSES || mioc_keys_has(&r->keys, job->hash)) {
            free(job);
            continue;
        }
        job->next = *at;
        *at = job;
        at = &job->next;
        r->guesses_waiting++;
        mioc_keys_add(&r->keys, job->hash);
        pthread_cond_signal(&r->work);
    }
    pthread_mutex_unlock(&r->lock);
}

void mioc_resolver_speculate(struct mioc_resolver *r, const struct mioc_job *job, unsigned kind, const char *path,
                             uint32_t len)
{
    struct mioc_job *added;

    if (!r->config.may_speculate(r->config.ctx, path, len) || r->config.is_known(r->config.ctx, kind, path, len))
        return;
    pthread_mutex_lock(&r->lock);
    if (!r->stop && !mioc_keys_has(&r->keys, mioc_item_hash(kind, path, len)) &&
        (added = add_job(r, &r->asked, kind, path, len)) != NULL)
        added->is_guessed = job->is_guessed;
    pthread_mutex_unlock(&r->lock);
}

int mioc_resolver_ask(struct mioc_resolver *r, unsigned kind, const char *path, uint32_t len)
{
    uint64_t hash = mioc_item_hash(kind, path, len);
    int rc = 0;

    pthread_mutex_lock(&r->lock);
    if (kind == MIOC_ITEM_CONTENT)
        learn_tag(r, path);
    if (!mioc_keys_has(&r->keys, hash))
        rc = mioc_resolver_enqueue(r, kind, path, len);
    else
        hurry(r, hash);
    pthread_mutex_unlock(&r->lock);
    return rc;
}

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

/* With the lock held: files the job's items, or says that they are stale. */
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
    job->started = mioc_resolver_now(); /* if it is made anew */
    job->writes = r->writes;
    return is_stale;
}

/* The CONTENT record of a streamed content must stay behind its chunks, in the bulk queue. */
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

/* With the lock held. */
void mioc_resolver_start_job(struct mioc_resolver *r, struct mioc_job *job)
{
    job->next = r->active;
    job->started = mioc_resolver_now();
    job->writes = r->writes;
    r->active = job;
    job->is_borrower = __atomic_load_n(&r->ahead, __ATOMIC_RELAXED) != NULL && !job->is_listed && job->kind == MIOC_ITEM_CONTENT;
    r->listed += (unsigned)job->is_borrower;
    r->idle_active += job->is_early || job->is_guess;
}

static void trace_job(const struct mioc_job *job, uint64_t started)
{
    mioc_trace_flow('t', job->kind, job->path, job->len);
    mioc_trace_work("root", "resolve", job->kind, job->path, job->len, started);
}

/* What waited for the answer goes on. */
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
        if (!mioc_resolver_answer_briefly(r, job, &answer))
            mioc_resolve(r, job, &answer);
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

void mioc_resolver_bring(struct mioc_resolver *r, const struct mioc_job *job, unsigned kind, const char *path,
                         uint32_t len)
{
    struct mioc_job *brought;

    if (!r->config.may_speculate(r->config.ctx, path, len) || r->config.is_known(r->config.ctx, kind, path, len) ||
        (brought = new_job(kind, path, len)) == NULL)
        return;
    brought->is_guessed = job->is_guessed;
    pthread_mutex_lock(&r->lock);
    if (r->stop || mioc_keys_has(&r->keys, brought->hash)) {
        pthread_mutex_unlock(&r->lock);
        free(brought);
        return;
    }
    mioc_keys_add(&r->keys, brought->hash);
    mioc_resolver_start_job(r, brought);
    pthread_mutex_unlock(&r->lock);
    mioc_resolver_run_job(r, brought);
}

static struct mioc_job *take_first(struct mioc_job_queue *q)
{
    struct mioc_job *job = q->first;

    q->first = job->next;
    if (q->first == NULL)
        q->last = &q->first;
    return job;
}

/* With the lock held: what a thread is to do next, or NULL. One thread is kept for what is asked; and what nobody asked for
 * waits while the agent is behind. */
struct mioc_job *mioc_resolver_next_job(struct mioc_resolver *r)
{
    struct mioc_job *guess = r->guesses;

    if (r->asked.first != NULL)
        return take_first(&r->asked);
    if (!mioc_resolver_has_idle_work(r) || r->queued_bytes > MIOC_RESOLVER_QUEUE_MAX || (r->threads > 1 && r->idle_active + 1 >= r->threads))
        return NULL;
    if (r->libraries.queue.first != NULL) {
        r->libraries.waiting--;
        return take_first(&r->libraries.queue);
    }
    if (guess == NULL)
        return take_first(&r->early);
    r->guesses = guess->next;
    r->guesses_waiting--;
    return guess;
}
