/* SPDX-License-Identifier: BSD-3-Clause */
/* wrap_path.c - metadata by path or descriptor: the stat family, statx, access. */
#include "serve.h"
#include "base/stack.h"
#include "observe/trace.h"
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* --- stat, lstat, fstatat, fstat --------------------------------------------------------------------------------- */

static inline __attribute__((always_inline)) int real_stat(int dirfd, const char *path, struct stat *st, int flags)
{
    int rc;

    if (dirfd == AT_FDCWD && flags == 0)
        rc = mioc_real(stat)(path, st);
    else if (dirfd == AT_FDCWD && flags == AT_SYMLINK_NOFOLLOW)
        rc = mioc_real(lstat)(path, st);
    else
        rc = mioc_real(fstatat)(dirfd, path, st, flags);
    /* AT_EMPTY_PATH and /proc/self/fd/N, in any spelling, may lead to a copy. */
    if (rc == 0 && mioc_serve_may_be_copy(st))
        (void)mioc_serve_map_stat(st);
    return rc;
}

static __attribute__((noinline)) int served_stat(int dirfd, const char *path, struct stat *st, int flags)
{
    const struct mioc_stat *found;
    struct mioc_query q;
    int rc;

    if (!mioc_client_begin(&q, MIOC_CALL_STAT, dirfd, path))
        return real_stat(dirfd, path, st, flags);
    if (flags & AT_SYMLINK_NOFOLLOW)
        mioc_serve_bytecode_lstat(&q);
    rc = mioc_serve_find(&q, (flags & AT_SYMLINK_NOFOLLOW) != 0, &found);
    if (rc == 0)
        mioc_store_fill_stat(mioc_client_store(), found, st);
    else if (rc == MIOC_NOT_SERVED)
        rc = real_stat(dirfd, path, st, flags);
    mioc_client_end(&q, 0);
    return rc;
}

static inline __attribute__((always_inline)) int do_stat(int dirfd, const char *path, struct stat *st, int flags)
{
    /* AT_EMPTY_PATH has no effect on a path that is not empty; an empty path is foreign. */
    if ((flags & ~(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH)) != 0 || mioc_is_null(st) ||
        mioc_client_is_foreign(dirfd, path))
        return real_stat(dirfd, path, st, flags);
    return served_stat(dirfd, path, st, flags);
}

/* fstat asks nobody: what the kernel says of the descriptor shows whether it is a copy. */
static int do_fstat(int fd, struct stat *st)
{
    uint64_t started = mioc_stats_now();
    int rc = mioc_real(fstat)(fd, st);

    enum mioc_outcome outcome = rc == 0 && mioc_serve_may_be_copy(st) && mioc_serve_map_stat(st) ? MIOC_HIT : MIOC_PASS;

    if (started == 0 && outcome == MIOC_PASS)
        return rc;
    mioc_stats_count(MIOC_CALL_FSTAT, outcome, 0, mioc_stats_since(started));
    if (mioc_trace_is_on() && started != 0)
        mioc_trace_call(MIOC_CALL_FSTAT, outcome, "", rc == 0 ? 0 : errno, 0, started);
    return rc;
}

MIOC_EXPORT int stat(const char *path, struct stat *st) { return do_stat(AT_FDCWD, path, st, 0); }
MIOC_EXPORT int stat64(const char *path, struct stat64 *st) { return do_stat(AT_FDCWD, path, (struct stat *)st, 0); }
MIOC_EXPORT int lstat(const char *path, struct stat *st) { return do_stat(AT_FDCWD, path, st, AT_SYMLINK_NOFOLLOW); }
MIOC_EXPORT int lstat64(const char *path, struct stat64 *st)
{
    return do_stat(AT_FDCWD, path, (struct stat *)st, AT_SYMLINK_NOFOLLOW);
}
MIOC_EXPORT int fstatat(int dirfd, const char *path, struct stat *st, int flags)
{
    return do_stat(dirfd, path, st, flags);
}
MIOC_EXPORT int fstatat64(int dirfd, const char *path, struct stat64 *st, int flags)
{
    return do_stat(dirfd, path, (struct stat *)st, flags);
}
MIOC_EXPORT int fstat(int fd, struct stat *st) { return do_fstat(fd, st); }
MIOC_EXPORT int fstat64(int fd, struct stat64 *st) { return do_fstat(fd, (struct stat *)st); }

/* Programs linked before glibc 2.33 call these. The version names a layout of struct stat; all these are the same. */
static int check_version(int version)
{
#ifdef __x86_64__
    return version == 0 || version == 1 ? 0 : mioc_serve_fail(EINVAL);
#else
    return version == 0 ? 0 : mioc_serve_fail(EINVAL);
#endif
}

static int do_xstat(int version, int dirfd, const char *path, void *st, int flags)
{
    return check_version(version) != 0 ? -1 : do_stat(dirfd, path, st, flags);
}

