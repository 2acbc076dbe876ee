/* SPDX-License-Identifier: BSD-3-Clause */
/* resolver.c - the root's job queue, its threads and the two queues of finished items. */
#include "resolver_internal.h"
#include "../preload/path.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Finished items wait for the agent up to this many bytes; then threads that read long contents wait. */
#define QUEUE_BYTES_MAX (8u * 1024u * 1024u)
#define THREAD_STACK (512u * 1024u)

static void queue_init(struct mioc_result_queue *q)
{
    q->head = NULL;
    q->tail = &q->head;
}

static void push(struct mioc_result_queue *q, struct mioc_result *result)
{
    result->next = NULL;
    *q->tail = result;
    q->tail = &result->next;
}

size_t mioc_result_bytes(const struct mioc_result *result)
{
    return ((const struct mioc_item *)(const void *)result->item)->size + result->bytes_len;
}

static uint64_t result_hash(const struct mioc_result *result)
{
    return ((const struct mioc_item *)(const void *)result->item)->hash; /* 0: a chunk */
}

/* With the lock held. */
static void file_result(struct mioc_resolver *r, struct mioc_result_queue *q, struct mioc_result *result)
{
    r->queued_bytes += mioc_result_bytes(result);
    if (result_hash(result) != 0)
        mioc_keys_add(&r->keys, result_hash(result));
    push(q, result);
}

void mioc_resolver_forget(struct mioc_resolver *r, const struct mioc_result *result)
{
    r->queued_bytes -= mioc_result_bytes(result);
    if (result_hash(result) != 0)
        mioc_keys_remove(&r->keys, result_hash(result));
}

static struct mioc_result *result_new(const void *item, const void *bytes, uint32_t bytes_len)
{
    uint32_t size = ((const struct mioc_item *)item)->size;
    struct mioc_result *result = malloc(sizeof *result + size + bytes_len);

    if (result != NULL) {
        result->bytes_len = bytes_len;
        memcpy(result->item, item, size);
        if (bytes_len > 0)
            memcpy(result->item + size, bytes, bytes_len);
    }
    return result;
}

int mioc_answer_add(struct mioc_answer *answer, const void *item, const void *bytes, uint32_t bytes_len)
{
    struct mioc_result *result = result_new(item, bytes, bytes_len);

    if (result == NULL)
        return -1;
    push(&answer->results, result);
    return 0;
}

void mioc_resolver_count(struct mioc_resolver *r, unsigned calls)
{
    __atomic_fetch_add(&r->calls, calls, __ATOMIC_RELAXED);
}

int mioc_resolver_stream(struct mioc_resolver *r, const void *item, const void *bytes, uint32_t bytes_len)
{
    struct mioc_result *result = result_new(item, bytes, bytes_len);
    int stopped;

    if (result == NULL)
        return -1;
    pthread_mutex_lock(&r->lock);
    while (!r->stop && r->queued_bytes > QUEUE_BYTES_MAX)
        pthread_cond_wait(&r->room, &r->lock);
    stopped = r->stop;
    if (!stopped) {
        file_result(r, &r->bulk, result);
    }
    pthread_mutex_unlock(&r->lock);
    if (stopped) {
        free(result);
        return -1;
    }
    r->config.ready(r->config.ctx);
    return 0;
}

/* --- Jobs --- */

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
static int add_job(struct mioc_resolver *r, struct mioc_job_queue *q, unsigned kind, const char *path, uint32_t len)
{
    struct mioc_job *job = new_job(kind, path, len);

    if (job == NULL)
        return -1;
    job->is_early = q == &r->early;
    *q->last = job;
    q->last = &job->next;
    mioc_keys_add(&r->keys, job->hash);
    pthread_cond_signal(&r->work);
    return 0;
}

int mioc_resolver_enqueue(struct mioc_resolver *r, unsigned kind, const char *path, uint32_t len)
{
    return add_job(r, &r->asked, kind, path, len);
}

int mioc_resolver_enqueue_early(struct mioc_resolver *r, unsigned kind, const char *path, uint32_t len)
{
    return mioc_keys_has(&r->keys, mioc_item_hash(kind, path, len)) ? 0 : add_job(r, &r->early, kind, path, len);
}

