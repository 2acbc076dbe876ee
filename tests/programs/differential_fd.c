/* SPDX-License-Identifier: BSD-3-Clause */
/* differential_fd.c - descriptors that are shared, inherited, mapped, passed on: changes and locks by one are the
 * file's. */
#include "differential.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static char file[32];


/* A new file that nobody here wrote: made by another process, and then told of without being given up. Each part needs
 * its own, as what was opened for writing is not cached any more. */
static void make(void)
{
    static int made;
    char command[160];

    (void)snprintf(file, sizeof file, "shared%d.so", made++);
    (void)snprintf(command, sizeof command, "printf 'what is shared' >%s; touch -d @12345 %s; chmod 644 %s", file, file,
                   file);
    if (system(command) != 0 || chmod(file, 0644) != 0)
        printf("cannot make %s\n", file);
}

static int opened(int flags)
{
    struct stat st;

    (void)stat(file, &st);
    return open(file, O_RDONLY | flags);
}

static void show(const char *what, long rc, const int *fds, int n)
{
    struct stat by_path, st;

    tell(what, "", rc);
    (void)stat(file, &by_path);
    for (int i = 0; i < n; i++) {
        (void)fstat(fds[i], &st);
        tell_more(" [%o %lld same=%d at=%lld cloexec=%d]", st.st_mode, (long long)st.st_mtim.tv_sec,
                  st.st_ino == by_path.st_ino && st.st_dev == by_path.st_dev && st.st_mode == by_path.st_mode,
                  (long long)lseek(fds[i], 0, SEEK_CUR), fcntl(fds[i], F_GETFD));
    }
    tell_end();
}

#define TELL(expression) (tell(#expression, "", CALL((long)(expression))), tell_end())

/* What another process finds locked: 1 by flock, 2 by fcntl. */
static int held(void)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    int status = 0, fd;
    pid_t child = fork();

    if (child == 0) {
        fd = open(file, O_RDWR);
        _exit((flock(fd, LOCK_EX | LOCK_NB) != 0) + 2 * (fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK));
    }
    (void)waitpid(child, &status, 0);
    return WEXITSTATUS(status);
}

/* --- dup --------------------------------------------------------------------------------------------------------- */

static void share_in_process(void)
{
    const struct timespec times[2] = { { 5000, 6 }, { 7000, 8 } };
    int fd = opened(0), fds[3] = { fd, dup(fd), fcntl(fd, F_DUPFD_CLOEXEC, 50) };
    char c;

    show("read", read(fds[1], &c, 1), fds, 3);
    show("fchmod", CALL(fchmod(fds[0], 0604)), fds, 3);
    show("seek", lseek(fds[2], 5, SEEK_SET), fds, 3);
    show("futimens", CALL(futimens(fds[2], times)), fds, 3);
    show("flock", CALL(flock(fds[1], LOCK_EX)), fds, 3);
    printf("held %d\n", held());
    close(fds[1]); /* the lock is that of the opening, which two others share */
    printf("held %d\n", held());
    printf("unlock %d\n", flock(fds[2], LOCK_UN));
    printf("held %d\n", held());
    close(fds[0]);
    close(fds[2]);
}

static void lock_records(void)
{
    struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_len = 5 };
    int fds[2] = { opened(0), -1 };

    fds[1] = dup(fds[0]);
    show("F_SETLK", CALL(fcntl(fds[1], F_SETLK, &lock)), fds, 2);
    printf("held %d\n", held());
    close(fds[0]); /* any of the process's ends its record locks */
    printf("held %d\n", held());
    fds[0] = dup(fds[1]);
    show("F_OFD_SETLK", CALL(fcntl(fds[1], F_OFD_SETLK, &lock)), fds, 2);
    close(fds[1]); /* and these belong to the opening */
    printf("held %d\n", held());
    close(fds[0]);
    printf("held %d\n", held());
    fds[0] = opened(0);
    lock.l_type = F_WRLCK;
    show("write lock", CALL(fcntl(fds[0], F_SETLK, &lock)), fds, 1);
    show("lockf", CALL(lockf(fds[0], F_TEST, 0)), fds, 1);
    close(fds[0]);
}

/* --- fork and exec ----------------------------------------------------------------------------------------------- */

static void inherit(void)
{
    int fd = opened(0), status = 0;
    char text[128];
    pid_t child = fork();

    if (child == 0)
        _exit(read(fd, text, 4) != 4 || fchmod(fd, 0606) != 0);
    (void)waitpid(child, &status, 0);
    show("changed by a child", status, &fd, 1);
    close(fd);
    fd = opened(0);
    (void)snprintf(text, sizeof text, "cat <&%d", fd);
    fflush(stdout);
    status = system(text);
    show("read by a program", status, &fd, 1);
    close(fd);
}

