/* SPDX-License-Identifier: BSD-3-Clause */
/* wrap_signal.c - the program's own view of SIGSYS, which dispatch.c borrows while a library is being loaded. */
#include "dispatch.h"
#include "serve.h"
#include <string.h>

/* POSIX says -1 with errno, pthread_sigmask the number. */
static int or_errno(int error)
{
    return error == 0 ? 0 : mioc_serve_fail(error);
}

MIOC_EXPORT int sigaction(int number, const struct sigaction *restrict action, struct sigaction *restrict old)
{
    return number == SIGSYS ? mioc_dispatch_sigaction(action, old) : mioc_real(sigaction)(number, action, old);
}

static __sighandler_t set_handler(__sighandler_t handler, int flags)
{
    struct sigaction action, old;

    memset(&action, 0, sizeof action);
    action.sa_handler = handler;
    action.sa_flags = flags;
    if (handler == SIG_ERR) {
        errno = EINVAL;
        return SIG_ERR;
    }
    return mioc_dispatch_sigaction(&action, &old) == 0 ? old.sa_handler : SIG_ERR;
}

MIOC_EXPORT __sighandler_t signal(int number, __sighandler_t handler)
{
    /* siginterrupt(SIGSYS, 1) is not heeded. */
    return number == SIGSYS ? set_handler(handler, SA_RESTART) : mioc_real(signal)(number, handler);
}
MIOC_EXPORT __sighandler_t sysv_signal(int number, __sighandler_t handler)
{
    return number == SIGSYS ? set_handler(handler, (int)SA_RESETHAND | SA_NODEFER) : mioc_real(sysv_signal)(number, handler);
}
/* What programs call that are compiled for strict ISO C. */
MIOC_EXPORT __sighandler_t __sysv_signal(int number, __sighandler_t handler) __attribute__((alias("sysv_signal")));

MIOC_EXPORT int pthread_sigmask(int how, const sigset_t *restrict set, sigset_t *restrict old)
{
    return mioc_dispatch_sigmask(how, set, old);
}
MIOC_EXPORT int sigprocmask(int how, const sigset_t *restrict set, sigset_t *restrict old)
{
    return or_errno(mioc_dispatch_sigmask(how, set, old));
}