MIOC_EXPORT int __xstat(int ver, const char *path, struct stat *st) { return do_xstat(ver, AT_FDCWD, path, st, 0); }
MIOC_EXPORT int __xstat64(int ver, const char *path, struct stat64 *st) { return do_xstat(ver, AT_FDCWD, path, st, 0); }
MIOC_EXPORT int __lxstat(int ver, const char *path, struct stat *st)
{
    return do_xstat(ver, AT_FDCWD, path, st, AT_SYMLINK_NOFOLLOW);
}
MIOC_EXPORT int __lxstat64(int ver, const char *path, struct stat64 *st)
{
    return do_xstat(ver, AT_FDCWD, path, st, AT_SYMLINK_NOFOLLOW);
}
MIOC_EXPORT int __fxstat(int ver, int fd, struct stat *st) { return check_version(ver) != 0 ? -1 : do_fstat(fd, st); }
MIOC_EXPORT int __fxstat64(int ver, int fd, struct stat64 *st)
{
    return check_version(ver) != 0 ? -1 : do_fstat(fd, (struct stat *)st);
}
MIOC_EXPORT int __fxstatat(int ver, int dirfd, const char *path, struct stat *st, int flags)
{
    return do_xstat(ver, dirfd, path, st, flags);
}
MIOC_EXPORT int __fxstatat64(int ver, int dirfd, const char *path, struct stat64 *st, int flags)
{
    return do_xstat(ver, dirfd, path, st, flags);
}

/* --- statx ------------------------------------------------------------------------------------------------------- */

#define STATX_SHARED (STATX_BASIC_STATS | STATX_BTIME)

static struct statx_timestamp statx_time(int64_t seconds, uint32_t nanoseconds)
{
    struct statx_timestamp t = { .tv_sec = seconds, .tv_nsec = nanoseconds };

    return t;
}

/* Fills the fields that records have. Filesystems give the time of birth only to callers who ask for it. */
static void fill_statx(const struct mioc_stat *from, unsigned mask, struct statx *to)
{
    uint64_t dev = mioc_store_local_dev(mioc_client_store(), from->dev);
    int with_btime = (from->mask & mask & STATX_BTIME) != 0;

    to->stx_mask = (from->mask & STATX_SHARED & ~STATX_BTIME) | (with_btime ? STATX_BTIME : 0u);
    to->stx_blksize = from->blksize;
    to->stx_attributes = from->attributes;
    to->stx_attributes_mask = from->attributes_mask;
    to->stx_nlink = from->nlink;
    to->stx_uid = from->uid;
    to->stx_gid = from->gid;
    to->stx_mode = (uint16_t)from->mode;
    to->stx_ino = from->ino;
    to->stx_size = from->size;
    to->stx_blocks = from->blocks;
    to->stx_atime = statx_time(from->atime, from->atime_ns);
    to->stx_mtime = statx_time(from->mtime, from->mtime_ns);
    to->stx_ctime = statx_time(from->ctime, from->ctime_ns);
    to->stx_btime = with_btime ? statx_time(from->btime, from->btime_ns) : statx_time(0, 0);
    to->stx_rdev_major = major(from->rdev);
    to->stx_rdev_minor = minor(from->rdev);
    to->stx_dev_major = major(dev);
    to->stx_dev_minor = minor(dev);
}

/* Asks the original: for fields that records do not have, and for a caller that wants no cached answer. */
static int ask_statx(const struct mioc_content_record *record, int flags, unsigned mask, struct statx *stx)
{
    int saved = errno, fd = mioc_serve_open_original(record, O_PATH), rc;

    if (fd >= 0) {
        rc = mioc_real(statx)(fd, "", (flags & AT_STATX_SYNC_TYPE) | AT_EMPTY_PATH, mask, stx);
        mioc_serve_give_back(fd, -1);
        if (rc == 0)
            return 0;
    }
    errno = saved;
    return -1;
}

struct statx_call {
    int flags;
    unsigned mask;
    struct statx *stx;
};

/* If the answer in *stx is a copy's, replaces it by the original's. */
static __attribute__((noinline)) int map_statx(void *arg)
{
    const struct statx_call *call = arg;
    const struct mioc_content_record *record;
    struct statx *stx = call->stx;
    struct mioc_stat space;
    struct stat st = { 0 };

    st.st_dev = makedev(stx->stx_dev_major, stx->stx_dev_minor);
    st.st_mode = stx->stx_mode;
    st.st_uid = stx->stx_uid;
    st.st_size = (off_t)stx->stx_size;
    st.st_mtim.tv_sec = stx->stx_mtime.tv_sec;
    st.st_mtim.tv_nsec = stx->stx_mtime.tv_nsec;
    if (!mioc_serve_may_be_copy(&st) || (record = mioc_serve_record_of(&st)) == NULL)
        return 0;
    if (((call->mask & ~STATX_SHARED) == 0 && (call->flags & AT_STATX_SYNC_TYPE) != AT_STATX_FORCE_SYNC) ||
        ask_statx(record, call->flags, call->mask, stx) != 0) {
        memset(stx, 0, sizeof(*stx));
        fill_statx(mioc_serve_shown(record, &space), call->mask, stx);
    }
    return 0;
}

