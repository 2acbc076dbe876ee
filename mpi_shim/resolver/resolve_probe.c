/* SPDX-License-Identifier: BSD-3-Clause */
/* resolve_probe.c - single real calls, and records that are made of them. */
#include "base/path.h"
#include "base/real.h"
#include "jobs.h"
#include "resolve.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

void mioc_resolve_copy_stat(struct mioc_stat *to, const struct statx *from)
{
    to->ino = from->stx_ino;
    to->size = from->stx_size;
    to->blocks = from->stx_blocks;
    to->attributes = from->stx_attributes;
    to->attributes_mask = from->stx_attributes_mask;
    to->dev = makedev(from->stx_dev_major, from->stx_dev_minor);
    to->rdev = makedev(from->stx_rdev_major, from->stx_rdev_minor);
    to->atime = from->stx_atime.tv_sec;
    to->mtime = from->stx_mtime.tv_sec;
    to->ctime = from->stx_ctime.tv_sec;
    to->btime = from->stx_btime.tv_sec;
    to->atime_ns = from->stx_atime.tv_nsec;
    to->mtime_ns = from->stx_mtime.tv_nsec;
    to->ctime_ns = from->stx_ctime.tv_nsec;
    to->btime_ns = from->stx_btime.tv_nsec;
    to->mode = from->stx_mode;
    to->uid = from->stx_uid;
    to->gid = from->stx_gid;
    to->nlink = from->stx_nlink;
    to->blksize = from->stx_blksize;
    to->mask = from->stx_mask & MIOC_STATX_SHARED;
}

int mioc_resolve_statx(struct mioc_resolver *r, int dirfd, const char *path, int flags, struct mioc_stat *to)
{
    struct statx st;

    mioc_resolver_count(r, 1);
    if (mioc_real(statx)(dirfd, path, flags | AT_NO_AUTOMOUNT, MIOC_STATX_SHARED, &st) != 0)
        return errno;
    mioc_resolve_copy_stat(to, &st);
    return 0;
}

int mioc_resolve_has_changed(int fd, const struct mioc_stat *before)
{
    const unsigned mask = STATX_SIZE | STATX_MTIME | STATX_CTIME;
    struct statx now;

    return mioc_real(statx)(fd, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT, mask, &now) != 0 || now.stx_size != before->size ||
           now.stx_mtime.tv_sec != before->mtime || now.stx_mtime.tv_nsec != before->mtime_ns ||
           now.stx_ctime.tv_sec != before->ctime || now.stx_ctime.tv_nsec != before->ctime_ns;
}

int mioc_resolve_add(struct mioc_answer *answer, void *item, const void *end)
{
    mioc_item_finish(item, end);
    return mioc_answer_add(answer, item);
}

void mioc_resolve_add_uncached(struct mioc_answer *answer, void *buf, unsigned kind, const struct mioc_job *job)
{
    (void)mioc_resolve_add(answer, buf, mioc_item_begin(buf, kind, MIOC_FLAG_UNCACHED, job->path, job->len));
}

int mioc_resolve_is_lasting(int error)
{
    switch (error) {
    case 0:
    case ENOENT:
    case ENOTDIR:
    case EACCES:
    case ELOOP:
    case ENAMETOOLONG:
    case EINVAL:
    case ENXIO: return 1;
    default: return 0;
    }
}

int mioc_resolve_add_stat(struct mioc_resolver *r, const struct mioc_job *job, struct mioc_answer *answer, void *buf)
{
    struct mioc_stat_record *record = buf;
    char *end = mioc_item_begin(buf, MIOC_ITEM_STAT, 0, job->path, job->len);

    record->link_errno = EINVAL;
    record->lstat_errno = mioc_resolve_statx(r, AT_FDCWD, job->path, AT_SYMLINK_NOFOLLOW, &record->lstat);
    record->stat_errno = record->lstat_errno;
    if (record->lstat_errno != 0) {
        record->link_errno = record->lstat_errno;
    } else if (S_ISLNK(record->lstat.mode)) {
        ssize_t n = mioc_real(readlink)(job->path, end, PATH_MAX);

        mioc_resolver_count(r, 1);
        record->link_errno = n < 0 ? errno : 0;
        record->target_len = n < 0 ? 0 : (uint32_t)n;
        end += record->target_len;
        record->stat_errno = mioc_resolve_statx(r, AT_FDCWD, job->path, 0, &record->stat);
    } else {
        record->stat = record->lstat;
    }
    *end++ = '\0'; /* behind the target, even an empty one */
    /* A link that leads nowhere is not shared: who makes its target writes another name, and nobody could tell that
     * this concerns the link. */
    if ((record->lstat_errno == 0 && record->stat_errno == ENOENT) || !mioc_resolve_is_lasting(record->lstat_errno) ||
        !mioc_resolve_is_lasting(record->stat_errno) || !mioc_resolve_is_lasting(record->link_errno)) {
        mioc_resolve_add_uncached(answer, buf, MIOC_ITEM_STAT, job);
        return -1;
    }
    return mioc_resolve_add(answer, buf, end);
}

int mioc_resolve_open_regular(const char *path, mode_t *mode)
{
    char link[64];
    struct statx st;
    int at = mioc_real(open)(path, O_PATH | O_NOFOLLOW | O_CLOEXEC), fd = -1, saved;

    *mode = 0;
    if (at < 0)
        return -1;
    if (mioc_real(statx)(at, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT, STATX_TYPE, &st) == 0) {
        *mode = st.stx_mode & S_IFMT;
        errno = EINVAL;
        snprintf(link, sizeof link, "/proc/thread-self/fd/%d", at);
        if (*mode == S_IFREG)
            fd = mioc_real(open)(link, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    }
    saved = errno;
    mioc_real(close)(at);
    errno = saved;
    return fd;
}
