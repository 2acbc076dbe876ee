/* SPDX-License-Identifier: BSD-3-Clause */
/* detach.c - puts the original behind all descriptors of this process that share a copy's open file (README.md,
 * "Detaching"). */
#include "serve.h"
#include "base/stack.h"
#include "base/folder.h"
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef F_DUPFD_QUERY
#define F_DUPFD_QUERY 1027 /* Linux 6.10: whether two descriptors share an open file */
#endif

/* --- Which descriptors share an open file ------------------------------------------------------------------------ */

/* Atomic: 1 while a thread marks an open file. Only one marks at a time. A thread that comes meanwhile, or a signal
 * handler that interrupts it, finds nobody who shares. */
static int marking;

struct open_file {
    int fd; /* one of its descriptors */
    int is_marked;
    int signal, mark; /* the signal of F_SETSIG: the program's, and ours while the file is marked */
};

static void mark_begin(struct open_file *file, int fd)
{
    *file = (struct open_file){ .fd = fd };
    if (mioc_real(fcntl)(fd, F_DUPFD_QUERY, fd) == 1 || __atomic_exchange_n(&marking, 1, __ATOMIC_ACQUIRE))
        return;
    file->is_marked = 1;
    file->signal = mioc_real(fcntl)(fd, F_GETSIG);
    file->mark = file->signal == SIGRTMAX - 1 ? SIGRTMAX - 2 : SIGRTMAX - 1;
    (void)mioc_real(fcntl)(fd, F_SETSIG, file->mark);
}

static void mark_end(const struct open_file *file)
{
    if (!file->is_marked)
        return;
    (void)mioc_real(fcntl)(file->fd, F_SETSIG, file->signal);
    __atomic_store_n(&marking, 0, __ATOMIC_RELEASE);
}

/* Another open file may have the same signal by chance. It keeps that signal when this file's changes. */
static int is_shared_by(const struct open_file *file, int fd)
{
    int is_same;

    if (!file->is_marked)
        return mioc_real(fcntl)(file->fd, F_DUPFD_QUERY, fd) == 1;
    if (mioc_real(fcntl)(fd, F_GETSIG) != file->mark)
        return 0;
    (void)mioc_real(fcntl)(file->fd, F_SETSIG, file->signal);
    is_same = mioc_real(fcntl)(fd, F_GETSIG) == file->signal;
    (void)mioc_real(fcntl)(file->fd, F_SETSIG, file->mark);
    return is_same;
}

/* --- The exchange ------------------------------------------------------------------------------------------------ */

static int put_behind(int fd, int original)
{
    int keeps = mioc_real(fcntl)(fd, F_GETFD);

    return keeps >= 0 && mioc_real(dup3)(original, fd, (keeps & FD_CLOEXEC) ? O_CLOEXEC : 0) == fd ? 0 : -1;
}

struct others {
    struct open_file file;
    int original;
};

static int put_behind_other(void *ctx, int dir, const char *name)
{
    const struct others *others = ctx;
    int other = atoi(name);

    (void)dir;
    if (other != others->file.fd && is_shared_by(&others->file, other))
        (void)put_behind(other, others->original);
    return 0;
}

/* Puts `original` behind the other descriptors of this process that share fd's open file. Another thread may close one
 * of them, and open another file under its number, between the test and the exchange: README.md. */
static __attribute__((noinline)) int put_behind_others(int fd, int original)
{
    struct others others = { .original = original };
    int dir = mioc_real(open)("/proc/thread-self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    /* ENOENT: there is no /proc. Any other error may pass: then the others must not be left alone with the copy. */
    if (dir < 0)
        return errno == ENOENT ? 0 : -1;
    mark_begin(&others.file, fd);
    (void)mioc_folder_walk(dir, put_behind_other, &others);
    mark_end(&others.file);
    mioc_real(close)(dir);
    return 0;
}

/* Other threads may read from the copy meanwhile. The original's offset moves by as much. */
static int exchange(int fd, int original, int has_offset)
{
    off_t at = has_offset ? mioc_real(lseek)(fd, 0, SEEK_CUR) : 0, now = at;

    if (at < 0 || (has_offset && mioc_real(lseek)(original, at, SEEK_SET) != at) ||
        put_behind_others(fd, original) != 0)
        return -1;
    if (has_offset)
        now = mioc_real(lseek)(fd, 0, SEEK_CUR);
    if (put_behind(fd, original) != 0)
        return -1;
    if (now > 0 && now != at)
        (void)mioc_real(lseek)(original, now - at, SEEK_CUR);
    return 0;
}

struct copy {
    int fd;
    const struct mioc_content_record *record;
};

static __attribute__((noinline)) int detach(void *arg)
{
    const struct copy *copy = arg;
    int fd = copy->fd, saved = errno, flags = mioc_real(fcntl)(fd, F_GETFL), rc;
    int original = flags < 0 ? -1 : mioc_serve_open_original(copy->record, flags);

    if (original < 0)
        return -1;
    rc = exchange(fd, original, !(flags & O_PATH));
    if (rc != 0)
        saved = errno;
    mioc_real(close)(original);
    errno = saved;
    return rc;
}

int mioc_serve_detach(int fd)
{
    struct copy copy = { fd, mioc_serve_copy_behind(fd) };

    return copy.record == NULL ? 0 : mioc_stack_run(MIOC_STACK_SERVED, detach, &copy);
}

int mioc_serve_detach_to_lock(int fd)
{
    int saved = errno;

    if (mioc_serve_detach(fd) == 0)
        return 0;
    if (errno != ESTALE)
        return mioc_serve_fail(ENOLCK);
    errno = saved;
    return 0;
}
