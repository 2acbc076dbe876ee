/* SPDX-License-Identifier: BSD-3-Clause */
/* copy.c - finds a copy's record, what stat shows of its original, and the original itself (README.md, "Copies"). */
#include "launch/writer_join.h"
#include "serve.h"
#include "base/stack.h"
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* --- Which record ------------------------------------------------------------------------------------------------ */

/* A process without a store may have inherited a copy's descriptor. */
static int looks_like_copy(const struct stat *st)
{
    return st->st_mode == (S_IFREG | 0400) && st->st_uid == geteuid() && st->st_mtim.tv_nsec != 0;
}

struct search {
    const struct stat *st;
    const struct mioc_content_record *found;
};

static int find_record(void *arg)
{
    struct search *search = arg;

    search->found = mioc_store_record_of(mioc_client_store(), search->st);
    return 0;
}

const struct mioc_content_record *mioc_serve_record_of(const struct stat *st)
{
    struct search search = { st, NULL };
    const struct mioc_store *store = mioc_client_store();

    if (store == NULL && looks_like_copy(st)) {
        mioc_writer_join();
        store = mioc_client_store();
    }
    if (store != NULL)
        mioc_stack_try(MIOC_STACK_SERVED, find_record, &search);
    return search.found;
}

const struct mioc_content_record *mioc_serve_copy_behind(int fd)
{
    const struct mioc_content_record *record = NULL;
    int saved = errno;
    struct stat st;

    if (mioc_real(fstat)(fd, &st) == 0 && mioc_serve_may_be_copy(&st))
        record = mioc_serve_record_of(&st);
    errno = saved;
    return record;
}

const struct mioc_content_record *mioc_serve_copy_at(int dirfd, const char *path, int flags)
{
    const struct mioc_content_record *record = NULL;
    int saved = errno;
    struct stat st;

    if (mioc_real(fstatat)(dirfd, path, &st, flags) == 0 && mioc_serve_may_be_copy(&st))
        record = mioc_serve_record_of(&st);
    errno = saved;
    return record;
}

/* --- What is shown ----------------------------------------------------------------------------------------------- */

/* The job may have changed the original since the record was made. While its bytes are still those of the copy, stat
 * shows everything else as it is now. */
static __attribute__((noinline)) const struct mioc_stat *shown_now(const struct mioc_content_record *record,
                                                                   struct mioc_stat *space)
{
    int saved = errno;
    struct stat st;

    *space = record->stat;
    if (mioc_real(stat)(record->path, &st) == 0 && S_ISREG(st.st_mode) && st.st_ino == space->ino &&
        mioc_store_may_be_dev(mioc_client_store(), space->dev, st.st_dev) && (uint64_t)st.st_size == space->size &&
        st.st_mtim.tv_sec == space->mtime && st.st_mtim.tv_nsec == space->mtime_ns) {
        space->mode = st.st_mode;
        space->uid = st.st_uid;
        space->gid = st.st_gid;
        space->nlink = (uint32_t)st.st_nlink;
        space->ctime = st.st_ctim.tv_sec;
        space->ctime_ns = (uint32_t)st.st_ctim.tv_nsec;
    }
    errno = saved;
    return space;
}

const struct mioc_stat *mioc_serve_shown(const struct mioc_content_record *record, struct mioc_stat *space)
{
    return __atomic_load_n(&record->item.local_dead, __ATOMIC_ACQUIRE) == 0 ? &record->stat : shown_now(record, space);
}

struct mapping {
    struct stat *st;
    int is_mapped;
};

static __attribute__((noinline)) int map_stat(void *arg)
{
    struct mapping *mapping = arg;
    const struct mioc_content_record *record = mioc_serve_record_of(mapping->st);
    struct mioc_stat space;

    if (record == NULL)
        return 0;
    mioc_store_fill_stat(mioc_client_store(), mioc_serve_shown(record, &space), mapping->st);
    mapping->is_mapped = 1;
    return 0;
}

