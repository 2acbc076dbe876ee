/* SPDX-License-Identifier: BSD-3-Clause */
/* wrap_loader.c - answers the dynamic loader's own system calls: it opens the node's copies under the originals' names.
 *
 * So its search rules, $ORIGIN, link_map, dladdr and its messages are the same as without us. The loader knows by
 * device and inode what it has loaded already; for a copy it is given those of the original. */
#include "wrap_loader.h"
#include "serve.h"
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The kernel's O_LARGEFILE. ld.so may set it; on 64-bit machines it has no effect, and glibc defines it as 0. */
#ifdef __aarch64__
#define LARGEFILE 0400000
#else
#define LARGEFILE 0100000
#endif

static long or_error(long rc) { return rc < 0 ? -errno : rc; }

static int is_ld_so_cache(const char *path)
{
    static const char name[] = "/ld.so.cache";
    size_t len = strlen(path);

    return len >= sizeof name - 1 && strcmp(path + len - (sizeof name - 1), name) == 0;
}

/* The loader's last open in this thread: the descriptor, and the record if it is a copy. The loader asks fstat of it
 * next, which then needs no system call. */
static __thread struct {
    int fd;
    const struct mioc_content_record *copy;
} last;

static long opened(long fd, const char *path, const struct mioc_content_record *copy)
{
    if (fd >= 0 && !is_ld_so_cache(path))
        mioc_stats_count_load();
    last.fd = (int)fd;
    last.copy = copy;
    return fd;
}

/* --- Room -------------------------------------------------------------------------------------------------------- */

/* A query holds a path, and opening a copy needs room for another. That is too much for a thread with the smallest
 * stack, of which ld.so itself takes 8 KiB. The loader loads in one thread at a time, so one static room is enough.
 * A load that finds it taken works on its own stack: one in a signal handler, or in the child of a fork that happened
 * during another thread's load. */
static struct {
    int is_taken;
    struct mioc_query query;
    char room[MIOC_PATH_MAX];
} scratch;

static int take_scratch(void) { return !__atomic_exchange_n(&scratch.is_taken, 1, __ATOMIC_ACQUIRE); }

static void release_scratch(void) { __atomic_store_n(&scratch.is_taken, 0, __ATOMIC_RELEASE); }

/* --- open, stat, fstat ------------------------------------------------------------------------------------------- */

static long open_by(struct mioc_query *q, char *room, const struct mioc_loader_call *call, int dirfd, const char *path,
                    int flags)
{
    uint64_t bytes = 0;
    long rc;

    if (!mioc_client_begin(q, MIOC_CALL_LOADER, dirfd, path))
        return opened(mioc_loader_pass(call), path, NULL);
    q->room = room;
    rc = mioc_serve_open(q, flags, &bytes);
    rc = rc == MIOC_NOT_SERVED ? mioc_loader_pass(call) : or_error(rc);
    mioc_client_end(q, bytes);
    return opened(rc, path, q->copy);
}

static __attribute__((noinline)) long open_on_stack(const struct mioc_loader_call *call, int dirfd, const char *path,
                                                    int flags)
{
    struct mioc_query q;

    return open_by(&q, NULL, call, dirfd, path, flags);
}

static long answer_open(const struct mioc_loader_call *call, int dirfd, const char *path, int flags)
{
    long rc;

    flags &= ~LARGEFILE;
    if ((flags & ~MIOC_SERVE_OPEN_FLAGS) != 0 || mioc_client_is_foreign(dirfd, path))
        return opened(mioc_loader_pass(call), path, NULL);
    if (!take_scratch())
        return open_on_stack(call, dirfd, path, flags);
    rc = open_by(&scratch.query, scratch.room, call, dirfd, path, flags);
    release_scratch();
    return rc;
}

static long stat_by(struct mioc_query *q, const struct mioc_loader_call *call, int dirfd, const char *path,
                    struct stat *st, int flags)
{
    const struct mioc_stat *found;
    long rc;

