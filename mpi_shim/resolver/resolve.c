/* SPDX-License-Identifier: BSD-3-Clause */
/* resolve.c - the root's real calls: answers one question by items. */
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

static void resolve_stat(struct mioc_resolver *r, const struct mioc_job *job, struct mioc_answer *answer, void *buf)
{
    const struct mioc_stat_record *record = buf;

    if (mioc_resolve_add_stat(r, job, answer, buf) == 0)
        mioc_resolve_next(r, job, record->stat_errno, S_ISREG(record->stat.mode) ? record->stat.size : 0);
}

/* --- The rest ---------------------------------------------------------------------------------------------------- */

/* Makes one call for each single right; the sums follow from these. The kernel refuses writing to a read-only
 * filesystem (EROFS) before it looks at rights, and all else is EACCES. */
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

    /* The aliases must learn a link: a write to what it leads to concerns this answer. */
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

static int resolve_list(struct mioc_resolver *r, const struct mioc_job *job, struct mioc_answer *answer)
{
    struct mioc_result *space = mioc_result_new(MIOC_ITEM_MAX);
    int is_by_link;

    if (space == NULL)
        return 0; /* no answer; the deadline sends those who wait to the real call */
    is_by_link = mioc_resolve_list(r, job, answer, space->item);
    mioc_result_free(space);
    return is_by_link;
}

/* Whether a path with ".." leads where its normal form does. By ".." behind a symbolic link it does not. Then nobody
 * can tell that a write by another name concerns this one, so it is not shared. A path that leads nowhere counts as one
 * that does. */
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
           (mioc_resolve_statx(r, AT_FDCWD, read, 0, &by_reading) == 0 && by_spelling.ino == by_reading.ino &&
            by_spelling.dev == by_reading.dev);
}

/* Whether the path is "link/", and the link leads to no folder. Only questions about "link" itself make a link known
 * (aliases.h), so a write to what it leads to would not be known to concern "link/". */
static int is_slash_behind_link(struct mioc_resolver *r, const struct mioc_job *job)
{
    uint32_t len = job->len;
    char name[PATH_MAX];
    struct mioc_stat st;

    if (len < 2 || len > sizeof name || job->path[len - 1] != '/')
        return 0;
    while (len > 1 && job->path[len - 1] == '/')
        len--;
    memcpy(name, job->path, len);
    name[len] = '\0';
    return mioc_resolve_statx(r, AT_FDCWD, name, AT_SYMLINK_NOFOLLOW, &st) == 0 && S_ISLNK(st.mode) &&
           (mioc_resolve_statx(r, AT_FDCWD, name, 0, &st) != 0 || !S_ISDIR(st.mode));
}

/* Whether a record says that its path's last name is a symbolic link, or may be one. */
static int ends_in_link(const struct mioc_item *item)
{
    const struct mioc_stat_record *st = (const void *)item;
    const struct mioc_realpath_record *real = (const void *)item;
    char plain[PATH_MAX];
    int n;

    if (item->kind == MIOC_ITEM_STAT)
        return (item->flags & MIOC_FLAG_UNCACHED) || (st->lstat_errno == 0 && S_ISLNK(st->lstat.mode));
    if (item->kind != MIOC_ITEM_REALPATH)
        return 0;
    n = real->realpath_errno == 0 ? mioc_path_normalize(mioc_item_path(item), plain, sizeof plain) : 0;
    return n <= 0 || (uint32_t)n != real->resolved_len ||
           memcmp(plain, real->path + item->path_len + 1, real->resolved_len) != 0;
}

/* Sets BY_LINK in all records of the answer, if it is right for one of them. */
static void mark_by_link(struct mioc_answer *answer, int is_by_link)
{
    const struct mioc_result *result;

    for (result = answer->results.head; result != NULL && !is_by_link; result = result->next)
        is_by_link = ends_in_link((const void *)result->item);
    for (result = answer->results.head; result != NULL && is_by_link; result = result->next) {
        struct mioc_item *item = (void *)(uintptr_t)result->item;

        if (mioc_item_is_record(item->kind))
            item->flags |= MIOC_FLAG_BY_LINK;
    }
}

void mioc_resolve(struct mioc_resolver *r, struct mioc_job *job, struct mioc_answer *answer)
{
    _Alignas(8) char buf[3 * PATH_MAX]; /* a record, its path and another one; listings have their own */
    int is_by_link = 0;

    if (!is_as_it_reads(r, job) || is_slash_behind_link(r, job)) {
        mioc_resolve_add_uncached(answer, buf, job->kind, job);
        return;
    }
    if (mioc_resolve_is_other_name(r, job)) {
        mioc_resolve_add_uncached(answer, buf, job->kind, job);
        return;
    }
    if (job->kind != MIOC_ITEM_LIST)
        is_by_link = mioc_resolve_folder_link(r, job, answer);
    switch (job->kind) {
    case MIOC_ITEM_STAT: resolve_stat(r, job, answer, buf); break;
    case MIOC_ITEM_LIST: is_by_link = resolve_list(r, job, answer); break;
    case MIOC_ITEM_CONTENT: mioc_resolve_content(r, job, answer, buf); break;
    case MIOC_ITEM_ACCESS: resolve_access(r, job, answer, buf); break;
    case MIOC_ITEM_REALPATH: resolve_realpath(r, job, answer, buf); break;
    default: break;
    }
    mark_by_link(answer, is_by_link);
}
