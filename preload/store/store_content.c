/* SPDX-License-Identifier: BSD-3-Clause */
/* store_content.c - the files of contents: chunks fill them, and the CONTENT record seals them.
 *
 * The I/O thread opens the files (base/io_thread.h). No file stays open between two calls. */
#include "base/io.h"
#include "base/real.h"
#include "store_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static struct mioc_arrival *find_arrival(const struct mioc_store_writer *w, uint32_t content)
{
    for (size_t i = w->arrivals; i > 0; i--)
        if (w->arrival[i - 1].content == content)
            return &w->arrival[i - 1];
    return NULL;
}

static struct mioc_arrival *add_arrival(struct mioc_store_writer *w, uint32_t content, uint64_t total)
{
    if (w->arrivals == w->arrivals_cap) {
        size_t cap = w->arrivals_cap ? w->arrivals_cap * 2 : 16;
        struct mioc_arrival *arrival = realloc(w->arrival, cap * sizeof(*arrival));

        if (arrival == NULL)
            return NULL;
        w->arrival = arrival;
        w->arrivals_cap = cap;
    }
    w->arrival[w->arrivals] = (struct mioc_arrival){ .content = content, .total = total };
    return &w->arrival[w->arrivals++];
}

static void drop_arrival(struct mioc_store_writer *w, struct mioc_arrival *arrival)
{
    *arrival = w->arrival[--w->arrivals];
}

static int open_content(const struct mioc_store *s, uint32_t content, int flags)
{
    char path[MIOC_STORE_PATH_MAX];

    mioc_store_content_path(s, content, path);
    return mioc_store_open(AT_FDCWD, path, flags);
}

static void count_bytes(struct mioc_store *s, int64_t bytes, int64_t contents)
{
    /* One writer: no read-modify-write needed. */
    __atomic_store_n(&s->index->content_bytes, s->index->content_bytes + (uint64_t)bytes, __ATOMIC_RELAXED);
    __atomic_store_n(&s->index->contents, s->index->contents + (uint64_t)contents, __ATOMIC_RELAXED);
}

/* Unlinks the file of a content that will never be complete. Keeps errno. */
static void discard(struct mioc_store *s, uint32_t content, uint64_t total)
{
    char path[MIOC_STORE_PATH_MAX];
    int saved = errno;

    mioc_store_content_path(s, content, path);
    mioc_real(unlinkat)(AT_FDCWD, path, 0);
    count_bytes(s, -(int64_t)mioc_page_round(total), 0);
    errno = saved;
}

void mioc_store_drop_content(struct mioc_store *s, uint32_t content, uint32_t pages)
{
    struct mioc_arrival *arrival = find_arrival(s->writer, content);
    char path[MIOC_STORE_PATH_MAX];
    int saved = errno;

    if (arrival != NULL) {
        if (!arrival->failed)
            discard(s, content, arrival->total);
        drop_arrival(s->writer, arrival);
        return;
    }
    mioc_store_content_path(s, content, path);
    if (mioc_real(unlinkat)(AT_FDCWD, path, 0) == 0) /* else it was never complete here */
        count_bytes(s, -(int64_t)((uint64_t)pages * 4096), -1);
    errno = saved;
}

int mioc_store_has_room(const struct mioc_store *s, uint64_t bytes)
{
    uint64_t max = s->writer->limits.max_bytes, used = s->index->content_bytes + s->index->allocated;

    return !s->writer->is_full && used <= max && bytes <= INT64_MAX && mioc_page_round(bytes) <= max - used;
}

/* In the I/O thread. Makes the file, with space for all of it. Returns a descriptor; or -1, and nothing is left. */
static int create_content(struct mioc_store *s, uint32_t content, uint64_t total)
{
    int fd, saved;

    if (!mioc_store_has_room(s, total)) {
        errno = ENOSPC;
        return -1;
    }
    fd = open_content(s, content, O_RDWR | O_CREAT | O_EXCL);
    if (fd < 0)
        return -1;
    count_bytes(s, (int64_t)mioc_page_round(total), 0);
    if (mioc_store_reserve(fd, 0, total) == 0)
        return fd;
    discard(s, content, total);
    saved = errno;
    mioc_real(close)(fd);
    errno = saved;
    return -1;
}

/* A chunk that is written to its file, or read from it. */
struct transfer {
    struct mioc_store *s;
    const struct mioc_chunk_record *chunk;
    void *bytes;
    int is_first;
    int is_there; /* the file is there, and we made it */
};

