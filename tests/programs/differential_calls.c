/* SPDX-License-Identifier: BSD-3-Clause */
/* differential_calls.c - every function of libc that takes a descriptor, on a descriptor of a cached file: each result
 * is what the file itself gives. descriptor_names.py reads the headers for functions that are not in here. */
#include "differential.h"

#include <aio.h>
#include <dirent.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <netinet/in.h>
#include <poll.h>
#include <pty.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/fanotify.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <termios.h>
#include <unistd.h>
#include <utmp.h>

#define NAME "asked.so"
#define OTHER "other"

static _Alignas(16) unsigned char buf[4096]; /* zero before each call; the call's answer */
static off64_t at, to_at;
static int other; /* a file that may be written */
static int pipes[2];

/* --- Calls that need more than one expression -------------------------------------------------------------------- */

#define BUF(type) ((type *)(void *)buf)

static struct iovec *part(void)
{
    static struct iovec iov;

    iov = (struct iovec){ buf, 4 };
    return &iov;
}

static fd_set *set_of(int fd)
{
    static fd_set set;

    FD_ZERO(&set);
    FD_SET(fd, &set);
    return &set;
}

static struct pollfd *poll_of(int fd)
{
    BUF(struct pollfd)[0] = (struct pollfd){ .fd = fd, .events = POLLIN | POLLOUT };
    return BUF(struct pollfd);
}

static int add_to_epoll(int fd)
{
    struct epoll_event event = { .events = EPOLLIN };
    int epoll = epoll_create1(0), rc = epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), saved = errno;

    close(epoll);
    errno = saved;
    return rc;
}

static int mark(int fd)
{
    int group = fanotify_init(FAN_CLASS_NOTIF | FAN_NONBLOCK, O_RDONLY), saved = errno, rc;

    errno = ERRNO_UNTOUCHED;
    if (group < 0)
        return -saved;
    rc = fanotify_mark(group, FAN_MARK_ADD, FAN_OPEN, fd, NULL);
    saved = errno;
    if (rc == 0) { /* an open of the file is seen */
        close(open(NAME, O_RDONLY | O_NOATIME));
        rc = read(group, buf, sizeof buf) > 0;
        memset(buf, 0, sizeof buf);
    }
    close(group);
    errno = saved;
    return rc;
}

static int handle_of(int fd)
{
    BUF(struct file_handle)->handle_bytes = 128;
    return name_to_handle_at(fd, "", BUF(struct file_handle), (int *)(void *)(buf + 1024), AT_EMPTY_PATH);
}

static int open_handle(int fd)
{
    int mount, opened, saved;

    BUF(struct file_handle)->handle_bytes = 128;
    if (name_to_handle_at(AT_FDCWD, NAME, BUF(struct file_handle), &mount, 0) != 0)
        return -2;
    opened = open_by_handle_at(fd, BUF(struct file_handle), O_RDONLY);
    saved = errno;
    if (opened >= 0)
        close(opened);
    errno = saved;
    return opened >= 0;
}

static int fiemap_of(int fd)
{
    struct fiemap *map = BUF(struct fiemap);

    map->fm_length = ~0ull;
    map->fm_extent_count = 8;
    return ioctl(fd, FS_IOC_FIEMAP, map);
}

static int clone_range(int fd, int out)
{
    struct file_clone_range *range = BUF(struct file_clone_range);
    int rc;

    range->src_fd = fd;
    rc = ioctl(out, FICLONERANGE, range);
    memset(buf, 0, sizeof buf);
    return rc;
}

static int dedupe(int fd, int dest)
{
    struct file_dedupe_range *range = BUF(struct file_dedupe_range);
    int rc;

    range->src_length = 4;
    range->dest_count = 1;
    range->info[0].dest_fd = dest;
    rc = ioctl(fd, FIDEDUPERANGE, range);
    range->info[0].dest_fd = 0;
    return rc;
}

static int flags_set(int fd)
{
    long flags = 0;
    int rc = ioctl(fd, FS_IOC_GETFLAGS, &flags);

    return rc != 0 ? rc : ioctl(fd, FS_IOC_SETFLAGS, &flags);
}

static int send_rights(int fd, int many)
{
    struct {
        struct cmsghdr head;
        int fd;
    } control = { { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS }, fd };
    struct iovec iov = { (void *)(uintptr_t) "x", 1 };
    struct mmsghdr message = {
        .msg_hdr = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control }
    };
    struct statx stx;
    int pair[2], rc, saved;

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0)
        return -2;
    errno = ERRNO_UNTOUCHED;
    rc = many ? sendmmsg(pair[0], &message, 1, 0) : (int)sendmsg(pair[0], &message.msg_hdr, 0);
    saved = errno;
    message.msg_hdr.msg_controllen = sizeof control;
    if (recvmsg(pair[1], &message.msg_hdr, 0) == 1) { /* what one sees who has no library */
        syscall(332, control.fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &stx);
        memcpy(buf, &stx.stx_mode, sizeof stx.stx_mode);
        memcpy(buf + 8, &stx.stx_ino, sizeof stx.stx_ino);
        close(control.fd);
    }
    close(pair[0]);
    close(pair[1]);
    errno = saved;
    return rc;
}

