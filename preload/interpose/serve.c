/* SPDX-License-Identifier: BSD-3-Clause */
/* serve.c - takes the answers to stat and open from records. */
#include "serve.h"
#include "loader/loader.h"

int mioc_serve_find(struct mioc_query *q, int nofollow, const struct mioc_stat **st)
{
    int absent = 0, error;
    const struct mioc_stat_record *record = mioc_client_stat(q, &absent);

    if (record == NULL)
        return absent ? mioc_serve_fail(absent) : MIOC_NOT_SERVED;
    error = nofollow ? record->lstat_errno : record->stat_errno;
    if (error != 0)
        return mioc_serve_fail(error);
    *st = nofollow ? &record->lstat : &record->stat;
    return 0;
}

int mioc_serve_open(struct mioc_query *q, int flags, uint64_t *bytes)
{
    const struct mioc_content_record *content;
    const struct mioc_stat *st;
    int rc, fd, saved = errno;

    mioc_serve_bytecode_read(q);
    if (!(flags & O_DIRECTORY))
        mioc_client_expect_content(q);
    rc = mioc_serve_find(q, (flags & O_NOFOLLOW) != 0, &st);
    if (rc != 0)
        return rc;
    if (S_ISDIR(st->mode))
        return MIOC_NOT_SERVED;
    /* The kernel tests in this order: a symbolic link with both flags is ENOTDIR. */
    if (flags & O_DIRECTORY)
        return mioc_serve_fail(ENOTDIR);
    if (S_ISLNK(st->mode))
        return mioc_serve_fail(ELOOP);
    if (!S_ISREG(st->mode))
        return MIOC_NOT_SERVED;
    content = (const void *)mioc_client_record(q, MIOC_ITEM_CONTENT);
    if (content == NULL || (content->item.flags & MIOC_FLAG_UNCACHED))
        return MIOC_NOT_SERVED;
    if (content->open_errno != 0)
        return mioc_serve_fail(content->open_errno);
    /* The loader gets the original if it could not map the copy. It gets the original too if it could not map that
     * one (noexec), so that it fails as it would without us. */
    if (q->call == MIOC_CALL_LOADER &&
        (!mioc_loader_may_map() || mioc_policy_is_noexec(mioc_client_policy(), q->key.text, q->key.len)))
        return MIOC_NOT_SERVED;
    /* The copy is opened with O_NOFOLLOW too, because F_GETFL shows it. */
    flags &= O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW;
    fd = q->call == MIOC_CALL_LOADER ? mioc_store_open_object(mioc_client_store(), content, flags, q->room)
                                     : mioc_store_open_content(mioc_client_store(), content, flags);
    if (fd >= 0) {
        *bytes = content->size;
        q->copy = content;
    }
    errno = saved;
    return fd >= 0 ? fd : MIOC_NOT_SERVED;
}

int mioc_serve_open_at(int dirfd, const char *path, int flags)
{
    struct mioc_query q;
    uint64_t bytes = 0;
    int fd;

    if (!mioc_client_begin(&q, MIOC_CALL_OPEN, dirfd, path))
        return dirfd == AT_FDCWD ? mioc_real(open)(path, flags) : mioc_real(openat)(dirfd, path, flags);
    fd = mioc_serve_open(&q, flags, &bytes);
    if (fd == MIOC_NOT_SERVED && (fd = mioc_real(openat)(dirfd, path, flags)) < 0)
        mioc_client_failed(dirfd, path, 0);
    mioc_client_end(&q, bytes);
    return fd;
}
