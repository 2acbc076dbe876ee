/* SPDX-License-Identifier: BSD-3-Clause */
/* node_process.c - the life of an agent that is a process of its own. */
#include "process.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/real.h"
#include "limits.h"
#include "node_internal.h"
#include "node_rival.h"
#include "node_watch.h"
#include "observe/trace.h"
#include "store/store_turn.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define SECOND 1000000000ull
/* How long the manifest's filesystem may take at the end. */
#define MANIFEST_NS (SECOND / 2)

/* Signals for the step are for its tasks: a rank may live on after SIGTERM, and the agent ends with the last one. */
static void ignore_signals(void)
{
    static const int kept[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT };

    for (int signal_number = 1; signal_number < NSIG; signal_number++) {
        int is_kept = 0;

        for (unsigned i = 0; i < sizeof kept / sizeof kept[0]; i++)
            is_kept |= signal_number == kept[i];
        if (!is_kept)
            (void)signal(signal_number, SIG_IGN);
    }
}

static void raise_limit(int resource)
{
    struct rlimit limit;

    if (getrlimit(resource, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(resource, &limit);
    }
}

static void leave_note(enum mioc_log_level level, const char *line, size_t size)
{
    (void)level;
    if (mioc_node.store != NULL)
        mioc_ring_leave_note(mioc_store_ring(mioc_node.store), line, size);
}

static void say(int starter, const char *text)
{
    char line[MIOC_AGENT_STATUS_MAX];
    int n = snprintf(line, sizeof line, "%.1000s\n", text);

    (void)send(starter, line, (size_t)n, MSG_NOSIGNAL);
}

/* Makes the store, which ranks take from here on. 0, or -1 and the reason. */
static int make_store(struct mioc_node *node, const struct mioc_agent_order *order, char *reason, size_t size)
{
    int error;

    if (node->way->begin(node, order, reason, size) != 0 || mioc_rival_claim(order->task.key, reason, size) != 0)
        return -1;
    error = mioc_node_create_store(node, order->task.key);
    if (error != 0) {
        mioc_node_say_unusable(node, node->world.node, error, reason, size);
        return -1;
    }
    mioc_ring_set_nodes(mioc_store_ring(node->store), (uint32_t)node->world.nodes);
    mioc_store_turn_tell(node->config->dir, order->task.key);
    return 0;
}

/* What the ranks need not wait for: a question that comes before waits in the ring. NULL; or what it cannot do, with
 * errno. */
static const char *start(struct mioc_node *node, const struct mioc_agent_order *order)
{
    if (mioc_store_make_table(node->store) != 0)
        return "make its store";
    mioc_store_set_max_bytes(node->store, mioc_node_store_limit(node->config));
    if (node->world.nodes == 1) /* there is no link to wait for */
        mioc_store_set_state(node->store, MIOC_STORE_ACTIVE);
    if (node->world.node == 0)
        mioc_node_manifest_start(node);
    (void)mioc_trace_start(node->config, MIOC_TRACE_NODE, node->world.node); /* before the resolvers' threads */
    mioc_node_set_bound(node, mioc_node_store_limit(node->config));
    if (mioc_node_host_start(node) != 0 || mioc_watch_start(mioc_store_ring(node->store), order->starter) != 0 ||
        (mioc_rival_fd() >= 0 && mioc_watch_fd(mioc_rival_fd()) != 0) ||
        (node->starter >= 0 && mioc_watch_fd(node->starter) != 0) ||
        (node->ops != NULL && mioc_watch_fd(node->ops->fd(node->transport)) != 0))
        return "start its threads";
    if (node->prefetch != NULL)
        mioc_prefetch_release(node->prefetch);
    mioc_node_watch_memory(node);
    mioc_node_attend_link(node, mioc_clock_ns());
    return NULL;
}

/* Ranks may use the store already. They make the real calls from now on. */
static void give_up(struct mioc_node *node, const char *what)
{
    mioc_log(
        MIOC_LOG_WARN,
        "node %d: the agent cannot %s: %s; it goes on uncached. Leave MPIIO_CACHE_DIR room, and raise the limits of "
        "threads and memory (ulimit -u, ulimit -v)",
        node->world.node, what, mioc_log_error(errno));
    mioc_store_set_state(node->store, MIOC_STORE_LEFT);
    mioc_store_remove(node->store);
}

int mioc_node_serve(const struct mioc_agent_order *order, const struct mioc_node_way *way, int starter)
{
    char text[MIOC_AGENT_STATUS_MAX] = MIOC_AGENT_OK;
    struct mioc_node *node = &mioc_node;
    const char *problem;
    int rc;

    ignore_signals();
    raise_limit(RLIMIT_NOFILE);
    raise_limit(RLIMIT_FSIZE);
    mioc_log_set_sink(leave_note);
    node->config = mioc_config();
    node->policy = &order->policy;
    node->owner = getpid();
    node->is_process = 1;
    node->apart_ns = mioc_clock_ns();
    node->token = node->settled = mioc_clock_real_ns(); /* writes of an earlier agent of this node have lower ones */
    node->way = way;
    node->starter = starter;
    node->launcher = -1;
    node->starter_pid = order->starter;
    rc = make_store(node, order, text, sizeof text);
    say(starter, text);
    if (rc != 0)
        return 1;
    if (node->world.nodes == 1 || node->ops != NULL) { /* it has no more to say */
        (void)mioc_real(close)(starter);
        node->starter = -1;
    }
    problem = start(node, order);
    if (problem != NULL) {
        give_up(node, problem);
        mioc_trace_end();
        return 1;
    }
    mioc_node_agent_loop(node);
    mioc_trace_end();
    mioc_node_manifest_wait(node, mioc_clock_ns() + MANIFEST_NS);
    mioc_store_remove(node->store);
    (void)mioc_store_reclaim(node->config->dir); /* a rank that was killed as it took its turn has left its file */
    return 0;
}
