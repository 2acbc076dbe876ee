/* SPDX-License-Identifier: BSD-3-Clause */
/* node.c - a rank's life in the cache: joins the job, agrees with the others, makes or finds the node's store, and ends. */
#include "../preload/bystander.h"
#include "node_internal.h"
#include "limits.h"
#include "../preload/job.h"
#include "../preload/loader.h"
#include "../preload/log.h"
#include "../preload/real.h"
#include "../preload/role.h"
#include "../preload/trace.h"
#include "../preload/view.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000ull
#define ARENA_BYTES (256ull << 20)
/* How long the leaders may take to meet before main(); who is not met by then is met later. */
#define MEET_NS (2 * SECOND)
/* How long an ending process waits for its agent to say goodbye when it does not linger. */
#define GOODBYE_NS (SECOND / 2)
/* How long the manifest's filesystem may take at the end, beside all else. */
#define MANIFEST_NS (SECOND / 2)
/* How long another thread's goodbye to the launcher may take. */
#define DEPART_NS SECOND
/* How soon a lingering process sees that a signal wants it to end. */
#define LINGER_SLICE_NS (SECOND / 10)

struct mioc_node mioc_node;

/* A leader's failure as one number that agree_min can carry: the first node's comes out. */
#define FAILURE(node, error) ((int64_t)(node) * 4096 + (error))

uint64_t mioc_node_store_limit(const struct mioc_config *config)
{
    uint64_t bytes = config->max_bytes != 0 ? config->max_bytes : mioc_limits_default("", config->dir);

    return bytes > INT64_MAX ? INT64_MAX : bytes;
}

/* The leader's store. 0, or its errno. */
static int create_store(struct mioc_node *node, uint64_t key)
{
    const struct mioc_store_limits limits = { .max_bytes = mioc_node_store_limit(node->config), .max_arena = ARENA_BYTES };
    int error;

    node->store = mioc_store_create(node->config->dir, key, &limits);
    if (node->store == NULL)
        return errno != 0 ? errno : EIO;
    /* Without it the writes of programs that are no interpreters would be heard by nobody. */
    if (mioc_bystander_save_policy(node->policy, mioc_store_path(node->store)) != 0) {
        error = errno != 0 ? errno : EIO;
        mioc_store_remove(node->store);
        mioc_store_detach(node->store);
        node->store = NULL;
        return error;
    }
    mioc_plugin_protect_fd(mioc_store_lock_fd(node->store));
    mioc_store_set_node(node->store, (uint32_t)node->world.node);
    return 0;
}

/* Whether all nodes have a store, and all ranks the rights by which the root answers; the room that the tightest node has. */
static int agree_on_store(struct mioc_node *node, uint64_t key, char *line, size_t size)
{
    int is_leader = node->world.local_rank == 0;
    int error = is_leader ? create_store(node, key) : 0;
    int64_t rights = (int64_t)(mioc_view_rights(0) >> 1);
    int64_t values[4] = { error == 0 ? INT64_MAX : FAILURE(node->world.node, error),
                          is_leader ? (int64_t)mioc_node_store_limit(node->config) : INT64_MAX, rights, -rights };

    if (node->ops->agree_min(node->transport, values, 4) != 0) {
        snprintf(line, size, "MPI failed while the ranks agreed");
        return -1;
    }
    if (values[2] != -values[3]) { /* the least and the most */
        snprintf(line, size, "the ranks of the nodes were started with different rights: not all have one user, groups and capabilities");
        return -1;
    }
    mioc_node_set_bound(node, (uint64_t)values[1]);
    if (values[0] == INT64_MAX)
        return 0;
    error = (int)(values[0] % 4096);
    snprintf(line, size, "cannot use MPIIO_CACHE_DIR=%s on node %d: %s", node->config->dir, (int)(values[0] / 4096),
             error == EPERM ? "others could put their own in the place of what is in it" : strerror(error));
    return -1;
}

/* The others of the node learn where the leader's store is. */
static int attach_store(struct mioc_node *node, char *line, size_t size)
{
    char path[1024] = "";

    if (node->world.local_rank == 0)
        snprintf(path, sizeof path, "%s", mioc_store_path(node->store));
    if (node->ops->share_node(node->transport, path, sizeof path) != 0) {
        snprintf(line, size, "MPI failed while a node's ranks were told of its store");
        return -1;
    }
    path[sizeof path - 1] = '\0';
    if (node->world.local_rank == 0)
        return 0;
    node->store = mioc_store_attach(path);
    if (node->store == NULL)
        snprintf(line, size, "cannot map %s: %s", path, strerror(errno));
    return node->store == NULL ? -1 : 0;
}

