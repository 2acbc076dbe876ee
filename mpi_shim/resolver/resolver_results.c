/* SPDX-License-Identifier: BSD-3-Clause */
/* resolver_results.c - finished items: makes them, queues them for the agent, finds them while they wait. */
#include "jobs.h"
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

#define MAP_FROM (8u * 1024u)

void mioc_results_init(struct mioc_result_queue *q)
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
    return ((const struct mioc_item *)(const void *)result->item)->hash; /* 0: a chunk has no key */
}

static enum mioc_listing visit_listing(const struct mioc_list_record *list,
                                       void (*visit)(void *ctx, const struct mioc_list_record *list), void *ctx)
{
    if (list->item.flags & MIOC_FLAG_UNCACHED)
        return MIOC_LISTING_UNSHARED;
    if (list->list_errno != 0)
        return list->list_errno == ENOENT || list->list_errno == ENOTDIR ? MIOC_LISTING_ABSENT : MIOC_LISTING_UNSHARED;
    visit(ctx, list);
    return MIOC_LISTING_READ;
}

static enum mioc_listing visit_stored(struct mioc_resolver *r, const char *dir, uint32_t len,
                                      void (*visit)(void *ctx, const struct mioc_list_record *list), void *ctx)
{
    const struct mioc_item *item =
        r->config.find != NULL ? r->config.find(r->config.ctx, MIOC_ITEM_LIST, dir, len) : NULL;

    return item != NULL ? visit_listing((const void *)item, visit, ctx) : MIOC_LISTING_UNKNOWN;
}

const struct mioc_result *mioc_resolver_find_small(const struct mioc_resolver *r, uint64_t hash)
{
    const struct mioc_result *result = r->in_hand;

    if (result != NULL && result_hash(result) == hash)
        return result;
    for (result = r->small.head; result != NULL && result_hash(result) != hash; result = result->next)
        ;
    return result;
}

enum mioc_listing mioc_resolver_look_at_listing(struct mioc_resolver *r, const char *dir, uint32_t len,
                                                void (*visit)(void *ctx, const struct mioc_list_record *list),
                                                void *ctx)
{
    uint64_t hash = mioc_item_hash(MIOC_ITEM_LIST, dir, len);
    enum mioc_listing listing = visit_stored(r, dir, len, visit, ctx);
    const struct mioc_result *result;

    if (listing != MIOC_LISTING_UNKNOWN)
        return listing;
    pthread_mutex_lock(&r->lock);
    result = mioc_resolver_find_small(r, hash);
    if (result != NULL) {
        const struct mioc_list_record *list = (const void *)result->item;

        if (list->item.kind == MIOC_ITEM_LIST && list->item.path_len == len && memcmp(list->path, dir, len) == 0)
            listing = visit_listing(list, visit, ctx);
    }
    pthread_mutex_unlock(&r->lock);
    /* Once more: it may have gone from the queue to the store meanwhile. */
    return listing != MIOC_LISTING_UNKNOWN ? listing : visit_stored(r, dir, len, visit, ctx);
}

void mioc_resolver_file(struct mioc_resolver *r, struct mioc_result_queue *q, struct mioc_result *result)
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

/* Larger results are mappings, which go back to the kernel: the threads' heaps would keep them. */
struct mioc_result *mioc_result_new(size_t size)
{
    size_t whole = sizeof(struct mioc_result) + size;
    struct mioc_result *result;

    if (whole < MAP_FROM) {
        result = malloc(whole);
        if (result != NULL)
            result->mapped = 0;
        return result;
    }
    result = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (result == MAP_FAILED)
        return NULL;
    result->mapped = whole;
    return result;
}

void mioc_result_free(struct mioc_result *result)
{
    if (result->mapped != 0)
        munmap(result, result->mapped);
    else
        free(result);
}

void mioc_resolved_free(struct mioc_resolved *resolved)
{
    struct mioc_resolver *r = resolved->resolver;
    struct mioc_result *result = resolved->memory;

    pthread_mutex_lock(&r->lock);
    if (r->in_hand == result)
        r->in_hand = NULL;
    if (result_hash(result) != 0)
        mioc_keys_remove(&r->keys, result_hash(result));
    pthread_mutex_unlock(&r->lock);
    mioc_result_free(result);
}

void mioc_answer_push(struct mioc_answer *answer, struct mioc_result *result) { push(&answer->results, result); }

int mioc_answer_add(struct mioc_answer *answer, const void *item)
{
    uint32_t size = ((const struct mioc_item *)item)->size;
    struct mioc_result *result = mioc_result_new(size);

    if (result == NULL)
        return -1;
    result->bytes_len = 0;
    memcpy(result->item, item, size);
    push(&answer->results, result);
    return 0;
}

void mioc_resolver_count(struct mioc_resolver *r, unsigned calls)
{
    __atomic_fetch_add(&r->calls, calls, __ATOMIC_RELAXED);
}

static int has_room(const struct mioc_resolver *r, const struct mioc_job *job)
{
    const int is_waited_for = job->is_hurried || !(job->is_early || job->is_guess);

    return r->queued_bytes <= (is_waited_for ? MIOC_RESOLVER_QUEUE_MAX : MIOC_RESOLVER_QUEUE_MAX / 2);
}

int mioc_resolver_stream(struct mioc_resolver *r, const struct mioc_job *job, struct mioc_result *result)
{
    int stopped;

    pthread_mutex_lock(&r->lock);
    while (!r->stop && !has_room(r, job))
        pthread_cond_wait(&r->room, &r->lock);
    stopped = r->stop;
    result->writes = job->writes;
    if (!stopped)
        mioc_resolver_file(r, &r->bulk, result);
    pthread_mutex_unlock(&r->lock);
    if (stopped) {
        mioc_result_free(result);
        return -1;
    }
    r->config.ready(r->config.ctx);
    return 0;
}
