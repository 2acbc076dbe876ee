/* SPDX-License-Identifier: BSD-3-Clause */
/* resolver_invalidate.c - answers that do not count: those that a write has overtaken are made anew, and those that the
 * root's own kernel may give from before another node's write are not shared. */
#include "jobs.h"
#include "base/clock.h"
#include "prefetch.h"
#include "resolve.h"
#include "base/path.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define SECOND 1000000000ull
/* At least what stands before the path in a record of any kind. */
#define BRIEF_FIXED (sizeof(struct mioc_stat_record) + sizeof(struct mioc_access_record))

static int is_affected(unsigned kind, const char *path, uint32_t len, const char *written, uint32_t written_len,
                       uint32_t flags)
{
    return mioc_path_is_concerned(path, len, kind == MIOC_ITEM_STAT || kind == MIOC_ITEM_LIST, written, written_len,
                                  (flags & MIOC_FLAG_SUBTREE) != 0);
}

/* With the lock held: takes affected records out of a queue and asks for them again. `stale` keeps them for now,
 * because chunks of their contents may stand in the same queue. */
static void requeue_affected(struct mioc_resolver *r, struct mioc_result_queue *q, const char *path, uint32_t len,
                             uint32_t flags, struct mioc_result **stale)
{
    struct mioc_result **at = &q->head;

    while (*at != NULL) {
        struct mioc_result *result = *at;
        const struct mioc_item *item = (const void *)result->item;
        const char *item_path = mioc_item_path(item);

        if (item_path == NULL || item->kind == MIOC_ITEM_INVALIDATE ||
            !is_affected(item->kind, item_path, item->path_len, path, len, flags)) {
            at = &result->next;
            continue;
        }
        (void)mioc_resolver_enqueue(r, item->kind, item_path, item->path_len);
        *at = result->next;
        mioc_resolver_forget(r, result);
        result->next = *stale;
        *stale = result;
    }
    q->tail = at;
}

/* --- What other nodes wrote -------------------------------------------------------------------------------------- */

/* With the lock held: forgets writes that no look and no other write can meet any more. */
static void tidy(struct mioc_resolver *r, uint64_t now)
{
    uint64_t oldest = now, kept = r->config.client_most_ns + r->config.notice_ns;

    if (now - r->tidied < SECOND)
        return;
    for (const struct mioc_job *job = r->active; job != NULL; job = job->next)
        oldest = job->started < oldest ? job->started : oldest;
    if (r->recent != NULL && oldest > kept)
        mioc_recent_forget(r->recent, oldest - kept);
    if (r->own != NULL && now > r->config.notice_ns)
        mioc_recent_forget(r->own, now - r->config.notice_ns);
    r->tidied = now;
}

/* With the lock held: notes a write of another node. Without memory no answer is lasting any more. */
static void note_written(struct mioc_resolver *r, const char *path, uint32_t len, uint32_t flags, uint64_t now)
{
    if (r->config.client_ns == NULL || r->config.client_most_ns == 0)
        return;
    tidy(r, now);
    if (r->recent == NULL)
        r->recent = mioc_recent_new();
    if (r->recent != NULL)
        mioc_recent_add(r->recent, path, len, flags, now);
    else
        r->has_lost_track = 1;
}

/* With the lock held. */
static void distrust(struct mioc_resolver *r, const char *path, uint32_t len)
{
    uint64_t last = r->recent != NULL ? mioc_recent_last(r->recent) : 0;

    if (last > 0)
        mioc_recent_add(r->recent, path, len, MIOC_FLAG_SUBTREE, last);
}

void mioc_resolver_distrust(struct mioc_resolver *r, const char *path, uint32_t len)
{
    pthread_mutex_lock(&r->lock);
    distrust(r, path, len);
    pthread_mutex_unlock(&r->lock);
}

/* Whether all that the item says is about files of that device. */
static int is_of_device(const struct mioc_item *item, uint64_t dev)
{
    const struct mioc_stat_record *st = (const void *)item;
    const struct mioc_list_record *list = (const void *)item;
    const struct mioc_content_record *content = (const void *)item;

    if (item->flags & MIOC_FLAG_UNCACHED)
        return 0;
    switch (item->kind) {
    case MIOC_ITEM_STAT:
        return st->lstat_errno == 0 && st->stat_errno == 0 && st->lstat.dev == dev && st->stat.dev == dev;
    case MIOC_ITEM_LIST: return list->list_errno == 0 && list->stat.dev == dev;
    case MIOC_ITEM_CONTENT: return content->open_errno == 0 && content->stat.dev == dev;
    default: return 0;
    }
}

/* With the lock held: for how many ns the answer of a look that began at `started` does not count. `item`: the answer;
 * NULL: it is not known yet. */
