/* SPDX-License-Identifier: BSD-3-Clause */
/* wrap_write.c - calls that change a file or folder by path: the real call, then a notice of the write, so that the
 * node forgets its records. A call that failed is told too.
 *
 * A notice has SUBTREE if the answers for names below the path may change with it. A name that is renamed, unlinked or
 * made may be, or may have been, a directory, a link to one, or a file (ENOENT becomes ENOTDIR). The mode of a
 * directory decides over everything in it. */
#include "serve.h"
#include <stdio.h>
#include <spawn.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <utime.h>

static int wrote(int rc, int dirfd, const char *path, uint32_t flags)
{
    if (rc == 0)
        mioc_client_wrote(dirfd, path, flags);
    else
        mioc_client_failed(dirfd, path, 1);
    return rc;
}

static int moved(int rc, const struct mioc_folders *folders, int dirfd, const char *path, int new_dirfd,
                 const char *new_path, int is_exchange)
{
    if (rc == 0) {
        mioc_client_moved_in(folders, dirfd, path, new_dirfd, new_path, is_exchange);
        mioc_serve_wrote_source(new_dirfd, new_path);
    } else {
        mioc_client_failed(dirfd, path, 1);
        mioc_client_failed(new_dirfd, new_path, 1);
    }
    mioc_client_close_folders(folders);
    return rc;
}

/* The real call, which is the first argument, and its notice. A rename's folders are opened before the call, because
 * afterwards its paths may mean other folders. */
#define wrote(...) MIOC_UNCANCELLED((wrote)(__VA_ARGS__))
#define linked(call, ...) MIOC_UNCANCELLED((moved)(call, &(const struct mioc_folders){ -1, -1 }, __VA_ARGS__))
#define renamed(call, from_fd, from, to_fd, to, is_exchange) \
    MIOC_UNCANCELLED(__extension__({ \
        const struct mioc_folders folders_ = mioc_client_open_folders(from_fd, from, to_fd, to); \
        moved(call, &folders_, from_fd, from, to_fd, to, is_exchange); \
    }))

/* --- Names come and go ------------------------------------------------------------------------------------------- */

MIOC_EXPORT int unlink(const char *path) { return wrote(mioc_real(unlink)(path), AT_FDCWD, path, MIOC_FLAG_SUBTREE); }
MIOC_EXPORT int unlinkat(int dirfd, const char *path, int flags)
{
    return wrote(mioc_real(unlinkat)(dirfd, path, flags), dirfd, path, MIOC_FLAG_SUBTREE);
}
MIOC_EXPORT int remove(const char *path) { return wrote(mioc_real(remove)(path), AT_FDCWD, path, MIOC_FLAG_SUBTREE); }
MIOC_EXPORT int rmdir(const char *path) { return wrote(mioc_real(rmdir)(path), AT_FDCWD, path, MIOC_FLAG_SUBTREE); }
MIOC_EXPORT int rename(const char *from, const char *to)
{
    return renamed(mioc_real(rename)(from, to), AT_FDCWD, from, AT_FDCWD, to, 0);
}
MIOC_EXPORT int renameat(int from_fd, const char *from, int to_fd, const char *to)
{
    return renamed(mioc_real(renameat)(from_fd, from, to_fd, to), from_fd, from, to_fd, to, 0);
}
MIOC_EXPORT int renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned int flags)
{
    if (mioc_real(renameat2) == NULL)
        return mioc_serve_fail(ENOSYS);
    return renamed(mioc_real(renameat2)(from_fd, from, to_fd, to, flags), from_fd, from, to_fd, to,
                   (flags & RENAME_EXCHANGE) != 0);
}
MIOC_EXPORT int mkdir(const char *path, mode_t mode) { return wrote(mioc_real(mkdir)(path, mode), AT_FDCWD, path, 0); }
MIOC_EXPORT int mkdirat(int dirfd, const char *path, mode_t mode)
{
    return wrote(mioc_real(mkdirat)(dirfd, path, mode), dirfd, path, 0);
}
MIOC_EXPORT char *mkdtemp(char *name)
{
    char *made = mioc_real(mkdtemp)(name);

    (void)wrote(made == NULL ? -1 : 0, AT_FDCWD, name, 0);
    return made;
}
MIOC_EXPORT int symlink(const char *target, const char *path)
{
    return wrote(mioc_real(symlink)(target, path), AT_FDCWD, path, MIOC_FLAG_SUBTREE);
}
MIOC_EXPORT int symlinkat(const char *target, int dirfd, const char *path)
{
    return wrote(mioc_real(symlinkat)(target, dirfd, path), dirfd, path, MIOC_FLAG_SUBTREE);
}
MIOC_EXPORT int link(const char *from, const char *to)
{
    return linked(mioc_real(link)(from, to), AT_FDCWD, from, AT_FDCWD, to, 0);
}

