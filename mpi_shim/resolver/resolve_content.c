/* SPDX-License-Identifier: BSD-3-Clause */
/* resolve_content.c - the root reads files: chunks, then the CONTENT record. */
#include "base/real.h"
#include "prefetch.h"
#include "database.h"
#include "jobs.h"
#include "resolve.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* An object's first bytes, its dynamic section and its strings may lie in so many chunks. */
#define CHUNKS_KEPT 6u

/* A chunk without its bytes, with room for them and one more. NULL: no memory. */
static struct mioc_result *new_chunk(uint32_t content, uint64_t offset, uint32_t length, uint64_t total)
{
    struct mioc_result *result = mioc_result_new(sizeof(struct mioc_chunk_record) + length + 1);
    struct mioc_chunk_record *chunk;

    if (result == NULL)
        return NULL;
    chunk = (void *)result->item;
    mioc_item_finish(chunk, mioc_item_begin(chunk, MIOC_ITEM_CHUNK, 0, "", 0));
    chunk->content = content;
    chunk->length = length;
    chunk->offset = offset;
    chunk->total = total;
    result->bytes_len = length;
    return result;
}

/* Reads `want` bytes, fewer only at the end of the file, and counts the calls. -1 with errno. */
static ssize_t read_fully(struct mioc_resolver *r, int fd, unsigned char *to, uint64_t offset, size_t want)
{
    size_t have = 0;

    while (have < want) {
        ssize_t n = mioc_real(pread)(fd, to + have, want - have, (off_t)(offset + have));

        mioc_resolver_count(r, 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        have += (size_t)n;
    }
    return (ssize_t)have;
}

/* What is read: an open file, or, if that is not NULL, bytes that were read ahead. */
struct source {
    int fd;
    const unsigned char *bytes;
};

static ssize_t read_source(struct mioc_resolver *r, const struct source *source, unsigned char *to, uint64_t offset,
                           uint32_t want, int is_last)
{
    if (source->bytes == NULL) /* one byte more at the end sees a file that has grown */
        return read_fully(r, source->fd, to, offset, want + (unsigned)is_last);
    memcpy(to, source->bytes + offset, want);
    return (ssize_t)want;
}

/* A content that is being read. The look into an object needs chunks before their turn: `chunk` keeps these, so that
 * they are read once. */
struct reading {
    struct mioc_resolver *r;
    const struct source *source;
    uint32_t content;
    uint64_t size, done; /* done: bytes that were handed out */
    unsigned kept;
    struct mioc_result *chunk[CHUNKS_KEPT];
};

static uint64_t offset_of(const struct mioc_result *result)
{
    return ((const struct mioc_chunk_record *)(const void *)result->item)->offset;
}

/* Reads one chunk. NULL: the file has another length by now, cannot be read, or there is no memory. */
static struct mioc_result *read_chunk(const struct reading *reading, uint64_t offset)
{
    const uint64_t left = reading->size - offset;
    const uint32_t want = left > MIOC_CHUNK_MAX ? MIOC_CHUNK_MAX : (uint32_t)left;
    struct mioc_result *result = new_chunk(reading->content, offset, want, reading->size);

    if (result == NULL)
        return NULL;
    if (read_source(reading->r, reading->source, result->item + sizeof(struct mioc_chunk_record), offset, want,
                    want == left) == (ssize_t)want)
        return result;
    mioc_result_free(result);
    return NULL;
}

/* Whether the first chunk says that this is a data base (database.h), which must not be copied. */
static int is_database(const struct reading *reading, const struct mioc_result *result)
{
    return reading->done == 0 && mioc_database_is(result->item + sizeof(struct mioc_chunk_record), result->bytes_len);
}

static struct mioc_result *take_chunk(struct reading *reading, uint64_t offset)
{
    for (unsigned i = 0; i < reading->kept; i++)
        if (offset_of(reading->chunk[i]) == offset) {
            struct mioc_result *result = reading->chunk[i];

            reading->chunk[i] = reading->chunk[--reading->kept];
            return result;
        }
    return read_chunk(reading, offset);
}

/* Gives bytes to the look into an object (struct mioc_elf_source). */
static long read_kept(void *ctx, void *buf, size_t size, uint64_t offset)
{
    struct reading *reading = ctx;
    size_t have = 0;

    while (have < size && offset < reading->size) {
        const size_t within = offset % MIOC_CHUNK_MAX;
        struct mioc_result *result = NULL;
        size_t n;

        for (unsigned i = 0; i < reading->kept; i++)
            if (offset_of(reading->chunk[i]) == offset - within)
                result = reading->chunk[i];
        if (result == NULL) {
            if (reading->kept == CHUNKS_KEPT || (result = read_chunk(reading, offset - within)) == NULL)
                return -1;
            reading->chunk[reading->kept++] = result;
        }
        n = result->bytes_len - within < size - have ? result->bytes_len - within : size - have;
        memcpy((char *)buf + have, result->item + sizeof(struct mioc_chunk_record) + within, n);
        have += n;
        offset += n;
    }
    return (long)have;
}

/* Reads all chunks. 0; or -1: the file has another length by now, cannot be read, or must not be copied. */
static int read_chunks(struct reading *reading, const struct mioc_job *job, struct mioc_answer *answer)
{
    int rc = 0;

    mioc_resolve_needed(reading->r, job, &(struct mioc_elf_source){ read_kept, reading });
    while (rc == 0 && reading->done < reading->size) {
        struct mioc_result *result = take_chunk(reading, reading->done);
        const uint32_t length = result != NULL ? result->bytes_len : 0;

        if (result != NULL && is_database(reading, result)) {
            mioc_result_free(result);
            result = NULL;
        }
        if (result == NULL)
            rc = -1;
        else if (reading->size <= MIOC_CHUNK_MAX)
            mioc_answer_push(answer, result);
        else
            rc = mioc_resolver_stream(reading->r, job, result);
        reading->done += rc == 0 ? length : 0;
    }
    while (reading->kept > 0)
        mioc_result_free(reading->chunk[--reading->kept]);
    return rc;
}

/* The path is no symbolic link, and opening it gave `error`: this gives its STAT record, too. */
static void add_stat_of_open(const struct mioc_job *job, const struct mioc_stat *st, int error,
                             struct mioc_answer *answer, void *buf)
{
    struct mioc_stat_record *record = buf;
    char *end = mioc_item_begin(buf, MIOC_ITEM_STAT, 0, job->path, job->len);

    record->lstat_errno = record->stat_errno = error;
    record->link_errno = error != 0 ? error : EINVAL;
    if (error == 0)
        record->lstat = record->stat = *st;
    *end++ = '\0'; /* the empty target's */
    (void)mioc_resolve_add(answer, buf, end);
}

/* Looks into a content of one chunk for what it imports. */
static void look_into(struct mioc_resolver *r, const struct mioc_job *job, uint32_t content,
                      const struct mioc_answer *answer)
{
    for (const struct mioc_result *result = answer->results.head; result != NULL; result = result->next) {
        const struct mioc_chunk_record *chunk = (const void *)result->item;

        if (chunk->item.kind == MIOC_ITEM_CHUNK && chunk->content == content && chunk->length == chunk->total)
            mioc_resolve_imports(r, job, result->item + sizeof *chunk, chunk->length);
    }
}

/* A content that was begun will not be complete: drops its chunks, here and on all nodes. */
static void give_up(struct mioc_resolver *r, const struct mioc_job *job, uint32_t content, uint64_t size, uint64_t done,
                    struct mioc_answer *answer)
{
    mioc_answer_drop_chunks(answer, content);
    if (size > MIOC_CHUNK_MAX && done > 0) {
        pthread_mutex_lock(&r->lock);
        mioc_resolver_abandon(r, job->path, job->len, content, size);
        pthread_mutex_unlock(&r->lock);
        mioc_resolver_release(r);
    } else if (r->config.release != NULL) {
        r->config.release(r->config.ctx, size);
    }
}

/* Reserves room and reads the whole file, as it was when it was opened, in chunks. 0; or -1, and nothing of it stays.
 */
static int read_whole(struct mioc_resolver *r, const struct mioc_job *job, const struct source *source,
                      uint32_t content, const struct mioc_stat *st, struct mioc_answer *answer)
{
    struct reading reading = { .r = r, .source = source, .content = content, .size = st->size };

    if (!S_ISREG(st->mode) || st->size > r->config.max_file ||
        r->config.reserve(r->config.ctx, st->size, !job->is_early) != 0)
        return -1;
    if (read_chunks(&reading, job, answer) == 0) {
        mioc_resolver_count(r, source->fd >= 0);
        if (source->fd < 0 || !mioc_resolve_has_changed(source->fd, st))
            return 0;
    }
    give_up(r, job, content, st->size, reading.done, answer);
    return -1;
}

static void add_content(struct mioc_resolver *r, const struct mioc_job *job, const struct source *source,
                        const struct mioc_stat *st, struct mioc_answer *answer, void *buf)
{
    uint32_t content = __atomic_fetch_add(&r->next_content, 1, __ATOMIC_RELAXED);
    struct mioc_content_record *record = buf;
    char *end;

    if (read_whole(r, job, source, content, st, answer) != 0) {
        mioc_resolve_add_uncached(answer, buf, MIOC_ITEM_CONTENT, job);
        return;
    }
    end = mioc_item_begin(buf, MIOC_ITEM_CONTENT, 0, job->path, job->len);
    record->content = content;
    record->size = st->size;
    record->stat = *st;
    (void)mioc_resolve_add(answer, buf, end);
    look_into(r, job, content, answer);
}

/* Answers by what was read ahead. 1; 0: it was not. */
static int add_read_ahead(struct mioc_resolver *r, const struct mioc_job *job, struct mioc_answer *answer, void *buf)
{
    struct mioc_prefetch *prefetch =
        job->is_listed || job->is_borrower ? __atomic_load_n(&r->prefetch, __ATOMIC_ACQUIRE) : NULL;
    const struct mioc_prefetch_file *file = prefetch != NULL ? mioc_prefetch_find(prefetch, job->path, job->len) : NULL;

    if (file == NULL)
        return 0;
    add_stat_of_open(job, &file->st, 0, answer, buf);
    add_content(r, job, &(struct source){ -1, file->bytes }, &file->st, answer, buf);
    return 1;
}

/* Answers a CONTENT question. fd: the open file, or -1. */
static void read_content(struct mioc_resolver *r, struct mioc_job *job, int fd, struct mioc_answer *answer, void *buf)
{
    /* O_NONBLOCK: a FIFO must not hang. O_NOFOLLOW first: if that succeeds, fstat gives both lstat and stat. */
    int flags = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, is_link = 0;
    struct mioc_stat st;
    int error = 0;

    if (fd < 0) {
        fd = mioc_real(open)(job->path, flags | O_NOFOLLOW);
        error = fd < 0 ? errno : 0;
        mioc_resolver_count(r, 1);
    }
    if (error == ELOOP) {
        is_link = 1;
        fd = mioc_real(open)(job->path, flags);
        error = fd < 0 ? errno : 0;
        mioc_resolver_count(r, 1);
    }
    job->is_absent = error == ENOENT || error == ENOTDIR || error == EACCES;
    mioc_resolve_next(r, job, error, 0);
    if (fd >= 0) {
        error = mioc_resolve_statx(r, fd, "", AT_EMPTY_PATH, &st);
        if (is_link)
            (void)mioc_resolve_add_stat(r, job, answer, buf);
        else if (error == 0)
            add_stat_of_open(job, &st, 0, answer, buf);
        if (error == 0)
            add_content(r, job, &(struct source){ fd, NULL }, &st, answer, buf);
        else
            mioc_resolve_add_uncached(answer, buf, MIOC_ITEM_CONTENT, job);
        mioc_real(close)(fd);
        return;
    }
    if ((error == ENOENT || error == ENOTDIR) && !is_link)
        add_stat_of_open(job, NULL, error, answer, buf);
    else
        (void)mioc_resolve_add_stat(r, job, answer, buf);
    if (mioc_resolve_is_lasting(error)) {
        struct mioc_content_record *record = buf;
        char *end = mioc_item_begin(buf, MIOC_ITEM_CONTENT, 0, job->path, job->len);

        record->open_errno = error;
        (void)mioc_resolve_add(answer, buf, end);
    } else {
        mioc_resolve_add_uncached(answer, buf, MIOC_ITEM_CONTENT, job);
    }
}

/* Opens the file of a manifest's question, which anybody may have written. -1; *is_odd: it is there, and no regular
 * file. */
static int open_listed(struct mioc_resolver *r, const char *path, int *is_odd)
{
    struct mioc_stat st;
    mode_t mode;
    int fd = mioc_resolve_open_regular(path, &mode);

    mioc_resolver_count(r, 2);
    *is_odd = mode != 0 && mode != S_IFREG;
    if (mode == S_IFLNK)
        *is_odd = mioc_resolve_statx(r, AT_FDCWD, path, 0, &st) == 0 && !S_ISREG(st.mode);
    return fd;
}

void mioc_resolve_content(struct mioc_resolver *r, struct mioc_job *job, struct mioc_answer *answer, void *buf)
{
    int is_odd = 0, fd = -1;

    mioc_resolve_wake(r, job);
    if (add_read_ahead(r, job, answer, buf))
        return;
    if (job->is_listed)
        fd = open_listed(r, job->path, &is_odd);
    if (!is_odd) {
        read_content(r, job, fd, answer, buf);
        return;
    }
    (void)mioc_resolve_add_stat(r, job, answer, buf);
    mioc_resolve_add_uncached(answer, buf, MIOC_ITEM_CONTENT, job);
}