static uint64_t doubt(struct mioc_resolver *r, unsigned kind, const char *path, uint32_t len, uint64_t started,
                      const struct mioc_item *item, uint64_t now)
{
    uint64_t dev = 0, ns;

    if (r->has_lost_track)
        return SECOND;
    if (r->recent == NULL)
        return 0;
    ns = r->config.client_ns(r->config.ctx, path, len, &dev);
    if (item != NULL && ns < r->config.client_most_ns && !is_of_device(item, dev))
        ns = r->config.client_most_ns;
    return mioc_recent_doubt(r->recent, kind, path, len, started, ns, now);
}

void mioc_resolved_doubt(const struct mioc_resolved *resolved)
{
    struct mioc_item *item = (void *)((struct mioc_result *)resolved->memory)->item;
    struct mioc_resolver *r = resolved->resolver;
    uint64_t ns;

    if (item->flags & MIOC_FLAG_UNCACHED)
        return;
    /* Whenever its look began: what was written then is not known to have concerned it. */
    pthread_mutex_lock(&r->lock);
    ns = doubt(r, item->kind, mioc_item_path(item), item->path_len, 0, item, mioc_clock_ns());
    pthread_mutex_unlock(&r->lock);
    if (ns > 0 || resolved->is_overtaken)
        item->flags = mioc_item_brief(ns);
}

/* NULL: no memory. */
static struct mioc_result *new_brief(unsigned kind, const char *path, uint32_t len, uint64_t ns)
{
    struct mioc_result *result = mioc_result_new(BRIEF_FIXED + len + 1 + MIOC_ITEM_ALIGN);

    if (result == NULL)
        return NULL;
    mioc_item_finish(result->item, mioc_item_begin(result->item, kind, mioc_item_brief(ns), path, len));
    result->bytes_len = 0;
    return result;
}

int mioc_resolver_answer_briefly(struct mioc_resolver *r, const struct mioc_job *job, struct mioc_answer *answer)
{
    struct mioc_result *result;
    uint64_t ns;

    pthread_mutex_lock(&r->lock);
    ns = doubt(r, job->kind, job->path, job->len, job->started, NULL, job->started);
    pthread_mutex_unlock(&r->lock);
    if (ns > 0 && (result = new_brief(job->kind, job->path, job->len, ns)) != NULL)
        mioc_answer_push(answer, result);
    return ns > 0;
}

/* Whether the item says where a link leads. It is kept though it does not count: a write may concern the link's name,
 * and a link that leads there no more does no harm (aliases.h). */
static int is_of_link(const struct mioc_item *item)
{
    return item->kind == MIOC_ITEM_REALPATH ||
           (item->kind == MIOC_ITEM_STAT && S_ISLNK(((const struct mioc_stat_record *)(const void *)item)->lstat.mode));
}

void mioc_resolver_doubt(struct mioc_resolver *r, const struct mioc_job *job, struct mioc_answer *answer)
{
    struct mioc_result_queue kept = answer->results;
    uint64_t now;

    if (r->recent == NULL && !r->has_lost_track)
        return;
    now = mioc_clock_ns();
    tidy(r, now);
    mioc_results_init(&answer->results);
    for (struct mioc_result *result = kept.head, *next; result != NULL; result = next) {
        const struct mioc_item *item = (const void *)result->item;
        const char *path = mioc_item_path(item);
        uint64_t ns = path != NULL ? doubt(r, item->kind, path, item->path_len, job->started, item, now) : 0;
        struct mioc_result *brief = NULL;

        next = result->next;
        if (ns > 0 && is_of_link(item)) {
            ((struct mioc_item *)(void *)result->item)->flags = mioc_item_brief(ns);
            mioc_answer_push(answer, result);
            continue;
        }
        if (ns > 0) {
            brief = new_brief(item->kind, path, item->path_len, ns);
            if (item->kind == MIOC_ITEM_CONTENT)
                mioc_answer_drop_chunks(answer, ((const struct mioc_content_record *)(const void *)item)->content);
            mioc_resolver_abandon_record(r, item, 0);
            mioc_result_free(result);
        }
        if (ns == 0 || brief != NULL)
            mioc_answer_push(answer, ns > 0 ? brief : result);
    }
}

/* With the lock held: what is asked and answered of what was written is asked anew. Results that are thrown away come
 * back in `stale`. */
static void make_anew(struct mioc_resolver *r, const char *path, uint32_t len, uint32_t flags,
                      struct mioc_result **stale)
{
    if (r->prefetch != NULL)
        mioc_prefetch_void(r->prefetch);
    for (struct mioc_job *job = r->active; job != NULL; job = job->next)
        if (is_affected(job->kind, job->path, job->len, path, len, flags))
            job->dirty = 1;
    requeue_affected(r, &r->small, path, len, flags, stale);
    requeue_affected(r, &r->bulk, path, len, flags, stale);
}

/* --- Directories that this kernel takes for removed (resolve_dead.c) --------------------------------------------- */

struct forgetting {
    struct mioc_resolver *r;
    struct mioc_result **stale;
    uint64_t since;
};

