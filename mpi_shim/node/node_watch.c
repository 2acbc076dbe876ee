/* SPDX-License-Identifier: BSD-3-Clause */
/* node_watch.c - an agent process watches the node's ranks, and is woken by descriptors. */
#include "node_watch.h"
#include "base/futex.h"
#include "base/real.h"
#include "base/thread.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#define STACK (64u * 1024u)
/* The waker looks again if the agent has not looked for so long. */
#define AGAIN_NS 1000000000ull
#define MOST (MIOC_RING_PROCESSES + 1)

static struct {
    struct mioc_ring *ring;
    int epoll;
    uint32_t turn;       /* (atomic, futex) turns of the agent's loop */
    uint32_t is_waiting; /* (atomic) the waker waits for the next turn */
    int has_ends;        /* (atomic) a watched process has ended */
    /* --- Agent's thread only --- */
    int is_polling; /* a process has no pidfd */
    unsigned seen;  /* blocks of the ring that were looked at */
    unsigned count;
    pid_t pid[MOST];
    struct pollfd pidfd[MOST]; /* fd -1: no pidfd */
} watch;

static int add_fd(int fd, uint64_t is_process)
{
    struct epoll_event event = { .events = EPOLLIN, .data.u64 = is_process };

    return mioc_real(epoll_ctl)(watch.epoll, EPOLL_CTL_ADD, fd, &event);
}

int mioc_watch_has(pid_t pid)
{
    for (unsigned i = 0; i < watch.count; i++)
        if (watch.pid[i] == pid)
            return 1;
    return 0;
}

static void add_process(pid_t pid)
{
    int fd;

    if (mioc_watch_has(pid))
        return;
    fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0 && errno == ESRCH)
        return; /* it has ended */
    if (fd < 0 || add_fd(fd, 1) != 0)
        watch.is_polling = 1;
    watch.pid[watch.count] = pid;
    watch.pidfd[watch.count++] = (struct pollfd){ .fd = fd, .events = POLLIN };
}

static void forget_process(unsigned i)
{
    if (watch.pidfd[i].fd >= 0)
        (void)mioc_real(close)(watch.pidfd[i].fd); /* which takes it out of epoll */
    watch.count--;
    watch.pid[i] = watch.pid[watch.count];
    watch.pidfd[i] = watch.pidfd[watch.count];
}

/* A pidfd is readable when its process has ended, reaped or not. */
static void forget_ended(void)
{
    if (poll(watch.pidfd, watch.count, 0) < 0)
        return;
    for (unsigned i = watch.count; i-- > 0;)
        if (watch.pidfd[i].fd >= 0 ? watch.pidfd[i].revents != 0 : kill(watch.pid[i], 0) != 0 && errno == ESRCH)
            forget_process(i);
}

static void *wake(void *unused)
{
    (void)unused;
    for (;;) {
        struct epoll_event event[16];
        uint32_t turn;
        int n = epoll_wait(watch.epoll, event, 16, -1);

        if (n <= 0)
            continue;
        for (int i = 0; i < n; i++)
            if (event[i].data.u64 != 0)
                __atomic_store_n(&watch.has_ends, 1, __ATOMIC_RELEASE);
        /* Descriptors stay readable until the agent has looked. The turn under way may have looked before: then epoll
         * returns at once. */
        __atomic_store_n(&watch.is_waiting, 1, __ATOMIC_SEQ_CST);
        turn = __atomic_load_n(&watch.turn, __ATOMIC_SEQ_CST);
        mioc_ring_wake(watch.ring);
        (void)mioc_futex_wait(&watch.turn, turn, AGAIN_NS, 1);
        __atomic_store_n(&watch.is_waiting, 0, __ATOMIC_RELAXED);
    }
    return NULL;
}

int mioc_watch_start(struct mioc_ring *ring, pid_t starter)
{
    int rc;

    watch.ring = ring;
    watch.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (watch.epoll < 0)
        return -1;
    add_process(starter);
    rc = mioc_thread_start(NULL, 0, STACK, wake, NULL);
    if (rc != 0)
        errno = rc;
    return rc == 0 ? 0 : -1;
}

int mioc_watch_fd(int fd) { return add_fd(fd, 0); }

struct blocks {
    unsigned count;
};

static void visit(void *ctx, pid_t pid, int rank, const struct mioc_stats *stats)
{
    struct blocks *blocks = ctx;

    (void)stats;
    if (blocks->count++ >= watch.seen && rank >= 0 && watch.count < MOST)
        add_process(pid);
}

unsigned mioc_watch_look(void)
{
    struct blocks blocks = { 0 };

    if (__atomic_exchange_n(&watch.has_ends, 0, __ATOMIC_ACQ_REL) || watch.is_polling)
        forget_ended();
    mioc_ring_stats_visit(watch.ring, visit, &blocks);
    watch.seen = blocks.count;
    return watch.count;
}

void mioc_watch_done(void)
{
    __atomic_add_fetch(&watch.turn, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&watch.is_waiting, __ATOMIC_SEQ_CST))
        mioc_futex_wake(&watch.turn, 1, 1);
}

int mioc_watch_is_polling(void) { return watch.is_polling; }
