/* SPDX-License-Identifier: BSD-3-Clause */
/* store_remove.c - removes a store: this process's own, or one that a dead job left. */
#include "base/folder.h"
#include "base/clock.h"
#include "base/real.h"
#include "store_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

/* A younger directory without `owner` may be a store that somebody is making. */
#define YOUNG_NS 60000000000

/* How long to wait while the I/O thread is busy with other work, such as the manifest. Without that thread a program
 * that has used up its own descriptors could not remove the store. */
#define PATIENCE_NS 1000000000ull

/* A tree is removed from its top: directories that lie deeper are first renamed into the top. So no depth, not even of
 * a tree that somebody else made, costs stack or descriptors. */
struct tree {
    int top;
    unsigned renamed;  /* the number for the next directory that moves to the top */
    unsigned progress; /* names removed or moved in this pass */
};
#define RENAMES_MAX (1u << 20)

/* Returns 0, or -1: the name is a directory that is not empty, or it cannot be removed. */
static int remove_name(struct tree *tree, int dirfd, const char *name)
{
    if (mioc_real(unlinkat)(dirfd, name, 0) != 0 && mioc_real(unlinkat)(dirfd, name, AT_REMOVEDIR) != 0)
        return -1;
    tree->progress++;
    return 0;
}

static int visit_nested(void *ctx, int dirfd, const char *name)
{
    struct tree *tree = ctx;
    char to[16];

    if (remove_name(tree, dirfd, name) == 0 || errno != ENOTEMPTY)
        return 0;
    /* A name such as ".0" may be taken: m/ has whatever names the original root directory has. */
    while (tree->renamed < RENAMES_MAX) {
        snprintf(to, sizeof(to), ".%u", tree->renamed++);
        if (mioc_real(renameat)(dirfd, name, tree->top, to) == 0) {
            tree->progress++;
            return 0;
        }
        if (errno != EEXIST && errno != ENOTEMPTY && errno != ENOTDIR)
            return 0;
    }
    return 0;
}

static int visit_top(void *ctx, int dirfd, const char *name)
{
    struct tree *tree = ctx;
    int fd;

    if (remove_name(tree, dirfd, name) == 0 || errno != ENOTEMPTY || (fd = mioc_store_open_dir(dirfd, name)) < 0)
        return 0;
    mioc_folder_walk(fd, visit_nested, tree);
    mioc_real(close)(fd);
    (void)remove_name(tree, dirfd, name);
    return 0;
}

static void remove_tree(int dirfd, const char *name)
{
    struct tree tree = { .top = mioc_store_open_dir(dirfd, name) };

    if (tree.top < 0)
        return;
    do { /* repeatedly: files may come meanwhile, and a listing may miss what moves into its directory */
        tree.progress = 0;
        mioc_folder_walk(tree.top, visit_top, &tree);
    } while (mioc_real(unlinkat)(dirfd, name, AT_REMOVEDIR) != 0 && errno == ENOTEMPTY && tree.progress > 0 &&
             mioc_real(lseek)(tree.top, 0, SEEK_SET) == 0);
    mioc_real(close)(tree.top);
}

static void remove_contents(int dirfd)
{
    remove_tree(dirfd, "c"); /* first: without contents an agent that still works makes no new links in m */
    remove_tree(dirfd, "m");
}

/* In the I/O thread. */
static int give_back(void *store)
{
    int dirfd = mioc_store_open_dir(AT_FDCWD, ((const struct mioc_store *)store)->path);

    if (dirfd < 0)
        return -1;
    remove_contents(dirfd);
    mioc_real(close)(dirfd);
    return 0;
}

struct mioc_io_thread *mioc_store_io_thread(const struct mioc_store *s)
{
    return s->pid == getpid() && s->lock_fd >= 0 ? s->writer->io_thread : NULL;
}

void mioc_store_give_back(struct mioc_store *s)
{
    int saved = errno;

    if (s->pid == getpid() && s->lock_fd >= 0)
        (void)mioc_io_thread_run(s->writer->io_thread, give_back, s);
    errno = saved;
}

