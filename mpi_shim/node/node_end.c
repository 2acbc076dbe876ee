/* SPDX-License-Identifier: BSD-3-Clause */
/* node_end.c - a rank's end in the cache: a leader serves the others until they have ended, reports, and leaves.
 *
 * A signal's handler may end the process, on a small stack, and the code that it interrupted may hold any lock of libc,
 * ld.so or MPI. So the ending thread allocates nothing, starts no thread, loads nothing and takes no lock. It asks the
 * agent's thread and the store's thread by futex words, and waits with a deadline: they may need such a lock. */
#include "node_internal.h"
#include "base/futex.h"
#include "base/clock.h"
#include "observe/job.h"
#include "base/log.h"
#include "base/stack.h"
#include "observe/trace.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000ull
/* How long an ending process that does not linger waits for its agent to say LEAVE. */
#define GOODBYE_NS (SECOND / 2)
/* How long the manifest's filesystem may take at the end, beside all else. */
#define MANIFEST_NS (SECOND / 2)
/* How long to wait for another thread that tells the launcher. */
#define DEPART_NS SECOND
/* How soon a lingering process notices a signal. */
#define LINGER_SLICE_NS (SECOND / 10)
/* An agent that shows no sign of life for so long hangs: it shows one at least five times a second. It may wait for a
 * lock that this thread holds. */
#define HANGS_NS SECOND

/* Rank 0 prints or writes the job's report. */
static void print_report(const struct mioc_node *node, int status)
{
    static struct mioc_report report; /* not on a small stack */

    mioc_node_fill_report(node, &report);
    mioc_job_report(&report, node->line, node->config, status);
}

/* Sleeps until the agent's thread is done, for wait_ns at most. Whether it is done. */
static int wait_for_agent(struct mioc_node *node, uint64_t wait_ns)
{
    uint64_t until = mioc_clock_ns() + wait_ns;

    for (;;) {
        uint64_t now = mioc_clock_ns();

        if (__atomic_load_n(&node->done, __ATOMIC_ACQUIRE))
            return 1;
        if (now >= until)
            return 0;
        (void)mioc_futex_wait(&node->done, 0, until - now, 0);
    }
}

/* --- Lingering: the program has ended with status 0, and no signal may change that any more ---------------------- */

static int is_without_effect(int signal)
{
    struct sigaction action;

    if (sigaction(signal, NULL, &action) != 0 || action.sa_handler == SIG_IGN)
        return 1;
    return action.sa_handler == SIG_DFL && (signal == SIGCHLD || signal == SIGURG || signal == SIGWINCH);
}

/* Whether a signal is pending that the program had not blocked. */
static int is_called(const sigset_t *blocked)
{
    sigset_t pending;

    if (sigpending(&pending) != 0)
        return 0;
    for (int signal = 1; signal < NSIG; signal++)
        if (sigismember(&pending, signal) == 1 && sigismember(blocked, signal) == 0 && !is_without_effect(signal))
            return 1;
    return 0;
}

/* Timers end with the process. One that is left, a watchdog's alarm(), could strike another thread. */
static void stop_timers(void)
{
    const struct itimerval none = { { 0, 0 }, { 0, 0 } };

    (void)setitimer(ITIMER_REAL, &none, NULL);
    (void)setitimer(ITIMER_VIRTUAL, &none, NULL);
    (void)setitimer(ITIMER_PROF, &none, NULL);
}

/* Serves until all ranks of the node and all children have ended, the time is up, the agent hangs, or a signal comes.
 * The signal stays blocked for the moment that is left. Whether the agent's thread is done. */
static int linger(struct mioc_node *node)
{
    static const int open[] = { SIGSEGV, SIGBUS,  SIGFPE,  SIGILL,  SIGTRAP, SIGSYS,
                                SIGABRT, SIGTSTP, SIGTTIN, SIGTTOU, SIGCONT };
    uint64_t until = mioc_clock_ns() + node->config->linger_ms * 1000000;
    sigset_t all, before, blocked;
    int is_done;

    stop_timers();
    sigfillset(&all);
    for (unsigned i = 0; i < sizeof open / sizeof open[0]; i++)
        sigdelset(&all, open[i]);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    blocked = before;
    mioc_stack_see_blocked(&blocked);
    do {
        if (is_called(&blocked))
            return 0;
        mioc_node_manifest_save(node); /* while the others end */
        is_done = wait_for_agent(node, LINGER_SLICE_NS);
    } while (!is_done && mioc_clock_ns() < until && !mioc_ring_is_silent(mioc_store_ring(node->store), HANGS_NS));
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return is_done;
}

