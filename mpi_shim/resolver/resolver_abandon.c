/* SPDX-License-Identifier: BSD-3-Clause */
/* resolver_abandon.c - contents that will not be complete: their file changed, or could not be read to its end.
 *
 * Chunks that have left already would stay in every store, and keep their room, for the job's length. */
#include "jobs.h"

#include <string.h>

#define PAGE 4096u

static uint64_t pages_of(uint64_t bytes) { return (bytes + PAGE - 1) / PAGE; }

static int is_chunk_of(const struct mioc_result *result, uint32_t content)
{
    const struct mioc_chunk_record *chunk = (const void *)result->item;

    return chunk->item.kind == MIOC_ITEM_CHUNK && chunk->content == content;
}

/* Frees the content's chunks in a queue; `r` is NULL for an answer's. Whether the first one was among them: then none
 * has left. */
static int drop_chunks(struct mioc_resolver *r, struct mioc_result_queue *q, uint32_t content)
{
    struct mioc_result **at = &q->head;
    int has_first = 0;

    while (*at != NULL) {
        struct mioc_result *result = *at;

        if (!is_chunk_of(result, content)) {
            at = &result->next;
            continue;
        }
        has_first |= ((const struct mioc_chunk_record *)(const void *)result->item)->offset == 0;
        *at = result->next;
        if (r != NULL)
            mioc_resolver_forget(r, result);
        mioc_result_free(result);
    }
    q->tail = at;
    return has_first;
}

void mioc_answer_drop_chunks(struct mioc_answer *answer, uint32_t content)
{
    (void)drop_chunks(NULL, &answer->results, content);
}

void mioc_resolver_abandon(struct mioc_resolver *r, const char *path, uint32_t len, uint32_t content, uint64_t size)
{
    int has_first = drop_chunks(r, &r->bulk, content) | drop_chunks(r, &r->small, content);
    struct mioc_result *result;
    struct mioc_invalidate_record *record;

    pthread_cond_broadcast(&r->room);
    if (has_first) {
        r->unused += pages_of(size) * PAGE;
        return;
    }
    result = mioc_result_new(sizeof *record + len + 1 + MIOC_ITEM_ALIGN);
    if (result == NULL)
        return; /* without memory its room stays taken */
    record = (void *)result->item;
    result->bytes_len = 0;
    mioc_item_finish(record, mioc_item_begin(record, MIOC_ITEM_INVALIDATE, MIOC_FLAG_EVICT, path, len));
    record->node = UINT32_MAX;
    record->token = content;
    record->pages = (uint32_t)pages_of(size);
    mioc_resolver_file(r, &r->small, result); /* it overtakes no chunk: none waits any more */
}

void mioc_resolver_abandon_record(struct mioc_resolver *r, const struct mioc_item *item, int is_filed)
{
    const struct mioc_content_record *record = (const void *)item;

    if (item->kind != MIOC_ITEM_CONTENT || (item->flags & MIOC_FLAG_UNCACHED) || record->open_errno != 0 ||
        record->size == 0)
        return;
    if (!is_filed && record->size <= MIOC_CHUNK_MAX) /* its chunk stands in the same answer */
        r->unused += pages_of(record->size) * PAGE;
    else
        mioc_resolver_abandon(r, record->path, item->path_len, record->content, record->size);
}

void mioc_resolver_release(struct mioc_resolver *r)
{
    uint64_t bytes;

    pthread_mutex_lock(&r->lock);
    bytes = r->unused;
    r->unused = 0;
    pthread_mutex_unlock(&r->lock);
    if (bytes > 0 && r->config.release != NULL)
        r->config.release(r->config.ctx, bytes);
}
