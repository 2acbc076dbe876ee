/* SPDX-License-Identifier: BSD-3-Clause */
/* wrap_fd.c - calls that act on a file by its descriptor. A copy's descriptor reaches the inode that all processes of
 * the node share, so the original takes the copy's place first (detach.c). Then the change is told. */
#include "launch/writer_join.h"
#include "store/ring.h"
#include "serve.h"
#include "base/stack.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <unistd.h>

int mioc_serve_is_fd_itself(int dirfd, const char *path, int flags)
{
    return (flags & AT_EMPTY_PATH) && dirfd >= 0 && !mioc_path_is_nowhere(path) && path[0] == '\0';
}

/* Tells a change under the name that /proc shows. */
static __attribute__((noinline)) int tell_of_fd(void *fd)
{
    char name[32], path[PATH_MAX];
    ssize_t n;

    (void)snprintf(name, sizeof(name), "/proc/self/fd/%d", *(const int *)fd);
    n = mioc_real(readlink)(name, path, sizeof(path) - 1);
    if (n > 0) {
        path[n] = '\0';
        mioc_client_wrote(AT_FDCWD, path, MIOC_FLAG_SUBTREE);
    }
    return 0;
}

int(mioc_serve_wrote_fd)(int rc, int fd)
{
    int saved = errno;

    if (rc == 0)
        mioc_writer_join();
    if (rc != 0 || mioc_client_store() == NULL)
        return rc;
    /* Without memory for the work the name cannot be found. */
    if (mioc_stack_run(MIOC_STACK_TOLD, tell_of_fd, &fd) != 0)
        mioc_ring_taint(mioc_store_ring(mioc_client_store()));
    errno = saved;
    return rc;
}

/* --- Changes of the inode: those of a copy's would be seen by all that are served the copy ----------------------- */

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
    return mioc_serve_detach(fd) != 0 ? -1
                                      : mioc_serve_wrote_fd(mioc_real(fsetxattr)(fd, name, value, size, flags), fd);
}
MIOC_EXPORT int fremovexattr(int fd, const char *name)
{
    return mioc_serve_detach(fd) != 0 ? -1 : mioc_serve_wrote_fd(mioc_real(fremovexattr)(fd, name), fd);
}

/* Without a path this is futimes by another name. */
MIOC_EXPORT int futimesat(int dirfd, const char *path, const struct timeval times[2])
{
    int rc;

    if (mioc_is_null(path))
        return mioc_serve_detach(dirfd) != 0 ? -1
                                             : mioc_serve_wrote_fd(mioc_real(futimesat)(dirfd, path, times), dirfd);
    path = mioc_serve_original(path);
    rc = mioc_real(futimesat)(dirfd, path, times);
    if (rc == 0)
        mioc_client_wrote(dirfd, path, 0);
    else
        mioc_client_failed(dirfd, path, 1);
    return rc;
}

/* /proc/self/fd/N of a copy shows its original, so the original is watched. */
MIOC_EXPORT int inotify_add_watch(int fd, const char *path, uint32_t mask)
{
    return mioc_real(inotify_add_watch)(fd, (mask & IN_DONT_FOLLOW) ? path : mioc_serve_original(path), mask);
}

/* --- Locks ------------------------------------------------------------------------------------------------------- */

MIOC_EXPORT int flock(int fd, int operation)
{
    return mioc_serve_detach_to_lock(fd) != 0 ? -1 : mioc_real(flock)(fd, operation);
}
MIOC_EXPORT int lockf(int fd, int command, off_t length)
{
    return mioc_serve_detach_to_lock(fd) != 0 ? -1 : mioc_real(lockf)(fd, command, length);
}
MIOC_EXPORT int lockf64(int fd, int command, off64_t length) { return lockf(fd, command, length); }

enum need { NOTHING, QUESTION, CHANGE, LOCK };

static enum need what_fcntl_needs(int command)
{
    switch (command) {
    case F_SETLK:
    case F_SETLKW:
    case F_GETLK:
    case F_OFD_SETLK:
    case F_OFD_SETLKW:
    case F_OFD_GETLK:
    case F_SETLEASE: return LOCK;
    case F_GET_SEALS: /* the store's filesystem has them, few others */
    case F_GET_RW_HINT: return QUESTION;
    case F_SET_RW_HINT: return CHANGE;
    default: return NOTHING;
    }
}

static __attribute__((noinline)) int file_fcntl(enum need need, int fd, int command, void *argument)
{
    int asked = need == QUESTION ? mioc_serve_borrow(fd) : fd, rc;

    if ((need == LOCK && mioc_serve_detach_to_lock(fd) != 0) || (need == CHANGE && mioc_serve_detach(fd) != 0))
        return -1;
    rc = mioc_real(fcntl)(asked, command, argument);
    mioc_serve_give_back(asked, fd);
    return rc;
}

/* As in libc: the argument, whatever its type, came in a register that is as wide as a pointer. */
MIOC_EXPORT int fcntl(int fd, int command, ...)
{
    enum need need = what_fcntl_needs(command);
    va_list arguments;
    void *argument;

    va_start(arguments, command);
    argument = va_arg(arguments, void *);
    va_end(arguments);
    return need == NOTHING ? mioc_real(fcntl)(fd, command, argument) : file_fcntl(need, fd, command, argument);
}
MIOC_EXPORT int fcntl64(int fd, int command, ...) __attribute__((alias("fcntl")));

/* --- Descriptors that go to other processes or to epoll ---------------------------------------------------------- */

/* The process that receives a descriptor may have nothing to do with this job. It gets the original, and shares the
 * offset with the sender. */
static void prepare_message(const struct msghdr *message)
{
    struct msghdr copy;

    if (mioc_path_is_nowhere((const char *)message) || message->msg_control == NULL ||
        message->msg_controllen < sizeof(struct cmsghdr))
        return;
    copy = *message;
    for (struct cmsghdr *control = CMSG_FIRSTHDR(&copy); control != NULL; control = CMSG_NXTHDR(&copy, control)) {
        if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS || control->cmsg_len < CMSG_LEN(0))
            continue;
        for (size_t at = CMSG_LEN(0); at + sizeof(int) <= control->cmsg_len; at += sizeof(int)) {
            int fd;

            memcpy(&fd, (const char *)control + at, sizeof fd);
            mioc_serve_try_detach(fd);
        }
    }
}

MIOC_EXPORT ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    prepare_message(message);
    return mioc_real(sendmsg)(fd, message, flags);
}
MIOC_EXPORT int sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags)
{
    for (unsigned i = 0; !mioc_path_is_nowhere((const char *)messages) && i < count && i < UIO_MAXIOV; i++)
        prepare_message(&messages[i].msg_hdr);
    return mioc_real(sendmmsg)(fd, messages, count, flags);
}

/* On some filesystems epoll can wait for a file. A copy would answer differently. */
MIOC_EXPORT int epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event)
{
    if (operation == EPOLL_CTL_ADD)
        mioc_serve_try_detach(fd);
    return mioc_real(epoll_ctl)(epoll, operation, fd, event);
}
