/* SPDX-License-Identifier: BSD-3-Clause */
/* differential_write.c - writing and reading again: what was written must be seen at once, whatever was known before.
 */
#include "differential.h"

#include <dirent.h>
#include <errno.h>
#include <stddef.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <utime.h>

/* All names that the script uses, looked at after every step. Not "a/x": where a file is made, names below it, which
 * nobody has reason to ask for, may go on being ENOENT instead of ENOTDIR (wrap_open.c). */
static const char *const watched[] = {
    "a",   "b",     "d",    "d/a",    "d/b", "d/s",  "d/s/x", "e",    "e/a",
    "e/b", "e/s/x", "link", "link/a", "l2",  "fifo", "d/",    "e/..",
};

static void look(const char *path)
{
    struct stat st;
    char buf[64];
    ssize_t n;
    int fd, count = 0, rc = CALL(lstat(path, &st));
    DIR *dir;

    tell("  look", path, rc);
    if (rc == 0)
        tell_stat(&st, 0);
    if (rc == 0 && st.st_mtim.tv_sec < 1000000000)
        tell_more(" mtime=%lld.%ld", (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
    rc = CALL(access(path, W_OK));
    tell_more(" access=%d,%d", rc, errno);
    n = CALL(readlink(path, buf, sizeof(buf)));
    tell_more(" link=%d,%.*s", errno, n > 0 ? (int)n : 0, buf);
    fd = CALL(open(path, O_RDONLY | O_NONBLOCK));
    tell_more(" open=%d", errno);
    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        tell_more(" fmode=%o nlink=%lu", st.st_mode, (unsigned long)st.st_nlink);
        tell_content(fd);
    }
    if (fd >= 0)
        close(fd);
    dir = CALL(opendir(path));
    tell_more(" dir=%d", errno);
    while (dir != NULL && readdir(dir) != NULL)
        count++;
    if (dir != NULL)
        closedir(dir);
    tell_more(" entries=%d", count);
    tell_end();
}

static void step(const char *what, long rc)
{
    tell(what, "", rc);
    tell_end();
    for (size_t i = 0; i < sizeof(watched) / sizeof(watched[0]); i++)
        look(watched[i]);
    fflush(stdout);
}
#define STEP(expression) step(#expression, CALL(expression))

static int put(const char *path, const char *text, int flags)
{
    int fd = open(path, flags, 0644), rc;

    if (fd < 0)
        return -1;
    rc = (int)write(fd, text, strlen(text));
    close(fd);
    return rc;
}

static int fput(const char *path, const char *mode, const char *text)
{
    FILE *f = fopen(path, mode);

    return f == NULL ? -1 : (fputs(text, f), fclose(f));
}

static void write_names(void)
{
    STEP(0);
    STEP(put("a", "one", O_CREAT | O_EXCL | O_WRONLY));
    STEP(put("a", "two", O_CREAT | O_EXCL | O_WRONLY));
    STEP(put("a", "three", O_TRUNC | O_RDWR));
    STEP(put("a", "more", O_APPEND | O_WRONLY));
    STEP(close(creat("b", 0600)));
    STEP(fput("b", "w", "stdio"));
    STEP(fput("b", "a", "again"));
    STEP(fput("b", "r+", "plus"));
    STEP(mkdir("d", 0755));
    STEP(rename("a", "d/a"));
    STEP(link("d/a", "d/b"));
    STEP(mkdirat(AT_FDCWD, "d/s", 0755));
    STEP(put("d/s/x", "deep", O_CREAT | O_WRONLY));
    STEP(symlink("d", "link"));
    STEP(put("d/a", "by the other name", O_TRUNC | O_WRONLY));
    STEP(put("link/a", "through the link", O_TRUNC | O_WRONLY));
    STEP(unlink("link/b"));
    STEP(link("d/a", "link/b"));
    STEP(symlink("d/a", "l2"));
    STEP(chmod("l2", 0640));
    STEP(truncate("d/a", 2));
    STEP(put("l2", "through that", O_APPEND | O_WRONLY));
    STEP(rename("d/a", "d/c"));
    STEP(rename("d/c", "d/a"));
    STEP(unlink("l2"));
    STEP(rename("d", "e"));
    STEP(unlink("link"));
    STEP(symlinkat("e", AT_FDCWD, "link"));
    STEP(rename("link", "l2"));
    STEP(unlink("l2"));
    STEP(renameat(AT_FDCWD, "e", AT_FDCWD, "d"));
    STEP(renameat2(AT_FDCWD, "d/a", AT_FDCWD, "d/s/x", RENAME_EXCHANGE));
    STEP(rename("d/a", "d/b"));
    STEP(mkfifo("fifo", 0600));
    STEP(remove("fifo"));
    STEP(rmdir("d/s"));
    STEP(unlink("d/s/x"));
    STEP(rmdir("d/s"));
    STEP(unlinkat(AT_FDCWD, "d/b", 0));
    STEP(unlinkat(AT_FDCWD, "d", AT_REMOVEDIR));
    STEP(mknod("d", S_IFREG | 0640, 0));
    STEP(remove("d"));
    STEP(put("a", "x", O_RDONLY));
}

static void write_metadata(void)
{
    const struct timeval times[2] = { { 1000, 2 }, { 3000, 4 } };
    const struct timespec precise[2] = { { 5000, 6 }, { 7000, 8 } };
    const struct utimbuf coarse = { 9000, 9001 };

    STEP(rename("b", "a"));
    STEP(chmod("a", 0600));
    STEP(fchmodat(AT_FDCWD, "a", 0644, 0));
    STEP(truncate("a", 3));
    STEP(utimes("a", times));
    STEP(utime("a", &coarse));
    STEP(utimensat(AT_FDCWD, "a", precise, 0));
    STEP(lutimes("a", times));
    STEP(futimesat(AT_FDCWD, "a", times));
    STEP(chown("a", 1, 2));
    STEP(lchown("a", 3, 4));
    STEP(fchownat(AT_FDCWD, "a", getuid(), getgid(), 0));
    STEP(setxattr("a", "user.mioc", "v", 1, 0));
    STEP(removexattr("a", "user.mioc"));
    STEP(mkdir("d", 0700));
    STEP(put("d/a", "in", O_CREAT | O_WRONLY));
    STEP(chmod("d", 0));
    STEP(chmod("d", 0700));
}

/* A file that is only ever read by this process, so that it is a copy: made by another, and put in place by this one,
 * because what processes outside of the job do is not seen. */
static int from_outside(const char *path, const char *text)
{
    char command[256];

    (void)snprintf(command, sizeof(command), "printf '%%s' '%s' > made; touch -d @12345 made; chmod 640 made", text);
    return system(command) == 0 ? rename("made", path) : -1;
}

static int other_holds(const char *path)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    int status = 0, other;
    pid_t child = fork();

    if (child == 0) {
        other = open(path, O_RDWR);
        _exit((flock(other, LOCK_EX | LOCK_NB) != 0) +
              2 * (fcntl(other, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK));
    }
    waitpid(child, &status, 0);
    return status;
}

static const char *target = "c";

/* Makes a change through a descriptor that was opened for reading, and looks at all that can be seen of it. */
static void change(const char *what, int fd, int rc)
{
    struct stat by_fd, by_path;

    tell(what, "", rc);
    if (fstat(fd, &by_fd) == 0 && stat(target, &by_path) == 0) {
        tell_stat(&by_fd, 0);
        tell_more(" same=%d", by_fd.st_ino == by_path.st_ino && by_fd.st_mode == by_path.st_mode &&
                                  by_fd.st_mtim.tv_nsec == by_path.st_mtim.tv_nsec && by_fd.st_dev == by_path.st_dev);
    }
    tell_more(" at=%lld getfd=%d getfl=%x", (long long)lseek(fd, 0, SEEK_CUR), fcntl(fd, F_GETFD),
              (unsigned)fcntl(fd, F_GETFL));
    tell_content(fd);
    tell_end();
    look(target);
    close(fd);
}

static int reading(int flags)
{
    int fd = open(target, O_RDONLY | flags);
    char c;

    return read(fd, &c, 1) == 1 ? fd : -1;
}

#define CHANGE(flags, expression) \
    do { \
        int fd = reading(flags); \
        change(#expression, fd, CALL(expression)); \
    } while (0)

static int write_by_name(int fd, int flags)
{
    char name[64];
    int other, rc;

    (void)snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
    other = open(name, flags);
    rc = other < 0 ? -1 : (int)write(other, "W", 1);
    close(other);
    return rc;
}

static int link_by_name(int fd, int is_empty)
{
    char name[64];

    (void)snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
    return is_empty ? linkat(fd, "", AT_FDCWD, "c2", AT_EMPTY_PATH)
                    : linkat(AT_FDCWD, name, AT_FDCWD, "c3", AT_SYMLINK_FOLLOW);
}

static int chmod_by_name(int fd)
{
    char name[64];

    (void)snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
    return chmod(name, 0666);
}

static int truncate_by_name(int fd)
{
    char name[64];

    (void)snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
    return truncate(name, 2);
}

static int execute(int fd, int is_by_name)
{
    static char name[] = "program", *argv[] = { name, NULL }, *envp[] = { NULL };
    char path[64];
    int status = -1;
    pid_t child = fork();

    if (child == 0) {
        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        (void)(is_by_name ? execve(path, argv, envp) : fexecve(fd, argv, envp));
        _exit(100 + (errno & 15));
    }
    waitpid(child, &status, 0);
    return status;
}

static int copied(int fd)
{
    int to = open("c4", O_RDWR | O_CREAT | O_TRUNC, 0600), rc = (int)copy_file_range(fd, NULL, to, NULL, 100, 0);

    close(to);
    return rc;
}

/* What a copy has of the filesystem and the attributes of its original. */
static int same_filesystem(int fd)
{
    struct statvfs by_fd, by_path;
    struct statfs raw_fd, raw_path;
    char list[256];

    tell_more(" xattr=%zd,%zd", fgetxattr(fd, "user.mioc", list, sizeof(list)), flistxattr(fd, list, sizeof(list)));
    return fstatvfs(fd, &by_fd) == 0 && statvfs(target, &by_path) == 0 && by_fd.f_files == by_path.f_files &&
           by_fd.f_fsid == by_path.f_fsid && fstatfs(fd, &raw_fd) == 0 && statfs(target, &raw_path) == 0 &&
           raw_fd.f_type == raw_path.f_type;
}

/* Names that libc makes inside. */
static int bind_to(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM, 0), rc;

    strcpy(address.sun_path, path);
    rc = bind(fd, (struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path)));
    close(fd);
    return rc;
}