static void set_end_mode(struct mioc_node *node, enum mioc_node_end_mode what)
{
    __atomic_store_n(&node->end_mode, what, __ATOMIC_RELEASE);
    mioc_ring_wake(mioc_store_ring(node->store));
}

void mioc_node_finalize(void)
{
    struct mioc_node *node = &mioc_node;

    if (!mioc_node_is_owner())
        return;
    mioc_log(MIOC_LOG_DEBUG, "rank %d: the program ends MPI: it goes on without the cache", node->world.rank);
    if (node->has_thread) {
        set_end_mode(node, MIOC_END_FINALIZE);
        if (!wait_for_agent(node, node->config->timeout_ms * 1000000u)) {
            set_end_mode(node, MIOC_END_LEAVE);
            (void)wait_for_agent(node, GOODBYE_NS);
        }
    }
    node->ops->end(node->transport);
}

static void end_leader(struct mioc_node *node, int status)
{
    int is_done = 0;

    if (status == 0) {
        set_end_mode(node, MIOC_END_LINGER);
        is_done = linger(node);
    }
    if (!is_done) {
        set_end_mode(node, MIOC_END_LEAVE);
        (void)wait_for_agent(node, GOODBYE_NS);
    }
    mioc_node_manifest_wait(node, mioc_clock_ns() + MANIFEST_NS);
    mioc_node_manifest_complain(node);
    if (node->world.rank == 0 && status >= 0 && mioc_job_is_wanted(node->config))
        print_report(node, status);
    mioc_store_remove(node->store);
}

/* The process is ending already, in another thread or below this signal's handler, and may linger: it waits no more. */
static void hurry_leader(struct mioc_node *node)
{
    set_end_mode(node, MIOC_END_LEAVE);
    (void)wait_for_agent(node, GOODBYE_NS);
    mioc_store_remove(node->store);
}

/* Tells the launcher, once, and waits for its answer: the launcher takes a broken conversation for a crash. A signal's
 * handler that ends the process would break it, so signals are blocked. Another thread that ends the process waits. */
static void depart(struct mioc_node *node)
{
    uint64_t until = mioc_clock_ns() + DEPART_NS;
    sigset_t all, old;

    if (__atomic_exchange_n(&node->is_departing, 1, __ATOMIC_ACQ_REL)) {
        while (!__atomic_load_n(&node->has_departed, __ATOMIC_ACQUIRE) && mioc_clock_ns() < until)
            nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
        return;
    }
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    node->ops->depart(node->transport);
    __atomic_store_n(&node->has_departed, 1, __ATOMIC_RELEASE);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

static __attribute__((noinline)) int end(void *status)
{
    struct mioc_node *node = &mioc_node;
    int is_first;

    is_first = !__atomic_exchange_n(&node->is_ending, 1, __ATOMIC_ACQ_REL);
    if (node->store != NULL)
        mioc_ring_process_ends(mioc_store_ring(node->store), node->owner);
    /* An MPI error handler may call exit() in the agent's own thread, which cannot wait for itself. */
    if (node->has_thread && !pthread_equal(pthread_self(), node->thread)) {
        if (is_first)
            end_leader(node, *(const int *)status);
        else
            hurry_leader(node);
    }
    mioc_trace_end();
    depart(node);
    return 0;
}

void mioc_node_end(int status)
{
    int saved = errno;

    if (mioc_node_is_owner() && mioc_stack_run(MIOC_STACK_SERVED, end, &status) != 0)
        (void)end(&status);
    errno = saved;
}

void mioc_node_exit(int status)
{
    struct mioc_node *node = &mioc_node;

    mioc_node_end(status);
    if (mioc_node_is_owner() && !node->ops->was_shared(node->transport))
        mioc_plugin_skip_destructors();
}

void mioc_node_retire(void)
{
    struct mioc_node *node = &mioc_node;
    int saved = errno;

    if (!mioc_node_is_owner() || !node->has_thread || __atomic_load_n(&node->done, __ATOMIC_ACQUIRE))
        return;
    set_end_mode(node, MIOC_END_LEAVE);
    if (!wait_for_agent(node, GOODBYE_NS))
        mioc_store_set_state(node->store, MIOC_STORE_LEFT);
    mioc_store_remove(node->store); /* later its path may be out of reach */
    mioc_log(MIOC_LOG_DEBUG, "node %d: its leader gets another root or other rights and serves no more",
             node->world.node);
    errno = saved;
}
