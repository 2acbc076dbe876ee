/* SPDX-License-Identifier: BSD-3-Clause */
/* dispatch.c - Syscall User Dispatch: arms a thread, receives the system calls of ld.so, and keeps SIGSYS out of sight. */
#include "dispatch.h"
#include "dispatch_range.h"
#include "real.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define SYS_USER_DISPATCH_CODE 2       /* siginfo's si_code */
#define KERNEL_SA_RESTORER 0x04000000  /* glibc sets it, and shows it */

/* The program's action for SIGSYS while ours is installed, that is, while users > 0. `lock` guards all of it and the real
 * sigaction(SIGSYS); it is held with all signals blocked, so no handler can want it from the thread that has it. */
static int lock;
static unsigned users;
static struct sigaction program_action;

static __thread struct {
    unsigned depth;
    enum mioc_range range;
    int is_blocked; /* whether the program means SIGSYS to be blocked */
    int is_pending; /* one came meanwhile */
    siginfo_t pending;
    mioc_dispatch_answer answer;
    const char *frame; /* of the first begin */
} thread __attribute__((tls_model("initial-exec")));

static int set_mask(int how, const sigset_t *set, sigset_t *old)
{
    return mioc_real(pthread_sigmask)(how, set, old);
}

static void block_all(sigset_t *old)
{
    sigset_t all;

    sigfillset(&all);
    (void)set_mask(SIG_SETMASK, &all, old);
}

/* With all signals blocked. Held for a system call or two. */
static void take_lock(void)
{
    while (__atomic_exchange_n(&lock, 1, __ATOMIC_ACQUIRE))
        (void)syscall(SYS_sched_yield);
}

static void drop_lock(void)
{
    __atomic_store_n(&lock, 0, __ATOMIC_RELEASE);
}

/* --- Traps -------------------------------------------------------------------------------------------------------------- */

int mioc_dispatch_prepare(const char **why)
{
    return mioc_range_prepare(why);
}

#ifdef __x86_64__
/* What can be carried out anywhere else than where it was asked for. Not: what makes threads or processes, or changes the
 * state that a signal's return restores. */
static int is_movable(long number)
{
    switch (number) {
    case SYS_open: case SYS_openat: case SYS_close: case SYS_read: case SYS_pread64: case SYS_lseek:
    case SYS_stat: case SYS_lstat: case SYS_fstat: case SYS_newfstatat: case SYS_statx:
    case SYS_access: case SYS_faccessat: case SYS_readlink: case SYS_readlinkat: case SYS_getcwd: case SYS_getdents64:
    case SYS_mmap: case SYS_mprotect: case SYS_munmap: case SYS_mremap: case SYS_madvise: case SYS_brk:
    case SYS_write: case SYS_writev: case SYS_fcntl: case SYS_futex: case SYS_uname: case SYS_getpid: case SYS_gettid:
    case SYS_getuid: case SYS_geteuid: case SYS_getgid: case SYS_getegid: case SYS_getrandom: case SYS_clock_gettime:
    case SYS_exit_group:
        return 1;
    default:
        return 0;
    }
}

/* What may have to be answered next. Directories are looked at behind an open that failed, descriptors behind one that did not. */
static enum mioc_range next_range(long number, const long arguments[6], long result, int is_copy)
{
    if (mioc_range_is_open(number))
        return result < 0 || is_copy ? MIOC_RANGE_LOOKS : MIOC_RANGE_OPENS;
    if (number == SYS_fstat || (number == SYS_newfstatat && (arguments[3] & AT_EMPTY_PATH)))
        return MIOC_RANGE_OPENS;
    return thread.range;
}

static void answer_trap(const siginfo_t *info, ucontext_t *context)
{
    greg_t *g = context->uc_mcontext.gregs;
    const long arguments[6] = { g[REG_RDI], g[REG_RSI], g[REG_RDX], g[REG_R10], g[REG_R8], g[REG_R9] };
    int cancel, is_copy = 0;

    mioc_range_learn(info->si_syscall, (unsigned long)g[REG_RIP]);
    if (!is_movable(info->si_syscall)) {
        /* Again, for real: the instruction is two bytes long. The rest of this dlopen goes on without us. */
        mioc_range_disarm(&thread.range);
        g[REG_RIP] -= 2;
        g[REG_RAX] = info->si_syscall;
        return;
    }
    /* ld.so's own calls are no cancellation points; what we make in their place must be none. */
    (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
    g[REG_RAX] = thread.answer(info->si_syscall, arguments, &is_copy);
    (void)pthread_setcancelstate(cancel, NULL);
    (void)mioc_range_arm(&thread.range, next_range(info->si_syscall, arguments, g[REG_RAX], is_copy));
}
#else
static void answer_trap(const siginfo_t *info, ucontext_t *context)
{
    (void)info;
    (void)context;
}
#endif

/* --- SIGSYS -------------------------------------------------------------------------------------------------------- */

/* Dies of it as the program would: the action is the default one, the signal is open. */
static void die(void)
{
    struct sigaction action;
    sigset_t only;

    memset(&action, 0, sizeof action);
    (void)mioc_real(sigaction)(SIGSYS, &action, NULL);
    sigemptyset(&only);
    sigaddset(&only, SIGSYS);
    (void)set_mask(SIG_UNBLOCK, &only, NULL);
    (void)syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGSYS);
}

