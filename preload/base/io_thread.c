/* SPDX-License-Identifier: BSD-3-Clause */
/* io_thread.c - a thread with a descriptor table of its own, for files that we open only for a moment. */
#include "io_thread.h"
#include "futex.h"
#include "folder.h"
#include "thread.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define STACK (512u * 1024u)

enum state { IDLE, WORK, DONE, END };

struct mioc_io_thread {
    pid_t owner;
    pthread_t thread;
    int is_taken; /* atomic; work is under way */
    int state;    /* atomic, a futex; enum state */
    int (*work)(void *arg);
    void *arg;
    int is_awaited; /* a caller of mioc_io_thread_run() waits */
    int result, error;
};

/* --- The table --------------------------------------------------------------------------------------------------- */

static int close_name(void *ctx, int dirfd, const char *name)
{
    (void)ctx;
    if (atoi(name) != dirfd)
        syscall(SYS_close, atoi(name));
    return 0;
}

/* The table is a copy of the program's: without this, the other end of a pipe would never see the program close it.
 * /proc says what is open, as the limit may be lower than the highest open descriptor. The table may be full, so
 * descriptor 0 goes first. */
static void close_all(void)
{
    int dir;

    syscall(SYS_close, 0);
    dir = (int)syscall(SYS_openat, AT_FDCWD, "/proc/thread-self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return;
    (void)mioc_folder_walk(dir, close_name, NULL);
    syscall(SYS_close, dir);
}

void mioc_io_thread_part_from_descriptors(void)
{
    int saved = errno, rc = -1;

#if defined SYS_close_range && defined CLOSE_RANGE_UNSHARE
    rc = (int)syscall(SYS_close_range, 0u, ~0u, CLOSE_RANGE_UNSHARE);
#endif
    if (rc != 0 && syscall(SYS_unshare, CLONE_FILES) == 0)
        close_all();
    errno = saved;
}

/* --- The thread -------------------------------------------------------------------------------------------------- */

static void set_state(struct mioc_io_thread *a, enum state state)
{
    __atomic_store_n(&a->state, (int)state, __ATOMIC_RELEASE);
    mioc_futex_wake(&a->state, 1, 1);
}

/* Sleeps while the state is `state`. Returns the new state. */
static enum state wait_while(struct mioc_io_thread *a, enum state state)
{
    int now;

    while ((now = __atomic_load_n(&a->state, __ATOMIC_ACQUIRE)) == (int)state)
        (void)mioc_futex_wait(&a->state, (uint32_t)state, MIOC_FUTEX_FOREVER, 1);
    return (enum state)now;
}

static void *thread_main(void *arg)
{
    struct mioc_io_thread *a = arg;
    enum state state;

    mioc_io_thread_part_from_descriptors();
    state = wait_while(a, IDLE);
    while (state != END) {
        errno = 0;
        a->result = a->work(a->arg);
        a->error = errno;
        state = a->is_awaited ? DONE : IDLE;
        set_state(a, state);
        if (state == IDLE)
            __atomic_store_n(&a->is_taken, 0, __ATOMIC_RELEASE);
        state = wait_while(a, state);
    }
    return NULL;
}

struct mioc_io_thread *mioc_io_thread_new(void)
{
    struct mioc_io_thread *a = calloc(1, sizeof *a);
    int rc;

    if (a == NULL)
        return NULL;
    a->owner = getpid();
    rc = mioc_thread_start(&a->thread, 1, STACK, thread_main, a);
    if (rc == 0)
        return a;
    free(a);
    errno = rc;
    return NULL;
}

/* This polls, because is_taken is no futex: the thread clears it just after the work's end, and wakes nobody. */
void mioc_io_thread_wait(struct mioc_io_thread *a, uint64_t ns)
{
    const struct timespec pause = { .tv_nsec = 1000000 };

    if (a == NULL || a->owner != getpid())
        return;
    for (uint64_t waited = 0; waited < ns && __atomic_load_n(&a->is_taken, __ATOMIC_ACQUIRE);
         waited += (uint64_t)pause.tv_nsec)
        syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &pause, NULL);
}

void mioc_io_thread_free(struct mioc_io_thread *a)
{
    if (a == NULL)
        return;
    if (a->owner == getpid()) {
        mioc_io_thread_wait(a, UINT64_MAX); /* the end of other work would overwrite END */
        set_state(a, END);
        (void)pthread_join(a->thread, NULL);
    }
    free(a);
}

static int begin(struct mioc_io_thread *a, int (*work)(void *arg), void *arg, int is_awaited)
{
    if (a == NULL || a->owner != getpid() || __atomic_exchange_n(&a->is_taken, 1, __ATOMIC_ACQUIRE))
        return -1;
    a->work = work;
    a->arg = arg;
    a->is_awaited = is_awaited;
    set_state(a, WORK);
    return 0;
}

int mioc_io_thread_begin(struct mioc_io_thread *a, int (*work)(void *arg), void *arg)
{
    int saved = errno, rc = begin(a, work, arg, 0);

    errno = saved;
    return rc;
}

int mioc_io_thread_run(struct mioc_io_thread *a, int (*work)(void *arg), void *arg)
{
    int result;

    if (begin(a, work, arg, 1) != 0)
        return work(arg);
    (void)wait_while(a, WORK);
    result = a->result;
    if (result != 0)
        errno = a->error;
    __atomic_store_n(&a->is_taken, 0, __ATOMIC_RELEASE);
    return result;
}
