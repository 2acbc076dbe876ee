/* SPDX-License-Identifier: BSD-3-Clause */
/* exported_write.c - cases of exported.h: what changes names, files, the process, and the library's own names. */
/* The formatter takes the cases for statements. */
/* clang-format off */
#include "exported.h"
#include "mpiio_cache.h"

#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/fsuid.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

/* --- Names --- */

static const char *fresh_directory(void)
{
    const char *path = fresh();

    syscall(SYS_mkdir, path, 0755);
    return path;
}

CASE(unlink) { DONE(CALL_INT(fresh_file()) == 0); }
SAME(remove, unlink)
CASE(unlinkat) { DONE(CALL_INT(AT_FDCWD, fresh_file(), 0) == 0); }
CASE(rmdir) { DONE(CALL_INT(fresh_directory()) == 0); }
CASE(rename) { DONE(CALL_INT(fresh_file(), fresh()) == 0); }
SAME(link, rename)
CASE(renameat) { DONE(CALL_INT(AT_FDCWD, fresh_file(), AT_FDCWD, fresh()) == 0); }
CASE(renameat2)
{
    DONE(CALL_INT(AT_FDCWD, fresh_file(), AT_FDCWD, fresh(), 0) == 0);
    DONE(CALL_INT(AT_FDCWD, fresh_file(), AT_FDCWD, fresh_file(), RENAME_EXCHANGE) == 0);
}
CASE(linkat) { DONE(CALL_INT(AT_FDCWD, fresh_file(), AT_FDCWD, fresh(), 0) == 0); }
CASE(mkdir) { DONE(CALL_INT(fresh(), 0755) == 0); }
CASE(mkdirat) { DONE(CALL_INT(AT_FDCWD, fresh(), 0755) == 0); }
CASE(symlink) { DONE(CALL_INT("module.py", fresh()) == 0); }
CASE(symlinkat) { DONE(CALL_INT("module.py", AT_FDCWD, fresh()) == 0); }
CASE(mknod) { DONE(CALL_INT(fresh(), S_IFREG | 0644, 0) == 0); }
CASE(mknodat) { DONE(CALL_INT(AT_FDCWD, fresh(), S_IFREG | 0644, 0) == 0); }
CASE(__xmknod)
{
    dev_t none = 0;

    DONE(CALL_INT(0, fresh(), S_IFREG | 0644, &none) == 0);
}
CASE(__xmknodat)
{
    dev_t none = 0;

    DONE(CALL_INT(0, AT_FDCWD, fresh(), S_IFREG | 0644, &none) == 0);
}
CASE(mkfifo) { DONE(CALL_INT(fresh(), 0644) == 0); }
CASE(mkfifoat) { DONE(CALL_INT(AT_FDCWD, fresh(), 0644) == 0); }
CASE(bind)
{
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    strncpy(address.sun_path, fresh(), sizeof address.sun_path - 1);
    DONE(CALL_INT(fd, &address, sizeof address) == 0);
    close(fd);
}
CASE(posix_spawn_file_actions_addopen)
{
    posix_spawn_file_actions_t actions;

    posix_spawn_file_actions_init(&actions);
    DONE(CALL_INT(&actions, 1, fresh(), O_CREAT | O_WRONLY, 0644) == 0);
    posix_spawn_file_actions_destroy(&actions);
}

/* --- Files by name --- */

