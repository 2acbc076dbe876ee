/* SPDX-License-Identifier: BSD-3-Clause */
/* resolve.c - the root's real calls: one question in, finished items out. */
#include "base/path.h"
#include "base/real.h"
#include "resolver_internal.h"

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

/* 0 or the errno. */
int mioc_resolve_statx(struct mioc_resolver *r, int dirfd, const char *path, int flags, struct mioc_stat *to)
{
    struct statx st;

    mioc_resolver_count(r, 1);
    if (mioc_real(statx)(dirfd, path, flags | AT_NO_AUTOMOUNT, MIOC_STATX_SHARED, &st) != 0)
        return errno;
    mioc_resolve_copy_stat(to, &st);
    return 0;
}

int mioc_resolve_add(struct mioc_answer *answer, void *item, const void *end)
{
    mioc_item_finish(item, end);
    return mioc_answer_add(answer, item);
}

/* An answer that is not shared: everyone makes the real call. */
void mioc_resolve_add_uncached(struct mioc_answer *answer, void *buf, unsigned kind, const struct mioc_job *job)
{
    (void)mioc_resolve_add(answer, buf, mioc_item_begin(buf, kind, MIOC_FLAG_UNCACHED, job->path, job->len));
}

/* Errors that are the file's own answer may be shared; those that say something about this moment may not. */
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
    case ENXIO:
        return 1;
    default:
        return 0;
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
    *end++ = '\0'; /* behind the target, also an empty one */
    /* What would end a link's leading nowhere is a write to another name, which would not be known to concern this one. */
    if ((record->lstat_errno == 0 && record->stat_errno == ENOENT) || !mioc_resolve_is_lasting(record->lstat_errno) || !mioc_resolve_is_lasting(record->stat_errno) || !mioc_resolve_is_lasting(record->link_errno)) {
        mioc_resolve_add_uncached(answer, buf, MIOC_ITEM_STAT, job);
        return -1;
    }
    return mioc_resolve_add(answer, buf, end);
}

static void resolve_stat(struct mioc_resolver *r, const struct mioc_job *job, struct mioc_answer *answer, void *buf)
{
    const struct mioc_stat_record *record = buf;

    if (mioc_resolve_add_stat(r, job, answer, buf) == 0)
        mioc_resolve_next(r, job, record->stat_errno, S_ISREG(record->stat.mode) ? record->stat.size : 0);
}

/* --- The rest --- */

/* One call for each single right. The kernel refuses writing to a read-only filesystem before it looks at rights, all
 * else is EACCES, so the sums follow from the parts. */
static void fill_access(struct mioc_resolver *r, const char *path, int flags, int32_t err[8])
{
    memset(err, 0, 8 * sizeof err[0]);
    for (int mode = 0; mode <= 4; mode = mode == 0 ? 1 : mode * 2) {
        err[mode] = mioc_real(faccessat)(AT_FDCWD, path, mode, flags) == 0 ? 0 : errno;
        mioc_resolver_count(r, 1);
        if (mode == F_OK && err[F_OK] != 0) {
            for (int i = 1; i < 8; i++)
                err[i] = err[F_OK];
            return;
        }
    }
    for (int mode = 3; mode < 8; mode++) {
        if (mode == 4)
            continue;
        err[mode] = (mode & W_OK) && err[W_OK] == EROFS ? EROFS : 0;
        for (int bit = 1; bit <= 4 && err[mode] == 0; bit *= 2)
            if (mode & bit)
                err[mode] = err[bit];
    }
}

static void resolve_access(struct mioc_resolver *r, const struct mioc_job *job, struct mioc_answer *answer, void *buf)
{
    struct mioc_access_record *record = buf;
    char *end = mioc_item_begin(buf, MIOC_ITEM_ACCESS, 0, job->path, job->len);
    struct mioc_stat st;
    int lasting = 1;

    /* What is asked through a link is to be known as such, for the sake of those who write what it leads to. */
    if (mioc_resolve_statx(r, AT_FDCWD, job->path, AT_SYMLINK_NOFOLLOW, &st) == 0 && S_ISLNK(st.mode)) {
        (void)mioc_resolve_add_stat(r, job, answer, buf);
        end = mioc_item_begin(buf, MIOC_ITEM_ACCESS, 0, job->path, job->len);
    }
    fill_access(r, job->path, 0, record->err);
    if (getuid() == geteuid() && getgid() == getegid())
        memcpy(record->eerr, record->err, sizeof record->err);
    else
        fill_access(r, job->path, AT_EACCESS, record->eerr);
    for (int mode = 0; mode < 8; mode++)
        lasting &= (mioc_resolve_is_lasting(record->err[mode]) || record->err[mode] == EROFS) &&
                   (mioc_resolve_is_lasting(record->eerr[mode]) || record->eerr[mode] == EROFS);
    if (lasting)
        (void)mioc_resolve_add(answer, buf, end);
    else
        mioc_resolve_add_uncached(answer, buf, MIOC_ITEM_ACCESS, job);
}

