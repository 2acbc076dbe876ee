/* SPDX-License-Identifier: BSD-3-Clause */
/* stack.c - notes where a thread's alternate stack is, and runs work on a new stack. */
#include "stack.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#if !defined __x86_64__ && !defined __aarch64__
#include <ucontext.h>
#endif

/* The size of the kernel's signal mask; glibc's sigset_t is larger. */
#define KERNEL_SIGSET_SIZE 8

/* The same as the kernel's note, also in threads, in forked children and with SS_AUTODISARM. One exception: a child of
 * vfork that sets an alternate stack before its exec changes its parent's note. That thread then has no cache on the
 * part of the stack that the note names. */
__thread struct mioc_stack mioc_stack_alternate;

void mioc_stack_note(const stack_t *stack)
{
    int is_disabled = (stack->ss_flags & SS_DISABLE) != 0;

    mioc_stack_alternate.base = (uintptr_t)stack->ss_sp;
    mioc_stack_alternate.size = is_disabled ? 0 : stack->ss_size;
}

void mioc_stack_set_signals(uint64_t blocked, uint64_t *before)
{
    /* It cannot fail, so errno stays. */
    (void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &blocked, before, KERNEL_SIGSET_SIZE);
}

/* A piece of work and its stack, in memory of their own. */
struct elsewhere {
    int (*work)(void *arg);
    void *arg;
    int result, error;
    uint64_t signals; /* blocked before */
    struct elsewhere *outer;
    _Alignas(16) char stack[MIOC_STACK_TOLD];
};

/* The work that this thread is in, or NULL. A child of vfork leaves the pointer as it was. */
static __thread struct elsewhere *current;

static void run(struct elsewhere *e)
{
    e->outer = current;
    current = e;
    e->result = e->work(e->arg);
    e->error = errno;
    current = e->outer;
}

void mioc_stack_see_blocked(sigset_t *blocked)
{
    if (current != NULL)
        memcpy(blocked, &current->signals, sizeof current->signals);
}

/* --- run(e) on its stack ----------------------------------------------------------------------------------------- */

/* A plain call, except that the stack pointer waits in a register that run() keeps. This file is compiled with frame
 * pointers, so that a debugger can walk the stack. */
#if defined __x86_64__
static __attribute__((noinline)) void run_on(struct elsewhere *e, char *top)
{
    __asm__ volatile("movq %%rsp, %%rbx\n\tmovq %1, %%rsp\n\tcallq *%2\n\tmovq %%rbx, %%rsp"
                     : "+D"(e), "+a"(top)
                     : "d"(run)
                     : "rbx", "rcx", "rsi", "r8", "r9", "r10", "r11", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5",
                       "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "memory",
                       "cc");
}
#elif defined __aarch64__
static __attribute__((noinline)) void run_on(struct elsewhere *e, char *top)
{
    register struct elsewhere *first __asm__("x0") = e;
    register char *stack __asm__("x1") = top;
    register void (*function)(struct elsewhere *) __asm__("x2") = run;

    __asm__ volatile("mov x19, sp\n\tmov sp, x1\n\tblr x2\n\tmov sp, x19"
                     : "+r"(first), "+r"(stack), "+r"(function)
                     :
                     : "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15", "x16", "x17",
                       "x18", "x19", "x30", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11",
                       "v12", "v13", "v14", "v15", "v16", "v17", "v18", "v19", "v20", "v21", "v22", "v23", "v24", "v25",
                       "v26", "v27", "v28", "v29", "v30", "v31", "memory", "cc");
}
#else
/* makecontext() passes numbers only. */
static void run_by_halves(unsigned high, unsigned low)
{
    run((struct elsewhere *)(uintptr_t)((uint64_t)high << 32 | low)); /* NOLINT: an address */
}

/* A context takes a kilobyte, too much for the small stack. Both lie at the low end of the new stack. */
static void run_on(struct elsewhere *e, char *top)
{
    struct contexts {
        ucontext_t here, there;
    } *contexts = (struct contexts *)(void *)e->stack;
    uint64_t at = (uint64_t)(uintptr_t)e;

    (void)getcontext(&contexts->there);
    contexts->there.uc_stack.ss_sp = contexts + 1;
    contexts->there.uc_stack.ss_size = (size_t)(top - (char *)(contexts + 1));
    contexts->there.uc_link = &contexts->here;
    makecontext(&contexts->there, (void (*)(void))run_by_halves, 2, (unsigned)(at >> 32), (unsigned)at);
    (void)swapcontext(&contexts->here, &contexts->there);
}
#endif

/* Returns NULL if there is no memory. It makes raw system calls, because MPI's libraries hook libc's mmap(), and their
 * hooks take locks and need stack. */
static struct elsewhere *prepare(int (*work)(void *arg), void *arg)
{
    long at = syscall(SYS_mmap, NULL, sizeof(struct elsewhere), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0l);
    struct elsewhere *e = (struct elsewhere *)at; /* NOLINT: an address */

    if (at == -1)
        return NULL;
    e->work = work;
    e->arg = arg;
    return e;
}

/* The kernel does not know about the new stack: it would put a handler's frame at the top of the alternate stack, over
 * the frames that we return to. So signals are blocked. This also keeps a signal from ending the thread while it has
 * this memory. */
int mioc_stack_run_elsewhere(int (*work)(void *arg), void *arg)
{
    struct elsewhere *e = prepare(work, arg);
    int result, error;
    uint64_t signals;

    if (e == NULL)
        return -1;
    mioc_stack_set_signals(~0ull, &e->signals);
    run_on(e, e->stack + sizeof e->stack);
    result = e->result;
    error = e->error;
    signals = e->signals;
    (void)syscall(SYS_munmap, e, sizeof *e);
    mioc_stack_set_signals(signals, NULL);
    errno = error;
    return result;
}