int mioc_serve_map_stat(struct stat *st)
{
    struct mapping mapping = { st, 0 };

    mioc_stack_try(MIOC_STACK_SERVED, map_stat, &mapping);
    return mapping.is_mapped;
}

/* --- The original ------------------------------------------------------------------------------------------------ */

/* Whether (dirfd, path, flags) is the file that was copied. Its inode number may have gone to another file since; that
 * file has another time of birth. */
static int is_original(const struct mioc_content_record *record, int dirfd, const char *path, int flags)
{
    const struct mioc_stat *known = &record->stat;
    int saved = errno;
    struct statx st;

    if (syscall(SYS_statx, dirfd, path, flags, STATX_BASIC_STATS | STATX_BTIME, &st) != 0) {
        errno = saved;
        return 0;
    }
    if (!S_ISREG(st.stx_mode) || st.stx_ino != known->ino ||
        !mioc_store_may_be_dev(mioc_client_store(), known->dev, makedev(st.stx_dev_major, st.stx_dev_minor)))
        return 0;
    return !(known->mask & st.stx_mask & STATX_BTIME) ||
           (st.stx_btime.tv_sec == known->btime && st.stx_btime.tv_nsec == known->btime_ns);
}

/* Opens for reading the file that the path descriptor `at` refers to. The copy may have O_NOFOLLOW, which F_GETFL shows
 * and which fails on a name in /proc; and /proc may be missing. In both cases the file is opened by its path. Another
 * file may have come there a moment ago, so O_NONBLOCK and O_NOCTTY keep the open harmless. */
static int open_found(const struct mioc_content_record *record, int at, int flags)
{
    char name[40];
    int fd = -1;

    (void)snprintf(name, sizeof name, "/proc/thread-self/fd/%d", at);
    if (!(flags & O_NOFOLLOW))
        fd = mioc_real(open)(name, O_RDONLY | O_CLOEXEC | (flags & O_NONBLOCK));
    if (fd < 0 && ((flags & O_NOFOLLOW) || errno == ENOENT))
        fd = mioc_real(open)(record->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | (flags & O_NOFOLLOW));
    if (fd >= 0 && !is_original(record, fd, "", AT_EMPTY_PATH)) {
        mioc_real(close)(fd);
        return mioc_serve_fail(ESTALE);
    }
    return fd;
}

/* A FIFO or a device may have taken the name. O_PATH looks at it without opening it. */
static int open_original(const struct mioc_content_record *record, int flags)
{
    int at = mioc_real(open)(record->path, O_PATH | O_CLOEXEC | (flags & O_NOFOLLOW)), fd = -1, saved;

    if (at < 0)
        return errno == ENOENT || errno == ENOTDIR || errno == ELOOP ? mioc_serve_fail(ESTALE) : -1;
    if (!is_original(record, at, "", AT_EMPTY_PATH))
        errno = ESTALE;
    else if (flags & O_PATH)
        return at;
    else
        fd = open_found(record, at, flags);
    saved = errno;
    mioc_real(close)(at);
    /* Flags that the program has set since it opened the copy, and those that were not safe for the open. */
    if (fd >= 0)
        (void)mioc_real(fcntl)(fd, F_SETFL, flags);
    errno = saved;
    return fd;
}

struct request {
    const struct mioc_content_record *record;
    int flags, fd;
};

static __attribute__((noinline)) int open_by(void *arg)
{
    struct request *request = arg;

    request->fd = open_original(request->record, request->flags);
    return request->fd < 0 ? -1 : 0;
}

int mioc_serve_open_original(const struct mioc_content_record *record, int flags)
{
    struct request request = { record, flags, -1 };

    (void)mioc_stack_run(MIOC_STACK_SERVED, open_by, &request);
    return request.fd;
}

int mioc_serve_borrow(int fd)
{
    const struct mioc_content_record *record = mioc_serve_copy_behind(fd);
    int saved = errno, original = -1;

    if (record != NULL)
        original = mioc_serve_open_original(record, mioc_real(fcntl)(fd, F_GETFL) & O_PATH);
    errno = saved;
    return original < 0 ? fd : original;
}