/* One that somebody sent, or a seccomp filter made. */
static void pass_on(siginfo_t *info, void *context)
{
    struct sigaction action;
    sigset_t before;

    if (thread.is_blocked) {
        thread.is_pending = 1;
        thread.pending = *info;
        return;
    }
    block_all(&before);
    take_lock();
    action = program_action;
    if (action.sa_flags & (int)SA_RESETHAND)
        program_action.sa_handler = SIG_DFL;
    drop_lock();
    (void)set_mask(SIG_SETMASK, &before, NULL);
    if (action.sa_handler == SIG_IGN)
        return;
    if (action.sa_handler == SIG_DFL) {
        die();
        return;
    }
    if (!(action.sa_flags & SA_NODEFER))
        sigaddset(&action.sa_mask, SIGSYS);
    (void)set_mask(SIG_BLOCK, &action.sa_mask, &before);
    if (action.sa_flags & SA_SIGINFO)
        action.sa_sigaction(SIGSYS, info, context);
    else
        action.sa_handler(SIGSYS);
    (void)set_mask(SIG_SETMASK, &before, NULL);
}

static void on_sigsys(int number, siginfo_t *info, void *context)
{
    int saved = errno;

    (void)number;
    if (info->si_code == SYS_USER_DISPATCH_CODE && thread.range != MIOC_RANGE_NONE)
        answer_trap(info, context);
    else
        pass_on(info, context);
    errno = saved;
}

static int is_ours(const struct sigaction *action)
{
    return (action->sa_flags & SA_SIGINFO) && action->sa_sigaction == on_sigsys;
}

/* With the lock. */
static void install(void)
{
    struct sigaction ours, before;

    memset(&ours, 0, sizeof ours);
    ours.sa_sigaction = on_sigsys;
    /* NODEFER: a constructor's dlopen, or a handler that interrupts ours, may trap too. */
    ours.sa_flags = SA_SIGINFO | SA_NODEFER | SA_RESTART;
    if (mioc_real(sigaction)(SIGSYS, &ours, &before) == 0 && !is_ours(&before))
        program_action = before;
}

/* With the lock. Somebody who went past us has the last word. */
static void uninstall(void)
{
    struct sigaction now;

    if (mioc_real(sigaction)(SIGSYS, NULL, &now) == 0 && is_ours(&now))
        (void)mioc_real(sigaction)(SIGSYS, &program_action, NULL);
}

/* Only this thread is there, and the kernel gave the child no dispatch. */
static void start_child(void)
{
    thread.range = MIOC_RANGE_NONE;
    drop_lock();
    if (users == 0)
        return;
    users = thread.depth != 0;
    if (users == 0)
        uninstall();
}

static void watch_forks(void)
{
    (void)pthread_atfork(NULL, NULL, start_child);
}

/* --- A thread between begin and end --------------------------------------------------------------------------------- */

static int is_pending(void)
{
    sigset_t pending;

    return sigpending(&pending) == 0 && sigismember(&pending, SIGSYS);
}

/* 0, or -1 where one is pending that the program blocks: it would have to be taken and sent again, and by whom and to whom it was
 * sent cannot be seen. */
static int enter(mioc_dispatch_answer answer)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    sigset_t before;

    (void)pthread_once(&once, watch_forks);
    block_all(&before);
    if (sigismember(&before, SIGSYS) && is_pending()) {
        (void)set_mask(SIG_SETMASK, &before, NULL);
        return -1;
    }
    take_lock();
    if (__atomic_fetch_add(&users, 1, __ATOMIC_SEQ_CST) == 0)
        install();
    drop_lock();
    thread.answer = answer;
    thread.is_blocked = sigismember(&before, SIGSYS);
    thread.is_pending = 0;
    sigdelset(&before, SIGSYS);
    (void)set_mask(SIG_SETMASK, &before, NULL);
    return 0;
}

