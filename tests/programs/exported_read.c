/* SPDX-License-Identifier: BSD-3-Clause */
/* exported_read.c - cases of exported.h: looking, opening, directories, libraries. */
/* The formatter takes the cases for statements. */
/* clang-format off */
#include "exported.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

static struct stat st;
static char text[PATH_MAX];

/* --- Metadata --- */

CASE(stat) { DONE(CALL_INT(there("module.py"), &st) == 0); }
SAME(stat64, stat)
SAME(lstat, stat)
SAME(lstat64, stat)
CASE(fstat)
{
    int fd = open_there();

    DONE(CALL_INT(fd, &st) == 0);
    close(fd);
}
SAME(fstat64, fstat)
CASE(fstatat)
{
    int fd = open_there(), dir = directory_there();

    DONE(CALL_INT(AT_FDCWD, there("module.py"), &st, AT_SYMLINK_NOFOLLOW) == 0);
    DONE(CALL_INT(dir, "module.py", &st, 0) == 0);
    DONE(CALL_INT(fd, "", &st, AT_EMPTY_PATH) == 0);
    close(fd);
    close(dir);
}
SAME(fstatat64, fstatat)
CASE(statx)
{
    static struct statx stx;
    int fd = open_there();

    DONE(CALL_INT(AT_FDCWD, there("module.py"), 0, STATX_BASIC_STATS, &stx) == 0);
    DONE(CALL_INT(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &stx) == 0);
    close(fd);
}
CASE(__xstat) { DONE(CALL_INT(1, there("module.py"), &st) == 0); }
SAME(__xstat64, __xstat)
SAME(__lxstat, __xstat)
SAME(__lxstat64, __xstat)
CASE(__fxstat)
{
    int fd = open_there();

    DONE(CALL_INT(1, fd, &st) == 0);
    close(fd);
}
SAME(__fxstat64, __fxstat)
CASE(__fxstatat) { DONE(CALL_INT(1, AT_FDCWD, there("module.py"), &st, 0) == 0); }
SAME(__fxstatat64, __fxstatat)
CASE(access)
{
    DONE(CALL_INT(there("module.py"), R_OK) == 0);
    DONE(CALL_INT(there("module.py"), F_OK) == 0);
}
SAME(euidaccess, access)
SAME(eaccess, access)
CASE(faccessat) { DONE(CALL_INT(AT_FDCWD, there("module.py"), R_OK, AT_EACCESS) == 0); }

/* --- Links --- */

CASE(readlink)
{
    char name[32];
    int fd = open_there();

    DONE(CALL(there("link.py"), text, sizeof text) > 0);
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    DONE(CALL(name, text, sizeof text) > 0);
    close(fd);
}
CASE(readlinkat) { DONE(CALL(AT_FDCWD, there("link.py"), text, sizeof text) > 0); }
CASE(__readlink_chk) { DONE(CALL(there("link.py"), text, sizeof text, sizeof text) > 0); }
CASE(__readlinkat_chk) { DONE(CALL(AT_FDCWD, there("link.py"), text, sizeof text, sizeof text) > 0); }
CASE(realpath)
{
    char name[32];
    int fd = open_there();
    char *found = (char *)CALL(there("link.py"), NULL);

    DONE(found != NULL);
    free(found);
    DONE(CALL(there("module.py"), text) != 0);
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    DONE(CALL(name, text) != 0);
    close(fd);
}
CASE(__realpath_chk) { DONE(CALL(there("link.py"), text, sizeof text) != 0); }
CASE(canonicalize_file_name)
{
    char *found = (char *)CALL(there("link.py"));

    DONE(found != NULL);
    free(found);
}

/* --- Opening --- */

static void opened(int fd)
{
    DONE(fd >= 0);
    if (fd >= 0)
        close(fd);
}

CASE(open)
{
    opened(CALL_INT(there("module.py"), O_RDONLY | O_CLOEXEC, 0));
    opened(CALL_INT(fresh(), O_CREAT | O_EXCL | O_WRONLY, 0644));
    opened(CALL_INT(fresh_file(), O_RDWR | O_TRUNC, 0));
    opened(CALL_INT(there("."), O_RDONLY | O_DIRECTORY, 0));
}
SAME(open64, open)
CASE(openat)
{
    int dir = directory_there();

    opened(CALL_INT(AT_FDCWD, there("module.py"), O_RDONLY, 0));
    opened(CALL_INT(dir, "module.py", O_RDONLY, 0));
    opened(CALL_INT(AT_FDCWD, fresh(), O_CREAT | O_WRONLY, 0644));
    close(dir);
}
SAME(openat64, openat)
CASE(__open_2)
{
    opened(CALL_INT(there("module.py"), O_RDONLY));
    opened(CALL_INT(fresh_file(), O_WRONLY));
}
SAME(__open64_2, __open_2)
CASE(__openat_2) { opened(CALL_INT(AT_FDCWD, there("module.py"), O_RDONLY)); }
SAME(__openat64_2, __openat_2)
CASE(creat) { opened(CALL_INT(fresh(), 0644)); }
SAME(creat64, creat)

