/* SPDX-License-Identifier: BSD-3-Clause */
/* stack.h - how much room a small stack has: a signal handler may run on an alternate stack of a few KiB.
 *
 * Our frames on the way to a real call take less than 512 bytes, in dormant processes too. A served call takes more, in
 * functions of its own; where there is no room for them the interposer makes the real call. Work that cannot be left
 * out (the notice of a write, what a copy's descriptor needs) runs on a stack that is made for it. The stack of a
 * thread is taken to be large enough. exported.bats measures all of this for every exported function. */
#ifndef MIOC_STACK_H
#define MIOC_STACK_H

#include <errno.h>
#include <signal.h>
#include <stdint.h>

/* Room for a signal that comes meanwhile, on the same stack: the kernel's frame is 3.6 KiB with AVX-512. */
#define MIOC_STACK_SPARE (4u * 1024u)
/* Room for a call that reads and is served. */
#define MIOC_STACK_SERVED (16u * 1024u)
/* Room for the notice of a write, and for the search for the store that gets it. */
#define MIOC_STACK_TOLD (64u * 1024u)

/* This thread's alternate stack; size 0: it has none. */
struct mioc_stack {
    uintptr_t base, size;
};
extern __thread struct mioc_stack mioc_stack_alternate __attribute__((tls_model("initial-exec")));

/* Sets this thread's signal mask to `blocked`, in the kernel's form. Stores the mask before in *before, unless NULL.
 * Keeps errno. */
void mioc_stack_set_signals(uint64_t blocked, uint64_t *before);
/* Takes note of this thread's alternate stack, after a sigaltstack() that succeeded. */
void mioc_stack_note(const stack_t *stack);

/* Whether this stack has room for `bytes`. Two comparisons. */
static inline __attribute__((always_inline)) int mioc_stack_has_room(uintptr_t bytes)
{
    uintptr_t at = (uintptr_t)__builtin_frame_address(0) - mioc_stack_alternate.base;

    return at >= mioc_stack_alternate.size || at >= bytes;
}

/* Runs work(arg) in the calling thread, on a new stack of MIOC_STACK_TOLD bytes, with all signals blocked. Returns what
 * work returns, with its errno; or -1 with ENOMEM: there is no memory, and work did not run. Async-signal-safe, also in
 * a child of vfork. */
int mioc_stack_run_elsewhere(int (*work)(void *arg), void *arg);

/* Within such work: replaces *blocked, where all signals are blocked, by the mask that the thread had before. */
void mioc_stack_see_blocked(sigset_t *blocked);

/* Runs work(arg) on this stack if it has room for `bytes`, else as mioc_stack_run_elsewhere() does. */
static inline __attribute__((always_inline)) int mioc_stack_run(uintptr_t bytes, int (*work)(void *arg), void *arg)
{
    return mioc_stack_has_room(bytes) ? work(arg) : mioc_stack_run_elsewhere(work, arg);
}

/* The same for work that returns 0, and may be left out: without memory it does not run, and errno stays. Otherwise
 * errno is what work leaves in it. */
static inline __attribute__((always_inline)) void mioc_stack_try(uintptr_t bytes, int (*work)(void *arg), void *arg)
{
    int saved = errno;

    if (mioc_stack_run(bytes, work, arg) != 0)
        errno = saved;
}

#endif
