/* SPDX-License-Identifier: BSD-3-Clause */
/* wrap_ask.c - questions that a copy cannot answer: extended attributes, the filesystem, where bytes lie on disk. The
 * original is opened for the question; the copy stays behind the descriptor. */
#include "serve.h"
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/fanotify.h>
#include <sys/ioctl.h>
#include <sys/xattr.h>
#include <unistd.h>

/* Makes `call`, of type `type`, with `asked` in the place of fd, and returns its result. */
#define ASK(fd, type, call) \
    int asked = mioc_serve_borrow(fd); \
    type rc = call; \
    mioc_serve_give_back(asked, fd); \
    return rc

/* --- Attributes and filesystem ----------------------------------------------------------------------------------- */

MIOC_EXPORT ssize_t fgetxattr(int fd, const char *name, void *value, size_t size)
{
    ASK(fd, ssize_t, mioc_real(fgetxattr)(asked, name, value, size));
}
MIOC_EXPORT ssize_t flistxattr(int fd, char *list, size_t size)
{
    ASK(fd, ssize_t, mioc_real(flistxattr)(asked, list, size));
}
MIOC_EXPORT int fstatfs(int fd, struct statfs *buf) { ASK(fd, int, mioc_real(fstatfs)(asked, buf)); }
MIOC_EXPORT int fstatfs64(int fd, struct statfs64 *buf) { ASK(fd, int, mioc_real(fstatfs64)(asked, buf)); }
MIOC_EXPORT int fstatvfs(int fd, struct statvfs *buf) { ASK(fd, int, mioc_real(fstatvfs)(asked, buf)); }
MIOC_EXPORT int fstatvfs64(int fd, struct statvfs64 *buf) { ASK(fd, int, mioc_real(fstatvfs64)(asked, buf)); }
MIOC_EXPORT long fpathconf(int fd, int name) { ASK(fd, long, mioc_real(fpathconf)(asked, name)); }

MIOC_EXPORT ssize_t getxattr(const char *path, const char *name, void *value, size_t size)
{
    return mioc_real(getxattr)(mioc_serve_asked(path), name, value, size);
}
MIOC_EXPORT ssize_t listxattr(const char *path, char *list, size_t size)
{
    return mioc_real(listxattr)(mioc_serve_asked(path), list, size);
}
MIOC_EXPORT int statfs(const char *path, struct statfs *buf) { return mioc_real(statfs)(mioc_serve_asked(path), buf); }
MIOC_EXPORT int statfs64(const char *path, struct statfs64 *buf)
{
    return mioc_real(statfs64)(mioc_serve_asked(path), buf);
}
MIOC_EXPORT int statvfs(const char *restrict path, struct statvfs *restrict buf)
{
    return mioc_real(statvfs)(mioc_serve_asked(path), buf);
}
MIOC_EXPORT int statvfs64(const char *restrict path, struct statvfs64 *restrict buf)
{
    return mioc_real(statvfs64)(mioc_serve_asked(path), buf);
}
MIOC_EXPORT long pathconf(const char *path, int name) { return mioc_real(pathconf)(mioc_serve_asked(path), name); }

/* --- Handles ----------------------------------------------------------------------------------------------------- */

MIOC_EXPORT int name_to_handle_at(int dirfd, const char *path, struct file_handle *handle, int *mount_id, int flags)
{
    if (mioc_serve_is_fd_itself(dirfd, path, flags)) {
        ASK(dirfd, int, mioc_real(name_to_handle_at)(asked, path, handle, mount_id, flags));
    }
    if (flags & AT_SYMLINK_FOLLOW)
        path = mioc_serve_asked(path);
    return mioc_real(name_to_handle_at)(dirfd, path, handle, mount_id, flags);
}

/* Any descriptor on a filesystem may name that filesystem. */
MIOC_EXPORT int open_by_handle_at(int mountfd, struct file_handle *handle, int flags)
{
    ASK(mountfd, int, mioc_real(open_by_handle_at)(asked, handle, flags));
}

/* Without a path the descriptor's own file is watched. */
MIOC_EXPORT int fanotify_mark(int group, unsigned flags, uint64_t mask, int dirfd, const char *path)
{
    if (mioc_is_null(path)) {
        ASK(dirfd, int, mioc_real(fanotify_mark)(group, flags, mask, asked, path));
    }
    if (!(flags & FAN_MARK_DONT_FOLLOW))
        path = mioc_serve_original(path);
    return mioc_real(fanotify_mark)(group, flags, mask, dirfd, path);
}

/* --- Writing back: what others wrote to the original reaches the disk -------------------------------------------- */