/* How much is free changes from call to call. */
static long only(long what)
{
    memset(buf, 0, sizeof buf);
    return what;
}

static int mapped(void *map)
{
    (void)munmap(map, 4);
    return map == MAP_FAILED ? -1 : 0;
}

static int read_async(int fd)
{
    struct aiocb request = { .aio_fildes = fd, .aio_buf = buf, .aio_nbytes = 4 };
    const struct aiocb *all[] = { &request };

    if (aio_read(&request) != 0 || aio_suspend(all, 1, NULL) != 0)
        return -1;
    return (int)aio_return(&request);
}

static int synced_async(int fd)
{
    struct aiocb request = { .aio_fildes = fd };
    const struct aiocb *all[] = { &request };

    if (aio_fsync(O_SYNC, &request) != 0 || aio_suspend(all, 1, NULL) != 0)
        return -1;
    return (int)aio_return(&request);
}

static int printed(int fd, ...)
{
    va_list arguments;
    int rc;

    va_start(arguments, fd);
    rc = vdprintf(fd, "%d", arguments);
    va_end(arguments);
    return rc;
}

static int closed(int fd, int how)
{
    int mine = fcntl(fd, F_DUPFD, 300), saved;

    errno = ERRNO_UNTOUCHED;
    if (how == 0)
        (void)close(mine);
    else if (how == 1)
        (void)close_range((unsigned)mine, (unsigned)mine, 0);
    else
        closefrom(mine);
    saved = errno;
    how = fcntl(mine, F_GETFD);
    errno = saved;
    return how;
}

static int duplicated(int made)
{
    int saved = errno;

    if (made >= 0)
        close(made);
    errno = saved;
    return made >= 0;
}

static int in_spawned(int fd, int how)
{
    char *arguments[] = { (char *)(uintptr_t) "cat", NULL };
    posix_spawn_file_actions_t actions;
    pid_t child;
    int rc, status = 0;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    rc = how == 0   ? posix_spawn_file_actions_adddup2(&actions, fd, 0)
         : how == 1 ? posix_spawn_file_actions_addclose(&actions, fd)
         : how == 2 ? posix_spawn_file_actions_addfchdir_np(&actions, fd)
                    : posix_spawn_file_actions_addtcsetpgrp_np(&actions, fd);
    if (how != 0)
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    if (rc == 0)
        rc = posix_spawnp(&child, "cat", &actions, NULL, arguments, environ);
    if (rc == 0)
        (void)waitpid(child, &status, 0);
    posix_spawn_file_actions_destroy(&actions);
    return rc * 1000 + status;
}

static int by_stream(int fd)
{
    FILE *f = fdopen(fcntl(fd, F_DUPFD, 0), "r");
    int c = f == NULL ? -1 : fgetc(f);

    if (f != NULL)
        fclose(f);
    (void)lseek(fd, 0, SEEK_SET);
    return c;
}

static int lock_of(int fd, int command, int type)
{
    struct flock lock = { .l_type = (short)type, .l_whence = SEEK_SET, .l_len = 5 };
    int rc = fcntl(fd, command, &lock), saved = errno;

    lock.l_type = F_UNLCK;
    (void)fcntl(fd, command, &lock);
    errno = saved;
    return rc;
}

static int lease_of(int fd)
{
    int rc = fcntl(fd, F_SETLEASE, F_RDLCK), saved = errno;

    if (rc == 0)
        rc = fcntl(fd, F_GETLEASE);
    (void)fcntl(fd, F_SETLEASE, F_UNLCK);
    errno = saved;
    return rc;
}

static int flock_of(int fd)
{
    int rc = flock(fd, LOCK_SH), saved = errno;

    (void)flock(fd, LOCK_UN);
    errno = saved;
    return rc;
}

/* Without what filesystems tell unasked, and when somebody read. */
static int usual_statx(int fd)
{
    int rc = statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, BUF(struct statx));

    BUF(struct statx)->stx_mask &= STATX_BASIC_STATS;
    BUF(struct statx)->stx_mnt_id = 0;
    memset(&BUF(struct statx)->stx_atime, 0, sizeof(struct statx_timestamp));
    return rc;
}

static int unread(int rc)
{
    BUF(struct stat)->st_atim = (struct timespec){ 0, 0 };
    return rc;
}

static const char *name_of(int fd)
{
    static char name[64];

    (void)snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    return name;
}

