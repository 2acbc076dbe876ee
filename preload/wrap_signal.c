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

/* Whether SIGSYS interrupts system calls: siginterrupt() says it to a later signal(). */
static int is_interrupting;

static __sighandler_t set_handler(__sighandler_t handler, int flags, int is_blocked)
{
    struct sigaction action, old;

    memset(&action, 0, sizeof action);
    action.sa_handler = handler;
    action.sa_flags = flags;
    if (is_blocked)
        sigaddset(&action.sa_mask, SIGSYS);
    if (handler == SIG_ERR) {
        errno = EINVAL;
        return SIG_ERR;
    }
    return mioc_dispatch_sigaction(&action, &old) == 0 ? old.sa_handler : SIG_ERR;
}

MIOC_EXPORT __sighandler_t signal(int number, __sighandler_t handler)
{
    int flags = __atomic_load_n(&is_interrupting, __ATOMIC_RELAXED) ? 0 : SA_RESTART;

    return number == SIGSYS ? set_handler(handler, flags, 1) : mioc_real(signal)(number, handler);
}
MIOC_EXPORT __sighandler_t ssignal(int number, __sighandler_t handler) __attribute__((alias("signal")));
MIOC_EXPORT __sighandler_t bsd_signal(int number, __sighandler_t handler) __attribute__((alias("signal"), nothrow, leaf));

MIOC_EXPORT __sighandler_t sysv_signal(int number, __sighandler_t handler)
{
    return number == SIGSYS ? set_handler(handler, (int)SA_RESETHAND | SA_NODEFER, 0) : mioc_real(sysv_signal)(number, handler);
}
/* What programs call that are compiled for strict ISO C. */
MIOC_EXPORT __sighandler_t __sysv_signal(int number, __sighandler_t handler) __attribute__((alias("sysv_signal")));

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
MIOC_EXPORT int siginterrupt(int number, int interrupts)
{
    struct sigaction action;

    if (number != SIGSYS)
        return mioc_real(siginterrupt)(number, interrupts);
    if (mioc_dispatch_sigaction(NULL, &action) != 0)
        return -1;
    __atomic_store_n(&is_interrupting, interrupts != 0, __ATOMIC_RELAXED);
    action.sa_flags = interrupts ? action.sa_flags & ~SA_RESTART : action.sa_flags | SA_RESTART;
    return mioc_dispatch_sigaction(&action, NULL);
}
#pragma GCC diagnostic pop

MIOC_EXPORT int pthread_sigmask(int how, const sigset_t *restrict set, sigset_t *restrict old)
{
    return mioc_dispatch_sigmask(how, set, old);
}
MIOC_EXPORT int sigprocmask(int how, const sigset_t *restrict set, sigset_t *restrict old)
{
    return or_errno(mioc_dispatch_sigmask(how, set, old));
}