MIOC_EXPORT int fsync(int fd) { ASK(fd, int, mioc_real(fsync)(asked)); }
MIOC_EXPORT int fdatasync(int fd) { ASK(fd, int, mioc_real(fdatasync)(asked)); }
MIOC_EXPORT int syncfs(int fd) { ASK(fd, int, mioc_real(syncfs)(asked)); }
MIOC_EXPORT int sync_file_range(int fd, off64_t offset, off64_t count, unsigned flags)
{
    ASK(fd, int, mioc_real(sync_file_range)(asked, offset, count, flags));
}

/* --- Places in the file ------------------------------------------------------------------------------------------ */

/* A copy has zeros where the original has holes. The program's offset is that of the copy. */
static __attribute__((noinline)) off_t seek_hole(int fd, off_t offset, int whence)
{
    int asked = mioc_serve_borrow(fd);
    off_t at = mioc_real(lseek)(asked, offset, whence);

    mioc_serve_give_back(asked, fd);
    return at < 0 || asked == fd ? at : mioc_real(lseek)(fd, at, SEEK_SET);
}

MIOC_EXPORT off_t lseek(int fd, off_t offset, int whence)
{
    return whence == SEEK_DATA || whence == SEEK_HOLE ? seek_hole(fd, offset, whence)
                                                      : mioc_real(lseek)(fd, offset, whence);
}
MIOC_EXPORT off64_t lseek64(int fd, off64_t offset, int whence) __attribute__((alias("lseek")));

/* The kernel copies within one filesystem. From the store's filesystem to another it would say EXDEV. */
MIOC_EXPORT ssize_t copy_file_range(int in, off64_t *in_at, int out, off64_t *out_at, size_t length, unsigned flags)
{
    int asked = mioc_serve_borrow(in);
    off64_t at;
    ssize_t n;

    if (asked == in || !mioc_is_null(in_at)) {
        n = mioc_real(copy_file_range)(asked, in_at, out, out_at, length, flags);
    } else {
        /* The program's offset is that of the copy. */
        at = mioc_real(lseek)(in, 0, SEEK_CUR);
        n = mioc_real(copy_file_range)(asked, &at, out, out_at, length, flags);
        if (n > 0)
            (void)mioc_real(lseek)(in, n, SEEK_CUR);
    }
    mioc_serve_give_back(asked, in);
    return n;
}

/* --- ioctl ------------------------------------------------------------------------------------------------------- */

/* Requests that belong to the descriptor, or to a terminal, which is never a copy. */
static int is_of_descriptor(unsigned long request) { return _IOC_TYPE(request) == 'T' && request != FIOQSIZE; }

static int is_question(unsigned long request)
{
    switch (request) {
    case FIBMAP:
    case FIGETBSZ:
    case FIOQSIZE:
    case FS_IOC_FIEMAP:
    case FS_IOC_GETFLAGS:
    case FS_IOC_GETVERSION:
    case FS_IOC_FSGETXATTR:
    case FS_IOC_GETFSLABEL: return 1;
    default: return 0;
    }
}

/* One file takes over bytes of another. The source may be a copy, too. */
static __attribute__((noinline)) int clone_from(int fd, unsigned long request, void *argument)
{
    struct file_clone_range range;
    int from = (int)(long)argument;

    mioc_serve_try_detach(fd);
    if (request == FICLONE) {
        ASK(from, int, mioc_real(ioctl)(fd, request, (void *)(long)asked));
    }
    if (mioc_path_is_nowhere(argument))
        return mioc_real(ioctl)(fd, request, argument);
    range = *(const struct file_clone_range *)argument;
    from = (int)range.src_fd;
    range.src_fd = mioc_serve_borrow(from);
    fd = mioc_real(ioctl)(fd, request, &range);
    mioc_serve_give_back((int)range.src_fd, from);
    return fd;
}

/* Several files share equal bytes of one. The others may be copies, too. */
static void prepare_dedupe(void *argument)
{
    const struct file_dedupe_range *range = argument;

    for (unsigned i = 0; !mioc_path_is_nowhere(argument) && i < range->dest_count; i++)
        mioc_serve_try_detach((int)range->info[i].dest_fd);
}

static __attribute__((noinline)) int file_ioctl(int fd, unsigned long request, void *argument)
{
    if (is_question(request)) {
        ASK(fd, int, mioc_real(ioctl)(asked, request, argument));
    }
    if (request == FICLONE || request == FICLONERANGE)
        return clone_from(fd, request, argument);
    if (request == FIDEDUPERANGE)
        prepare_dedupe(argument);
    /* Any other request may change the file, or leave something with the open file. */
    return mioc_serve_detach(fd) != 0 ? -1 : mioc_real(ioctl)(fd, request, argument);
}

/* The argument is read as in fcntl() (wrap_fd.c). */
MIOC_EXPORT int ioctl(int fd, unsigned long request, ...)
{
    va_list arguments;
    void *argument;

    va_start(arguments, request);
    argument = va_arg(arguments, void *);
    va_end(arguments);
    return is_of_descriptor(request) ? mioc_real(ioctl)(fd, request, argument) : file_ioctl(fd, request, argument);
}