static int stat_of(int fd)
{
    int rc = fd < 0 ? -1 : unread(fstat(fd, BUF(struct stat))), saved = errno;

    if (fd >= 0)
        close(fd);
    errno = saved;
    return rc;
}

static const struct timeval usual_times[2] = { { 12345, 0 }, { 12345, 0 } };
static const struct timespec usual_spec[2] = { { 12345, 0 }, { 12345, 0 } };

/* --- The table: name, flags, expression -------------------------------------------------------------------------- */

enum { IN_CHILD = 1, ONCE = 2 /* not asked of the file itself for comparison: it is not a question */ };

/* clang-format off */
#define SOCKETS(X) \
    X(accept, 0, accept(fd, NULL, NULL)) X(accept4, 0, accept4(fd, NULL, NULL, 0)) \
    X(bind, 0, bind(fd, BUF(struct sockaddr), 16)) \
    X(bindresvport, 0, bindresvport(fd, BUF(struct sockaddr_in))) \
    X(connect, 0, connect(fd, BUF(struct sockaddr), 16)) \
    X(getpeername, 0, getpeername(fd, BUF(struct sockaddr), &(socklen_t){ 16 })) \
    X(getsockname, 0, getsockname(fd, BUF(struct sockaddr), &(socklen_t){ 16 })) \
    X(getsockopt, 0, getsockopt(fd, SOL_SOCKET, SO_TYPE, buf, &(socklen_t){ 4 })) \
    X(isfdtype, 0, isfdtype(fd, S_IFREG)) \
    X(listen, 0, listen(fd, 1)) X(recv, 0, recv(fd, buf, 4, 0)) X(recvfrom, 0, recvfrom(fd, buf, 4, 0, NULL, NULL)) \
    X(recvmsg, 0, recvmsg(fd, BUF(struct msghdr), 0)) X(recvmmsg, 0, recvmmsg(fd, BUF(struct mmsghdr), 1, 0, NULL)) \
    X(send, 0, send(fd, buf, 4, 0)) X(sendto, 0, sendto(fd, buf, 4, 0, NULL, 0)) \
    X(sendmsg, 0, sendmsg(fd, BUF(struct msghdr), 0)) \
    X(sendmmsg, 0, sendmmsg(fd, BUF(struct mmsghdr), 1, 0)) \
    X(setsockopt, 0, setsockopt(fd, SOL_SOCKET, SO_TYPE, buf, 4)) \
    X(shutdown, 0, shutdown(fd, 0)) X(sockatmark, 0, sockatmark(fd)) \
    X(socketpair, ONCE, socketpair(-1, 0, 0, BUF(int))) \
    X(sendmsg_of_rights, 0, send_rights(fd, 0)) X(sendmmsg_of_rights, 0, send_rights(fd, 1))

#define TERMINALS(X) \
    X(grantpt, 0, grantpt(fd)) X(isatty, 0, isatty(fd)) X(login_tty, IN_CHILD, login_tty(fd)) \
    X(ptsname, 0, ptsname(fd) != NULL) \
    X(ptsname_r, 0, ptsname_r(fd, (char *)buf, 100)) X(tcdrain, 0, tcdrain(fd)) X(tcflow, 0, tcflow(fd, 0)) \
    X(tcflush, 0, tcflush(fd, 0)) \
    X(tcgetattr, 0, tcgetattr(fd, BUF(struct termios))) X(tcgetpgrp, 0, tcgetpgrp(fd)) X(tcgetsid, 0, tcgetsid(fd)) \
    X(tcsendbreak, 0, tcsendbreak(fd, 0)) X(tcsetattr, 0, tcsetattr(fd, 0, BUF(struct termios))) \
    X(tcsetpgrp, 0, tcsetpgrp(fd, 1)) \
    X(ttyname, 0, ttyname(fd) != NULL) X(ttyname_r, 0, ttyname_r(fd, (char *)buf, 100)) X(unlockpt, 0, unlockpt(fd))

