/* SPDX-License-Identifier: BSD-3-Clause */
/* store_attach.c - finds and maps a store, and says whether its agent lives. */
#include "base/folder.h"
#include "base/clock.h"
#include "base/real.h"
#include "ring_internal.h"
#include "store_internal.h"
#include "base/credentials.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* The most bytes of the directory's path: a store's path is passed on in buffers of 1024 bytes. */
#define DIR_MAX (1024u - 128u)
/* A maker takes the lock right after it has made the directory. */
#define JUST_MADE_NS 100000000

/* --- Names ------------------------------------------------------------------------------------------------------- */

/* Reads 16 lower-case hexadecimal digits. */
static int parse_hex16(const char *text, uint64_t *value)
{
    *value = 0;
    for (unsigned i = 0; i < 16; i++) {
        char c = text[i];

        if (c >= '0' && c <= '9')
            *value = *value << 4 | (uint64_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            *value = *value << 4 | (uint64_t)(c - 'a' + 10);
        else
            return -1;
    }
    return 0;
}

/* Whether the name begins with PREFIX, this user, and a key. Stores the length of that. */
static int begins_with_key(const char *name, uint64_t *key, int *len)
{
    char prefix[64];

    *len = snprintf(prefix, sizeof(prefix), MIOC_STORE_PREFIX "%u-", (unsigned)geteuid());
    if (strncmp(name, prefix, (size_t)*len) != 0 || parse_hex16(name + *len, key) != 0)
        return 0;
    *len += 16;
    return 1;
}

int mioc_store_is_name(const char *name, uint64_t *key)
{
    uint64_t ignored;
    int len;

    return begins_with_key(name, key, &len) && name[len] == '-' && parse_hex16(name + len + 1, &ignored) == 0 &&
           name[len + 17] == '\0';
}

int mioc_store_is_turn(const char *name)
{
    uint64_t ignored;
    int len;

    return begins_with_key(name, &ignored, &len) && strcmp(name + len, MIOC_STORE_TURN) == 0;
}

int mioc_store_open_dir(int dirfd, const char *name)
{
    int fd = mioc_real(openat)(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;

    if (fd < 0)
        return -1;
    if (mioc_real(fstat)(fd, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid())
        return fd;
    mioc_real(close)(fd);
    errno = EACCES;
    return -1;
}

/* --- The directory of stores ------------------------------------------------------------------------------------- */

/* Whether nobody but root and this user can rename or remove other users' files in the directory. Where a user
 * namespace hides root's number, the owner of /proc shows what stands for it. */
static int is_safe(const char *path, int flags)
{
    struct stat st, proc;

    if (mioc_real(fstatat)(AT_FDCWD, path, &st, flags) != 0)
        return 0;
    if (st.st_uid != 0 && st.st_uid != geteuid() && (mioc_real(stat)("/proc", &proc) != 0 || proc.st_uid != st.st_uid))
        return 0;
    return (st.st_mode & (S_IWGRP | S_IWOTH)) == 0 || (st.st_mode & S_ISVTX) != 0;
}

static int are_all_safe(char *path)
{
    for (char *slash = path + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        int safe;

        *slash = '\0';
        safe = is_safe(path, AT_SYMLINK_NOFOLLOW);
        *slash = '/';
        if (!safe)
            return 0;
    }
    return is_safe("/", 0) && is_safe(path, AT_SYMLINK_NOFOLLOW);
}

int mioc_store_open_parent(const char *dir, char path[MIOC_STORE_PATH_MAX])
{
    char link[40];
    ssize_t n;
    int fd, saved;

    if (dir[0] != '/') {
        errno = EINVAL;
        return -1;
    }
    fd = mioc_real(open)(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    /* Without symbolic links: a link that changes later would lead elsewhere. */
    snprintf(link, sizeof link, "/proc/thread-self/fd/%d", fd);
    n = mioc_real(readlink)(link, path, MIOC_STORE_PATH_MAX);
    errno = n < 0 ? errno : ENAMETOOLONG;
    if (n <= 0 || n >= (ssize_t)DIR_MAX)
        goto failed;
    path[n] = '\0';
    errno = EPERM;
    if (path[0] != '/' || !are_all_safe(path))
        goto failed;
    if (n == 1)
        path[0] = '\0'; /* "/": names are appended behind a slash */
    return fd;
failed:
    saved = errno;
    mioc_real(close)(fd);
    errno = saved;
    return -1;
}

/* --- Who is alive ------------------------------------------------------------------------------------------------ */

/* Whether another process holds, or may hold for all we can tell, the lock of the file `path`. The file must not be
 * this process's own `owner`. */
static int is_locked(int dirfd, const char *path)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    /* Raw system calls: a thread that waits for the agent comes here, and libc's functions are cancellation points. */
    int fd = (int)syscall(SYS_openat, dirfd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    int locked;

    if (fd < 0) /* without a descriptor left, nobody can tell */
        return errno == EMFILE || errno == ENFILE || errno == ENOMEM;
    locked = syscall(SYS_fcntl, fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
    syscall(SYS_close, fd);
    return locked;
}

int mioc_store_is_owner_alive(const struct mioc_store *s)
{
    static const char owner[] = "/owner";
    char path[MIOC_STORE_PATH_MAX];
    int saved = errno, alive;

    if (s->lock_fd >= 0 && s->pid == getpid())
        return 1;
    memcpy(path, s->path, s->path_len);
    memcpy(path + s->path_len, owner, sizeof(owner));
    /* After a chroot, or as another user, the lock cannot be looked at. */
    alive = is_locked(AT_FDCWD, path) ||
            (mioc_credentials() != s->index->credentials && !mioc_ring_is_gone(s->ring->agent));
    errno = saved;
    return alive;
}

struct search {
    uint64_t key;
    char *path;
    size_t size, dir_len;
    int error; /* why a store of that key was not taken */
};

/* Whether the store is so young that its maker may not have taken the lock yet. */
static int is_just_made(int dirfd)
{
    struct stat st;

    return mioc_real(fstat)(dirfd, &st) == 0 && mioc_clock_age_ns(&st.st_ctim) < JUST_MADE_NS;
}

static int visit_candidate(void *ctx, int dirfd, const char *name)
{
    struct search *search = ctx;
    int fd, found;
    uint64_t key;

    if (!mioc_store_is_name(name, &key) || key != search->key)
        return 0;
    fd = mioc_store_open_dir(dirfd, name);
    if (fd < 0) {
        search->error = errno;
        return 0;
    }
    found = mioc_store_is_own(name) || is_locked(fd, "owner");
    if (!found && is_just_made(fd))
        search->error = EAGAIN;
    mioc_real(close)(fd);
    if (!found)
        return 0; /* a dead store of this key; there may also be a live one */
    if ((size_t)snprintf(search->path + search->dir_len, search->size - search->dir_len, "/%s", name) >=
        search->size - search->dir_len) {
        errno = ENAMETOOLONG;
        return -1;
    }
    return 1;
}

int mioc_store_find(const char *dir, uint64_t key, char *path, size_t size)
{
    char parent[MIOC_STORE_PATH_MAX];
    struct search search = { .key = key, .path = path, .size = size };
    int fd = mioc_store_open_parent(dir, parent), result, saved;

    if (fd < 0)
        return -1;
    search.dir_len = strlen(parent);
    if (search.dir_len + 2 > size) {
        mioc_real(close)(fd);
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(path, parent, search.dir_len);
    result = mioc_folder_walk(fd, visit_candidate, &search);
    saved = errno;
    mioc_real(close)(fd);
    errno = saved;
    if (result == 0)
        errno = search.error == EAGAIN || search.error == EMFILE || search.error == ENFILE ? search.error : ENOENT;
    return result > 0 ? 0 : -1;
}

/* --- Mapping ----------------------------------------------------------------------------------------------------- */

/* Opens a file that is this user's, has mode 0600 and is not empty. Returns a descriptor, or -1 with errno. */
static int open_file(int dirfd, const char *name, int is_writable, struct stat *st)
{
    int fd = mioc_real(openat)(dirfd, name, (is_writable ? O_RDWR : O_RDONLY) | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC),
        saved;

    if (fd < 0)
        return -1;
    if (mioc_real(fstat)(fd, st) == 0) {
        if (S_ISREG(st->st_mode) && st->st_uid == geteuid() && (st->st_mode & 07777) == 0600 && st->st_size > 0)
            return fd;
        errno = EPROTO;
    }
    saved = errno;
    mioc_real(close)(fd);
    errno = saved;
    return -1;
}

/* Closes fd. Returns `result`, with errno as it was. */
static int close_file(int fd, int result)
{
    int saved = errno;

    mioc_real(close)(fd);
    errno = saved;
    return result;
}

static int map_index(struct mioc_store *s, int dirfd, int is_writer)
{
    struct stat st;
    int fd = open_file(dirfd, "index", is_writer, &st);

    if (fd < 0)
        return -1;
    s->index_size = (uint64_t)st.st_size;
    s->dev = st.st_dev;
    s->ino = st.st_ino;
    s->uid = st.st_uid;
    return close_file(fd, mioc_store_map_index(s, fd, is_writer));
}

static int map_ring(struct mioc_store *s, int dirfd)
{
    void *map = MAP_FAILED;
    struct stat st;
    int fd = open_file(dirfd, "ring", 1, &st);

    if (fd < 0)
        return -1;
    errno = EPROTO;
    if ((size_t)st.st_size == mioc_ring_size())
        map = mmap(NULL, mioc_ring_size(), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        return close_file(fd, -1);
    (void)madvise(map, mioc_ring_size(), MADV_DONTDUMP);
    s->ring = map;
    return close_file(fd, 0);
}

int mioc_store_map(struct mioc_store *s, int dirfd, int is_writer)
{
    if (map_index(s, dirfd, is_writer) != 0)
        return -1;
    errno = EPROTO;
    if (!is_writer && (__atomic_load_n(&s->index->magic, __ATOMIC_ACQUIRE) != MIOC_STORE_MAGIC ||
                       s->index->layout != MIOC_STORE_LAYOUT || s->index->slots != MIOC_INDEX_SLOTS ||
                       s->index->size != s->index_size))
        return -1;
    return map_ring(s, dirfd);
}

struct mioc_store *mioc_store_new(void)
{
    void *s = mmap(NULL, sizeof(struct mioc_store), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return s == MAP_FAILED ? NULL : s;
}

void mioc_store_free(struct mioc_store *s) { munmap(s, sizeof(*s)); }

/* is_foreign: of another PID namespace, too. */
static struct mioc_store *attach(const char *store_dir, int is_foreign)
{
    struct mioc_store *s = NULL;
    size_t len = strlen(store_dir);
    struct stat st;
    int dirfd, saved = errno;

    while (len > 1 && store_dir[len - 1] == '/')
        len--;
    if (store_dir[0] != '/' || len + 32 > MIOC_STORE_PATH_MAX) {
        errno = EINVAL;
        return NULL;
    }
    dirfd = mioc_store_open_dir(AT_FDCWD, store_dir);
    if (dirfd < 0)
        return NULL;
    if (mioc_real(fstat)(dirfd, &st) != 0)
        goto failed;
    errno = EACCES;
    if ((st.st_mode & 0777) != 0700)
        goto failed;
    s = mioc_store_new();
    if (s == NULL)
        goto failed;
    s->lock_fd = -1;
    s->path_len = (uint32_t)len;
    memcpy(s->path, store_dir, len);
    if (mioc_store_map(s, dirfd, 0) != 0 ||
        (mioc_ring_check(s->ring, mioc_ring_size()) != 0 && (!is_foreign || errno != EXDEV)))
        goto failed;
    mioc_real(close)(dirfd);
    errno = saved;
    return s;
failed:
    saved = errno;
    if (s)
        mioc_store_detach(s);
    mioc_real(close)(dirfd);
    errno = saved;
    return NULL;
}

struct mioc_store *mioc_store_attach(const char *store_dir) { return attach(store_dir, 0); }

void mioc_store_distrust(const char *store_dir)
{
    struct mioc_store *s = attach(store_dir, 1);

    if (s == NULL)
        return;
    mioc_ring_taint(s->ring);
    mioc_store_detach(s);
}

void mioc_store_detach(struct mioc_store *s)
{
    if (s->writer) {
        mioc_store_disown(s);
        mioc_io_thread_free(s->writer->io_thread);
        mioc_hold_free(s->writer);
        free(s->writer->odd);
        free(s->writer->arrival);
        free(s->writer);
    }
    if (s->ring)
        munmap(s->ring, mioc_ring_size());
    mioc_store_unmap_index(s);
    if (s->lock_fd >= 0)
        mioc_real(close)(s->lock_fd);
    mioc_store_free(s);
}