/* The source may be a copy's descriptor, as /proc/self/fd/N or by AT_EMPTY_PATH. The original gets the new name. */
MIOC_EXPORT int linkat(int from_fd, const char *from, int to_fd, const char *to, int flags)
{
    char name[40];
    const char *original = name;

    if (mioc_serve_is_fd_itself(from_fd, from, flags)) {
        (void)snprintf(name, sizeof name, "/proc/self/fd/%d", from_fd);
        original = mioc_serve_original(name);
    }
    if (original != name) {
        from = original;
        flags = (flags & ~AT_EMPTY_PATH) | AT_SYMLINK_FOLLOW;
    } else if (flags & AT_SYMLINK_FOLLOW) {
        from = mioc_serve_original(from);
    }
    return linked(mioc_real(linkat)(from_fd, from, to_fd, to, flags), from_fd, from, to_fd, to, 0);
}

MIOC_EXPORT int mknod(const char *path, mode_t mode, dev_t dev)
{
    return wrote(mioc_real(mknod)(path, mode, dev), AT_FDCWD, path, MIOC_FLAG_SUBTREE);
}
MIOC_EXPORT int mknodat(int dirfd, const char *path, mode_t mode, dev_t dev)
{
    return wrote(mioc_real(mknodat)(dirfd, path, mode, dev), dirfd, path, MIOC_FLAG_SUBTREE);
}
MIOC_EXPORT int __xmknod(int ver, const char *path, mode_t mode, dev_t *dev)
{
    return ver != 0 ? mioc_serve_fail(EINVAL) : mknod(path, mode, *dev);
}
MIOC_EXPORT int __xmknodat(int ver, int dirfd, const char *path, mode_t mode, dev_t *dev)
{
    return ver != 0 ? mioc_serve_fail(EINVAL) : mknodat(dirfd, path, mode, *dev);
}
MIOC_EXPORT int mkfifo(const char *path, mode_t mode)
{
    return wrote(mioc_real(mkfifo)(path, mode), AT_FDCWD, path, MIOC_FLAG_SUBTREE);
}
MIOC_EXPORT int mkfifoat(int dirfd, const char *path, mode_t mode)
{
    return wrote(mioc_real(mkfifoat)(dirfd, path, mode), dirfd, path, MIOC_FLAG_SUBTREE);
}

/* A local socket is a name like any other. Its path need not end with a NUL. */
MIOC_EXPORT int bind(int fd, const struct sockaddr *address, socklen_t size)
{
    char path[sizeof(((struct sockaddr_un *)0)->sun_path) + 1];
    int rc = mioc_real(bind)(fd, address, size);

    if (!mioc_is_null(address) && address->sa_family == AF_UNIX && size > offsetof(struct sockaddr_un, sun_path)) {
        size_t len = size - offsetof(struct sockaddr_un, sun_path);

        len = len < sizeof(path) ? len : sizeof(path) - 1;
        memcpy(path, ((const struct sockaddr_un *)(const void *)address)->sun_path, len);
        path[len] = '\0';
        if (path[0] != '\0') /* an abstract address is no file */
            (void)wrote(rc, AT_FDCWD, path, MIOC_FLAG_SUBTREE);
    }
    return rc;
}

/* libc opens the file in the child, where no preload sees it. So the path is not cached from now on. */
MIOC_EXPORT int posix_spawn_file_actions_addopen(posix_spawn_file_actions_t *restrict actions, int fd,
                                                 const char *restrict path, int flags, mode_t mode)
{
    int rc = mioc_real(posix_spawn_file_actions_addopen)(actions, fd, path, flags, mode);

    if (rc == 0 && ((flags & (O_CREAT | O_TRUNC)) || (flags & O_ACCMODE) != O_RDONLY))
        mioc_client_wrote(AT_FDCWD, path, MIOC_FLAG_STICKY);
    return rc;
}