/* Descriptors of other kinds. */
#define KINDS(X) \
    X(epoll_ctl, 0, add_to_epoll(fd)) X(epoll_wait, 0, epoll_wait(fd, BUF(struct epoll_event), 1, 0)) \
    X(epoll_pwait, 0, epoll_pwait(fd, BUF(struct epoll_event), 1, 0, NULL)) \
    X(epoll_pwait2, 0, epoll_pwait2(fd, BUF(struct epoll_event), 1, NULL, NULL)) \
    X(eventfd_read, ONCE, eventfd_read(fd, BUF(eventfd_t))) X(eventfd_write, 0, eventfd_write(fd, 1)) \
    X(fanotify_mark, 0, mark(fd)) X(inotify_add_watch, 0, inotify_add_watch(fd, ".", IN_OPEN)) \
    X(inotify_rm_watch, 0, inotify_rm_watch(fd, 1)) \
    X(pidfd_getfd, 0, pidfd_getfd(fd, 0, 0)) X(pidfd_send_signal, 0, pidfd_send_signal(fd, 0, NULL, 0)) \
    X(process_madvise, 0, process_madvise(fd, part(), 1, MADV_COLD, 0)) \
    X(process_mrelease, 0, process_mrelease(fd, 0)) \
    X(setns, 0, setns(fd, 0)) X(signalfd, 0, signalfd(fd, BUF(sigset_t), 0)) \
    X(timerfd_gettime, 0, timerfd_gettime(fd, BUF(struct itimerspec))) \
    X(timerfd_settime, 0, timerfd_settime(fd, 0, BUF(struct itimerspec), NULL)) \
    X(fsconfig, 0, fsconfig(fd, 0, "a", NULL, 0)) X(fsmount, 0, fsmount(fd, 0, 0)) X(fspick, 0, fspick(fd, "x", 0)) \
    X(mount_setattr, 0, mount_setattr(fd, "x", 0, BUF(struct mount_attr), sizeof(struct mount_attr))) \
    X(move_mount, 0, move_mount(fd, "x", fd, "y", 0)) X(open_tree, 0, open_tree(fd, "x", 0)) \
    X(select, 0, select(fd + 1, set_of(fd), NULL, NULL, NULL)) \
    X(pselect, 0, pselect(fd + 1, NULL, set_of(fd), NULL, NULL, NULL)) \
    X(poll, 0, poll(poll_of(fd), 1, 0) * 100 + BUF(struct pollfd)->revents + (BUF(struct pollfd)->fd = 0))