/* Device numbers differ from node to node: each leader learns the root's number of each prefix. */
static int share_devices(struct mioc_node *node)
{
    struct { uint64_t path, dev; } root[MIOC_MAX_PREFIXES] = { { 0, 0 } };
    struct mioc_device_pair pairs[MIOC_MAX_PREFIXES];
    const struct mioc_policy *policy = node->policy;
    unsigned n = 0;

    if (node->world.rank == 0)
        for (unsigned i = 0; i < policy->count; i++) {
            root[i].path = mioc_item_hash(0, policy->prefix[i].path, policy->prefix[i].len);
            root[i].dev = policy->prefix[i].local_dev;
        }
    if (node->ops->share_all(node->transport, root, sizeof root) != 0)
        return -1;
    for (unsigned i = 0; i < policy->count; i++)
        for (unsigned k = 0; k < MIOC_MAX_PREFIXES; k++)
            if (root[k].path == mioc_item_hash(0, policy->prefix[i].path, policy->prefix[i].len) && root[k].dev != 0 &&
                policy->prefix[i].local_dev != 0) {
                pairs[n++] = (struct mioc_device_pair){ root[k].dev, policy->prefix[i].local_dev };
                break;
            }
    if (node->world.local_rank == 0)
        mioc_store_set_devices(node->store, pairs, n);
    return 0;
}

/* All that needs everybody, in the same order on all ranks; a failure that all see is left to all. */
static int join(struct mioc_node *node, uint64_t key, char *line, size_t size)
{
    if (agree_on_store(node, key, line, size) != 0)
        return -1;
    if (attach_store(node, line, size) != 0) {
        (void)share_devices(node); /* the others wait there */
        return -1;
    }
    if (share_devices(node) != 0) {
        snprintf(line, size, "MPI failed while device numbers were shared");
        return -1;
    }
    return 0;
}

static int start_leader(struct mioc_node *node, char *line, size_t size)
{
    if (mioc_node_agent_start(node, mioc_node_now() + MEET_NS) == 0) {
        mioc_store_set_state(node->store, MIOC_STORE_ACTIVE);
        if (mioc_node_agent_run(node) == 0)
            return 0;
    }
    mioc_store_set_state(node->store, MIOC_STORE_LEFT);
    snprintf(line, size, "cannot start the agent's threads: %s", strerror(errno));
    return -1;
}

static void on_finalize(void);

/* A leader has threads to start and neighbours to meet. On a busy node that takes longer than the other ranks take to come to their first
 * calls, which would all go to the filesystem. */
static void await_leader(const struct mioc_node *node)
{
    if (node->world.local_rank != 0)
        (void)mioc_store_await(node->store, mioc_node_now() + node->config->timeout_ms * 1000000u);
}

int mioc_node_start(const struct mioc_identity *me, const struct mioc_config *config, const struct mioc_policy *policy,
                    struct mioc_store **store, char *line, size_t size)
{
    struct mioc_node *node = &mioc_node;
    int rc;

    node->config = config;
    node->policy = policy;
    if (me->rank == 0)
        mioc_node_manifest_start(node);
    node->world.local_size = mioc_role_count_tasks(me, environ);
    rc = mioc_plugin_start(me->plugin, &node->ops, &node->transport, &node->world, line, size);
    if (node->ahead != NULL)
        mioc_ahead_release(node->ahead);
    if (node->transport != NULL)
        node->owner = getpid(); /* MPI has begun, perhaps no more than that: it has a farewell to say */
    if (rc == 0 && node->world.size != me->size) { /* each a world of its own: the launcher is another MPI's */
        snprintf(line, size, "MPI speaks of %d rank%s, the launcher of %d: it is not this MPI's", node->world.size,
                 node->world.size == 1 ? "" : "s", me->size);
        rc = -1;
    }
    if (rc != 0) {
        mioc_node_manifest_drop(node);
        return -1;
    }
    if (join(node, me->key, line, size) != 0 || (node->world.local_rank == 0 && start_leader(node, line, size) != 0)) {
        if (node->world.local_rank == 0 && node->store != NULL)
            mioc_store_remove(node->store);
        if (node->world.local_rank == 0)
            node->ops->abandon(node->transport);
        mioc_node_manifest_drop(node);
        return -1;
    }
    await_leader(node);
    if (node->ops->watch_finalize != NULL)
        node->ops->watch_finalize(on_finalize);
    *store = node->store;
    mioc_loader_start(config, node->store, node->world.local_rank == 0);
    snprintf(node->line, sizeof node->line, "active: %d ranks on %d node%s, %.128s, loader %s", node->world.size, node->world.nodes,
             node->world.nodes == 1 ? "" : "s", node->world.library, mioc_loader_text());
    snprintf(line, size, "%s", node->line);
    return 0;
}

