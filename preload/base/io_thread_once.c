/* SPDX-License-Identifier: BSD-3-Clause */
/* io_thread_once.c - a thread with a descriptor table of its own for one piece of work, also
 * within a signal handler. */
#include "io_thread.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define STACK (64u * 1024u)
/* The kernel's own size; glibc's sigset_t is larger. */
#define KERNEL_SIGSET_SIZE 8

/* The calling thread sleeps until the new one is done, as in vfork(), so that the two
 * can share thread-local storage. */
#define FLAGS \
    (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_VFORK | \
     CLONE_PARENT_SETTID)

struct once {
    int (*work)(void *arg);
    void *arg;
    int result, error;
};

static int run(void *arg)
{
    struct once *once = arg;

    mioc_io_thread_part_from_descriptors();
    errno = 0;
    once->result = once->work(once->arg);
    once->error = errno;
    return 0;
}

/* A system call filter may kill the process for a call that it does not know. */
static int is_filtered(void) { return syscall(SYS_prctl, PR_GET_SECCOMP, 0, 0, 0, 0) != 0; }

/* The kernel counts a thread for a moment after its end. The program may next do what only a process with one thread
 * can do, so this waits until the thread is not counted any more. */
static void await_end(pid_t thread)
{
    pid_t process = (pid_t)syscall(SYS_getpid);

    while (syscall(SYS_tgkill, process, thread, 0) == 0)
        (void)sched_yield();
}

int mioc_io_thread_run_once(int (*work)(void *arg), void *arg)
{
    struct once once = { work, arg, -1, EAGAIN };
    uint64_t all = ~0ull, old;
    pid_t thread = 0;
    void *stack;

    if (is_filtered()) {
        errno = EPERM;
        return -1;
    }
    stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (stack == MAP_FAILED)
        return -1;
    /* The program's threads get all signals. */
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &old, KERNEL_SIGSET_SIZE);
    if (clone(run, (char *)stack + STACK, FLAGS, &once, &thread) > 0)
        await_end(thread);
    else
        once.error = errno;
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &old, NULL, KERNEL_SIGSET_SIZE);
    munmap(stack, STACK);
    errno = once.error;
    return once.result;
}
