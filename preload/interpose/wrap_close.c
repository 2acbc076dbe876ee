/* SPDX-License-Identifier: BSD-3-Clause */
/* wrap_close.c - the program's closing of descriptors spares those that MPI holds in a rank.
 *
 * Programs close what they did not open (os.closerange(3, 1024), daemons). For the program the descriptors of MPI are
 * not there: closing one is EBADF, closing a range closes what is around them. MPI's own code closes what it likes, and
 * so does a forked child. dup2() onto one of these numbers (200 and up, chosen by the program itself) cannot be had:
 * moving MPI's away is impossible, taking it kills the job. It fails with EBUSY, which dup2 has for numbers in
 * transition; of all answers it is the one that a program can name and that no program takes for success. */
#include "launch/pmi_relay.h"
#include "serve.h"
#include "node/node.h"
#include "node/plugin.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A rank, or a program that took over its place (pmi_relay.h). */
static int is_owner(void) { return mioc_node_is_owner() || mioc_pmi_relay_is_owner(); }

static __attribute__((noinline)) int is_spared_from(int fd, const void *caller)
{
    if (!mioc_plugin_is_protected_fd(fd) || !is_owner())
        return 0;
    if (!mioc_plugin_is_own_code(caller))
        return 1;
    mioc_plugin_release_fd(fd);
    return 0;
}

/* Whether fd is to be spared from `caller`. One bit test for all others. */
static inline int is_spared(int fd, const void *caller)
{
    return __builtin_expect(mioc_plugin_may_be_protected_fd(fd), 0) && is_spared_from(fd, caller);
}

MIOC_EXPORT int close(int fd)
{
    if (is_spared(fd, __builtin_return_address(0)))
        return mioc_serve_fail(EBADF);
    return mioc_real(close)(fd);
}

/* The kernel looks at all else before it looks at the new number. (PMI's may be a small one.) */
static int refuse(int oldfd, int flags)
{
    if (flags & ~O_CLOEXEC)
        return mioc_serve_fail(EINVAL);
    return mioc_serve_fail(syscall(SYS_fcntl, oldfd, F_GETFD) < 0 ? EBADF : EBUSY);
}

MIOC_EXPORT int dup2(int oldfd, int newfd)
{
    if (oldfd != newfd && is_spared(newfd, __builtin_return_address(0)))
        return refuse(oldfd, 0);
    return mioc_real(dup2)(oldfd, newfd);
}

MIOC_EXPORT int dup3(int oldfd, int newfd, int flags)
{
    if (oldfd != newfd && is_spared(newfd, __builtin_return_address(0)))
        return refuse(oldfd, flags);
    return mioc_real(dup3)(oldfd, newfd, flags);
}

static int real_close_range(unsigned first, unsigned last, int flags)
{
    if (mioc_real(close_range) != NULL)
        return mioc_real(close_range)(first, last, flags);
#ifdef SYS_close_range
    return (int)syscall(SYS_close_range, first, last, flags);
#else
    return mioc_serve_fail(ENOSYS);
#endif
}

/* The next one to spare in first..last, or -1. */
static int next_spared(unsigned first, unsigned last)
{
    int fd = first > INT_MAX ? -1 : mioc_plugin_next_protected_fd((int)first);

    return fd >= 0 && (unsigned)fd <= last ? fd : -1;
}

MIOC_EXPORT int close_range(unsigned int first, unsigned int last, int flags)
{
    int fd;

    if (first > last || !is_owner())
        return real_close_range(first, last, flags);
    while ((fd = next_spared(first, last)) >= 0) {
        if ((unsigned)fd > first && real_close_range(first, (unsigned)fd - 1, flags) != 0)
            return -1;
        if ((unsigned)fd == last)
            return 0;
        first = (unsigned)fd + 1;
    }
    return real_close_range(first, last, flags);
}

MIOC_EXPORT void closefrom(int first)
{
    int fd;

    if (first < 0)
        first = 0;
    while (is_owner() && (fd = next_spared((unsigned)first, INT_MAX)) >= 0) {
        while (first < fd)
            (void)mioc_real(close)(first++);
        first = fd + 1;
    }
    if (mioc_real(closefrom) != NULL)
        mioc_real(closefrom)(first);
    else
        (void)real_close_range((unsigned)first, ~0u, 0);
}