static int real_statx(int dirfd, const char *path, int flags, unsigned mask, struct statx *stx)
{
    struct statx_call call = { flags, mask, stx };
    int rc;

    if (mioc_real(statx) == NULL)
        return mioc_serve_fail(ENOSYS);
    rc = mioc_real(statx)(dirfd, path, flags, mask, stx);
    if (rc == 0 && (stx->stx_mask & STATX_BASIC_STATS) == STATX_BASIC_STATS &&
        mioc_serve_may_be_copy(&(const struct stat){ .st_dev = makedev(stx->stx_dev_major, stx->stx_dev_minor),
                                                     .st_mode = stx->stx_mode }))
        mioc_stack_try(MIOC_STACK_SERVED, map_statx, &call);
    return rc;
}

static __attribute__((noinline)) int served_statx(int dirfd, const char *path, int flags, unsigned mask,
                                                  struct statx *stx)
{
    const struct mioc_stat *found;
    struct mioc_query q;
    int rc;

    if (!mioc_client_begin(&q, MIOC_CALL_STAT, dirfd, path))
        return real_statx(dirfd, path, flags, mask, stx);
    if (flags & AT_SYMLINK_NOFOLLOW)
        mioc_serve_bytecode_lstat(&q);
    rc = mioc_serve_find(&q, (flags & AT_SYMLINK_NOFOLLOW) != 0, &found);
    if (rc == 0) {
        memset(stx, 0, sizeof(*stx));
        fill_statx(found, mask, stx);
    } else if (rc == MIOC_NOT_SERVED) {
        rc = real_statx(dirfd, path, flags, mask, stx);
    }
    mioc_client_end(&q, 0);
    return rc;
}

MIOC_EXPORT int statx(int dirfd, const char *restrict path, int flags, unsigned int mask, struct statx *restrict stx)
{
    const int known = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_DONT_SYNC;

    if ((flags & ~known) != 0 || (mask & ~STATX_SHARED) != 0 || mioc_is_null(stx) ||
        mioc_client_is_foreign(dirfd, path))
        return real_statx(dirfd, path, flags, mask, stx);
    return served_statx(dirfd, path, flags, mask, stx);
}

/* --- access ------------------------------------------------------------------------------------------------------ */

static int served_access(struct mioc_query *q, int mode, int flags)
{
    const struct mioc_access_record *record;
    const struct mioc_stat *st;
    int error, rc = mioc_serve_find(q, (flags & AT_SYMLINK_NOFOLLOW) != 0, &st);

    /* access fails on a name if stat does. Records do not hold a link's own rights. */
    if (rc != 0 || mode == F_OK)
        return rc;
    record = (flags & AT_SYMLINK_NOFOLLOW) ? NULL : (const void *)mioc_client_record(q, MIOC_ITEM_ACCESS);
    if (record == NULL || (record->item.flags & MIOC_FLAG_UNCACHED))
        return MIOC_NOT_SERVED;
    error = (flags & AT_EACCESS) ? record->eerr[mode] : record->err[mode];
    return error != 0 ? mioc_serve_fail(error) : 0;
}

static int real_access(int dirfd, const char *path, int mode, int flags)
{
    int asked, rc;

    if (mioc_serve_is_fd_itself(dirfd, path, flags)) {
        asked = mioc_serve_borrow(dirfd);
        rc = mioc_real(faccessat)(asked, path, mode, flags);
        mioc_serve_give_back(asked, dirfd);
        return rc;
    }
    if (!(flags & AT_SYMLINK_NOFOLLOW))
        path = mioc_serve_asked(path);
    if (dirfd == AT_FDCWD && flags == 0)
        return mioc_real(access)(path, mode);
    return mioc_real(faccessat)(dirfd, path, mode, flags);
}

static __attribute__((noinline)) int served_access_at(int dirfd, const char *path, int mode, int flags)
{
    struct mioc_query q;
    int rc;

    if (!mioc_client_begin(&q, MIOC_CALL_ACCESS, dirfd, path))
        return real_access(dirfd, path, mode, flags);
    rc = served_access(&q, mode, flags);
    if (rc == MIOC_NOT_SERVED)
        rc = real_access(dirfd, path, mode, flags);
    mioc_client_end(&q, 0);
    return rc;
}

static int do_access(int dirfd, const char *path, int mode, int flags)
{
    if ((mode & ~7) != 0 || (flags & ~(AT_EACCESS | AT_SYMLINK_NOFOLLOW)) != 0 || mioc_client_is_foreign(dirfd, path))
        return real_access(dirfd, path, mode, flags);
    return served_access_at(dirfd, path, mode, flags);
}

MIOC_EXPORT int access(const char *path, int mode) { return do_access(AT_FDCWD, path, mode, 0); }
/* For modes that do not exist libc's euidaccess answers otherwise than faccessat. */
MIOC_EXPORT int euidaccess(const char *path, int mode)
{
    return (mode & ~7) != 0 ? mioc_real(euidaccess)(path, mode) : do_access(AT_FDCWD, path, mode, AT_EACCESS);
}
MIOC_EXPORT int eaccess(const char *path, int mode) { return euidaccess(path, mode); }
MIOC_EXPORT int faccessat(int dirfd, const char *path, int mode, int flags)
{
    return do_access(dirfd, path, mode, flags);
}