static void resolve_realpath(struct mioc_resolver *r, const struct mioc_job *job, struct mioc_answer *answer, void *buf)
{
    struct mioc_realpath_record *record = buf;
    char *end = mioc_item_begin(buf, MIOC_ITEM_REALPATH, 0, job->path, job->len);
    char *resolved = mioc_real(realpath)(job->path, NULL);

    mioc_resolver_count(r, 1);
    if (resolved == NULL) {
        record->realpath_errno = errno;
        if (!mioc_resolve_is_lasting(record->realpath_errno)) {
            mioc_resolve_add_uncached(answer, buf, MIOC_ITEM_REALPATH, job);
            return;
        }
        *end++ = '\0';
    } else {
        record->resolved_len = (uint32_t)strlen(resolved);
        memcpy(end, resolved, record->resolved_len + 1);
        end += record->resolved_len + 1;
        free(resolved);
    }
    (void)mioc_resolve_add(answer, buf, end);
}

static void resolve_list(struct mioc_resolver *r, const struct mioc_job *job, struct mioc_answer *answer)
{
    struct mioc_result *space = mioc_result_new(MIOC_ITEM_MAX);

    if (space == NULL)
        return; /* nobody is answered; their deadline sends them to the real call */
    mioc_resolve_list(r, job, answer, space->item);
    mioc_result_free(space);
}

/* Whether a path with ".." leads where it reads as if it did: where it leaves a directory that is reached by a symbolic link, it does not, and
 * whoever writes there does so by a name of which nobody can tell that it is this one's. Of one that leads nowhere nothing else is said. */
static int is_as_it_reads(struct mioc_resolver *r, const struct mioc_job *job)
{
    char spelled[PATH_MAX], read[PATH_MAX];
    uint32_t parent = mioc_path_parent(job->path, job->len), len = parent > 0 ? parent : job->len;
    struct mioc_stat by_spelling, by_reading;

    if (!mioc_path_has_dotdot(job->path, job->len))
        return 1;
    memcpy(spelled, job->path, len);
    spelled[len] = '\0';
    if (mioc_path_normalize(spelled, read, sizeof read) <= 0)
        return 0;
    return mioc_resolve_statx(r, AT_FDCWD, spelled, 0, &by_spelling) != 0 ||
           (mioc_resolve_statx(r, AT_FDCWD, read, 0, &by_reading) == 0 && by_spelling.ino == by_reading.ino && by_spelling.dev == by_reading.dev);
}

void mioc_resolve(struct mioc_resolver *r, struct mioc_job *job, struct mioc_answer *answer)
{
    _Alignas(8) char buf[3 * PATH_MAX]; /* all but listings: a record, its path and another one */

    if (!is_as_it_reads(r, job)) {
        mioc_resolve_add_uncached(answer, buf, job->kind, job);
        return;
    }
    if (mioc_resolve_is_other_name(r, job)) {
        mioc_resolve_add_uncached(answer, buf, job->kind, job);
        return;
    }
    if (job->kind != MIOC_ITEM_LIST)
        mioc_resolve_way(r, job, answer);
    switch (job->kind) {
    case MIOC_ITEM_STAT:
        resolve_stat(r, job, answer, buf);
        break;
    case MIOC_ITEM_LIST:
        resolve_list(r, job, answer);
        break;
    case MIOC_ITEM_CONTENT:
        mioc_resolve_content(r, job, answer, buf);
        break;
    case MIOC_ITEM_ACCESS:
        resolve_access(r, job, answer, buf);
        break;
    case MIOC_ITEM_REALPATH:
        resolve_realpath(r, job, answer, buf);
        break;
    default:
        break;
    }
}
