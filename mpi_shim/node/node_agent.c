/* SPDX-License-Identifier: BSD-3-Clause */
/* node_agent.c - the agent's thread of a leader: its loop, its pauses, its end. */
#include "node_internal.h"
#include "node_rival.h"
#include "node_watch.h"
#include "base/futex.h"
#include "base/clock.h"
#include "client/client.h"
#include "base/log.h"
#include "base/thread.h"
#include "observe/trace.h"
#include "transport/pause.h"
#include "agent/wire.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000ull
/* The pause where all news wakes the thread: what the ring brings, and in an agent process all else. */
#define PAUSE_ALONE_NS (SECOND / 5)
/* How often to look whether all have counted, while rank 0 waits for the report. */
#define REPORT_LOOK_NS (SECOND / 200)
/* How often slots of dead processes are freed. */
#define SWEEP_NS (SECOND / 2)
/* The memory of free buffers goes back to the kernel after so long without news. */
#define TIDY_NS SECOND
/* How long the resolver's threads may take to end. */
#define RESOLVER_END_NS (SECOND / 10)
#define AGENT_STACK (1024u * 1024u)
/* Where each look at MPI takes the processor from a rank, pauses are longer by this factor. */
#define CROWDED 4u

int mioc_node_agent_start(struct mioc_node *node, uint64_t until)
{
    node->is_crowded = node->world.local_size > sysconf(_SC_NPROCESSORS_ONLN);
    if (mioc_node_host_start(node) != 0)
        return -1;
    if (node->world.nodes > 1)
        mioc_node_meet(node, until);
    return 0;
}

/* --- The thread -------------------------------------------------------------------------------------------------- */

/* Whether the node may end now: after its last rank, or, in a rank's process, in the mode that the ending thread has
 * set. */
static int may_end(struct mioc_node *node)
{
    if (node->is_process) {
        unsigned processes = mioc_watch_look();

        mioc_node_attend_launcher(node);
        node->is_report_due = mioc_node_attend_job_end(node, processes);
        return processes == 0;
    }
    switch (__atomic_load_n(&node->end_mode, __ATOMIC_ACQUIRE)) {
    case MIOC_END_LEAVE: return 1;
    case MIOC_END_FINALIZE: return node->has_left || mioc_agent_children(node->agent) == 0;
    case MIOC_END_LINGER: /* an agent that has left serves nobody */
        return node->has_left || (mioc_agent_children(node->agent) == 0 &&
                                  mioc_ring_ranks_running(mioc_store_ring(node->store), node->owner) == 0);
    default: return 0;
    }
}

/* The agent may have ended while the process goes on. Then nobody hears of writes on other nodes any more, so the store
 * is served no more. */
static void note_end(struct mioc_node *node)
{
    enum mioc_agent_end end = mioc_agent_state(node->agent);

    if (node->has_left || end == MIOC_AGENT_RUNNING)
        return;
    node->has_left = 1;
    mioc_store_set_state(node->store, MIOC_STORE_LEFT);
    mioc_log(MIOC_LOG_DEBUG, "node %d: agent ended (%d)", node->world.node, (int)end);
    mioc_node_flush(node); /* the agent's LEAVE */
    /* Nobody reads any more what comes, so its descriptor would wake an agent process for ever. */
    if (node->is_process || end == MIOC_AGENT_PEER_DIED || end == MIOC_AGENT_PROTOCOL)
        mioc_node_abandon(node);
}

void mioc_node_abandon(struct mioc_node *node)
{
    if (node->ops != NULL)
        node->ops->abandon(node->transport);
}

/* The node leaves the job before its ranks have ended. */
static void give_up(struct mioc_node *node, uint64_t now)
{
    struct mioc_report report;

    mioc_node_fill_report(node, &report);
    mioc_agent_leave(node->agent, &report, sizeof report, now);
    note_end(node);
}

/* Other ranks of this node cannot see this store. Nobody would hear of what they write. */
static void attend_rival(struct mioc_node *node, uint64_t now)
{
    int had_left = node->has_left, connection;

    while ((connection = mioc_rival_accept()) >= 0) {
        if (!node->has_left) {
            mioc_log(MIOC_LOG_WARN,
                     "node %d: its ranks do not share MPIIO_CACHE_DIR=%s; it goes on uncached. Give them one /dev/shm, "
                     "or name a directory that they share",
                     node->world.node, node->config->dir);
            give_up(node, now);
        }
        mioc_rival_answer(connection, had_left);
    }
}

/* The program's memory grows towards the cgroup's limit, and the kernel cannot reclaim the store's. No cache is better
 * than a killed job. The store's bound, a quarter of what was free at the start, may be too much by now. */
static void respect_limits(struct mioc_node *node, uint64_t now)
{
    if (node->has_left || !__atomic_load_n(&node->is_short, __ATOMIC_ACQUIRE))
        return;
    mioc_log(MIOC_LOG_INFO,
             "node %d: the memory cgroup's limit is near: the store is given back, this node goes on without the cache",
             node->world.node);
    give_up(node, now);
    mioc_store_give_back(node->store);
}

/* How long an agent process sleeps where nothing wakes it. A rank that sees no beat for so long looks whether the agent
 * lives (client/breaker.c), and one that sees none for MPIIO_CACHE_TIMEOUT is served no more. */
static uint64_t idle_pause(const struct mioc_node *node)
{
    uint64_t most = node->config->timeout_ms * MIOC_NS_PER_MS / 4;

    return most < SECOND ? most : SECOND;
}

