/* SPDX-License-Identifier: BSD-3-Clause */
/* differential_dir.c - the directory calls of the differential test. */
#include "differential.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#pragma GCC diagnostic ignored "-Wdeprecated-declarations" /* readdir_r is deprecated and interposed */

static unsigned long hash_entry(unsigned long hash, const struct dirent *e)
{
    hash = hash * 31 + (unsigned long)e->d_ino + e->d_type * 7u + e->d_reclen * 3u;
    for (const char *c = e->d_name; *c != '\0'; c++)
        hash = hash * 31 + (unsigned char)*c;
    return hash;
}

static void tell_all(const char *what, DIR *dir)
{
    const struct dirent *e;
    unsigned long hash = 0;
    int count = 0;

    while ((e = CALL(readdir(dir))) != NULL) {
        hash = hash_entry(hash, e);
        if (count++ < 12)
            tell_more(" %s", e->d_name);
    }
    tell_more(" %s=%d %lx end=%d", what, count, hash, errno);
}

static void tell_by_r(DIR *dir)
{
    struct dirent entry, *result = NULL;
    unsigned long hash = 0;
    int rc;

    while ((rc = CALL(readdir_r(dir, &entry, &result))) == 0 && result != NULL)
        hash = hash_entry(hash, result);
    tell_more(" r=%d %lx end=%d", rc, hash, errno);
}

static void tell_by_64(DIR *dir)
{
    const struct dirent64 *e;
    unsigned long hash = 0;

    while ((e = readdir64(dir)) != NULL)
        hash = hash_entry(hash, (const struct dirent *)(const void *)e);
    tell_more(" 64=%lx", hash);
}

/* Remembers a place, reads on, comes back; and by the entry's own d_off. */
static void tell_places(DIR *dir)
{
    const struct dirent *e;
    long place = 0, behind = 0;
    char name[256] = "";

    for (int i = 0; i < 4 && (e = readdir(dir)) != NULL; i++)
        if (i == 1) {
            place = telldir(dir);
            behind = (long)e->d_off;
        }
    tell_more(" same=%d", place == behind);
    seekdir(dir, place);
    e = readdir(dir);
    (void)snprintf(name, sizeof(name), "%s", e == NULL ? "" : e->d_name);
    seekdir(dir, behind);
    e = readdir(dir);
    tell_more(" back=%s/%s", name, e == NULL ? "" : e->d_name);
}

static void told_dir(const char *what, const char *path, DIR *dir)
{
    struct stat st, again;
    int fd;

    tell(what, path, dir != NULL);
    if (dir == NULL) {
        tell_end();
        return;
    }
    tell_all("all", dir);
    rewinddir(dir);
    tell_all("again", dir);
    rewinddir(dir);
    tell_by_r(dir);
    rewinddir(dir);
    tell_by_64(dir);
    rewinddir(dir);
    tell_places(dir);
    fd = dirfd(dir);
    if (fstat(fd, &st) == 0)
        tell_stat(&st, 1);
    tell_more(" dirfd=%d getfl=%x getfd=%d", fd == dirfd(dir), (unsigned)fcntl(fd, F_GETFL) & ~(unsigned)O_CLOEXEC,
              fcntl(fd, F_GETFD));
    tell_more(" inside=%d", fstatat(fd, ".", &again, 0) == 0 && again.st_ino == st.st_ino);
    tell_more(" closedir=%d", CALL(closedir(dir)));
    tell_more(" errno=%d fd=%d", errno, fcntl(fd, F_GETFD));
    tell_end();
}

static int is_odd(const struct dirent *e)
{
    int keep = e->d_name[0] != '.';

    errno = EDOM; /* a filter may do as it likes with it */
    return keep;
}
static int is_odd64(const struct dirent64 *e) { return strchr(e->d_name, 'e') != NULL; }

static void told_scan(const char *what, const char *path, int n, struct dirent **list)
{
    unsigned long hash = 0;

    tell(what, path, n);
    for (int i = 0; i < n; i++) {
        hash = hash_entry(hash, list[i]);
        if (i < 12)
            tell_more(" %s", list[i]->d_name);
        free(list[i]);
    }
    if (n >= 0)
        free(list);
    tell_more(" %lx", hash);
    tell_end();
}

static void probe_scan(int dirfd, const char *path)
{
    struct dirent **list = NULL;
    struct dirent64 **list64 = NULL;
    int n = CALL(scandirat(dirfd, path, &list, NULL, alphasort));

    told_scan("scandirat", path, n, list);
    n = CALL(scandirat64(dirfd, path, &list64, is_odd64, versionsort64));
    told_scan("scandirat64", path, n, (struct dirent **)(void *)list64);
    if (dirfd != AT_FDCWD)
        return;
    n = CALL(scandir(path, &list, is_odd, NULL));
    told_scan("scandir", path, n, list);
    n = CALL(scandir64(path, &list64, is_odd64, alphasort64));
    told_scan("scandir64", path, n, (struct dirent **)(void *)list64);
}

void probe_directory(int dirfd, const char *path)
{
    int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_NONBLOCK);

    if (dirfd == AT_FDCWD)
        told_dir("opendir", path, CALL(opendir(path)));
    told_dir("fdopendir", path, CALL(fdopendir(fd)));
    probe_scan(dirfd, path);
}