static int spawn_into(const char *path)
{
    static char name[] = "true", *argv[] = { name, NULL }, *envp[] = { NULL };
    posix_spawn_file_actions_t actions;
    pid_t child;
    int rc;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, path, O_CREAT | O_WRONLY, 0600);
    rc = posix_spawn(&child, "/bin/true", &actions, NULL, argv, envp);
    posix_spawn_file_actions_destroy(&actions);
    return rc != 0 ? rc : waitpid(child, NULL, 0) != child;
}

static void write_inside_libc(void)
{
    look("socket");
    printf("bind %d\n", bind_to("socket"));
    look("socket");
    look("spawned");
    printf("posix_spawn %d\n", spawn_into("spawned"));
    look("spawned");
    printf("symlink %d\n", symlink("nothing", "dangling"));
    look("dangling");
    printf("mkdir %d\n", mkdir("nothing", 0755));
    look("dangling");
}

static int read_lock(int fd, int command)
{
    struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET };

    return fcntl(fd, command, &lock);
}

static void write_by_descriptor(void)
{
    const struct timespec precise[2] = { { 5000, 6 }, { 7000, 8 } };
    const struct timeval times[2] = { { 1000, 2 }, { 3000, 4 } };

    /* Names that nothing was asked about before another process made them. */
    printf("outside %d\n", from_outside("c", "content"));
    CHANGE(0, 0);
    CHANGE(O_CLOEXEC, fchmod(fd, 0604));
    CHANGE(0, fchown(fd, 7, 8));
    CHANGE(O_NONBLOCK, futimens(fd, precise));
    CHANGE(0, futimes(fd, times));
    CHANGE(0, futimesat(fd, NULL, times));
    CHANGE(0, fsetxattr(fd, "user.mioc", "v", 1, 0));
    CHANGE(0, fremovexattr(fd, "user.mioc"));
    CHANGE(0, flock(fd, LOCK_SH) + other_holds("c"));
    CHANGE(0, read_lock(fd, F_SETLK) + other_holds("c"));
    CHANGE(0, read_lock(fd, F_OFD_SETLK) + other_holds("c"));
    CHANGE(0, lockf(fd, F_TLOCK, 0));
    CHANGE(0, link_by_name(fd, 0));
    CHANGE(0, link_by_name(fd, 1));
    CHANGE(0, chmod_by_name(fd));
    CHANGE(0, truncate_by_name(fd));
    CHANGE(0, write_by_name(fd, O_WRONLY));
    CHANGE(0, write_by_name(fd, O_RDWR | O_TRUNC));
    /* The write made it uncached for good: another that is a copy. */
    printf("outside %d\n", from_outside("program", "#!/bin/true\n") + chmod("program", 0755));
    target = "program";
    CHANGE(0, fchownat(fd, "", 9, 10, AT_EMPTY_PATH));
    CHANGE(0, utimensat(fd, "", precise, AT_EMPTY_PATH));
    printf("setxattr %d\n", setxattr(target, "user.mioc", "v", 1, 0));
    CHANGE(0, same_filesystem(fd));
    CHANGE(0, copied(fd));
    CHANGE(0, execute(fd, 0));
    CHANGE(0, execute(fd, 1));
    target = "c";
    CHANGE(0, ftruncate(fd, 1));
    CHANGE(0, fcntl(fcntl(fd, F_DUPFD, 100), F_DUPFD_CLOEXEC, 200) < 0);
    look("c2");
    look("c3");
}

