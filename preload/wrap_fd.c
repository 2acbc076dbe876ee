/* SPDX-License-Identifier: BSD-3-Clause */
/* wrap_fd.c - writers and lockers by descriptor: a read-only descriptor of a copy still reaches the shared inode, so the
 * original takes its place first (copy.c), and those that hold its records are told. */
#include "serve.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <unistd.h>

int mioc_serve_is_fd_itself(int dirfd, const char *path, int flags)
{
    return (flags & AT_EMPTY_PATH) && dirfd >= 0 && !mioc_path_is_nowhere(path) && path[0] == '\0';
}

/* After a successful change through a descriptor: its name is what /proc says. */
int mioc_serve_wrote_fd(int rc, int fd)
{
    char name[32], path[PATH_MAX];
    int saved = errno;
    ssize_t n;

    if (rc != 0 || mioc_client_store() == NULL)
        return rc;
    (void)snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
    n = mioc_real(readlink)(name, path, sizeof(path) - 1);
    errno = saved;
    if (n > 0) {
        path[n] = '\0';
        mioc_client_wrote(AT_FDCWD, path, MIOC_FLAG_SUBTREE);
    }
    return rc;
}

/* --- What a copy cannot tell of its original: extended attributes, the filesystem that it is on. If the original is gone, the
 * copy's are as good as any. ---------------------------------------------------------------------------------------- */

/* The original's path, or NULL: fd is no copy. */
static const char *original_of(int fd)
{
    const struct mioc_content_record *record = mioc_serve_copy_at(fd, "", AT_EMPTY_PATH);

    return record == NULL ? NULL : record->path;
}

#define OF_ORIGINAL(fd, by_path, by_fd) \
    const char *path = original_of(fd); \
    int saved = errno; \
    __typeof__(by_fd) rc; \
    if (path != NULL && ((rc = by_path) >= 0 || errno != ENOENT)) \
        return rc; \
    errno = saved; \
    return by_fd

MIOC_EXPORT ssize_t fgetxattr(int fd, const char *name, void *value, size_t size)
{
    OF_ORIGINAL(fd, getxattr(path, name, value, size), mioc_real(fgetxattr)(fd, name, value, size));
}
MIOC_EXPORT ssize_t flistxattr(int fd, char *list, size_t size)
{
    OF_ORIGINAL(fd, listxattr(path, list, size), mioc_real(flistxattr)(fd, list, size));
}
MIOC_EXPORT int fstatfs(int fd, struct statfs *buf) { OF_ORIGINAL(fd, statfs(path, buf), mioc_real(fstatfs)(fd, buf)); }
MIOC_EXPORT int fstatfs64(int fd, struct statfs64 *buf) { OF_ORIGINAL(fd, statfs64(path, buf), mioc_real(fstatfs64)(fd, buf)); }
MIOC_EXPORT int fstatvfs(int fd, struct statvfs *buf) { OF_ORIGINAL(fd, statvfs(path, buf), mioc_real(fstatvfs)(fd, buf)); }
MIOC_EXPORT int fstatvfs64(int fd, struct statvfs64 *buf) { OF_ORIGINAL(fd, statvfs64(path, buf), mioc_real(fstatvfs64)(fd, buf)); }

/* --- What changes the inode: not without the original, or all that are served the copy would see it. ---------------- */

MIOC_EXPORT int fchmod(int fd, mode_t mode)
{
    return mioc_serve_detach(fd) != 0 ? -1 : mioc_serve_wrote_fd(mioc_real(fchmod)(fd, mode), fd);
}
MIOC_EXPORT int fchown(int fd, uid_t uid, gid_t gid)
{
    return mioc_serve_detach(fd) != 0 ? -1 : mioc_serve_wrote_fd(mioc_real(fchown)(fd, uid, gid), fd);
}
MIOC_EXPORT int futimens(int fd, const struct timespec times[2])
{
    return mioc_serve_detach(fd) != 0 ? -1 : mioc_serve_wrote_fd(mioc_real(futimens)(fd, times), fd);
}
MIOC_EXPORT int futimes(int fd, const struct timeval times[2])
{
    return mioc_serve_detach(fd) != 0 ? -1 : mioc_serve_wrote_fd(mioc_real(futimes)(fd, times), fd);
}
MIOC_EXPORT int fsetxattr(int fd, const char *name, const void *value, size_t size, int flags)
{
    return mioc_serve_detach(fd) != 0 ? -1 : mioc_serve_wrote_fd(mioc_real(fsetxattr)(fd, name, value, size, flags), fd);
}
MIOC_EXPORT int fremovexattr(int fd, const char *name)
{
    return mioc_serve_detach(fd) != 0 ? -1 : mioc_serve_wrote_fd(mioc_real(fremovexattr)(fd, name), fd);
}

