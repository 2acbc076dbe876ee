/* SPDX-License-Identifier: BSD-3-Clause */
/* node_join.c - an agent process joins the job: what nodes say of themselves, what the root tells them, and for how
 * long this node's threads wait for the link. */
#include "node_internal.h"
#include "node_watch.h"
#include "base/clock.h"
#include "base/credentials.h"
#include "base/hash.h"
#include "base/io.h"
#include "base/log.h"
#include "base/real.h"
#include "process.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* What must be the same on all nodes: versions, byte order and sizes, and the rights by which the root answers. */
struct terms {
    uint64_t layout, rights;
};

/* A node's HELLO. */
struct hello {
    struct terms terms;
    uint64_t bound; /* bytes that its store may take */
};

/* The root's WELCOME: its device number of each prefix, as these differ from node to node. A path is its hash. */
struct welcome {
    struct terms terms;
    struct {
        uint64_t path, dev;
    } prefix[MIOC_MAX_PREFIXES];
};

static struct hello hello;
static struct welcome welcome;

static struct terms own_terms(void)
{
    char text[128];
    int length = snprintf(text, sizeof text, "%u %llx %zu %d %u", MIOC_WIRE_VERSION,
                          (unsigned long long)MIOC_STORE_MAGIC, sizeof(long), __BYTE_ORDER__, MIOC_TRANSPORT_ABI);

    return (struct terms){ mioc_hash(text, (size_t)length), mioc_credentials_rights(0) };
}

/* Leases are short where MPIIO_CACHE_TIMEOUT is. */
#define BEAT_LEAST_NS 50000000ull

static uint64_t between(uint64_t value, uint64_t least, uint64_t most)
{
    return value < least ? least : value < most ? value : most;
}

void mioc_node_prepare_join(struct mioc_node *node, struct mioc_agent_config *config)
{
    const struct mioc_policy *policy = node->policy;

    hello = (struct hello){ own_terms(), mioc_node_store_limit(node->config) };
    welcome.terms = hello.terms;
    for (unsigned i = 0; i < policy->count; i++) {
        welcome.prefix[i].path = mioc_hash(policy->prefix[i].path, policy->prefix[i].len);
        welcome.prefix[i].dev = policy->prefix[i].local_dev;
    }
    config->has_joins = 1;
    config->lease_ns = mioc_config_trust_ns(node->config);
    config->heartbeat_ns = between(config->lease_ns / 4, BEAT_LEAST_NS, config->heartbeat_ns);
    config->stream = mioc_clock_real_ns();
    config->hello = &hello;
    config->hello_size = sizeof hello;
    config->welcome = &welcome;
    config->welcome_size = sizeof welcome;
}

static const char *difference(const struct terms *theirs)
{
    if (theirs->layout != hello.terms.layout)
        return "another version of libmpiio_cache.so";
    return theirs->rights != hello.terms.rights ? "other rights: not all have one user, groups and capabilities" : NULL;
}

int mioc_node_take_hello(void *ctx, int number, const void *bytes, uint32_t size)
{
    struct mioc_node *node = ctx;
    struct hello theirs;
    const char *problem;

    if (size != sizeof theirs)
        return -1;
    memcpy(&theirs, bytes, sizeof theirs);
    problem = difference(&theirs.terms);
    if (problem != NULL) {
        mioc_log(MIOC_LOG_WARN, "node %d has %s; it goes on uncached. Start all ranks alike", number, problem);
        return -1;
    }
    if (node->world.node == 0)
        mioc_node_lower_bound(node, theirs.bound);
    return 0;
}

int mioc_node_take_welcome(void *ctx, const void *bytes, uint32_t size)
{
    struct mioc_device_pair pairs[MIOC_MAX_PREFIXES];
    struct mioc_node *node = ctx;
    struct welcome theirs;
    const char *problem;
    unsigned n = 0;

    if (size != sizeof theirs)
        return -1;
    memcpy(&theirs, bytes, sizeof theirs);
    problem = difference(&theirs.terms);
    if (problem != NULL) {
        mioc_log(MIOC_LOG_WARN, "the root has %s; node %d goes on uncached. Start all ranks alike", problem,
                 node->world.node);
        return -1;
    }
    for (unsigned i = 0; i < MIOC_MAX_PREFIXES; i++)
        for (unsigned k = 0; k < MIOC_MAX_PREFIXES; k++)
            if (welcome.prefix[i].dev != 0 && theirs.prefix[k].dev != 0 &&
                theirs.prefix[k].path == welcome.prefix[i].path) {
                pairs[n++] = (struct mioc_device_pair){ theirs.prefix[k].dev, welcome.prefix[i].dev };
                break;
            }
    mioc_store_set_devices(node->store, pairs, n);
    return 0;
}

/* --- Waiting for the link ---------------------------------------------------------------------------------------- */

/* A root that is late is waited for, for half of MPIIO_CACHE_TIMEOUT, so that its job does not storm the filesystem.
 * But it may have ended already: under hydra that is likely, as a name has told of it. */
#define NAMED_LINK_NS 1500000000ull