/* What a child does with a descriptor that it shares moves the parent's offset; what it locks is locked for the
 * parent's end, too, unless the child was the first to act on the file: README says so. */
static int in_child(int (*act)(int fd), int fd)
{
    int status = 0;
    pid_t child = fork();

    if (child == 0)
        _exit(act(fd));
    (void)waitpid(child, &status, 0);
    return status;
}

static int read_by_another_number(int fd)
{
    char text[3];

    return dup2(fd, 60) != 60 || read(60, text, 3) != 3 || dup3(60, 61, O_CLOEXEC) != 61 || lseek(61, 1, SEEK_CUR) < 0;
}

static int read_by_streams(int fd)
{
    FILE *f = fdopen(dup(fd), "r");

    return f == NULL || setvbuf(f, NULL, _IONBF, 0) != 0 || fgetc(f) == EOF || fclose(f) != 0;
}

static int unlock(int fd) { return flock(fd, LOCK_UN); }

static void inherit_offset(void)
{
    int fd = opened(0), fds[2] = { fd, -1 };

    show("read by a child's dup2", in_child(read_by_another_number, fd), fds, 1);
    fds[1] = dup(fd);
    show("read by a child's stream", in_child(read_by_streams, fds[1]), fds, 2);
    show("flock", CALL(flock(fds[1], LOCK_EX)), fds, 2);
    show("read by a child, locked", in_child(read_by_another_number, fd), fds, 2);
    printf("held %d\n", held());
    show("unlocked by a child", in_child(unlock, fds[0]), fds, 2);
    printf("held %d\n", held());
    close(fds[0]);
    close(fds[1]);
}

/* --- Mappings, pipes, sockets ------------------------------------------------------------------------------------ */

static void map(void)
{
    int fd = opened(0);
    char *shared = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);

    show("fchmod of what is mapped", CALL(fchmod(fd, 0644)), &fd, 1);
    printf("mapped %.14s\n", shared);
    TELL(mprotect(shared, 4096, PROT_READ | PROT_WRITE));
    TELL(msync(shared, 4096, MS_SYNC));
    TELL(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
    munmap(shared, 4096);
    close(fd);
}

