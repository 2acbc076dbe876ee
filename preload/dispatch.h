/* SPDX-License-Identifier: BSD-3-Clause */
/* dispatch.h - Syscall User Dispatch: the system calls that ld.so's own code makes in this thread come to a function of ours.
 *
 * The loader opens libraries with system calls of its own, which no preload sees. Between mioc_dispatch_begin() and
 * mioc_dispatch_end() the kernel (5.11 or newer, x86-64) sends SIGSYS for each of them instead of carrying it out, and the
 * handler gives the `answer`'s result. Only ld.so's text traps: not libc's, not that of constructors and handlers that run
 * meanwhile (prototypes in the project's papers show which other ways end in death). See the kernel's
 * admin-guide/syscall-user-dispatch.rst.
 *
 * Nobody shall see it: the handler is installed only while a thread is between begin and end; sigaction() and the like show
 * and set the program's own action meanwhile, sigprocmask() shows and sets what the program means while SIGSYS is really open
 * (wrap_signal.c sends them here). A SIGSYS that is not ours goes where it would have gone. A forked child starts without
 * dispatch. All functions keep errno; begin, end and the rest are for any thread, not for signal handlers of the caller's own. */
#ifndef MIOC_DISPATCH_H
#define MIOC_DISPATCH_H

#include <signal.h>

/* The result as the kernel gives it: -errno on failure. Runs in a signal handler, in the midst of ld.so, with its locks held:
 * async-signal-safe, nothing that loads, no cancellation. *is_copy, 0 before, is set where the result is a descriptor whose fstat by the
 * loader has to be answered too, as it is not what the loader asked for (but see identity.h); others' descriptors are not asked about. */
typedef long (*mioc_dispatch_answer)(long number, const long arguments[6], int *is_copy);

/* Finds ld.so and tries what this kernel can do: 0; or -1 and *why is a text that lives for ever. Before begin, once. */
int mioc_dispatch_prepare(const char **why);
/* Arms this thread; calls nest, also from constructors, and the first one's answer holds. 0, or -1: not armed, no end. */
int mioc_dispatch_begin(mioc_dispatch_answer answer);
void mioc_dispatch_end(void);
/* Whether this thread is between begin and end. */
int mioc_dispatch_is_begun(void);
/* Whether another one is, just now. */
int mioc_dispatch_is_elsewhere(void);

/* sigaction(SIGSYS, …). */
int mioc_dispatch_sigaction(const struct sigaction *action, struct sigaction *old);
/* pthread_sigmask(…): returns an error number. */
int mioc_dispatch_sigmask(int how, const sigset_t *set, sigset_t *old);

#endif
