/* SPDX-License-Identifier: BSD-3-Clause */
/* names.c - the names by which the cache could know the file that a path names (README.md, a write). */
#include "base/io_thread.h"
#include "client_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Whether errno says so; then a file's other names cannot be found. */
static int is_out_of_descriptors(void) { return errno == EMFILE || errno == ENFILE; }

static int is_concerned(const struct mioc_names *names, const char *path, uint32_t len)
{
    return names->everywhere || mioc_policy_is_concerned(mioc_client.policy, path, len, names->subtree);
}

/* Whether a prefix that is a symbolic link gives the path another name. */
static int has_alias(const char *path, uint32_t len)
{
    const struct mioc_policy *policy = mioc_client.policy;

    for (unsigned i = 0; i < policy->count; i++)
        if (policy->prefix[i].real_len > 0 &&
            mioc_path_is_below(path, len, policy->prefix[i].real, policy->prefix[i].real_len))
            return 1;
    return 0;
}

int mioc_client_may_know(const char *path, uint32_t len)
{
    return mioc_policy_is_concerned(mioc_client.policy, path, len, 1) || has_alias(path, len);
}

/* Visits the names that reach the path through a prefix that is a symbolic link. */
static __attribute__((noinline)) void visit_aliases(const struct mioc_names *names, const char *path, uint32_t len)
{
    const struct mioc_policy *policy = mioc_client.policy;
    char alias[4096], last[4096] = "";

    for (unsigned i = 0; i < policy->count; i++) {
        uint32_t alias_len = mioc_policy_alias(policy, i, path, len, alias, sizeof alias);

        if (alias_len == 0 || strcmp(alias, last) == 0 || !is_concerned(names, alias, alias_len))
            continue;
        memcpy(last, alias, alias_len + 1);
        names->visit(names->ctx, alias, alias_len);
    }
}

static void visit(const struct mioc_names *names, const char *path, uint32_t len)
{
    if (is_concerned(names, path, len))
        names->visit(names->ctx, path, len);
    if (has_alias(path, len))
        visit_aliases(names, path, len);
}

/* Splits path[0..*len): *len without trailing slashes, *parent the folder's length, *name where the last name begins.
 * 0, or -1: there is no last name. */
static int split(const char *path, uint32_t *len, uint32_t *parent, uint32_t *name)
{
    while (*len > 1 && path[*len - 1] == '/')
        --*len;
    *parent = mioc_path_parent(path, *len);
    *name = path[*parent] == '/' ? *parent + 1 : *parent;
    return *parent == 0 ? -1 : 0;
}

static int open_folder(const char *path, uint32_t len)
{
    char folder[4096];

    if (len >= sizeof folder)
        return -1;
    memcpy(folder, path, len);
    folder[len] = '\0';
    return (int)syscall(SYS_openat, AT_FDCWD, len > 1 ? folder : "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
}

int mioc_client_open_folder(int dirfd, const char *path)
{
    uint32_t parent, name;
    struct mioc_path key;

    if (mioc_path_is_nowhere(path) || mioc_path_key(&key, dirfd, path) != 0 ||
        !mioc_client_may_know(key.text, key.len) || split(key.text, &key.len, &parent, &name) != 0)
        return -1;
    return open_folder(key.text, parent);
}

/* Fills in the file's path with its folder as the kernel spells it. *is_link: the path may lead to another file. 0, or
 * -1: there is no such folder, or no last name. */
static int find_physical(struct mioc_path *out, int folder, const char *path, uint32_t len, int *is_link)
{
    char last[NAME_MAX + 2], c;
    uint32_t parent, name;
    int fd, result, is_without = split(path, &len, &parent, &name);

    *is_link = is_without && len > 1; /* a path that ends with ".." may lead anywhere */
    if (is_without || len - name >= sizeof last)
        return -1;
    memcpy(last, path + name, len - name);
    last[len - name] = '\0';
    fd = folder >= 0 ? folder : open_folder(path, parent);
    if (fd < 0)
        return -1;
    result = mioc_path_key(out, fd, last);
    *is_link = syscall(SYS_readlinkat, fd, last, &c, 1) > 0;
    if (fd != folder)
        (void)syscall(SYS_close, fd);
    return result;
}

/* Visits what the path leads to. Perhaps that was written and not the link; if not, it loses a record, no more. */
static __attribute__((noinline)) int visit_target(const struct mioc_names *names, const char *path)
{
    char name[40], target[4096];
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_PATH | O_CLOEXEC);
    long n;

    if (fd < 0)
        return is_out_of_descriptors() ? -1 : 0;
    (void)snprintf(name, sizeof(name), "/proc/thread-self/fd/%d", fd);
    n = syscall(SYS_readlinkat, AT_FDCWD, name, target, sizeof(target) - 1);
    (void)syscall(SYS_close, fd);
    if (n <= 0)
        return 0;
    target[n] = '\0';
    visit(names, target, (uint32_t)n);
    return 0;
}

struct spelling {
    const struct mioc_names *names;
    const char *path;
    uint32_t len;
};

/* Visits the name with the folder as the kernel spells it, as the path may go through a symbolic link; and what the
 * path leads to. 0, or -1: there is no descriptor. */
static __attribute__((noinline)) int visit_physical(void *arg)
{
    const struct spelling *spelling = arg;
    struct mioc_path physical;
    int is_link;

    errno = 0;
    if (find_physical(&physical, spelling->names->has_folder ? spelling->names->folder : -1, spelling->path,
                      spelling->len, &is_link) != 0) {
        if (is_out_of_descriptors())
            return -1;
    } else if (physical.len != spelling->len || memcmp(physical.text, spelling->path, physical.len) != 0) {
        visit(spelling->names, physical.text, physical.len);
    }
    return is_link && spelling->names->with_target ? visit_target(spelling->names, spelling->path) : 0;
}

int mioc_client_each_name(const struct mioc_names *names, int dirfd, const char *path)
{
    struct mioc_names elsewhere = *names;
    struct spelling spelling = { .names = names };
    struct mioc_path key;
    int result = 0;

    if (mioc_path_is_nowhere(path) || mioc_path_key(&key, dirfd, path) != 0)
        return 0;
    if (is_concerned(names, key.text, key.len)) {
        names->visit(names->ctx, key.text, key.len);
        spelling.path = key.text;
        spelling.len = key.len;
        if (visit_physical(&spelling) != 0) { /* again, in a thread with descriptors of its own */
            elsewhere.has_folder = 0;
            spelling.names = &elsewhere;
            result = mioc_io_thread_run_once(visit_physical, &spelling);
        }
    }
    if (has_alias(key.text, key.len))
        visit_aliases(names, key.text, key.len);
    return result;
}