static void pass_on(void)
{
    int fd = opened(0), to = open("passed", O_RDWR | O_CREAT | O_TRUNC, 0600), pipes[2], pair[2];
    char text[64] = "";
    off_t at = 3;

    printf("pipe %d, socketpair %d\n", pipe(pipes), socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    printf("sendfile to a file %zd at=%lld\n", CALL(sendfile(to, fd, &at, 4)), (long long)at);
    printf("sendfile to a socket %zd\n", CALL(sendfile(pair[0], fd, NULL, 5)));
    printf("splice %zd\n", CALL(splice(fd, NULL, pipes[1], NULL, 5, 0)));
    printf("got %zd %zd %zd %s\n", read(pair[1], text, 5), read(pipes[0], text + 5, 5), pread(to, text + 10, 9, 0),
           text);
    TELL(write(fd, "x", 1));
    TELL(ftruncate(fd, 1));
    printf("posix_fallocate %d\n", posix_fallocate(fd, 0, 100));
    TELL(sendfile(fd, to, NULL, 1));
    TELL(copy_file_range(to, NULL, fd, NULL, 1, 0));
    TELL(fallocate(fd, 0, 0, 100));
    show("after all that", 0, &fd, 1);
    close(fd);
    close(to);
    for (int i = 0; i < 2; i++) {
        close(pipes[i]);
        close(pair[i]);
    }
}

/* --- Names for descriptors, and who watches ---------------------------------------------------------------------- */

static int handle_of(int dirfd, const char *path, int flags, struct file_handle *handle, int *mount)
{
    handle->handle_bytes = 100;
    return name_to_handle_at(dirfd, path, handle, mount, flags);
}

static void handles(void)
{
    _Alignas(8) char first[256] = "", second[256] = "";
    struct file_handle *by_path = (void *)first, *by_fd = (void *)second;
    int fd = opened(0), a = 0, b = 0, fd_path = open(file, O_PATH), rc;

    rc = handle_of(AT_FDCWD, file, 0, by_path, &a);
    printf("name_to_handle_at %d %d\n", rc, handle_of(fd, "", AT_EMPTY_PATH, by_fd, &b));
    printf("the same %d %d\n", a == b, memcmp(first, second, sizeof first) == 0);
    show("O_PATH", CALL(fchmod(fd_path, 0644)), &fd_path, 1);
    close(fd);
    close(fd_path);
}

static void watch(void)
{
    _Alignas(8) char buf[4096];
    int watcher = inotify_init1(IN_NONBLOCK), fd = opened(0);
    char name[64];

    (void)snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    printf("inotify %d\n", inotify_add_watch(watcher, file, IN_ATTRIB | IN_MODIFY) > 0);
    printf("by descriptor, the same %d\n", inotify_add_watch(watcher, name, IN_ATTRIB | IN_MODIFY));
    printf("fchmod %d", fchmod(fd, 0645));
    printf(", seen %d\n", read(watcher, buf, sizeof buf) > 0);
    close(fd);
    close(watcher);
}

/* --- Descriptors for writing: what is written by whatever call is seen by the name at once ----------------------- */

static void wrote(const char *what, long rc)
{
    int fd = open(file, O_RDONLY);
    struct stat st = { 0 };

    tell(what, "", rc);
    (void)stat(file, &st);
    tell_more(" size=%lld", (long long)st.st_size);
    tell_content(fd);
    (void)fstat(fd, &st);
    tell_more(" fsize=%lld nlink=%d", (long long)st.st_size, (int)st.st_nlink);
    tell_end();
    close(fd);
}
#define WROTE(expression) wrote(#expression, CALL((long)(expression)))

static int write_mapped(int fd)
{
    char *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (shared == MAP_FAILED)
        return -1;
    memcpy(shared, "MAP", 3);
    return munmap(shared, 4096);
}

static int append_by_stream(FILE *f) { return f == NULL ? -1 : fputs("stream", f) + fclose(f); }

static int append_by_freopen(const char *name)
{
    FILE *f = freopen(name, "a", fopen("passed", "r"));

    return append_by_stream(f);
}

static int change_mode_of_stream(void)
{
    FILE *f = fopen(file, "r");

    return append_by_stream(freopen(NULL, "r+", f));
}

static int link_unnamed(void)
{
    int fd = open(".", O_TMPFILE | O_RDWR, 0600), rc;
    char name[64];

    if (fd < 0)
        return -1;
    (void)snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    (void)unlink(file);
    rc = linkat(AT_FDCWD, name, AT_FDCWD, file, AT_SYMLINK_FOLLOW);
    wrote("linked", rc);
    (void)!write(fd, "behind the link", 15);
    close(fd);
    return rc;
}

static int written_after_rename(void)
{
    int fd = open("coming.so", O_CREAT | O_WRONLY, 0644), rc = rename("coming.so", file);

    wrote("renamed", rc);
    (void)!write(fd, "behind the rename", 17);
    close(fd);
    return rc;
}

static int written_after_link(void)
{
    int fd = open("coming.so", O_CREAT | O_WRONLY, 0644), rc = unlink(file) + link("coming.so", file);

    wrote("linked", rc);
    (void)!write(fd, "behind that link", 16);
    close(fd);
    return rc + unlink("coming.so");
}

static void write_all_ways(void)
{
    const struct iovec parts[2] = { { (char *)(uintptr_t) "one", 3 }, { (char *)(uintptr_t) "two", 3 } };
    int fd, from = open("passed", O_RDONLY);

    wrote("before", 0);
    fd = open(file, O_RDWR);
    WROTE(pwrite(fd, "PWRITE", 6, 0));
    WROTE(writev(fd, parts, 2));
    WROTE(ftruncate(fd, 5));
    WROTE(write_mapped(fd));
    WROTE(posix_fallocate(fd, 0, 50));
    WROTE(sendfile(fd, from, NULL, 4));
    WROTE(copy_file_range(from, NULL, fd, NULL, 2, 0) > 0);
    WROTE(write(dup(fd), "dup", 3));
    WROTE(append_by_stream(fdopen(fd, "r+")));
    WROTE(append_by_freopen(file));
    WROTE(change_mode_of_stream());
    WROTE(link_unnamed());
    WROTE(written_after_rename());
    WROTE(written_after_link());
    WROTE(close(openat(AT_FDCWD, file, O_WRONLY | O_TRUNC)));
    close(from);
}

void run_descriptors(void)
{
    static void (*const parts[])(void) = { share_in_process, lock_records, inherit, inherit_offset, map,
                                           pass_on,          handles,      watch,   write_all_ways };

    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        make();
        parts[i]();
    }
}
