/* SPDX-License-Identifier: BSD-3-Clause */
/* wrap_link.c - readlink and realpath; for /proc/self/fd/N of a copy they show the original. */
#include "serve.h"
#include "base/stack.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static ssize_t copy_cut(char *buf, size_t size, const char *text, uint32_t len)
{
    size_t n = len < size ? len : size;

    memcpy(buf, text, n);
    return (ssize_t)n;
}

/* A readlink that gave a path in the store. */
struct link {
    int dirfd;
    const char *path;
    char *buf;
    size_t size;
    ssize_t len;
};

/* A link into the store is /proc/self/fd/N of a copy, under whatever name. Following it shows which copy. */
static __attribute__((noinline)) int name_original(void *arg)
{
    struct link *link = arg;
    const struct mioc_content_record *record =
        mioc_serve_copy_at(link->dirfd, link->path, link->path[0] == '\0' ? AT_EMPTY_PATH : 0);
    char original[PATH_MAX];
    ssize_t len;

    if (record == NULL)
        return 0;
    len = copy_cut(link->buf, link->size, original, mioc_serve_canonical(record, original));
    /* readlink writes nothing behind the text. Programs that rely on that have zeros there. */
    if (len < link->len)
        memset(link->buf + len, 0, (size_t)(link->len - len));
    link->len = len;
    return 0;
}

static ssize_t real_readlink(int dirfd, const char *path, char *buf, size_t size)
{
    ssize_t n =
        dirfd == AT_FDCWD ? mioc_real(readlink)(path, buf, size) : mioc_real(readlinkat)(dirfd, path, buf, size);

    struct link link = { dirfd, path, buf, size, n };

    if (n > 0 && mioc_serve_is_store_path(buf, (size_t)n, (size_t)n == size))
        mioc_stack_try(MIOC_STACK_TOLD, name_original, &link);
    return link.len;
}

static __attribute__((noinline)) ssize_t served_readlink(int dirfd, const char *path, char *buf, size_t size)
{
    const struct mioc_stat_record *record;
    struct mioc_query q;
    ssize_t rc;
    int absent = 0;

    if (!mioc_client_begin(&q, MIOC_CALL_READLINK, dirfd, path))
        return real_readlink(dirfd, path, buf, size);
    record = mioc_client_stat(&q, &absent);
    if (record == NULL)
        rc = absent ? mioc_serve_fail(absent) : real_readlink(dirfd, path, buf, size);
    else if (record->lstat_errno != 0)
        rc = mioc_serve_fail(record->lstat_errno);
    else if (record->link_errno != 0)
        rc = mioc_serve_fail(record->link_errno);
    else
        rc = copy_cut(buf, size, record->path + record->item.path_len + 1, record->target_len);
    mioc_client_end(&q, 0);
    return rc;
}

static ssize_t do_readlink(int dirfd, const char *path, char *buf, size_t size)
{
    if ((ssize_t)size <= 0 || mioc_is_null(buf) || mioc_client_is_foreign(dirfd, path))
        return real_readlink(dirfd, path, buf, size);
    return served_readlink(dirfd, path, buf, size);
}

MIOC_EXPORT ssize_t readlink(const char *restrict path, char *restrict buf, size_t size)
{
    return do_readlink(AT_FDCWD, path, buf, size);
}
MIOC_EXPORT ssize_t readlinkat(int dirfd, const char *restrict path, char *restrict buf, size_t size)
{
    return do_readlink(dirfd, path, buf, size);
}
/* The fortified names know how large the buffer is. If it is too small libc's own end the program. */
MIOC_EXPORT ssize_t __readlink_chk(const char *path, char *buf, size_t size, size_t room)
{
    return size > room ? mioc_real(__readlink_chk)(path, buf, size, room) : do_readlink(AT_FDCWD, path, buf, size);
}
MIOC_EXPORT ssize_t __readlinkat_chk(int dirfd, const char *path, char *buf, size_t size, size_t room)
{
    return size > room ? mioc_real(__readlinkat_chk)(dirfd, path, buf, size, room)
                       : do_readlink(dirfd, path, buf, size);
}