/* All nodes forget what is below a path that was moved lately. */
static void forget(void *ctx, const char *path, uint32_t len, uint64_t at)
{
    const struct forgetting *forgetting = ctx;
    struct mioc_invalidate_record *record;
    struct mioc_result *result;

    if (at < forgetting->since)
        return;
    make_anew(forgetting->r, path, len, MIOC_FLAG_SUBTREE, forgetting->stale);
    result = mioc_result_new(sizeof *record + len + 1 + MIOC_ITEM_ALIGN);
    if (result == NULL)
        return; /* without memory what was answered stays */
    record = (void *)result->item;
    result->bytes_len = 0;
    mioc_item_finish(record, mioc_item_begin(record, MIOC_ITEM_INVALIDATE, MIOC_FLAG_SUBTREE, path, len));
    record->node = UINT32_MAX; /* nobody waits for it */
    mioc_resolver_file(forgetting->r, &forgetting->r->small, result);
}

/* With the lock held: this node removed or renamed something by a name that another node had moved. From now on answers
 * are looked at. is_late: those of before may be lasting. The wrong directory can only be below what was moved. */
static void note_dead(struct mioc_resolver *r, int is_late, uint64_t now, struct mioc_result **stale)
{
    const uint64_t window = r->config.client_most_ns + r->config.notice_ns;
    struct forgetting forgetting = { r, stale, now > window ? now - window : 0 };

    if (__atomic_exchange_n(&r->has_dead, 1, __ATOMIC_RELAXED) || !is_late)
        return;
    mioc_recent_each_moved(r->recent, forget, &forgetting);
    mioc_recent_each_moved(r->own, forget, &forgetting);
}

/* With the lock held: this node wrote with SUBTREE, so it may have removed a directory, or renamed one over another. If
 * its kernel believed something else to be there, it marked the wrong one as removed. */
static void note_own(struct mioc_resolver *r, const char *path, uint32_t len, uint64_t now, struct mioc_result **stale)
{
    const uint64_t moved = r->recent != NULL ? mioc_recent_moved(r->recent, path, len) : 0;
    const uint64_t known = moved + r->config.client_most_ns; /* from here on this kernel knows of that */

    if (r->config.client_ns == NULL || r->config.client_most_ns == 0)
        return;
    tidy(r, now);
    if (r->own == NULL && (r->own = mioc_recent_new()) == NULL) {
        r->has_lost_track = 1;
        return;
    }
    mioc_recent_add(r->own, path, len, MIOC_FLAG_SUBTREE, now);
    if (moved > 0 && now < known + r->config.notice_ns)
        note_dead(r, now >= known, now, stale);
}

/* What this node removed or renamed lately, at or below a path that another node moved. */
struct meeting {
    const char *path;
    uint32_t len;
    uint64_t since;
    int has_met;
};

static void meet(void *ctx, const char *path, uint32_t len, uint64_t at)
{
    struct meeting *meeting = ctx;

    meeting->has_met |= at > meeting->since && (len == 1 || mioc_path_is_below(path, len, meeting->path, meeting->len));
}

/* With the lock held: another node moved what is there, perhaps before this node's write that was heard of first. */
static void note_moved(struct mioc_resolver *r, const char *path, uint32_t len, uint64_t now,
                       struct mioc_result **stale)
{
    const uint64_t window = r->config.notice_ns;
    struct meeting meeting = { path, len, now > window ? now - window : 0, 0 };

    if (r->own == NULL || r->recent == NULL)
        return;
    mioc_recent_each_moved(r->own, meet, &meeting);
    if (meeting.has_met)
        note_dead(r, 1, now, stale);
}

/* --- Entry ------------------------------------------------------------------------------------------------------- */

/* With the lock held. */
static void note(struct mioc_resolver *r, const char *path, uint32_t len, uint32_t flags, int is_foreign,
                 struct mioc_result **stale)
{
    const uint64_t now = mioc_clock_ns();

    if (flags & MIOC_FLAG_STICKY)
        mioc_resolve_note_sticky(r, path, len);
    if (is_foreign)
        note_written(r, path, len, flags, now);
    if (!(flags & MIOC_FLAG_SUBTREE))
        return;
    (is_foreign ? note_moved : note_own)(r, path, len, now, stale);
    if (!is_foreign)
        distrust(r, path, len); /* a folder that is renamed takes along what this kernel has not seen yet */
}

void mioc_resolver_invalidate(struct mioc_resolver *r, const char *path, uint32_t len, uint32_t flags, int is_foreign)
{
    struct mioc_result *stale = NULL, *next;
    char buf[MIOC_PATH_MAX];

    path = mioc_path_plain(path, &len, buf);
    pthread_mutex_lock(&r->lock);
    r->writes++;
    note(r, path, len, flags, is_foreign, &stale);
    make_anew(r, path, len, flags, &stale);
    for (; stale != NULL; stale = next) {
        next = stale->next;
        mioc_resolver_abandon_record(r, (const void *)stale->item, 1);
        mioc_result_free(stale);
    }
    pthread_mutex_unlock(&r->lock);
    mioc_resolver_release(r);
}
