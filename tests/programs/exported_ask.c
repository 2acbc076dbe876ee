/* SPDX-License-Identifier: BSD-3-Clause */
/* exported_ask.c - cases of exported.h: questions by descriptor and by a descriptor's name, messages that take
 * descriptors along. */
/* The formatter takes the cases for statements. */
/* clang-format off */
#include "exported.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/fanotify.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

static char text[1000];
static struct statfs fs;
static struct statvfs vfs;
static int fd_number;

static const char *name_of(int fd)
{
    static char name[64];

    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    return name;
}

/* --- Questions --- */

CASE(fpathconf) WITH_FILE(fd, CALL(fd, _PC_LINK_MAX))
CASE(pathconf) WITH_FILE(fd, CALL(name_of(fd), _PC_LINK_MAX))
CASE(getxattr)
{
    WITH_FILE(fd, CALL(name_of(fd), "trusted.mioc", text, sizeof text))
    DONE(CALL(there("module.py"), "trusted.mioc", text, sizeof text) >= 0);
}
CASE(listxattr) WITH_FILE(fd, CALL(name_of(fd), text, sizeof text))
CASE(statfs) WITH_FILE(fd, CALL_INT(name_of(fd), &fs))
SAME(statfs64, statfs)
CASE(statvfs) WITH_FILE(fd, CALL_INT(name_of(fd), &vfs))
SAME(statvfs64, statvfs)
CASE(lseek)
{
    WITH_FILE(fd, CALL(fd, 1L, SEEK_SET))
    WITH_FILE(fd, CALL(fd, 0L, SEEK_HOLE))
}
SAME(lseek64, lseek)
CASE(fsync) WITH_FILE(fd, CALL_INT(fd))
SAME(fdatasync, fsync)
CASE(syncfs) WITH_FILE(fd, CALL_INT(fd))
CASE(sync_file_range) WITH_FILE(fd, CALL_INT(fd, 0L, 1L, SYNC_FILE_RANGE_WRITE))
CASE(ioctl)
{
    WITH_FILE(fd, CALL_INT(fd, FIONREAD, &fd_number))
    WITH_FILE(fd, CALL_INT(fd, FIGETBSZ, &fd_number))
    WITH_FILE(fd, CALL_INT(fd, FS_IOC_GETFLAGS, text))
}
CASE(open_by_handle_at)
{
    static struct { struct file_handle head; char bytes[128]; } handle;
    int fd = open_there(), mount, opened;

    handle.head.handle_bytes = sizeof handle.bytes;
    syscall(SYS_name_to_handle_at, AT_FDCWD, there("module.py"), &handle, &mount, 0);
    opened = CALL_INT(fd, &handle, O_RDONLY);
    DONE(opened >= 0);
    close(opened);
    close(fd);
}
CASE(fanotify_mark)
{
    int group = (int)syscall(SYS_fanotify_init, FAN_CLASS_NOTIF, O_RDONLY), fd = open_there();

    DONE(CALL_INT(group, FAN_MARK_ADD, FAN_OPEN, fd, 0L) == 0);
    DONE(CALL_INT(group, FAN_MARK_ADD, FAN_OPEN, AT_FDCWD, there("module.py")) == 0);
    close(fd);
    close(group);
}

/* --- Messages, waiting --- */

static void send_one(int many)
{
    struct { struct cmsghdr head; int fd; } control = { { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS },
                                                        open_there() };
    struct iovec iov = { text, 1 };
    struct mmsghdr message = {
        .msg_hdr = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control } };
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0)
        return;
    DONE(many ? CALL_INT(pair[0], &message, 1L, 0) == 1 : CALL(pair[0], &message.msg_hdr, 0) == 1);
    close(control.fd);
    close(pair[0]);
    close(pair[1]);
}

CASE(sendmsg) { send_one(0); }
CASE(sendmmsg) { send_one(1); }
CASE(epoll_ctl)
{
    struct epoll_event event = { .events = EPOLLIN };
    int epoll = epoll_create1(EPOLL_CLOEXEC), pipes[2];

    if (pipe(pipes) != 0)
        return;
    DONE(CALL_INT(epoll, EPOLL_CTL_ADD, pipes[0], &event) == 0);
    close(epoll);
    close(pipes[0]);
    close(pipes[1]);
}
