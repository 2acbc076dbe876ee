/* SPDX-License-Identifier: BSD-3-Clause */
/* resolver_invalidate.c - answers that a write has overtaken: found while they are made or wait, and made again. */
#include "resolver_internal.h"
#include "ahead.h"
#include "../preload/path.h"

#include <stdlib.h>
#include <string.h>

static int is_affected(unsigned kind, const char *path, uint32_t len, const char *written, uint32_t written_len,
                       uint32_t flags)
{
    if (len == written_len && memcmp(path, written, len) == 0)
        return 1;
    if ((flags & MIOC_FLAG_SUBTREE) && mioc_path_is_below(path, len, written, written_len))
        return 1;
    return (kind == MIOC_ITEM_STAT || kind == MIOC_ITEM_LIST) && len == mioc_path_parent(written, written_len) &&
           memcmp(path, written, len) == 0;
}

/* With the lock held: takes affected records out of a queue and asks for them again. */
static void requeue_affected(struct mioc_resolver *r, struct mioc_result_queue *q, const char *path, uint32_t len,
                             uint32_t flags)
{
    struct mioc_result **at = &q->head;

    while (*at != NULL) {
        struct mioc_result *result = *at;
        const struct mioc_item *item = (const void *)result->item;
        const char *item_path = mioc_item_path(item);

        if (item_path == NULL || !is_affected(item->kind, item_path, item->path_len, path, len, flags)) {
            at = &result->next;
            continue;
        }
        (void)mioc_resolver_enqueue(r, item->kind, item_path, item->path_len);
        *at = result->next;
        mioc_resolver_forget(r, result);
        mioc_result_free(result);
    }
    q->tail = at;
}

void mioc_resolver_invalidate(struct mioc_resolver *r, const char *path, uint32_t len, uint32_t flags)
{
    pthread_mutex_lock(&r->lock);
    if (r->ahead != NULL)
        mioc_ahead_void(r->ahead);
    for (struct mioc_job *job = r->active; job != NULL; job = job->next)
        if (is_affected(job->kind, job->path, job->len, path, len, flags))
            job->dirty = 1;
    requeue_affected(r, &r->small, path, len, flags);
    requeue_affected(r, &r->bulk, path, len, flags);
    pthread_mutex_unlock(&r->lock);
}

