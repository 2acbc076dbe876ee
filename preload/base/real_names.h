/* SPDX-License-Identifier: BSD-3-Clause */
/* real_names.h - the names of the libc functions that have an interposer, or that we call behind one; and their
 * headers.
 *
 * Names only: the signature is __typeof__(&name). The order matters while all names are bound (real.c). Names that
 * every libc has come first: the lookup of a missing name allocates, and an allocator's first call may open files and
 * so call us. */
#ifndef MIOC_REAL_NAMES_H
#define MIOC_REAL_NAMES_H

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/fanotify.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/fsuid.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <utime.h>

/* Exported by libc for old or fortified programs, but in no header, or only in some. */
int __xstat(int ver, const char *path, struct stat *st);
int __lxstat(int ver, const char *path, struct stat *st);
int __fxstat(int ver, int fd, struct stat *st);
int __fxstatat(int ver, int dirfd, const char *path, struct stat *st, int flags);
int __xstat64(int ver, const char *path, struct stat64 *st);
int __lxstat64(int ver, const char *path, struct stat64 *st);
int __fxstat64(int ver, int fd, struct stat64 *st);
int __fxstatat64(int ver, int dirfd, const char *path, struct stat64 *st, int flags);
int __xmknod(int ver, const char *path, mode_t mode, dev_t *dev);
int __xmknodat(int ver, int dirfd, const char *path, mode_t mode, dev_t *dev);
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int dirfd, const char *path, int flags);
int __openat64_2(int dirfd, const char *path, int flags);
int capset(void *header, const void *data);
ssize_t __readlink_chk(const char *path, char *buf, size_t len, size_t buflen);
ssize_t __readlinkat_chk(int dirfd, const char *path, char *buf, size_t len, size_t buflen);
char *__realpath_chk(const char *path, char *resolved, size_t resolved_len);

#if !__GLIBC_PREREQ(2, 34)
int close_range(unsigned int first, unsigned int last, int flags);
void closefrom(int first);
int execveat(int dirfd, const char *path, char *const argv[], char *const envp[], int flags);
#endif
#if !__GLIBC_PREREQ(2, 28)
int fcntl64(int fd, int cmd, ...);
int renameat2(int olddirfd, const char *oldpath, int newdirfd, const char *newpath, unsigned int flags);
int statx(int dirfd, const char *path, int flags, unsigned int mask, struct statx *st);
#endif

/* In every glibc. */
/* clang-format off */
#define MIOC_REAL_NAMES_REQUIRED(X) \
    X(open) X(open64) X(openat) X(openat64) X(creat) X(creat64) \
    X(read) X(write) X(pread) X(pread64) X(pwrite) X(pwrite64) X(lseek) X(lseek64) X(close) \
    X(readlink) X(readlinkat) X(fopen) X(fopen64) X(freopen) X(freopen64) X(fdopen) \
    X(access) X(faccessat) X(euidaccess) X(eaccess) X(realpath) X(canonicalize_file_name) X(getcwd) \
    X(opendir) X(fdopendir) X(readdir) X(readdir64) X(readdir_r) X(readdir64_r) X(rewinddir) X(telldir) X(seekdir) \
    X(closedir) X(dirfd) X(scandir) X(scandir64) X(scandirat) X(scandirat64) \
    X(unlink) X(unlinkat) X(rename) X(renameat) X(remove) X(mkdir) X(mkdirat) X(rmdir) X(truncate) X(truncate64) \
    X(ftruncate) X(ftruncate64) X(symlink) X(symlinkat) X(link) X(linkat) \
    X(utime) X(utimes) X(utimensat) X(futimesat) X(lutimes) X(futimens) X(futimes) \
    X(chmod) X(fchmod) X(fchmodat) X(chown) X(fchown) X(lchown) X(fchownat) X(mkfifo) X(mkfifoat) \
    X(mkstemp) X(mkstemp64) X(mkostemp) X(mkostemp64) X(mkstemps) X(mkstemps64) X(mkostemps) X(mkostemps64) X(mkdtemp) \
    X(setxattr) X(lsetxattr) X(fsetxattr) X(removexattr) X(lremovexattr) X(fremovexattr) \
    X(copy_file_range) X(getxattr) X(listxattr) X(fgetxattr) X(flistxattr) X(fstatfs) X(fstatfs64) X(fstatvfs) \
    X(fstatvfs64) X(statfs) X(statfs64) X(statvfs) X(statvfs64) \
    X(fpathconf) X(pathconf) X(fsync) X(fdatasync) X(syncfs) X(sync_file_range) X(ioctl) X(open_by_handle_at) \
    X(fanotify_mark) X(sendmsg) X(sendmmsg) X(epoll_ctl) X(bind) \
    X(posix_spawn_file_actions_addopen) X(flock) X(fcntl) X(lockf) X(lockf64) X(name_to_handle_at) \
    X(inotify_add_watch) X(chdir) X(fchdir) X(dup2) X(dup3) \
    X(exit) X(abort) X(_exit) X(_Exit) X(quick_exit) X(execve) X(execv) X(execvp) X(execvpe) X(fexecve) \
    X(sigaltstack) X(setuid) X(seteuid) X(setreuid) X(setresuid) X(setgid) X(setegid) X(setregid) X(setresgid) \
    X(setgroups) X(initgroups) \
    X(capset) X(setfsuid) X(setfsgid) X(chroot) X(unshare) X(setns) \
    X(__open_2) X(__open64_2) X(__openat_2) X(__openat64_2) X(__readlink_chk) X(__readlinkat_chk) X(__realpath_chk)
/* clang-format on */

/* Names that some libcs lack. real.c has stand-ins for stat, lstat, fstat, fstatat, mknod and their twins (glibc
 * < 2.33). The __x names may be there in an old version only. The others may be NULL: test before calling. */
/* clang-format off */
#define MIOC_REAL_NAMES_OPTIONAL(X) \
    X(__xstat) X(__lxstat) X(__fxstat) X(__fxstatat) X(__xstat64) X(__lxstat64) X(__fxstat64) X(__fxstatat64) \
    X(__xmknod) X(__xmknodat) \
    X(stat) X(stat64) X(lstat) X(lstat64) X(fstat) X(fstat64) X(fstatat) X(fstatat64) X(mknod) X(mknodat) \
    X(statx) X(fcntl64) X(renameat2) X(close_range) X(closefrom) X(execveat)
/* clang-format on */

#define MIOC_REAL_NAMES(X) MIOC_REAL_NAMES_REQUIRED(X) MIOC_REAL_NAMES_OPTIONAL(X)

#endif
