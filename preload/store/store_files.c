/* SPDX-License-Identifier: BSD-3-Clause */
/* store_files.c - makes a store's directory and files. */
#include "base/proc.h"
#include "base/real.h"
#include "store_internal.h"
#include "base/credentials.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* The smallest arena that is worth a store. */
#define MIN_ARENA (64u << 10)
#define RESERVE_STEP (2u << 20)

int mioc_store_open(int dirfd, const char *path, int flags)
{
    return mioc_real(openat)(dirfd, path, flags | O_NOFOLLOW | O_CLOEXEC, 0600);
}

int mioc_store_reserve(int fd, uint64_t offset, uint64_t length)
{
    uint64_t end = offset + length;
    struct rlimit limit;

    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && end > limit.rlim_cur) {
        errno = EFBIG;
        return -1;
    }
    while (offset < end) {
        /* A signal undoes the step under way. Small steps succeed even under a profiler's timer. */
        uint64_t step = end - offset < RESERVE_STEP ? end - offset : RESERVE_STEP;
        int err = posix_fallocate(fd, (off_t)offset, (off_t)step);

        if (err == EINTR)
            continue;
        if (err != 0) {
            errno = err;
            return -1;
        }
        offset += step;
    }
    return 0;
}

/* --- Making ------------------------------------------------------------------------------------------------------ */

/* Makes a file with exactly mode 0600, whatever the umask. Returns a descriptor, or -1 with errno. */
static int make_file(int dirfd, const char *name)
{
    int fd = mioc_store_open(dirfd, name, O_RDWR | O_CREAT | O_EXCL);

    if (fd >= 0 && mioc_real(fchmod)(fd, 0600) != 0) {
        int saved = errno;

        mioc_real(close)(fd);
        errno = saved;
        fd = -1;
    }
    return fd;
}

static int make_dir(int dirfd, const char *name)
{
    int fd;

    if (mioc_real(mkdirat)(dirfd, name, 0700) != 0)
        return -1;
    fd = mioc_store_open_dir(dirfd, name);
    if (fd >= 0) {
        mioc_real(fchmod)(fd, 0700);
    } else {
        int saved = errno;

        mioc_real(unlinkat)(dirfd, name, AT_REMOVEDIR);
        errno = saved;
    }
    return fd;
}

/* Whether the filesystem keeps an mtime exactly. A copy's mtime leads from its descriptor back to its record. */
static int has_exact_times(int fd)
{
    struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = 123457, .tv_nsec = 987654321 } };
    struct stat st;

    return mioc_real(futimens)(fd, times) == 0 && mioc_real(fstat)(fd, &st) == 0 &&
           st.st_mtim.tv_sec == times[1].tv_sec && st.st_mtim.tv_nsec == times[1].tv_nsec;
}

/* The table's pages are reserved later. A filesystem that has no room for them is found out now. */
static int has_room(int fd)
{
    struct statvfs fs;

    return mioc_real(fstatvfs)(fd, &fs) != 0 || fs.f_blocks == 0 ||
           (uint64_t)fs.f_bavail * fs.f_frsize >= MIOC_INDEX_ARENA_AT + mioc_ring_size();
}

static int make_index(int dirfd, struct mioc_store_limits *limits)
{
    struct rlimit fsize;
    int fd, saved, result = -1;

    if (getrlimit(RLIMIT_FSIZE, &fsize) == 0 && fsize.rlim_cur < MIOC_INDEX_ARENA_AT + limits->max_arena)
        limits->max_arena =
            fsize.rlim_cur > MIOC_INDEX_ARENA_AT ? (fsize.rlim_cur - MIOC_INDEX_ARENA_AT) & ~4095ull : 0;
    if (limits->max_arena < MIN_ARENA) {
        errno = EFBIG;
        return -1;
    }
    fd = make_file(dirfd, "index");
    if (fd < 0)
        return -1;
    if (!has_exact_times(fd))
        errno = EOPNOTSUPP;
    else if (!has_room(fd))
        errno = ENOSPC;
    else if (mioc_store_reserve(fd, 0, MIOC_INDEX_TABLE_AT) == 0)
        result = mioc_real(ftruncate)(fd, (off_t)(MIOC_INDEX_ARENA_AT + limits->max_arena));
    saved = errno;
    mioc_real(close)(fd);
    errno = saved;
    return result;
}

static int make_ring(int dirfd)
{
    int fd = make_file(dirfd, "ring"), result, saved;

    if (fd < 0)
        return -1;
    result = mioc_store_reserve(fd, 0, mioc_ring_size());
    saved = errno;
    mioc_real(close)(fd);
    errno = saved;
    return result;
}

/* Makes and locks `owner`, whose descriptor stays open in the program. It gets that name once it is locked, so whoever
 * finds it without a lock knows that its maker is dead. Returns 0 or -1. */
static int make_owner(struct mioc_store *s, int dirfd)
{
    int fd = make_file(dirfd, MIOC_STORE_NEW_OWNER);

    if (fd < 0)
        return -1;
    s->lock_fd = mioc_proc_high_fd(fd);
    mioc_real(close)(fd);
    s->pid = getpid();
    if (s->lock_fd < 0 || mioc_store_lock_owner(s->lock_fd) != 0)
        return -1;
    return mioc_real(renameat)(dirfd, MIOC_STORE_NEW_OWNER, dirfd, "owner");
}

