/* SPDX-License-Identifier: BSD-3-Clause */
/* stack.h - how much room there is on a small stack: a signal's handler may run on an alternate one of a few KiB.
 *
 * What is ours on the way to a real call takes less than 512 bytes, dormant or not. A call that would be served takes
 * more, in functions of its own, and is the real one where there is no room for them. What has to be done all the same
 * (telling of a write, what a copy's descriptor needs) is done on a stack that is made for it. The stacks of threads
 * are taken to be large enough. exported.bats measures all of this for every exported function. */
#ifndef MIOC_STACK_H
#define MIOC_STACK_H

#include <errno.h>
#include <signal.h>
#include <stdint.h>

/* For a signal that comes meanwhile, on the same stack: the kernel's frame is 3.6 KiB with AVX-512. */
#define MIOC_STACK_SPARE (4u * 1024u)
/* The room for a call that reads and is served. */
#define MIOC_STACK_SERVED (16u * 1024u)
/* The room for telling of a write, and for looking for the store that it is to be told to. */
#define MIOC_STACK_TOLD (64u * 1024u)

/* This thread's alternate stack: its size is 0 where there is none. */
struct mioc_stack {
    uintptr_t base, size;
};
extern __thread struct mioc_stack mioc_stack_alternate __attribute__((tls_model("initial-exec")));

/* Blocks these signals of the kernel's, and no others; `before` may be NULL. */
void mioc_stack_set_signals(uint64_t blocked, uint64_t *before);
/* After a sigaltstack() that succeeded. */
void mioc_stack_note(const stack_t *stack);

/* Whether there is room for `bytes` here. Two comparisons. */
static inline __attribute__((always_inline)) int mioc_stack_has_room(uintptr_t bytes)
{
    uintptr_t at = (uintptr_t)__builtin_frame_address(0) - mioc_stack_alternate.base;

    return at >= mioc_stack_alternate.size || at >= bytes;
}

/* Runs work(arg) on a stack of MIOC_STACK_TOLD that is made for it. All else is the calling thread's, but that signals
 * wait. What work returns, with its errno; or -1 with ENOMEM: there is no memory, and work did not run.
 * Async-signal-safe, also in a child of vfork. */
int mioc_stack_run_elsewhere(int (*work)(void *arg), void *arg);

/* In such work: `blocked`, which are all, becomes what the thread had blocked before. */
void mioc_stack_see_blocked(sigset_t *blocked);

/* As mioc_stack_run_elsewhere(), but here where there is room for `bytes`. */
static inline __attribute__((always_inline)) int mioc_stack_run(uintptr_t bytes, int (*work)(void *arg), void *arg)
{
    return mioc_stack_has_room(bytes) ? work(arg) : mioc_stack_run_elsewhere(work, arg);
}

/* The same for work that returns 0, and is left undone where there is no memory: errno is what work leaves in it. */
static inline __attribute__((always_inline)) void mioc_stack_try(uintptr_t bytes, int (*work)(void *arg), void *arg)
{
    int saved = errno;

    if (mioc_stack_run(bytes, work, arg) != 0)
        errno = saved;
}

#endif