void mioc_serve_give_back(int borrowed, int fd)
{
    int saved = errno;

    if (borrowed != fd)
        mioc_real(close)(borrowed);
    errno = saved;
}

/* --- Names ------------------------------------------------------------------------------------------------------- */

/* The record of the copy that a name of a descriptor leads to, or NULL. */
static const struct mioc_content_record *copy_by_name(const char *path)
{
    if (mioc_path_is_nowhere(path) ||
        (strncmp(path, "/proc/", 6) != 0 && strncmp(path, "/dev/fd/", 8) != 0 && strncmp(path, "/dev/std", 8) != 0))
        return NULL;
    return mioc_serve_copy_at(AT_FDCWD, path, 0);
}

static __attribute__((noinline)) int is_its_path(void *arg)
{
    const struct mioc_content_record *record = arg;

    return is_original(record, AT_FDCWD, record->path, 0);
}

/* The original's path, or `otherwise` if the original is not there. */
static const char *original_path(const struct mioc_content_record *record, const char *otherwise)
{
    int saved = errno, is_there = mioc_stack_run(MIOC_STACK_SERVED, is_its_path, (void *)(uintptr_t)record) == 1;

    errno = saved;
    return is_there ? record->path : otherwise;
}

const char *mioc_serve_original(const char *path)
{
    const struct mioc_content_record *record = copy_by_name(path);

    return record == NULL ? path : original_path(record, "/proc/self/fd/gone");
}

const char *mioc_serve_asked(const char *path)
{
    const struct mioc_content_record *record = copy_by_name(path);

    return record == NULL ? path : original_path(record, path);
}

/* Fills `out` with the original's path as /proc shows it. Returns its length, or -1. */
static ssize_t kernel_name(const struct mioc_content_record *record, char out[PATH_MAX])
{
    int saved = errno, fd = mioc_serve_open_original(record, O_PATH);
    ssize_t n = -1;
    char name[40];

    if (fd >= 0) {
        (void)snprintf(name, sizeof name, "/proc/thread-self/fd/%d", fd);
        n = mioc_real(readlink)(name, out, PATH_MAX - 1);
        mioc_real(close)(fd);
    }
    errno = saved;
    return n;
}

uint32_t mioc_serve_canonical(const struct mioc_content_record *record, char out[PATH_MAX])
{
    const struct mioc_realpath_record *real = NULL;
    const char *text = record->path;
    uint32_t len = record->item.path_len;
    struct mioc_query q;
    ssize_t n;

    if (mioc_client_peek(&q, MIOC_CALL_READLINK, AT_FDCWD, record->path))
        real = (const void *)mioc_client_record(&q, MIOC_ITEM_REALPATH);
    if (real != NULL && !(real->item.flags & MIOC_FLAG_UNCACHED) && real->realpath_errno == 0) {
        text = real->path + real->item.path_len + 1;
        len = real->resolved_len;
    } else if ((n = kernel_name(record, out)) > 0) {
        return (uint32_t)n;
    }
    if (len > PATH_MAX - 1)
        len = PATH_MAX - 1;
    memcpy(out, text, len);
    return len;
}

int mioc_serve_is_store_path(const char *text, size_t len, int is_cut)
{
    const struct mioc_store *store = mioc_client_store();
    const char *base;
    size_t base_len;

    if (store == NULL && memmem(text, len, "/" MIOC_STORE_PREFIX, sizeof MIOC_STORE_PREFIX) != NULL) {
        mioc_writer_join(); /* this process may have inherited a copy's descriptor */
        store = mioc_client_store();
    }
    base = store == NULL ? "" : mioc_store_path(store);
    base_len = strlen(base);
    if (base_len == 0 || (len <= base_len && !is_cut))
        return 0;
    return memcmp(text, base, len < base_len ? len : base_len) == 0 && (len <= base_len || text[base_len] == '/');
}