    if (!mioc_client_begin(q, MIOC_CALL_LOADER, dirfd, path))
        return mioc_loader_pass(call);
    rc = mioc_serve_find(q, (flags & AT_SYMLINK_NOFOLLOW) != 0, &found);
    if (rc == 0)
        mioc_store_fill_stat(mioc_client_store(), found, st);
    rc = rc == MIOC_NOT_SERVED ? mioc_loader_pass(call) : or_error(rc);
    mioc_client_end(q, 0);
    return rc;
}

static __attribute__((noinline)) long stat_on_stack(const struct mioc_loader_call *call, int dirfd, const char *path,
                                                    struct stat *st, int flags)
{
    struct mioc_query q;

    return stat_by(&q, call, dirfd, path, st, flags);
}

static long answer_stat(const struct mioc_loader_call *call, int dirfd, const char *path, struct stat *st, int flags)
{
    long rc;

    if ((flags & ~(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT)) != 0 || mioc_client_is_foreign(dirfd, path))
        return mioc_loader_pass(call);
    if (!take_scratch())
        return stat_on_stack(call, dirfd, path, st, flags);
    rc = stat_by(&scratch.query, call, dirfd, path, st, flags);
    release_scratch();
    return rc;
}

/* The program itself may have opened the copy, and load /proc/self/fd/N. */
static long answer_fstat(const struct mioc_loader_call *call, int fd, struct stat *st)
{
    const struct mioc_content_record *copy = fd == last.fd ? last.copy : NULL;
    long rc;

    last.copy = NULL;
    if (copy != NULL) {
        mioc_store_fill_stat(mioc_client_store(), &copy->stat, st);
        return 0;
    }
    rc = mioc_loader_pass(call);
    if (rc == 0 && mioc_serve_may_be_copy(st))
        (void)mioc_serve_map_stat(st);
    return rc;
}

/* Some glibcs read /proc/self/fd/N to learn the real path of a file that they have opened. */
static __attribute__((noinline)) long original_of(long rc, int dirfd, const char *path, char *buf, size_t size)
{
    const struct mioc_content_record *record = NULL;
    char original[PATH_MAX];
    struct stat st;
    size_t len;

    if (syscall(SYS_newfstatat, dirfd, path, &st, 0) == 0)
        record = mioc_serve_record_of(&st);
    if (record == NULL)
        return rc;
    len = mioc_serve_canonical(record, original);
    len = len < size ? len : size;
    memcpy(buf, original, len);
    return (long)len;
}

static long answer_readlink(const struct mioc_loader_call *call, int dirfd, const char *path, char *buf, size_t size)
{
    long rc = mioc_loader_pass(call);

    if (rc > 0 && mioc_serve_is_store_path(buf, (size_t)rc, (size_t)rc == size))
        rc = original_of(rc, dirfd, path, buf, size);
    return rc;
}

long mioc_answer_loader(const struct mioc_loader_call *call)
{
    const long *a = call->argument;
    const char *path = (const char *)a[1];

    switch (call->number) {
#ifdef SYS_open /* not on newer processors */
    case SYS_open: return answer_open(call, AT_FDCWD, (const char *)a[0], (int)a[1]);
    case SYS_stat: return answer_stat(call, AT_FDCWD, (const char *)a[0], (struct stat *)a[1], 0);
    case SYS_lstat: return answer_stat(call, AT_FDCWD, (const char *)a[0], (struct stat *)a[1], AT_SYMLINK_NOFOLLOW);
    case SYS_readlink: return answer_readlink(call, AT_FDCWD, (const char *)a[0], (char *)a[1], (size_t)a[2]);
#endif
    case SYS_openat: return answer_open(call, (int)a[0], path, (int)a[2]);
    case SYS_fstat: return answer_fstat(call, (int)a[0], (struct stat *)a[1]);
    case SYS_newfstatat:
        if (mioc_serve_is_fd_itself((int)a[0], path, (int)a[3]))
            return answer_fstat(call, (int)a[0], (struct stat *)a[2]);
        return answer_stat(call, (int)a[0], path, (struct stat *)a[2], (int)a[3]);
    case SYS_readlinkat: return answer_readlink(call, (int)a[0], path, (char *)a[2], (size_t)a[3]);
    default: return mioc_loader_pass(call);
    }
}