static void write_temporary(void)
{
    char name[64];
    int fd;

    for (int i = 0; i < 5; i++) {
        strcpy(name, i < 3 ? "tmp-XXXXXX" : "tmp-XXXXXX.py");
        fd = i == 0   ? mkstemp(name)
             : i == 1 ? mkostemp(name, O_CLOEXEC)
             : i == 2 ? mkstemp64(name)
             : i == 3 ? mkstemps(name, 3)
                      : mkostemps(name, 3, O_APPEND);
        tell_content(fd);
        printf("mkstemp %d seen=%d write=%zd open=%d\n", i, access(name, F_OK), write(fd, "x", 1),
               put(name, "y", O_WRONLY));
        close(fd);
        printf("unlink %d %d\n", unlink(name), access(name, F_OK));
    }
    strcpy(name, "dir-XXXXXX");
    printf("mkdtemp %d %d %d\n", mkdtemp(name) != NULL, access(name, F_OK), rmdir(name));
}

void run_writes(void)
{
    write_names();
    write_metadata();
    write_by_descriptor();
    write_temporary();
    write_inside_libc();
    run_descriptors();
}

/* --- The importlib rule ------------------------------------------------------------------------------------------ */

static void told_bytecode(const char *what, int fd)
{
    tell(what, "", fd >= 0 ? 0 : -1);
    tell_end();
    if (fd >= 0)
        close(fd);
}

void run_bytecode(void)
{
    const int creation = O_EXCL | O_CREAT | O_WRONLY | O_CLOEXEC;
    struct stat st;

    (void)mkdir("__pycache__", 0755);
    close(open("__pycache__/m.cpython-311.pyc", O_RDONLY));
    told_bytecode("import", CALL(open("__pycache__/m.cpython-311.pyc.140234", creation, 0644)));
    told_bytecode("other name", CALL(open("__pycache__/n.cpython-311.pyc.140234", creation, 0644)));
    told_bytecode("no digits", CALL(open("__pycache__/m.cpython-311.pyc.x1", creation, 0644)));
    told_bytecode("not exclusive", CALL(open("__pycache__/m.cpython-311.pyc.77", O_CREAT | O_WRONLY, 0644)));
    close(open("__pycache__/m.cpython-311.pyc", O_RDONLY));
    (void)!lstat("__pycache__/m.cpython-311.pyc", &st);
    told_bytecode("py_compile", CALL(open("__pycache__/m.cpython-311.pyc.140235", creation, 0644)));
}
