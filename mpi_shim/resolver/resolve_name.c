/* SPDX-License-Identifier: BSD-3-Clause */
/* resolve_name.c - names by which a filesystem finds files that it lists by another name: in another case, say.
 *
 * Nobody could tell that a write by the listed name concerns an answer under the other one, so such answers are not
 * shared. If nothing is found by the name, as on most filesystems, the answer is shared like others. */
#include "base/path.h"
#include "jobs.h"
#include "resolve.h"

#include <errno.h>
#include <fcntl.h>

struct looked {
    const char *name;
    uint32_t len;
    int is_other;
};

static void look_in(void *ctx, const struct mioc_list_record *list)
{
    struct looked *looked = ctx;

    looked->is_other =
        mioc_list_find(list, looked->name, looked->len) == NULL && mioc_list_may_have(list, looked->name, looked->len);
}

/* Whether the path, or a directory above it, may be such a name, as far as listings are known. */
static int may_be_other(struct mioc_resolver *r, const char *path, uint32_t len)
{
    uint32_t parent;

    for (; len > 0 && (parent = mioc_path_parent(path, len)) > 1; len = parent) {
        struct looked looked = { path + parent + 1, len - parent - 1, 0 };

        (void)mioc_resolver_look_at_listing(r, path, parent, look_in, &looked);
        if (looked.is_other)
            return 1;
    }
    return 0;
}

int mioc_resolve_is_other_name(struct mioc_resolver *r, const struct mioc_job *job)
{
    struct mioc_stat st;

    return may_be_other(r, job->path, job->len) &&
           mioc_resolve_statx(r, AT_FDCWD, job->path, AT_SYMLINK_NOFOLLOW, &st) == 0;
}