/* With the lock held: what waits among the manifest's questions is asked now. */
static void hurry(struct mioc_resolver *r, uint64_t hash)
{
    for (struct mioc_job **at = &r->early.first; *at != NULL; at = &(*at)->next) {
        struct mioc_job *job = *at;

        if (job->hash != hash)
            continue;
        *at = job->next;
        if (job->next == NULL)
            r->early.last = at;
        job->next = NULL;
        job->is_early = 0;
        *r->asked.last = job;
        r->asked.last = &job->next;
        pthread_cond_signal(&r->work);
        return;
    }
}

void mioc_resolver_speculate(struct mioc_resolver *r, unsigned kind, const char *path, uint32_t len)
{
    if (!r->config.may_speculate(r->config.ctx, path, len) || r->config.is_known(r->config.ctx, kind, path, len))
        return;
    pthread_mutex_lock(&r->lock);
    if (!r->stop && !mioc_keys_has(&r->keys, mioc_item_hash(kind, path, len)))
        (void)mioc_resolver_enqueue(r, kind, path, len);
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

/* Library directories are taken as they are at the first touch, and this is it. */
static void mark_early(const struct mioc_resolver *r, struct mioc_result *result)
{
    struct mioc_item *item = (void *)result->item;
    const char *path = mioc_item_path(item);

    if (path != NULL && !r->config.may_speculate(r->config.ctx, path, item->path_len))
        item->flags |= MIOC_FLAG_EARLY;
}

/* With the lock held: files the job's items, or says that they are stale. */
static int deliver(struct mioc_resolver *r, struct mioc_job *job, struct mioc_answer *answer, int is_bulk)
{
    struct mioc_result *result = answer->results.head, *next;
    int is_stale = job->dirty && !r->stop;

    for (; result != NULL; result = next) {
        next = result->next;
        if (is_stale || r->stop) {
            free(result);
        } else {
            if (job->is_early)
                mark_early(r, result);
            file_result(r, is_bulk ? &r->bulk : &r->small, result);
        }
    }
    job->dirty = 0;
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
static void start_job(struct mioc_resolver *r, struct mioc_job *job)
{
    job->next = r->active;
    r->active = job;
    r->early_active += (unsigned)job->is_early;
}

static void run_job(struct mioc_resolver *r, struct mioc_job *job)
{
    int is_stale;

    do {
        struct mioc_answer answer;

        queue_init(&answer.results);
        mioc_resolve(r, job, &answer);
        pthread_mutex_lock(&r->lock);
        is_stale = deliver(r, job, &answer, has_streamed(&answer));
        if (!is_stale) {
            unlink_job(&r->active, job);
            mioc_keys_remove(&r->keys, job->hash);
            r->early_active -= (unsigned)job->is_early;
        }
        pthread_mutex_unlock(&r->lock);
    } while (is_stale);
    free(job);
    r->config.ready(r->config.ctx);
}

void mioc_resolver_bring(struct mioc_resolver *r, unsigned kind, const char *path, uint32_t len)
{
    struct mioc_job *job;

    if (!r->config.may_speculate(r->config.ctx, path, len) || r->config.is_known(r->config.ctx, kind, path, len) ||
        (job = new_job(kind, path, len)) == NULL)
        return;
    pthread_mutex_lock(&r->lock);
    if (r->stop || mioc_keys_has(&r->keys, job->hash)) {
        pthread_mutex_unlock(&r->lock);
        free(job);
        return;
    }
    mioc_keys_add(&r->keys, job->hash);
    start_job(r, job);
    pthread_mutex_unlock(&r->lock);
    run_job(r, job);
}

void mioc_resolver_part_from_descriptors(void)
{
#if defined SYS_close_range && defined CLOSE_RANGE_UNSHARE
    (void)syscall(SYS_close_range, 0u, ~0u, CLOSE_RANGE_UNSHARE);
#endif
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
static struct mioc_job *next_job(struct mioc_resolver *r)
{
    if (r->asked.first != NULL)
        return take_first(&r->asked);
    if (r->early.first == NULL || r->queued_bytes > QUEUE_BYTES_MAX || (r->threads > 1 && r->early_active + 1 >= r->threads))
        return NULL;
    return take_first(&r->early);
}

static void *thread_main(void *arg)
{
    struct mioc_resolver *r = arg;

    mioc_resolver_part_from_descriptors();
    pthread_mutex_lock(&r->lock);
    if (r->config.manifest != NULL && !r->has_read_manifest) {
        r->has_read_manifest = 1;
        pthread_mutex_unlock(&r->lock);
        mioc_resolver_read_manifest(r);
        pthread_mutex_lock(&r->lock);
    }
    while (!r->stop) {
        struct mioc_job *job = next_job(r);

        if (job == NULL) {
            pthread_cond_wait(&r->work, &r->lock);
            continue;
        }
        start_job(r, job);
        pthread_mutex_unlock(&r->lock);
        run_job(r, job);
        pthread_mutex_lock(&r->lock);
        if (r->early.first != NULL)
            pthread_cond_signal(&r->work); /* this one's place among the manifest's is free */
    }
    r->threads--;
    pthread_cond_broadcast(&r->room);
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

/* --- Agent's side --- */

int mioc_resolver_take(struct mioc_resolver *r, struct mioc_resolved *out)
{
    struct mioc_result *result;

    pthread_mutex_lock(&r->lock);
    struct mioc_result_queue *q = r->small.head != NULL ? &r->small : &r->bulk;
    result = q->head;
    if (result != NULL) {
        q->head = result->next;
        if (q->head == NULL)
            q->tail = &q->head;
        mioc_resolver_forget(r, result);
        pthread_cond_broadcast(&r->room);
        if (r->early.first != NULL)
            pthread_cond_signal(&r->work);
    }
    pthread_mutex_unlock(&r->lock);
    if (result == NULL)
        return 0;
    out->memory = result;
    out->item = (const void *)result->item;
    out->bytes = result->bytes_len > 0 ? result->item + out->item->size : NULL;
    return 1;
}

int mioc_resolver_is_busy(const struct mioc_resolver *r)
{
    struct mioc_resolver *mutable = (struct mioc_resolver *)r;
    int busy;

    pthread_mutex_lock(&mutable->lock);
    busy = r->asked.first != NULL || r->early.first != NULL || r->active != NULL || r->small.head != NULL || r->bulk.head != NULL;
    pthread_mutex_unlock(&mutable->lock);
    return busy;
}

uint64_t mioc_resolver_calls(const struct mioc_resolver *r)
{
    return __atomic_load_n(&r->calls, __ATOMIC_RELAXED);
}

/* Threads inherit the creator's mask: all signals stay with the application's threads. */
static int start_thread(struct mioc_resolver *r)
{
    pthread_attr_t attr;
    pthread_t thread;
    sigset_t all, old;
    int rc;

    sigfillset(&all);
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, THREAD_STACK);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    pthread_mutex_lock(&r->lock);
    rc = pthread_create(&thread, &attr, thread_main, r);
    r->threads += rc == 0;
    pthread_mutex_unlock(&r->lock);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
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
    queue_init(&r->small);
    queue_init(&r->bulk);
    r->next_content = 1;
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
        free(result);
    }
}

static void free_jobs(struct mioc_job *job)
{
    for (struct mioc_job *next; job != NULL; job = next) {
        next = job->next;
        free(job);
    }
}

void mioc_resolver_free(struct mioc_resolver *r, uint64_t wait_ns)
{
    struct timespec until;
    unsigned left;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(wait_ns / 1000000000u);
    until.tv_nsec += (long)(wait_ns % 1000000000u);
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&r->lock);
    r->stop = 1;
    pthread_cond_broadcast(&r->work);
    pthread_cond_broadcast(&r->room);
    while (r->threads > 0 && pthread_cond_timedwait(&r->room, &r->lock, &until) == 0)
        ;
    left = r->threads;
    pthread_mutex_unlock(&r->lock);
    if (left > 0)
        return; /* they still use it */
    free_jobs(r->asked.first);
    free_jobs(r->early.first);
    mioc_keys_free(&r->keys);
    free_results(&r->small);
    free_results(&r->bulk);
    pthread_cond_destroy(&r->work);
    pthread_cond_destroy(&r->room);
    pthread_mutex_destroy(&r->lock);
    free(r);
}