/* To the thread or the process, as it came, as far as it says. */
static void send_again(siginfo_t *info)
{
    if (info->si_code == SI_TKILL)
        (void)syscall(SYS_rt_tgsigqueueinfo, getpid(), syscall(SYS_gettid), SIGSYS, info);
    else
        (void)syscall(SYS_rt_sigqueueinfo, getpid(), SIGSYS, info);
}

static void leave(void)
{
    sigset_t before;

    block_all(&before);
    take_lock();
    if (users != 0 && __atomic_sub_fetch(&users, 1, __ATOMIC_SEQ_CST) == 0)
        uninstall();
    drop_lock();
    if (thread.is_blocked)
        sigaddset(&before, SIGSYS);
    if (thread.is_pending)
        send_again(&thread.pending);
    (void)set_mask(SIG_SETMASK, &before, NULL);
}

static void finish(void)
{
    thread.depth = 0;
    mioc_range_disarm(&thread.range);
    leave();
}

int mioc_dispatch_begin(mioc_dispatch_answer answer)
{
    const char *frame = __builtin_frame_address(0);
    int saved = errno;

    /* A call that is not over has its frame above ours; one that has not was left by longjmp. (Or it is on another stack: then
     * it goes on without us.) */
    if (thread.depth != 0 && frame >= thread.frame)
        finish();
    if (thread.depth == 0) {
        if (enter(answer) != 0)
            goto done;
        thread.frame = frame;
    }
    thread.depth++;
    if (thread.range == MIOC_RANGE_NONE && mioc_range_arm(&thread.range, MIOC_RANGE_OPENS) != 0 && --thread.depth == 0)
        leave();
done:
    errno = saved;
    return thread.range != MIOC_RANGE_NONE ? 0 : -1;
}

void mioc_dispatch_end(void)
{
    int saved = errno;

    if (thread.depth == 1)
        finish();
    else if (thread.depth != 0)
        thread.depth--;
    errno = saved;
}

int mioc_dispatch_is_begun(void)
{
    return thread.depth != 0;
}

int mioc_dispatch_is_elsewhere(void)
{
    return __atomic_load_n(&users, __ATOMIC_SEQ_CST) > (thread.depth != 0);
}

/* --- What the program sees ------------------------------------------------------------------------------------------ */

int mioc_dispatch_sigaction(const struct sigaction *action, struct sigaction *old)
{
    struct sigaction new, before;
    sigset_t mask;
    int rc = 0;

    /* Copied while a bad pointer may still kill: not with the lock. */
    if (action)
        new = *action;
    block_all(&mask);
    take_lock();
    if (users == 0) {
        rc = mioc_real(sigaction)(SIGSYS, action ? &new : NULL, &before);
    } else {
        before = program_action;
        if (action) {
            (void)mioc_real(sigaction)(SIGSYS, NULL, &program_action); /* for its restorer, which is libc's */
            program_action.sa_handler = new.sa_handler;
            program_action.sa_mask = new.sa_mask;
            program_action.sa_flags = new.sa_flags | KERNEL_SA_RESTORER;
        }
    }
    drop_lock();
    (void)set_mask(SIG_SETMASK, &mask, NULL);
    if (rc == 0 && old)
        *old = before;
    return rc;
}

int mioc_dispatch_sigmask(int how, const sigset_t *set, sigset_t *old)
{
    sigset_t asked, before;
    int rc, was_blocked = thread.is_blocked, is_named;

    if (thread.depth == 0)
        return set_mask(how, set, old);
    if (set) {
        asked = *set;
        is_named = sigismember(&asked, SIGSYS);
        if (how != SIG_UNBLOCK)
            sigdelset(&asked, SIGSYS);
    }
    rc = set_mask(how, set ? &asked : NULL, &before);
    if (rc != 0)
        return rc;
    if (set && (how == SIG_SETMASK || is_named))
        thread.is_blocked = how != SIG_UNBLOCK && is_named;
    if (set && !thread.is_blocked && thread.is_pending) {
        thread.is_pending = 0;
        (void)syscall(SYS_rt_tgsigqueueinfo, getpid(), syscall(SYS_gettid), SIGSYS, &thread.pending);
    }
    if (old) {
        *old = before;
        if (was_blocked)
            sigaddset(old, SIGSYS);
    }
    return 0;
}