int mioc_store_unlink(int parent, const char *name, int dirfd)
{
    remove_contents(dirfd);
    mioc_real(unlinkat)(dirfd, "index", 0);
    mioc_real(unlinkat)(dirfd, "ring", 0);
    mioc_real(unlinkat)(dirfd, "policy", 0); /* policy/policy_file.c */
    mioc_real(unlinkat)(dirfd, "owner", 0);
    mioc_real(unlinkat)(dirfd, MIOC_STORE_NEW_OWNER, 0);
    return mioc_real(unlinkat)(parent, name, AT_REMOVEDIR);
}

/* In the I/O thread, so that it works if the program has used up its descriptors. */
static int remove_store(void *store)
{
    const struct mioc_store *s = store;
    const char *name = strrchr(s->path, '/') + 1;
    char dir[MIOC_STORE_PATH_MAX];
    size_t len = (size_t)(name - s->path);
    int parent, dirfd;

    memcpy(dir, s->path, len);
    dir[len] = '\0';
    parent = mioc_real(open)(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (parent < 0)
        return -1;
    dirfd = mioc_store_open_dir(parent, name);
    if (dirfd >= 0) {
        mioc_store_unlink(parent, name, dirfd);
        mioc_real(close)(dirfd);
    }
    mioc_real(close)(parent);
    return 0;
}

void mioc_store_remove(struct mioc_store *s)
{
    int saved = errno;

    if (s->pid == getpid() && s->lock_fd >= 0) { /* not a forked child's cleanup */
        mioc_io_thread_wait(s->writer->io_thread, PATIENCE_NS);
        (void)mioc_io_thread_run(s->writer->io_thread, remove_store, s);
    }
    errno = saved;
}

int mioc_store_lock_owner(int fd)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

    return mioc_real(fcntl)(fd, F_SETLK, &lock);
}

static int is_young(const struct stat *st)
{
    int64_t age = mioc_clock_age_ns(&st->st_ctim);

    return age < YOUNG_NS && age > -YOUNG_NS;
}

/* Whether a maker may be at work that has no lock yet. `owner` has its name only once it is locked (store_files.c). */
static int is_being_made(int dirfd)
{
    struct stat st;

    return mioc_real(fstatat)(dirfd, "owner", &st, AT_SYMLINK_NOFOLLOW) != 0 && mioc_real(fstat)(dirfd, &st) == 0 &&
           is_young(&st);
}

/* Removes the file by which processes take turns to start an agent (launch/agent_start.c), if one of them has died with
 * it. However young it is: who has just made it finds out, once it has the lock. */
static void remove_turn(int parent, const char *name)
{
    int fd = mioc_real(openat)(parent, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat st;

    if (fd < 0)
        return;
    if (mioc_real(fstat)(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
        mioc_store_lock_owner(fd) == 0)
        (void)mioc_real(unlinkat)(parent, name, 0);
    mioc_real(close)(fd);
}

/* Removes one candidate if its owner is dead. */
static int visit_dead(void *ctx, int parent, const char *name)
{
    int dirfd, owner = -1, may_remove = 0, *removed = ctx;
    struct stat owner_st;
    uint64_t key;

    if (mioc_store_is_turn(name))
        remove_turn(parent, name);
    if (!mioc_store_is_name(name, &key) || mioc_store_is_own(name) || (dirfd = mioc_store_open_dir(parent, name)) < 0)
        return 0;
    if (!is_being_made(dirfd)) {
        owner = mioc_real(openat)(dirfd, "owner", O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        may_remove = owner >= 0 ? mioc_real(fstat)(owner, &owner_st) == 0 && S_ISREG(owner_st.st_mode) &&
                                      mioc_store_lock_owner(owner) == 0
                                : errno == ENOENT;
    }
    if (may_remove && mioc_store_unlink(parent, name, dirfd) == 0)
        ++*removed;
    if (owner >= 0)
        mioc_real(close)(owner); /* releases the lock: no two processes remove one store */
    mioc_real(close)(dirfd);
    return 0;
}

int mioc_store_reclaim(const char *dir)
{
    int fd = mioc_real(open)(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int removed = 0, saved = errno;

    if (fd < 0)
        return 0;
    mioc_folder_walk(fd, visit_dead, &removed);
    mioc_real(close)(fd);
    errno = saved;
    return removed;
}
