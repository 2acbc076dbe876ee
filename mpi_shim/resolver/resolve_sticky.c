/* SPDX-License-Identifier: BSD-3-Clause */
/* resolve_sticky.c - files that are open for writing, by the names that links give them: their answers are not shared.
 *
 * Of what is written to a STICKY file nobody tells. The names that links give it are STICKY, too, as far as the links
 * were known when it was opened. A link that is asked for later is followed here. */
#include "base/hash.h"
#include "base/path.h"
#include "base/real.h"
#include "resolve.h"
#include "jobs.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static uint32_t bit_of(const char *path, uint32_t len)
{
    const uint32_t parent = mioc_path_parent(path, len), name = parent > 1 ? parent + 1 : parent;

    return (uint32_t)(mioc_hash(path + name, len - name) % MIOC_STICKY_BITS);
}

void mioc_resolve_note_sticky(struct mioc_resolver *r, const char *path, uint32_t len)
{
    const uint32_t bit = bit_of(path, len);

    __atomic_fetch_or(&r->sticky[bit / 64], 1ull << bit % 64, __ATOMIC_RELEASE);
}

/* Whether the record may be of a STICKY file by another name: it has the same last name, or ends in a link. */
static int may_be_sticky(const struct mioc_resolver *r, const struct mioc_item *item)
{
    const uint32_t bit = bit_of(mioc_item_path(item), item->path_len);
    const struct mioc_stat_record *st = (const void *)item;

    return (__atomic_load_n(&r->sticky[bit / 64], __ATOMIC_ACQUIRE) >> bit % 64 & 1) ||
           (item->kind == MIOC_ITEM_STAT && st->lstat_errno == 0 && S_ISLNK(st->lstat.mode));
}

static int has_sticky(const struct mioc_resolver *r)
{
    for (unsigned i = 0; i < MIOC_STICKY_BITS / 64; i++)
        if (__atomic_load_n(&r->sticky[i], __ATOMIC_ACQUIRE) != 0)
            return 1;
    return 0;
}

/* Whether the path leads to a STICKY file. */
static int is_sticky(struct mioc_resolver *r, const char *path)
{
    const struct mioc_item *item;
    char name[48], real[PATH_MAX];
    int fd = mioc_real(open)(path, O_PATH | O_CLOEXEC);
    ssize_t n;

    mioc_resolver_count(r, 1);
    if (fd < 0)
        return 0;
    (void)snprintf(name, sizeof name, "/proc/thread-self/fd/%d", fd);
    n = mioc_real(readlink)(name, real, sizeof real - 1);
    (void)mioc_real(close)(fd);
    if (n <= 0 || r->config.find == NULL)
        return 0;
    real[n] = '\0';
    item = r->config.find(r->config.ctx, MIOC_ITEM_STAT, real, (uint32_t)n);
    return item != NULL && (item->flags & MIOC_FLAG_STICKY);
}

/* The record is not shared, and nothing of its content stays. */
static void keep_back(struct mioc_resolver *r, struct mioc_answer *answer, struct mioc_item *item)
{
    if (item->kind == MIOC_ITEM_CONTENT)
        mioc_answer_drop_chunks(answer, ((const struct mioc_content_record *)(const void *)item)->content);
    pthread_mutex_lock(&r->lock);
    mioc_resolver_abandon_record(r, item, 0);
    pthread_mutex_unlock(&r->lock);
    mioc_resolver_release(r);
    item->flags |= MIOC_FLAG_UNCACHED;
}

void mioc_resolve_sticky(struct mioc_resolver *r, const struct mioc_job *job, struct mioc_answer *answer)
{
    int may_be = 0;

    if (!has_sticky(r))
        return;
    for (const struct mioc_result *result = answer->results.head; result != NULL; result = result->next) {
        const struct mioc_item *item = (const void *)result->item;

        may_be |= mioc_item_is_record(item->kind) && (item->flags & MIOC_FLAG_BY_LINK) && may_be_sticky(r, item);
    }
    if (!may_be || !is_sticky(r, job->path))
        return;
    for (struct mioc_result *result = answer->results.head; result != NULL; result = result->next) {
        struct mioc_item *item = (void *)result->item;

        if (item->kind == MIOC_ITEM_STAT || item->kind == MIOC_ITEM_CONTENT || item->kind == MIOC_ITEM_ACCESS)
            keep_back(r, answer, item);
    }
}