static uint64_t link_ns(const struct mioc_node *node)
{
    uint64_t most = node->config->timeout_ms * MIOC_NS_PER_MS / 2;

    return node->is_named && NAMED_LINK_NS < most ? NAMED_LINK_NS : most;
}

int mioc_node_waits_for_link(const struct mioc_node *node, uint64_t now)
{
    return now - node->apart_ns < link_ns(node);
}

int mioc_node_is_linked(const struct mioc_node *node)
{
    return !node->is_process || node->world.nodes == 1 || mioc_agent_is_linked(node->agent);
}

/* Says it once, when the time is over. Where there is no transport, what is missing was said. A parent that has a name
 * was there, and its ranks may have ended. */
static void say_unlinked(const struct mioc_node *node)
{
    static int is_said;

    if (!is_said && node->was_linked)
        mioc_log(node->is_named ? MIOC_LOG_INFO : MIOC_LOG_WARN,
                 "node %d has lost the nodes above it, and finds no other within %llu ms; it goes on uncached until it "
                 "does. See what became of rank 0's node",
                 node->world.node, (unsigned long long)(link_ns(node) / MIOC_NS_PER_MS));
    else if (!is_said && node->ops != NULL)
        mioc_log(
            node->is_named ? MIOC_LOG_INFO : MIOC_LOG_WARN,
            "node %d does not reach the others within %llu ms; it goes on uncached until it does. mpiio-cache check "
            "on two nodes says more",
            node->world.node, (unsigned long long)(link_ns(node) / MIOC_NS_PER_MS));
    is_said = 1;
}

/* Threads that wait for a record make the real call; with `writes` those that wait for writes wait no longer. */
static void answer_waiters(struct mioc_node *node, int writes)
{
    struct mioc_ring *ring = mioc_store_ring(node->store);
    unsigned kept = 0;

    for (unsigned i = 0; i < node->waiters; i++)
        if (node->waiter[i].hash != 0)
            mioc_ring_answer(ring, node->waiter[i].slot, MIOC_ASK_REAL);
        else if (writes)
            mioc_ring_answer(ring, node->waiter[i].slot, MIOC_ASK_ANSWERED);
        else
            node->waiter[kept++] = node->waiter[i];
    node->waiters = kept;
}

/* Writes still wait: they go up as soon as there is another parent. */
void mioc_node_unlinked(void *ctx)
{
    struct mioc_node *node = ctx;

    mioc_ring_set_lease(mioc_store_ring(node->store), 0);
    mioc_log(MIOC_LOG_DEBUG, "node %d: the way to the root is not there", node->world.node);
    node->apart_ns = mioc_clock_ns();
    answer_waiters(node, 0);
}

/* What the stream brings before the node is linked may be wrong by now, so nothing of it is served until then. */
void mioc_node_attend_link(struct mioc_node *node, uint64_t now)
{
    if (mioc_store_get_state(node->store) > MIOC_STORE_ACTIVE)
        return;
    mioc_ring_set_lease(mioc_store_ring(node->store), mioc_agent_served_until(node->agent));
    if (mioc_node_is_linked(node)) {
        mioc_store_set_state(node->store, MIOC_STORE_ACTIVE);
        node->was_linked = 1;
        return;
    }
    if (mioc_node_waits_for_link(node, now))
        return;
    if (mioc_store_get_state(node->store) == MIOC_STORE_STARTING)
        mioc_store_set_state(node->store, MIOC_STORE_APART);
    say_unlinked(node);
    answer_waiters(node, 1);
}

/* --- The starter, and its launcher ------------------------------------------------------------------------------- */

/* How long hydra may take to answer. */
#define FAREWELL_MS 200

void mioc_node_attend_launcher(struct mioc_node *node)
{
    static const char farewell[] = "cmd=finalize\n";
    char answer[256];
    struct pollfd ready = { .fd = node->launcher, .events = POLLIN };

    if (node->launcher < 0 || mioc_watch_has(node->starter_pid))
        return;
    if (mioc_ring_is_farewell_due(mioc_store_ring(node->store)) &&
        send(node->launcher, farewell, sizeof farewell - 1, MSG_NOSIGNAL | MSG_DONTWAIT) > 0 &&
        poll(&ready, 1, FAREWELL_MS) > 0)
        (void)recv(node->launcher, answer, sizeof answer, MSG_DONTWAIT);
    (void)mioc_real(close)(node->launcher);
    node->launcher = -1;
}

void mioc_node_attend_starter(struct mioc_node *node)
{
    struct mioc_agent_parent parent;
    char reason[256];
    ssize_t n;

    if (node->starter < 0)
        return;
    n = mioc_io_receive_fd(node->starter, &parent, sizeof parent, &node->launcher);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    node->is_named = n == (ssize_t)sizeof parent && parent.is_known;
    if (node->is_named && node->way->join(node, &parent, reason, sizeof reason) != 0)
        mioc_log(MIOC_LOG_WARN,
                 "node %d does not reach the others: %s; it goes on uncached. mpiio-cache check says more",
                 node->world.node, reason);
    (void)mioc_real(close)(node->starter);
    node->starter = -1;
}
