/* SPDX-License-Identifier: BSD-3-Clause */
/* resolver_queue.c - the questions that wait: queues, hurries and starts them. */
#include "jobs.h"
#include "base/clock.h"
#include "base/path.h"
#include "observe/trace.h"
#include <stdlib.h>
#include <string.h>

/* With the lock held: learns ".cpython-311.pyc" from ".../__pycache__/name.cpython-311.pyc". */
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

/* Takes the job of that key out of a list; NULL: there is none. *place: where the next one stands now. */
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

/* With the lock held: somebody asks what was under way though nobody waited for it. */
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

/* With the lock held: whether the answer is under way, or in the store. In this order: it goes from the queue to the
 * store, and is under way until it is there. */
static int is_known_or_under_way(const struct mioc_resolver *r, unsigned kind, const char *path, uint32_t len)
{
    return mioc_keys_has(&r->keys, mioc_item_hash(kind, path, len)) ||
           r->config.is_known(r->config.ctx, kind, path, len);
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

    if (r->stop || r->libraries.waiting == MIOC_RESOLVER_GUESSES || is_known_or_under_way(r, kind, path, len) ||
        (job = new_job(kind, path, len)) == NULL)
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
        if (r->stop || r->guesses_waiting == MIOC_RESOLVER_GUESSES ||
            is_known_or_under_way(r, job->kind, job->path, job->len)) {
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
    if (!r->stop && !is_known_or_under_way(r, kind, path, len) &&
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

void mioc_resolver_start_job(struct mioc_resolver *r, struct mioc_job *job)
{
    job->next = r->active;
    job->started = mioc_clock_ns();
    job->writes = r->writes;
    r->active = job;
    job->is_borrower =
        __atomic_load_n(&r->prefetch, __ATOMIC_RELAXED) != NULL && !job->is_listed && job->kind == MIOC_ITEM_CONTENT;
    r->listed += (unsigned)job->is_borrower;
    r->idle_active += job->is_early || job->is_guess;
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
    if (r->stop || is_known_or_under_way(r, kind, path, len)) {
        pthread_mutex_unlock(&r->lock);
        free(brought);
        return;
    }
    mioc_keys_add(&r->keys, brought->hash);
    mioc_resolver_start_job(r, brought);
    pthread_mutex_unlock(&r->lock);
    r->run_job(r, brought);
}

static struct mioc_job *take_first(struct mioc_job_queue *q)
{
    struct mioc_job *job = q->first;

    q->first = job->next;
    if (q->first == NULL)
        q->last = &q->first;
    return job;
}

/* One thread is kept for what is asked. What nobody waits for is not begun while much waits for the agent. */
struct mioc_job *mioc_resolver_next_job(struct mioc_resolver *r)
{
    struct mioc_job *guess = r->guesses;

    if (r->asked.first != NULL)
        return take_first(&r->asked);
    if (!mioc_resolver_has_idle_work(r) || r->queued_bytes > MIOC_RESOLVER_QUEUE_MAX ||
        (r->threads > 1 && r->idle_active + 1 >= r->threads))
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
