/* SPDX-License-Identifier: BSD-3-Clause */
/* notify_failed.c - a call that failed says something too: where the store says otherwise, its answer ends.
 *
 * Whoever comes second learns from the error that a name is there, or gone: makedirs(exist_ok=True), a lock file,
 * unlink. What is asked of it next must agree with that, though the other's write has not been heard of here yet. Which
 * of a call's paths, or of the folders above them, an error is about, it does not say. So they are looked at, by real
 * calls, as plain would look at them next; and only where the store says anything of them at all. What it contradicts
 * is told as a write of this process would be, with all below.
 *
 * Where it says nothing, an answer from before may be under way: doubt.c. */
#include "base/cancel.h"
#include "base/clock.h"
#include "base/hash.h"
#include "client_internal.h"
#include "base/stack.h"
#include <errno.h>
#include <fcntl.h>
#include <dirent.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What is said of a path, all that the records say. */
#define SAYS_ABSENT 0x1u
#define SAYS_THERE 0x2u
#define SAYS_LINK 0x4u
#define SAYS_NO_LINK 0x8u
#define SAYS_FOLDER 0x10u /* it, or what it leads to */
#define SAYS_NO_FOLDER 0x20u
#define SAYS_EMPTY 0x40u /* a folder with nothing in it */
#define SAYS_ALL 0x7fu

/* The errors that are about what is where, and whether they may be about the folders on the way. What is wrong with the
 * call itself, with rights or with the filesystem is about nothing that the store says. */
static const struct {
    int error, is_on_the_way;
} errors[] = {
    { EEXIST, 0 },                                   /* mkdir, O_EXCL, symlink, link, mknod, RENAME_NOREPLACE */
    { EADDRINUSE, 0 },                               /* bind */
    { EISDIR, 0 },                                   /* open to write, unlink, rename onto it */
    { ENOTEMPTY, 0 },                                /* rmdir, rename onto it */
    { ENOENT, 1 },     { ENOTDIR, 1 }, { ELOOP, 1 }, /* O_NOFOLLOW, or links on the way */
    { ESTALE, 1 },                                   /* removed under us */
};

static const struct mioc_item *look_up(unsigned kind, const char *path, uint32_t len)
{
    const struct mioc_item *item =
        mioc_store_lookup(mioc_client_store(), kind, path, len, mioc_item_hash(kind, path, len));

    return item == NULL || (item->flags & MIOC_FLAG_UNCACHED) ? NULL : item;
}

/* --- What the store says ----------------------------------------------------------------------------------------- */

/* With a slash behind it, a file is ENOTDIR. */
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

/* The listings of the folders above: a name that is not in one is not there, nor is anything below it. */
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

/* A name, and with a slash behind it. */
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

static int is_empty(const char *path)
{
    _Alignas(8) char buf[1024];
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_CLOEXEC), is_empty = 1;
    long n = 0;

    while (fd >= 0 && is_empty && (n = syscall(SYS_getdents64, fd, buf, sizeof buf)) > 0)
        for (long at = 0; at < n; at += ((const struct dirent64 *)(const void *)(buf + at))->d_reclen) {
            const char *name = ((const struct dirent64 *)(const void *)(buf + at))->d_name;

            is_empty &= strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
        }
    if (fd >= 0)
        (void)syscall(SYS_close, fd);
    return is_empty;
}

/* What would be wrong to say. */
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

/* Tells if the store contradicts. */
static void check(const char *path, int error, int is_write)
{
    unsigned says = 0, denied;
    int is_wrong;
    const struct mioc_names names = { .visit = collect, .ctx = &says, .subtree = 1 };

    (void)mioc_client_each_name(&names, AT_FDCWD, path);
    denied = says != 0 ? kernel_denies(path) : 0;
    is_wrong = (says & denied) || ((says & SAYS_EMPTY) && !is_empty(path));
    if (is_wrong || (is_write && says == 0)) /* what the store has right stays served, with all below */
        mioc_client_note_doubt(path, error);
    if (is_wrong)
        mioc_client_learned(path);
}

static int is_folder(const char *path)
{
    struct stat st;

    return syscall(SYS_newfstatat, AT_FDCWD, path, &st, 0) == 0 && S_ISDIR(st.st_mode);
}

struct failure {
    int dirfd, is_on_the_way, error, is_write;
    const char *path;
};

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
        if (is_folder(at)) /* and so are all above */
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
