/* SPDX-License-Identifier: BSD-3-Clause */
/* resolve_dead.c - directories that the root's kernel takes for removed though they are there: its answers about what
 * is in them are not shared.
 *
 * A kernel that removes a directory marks what it believed to be there, for as long as it knows that directory. If
 * another node has put another one in its place the mark is wrong: the kernel looks for no name in there any more. The
 * mark shows, as the kernel refuses to list such a directory, though it opens it. */
#include "base/folder.h"
#include "base/real.h"
#include "resolve.h"
#include "jobs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int stop_at_name(void *unused, int dirfd, const char *name)
{
    (void)unused;
    (void)dirfd;
    (void)name;
    return 1;
}

/* 1: the kernel takes the directory for removed, or that cannot be told; 0: it does not; -1: no such name is there. */
static int is_dead(struct mioc_resolver *r, const char *path)
{
    int fd = mioc_real(open)(path, O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_CLOEXEC), is_refused;

    mioc_resolver_count(r, 2);
    if (fd < 0)
        return errno == ENOENT ? -1 : 1;
    is_refused = mioc_folder_walk(fd, stop_at_name, NULL) < 0;
    (void)mioc_real(close)(fd);
    return is_refused;
}

/* The length of the path without its last name, whatever that is; "/" stays. */
static uint32_t without_last(const char *path, uint32_t len)
{
    while (len > 1 && path[len - 1] == '/')
        len--;
    while (len > 1 && path[len - 1] != '/')
        len--;
    while (len > 1 && path[len - 1] == '/')
        len--;
    return len;
}

/* The kernel says that the path is absent. Whether that may be wrong: the last directory on the way that is there is
 * one that it takes for removed, or the way goes on by a link. */
static int may_be_there(struct mioc_resolver *r, const char *path, uint32_t len)
{
    char name[PATH_MAX], folder[PATH_MAX];
    struct mioc_stat st;
    int dead = -1;

    if (len >= sizeof name)
        return 1;
    memcpy(folder, path, len + 1);
    while (dead < 0 && len > 1) {
        memcpy(name, folder, len + 1);
        len = without_last(folder, len);
        folder[len] = '\0';
        dead = is_dead(r, folder);
    }
    return dead != 0 || mioc_resolve_statx(r, AT_FDCWD, name, AT_SYMLINK_NOFOLLOW, &st) != ENOENT;
}

/* Whether the item shows something of a directory that this kernel may take for removed. */
static int is_misled(struct mioc_resolver *r, const struct mioc_item *item)
{
    const struct mioc_stat_record *st = (const void *)item;

    if (!mioc_item_is_record(item->kind) || (item->flags & MIOC_FLAG_UNCACHED))
        return 0;
    if (mioc_item_says_absent(item))
        return may_be_there(r, mioc_item_path(item), item->path_len);
    if (!mioc_item_says_there(item) || (item->kind == MIOC_ITEM_STAT && !S_ISDIR(st->stat.mode)))
        return 0;
    return (item->kind == MIOC_ITEM_STAT || item->kind == MIOC_ITEM_LIST) && is_dead(r, mioc_item_path(item)) != 0;
}

void mioc_resolve_dead(struct mioc_resolver *r, const struct mioc_answer *answer)
{
    if (!__atomic_load_n(&r->has_dead, __ATOMIC_RELAXED))
        return;
    for (struct mioc_result *result = answer->results.head; result != NULL; result = result->next)
        if (is_misled(r, (const void *)result->item))
            ((struct mioc_item *)(void *)result->item)->flags |= MIOC_FLAG_UNCACHED;
}