/* From a filesystem to itself the kernel copies where from the store's it would say EXDEV. If that is what it says of the original too,
 * or there is none any more, the copy has the same bytes. */
MIOC_EXPORT ssize_t copy_file_range(int in, off64_t *in_at, int out, off64_t *out_at, size_t length, unsigned flags)
{
    mioc_serve_try_detach(in);
    return mioc_real(copy_file_range)(in, in_at, out, out_at, length, flags);
}

/* Without a path it is futimes by another name. */
MIOC_EXPORT int futimesat(int dirfd, const char *path, const struct timeval times[2])
{
    int rc;

    if (mioc_is_null(path))
        return mioc_serve_detach(dirfd) != 0 ? -1 : mioc_serve_wrote_fd(mioc_real(futimesat)(dirfd, path, times), dirfd);
    path = mioc_serve_original(path);
    rc = mioc_real(futimesat)(dirfd, path, times);
    if (rc == 0)
        mioc_client_wrote(dirfd, path, 0);
    return rc;
}

/* What /proc/self/fd/N of a copy shows is its original, and that is to be watched. */
MIOC_EXPORT int inotify_add_watch(int fd, const char *path, uint32_t mask)
{
    return mioc_real(inotify_add_watch)(fd, (mask & IN_DONT_FOLLOW) ? path : mioc_serve_original(path), mask);
}

/* A handle is the file's, not the copy's. */
MIOC_EXPORT int name_to_handle_at(int dirfd, const char *path, struct file_handle *handle, int *mount_id, int flags)
{
    if (mioc_serve_is_fd_itself(dirfd, path, flags))
        mioc_serve_try_detach(dirfd);
    else if (flags & AT_SYMLINK_FOLLOW)
        path = mioc_serve_original(path);
    return mioc_real(name_to_handle_at)(dirfd, path, handle, mount_id, flags);
}

/* --- Locks ---------------------------------------------------------------------------------------------------------- */

MIOC_EXPORT int flock(int fd, int operation)
{
    return mioc_serve_detach_to_lock(fd) != 0 ? -1 : mioc_real(flock)(fd, operation);
}
MIOC_EXPORT int lockf(int fd, int command, off_t length)
{
    return mioc_serve_detach_to_lock(fd) != 0 ? -1 : mioc_real(lockf)(fd, command, length);
}
MIOC_EXPORT int lockf64(int fd, int command, off64_t length) { return lockf(fd, command, length); }

static int is_lock(int command)
{
    switch (command) {
    case F_SETLK:
    case F_SETLKW:
    case F_GETLK:
    case F_OFD_SETLK:
    case F_OFD_SETLKW:
    case F_OFD_GETLK:
    case F_SETLEASE:
        return 1;
    default:
        return 0;
    }
}

/* Like libc's: whatever the argument's type is, it came in a register as wide as a pointer. */
MIOC_EXPORT int fcntl(int fd, int command, ...)
{
    va_list arguments;
    void *argument;

    va_start(arguments, command);
    argument = va_arg(arguments, void *);
    va_end(arguments);
    if (is_lock(command) && mioc_serve_detach_to_lock(fd) != 0)
        return -1;
    return mioc_real(fcntl)(fd, command, argument);
}
MIOC_EXPORT int fcntl64(int fd, int command, ...) __attribute__((alias("fcntl")));