int mioc_node_is_owner(void)
{
    return mioc_node.owner != 0 && mioc_node.owner == getpid();
}

/* --- The end --- */

struct visit_context { struct mioc_report *report; };

static void add_process(void *ctx, pid_t pid, int rank, const struct mioc_stats *stats)
{
    (void)pid;
    mioc_report_add(((struct visit_context *)ctx)->report, stats, rank >= 0);
}

void mioc_node_fill_report(const struct mioc_node *node, struct mioc_report *report)
{
    struct visit_context context = { report };
    const struct mioc_agent_counters *counters = mioc_agent_counters(node->agent);
    const struct mioc_resolver *resolver = __atomic_load_n(&node->resolver, __ATOMIC_ACQUIRE);
    uint64_t arena, content, contents;

    memset(report, 0, sizeof *report);
    report->nodes = report->reported_nodes = 1;
    mioc_ring_stats_visit(mioc_store_ring(node->store), add_process, &context);
    mioc_report_merge(report, &node->report);
    if (node->world.node != 0)
        return;
    mioc_store_usage(node->store, &arena, &content, &contents);
    report->nodes = (uint32_t)node->world.nodes;
    report->store_bytes = arena + content;
    report->contents = contents;
    report->root_requests = counters->requests_local + counters->requests_children;
    report->root_questions = counters->requests_resolved;
    report->root_ahead = __atomic_load_n(&node->manifest.ahead, __ATOMIC_RELAXED);
    report->root_calls = resolver != NULL ? mioc_resolver_calls(resolver) : node->resolver_calls;
}

/* Rank 0, at its end. */
static void print_report(const struct mioc_node *node, int status)
{
    struct mioc_report report;

    mioc_node_fill_report(node, &report);
    mioc_job_report(&report, node->line, node->config, status);
}

/* Sleeps until the agent's thread is through or the time is up. Returns whether it is through. */
static int wait_for_agent(struct mioc_node *node, uint64_t wait_ns)
{
    uint64_t until = mioc_node_now() + wait_ns;

    for (;;) {
        uint64_t now = mioc_node_now();
        struct timespec left;

        if (__atomic_load_n(&node->done, __ATOMIC_ACQUIRE))
            return 1;
        if (now >= until)
            return 0;
        left = (struct timespec){ (time_t)((until - now) / SECOND), (long)((until - now) % SECOND) };
        syscall(SYS_futex, &node->done, FUTEX_WAIT, 0, &left, NULL, 0);
    }
}

/* --- Lingering: for the program this process is gone, with status 0, so no signal's action may change that any more --- */

static int is_without_effect(int signal)
{
    struct sigaction action;

    if (sigaction(signal, NULL, &action) != 0 || action.sa_handler == SIG_IGN)
        return 1;
    return action.sa_handler == SIG_DFL && (signal == SIGCHLD || signal == SIGURG || signal == SIGWINCH);
}

/* Whether a signal waits that the program had not blocked. */
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

/* A watchdog's alarm() is no more, as it would be after the end; other threads could take the signal. */
static void stop_timers(void)
{
    const struct itimerval none = { { 0, 0 }, { 0, 0 } };

    (void)setitimer(ITIMER_REAL, &none, NULL);
    (void)setitimer(ITIMER_VIRTUAL, &none, NULL);
    (void)setitimer(ITIMER_PROF, &none, NULL);
}

/* Serves until all are through, the time is up or a signal came, which then stays blocked for the moment that is left. */
static int linger(struct mioc_node *node)
{
    static const int open[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT, SIGTSTP, SIGTTIN, SIGTTOU, SIGCONT };
    uint64_t until = mioc_node_now() + node->config->linger_ms * 1000000;
    sigset_t all, blocked;
    int is_done;

    stop_timers();
    sigfillset(&all);
    for (unsigned i = 0; i < sizeof open / sizeof open[0]; i++)
        sigdelset(&all, open[i]);
    pthread_sigmask(SIG_BLOCK, &all, &blocked);
    do {
        if (is_called(&blocked))
            return 0;
        is_done = wait_for_agent(node, LINGER_SLICE_NS);
    } while (!is_done && mioc_node_now() < until);
    pthread_sigmask(SIG_SETMASK, &blocked, NULL);
    return is_done;
}