/* --- Files and folders change ---------------------------------------------------------------------------------------
 *
 * A call that follows links may get /proc/self/fd/N. mioc_serve_original() keeps it away from the copy. */

MIOC_EXPORT int truncate(const char *path, off_t length)
{
    path = mioc_serve_original(path);
    return wrote(mioc_real(truncate)(path, length), AT_FDCWD, path, 0);
}
MIOC_EXPORT int truncate64(const char *path, off64_t length) { return truncate(path, length); }
MIOC_EXPORT int chmod(const char *path, mode_t mode)
{
    path = mioc_serve_original(path);
    return wrote(mioc_real(chmod)(path, mode), AT_FDCWD, path, MIOC_FLAG_SUBTREE);
}
MIOC_EXPORT int fchmodat(int dirfd, const char *path, mode_t mode, int flags)
{
    if (!(flags & AT_SYMLINK_NOFOLLOW))
        path = mioc_serve_original(path);
    return wrote(mioc_real(fchmodat)(dirfd, path, mode, flags), dirfd, path, MIOC_FLAG_SUBTREE);
}
MIOC_EXPORT int chown(const char *path, uid_t uid, gid_t gid)
{
    path = mioc_serve_original(path);
    return wrote(mioc_real(chown)(path, uid, gid), AT_FDCWD, path, MIOC_FLAG_SUBTREE);
}
MIOC_EXPORT int lchown(const char *path, uid_t uid, gid_t gid)
{
    return wrote(mioc_real(lchown)(path, uid, gid), AT_FDCWD, path, MIOC_FLAG_SUBTREE);
}
MIOC_EXPORT int fchownat(int dirfd, const char *path, uid_t uid, gid_t gid, int flags)
{
    if (mioc_serve_is_fd_itself(dirfd, path, flags))
        return mioc_serve_detach(dirfd) != 0
                   ? -1
                   : mioc_serve_wrote_fd(mioc_real(fchownat)(dirfd, path, uid, gid, flags), dirfd);
    if (!(flags & AT_SYMLINK_NOFOLLOW))
        path = mioc_serve_original(path);
    return wrote(mioc_real(fchownat)(dirfd, path, uid, gid, flags), dirfd, path, MIOC_FLAG_SUBTREE);
}
MIOC_EXPORT int utime(const char *path, const struct utimbuf *times)
{
    path = mioc_serve_original(path);
    return wrote(mioc_real(utime)(path, times), AT_FDCWD, path, 0);
}
MIOC_EXPORT int utimes(const char *path, const struct timeval times[2])
{
    path = mioc_serve_original(path);
    return wrote(mioc_real(utimes)(path, times), AT_FDCWD, path, 0);
}
MIOC_EXPORT int lutimes(const char *path, const struct timeval times[2])
{
    return wrote(mioc_real(lutimes)(path, times), AT_FDCWD, path, 0);
}
MIOC_EXPORT int utimensat(int dirfd, const char *path, const struct timespec times[2], int flags)
{
    if (mioc_serve_is_fd_itself(dirfd, path, flags))
        return mioc_serve_detach(dirfd) != 0
                   ? -1
                   : mioc_serve_wrote_fd(mioc_real(utimensat)(dirfd, path, times, flags), dirfd);
    if (!(flags & AT_SYMLINK_NOFOLLOW))
        path = mioc_serve_original(path);
    return wrote(mioc_real(utimensat)(dirfd, path, times, flags), dirfd, path, 0);
}
MIOC_EXPORT int setxattr(const char *path, const char *name, const void *value, size_t size, int flags)
{
    path = mioc_serve_original(path);
    return wrote(mioc_real(setxattr)(path, name, value, size, flags), AT_FDCWD, path, 0);
}
MIOC_EXPORT int lsetxattr(const char *path, const char *name, const void *value, size_t size, int flags)
{
    return wrote(mioc_real(lsetxattr)(path, name, value, size, flags), AT_FDCWD, path, 0);
}
MIOC_EXPORT int removexattr(const char *path, const char *name)
{
    path = mioc_serve_original(path);
    return wrote(mioc_real(removexattr)(path, name), AT_FDCWD, path, 0);
}
MIOC_EXPORT int lremovexattr(const char *path, const char *name)
{
    return wrote(mioc_real(lremovexattr)(path, name), AT_FDCWD, path, 0);
}
