/* SPDX-License-Identifier: BSD-3-Clause */
/* notify_failed.c - after a call that failed: invalidates what the store says, if the error shows that it is wrong.
 *
 * README.md has the way of a failed call. */
#include "base/cancel.h"
#include "base/folder.h"
#include "client_internal.h"
#include "base/stack.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What the records say of a path, as bits. */
#define SAYS_ABSENT 0x1u
#define SAYS_THERE 0x2u
#define SAYS_LINK 0x4u
#define SAYS_NO_LINK 0x8u
#define SAYS_FOLDER 0x10u /* the path, or what it leads to, is a folder */
#define SAYS_NO_FOLDER 0x20u
#define SAYS_EMPTY 0x40u /* it is a folder with nothing in it */
#define SAYS_ALL 0x7fu

/* The errors about what is where, and whether they may be about the folders on the way. Errors about the call itself,
 * about rights or about the filesystem say nothing of the store. */
static const struct {
    int error, is_on_the_way;
} errors[] = {
    { EEXIST, 0 },     /* mkdir, O_EXCL, symlink, link, mknod, RENAME_NOREPLACE */
    { EADDRINUSE, 0 }, /* bind */
    { EISDIR, 0 },     /* open to write, unlink, rename onto it */
    { ENOTEMPTY, 0 },  /* rmdir, rename onto it */
    { ENOENT, 1 },     /* all calls */
    { ENOTDIR, 1 },    /* all calls */
    { ELOOP, 1 },      /* O_NOFOLLOW, or links on the way */
    { ESTALE, 1 },     /* somebody removed it during the call */
};

static const struct mioc_item *look_up(unsigned kind, const char *path, uint32_t len)
{
    const struct mioc_item *item =
        mioc_store_lookup(mioc_client_store(), kind, path, len, mioc_item_hash(kind, path, len));

    return item == NULL || (item->flags & MIOC_FLAG_UNCACHED) ? NULL : item;
}

/* --- What the store says ----------------------------------------------------------------------------------------- */

/* What an errno in a record says. A file's path with a slash behind it is ENOTDIR. */
static unsigned by_error(int error, int has_slash)
{
    if (error == ENOTDIR && has_slash)
        return SAYS_NO_FOLDER;
    return error == 0 ? SAYS_THERE : error == ENOENT || error == ENOTDIR ? SAYS_ABSENT : 0;
}

static unsigned by_stat(const struct mioc_stat_record *st, int has_slash)
{
    unsigned says;

    if (st->lstat_errno != 0)
        return by_error(st->lstat_errno, has_slash);
    says = has_slash ? SAYS_THERE : SAYS_THERE | (S_ISLNK(st->lstat.mode) ? SAYS_LINK : SAYS_NO_LINK);
    return says | (st->stat_errno != 0 ? 0 : S_ISDIR(st->stat.mode) ? SAYS_FOLDER : SAYS_NO_FOLDER);
}

static unsigned by_list(const struct mioc_list_record *list)
{
    uint32_t dots;

    if (list->list_errno != 0)
        return by_error(list->list_errno, 1);
    dots = (mioc_list_find(list, ".", 1) != NULL) + (mioc_list_find(list, "..", 2) != NULL);
    return SAYS_THERE | SAYS_FOLDER | (list->count == dots ? SAYS_EMPTY : 0);
}

/* What the listings of the folders above say: a name that one of them lacks is absent, and so is all below it. */
static unsigned by_folders(const char *path, uint32_t len)
{
    unsigned says = 0;

    for (uint32_t parent, whole = len; (parent = mioc_path_parent(path, len)) > 0; len = parent) {
        const struct mioc_list_record *list = (const void *)look_up(MIOC_ITEM_LIST, path, parent);
        uint32_t at = path[parent] == '/' ? parent + 1 : parent;

        if (list == NULL || path[at] == '.')
            continue;
        if (list->list_errno != 0)
            says |= by_error(list->list_errno, 0) & SAYS_ABSENT;
        else if (mioc_list_find(list, path + at, len - at) == NULL)
            says |= SAYS_ABSENT;
        else if (len == whole)
            says |= SAYS_THERE;
    }
    return says;
}

/* What all records of this spelling say. */
static unsigned says_of(const char *path, uint32_t len)
{
    int has_slash = len > 1 && path[len - 1] == '/';
    const struct mioc_item *item;
    unsigned says = by_folders(path, len);

    if ((item = look_up(MIOC_ITEM_STAT, path, len)) != NULL)
        says |= by_stat((const void *)item, has_slash);
    if ((item = look_up(MIOC_ITEM_LIST, path, len)) != NULL)
        says |= by_list((const void *)item);
    if ((item = look_up(MIOC_ITEM_CONTENT, path, len)) != NULL)
        says |= by_error(((const struct mioc_content_record *)(const void *)item)->open_errno, has_slash);
    if ((item = look_up(MIOC_ITEM_ACCESS, path, len)) != NULL)
        says |= by_error(((const struct mioc_access_record *)(const void *)item)->err[F_OK], has_slash);
    if ((item = look_up(MIOC_ITEM_REALPATH, path, len)) != NULL)
        says |= by_error(((const struct mioc_realpath_record *)(const void *)item)->realpath_errno, has_slash);
    return says;
}

