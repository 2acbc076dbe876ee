/* SPDX-License-Identifier: BSD-3-Clause */
/* wrap_close.c - a program that closes what it did not open spares the descriptors that MPI holds in a rank (README.md,
 * "Descriptors that MPI holds"). */
#include "serve.h"
#include "node/plugin.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

static __attribute__((noinline)) int is_spared_from(int fd, const void *caller)
{
    if (!mioc_plugin_is_protected_fd(fd) || !mioc_plugin_is_protector())
        return 0;
    if (!mioc_plugin_is_own_code(caller))
        return 1;
    mioc_plugin_release_fd(fd);
    return 0;
}

/* Whether code at `caller` must not close `fd`. For most descriptors this is one test of a bit. */
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

/* The error for dup2 or dup3 onto a spared number. The kernel checks the other arguments first. */
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

/* The next spared descriptor in first..last, or -1. */
static int next_spared(unsigned first, unsigned last)
{
    int fd = first > INT_MAX ? -1 : mioc_plugin_next_protected_fd((int)first);

    return fd >= 0 && (unsigned)fd <= last ? fd : -1;
}

MIOC_EXPORT int close_range(unsigned int first, unsigned int last, int flags)
{
    int fd;

    if (first > last || !mioc_plugin_is_protector())
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
    while (mioc_plugin_is_protector() && (fd = next_spared((unsigned)first, INT_MAX)) >= 0) {
        while (first < fd)
            (void)mioc_real(close)(first++);
        first = fd + 1;
    }
    if (mioc_real(closefrom) != NULL)
        mioc_real(closefrom)(first);
    else
        (void)real_close_range((unsigned)first, ~0u, 0);
}