/* In the I/O thread. */
static int write_file(void *arg)
{
    struct transfer *t = arg;
    const struct mioc_chunk_record *chunk = t->chunk;
    int result = -1, saved;
    int fd =
        t->is_first ? create_content(t->s, chunk->content, chunk->total) : open_content(t->s, chunk->content, O_RDWR);

    t->is_there = fd >= 0 || !t->is_first;
    if (fd < 0)
        return -1;
    /* The space is reserved, but the program may have lowered RLIMIT_FSIZE since then. */
    if (mioc_store_reserve(fd, chunk->offset + chunk->length, 0) == 0)
        result = mioc_io_pwrite(fd, t->bytes, chunk->length, (off_t)chunk->offset);
    saved = errno;
    mioc_real(close)(fd);
    errno = saved;
    return result;
}

int mioc_store_write_chunk(struct mioc_store *s, const struct mioc_chunk_record *chunk, const void *bytes)
{
    struct mioc_arrival *arrival = find_arrival(s->writer, chunk->content);
    struct transfer t = { .s = s, .chunk = chunk, .bytes = (void *)(uintptr_t)bytes, .is_first = arrival == NULL };
    int result = -1, saved = errno;

    if (t.is_first && (arrival = add_arrival(s->writer, chunk->content, chunk->total)) == NULL)
        return -1;
    if (arrival->failed) {
        errno = ENOSPC;
        return -1;
    }
    t.is_there = !t.is_first;
    errno = EPROTO;
    /* In order, each byte once: a chunk that came twice, or elsewhere, would leave a hole of zeros that nothing
     * notices. */
    if (chunk->total == arrival->total && chunk->offset == arrival->received &&
        chunk->length <= arrival->total - arrival->received)
        result = mioc_io_thread_run(s->writer->io_thread, write_file, &t);
    if (result == 0) {
        arrival->received += chunk->length;
    } else {
        saved = errno;
        arrival->failed = 1;
        if (t.is_there)
            discard(s, chunk->content, arrival->total);
    }
    errno = saved;
    return result;
}

/* In the I/O thread. */
static int read_file(void *arg)
{
    const struct transfer *t = arg;
    int fd = open_content(t->s, t->chunk->content, O_RDONLY), saved;
    ssize_t n;

    if (fd < 0)
        return -1;
    n = mioc_io_pread(fd, t->bytes, t->chunk->length, (off_t)t->chunk->offset);
    if (n >= 0 && n != (ssize_t)t->chunk->length)
        errno = EIO;
    saved = errno;
    mioc_real(close)(fd);
    errno = saved;
    return n == (ssize_t)t->chunk->length ? 0 : -1;
}

int mioc_store_read_chunk(struct mioc_store *s, const struct mioc_chunk_record *chunk, void *bytes)
{
    struct transfer t = { .s = s, .chunk = chunk, .bytes = bytes };

    return mioc_io_thread_run(s->writer->io_thread, read_file, &t);
}

/* Sets mode and mtime, by the path and without a descriptor. The record becomes reachable after that, so whoever opens
 * the file by its record finds it sealed. */
static int seal_file(const struct mioc_store *s, const struct mioc_content_record *record, uint64_t offset)
{
    struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = (time_t)(offset / MIOC_ITEM_ALIGN) } };
    char path[MIOC_STORE_PATH_MAX];
    struct stat st;

    mioc_store_content_path(s, record->content, path);
    times[1].tv_nsec = (long)mioc_content_tag(record->item.hash);
    if (mioc_real(fstatat)(AT_FDCWD, path, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return -1;
    errno = EIO;
    if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != record->size)
        return -1;
    return mioc_real(chmod)(path, 0400) == 0 && mioc_real(utimensat)(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW) == 0
               ? 0
               : -1;
}

/* In the I/O thread. */
static int make_empty(void *arg)
{
    const struct transfer *t = arg;
    int fd = create_content(t->s, t->chunk->content, 0);

    if (fd >= 0)
        mioc_real(close)(fd);
    return fd >= 0 ? 0 : -1;
}

int mioc_store_seal(struct mioc_store *s, const struct mioc_content_record *record, uint64_t offset)
{
    struct mioc_arrival *arrival = find_arrival(s->writer, record->content);
    struct mioc_arrival was = { .content = record->content };
    const struct mioc_chunk_record none = { .content = record->content };
    struct transfer t = { .s = s, .chunk = &none };
    int result;

    if (arrival) {
        was = *arrival;
        drop_arrival(s->writer, arrival);
    }
    if (was.failed || (arrival == NULL && record->size != 0))
        return -1;
    if (was.total != record->size || was.received != was.total) {
        discard(s, was.content, was.total);
        return -1;
    }
    /* Without an arrival the content is empty, and no chunk has made its file. If that fails, a file of that name is
     * not ours to remove. */
    if (arrival == NULL && mioc_io_thread_run(s->writer->io_thread, make_empty, &t) != 0)
        return -1;
    result = seal_file(s, record, offset);
    if (result == 0)
        count_bytes(s, 0, 1);
    else
        discard(s, was.content, was.total);
    return result;
}