/* Returns `text` in the caller's buffer or, without one, in a new one; NULL without memory. */
static char *hand_out(const char *text, uint32_t len, char *resolved)
{
    if (resolved == NULL)
        resolved = malloc((size_t)len + 1);
    if (resolved == NULL)
        return NULL;
    memcpy(resolved, text, len);
    resolved[len] = '\0';
    return resolved;
}

struct resolution {
    const struct mioc_content_record *record;
    char *resolved, *result;
    int errno_before;
};

static __attribute__((noinline)) int resolve_original(void *arg)
{
    struct resolution *r = arg;
    char original[PATH_MAX];
    uint32_t len = mioc_serve_canonical(r->record, original);

    if (r->result != r->resolved)
        free(r->result);
    r->result = hand_out(original, len, r->resolved);
    if (r->result != NULL)
        errno = r->errno_before;
    return 0;
}

/* libc's realpath follows /proc/self/fd/N into the store; it finds nothing if the store has been removed since. */
static char *real_realpath(const char *path, char *resolved)
{
    struct resolution r = { NULL, resolved, NULL, errno };
    char *result = r.result = mioc_real(realpath)(path, resolved);

    if (result != NULL ? mioc_serve_is_store_path(result, strlen(result), 0)
                       : !mioc_is_null(path) && errno == ENOENT && strncmp(path, "/proc/", 6) == 0)
        r.record = mioc_serve_copy_at(AT_FDCWD, path, 0);
    if (r.record != NULL)
        mioc_stack_try(MIOC_STACK_TOLD, resolve_original, &r);
    return r.result;
}

/* Returns 1 if *result is the answer, 0 if the caller has to make the real call. */
static int served_realpath(struct mioc_query *q, char *resolved, char **result)
{
    const struct mioc_realpath_record *record;
    const struct mioc_stat *st;
    int error = 0, rc = mioc_serve_find(q, 0, &st), saved = errno;

    if (rc == MIOC_NOT_SERVED)
        return 0;
    /* realpath may fail otherwise than stat: it takes the path apart itself and does not walk through "..". */
    if (rc != 0 && (errno == ENOENT || errno == ENOTDIR))
        error = errno;
    else if ((record = (const void *)mioc_client_record(q, MIOC_ITEM_REALPATH)) == NULL ||
             (record->item.flags & MIOC_FLAG_UNCACHED))
        return 0;
    else if ((error = record->realpath_errno) == 0) {
        if (!mioc_is_null(resolved) && record->resolved_len >= PATH_MAX)
            return 0;
        *result = hand_out(record->path + record->item.path_len + 1, record->resolved_len, resolved);
        if (*result != NULL)
            errno = saved;
        return 1;
    }
    /* On failure libc leaves the path that it could not resolve in the buffer. It shall do that itself. */
    if (!mioc_is_null(resolved))
        return 0;
    errno = error;
    *result = NULL;
    return 1;
}

static __attribute__((noinline)) char *served_realpath_of(const char *path, char *resolved)
{
    struct mioc_query q;
    char *result = NULL;

    if (!mioc_client_begin(&q, MIOC_CALL_READLINK, AT_FDCWD, path))
        return real_realpath(path, resolved);
    if (!served_realpath(&q, resolved, &result))
        result = real_realpath(path, resolved);
    mioc_client_end(&q, 0);
    return result;
}

static char *do_realpath(const char *path, char *resolved)
{
    return mioc_client_is_foreign(AT_FDCWD, path) ? real_realpath(path, resolved) : served_realpath_of(path, resolved);
}

MIOC_EXPORT char *realpath(const char *restrict path, char *restrict resolved) { return do_realpath(path, resolved); }
MIOC_EXPORT char *canonicalize_file_name(const char *path) { return do_realpath(path, NULL); }
MIOC_EXPORT char *__realpath_chk(const char *path, char *resolved, size_t room)
{
    return room < PATH_MAX ? mioc_real(__realpath_chk)(path, resolved, room) : do_realpath(path, resolved);
}