CASE(truncate) { DONE(CALL_INT(fresh_file(), 3L) == 0); }
SAME(truncate64, truncate)
CASE(chmod) { DONE(CALL_INT(fresh_file(), 0600) == 0); }
CASE(fchmodat) { DONE(CALL_INT(AT_FDCWD, fresh_file(), 0600, 0) == 0); }
CASE(chown) { DONE(CALL_INT(fresh_file(), getuid(), getgid()) == 0); }
SAME(lchown, chown)
CASE(fchownat)
{
    int fd = open_there();

    DONE(CALL_INT(AT_FDCWD, fresh_file(), getuid(), getgid(), 0) == 0);
    DONE(CALL_INT(fd, "", getuid(), getgid(), AT_EMPTY_PATH) == 0);
    close(fd);
}
CASE(utime) { DONE(CALL_INT(fresh_file(), 0L) == 0); }
SAME(utimes, utime)
SAME(lutimes, utime)
CASE(utimensat) { DONE(CALL_INT(AT_FDCWD, fresh_file(), 0L, 0) == 0); }
CASE(futimesat) { DONE(CALL_INT(AT_FDCWD, fresh_file(), 0L) == 0); }
CASE(setxattr) { DONE(CALL_INT(fresh_file(), "trusted.mioc", "1", 1L, 0) == 0); }
SAME(lsetxattr, setxattr)

static const char *fresh_with_attribute(void)
{
    const char *path = fresh_file();

    syscall(SYS_setxattr, path, "trusted.mioc", "1", 1L, 0);
    return path;
}

CASE(removexattr) { DONE(CALL_INT(fresh_with_attribute(), "trusted.mioc") == 0); }
SAME(lremovexattr, removexattr)

/* --- Files by descriptor --- */

CASE(fchmod) WITH_FILE(fd, CALL_INT(fd, 0644))
CASE(fchown) WITH_FILE(fd, CALL_INT(fd, getuid(), getgid()))
CASE(futimens) WITH_FILE(fd, CALL_INT(fd, 0L))
SAME(futimes, futimens)
CASE(fsetxattr) WITH_FILE(fd, CALL_INT(fd, "trusted.mioc", "1", 1L, 0))
CASE(fremovexattr)
{
    int fd = open_there();

    DONE(CALL_INT(fd, "trusted.mioc") == 0);
    close(fd);
    syscall(SYS_setxattr, there("module.py"), "trusted.mioc", "1", 1L, 0);
}
CASE(copy_file_range)
{
    int in = open_there(), out = open(fresh_file(), O_WRONLY);

    DONE(CALL(in, 0L, out, 0L, 3L, 0) >= 0);
    close(in);
    close(out);
}
CASE(flock) WITH_FILE(fd, CALL_INT(fd, LOCK_SH))
CASE(lockf) WITH_FILE(fd, CALL_INT(fd, F_TEST, 0L))
SAME(lockf64, lockf)
CASE(dup2)
{
    int fd = open_there(), other = CALL_INT(fd, 150);

    DONE(other == 150);
    DONE(CALL_INT(fd, fd) == fd);
    close(other);
    close(fd);
}
CASE(dup3)
{
    int fd = open_there(), other = CALL_INT(fd, 150, O_CLOEXEC);

    DONE(other == 150);
    close(other);
    close(fd);
}
CASE(fcntl)
{
    struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET };
    int fd = open_there(), other;

    DONE(CALL_INT(fd, F_GETFL, 0) >= 0);
    DONE(CALL_INT(fd, F_SETLK, &lock) == 0);
    lock.l_pid = 0;
    DONE(CALL_INT(fd, F_OFD_SETLK, &lock) == 0);
    other = CALL_INT(fd, F_DUPFD_CLOEXEC, 100);
    DONE(other >= 0);
    close(other);
    close(fd);
}
SAME(fcntl64, fcntl)
CASE(name_to_handle_at)
{
    static struct { struct file_handle head; char bytes[128]; } handle;
    int fd = open_there(), mount;

    handle.head.handle_bytes = sizeof handle.bytes;
    DONE(CALL_INT(fd, "", &handle, &mount, AT_EMPTY_PATH) == 0);
    close(fd);
}
CASE(inotify_add_watch)
{
    int fd = inotify_init1(IN_CLOEXEC);

    DONE(CALL_INT(fd, there("."), IN_ACCESS) >= 0);
    close(fd);
}
CASE(close) { DONE(CALL_INT(open_there()) == 0); }
CASE_IN_CHILD(close_range) { DONE(CALL_INT(40, 2000, 0) == 0); }
CASE_IN_CHILD(closefrom)
{
    CALL(40);
    DONE(1);
}