/* Fills an empty store directory, and maps it. Returns 0, or -1 with errno (EAGAIN: somebody took the directory for a
 * dead store; try another name). */
static int fill_store(struct mioc_store *s, int dirfd, uint64_t key)
{
    int fd;

    if (make_owner(s, dirfd) != 0)
        goto raced;
    for (unsigned i = 0; i < 2; i++) {
        fd = make_dir(dirfd, i == 0 ? "c" : "m");
        if (fd < 0)
            return -1;
        mioc_real(close)(fd);
    }
    if (make_ring(dirfd) != 0 || make_index(dirfd, &s->writer->limits) != 0 || mioc_store_map(s, dirfd, 1) != 0)
        return -1;
    mioc_ring_init(s->ring, s->pid);
    s->index->layout = MIOC_STORE_LAYOUT;
    s->index->slots = MIOC_INDEX_SLOTS;
    s->index->size = s->index_size;
    s->index->key = key;
    s->index->credentials = mioc_credentials();
    __atomic_store_n(&s->index->magic, MIOC_STORE_MAGIC, __ATOMIC_RELEASE);
    return 0;
raced:
    if (errno == EACCES || errno == ENOENT)
        errno = EAGAIN;
    return -1;
}

static struct mioc_store *new_store(const struct mioc_store_limits *limits)
{
    struct mioc_store *s = mioc_store_new();

    if (s == NULL)
        return NULL;
    s->lock_fd = -1;
    s->writer = calloc(1, sizeof(*s->writer));
    if (s->writer == NULL) {
        mioc_store_free(s);
        return NULL;
    }
    s->writer->io_thread = mioc_io_thread_new();
    if (s->writer->io_thread == NULL) {
        mioc_store_detach(s);
        return NULL;
    }
    s->writer->node = UINT32_MAX;
    s->writer->limits = *limits;
    if (limits->max_bytes == 0)
        s->writer->limits.max_bytes = UINT64_MAX;
    if (limits->max_arena == 0)
        s->writer->limits.max_arena = MIOC_STORE_DEFAULT_ARENA;
    if (s->writer->limits.max_arena > MIOC_ARENA_MAX)
        s->writer->limits.max_arena = MIOC_ARENA_MAX;
    s->writer->limits.max_arena = (s->writer->limits.max_arena + 4095) & ~4095ull;
    return s;
}

static struct mioc_store *create_once(int parent, const char *dir, uint64_t key, const struct mioc_store_limits *limits)
{
    struct mioc_store *s = new_store(limits);
    const char *name;
    uint64_t random;
    int dirfd = -1, saved;

    if (s == NULL)
        return NULL;
    while (getrandom(&random, sizeof(random), 0) != sizeof(random))
        if (errno != EINTR)
            goto failed;
    s->path_len = (uint32_t)snprintf(s->path, sizeof(s->path), "%s/" MIOC_STORE_PREFIX "%u-%016llx-%016llx", dir,
                                     (unsigned)geteuid(), (unsigned long long)key, (unsigned long long)random);
    name = strrchr(s->path, '/') + 1;
    dirfd = make_dir(parent, name);
    if (dirfd < 0)
        goto failed;
    if (fill_store(s, dirfd, key) == 0) {
        mioc_real(close)(dirfd);
        mioc_store_own(s);
        return s;
    }
failed:
    saved = errno;
    if (dirfd >= 0) {
        mioc_store_unlink(parent, name, dirfd);
        mioc_real(close)(dirfd);
    }
    mioc_store_detach(s);
    errno = saved;
    return NULL;
}

struct mioc_store *mioc_store_begin(const char *dir, uint64_t key, const struct mioc_store_limits *limits)
{
    struct mioc_store *s = NULL;
    char path[MIOC_STORE_PATH_MAX];
    int saved = errno, parent = mioc_store_open_parent(dir, path);

    if (parent < 0)
        return NULL;
    mioc_store_reclaim(path[0] == '\0' ? "/" : path);
    for (unsigned tries = 0; s == NULL && tries < 3; tries++) {
        s = create_once(parent, path, key, limits);
        if (s == NULL && errno != EAGAIN)
            break;
    }
    if (s == NULL)
        saved = errno;
    mioc_real(close)(parent);
    errno = saved;
    return s;
}

void mioc_store_set_max_bytes(struct mioc_store *s, uint64_t max_bytes) { s->writer->limits.max_bytes = max_bytes; }

int mioc_store_make_table(struct mioc_store *s)
{
    static const char index[] = "/index";
    char path[MIOC_STORE_PATH_MAX];
    int fd, saved, result;

    memcpy(path, s->path, s->path_len);
    memcpy(path + s->path_len, index, sizeof index);
    fd = mioc_store_open(AT_FDCWD, path, O_RDWR);
    if (fd < 0)
        return -1;
    result = mioc_store_reserve(fd, MIOC_INDEX_TABLE_AT, MIOC_INDEX_ARENA_AT - MIOC_INDEX_TABLE_AT);
    saved = errno;
    mioc_real(close)(fd);
    errno = saved;
    return result;
}

struct mioc_store *mioc_store_create(const char *dir, uint64_t key, const struct mioc_store_limits *limits)
{
    struct mioc_store *s = mioc_store_begin(dir, key, limits);
    int saved;

    if (s == NULL || mioc_store_make_table(s) == 0)
        return s;
    saved = errno;
    mioc_store_remove(s);
    mioc_store_detach(s);
    errno = saved;
    return NULL;
}