static const char *template(const char *suffix)
{
    static char name[512];

    snprintf(name, sizeof name, "%s%s", there("fresh-XXXXXX"), suffix);
    return name;
}

CASE(mkstemp) { opened(CALL_INT(template(""))); }
SAME(mkstemp64, mkstemp)
CASE(mkostemp) { opened(CALL_INT(template(""), O_CLOEXEC)); }
SAME(mkostemp64, mkostemp)
CASE(mkstemps) { opened(CALL_INT(template(".py"), 3)); }
SAME(mkstemps64, mkstemps)
CASE(mkostemps) { opened(CALL_INT(template(".py"), 3, O_CLOEXEC)); }
SAME(mkostemps64, mkostemps)
CASE(mkdtemp) { DONE(CALL(template("")) != 0); }

static void opened_file(long f)
{
    DONE(f != 0);
    if (f != 0)
        fclose((FILE *)f);
}

CASE(fopen)
{
    opened_file(CALL(there("module.py"), "re"));
    opened_file(CALL(fresh(), "w"));
}
SAME(fopen64, fopen)
CASE(freopen)
{
    FILE *f = fopen("/dev/null", "r");

    f = (FILE *)CALL(there("module.py"), "r", f);
    DONE(f != NULL);
    if (f != NULL)
        opened_file(CALL(fresh(), "w", f));
}
SAME(freopen64, freopen)

/* --- Directories --- */

CASE(opendir)
{
    DIR *d = (DIR *)CALL(there("."));

    DONE(d != NULL);
    if (d != NULL)
        closedir(d);
}
CASE(fdopendir)
{
    DIR *d = (DIR *)CALL(directory_there());

    DONE(d != NULL);
    if (d != NULL)
        closedir(d);
}
#define WITH_DIRECTORY(d) for (DIR *d = opendir(there(".")); d != NULL; closedir(d), d = NULL)
CASE(readdir)
{
    WITH_DIRECTORY(d) {
        DONE(CALL(d) != 0);
        while (CALL(d) != 0)
            ;
        DONE(1); /* the end, too, leaves errno alone */
    }
}
SAME(readdir64, readdir)
CASE(readdir_r)
{
    static struct dirent entry;
    struct dirent *found;

    WITH_DIRECTORY(d)
        DONE(CALL_INT(d, &entry, &found) == 0);
}
SAME(readdir64_r, readdir_r)
CASE(rewinddir)
{
    WITH_DIRECTORY(d) {
        CALL(d);
        DONE(1);
    }
}
CASE(telldir)
{
    WITH_DIRECTORY(d)
        DONE(CALL(d) >= 0);
}
CASE(seekdir)
{
    WITH_DIRECTORY(d) {
        CALL(d, 0L);
        DONE(1);
    }
}
CASE(closedir) { DONE(CALL_INT(opendir(there("."))) == 0); }
CASE(dirfd)
{
    WITH_DIRECTORY(d)
        DONE(CALL_INT(d) >= 0);
}
CASE(scandirat)
{
    struct dirent **list = NULL;
    int n = CALL_INT(AT_FDCWD, there("."), &list, 0, alphasort);

    DONE(n >= 0);
    while (n > 0)
        free(list[--n]);
    free(list);
}
SAME(scandirat64, scandirat)
CASE(scandir)
{
    struct dirent **list = NULL;
    int n = CALL_INT(there("."), &list, 0, alphasort);

    DONE(n >= 0);
    while (n > 0)
        free(list[--n]);
    free(list);
}
SAME(scandir64, scandir)
CASE(chdir)
{
    int cwd = open(".", O_PATH);

    DONE(CALL_INT(there(".")) == 0);
    DONE(fchdir(cwd) == 0);
    close(cwd);
}
CASE(fchdir)
{
    int cwd = open(".", O_PATH);

    DONE(CALL_INT(cwd) == 0);
    close(cwd);
}

/* --- What descriptors tell --- */

static struct statfs fs;
static struct statvfs vfs;
CASE(fgetxattr) WITH_FILE(fd, CALL(fd, "trusted.mioc", text, sizeof text))
CASE(flistxattr) WITH_FILE(fd, CALL(fd, text, sizeof text))
CASE(fstatfs) WITH_FILE(fd, CALL_INT(fd, &fs))
SAME(fstatfs64, fstatfs)
CASE(fstatvfs) WITH_FILE(fd, CALL_INT(fd, &vfs))
SAME(fstatvfs64, fstatvfs)