/* `silence`: how long ago the last news was; `tick`: when the agent wants its next tick. */
static uint64_t next_pause(const struct mioc_node *node, uint64_t silence, uint64_t tick, uint64_t now)
{
    int is_busy = mioc_agent_is_busy(node->agent) || node->unsent > 0;
    uint64_t next = UINT64_MAX;
    int is_woken = node->is_process || node->world.nodes == 1 || node->has_left;
    uint64_t pause = node->is_process && !is_busy ? idle_pause(node)
                     : is_woken                   ? PAUSE_ALONE_NS
                                                  : mioc_pause(is_busy, silence);

    if (node->is_crowded && pause < MIOC_PAUSE_IDLE_NS / CROWDED)
        pause *= CROWDED;

    if (tick > now && tick - now < pause)
        pause = tick - now;
    if (node->is_process && node->ops != NULL)
        next = node->ops->next(node->transport);
    if (next <= now)
        return 0;
    if (next - now < pause)
        pause = next - now;
    if (node->is_report_due && pause > REPORT_LOOK_NS)
        pause = REPORT_LOOK_NS;
    /* A rank that ends or dies may not wake this thread. */
    if (__atomic_load_n(&node->end_mode, __ATOMIC_ACQUIRE) != MIOC_END_RUN && pause > MIOC_PAUSE_IDLE_NS)
        pause = MIOC_PAUSE_IDLE_NS;
    return pause;
}

/* The agent's thread ends. Returns the resolver, which nobody uses any more. */
static struct mioc_resolver *leave(struct mioc_node *node)
{
    struct mioc_resolver *resolver = node->resolver;
    struct mioc_report report;

    mioc_rival_release(); /* before the next Python of the same task can see that this store is left */
    if (!node->has_left) {
        mioc_node_fill_report(node, &report);
        mioc_agent_leave(node->agent, &report, sizeof report, mioc_clock_ns());
        mioc_node_flush(node);
    }
    mioc_store_set_state(node->store, MIOC_STORE_LEFT);
    mioc_node_answer(node, 0, "", 0, 0);
    mioc_node_abandon(node);
    if (resolver != NULL) {
        node->resolver_calls = mioc_resolver_calls(resolver);
        __atomic_store_n(&node->resolver, NULL, __ATOMIC_RELEASE); /* the ending thread still reports */
    }
    return resolver;
}

static void say_done(struct mioc_node *node)
{
    __atomic_store_n(&node->done, 1, __ATOMIC_RELEASE);
    mioc_futex_wake(&node->done, INT_MAX, 0);
}

static __thread int is_agent __attribute__((tls_model("initial-exec")));

void mioc_node_abort(void)
{
    struct mioc_node *node = &mioc_node;

    if (!is_agent || !mioc_node_is_owner() || node->ops->is_shared(node->transport))
        return;
    node->has_left = 1;
    node->ops->abandon(node->transport);
    mioc_store_set_state(node->store, MIOC_STORE_LEFT);
    mioc_node_answer(node, 0, "", 0, 0);
    mioc_log(
        MIOC_LOG_WARN,
        "node %d: MPI gave up, perhaps because another node died; running uncached on this one. The launcher says what "
        "became of the others",
        node->world.node);
    say_done(node);
    for (;;)
        pause();
}

void mioc_node_agent_loop(struct mioc_node *node)
{
    struct mioc_ring *ring = mioc_store_ring(node->store);
    struct mioc_ask_request *request = malloc(sizeof *request);
    struct mioc_resolver *resolver;
    uint64_t heard = mioc_clock_ns(), swept = heard;
    int is_tidy = 1;

    mioc_trace_name_thread(node->world.node == 0 ? "agent (root)" : "agent");
    while (request != NULL && !may_end(node)) {
        uint64_t now = mioc_clock_ns(), tick;
        unsigned events =
            mioc_node_take_requests(node, request) + mioc_node_take_resolved(node) + mioc_node_make_room(node);

        if (node->is_process) {
            mioc_node_attend_starter(node);
            attend_rival(node, now);
            mioc_node_attend_report(node);
        }
        if (!node->has_left) {
            events += mioc_node_poll(node);
            tick = mioc_agent_tick(node->agent, now);
        } else {
            tick = now + SECOND;
        }
        note_end(node);
        if (node->is_process) /* behind what has come */
            mioc_node_attend_link(node, now);
        respect_limits(node, now);
        mioc_ring_beat(ring);
        if (now - swept > SWEEP_NS) {
            mioc_ring_sweep(ring);
            swept = now;
        }
        if (events > 0) {
            heard = now;
            is_tidy = 0;
        } else if (!is_tidy && now - heard > TIDY_NS) {
            mioc_node_clear_buffers(node);
            is_tidy = 1;
        }
        if (node->is_process)
            mioc_watch_done();
        if (events == 0)
            mioc_ring_sleep(ring, next_pause(node, now - heard, tick, now));
    }
    resolver = leave(node);
    say_done(node);
    /* After say_done(): the ending thread waits for that, and may hold malloc's lock. */
    if (resolver != NULL)
        mioc_resolver_free(resolver, RESOLVER_END_NS);
    free(request);
}

static void *agent_main(void *arg)
{
    struct mioc_node *node = arg;

    is_agent = 1;
    mioc_client_exempt_thread(1); /* files that MPI opens here must not be asked of this very thread */
    mioc_node_agent_loop(node);
    return NULL;
}

int mioc_node_agent_run(struct mioc_node *node)
{
    int rc = mioc_thread_start(&node->thread, 0, AGENT_STACK, agent_main, node);

    node->has_thread = rc == 0;
    if (rc == 0)
        mioc_node_watch_memory(node);
    return rc == 0 ? 0 : -1;
}
