/* SPDX-License-Identifier: BSD-3-Clause */
/* store_remove.c - removing a store, one's own or what a dead job left. */
#include "real.h"
#include "store_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

/* A directory without `owner` that is younger is one that somebody is just making. */
#define YOUNG_S 60

static int visit_content(void *ctx, int dirfd, const char *name)
{
    (void)ctx;
    mioc_real(unlinkat)(dirfd, name, 0);
    return 0;
}

int mioc_store_unlink(int parent, const char *name, int dirfd)
{
    int fd = mioc_real(openat)(dirfd, "c", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd >= 0) {
        mioc_store_walk(fd, visit_content, NULL);
        if (mioc_real(unlinkat)(dirfd, "c", AT_REMOVEDIR) != 0 && errno == ENOTEMPTY && mioc_real(lseek)(fd, 0, SEEK_SET) == 0) {
            mioc_store_walk(fd, visit_content, NULL); /* a content arrived meanwhile */
            mioc_real(unlinkat)(dirfd, "c", AT_REMOVEDIR);
        }
        mioc_real(close)(fd);
    }
    mioc_real(unlinkat)(dirfd, "index", 0);
    mioc_real(unlinkat)(dirfd, "ring", 0);
    mioc_real(unlinkat)(dirfd, "policy", 0); /* bystander.c's */
    mioc_real(unlinkat)(dirfd, "owner", 0);
    return mioc_real(unlinkat)(parent, name, AT_REMOVEDIR);
}

void mioc_store_remove(struct mioc_store *s)
{
    const char *name = strrchr(s->path, '/') + 1;
    char dir[MIOC_STORE_PATH_MAX];
    size_t len = (size_t)(name - s->path);
    int parent, dirfd, saved = errno;

    if (s->pid != getpid() || s->lock_fd < 0)
        return; /* a forked child's cleanup */
    memcpy(dir, s->path, len);
    dir[len] = '\0';
    parent = mioc_real(open)(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (parent >= 0) {
        dirfd = mioc_store_open_dir(parent, name);
        if (dirfd >= 0) {
            mioc_store_unlink(parent, name, dirfd);
            mioc_real(close)(dirfd);
        }
        mioc_real(close)(parent);
    }
    errno = saved;
}

int mioc_store_lock_owner(int fd)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    return mioc_real(fcntl)(fd, F_SETLK, &lock);
}

static int is_young(const struct stat *st)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return st->st_ctim.tv_sec > now.tv_sec - YOUNG_S && st->st_ctim.tv_sec < now.tv_sec + YOUNG_S;
}

/* Removes one candidate if its owner is dead. */
static int visit_dead(void *ctx, int parent, const char *name)
{
    int dirfd, owner, saved_errno, may_remove = 0, *removed = ctx;
    struct stat st, owner_st;
    uint64_t key;

    if (!mioc_store_is_name(name, &key) || mioc_store_is_own(name) || (dirfd = mioc_store_open_dir(parent, name)) < 0)
        return 0;
    owner = mioc_real(openat)(dirfd, "owner", O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    saved_errno = errno;
    if (owner >= 0)
        may_remove = mioc_real(fstat)(owner, &owner_st) == 0 && S_ISREG(owner_st.st_mode) && mioc_store_lock_owner(owner) == 0;
    else if (saved_errno == ENOENT)
        may_remove = mioc_real(fstat)(dirfd, &st) == 0 && !is_young(&st);
    if (may_remove && mioc_store_unlink(parent, name, dirfd) == 0)
        ++*removed;
    if (owner >= 0)
        mioc_real(close)(owner); /* the lock lasted until here, so two that reclaim do not meet */
    mioc_real(close)(dirfd);
    return 0;
}

int mioc_store_reclaim(const char *dir)
{
    int fd = mioc_real(open)(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int removed = 0, saved = errno;

    if (fd < 0)
        return 0;
    mioc_store_walk(fd, visit_dead, &removed);
    mioc_real(close)(fd);
    errno = saved;
    return removed;
}
