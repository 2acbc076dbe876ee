/* SPDX-License-Identifier: BSD-3-Clause */
/* detach.c - the original takes a copy's place behind descriptors.
 *
 * A copy's descriptor, its dups, and those that parent and child inherit are one open file with one offset, as they are
 * without us. So a copy stays behind all of them until a call acts on the file: a lock, a change of mode, a lease. Then
 * the original is opened once, at the copy's offset and with its flags, and put behind every descriptor of this process
 * that shares the copy's opening, so that these go on sharing. Another process's descriptors cannot be reached: it
 * keeps the copy, and from then on its own offset. */
#include "serve.h"
#include "base/stack.h"
#include <dirent.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef F_DUPFD_QUERY
#define F_DUPFD_QUERY 1027 /* Linux 6.10: whether two descriptors are of one opening */
#endif

/* --- Who shares an opening --------------------------------------------------------------------------------------- */

/* Before Linux 6.10 only kcmp(2) tells, which containers forbid. So the opening is marked by what belongs to it and is
 * of no use for a regular file, the signal of F_SETSIG, and its other descriptors show the mark. One thread at a time;
 * whoever comes meanwhile (or interrupts it) finds nobody who shares. */
static int marking;

struct opening {
    int fd;
    int is_marked;
    int signal, mark; /* what it had, and has while it is marked */
};

static void opening_begin(struct opening *opening, int fd)
{
    *opening = (struct opening){ .fd = fd };
    if (mioc_real(fcntl)(fd, F_DUPFD_QUERY, fd) == 1 || __atomic_exchange_n(&marking, 1, __ATOMIC_ACQUIRE))
        return;
    opening->is_marked = 1;
    opening->signal = mioc_real(fcntl)(fd, F_GETSIG);
    opening->mark = opening->signal == SIGRTMAX - 1 ? SIGRTMAX - 2 : SIGRTMAX - 1;
    (void)mioc_real(fcntl)(fd, F_SETSIG, opening->mark);
}

static void opening_end(const struct opening *opening)
{
    if (!opening->is_marked)
        return;
    (void)mioc_real(fcntl)(opening->fd, F_SETSIG, opening->signal);
    __atomic_store_n(&marking, 0, __ATOMIC_RELEASE);
}

/* Another opening may have the mark by chance, but does not lose it with this one. */
static int opening_has(const struct opening *opening, int fd)
{
    int is_same;

    if (!opening->is_marked)
        return mioc_real(fcntl)(opening->fd, F_DUPFD_QUERY, fd) == 1;
    if (mioc_real(fcntl)(fd, F_GETSIG) != opening->mark)
        return 0;
    (void)mioc_real(fcntl)(opening->fd, F_SETSIG, opening->signal);
    is_same = mioc_real(fcntl)(fd, F_GETSIG) == opening->signal;
    (void)mioc_real(fcntl)(opening->fd, F_SETSIG, opening->mark);
    return is_same;
}

/* --- In its place ------------------------------------------------------------------------------------------------ */

static int put_behind(int fd, int original)
{
    int keeps = mioc_real(fcntl)(fd, F_GETFD);

    return keeps >= 0 && mioc_real(dup3)(original, fd, (keeps & FD_CLOEXEC) ? O_CLOEXEC : 0) == fd ? 0 : -1;
}

/* The other descriptors of this process that share fd's opening. (A thread that closes one of them, and has another
 * file under its number within the two system calls between the look and the exchange, would lose that file: the kernel
 * has no exchange with a condition.) */
static __attribute__((noinline)) int put_behind_others(int fd, int original)
{
    union {
        struct dirent64 entry;
        char bytes[1024];
    } buf;
    int dir = mioc_real(open)("/proc/thread-self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct opening opening;
    long n;

    if (dir < 0) /* no /proc; or who shares cannot be found now, and would be left alone with the copy */
        return errno == ENOENT ? 0 : -1;
    opening_begin(&opening, fd);
    while ((n = syscall(SYS_getdents64, dir, buf.bytes, sizeof buf)) > 0)
        for (long at = 0; at < n; at += ((const struct dirent64 *)(const void *)(buf.bytes + at))->d_reclen) {
            const char *name = ((const struct dirent64 *)(const void *)(buf.bytes + at))->d_name;
            int other = atoi(name);

            if (name[0] != '.' && other != fd && opening_has(&opening, other))
                (void)put_behind(other, original);
        }
    opening_end(&opening);
    mioc_real(close)(dir);
    return 0;
}

/* What other threads read from the copy meanwhile moves the original's offset, too. */
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
