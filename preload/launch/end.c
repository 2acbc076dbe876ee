/* SPDX-License-Identifier: BSD-3-Clause */
/* end.c - what is done when the program ends, in whatever way it says so. */
#include "end.h"
#include "base/clock.h"
#include "base/config.h"
#include "base/log.h"
#include "base/stack.h"
#include "base/stats.h"
#include "client/client.h"
#include "pmi_relay.h"
#include "node/node.h"
#include "observe/job.h"
#include "observe/trace.h"
#include "store/ring.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *line; /* of mioc_end_set_line() */
static int rank = -1;    /* of a rank beside its agent */
static pid_t reporter;   /* the process that reports at its end; its forked children do not */

/* exit() flushes stdio last, after our wait for other ranks. The rank's output should be seen before. If another thread
 * uses the FILE it is left alone. */
static void flush_output(void)
{
    if (ftrylockfile(stdout) != 0)
        return;
    (void)fflush_unlocked(stdout);
    funlockfile(stdout);
}

/* exit() may be called in a handler on a small stack. Without memory for another one the work runs here. */
static void run_at_exit(int (*work)(void *status), int status)
{
    if (mioc_stack_run(MIOC_STACK_TOLD, work, &status) != 0)
        (void)work(&status);
}

static __attribute__((noinline)) int leave_job(void *status)
{
    flush_output();
    mioc_node_exit(*(const int *)status & 0377);
    return 0;
}

static void end_rank(int status, void *unused)
{
    (void)unused;
    if (mioc_node_is_owner())
        run_at_exit(leave_job, status);
}

/* How long rank 0 waits for an agent that should have given the report by then (mpi_shim/node/node_job_end.c). */
#define REPORT_NS 100000000ull
#define STATS_NS 2500000000ull

/* Prints what the agent had to say; it has no standard error. */
static void print_notes(struct mioc_ring *ring)
{
    static char text[MIOC_RING_NOTE_MAX]; /* not on a small stack; one thread ends the process */
    size_t size;

    while ((size = mioc_ring_take_note(ring, text)) > 0)
        (void)mioc_log_write(STDERR_FILENO, text, size);
}

static __attribute__((noinline)) int leave_agent(void *status)
{
    static int has_left;
    static struct mioc_report report;
    struct mioc_ring *ring = mioc_store_ring(mioc_client_store());
    const struct mioc_config *config = mioc_config();
    int code = *(const int *)status & 0377, is_wanted = mioc_job_is_wanted(config);
    /* The agent says what went wrong with the manifest before it gives the report. */
    int is_awaited = is_wanted || config->log >= MIOC_LOG_INFO || strcmp(config->manifest, "auto") != 0;

    if (__atomic_exchange_n(&has_left, 1, __ATOMIC_ACQ_REL)) /* in another thread, or below this handler */
        return 0;
    if (rank == 0) {
        int rc = mioc_ring_job_ends(ring, code, is_awaited ? &report : NULL,
                                    mioc_clock_ns() + (config->stats ? STATS_NS : REPORT_NS));

        if (is_wanted && rc == 0)
            mioc_job_report(&report, line, config, code);
        else if (is_wanted)
            mioc_log(MIOC_LOG_WARN,
                     "the node's agent does not answer; there are no statistics. See whether it was ended");
    }
    print_notes(ring);
    if (!mioc_store_is_owner_alive(mioc_client_store())) /* it was killed; nobody else removes its store */
        (void)mioc_store_reclaim(config->dir);
    mioc_trace_end();
    mioc_pmi_relay_end();
    return 0;
}

/* The agent sees the rank's end by itself. */
void mioc_end_quickly_beside_agent(int status)
{
    if (reporter == getpid())
        run_at_exit(leave_agent, status);
}

static __attribute__((noinline)) int flush_and_leave_agent(void *status)
{
    flush_output();
    return leave_agent(status);
}

static void end_rank_beside_agent(int status, void *unused)
{
    (void)unused;
    if (reporter == getpid())
        run_at_exit(flush_and_leave_agent, status);
}

static __attribute__((noinline)) int leave_launcher(void *status)
{
    (void)status;
    mioc_pmi_relay_end();
    return 0;
}

/* For a program that replaced a rank, and for a dormant process that has spoken with the launcher. */
static void end_heir(int status, void *unused)
{
    (void)unused;
    run_at_exit(leave_launcher, status);
}

static __attribute__((noinline)) int write_report(void *status)
{
    struct mioc_report report = { .nodes = 1, .reported_nodes = 1 };

    mioc_report_add(&report, mioc_stats_current(), 1);
    mioc_job_report(&report, line, mioc_config(), *(const int *)status & 0377);
    return 0;
}

/* For a dormant process that was asked for statistics: reports counts and times of its real calls, to compare with. */
static void report_alone(int status, void *unused)
{
    (void)unused;
    if (reporter == getpid())
        run_at_exit(write_report, status);
}

/* --- Which of them ---------------------------------------------------------------------------------------------------
 */

void mioc_end_set_line(const char *text) { line = text; }

void mioc_end_as_rank(void)
{
    /* Twice: while the first waits, exit() may be called in another thread or a signal handler. It then runs the
     * second. */
    (void)on_exit(end_rank, NULL);
    (void)on_exit(end_rank, NULL);
}

void mioc_end_as_rank_beside_agent(int number)
{
    rank = number;
    reporter = getpid();
    (void)on_exit(end_rank_beside_agent, NULL);
}

void mioc_end_as_heir(void) { (void)on_exit(end_heir, NULL); }

void mioc_end_with_report(void)
{
    reporter = getpid();
    (void)on_exit(report_alone, NULL);
}