CASE(sigaltstack)
{
    stack_t stack;

    DONE(CALL_INT(0L, &stack) == 0);
}

/* --- Users, groups, namespaces --- */

CASE_IN_CHILD(setuid) { DONE(CALL_INT(getuid()) == 0); }
CASE_IN_CHILD(seteuid) { DONE(CALL_INT(geteuid()) == 0); }
CASE_IN_CHILD(setreuid) { DONE(CALL_INT(getuid(), geteuid()) == 0); }
CASE_IN_CHILD(setresuid) { DONE(CALL_INT(getuid(), geteuid(), getuid()) == 0); }
CASE_IN_CHILD(setgid) { DONE(CALL_INT(getgid()) == 0); }
CASE_IN_CHILD(setegid) { DONE(CALL_INT(getegid()) == 0); }
CASE_IN_CHILD(setregid) { DONE(CALL_INT(getgid(), getegid()) == 0); }
CASE_IN_CHILD(setresgid) { DONE(CALL_INT(getgid(), getegid(), getgid()) == 0); }
CASE_IN_CHILD(setgroups)
{
    gid_t group = getgid();

    DONE(CALL_INT(1L, &group) == 0);
}
CASE_IN_CHILD(initgroups) { DONE(CALL_INT("root", getgid()) == 0); }
CASE_IN_CHILD(setfsuid)
{
    DONE(CALL_INT(geteuid()) >= 0);
    DONE(CALL_INT(12345) >= 0);
}
CASE_IN_CHILD(setfsgid)
{
    DONE(CALL_INT(getegid()) >= 0);
    DONE(CALL_INT(12345) >= 0);
}
CASE_IN_CHILD(capset)
{
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct data[2];

    syscall(SYS_capget, &header, data);
    DONE(CALL_INT(&header, data) == 0);
}
CASE_IN_CHILD(chroot) { DONE(CALL_INT("/") == 0); }
CASE_IN_CHILD(unshare) { DONE(CALL_INT(CLONE_FS) == 0); }
CASE_IN_CHILD(setns) { DONE(CALL_INT(open("/proc/self/ns/uts", O_RDONLY), 0) == 0); }

/* --- What does not come back: none has a success to look at --- */

static char *const no_arguments[] = { (char *)"true", NULL };

CASE_IN_CHILD(_exit) { CALL(0); }
SAME_IN_CHILD(_Exit, _exit)
CASE_IN_CHILD(quick_exit) { CALL(0); }
CASE_IN_CHILD(abort) { CALL(0); }
CASE_IN_CHILD(execve) { CALL("/bin/true", no_arguments, environ); }
CASE_IN_CHILD(execv) { CALL("/bin/true", no_arguments); }
CASE_IN_CHILD(execvp) { CALL("true", no_arguments); }
CASE_IN_CHILD(execvpe) { CALL("true", no_arguments, environ); }
CASE_IN_CHILD(execl) { CALL("/bin/true", "true", 0L); }
CASE_IN_CHILD(execlp) { CALL("true", "true", 0L); }
CASE_IN_CHILD(execle) { CALL("/bin/true", "true", 0L, environ); }
CASE_IN_CHILD(fexecve) { CALL(open("/bin/true", O_RDONLY | O_CLOEXEC), no_arguments, environ); }
CASE_IN_CHILD(execveat) { CALL(AT_FDCWD, "/bin/true", no_arguments, environ, 0); }
/* Nobody calls it but a program's start: what main() finds in errno is told by exported_main.c. */
CASE(__libc_start_main) { }

/* --- Ours --- */

CASE(mpiio_cache_version) { DONE(CALL(0) != 0); }
CASE(mpiio_cache_status)
{
    const char *line;

    DONE(CALL_INT(&line) >= 0);
}
CASE(mpiio_cache_statistics)
{
    static char json[4096];

    DONE(CALL(json, sizeof json) > 0);
}
CASE(mpiio_cache_invalidate) { DONE(CALL_INT(there("nothing.py")) == 0); }