/* Names below a descriptor that is no directory, and none. */
#define NAMES(X) \
    X(execveat, IN_CHILD, execveat(fd, "", (char *[]){ (char *)(uintptr_t)"x", NULL }, environ, AT_EMPTY_PATH)) \
    X(faccessat, 0, faccessat(fd, "x", R_OK, 0)) X(faccessat_itself, 0, faccessat(fd, "", W_OK | X_OK, AT_EMPTY_PATH)) \
    X(faccessat_readable, 0, faccessat(fd, "", R_OK, AT_EMPTY_PATH | AT_EACCESS)) X(fchdir, 0, fchdir(fd)) \
    X(fchmodat, 0, fchmodat(fd, "x", 0600, 0)) X(fchownat, 0, fchownat(fd, "x", 0, 0, 0)) \
    X(fchownat_itself, ONCE, fchownat(fd, "", (uid_t)-1, (gid_t)-1, AT_EMPTY_PATH)) \
    X(fdopendir, 0, fdopendir(fd) == NULL) \
    X(fexecve, IN_CHILD, fexecve(fd, (char *[]){ (char *)(uintptr_t)"x", NULL }, environ)) \
    X(fstatat, 0, unread(fstatat(fd, "", BUF(struct stat), AT_EMPTY_PATH))) \
    X(fstatat64, 0, fstatat64(fd, "x", BUF(struct stat64), 0)) X(futimesat, 0, futimesat(fd, "x", NULL)) \
    X(getdents64, 0, getdents64(fd, buf, 100)) X(getdirentries, 0, getdirentries(fd, (char *)buf, 100, &at)) \
    X(getdirentries64, 0, getdirentries64(fd, (char *)buf, 100, &at)) X(linkat, 0, linkat(fd, "x", AT_FDCWD, "y", 0)) \
    X(linkat_itself, ONCE, linkat(fd, "", AT_FDCWD, "linked", AT_EMPTY_PATH) + unlink("linked")) \
    X(mkdirat, 0, mkdirat(fd, "x", 0700)) \
    X(mkfifoat, 0, mkfifoat(fd, "x", 0600)) X(mknodat, 0, mknodat(fd, "x", S_IFREG | 0600, 0)) \
    X(name_to_handle_at, 0, handle_of(fd)) X(open_by_handle_at, ONCE, open_handle(fd)) \
    X(openat, 0, openat(fd, "x", O_RDONLY)) \
    X(openat64, 0, openat64(fd, "x", O_RDWR)) X(readlinkat, 0, readlinkat(fd, "", (char *)buf, 100)) \
    X(renameat, 0, renameat(fd, "x", fd, "y")) \
    X(renameat2, 0, renameat2(fd, "x", fd, "y", 0)) \
    X(scandirat, 0, scandirat(fd, "x", BUF(struct dirent **), NULL, NULL)) \
    X(scandirat64, 0, scandirat64(fd, "x", BUF(struct dirent64 **), NULL, NULL)) X(statx, 0, usual_statx(fd)) \
    X(statx_all, 0, statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_MNT_ID | 0x6000, BUF(struct statx))) \
    X(statx_synced, 0, statx(fd, "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, BUF(struct statx))) \
    X(symlinkat, 0, symlinkat("x", fd, "y")) X(unlinkat, 0, unlinkat(fd, "x", 0)) \
    X(utimensat, 0, utimensat(fd, "x", NULL, 0)) \
    X(utimensat_itself, ONCE, utimensat(fd, "", usual_spec, AT_EMPTY_PATH))

#define BYTES(X) \
    X(aio_cancel, 0, aio_cancel(fd, NULL)) X(aio_cancel64, 0, aio_cancel64(fd, NULL)) X(aio_read, 0, read_async(fd)) \
    X(aio_fsync, 0, synced_async(fd)) \
    X(backtrace_symbols_fd, 0, (backtrace_symbols_fd(BUF(void *), 1, fd), 0)) X(dprintf, 0, dprintf(fd, "x")) \
    X(vdprintf, 0, printed(fd, 1)) \
    X(copy_file_range, 0, copy_file_range(fd, NULL, other, &to_at, 4, 0)) \
    X(copy_file_range_at, 0, copy_file_range(fd, &at, other, &to_at, 4, 0) * 100 + at) \
    X(fallocate, 0, fallocate(fd, 0, 0, 100)) \
    X(fallocate64, 0, fallocate64(fd, FALLOC_FL_KEEP_SIZE, 0, 100)) X(fdatasync, 0, fdatasync(fd)) \
    X(fdopen, 0, by_stream(fd)) X(fsync, 0, fsync(fd)) \
    X(ftruncate, 0, ftruncate(fd, 1)) X(ftruncate64, 0, ftruncate64(fd, 1)) X(lseek, 0, lseek(fd, -2, SEEK_END)) \
    X(lseek64, 0, lseek64(fd, 3, SEEK_SET)) \
    X(lseek_data, 0, lseek(fd, 1, SEEK_DATA)) X(lseek_hole, 0, lseek(fd, 0, SEEK_HOLE)) \
    X(lseek_behind, 0, lseek(fd, 1000000, SEEK_HOLE)) \
    X(mmap, 0, mapped(mmap(NULL, 4, PROT_READ, MAP_PRIVATE, fd, 0))) \
    X(mmap_shared, ONCE, mapped(mmap(NULL, 4, PROT_READ, MAP_SHARED, fd, 0))) \
    X(mmap_to_write, 0, mapped(mmap(NULL, 4, PROT_WRITE, MAP_SHARED, fd, 0))) \
    X(mmap64, 0, mapped(mmap64(NULL, 4, PROT_EXEC, MAP_PRIVATE, fd, 0))) \
    X(posix_fadvise, 0, posix_fadvise(fd, 0, 0, POSIX_FADV_WILLNEED)) \
    X(posix_fadvise64, 0, posix_fadvise64(fd, 0, 0, POSIX_FADV_DONTNEED)) \
    X(posix_fallocate, 0, posix_fallocate(fd, 0, 100)) \
    X(posix_fallocate64, 0, posix_fallocate64(fd, 0, 100)) X(pread, 0, pread(fd, buf, 100, 2)) \
    X(pread64, 0, pread64(fd, buf, 4, 13)) \
    X(preadv, 0, preadv(fd, part(), 1, 0)) X(preadv2, 0, preadv2(fd, part(), 1, -1, 0)) \
    X(preadv64, 0, preadv64(fd, part(), 1, 9)) \
    X(preadv64v2, 0, preadv64v2(fd, part(), 1, 9, RWF_HIPRI)) X(pwrite, 0, pwrite(fd, buf, 4, 0)) \
    X(pwrite64, 0, pwrite64(fd, buf, 4, 0)) \
    X(pwritev, 0, pwritev(fd, part(), 1, 0)) X(pwritev2, 0, pwritev2(fd, part(), 1, 0, 0)) \
    X(pwritev64, 0, pwritev64(fd, part(), 1, 0)) \
    X(pwritev64v2, 0, pwritev64v2(fd, part(), 1, 0, 0)) X(read, 0, read(fd, buf, 5)) \
    X(readahead, 0, readahead(fd, 0, 100)) \
    X(readv, 0, readv(fd, part(), 1)) X(sendfile, 0, sendfile(pipes[1], fd, NULL, 3)) \
    X(sendfile64, 0, sendfile64(pipes[1], fd, &at, 3) * 100 + at) \
    X(sendfile_into, 0, sendfile(fd, other, NULL, 3)) X(splice, 0, splice(fd, NULL, pipes[1], NULL, 3, 0)) \
    X(splice_into, 0, splice(pipes[0], NULL, fd, NULL, 1, SPLICE_F_NONBLOCK)) \
    X(sync_file_range, 0, sync_file_range(fd, 0, 10, SYNC_FILE_RANGE_WRITE)) \
    X(syncfs, 0, syncfs(fd)) X(tee, 0, tee(fd, pipes[1], 3, 0)) X(vmsplice, 0, vmsplice(fd, part(), 1, 0)) \
    X(write, 0, write(fd, buf, 4)) \
    X(writev, 0, writev(fd, part(), 1))

#define OPENINGS(X) \
    X(close, 0, closed(fd, 0)) X(close_range, 0, closed(fd, 1)) X(closefrom, IN_CHILD, closed(fd, 2)) \
    X(dup, 0, duplicated(dup(fd))) \
    X(dup2, 0, duplicated(dup2(fd, 301))) X(dup3, 0, duplicated(dup3(fd, 301, O_CLOEXEC))) X(flock, 0, flock_of(fd)) \
    X(lockf, 0, lockf(fd, F_TEST, 0)) X(lockf64, 0, lockf64(fd, F_LOCK, 0)) \
    X(posix_spawn_file_actions_adddup2, ONCE, in_spawned(fd, 0)) \
    X(posix_spawn_file_actions_addclose, 0, in_spawned(fd, 1)) \
    X(posix_spawn_file_actions_addopen, 0, in_spawned(fd, 1)) \
    X(posix_spawn_file_actions_addfchdir_np, 0, in_spawned(fd, 2)) \
    X(posix_spawn_file_actions_addtcsetpgrp_np, 0, in_spawned(fd, 3)) \
    X(fcntl, 0, duplicated(fcntl(fd, F_DUPFD_CLOEXEC, 302))) X(fcntl64, 0, fcntl64(fd, F_GETFD)) \
    X(F_SETLK, 0, lock_of(fd, F_SETLK, F_RDLCK)) \
    X(F_SETLK_write, 0, lock_of(fd, F_SETLK, F_WRLCK)) X(F_SETLKW, 0, lock_of(fd, F_SETLKW, F_RDLCK)) \
    X(F_GETLK, 0, lock_of(fd, F_GETLK, F_RDLCK)) \
    X(F_OFD_SETLK, 0, lock_of(fd, F_OFD_SETLK, F_RDLCK)) X(F_SETLEASE, ONCE, lease_of(fd)) \
    X(F_GETLEASE, 0, fcntl(fd, F_GETLEASE)) \
    X(F_GET_SEALS, 0, fcntl(fd, F_GET_SEALS)) X(F_ADD_SEALS, 0, fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL)) \
    X(F_GET_RW_HINT, 0, fcntl(fd, F_GET_RW_HINT, buf)) X(F_SET_RW_HINT, ONCE, fcntl(fd, F_SET_RW_HINT, buf)) \
    X(F_GETOWN, 0, fcntl(fd, F_GETOWN)) X(F_GETSIG, 0, fcntl(fd, F_GETSIG)) \
    X(F_NOTIFY, 0, fcntl(fd, F_NOTIFY, DN_ACCESS)) \
    X(F_GETPIPE_SZ, 0, fcntl(fd, F_GETPIPE_SZ)) X(F_nothing, 0, fcntl(fd, 4000)) \
    X(F_SETFL, ONCE, fcntl(fd, F_SETFL, O_NONBLOCK | O_APPEND))

#define INODES(X) \
    X(fchmod, ONCE, fchmod(fd, 0644)) X(fchown, ONCE, fchown(fd, (uid_t)-1, (gid_t)-1)) \
    X(fgetxattr, 0, fgetxattr(fd, "user.mioc", buf, 100)) \
    X(flistxattr, 0, flistxattr(fd, (char *)buf, 1000)) X(fpathconf, 0, fpathconf(fd, _PC_LINK_MAX)) \
    X(fpathconf_bits, 0, fpathconf(fd, _PC_FILESIZEBITS)) \
    X(fremovexattr, ONCE, fremovexattr(fd, "user.other")) X(fsetxattr, ONCE, fsetxattr(fd, "user.other", "o", 1, 0)) \
    X(fstat, 0, unread(fstat(fd, BUF(struct stat)))) \
    X(fstat64, 0, unread(fstat64(fd, BUF(struct stat64)))) \
    X(fstatfs, 0, fstatfs(fd, BUF(struct statfs)) == 0 ? only((long)BUF(struct statfs)->f_type) : -1) \
    X(fstatfs64, 0, fstatfs64(fd, BUF(struct statfs64)) == 0 ? only((long)BUF(struct statfs64)->f_type) : -1) \
    X(fstatvfs, 0, fstatvfs(fd, BUF(struct statvfs)) == 0 ? only((long)BUF(struct statvfs)->f_frsize) : -1) \
    X(fstatvfs64, 0, fstatvfs64(fd, BUF(struct statvfs64)) == 0 ? only((long)BUF(struct statvfs64)->f_frsize) : -1) \
    X(futimens, ONCE, futimens(fd, usual_spec)) \
    X(futimes, ONCE, futimes(fd, usual_times)) X(futimesat_itself, ONCE, futimesat(fd, NULL, usual_times))

#define IOCTLS(X) \
    X(ioctl, 0, ioctl(fd, FIONREAD, buf)) X(FIOCLEX, ONCE, ioctl(fd, FIOCLEX)) X(FIONCLEX, ONCE, ioctl(fd, FIONCLEX)) \
    X(FIONBIO, ONCE, ioctl(fd, FIONBIO, buf)) X(FIOASYNC, 0, ioctl(fd, FIOASYNC, buf)) \
    X(FIOQSIZE, 0, ioctl(fd, FIOQSIZE, buf)) \
    X(TCGETS, 0, ioctl(fd, TCGETS, buf)) X(TIOCGWINSZ, 0, ioctl(fd, TIOCGWINSZ, buf)) \
    X(FIBMAP, 0, ioctl(fd, FIBMAP, buf)) \
    X(FIGETBSZ, 0, ioctl(fd, FIGETBSZ, buf)) X(FS_IOC_FIEMAP, 0, fiemap_of(fd)) \
    X(FS_IOC_GETFLAGS, 0, ioctl(fd, FS_IOC_GETFLAGS, buf)) \
    X(FS_IOC_SETFLAGS, ONCE, flags_set(fd)) X(FS_IOC_GETVERSION, 0, ioctl(fd, FS_IOC_GETVERSION, buf)) \
    X(FS_IOC_FSGETXATTR, 0, ioctl(fd, FS_IOC_FSGETXATTR, buf)) \
    X(FS_IOC_GETFSLABEL, 0, ioctl(fd, FS_IOC_GETFSLABEL, buf)) \
    X(FICLONE, 0, ioctl(other, FICLONE, fd)) X(FICLONERANGE, 0, clone_range(fd, other)) \
    X(FICLONE_into, 0, ioctl(fd, FICLONE, other)) \
    X(FIDEDUPERANGE, 0, dedupe(fd, other)) X(FIDEDUPERANGE_into, 0, dedupe(other, fd)) \
    X(BLKGETSIZE64, 0, ioctl(fd, BLKGETSIZE64, buf)) \
    X(SIOCINQ, 0, ioctl(fd, 0x8905, buf)) X(ioctl_nothing, 0, ioctl(fd, 0xffffffff, buf)) \
    X(TCGETA, 0, ioctl(fd, TCGETA, buf))

/* Descriptors have names, too. */
#define BY_NAME(X) \
    X(access_by_name, 0, access(name_of(fd), W_OK | X_OK)) X(access_by_name_readable, 0, access(name_of(fd), R_OK)) \
    X(faccessat_by_name, 0, faccessat(AT_FDCWD, name_of(fd), X_OK, AT_EACCESS)) \
    X(getxattr_by_name, 0, getxattr(name_of(fd), "user.mioc", buf, 100)) \
    X(listxattr_by_name, 0, listxattr(name_of(fd), (char *)buf, 1000)) \
    X(statfs_by_name, 0, statfs(name_of(fd), BUF(struct statfs)) == 0 ? only((long)BUF(struct statfs)->f_type) : -1) \
    X(statfs64_by_name, 0, statfs64(name_of(fd), \
      BUF(struct statfs64)) == 0 ? only((long)BUF(struct statfs64)->f_type) : -1) \
    X(statvfs_by_name, 0, statvfs(name_of(fd), \
      BUF(struct statvfs)) == 0 ? only((long)BUF(struct statvfs)->f_frsize) : -1) \
    X(statvfs64_by_name, 0, statvfs64(name_of(fd), \
      BUF(struct statvfs64)) == 0 ? only((long)BUF(struct statvfs64)->f_frsize) : -1) \
    X(pathconf_by_name, 0, pathconf(name_of(fd), _PC_LINK_MAX)) \
    X(stat_by_name, 0, unread(stat(name_of(fd), BUF(struct stat)))) \
    X(open_path_by_name, 0, stat_of(open(name_of(fd), O_PATH))) \
    X(open_by_name, 0, stat_of(open(name_of(fd), O_RDONLY))) \
    X(open_direct_by_name, 0, stat_of(open(name_of(fd), O_RDONLY | O_SYNC))) \
    X(handle_by_name, 0, (BUF(struct file_handle)->handle_bytes = 128, \
      name_to_handle_at(AT_FDCWD, name_of(fd), BUF(struct file_handle), \
        (int *)(void *)(buf + 1024), AT_SYMLINK_FOLLOW))) \
    X(chmod_by_name, ONCE, chmod(name_of(fd), 0644)) X(utimes_by_name, ONCE, utimes(name_of(fd), usual_times)) \
    X(setxattr_by_name, ONCE, setxattr(name_of(fd), "user.other", "o", 1, 0))
/* clang-format on */

#define ALL(X) BY_NAME(X) SOCKETS(X) TERMINALS(X) KINDS(X) NAMES(X) BYTES(X) OPENINGS(X) INODES(X) IOCTLS(X)

#define X(name, flags, expression) \
    static long run_##name(int fd) \
    { \
        (void)fd; \
        return (long)(expression); \
    }
ALL(X)
#undef X

static const struct {
    const char *name;
    int flags;
    long (*run)(int fd);
} calls[] = {
#define X(name, flags, expression) { #name, flags, run_##name },
    ALL(X)
#undef X
};
#define COUNT (sizeof calls / sizeof calls[0])

void tell_calls(void)
{
    for (size_t i = 0; i < COUNT; i++)
        puts(calls[i].name);
}

/* --- Running ----------------------------------------------------------------------------------------------------- */

struct result {
    long rc;
    int error;
    unsigned char answer[sizeof buf];
};

/* What the program has, not what it has told to the file. */
static void make_files(void)
{
    if (system("printf 'what is asked of' >" NAME "; truncate -s 20000 " NAME "; touch -d @12345 " NAME
               "; chmod 644 " NAME "; printf 'what is asked of' >" OTHER) != 0 ||
        setxattr(NAME, "user.mioc", "is", 2, 0) != 0)
        printf("cannot make " NAME "\n");
}

static long run_in_child(size_t i, int fd)
{
    int status = 0;
    pid_t child = fork();

    if (child == 0)
        _exit((int)(calls[i].run(fd) & 15) + (errno == ERRNO_UNTOUCHED ? 0 : 16 * (errno & 7)));
    (void)waitpid(child, &status, 0);
    return status;
}

static struct result *ask(size_t i, int fd)
{
    static struct result results[2];
    static int turn;
    struct result *result = &results[turn++ % 2];
    struct pollfd rest = { .fd = pipes[0], .events = POLLIN };
    char c;

    memset(buf, 0, sizeof buf);
    at = to_at = 0;
    result->rc = (calls[i].flags & IN_CHILD) ? CALL(run_in_child(i, fd)) : CALL(calls[i].run(fd));
    result->error = errno;
    memcpy(result->answer, buf, sizeof buf);
    while (poll(&rest, 1, 0) == 1 && read(pipes[0], &c, 1) == 1)
        result->answer[sizeof buf - 1] = (unsigned char)(31 * result->answer[sizeof buf - 1] + c);
    return result;
}

static void tell_state(int fd)
{
    struct stat st, by_path;
    char name[64], text[4096] = "";

    (void)snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    (void)!readlink(name, text, sizeof text - 1);
    (void)fstat(fd, &st);
    (void)stat(NAME, &by_path);
    tell_more(" [at=%lld flags=%x keeps=%d same=%d %o %lld name=%s", (long long)lseek(fd, 0, SEEK_CUR),
              fcntl(fd, F_GETFL), fcntl(fd, F_GETFD),
              st.st_ino == by_path.st_ino && st.st_dev == by_path.st_dev && st.st_mode == by_path.st_mode, st.st_mode,
              (long long)st.st_mtim.tv_sec, strrchr(text, '/') == NULL ? text : strrchr(text, '/') + 1);
    memset(text, 0, sizeof text);
    (void)!pread(fd, text, 100, 0);
    tell_more(" %s]", text);
}

/* On a copy; and on the file itself, which O_NOATIME leads to: both give the same. */
static void try(size_t i)
{
    struct result *of_copy, *of_file;
    struct stat st;
    int fd, file, shared;

    (void)stat(NAME, &st);
    fd = open(NAME, O_RDONLY);
    shared = dup(fd);
    of_copy = ask(i, fd);
    errno = of_copy->error;
    tell(calls[i].name, "", of_copy->rc);
    tell_state(fd);
    tell_more(" dup at=%lld", (long long)lseek(shared, 0, SEEK_CUR));
    file = open(NAME, O_RDONLY | O_NOATIME);
    of_file = (calls[i].flags & ONCE) ? of_copy : ask(i, file);
    tell_more(" as the file: %d", of_copy->rc == of_file->rc && of_copy->error == of_file->error &&
                                      memcmp(of_copy->answer, of_file->answer, sizeof buf) == 0);
    tell_end();
    close(fd);
    close(file);
    close(shared);
}

void run_calls(void)
{
    make_files();
    other = open(OTHER, O_RDWR);
    if (other < 0 || pipe(pipes) != 0)
        printf("cannot prepare\n");
    for (size_t i = 0; i < COUNT; i++)
        try(i);
}