/* Collects what is said of a name, with and without a slash behind it. */
static __attribute__((noinline)) void collect(void *ctx, const char *path, uint32_t len)
{
    unsigned *says = ctx;
    char slashed[MIOC_PATH_MAX];

    *says |= says_of(path, len);
    if (len + 1 >= sizeof slashed)
        return;
    memcpy(slashed, path, len);
    memcpy(slashed + len, "/", 2);
    *says |= says_of(slashed, len + 1);
}

/* --- What the kernel says ---------------------------------------------------------------------------------------- */

static int stop_at_name(void *unused, int dirfd, const char *name)
{
    (void)unused;
    (void)dirfd;
    (void)name;
    return 1;
}

/* Whether the folder has no name in it, as far as it can be read. */
static int is_empty(const char *path)
{
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_CLOEXEC), has_name;

    if (fd < 0)
        return 1;
    has_name = mioc_folder_walk(fd, stop_at_name, NULL) > 0;
    (void)syscall(SYS_close, fd);
    return !has_name;
}

/* Returns the bits that would be wrong to say of the path. */
static unsigned kernel_denies(const char *path)
{
    struct stat st;
    unsigned denies;

    if (syscall(SYS_newfstatat, AT_FDCWD, path, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT || errno == ENOTDIR ? SAYS_ALL & ~SAYS_ABSENT
               : errno == ELOOP || errno == EACCES ? SAYS_ALL
                                                   : 0;
    denies = SAYS_ABSENT | (S_ISLNK(st.st_mode) ? SAYS_NO_LINK : SAYS_LINK);
    if (S_ISLNK(st.st_mode) && syscall(SYS_newfstatat, AT_FDCWD, path, &st, 0) != 0)
        return denies | SAYS_FOLDER | SAYS_NO_FOLDER | SAYS_EMPTY;
    return denies | (S_ISDIR(st.st_mode) ? SAYS_NO_FOLDER : SAYS_FOLDER | SAYS_EMPTY);
}

/* --- Both -------------------------------------------------------------------------------------------------------- */

/* Invalidates what the store says of the path if that is wrong, and notes a doubt. */
static void check(const char *path, int error, int is_write)
{
    unsigned says = 0, denied;
    int is_wrong;
    const struct mioc_names names = { .visit = collect, .ctx = &says, .subtree = 1 };

    (void)mioc_client_each_name(&names, AT_FDCWD, path);
    denied = says != 0 ? kernel_denies(path) : 0;
    is_wrong = (says & denied) || ((says & SAYS_EMPTY) && !is_empty(path));
    if (is_wrong || is_write) /* if the store is right it is served on, by the names that can be found */
        mioc_client_note_doubt(path, error, !is_wrong && says != 0);
    if (is_wrong)
        mioc_client_invalidate(path);
}

static int is_folder(const char *path)
{
    struct stat st;

    return syscall(SYS_newfstatat, AT_FDCWD, path, &st, 0) == 0 && S_ISDIR(st.st_mode);
}

/* A call that failed, for work on another stack. */
struct failure {
    int dirfd, is_on_the_way, error, is_write;
    const char *path;
};

/* Checks the path, and the folders above it as far as the error may be about them. */
static __attribute__((noinline)) int learn(void *arg)
{
    const struct failure *failure = arg;
    struct mioc_path key;
    char at[MIOC_PATH_MAX];
    uint32_t len;

    if (mioc_store_get_state(mioc_client_store()) != MIOC_STORE_ACTIVE ||
        mioc_path_key(&key, failure->dirfd, failure->path) != 0 || !mioc_client_may_know(key.text, key.len))
        return 0;
    for (len = key.len; len > 1 && key.text[len - 1] == '/'; len--)
        ;
    memcpy(at, key.text, len);
    at[len] = '\0';
    check(at, failure->error, failure->is_write);
    while (failure->is_on_the_way && (len = mioc_path_parent(at, len)) > 1) {
        at[len] = '\0';
        if (is_folder(at)) /* then all above are folders, too */
            break;
        if (mioc_client_may_know(at, len))
            check(at, failure->error, failure->is_write);
    }
    return 0;
}

void mioc_client_failed(int dirfd, const char *path, int is_write)
{
    int saved = errno, type = mioc_cancel_defer();
    struct failure failure = { .dirfd = dirfd, .error = saved, .is_write = is_write, .path = path };

    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        if (errors[i].error == saved && !mioc_path_is_nowhere(path) && mioc_client_is_telling()) {
            failure.is_on_the_way = errors[i].is_on_the_way;
            (void)mioc_stack_run(MIOC_STACK_TOLD, learn, &failure);
        }
    errno = saved;
    mioc_cancel_restore(type);
}
