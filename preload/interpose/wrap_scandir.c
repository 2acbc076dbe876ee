/* SPDX-License-Identifier: BSD-3-Clause */
/* wrap_scandir.c - scandir and its kin. libc's own read the directory inside libc, where no preload sees it. */
#include "serve.h"
#include "wrap_dir.h"
#include <stdlib.h>
#include <string.h>

typedef int (*mioc_filter_fn)(const struct dirent *entry);
typedef int (*mioc_compare_fn)(const struct dirent **a, const struct dirent **b);

struct found {
    struct dirent **entry;
    size_t count, room;
};

static int add_found(struct found *found, const struct dirent *entry)
{
    struct dirent *copy;

    if (found->count == found->room) {
        size_t room = found->room == 0 ? 16 : found->room * 2;
        struct dirent **grown = realloc(found->entry, room * sizeof(*grown));

        if (grown == NULL)
            return -1;
        found->entry = grown;
        found->room = room;
    }
    copy = malloc(entry->d_reclen);
    if (copy == NULL)
        return -1;
    memcpy(copy, entry, entry->d_reclen);
    found->entry[found->count++] = copy;
    return 0;
}

/* Reads, filters and sorts as glibc does. errno is 0 when the filter is called, and what the filter leaves there is
 * ignored. On success errno is as it was before. */
static int collect(DIR *stream, struct dirent ***list, mioc_filter_fn filter, mioc_compare_fn compare)
{
    struct found found = { 0 };
    const struct dirent *entry;
    int saved = errno, rc = 0, error;

    for (;;) {
        errno = 0;
        entry = mioc_dir_read(stream);
        if (entry == NULL) {
            rc = errno == 0 ? 0 : -1;
            break;
        }
        if (filter != NULL && filter(entry) == 0)
            continue;
        if (add_found(&found, entry) != 0) {
            rc = -1;
            break;
        }
    }
    error = errno;
    mioc_dir_close(stream);
    if (rc != 0) {
        while (found.count > 0)
            free(found.entry[--found.count]);
        free(found.entry);
        return mioc_serve_fail(error);
    }
    if (compare != NULL && found.count > 0)
        qsort(found.entry, found.count, sizeof(*found.entry), (int (*)(const void *, const void *))(void *)compare);
    *list = found.entry;
    errno = saved;
    return (int)found.count;
}

static __attribute__((noinline)) int served_scandir(int dirfd, const char *path, struct dirent ***list,
                                                    mioc_filter_fn filter, mioc_compare_fn compare)
{
    struct mioc_query q;
    DIR *stream;
    int rc;

    if (!mioc_client_begin(&q, MIOC_CALL_OPENDIR, dirfd, path))
        return mioc_real(scandirat)(dirfd, path, list, filter, compare);
    rc = mioc_dir_open(&q, &stream);
    if (rc == 0)
        rc = collect(stream, list, filter, compare);
    else if (rc == MIOC_NOT_SERVED)
        rc = mioc_real(scandirat)(dirfd, path, list, filter, compare);
    mioc_client_end(&q, 0);
    return rc;
}

/* libc's scandir is its scandirat with AT_FDCWD. The 64-bit names are the same functions. */
static int do_scandir(int dirfd, const char *path, struct dirent ***list, mioc_filter_fn filter,
                      mioc_compare_fn compare)
{
    if (mioc_client_is_foreign(dirfd, path))
        return mioc_real(scandirat)(dirfd, path, list, filter, compare);
    return served_scandir(dirfd, path, list, filter, compare);
}

MIOC_EXPORT int scandirat(int dirfd, const char *restrict path, struct dirent ***restrict list,
                          int (*filter)(const struct dirent *),
                          int (*compare)(const struct dirent **, const struct dirent **))
{
    return do_scandir(dirfd, path, list, filter, compare);
}
MIOC_EXPORT int scandir(const char *restrict path, struct dirent ***restrict list, int (*filter)(const struct dirent *),
                        int (*compare)(const struct dirent **, const struct dirent **))
{
    return do_scandir(AT_FDCWD, path, list, filter, compare);
}
MIOC_EXPORT int scandirat64(int dirfd, const char *restrict path, struct dirent64 ***restrict list,
                            int (*filter)(const struct dirent64 *),
                            int (*compare)(const struct dirent64 **, const struct dirent64 **))
{
    return do_scandir(dirfd, path, (struct dirent ***)(void *)list, (mioc_filter_fn)(void *)filter,
                      (mioc_compare_fn)(void *)compare);
}
MIOC_EXPORT int scandir64(const char *restrict path, struct dirent64 ***restrict list,
                          int (*filter)(const struct dirent64 *),
                          int (*compare)(const struct dirent64 **, const struct dirent64 **))
{
    return do_scandir(AT_FDCWD, path, (struct dirent ***)(void *)list, (mioc_filter_fn)(void *)filter,
                      (mioc_compare_fn)(void *)compare);
}
