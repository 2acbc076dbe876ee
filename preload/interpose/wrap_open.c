/* SPDX-License-Identifier: BSD-3-Clause */
/* wrap_open.c - open and its kin: for reading, a descriptor of the node's copy; for writing, the real call, and a
 * notice of the write. */
#include "serve.h"
#include "node/plugin.h"
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>

static int is_tmpfile(int flags) { return (flags & O_TMPFILE) == O_TMPFILE; }

static int has_mode(int flags) { return (flags & O_CREAT) || is_tmpfile(flags); }

static int real_open(int dirfd, const char *path, int flags, mode_t mode)
{
    return dirfd == AT_FDCWD ? mioc_real(open)(path, flags, mode) : mioc_real(openat)(dirfd, path, flags, mode);
}

static int open_for_writing(int dirfd, const char *path, int flags, mode_t mode)
{
    int fd, type, is_import = mioc_serve_is_bytecode_write(dirfd, path, flags);

    if (is_import && mioc_client_rank() > 0)
        return mioc_serve_fail(EACCES);
    if (!(flags & O_NOFOLLOW))
        path = mioc_serve_original(path);
    type = mioc_cancel_defer();
    fd = real_open(dirfd, path, flags, mode);
    /* STICKY: the file is complete only when it is closed, which we do not see, so it is not cached from now on. No
     * SUBTREE, which costs every node a walk through its index: names below a new file may stay ENOENT where the
     * kernel says ENOTDIR. */
    if (fd >= 0) {
        mioc_client_wrote(dirfd, path, MIOC_FLAG_STICKY | (is_import ? MIOC_WROTE_SOON : 0));
        mioc_serve_wrote_source(dirfd, path);
    } else {
        mioc_client_failed(dirfd, path, 1);
    }
    mioc_cancel_restore(type);
    return fd;
}

static int do_open(int dirfd, const char *path, int flags, mode_t mode)
{
    int fd;

    if ((flags & ~MIOC_SERVE_OPEN_FLAGS) == 0)
        return mioc_client_is_foreign(dirfd, path) ? real_open(dirfd, path, flags, 0)
                                                   : mioc_serve_open_at(dirfd, path, flags);
    if (!is_tmpfile(flags) && !(flags & O_PATH) && ((flags & (O_CREAT | O_TRUNC)) || (flags & O_ACCMODE) != O_RDONLY))
        return open_for_writing(dirfd, path, flags, mode);
    /* O_PATH, O_DIRECT, O_NOATIME, …: F_GETFL has to show them, and the original decides whether they are allowed. */
    fd = real_open(dirfd, (flags & O_NOFOLLOW) ? path : mioc_serve_asked(path), flags, mode);
    if (fd < 0)
        mioc_client_failed(dirfd, path, 0);
    return fd;
}

/* The caller passes a mode only with flags that need one. */
#define TAKE_MODE(mode, flags) \
    mode_t mode = 0; \
    if (has_mode(flags)) { \
        va_list arguments; \
        va_start(arguments, flags); \
        mode = va_arg(arguments, mode_t); \
        va_end(arguments); \
    }

MIOC_EXPORT int open(const char *path, int flags, ...)
{
    if (!has_mode(flags))
        return do_open(AT_FDCWD, path, flags, 0);
    TAKE_MODE(mode, flags)
    return do_open(AT_FDCWD, path, flags, mode);
}
MIOC_EXPORT int openat(int dirfd, const char *path, int flags, ...)
{
    TAKE_MODE(mode, flags)
    return do_open(dirfd, path, flags, mode);
}
MIOC_EXPORT int creat(const char *path, mode_t mode)
{
    return do_open(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

MIOC_EXPORT int open64(const char *path, int flags, ...) __attribute__((alias("open")));
MIOC_EXPORT int openat64(int dirfd, const char *path, int flags, ...) __attribute__((alias("openat")));
MIOC_EXPORT int creat64(const char *path, mode_t mode) __attribute__((alias("creat")));

/* The fortified names. If a mode is missing libc's own end the program. */
MIOC_EXPORT int __open_2(const char *path, int flags)
{
    return has_mode(flags) ? mioc_real(__open_2)(path, flags) : do_open(AT_FDCWD, path, flags, 0);
}
MIOC_EXPORT int __openat_2(int dirfd, const char *path, int flags)
{
    return has_mode(flags) ? mioc_real(__openat_2)(dirfd, path, flags) : do_open(dirfd, path, flags, 0);
}
MIOC_EXPORT int __open64_2(const char *path, int flags) __attribute__((alias("__open_2")));
MIOC_EXPORT int __openat64_2(int dirfd, const char *path, int flags) __attribute__((alias("__openat_2")));

/* --- Temporary files: the call writes the name into the template ------------------------------------------------- */

static int made(int fd, const char *name)
{
    if (fd >= 0)
        mioc_client_wrote(AT_FDCWD, name, MIOC_FLAG_STICKY);
    else
        mioc_client_failed(AT_FDCWD, name, 1);
    return fd;
}
#define made(...) MIOC_UNCANCELLED((made)(__VA_ARGS__))

MIOC_EXPORT int mkstemp(char *name)
{
    if (mioc_plugin_is_without_room(name)) {
        errno = ENOSPC;
        return -1;
    }
    return made(mioc_real(mkstemp)(name), name);
}

MIOC_EXPORT int mkostemp(char *name, int flags) { return made(mioc_real(mkostemp)(name, flags), name); }
MIOC_EXPORT int mkstemps(char *name, int suffix) { return made(mioc_real(mkstemps)(name, suffix), name); }
MIOC_EXPORT int mkostemps(char *name, int suffix, int flags)
{
    return made(mioc_real(mkostemps)(name, suffix, flags), name);
}
MIOC_EXPORT int mkstemp64(char *name) __attribute__((alias("mkstemp")));
MIOC_EXPORT int mkostemp64(char *name, int flags) __attribute__((alias("mkostemp")));
MIOC_EXPORT int mkstemps64(char *name, int suffix) __attribute__((alias("mkstemps")));
MIOC_EXPORT int mkostemps64(char *name, int suffix, int flags) __attribute__((alias("mkostemps")));