static void wish(struct mioc_node *node, enum mioc_node_wish what)
{
    __atomic_store_n(&node->wish, what, __ATOMIC_RELEASE);
    mioc_ring_wake(mioc_store_ring(node->store));
}

/* The application ends MPI, which all ranks do together, and with it ours (transport.h): what comes after is not cached. */
static void on_finalize(void)
{
    struct mioc_node *node = &mioc_node;

    if (!mioc_node_is_owner())
        return;
    mioc_log(MIOC_LOG_DEBUG, "rank %d: the program ends MPI: it goes on without the cache", node->world.rank);
    if (node->has_thread) {
        wish(node, MIOC_WISH_FINALIZE);
        if (!wait_for_agent(node, node->config->timeout_ms * 1000000u)) {
            wish(node, MIOC_WISH_LEAVE);
            (void)wait_for_agent(node, GOODBYE_NS);
        }
    }
    node->ops->end(node->transport);
}

static void end_leader(struct mioc_node *node, int status)
{
    int is_done = 0;

    if (status == 0) {
        mioc_node_manifest_save(node); /* while the others come to their ends */
        wish(node, MIOC_WISH_LINGER);
        is_done = linger(node);
    }
    if (!is_done) {
        wish(node, MIOC_WISH_LEAVE);
        (void)wait_for_agent(node, GOODBYE_NS);
    }
    mioc_node_manifest_wait(node, mioc_node_now() + MANIFEST_NS);
    mioc_node_manifest_complain(node);
    if (node->world.rank == 0 && status >= 0 && mioc_job_is_wanted(node->config))
        print_report(node, status);
    mioc_store_remove(node->store);
}

/* Another thread ends already, and may linger, or this one did and a signal's handler ends it now: that one waits no more. */
static void hurry_leader(struct mioc_node *node)
{
    wish(node, MIOC_WISH_LEAVE);
    (void)wait_for_agent(node, GOODBYE_NS);
    mioc_store_remove(node->store);
}

/* Says goodbye to the launcher, once, and not without having heard its answer: it takes a broken conversation for a crash. A
 * signal's handler that ends the process would break it; another thread that does waits for its end. */
static void depart(struct mioc_node *node)
{
    uint64_t until = mioc_node_now() + DEPART_NS;
    sigset_t all, old;

    if (__atomic_exchange_n(&node->is_departing, 1, __ATOMIC_ACQ_REL)) {
        while (!__atomic_load_n(&node->has_departed, __ATOMIC_ACQUIRE) && mioc_node_now() < until)
            nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
        return;
    }
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    node->ops->depart(node->transport);
    __atomic_store_n(&node->has_departed, 1, __ATOMIC_RELEASE);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

void mioc_node_end(int status)
{
    struct mioc_node *node = &mioc_node;
    int saved = errno, is_first;

    if (!mioc_node_is_owner())
        return;
    is_first = !__atomic_exchange_n(&node->is_ending, 1, __ATOMIC_ACQ_REL);
    if (node->store != NULL)
        mioc_ring_process_ends(mioc_store_ring(node->store), node->owner);
    /* An MPI error handler may call exit() in the agent's own thread, which cannot wait for itself. */
    if (node->has_thread && !pthread_equal(pthread_self(), node->thread)) {
        if (is_first)
            end_leader(node, status);
        else
            hurry_leader(node);
    }
    mioc_trace_end();
    depart(node);
    errno = saved;
}

void mioc_node_retire(void)
{
    struct mioc_node *node = &mioc_node;
    int saved = errno;

    if (!mioc_node_is_owner() || !node->has_thread || __atomic_load_n(&node->done, __ATOMIC_ACQUIRE))
        return;
    wish(node, MIOC_WISH_LEAVE);
    if (!wait_for_agent(node, GOODBYE_NS))
        mioc_store_set_state(node->store, MIOC_STORE_LEFT);
    mioc_store_remove(node->store); /* it may be out of reach later */
    mioc_log(MIOC_LOG_DEBUG, "node %d: its leader gets another root or other rights and serves no more", node->world.node);
    errno = saved;
}
