/* SPDX-License-Identifier: BSD-3-Clause */
/* node.c - a rank's start in the cache: joins the job, agrees with the others, makes or finds the node's store. Its end
 * is in node_end.c. */
#include "base/clock.h"
#include "base/hash.h"
#include "node_internal.h"
#include "limits.h"
#include "loader/loader.h"
#include "base/log.h"
#include "base/real.h"
#include "observe/trace.h"
#include "base/credentials.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000ull
/* How long the leaders may take to meet before main(). Those who are late are met later. */
#define MEET_NS (2 * SECOND)

/* A leader's failure as one number for agree_min(), which gives that of the first node. */
#define FAILURE(node, error) ((int64_t)(node)*4096 + (error))

/* Makes the stores and agrees on them: all nodes must have one, all ranks the rights by which the root answers. The
 * tightest node sets the bound. 0, or -1 and the reason in `line`. */
static int agree_on_store(struct mioc_node *node, uint64_t key, char *line, size_t size)
{
    int is_leader = node->world.local_rank == 0;
    int error = is_leader ? mioc_node_create_store(node, key) : 0;
    int64_t rights = (int64_t)(mioc_credentials_rights(0) >> 1);
    int64_t values[4] = { error == 0 ? INT64_MAX : FAILURE(node->world.node, error),
                          is_leader ? (int64_t)mioc_node_store_limit(node->config) : INT64_MAX, rights, -rights };

    if (node->store != NULL)
        mioc_plugin_protect_fd(mioc_store_lock_fd(node->store));
    if (node->ops->agree_min(node->transport, values, 4) != 0) {
        snprintf(line, size, "MPI failed while the ranks agreed");
        return -1;
    }
    if (values[2] != -values[3]) { /* the least rights differ from the most */
        snprintf(line, size,
                 "the ranks of the nodes were started with different rights: not all have one user, groups and "
                 "capabilities");
        return -1;
    }
    mioc_node_set_bound(node, (uint64_t)values[1]);
    if (values[0] == INT64_MAX)
        return 0;
    mioc_node_say_unusable(node, (int)(values[0] / 4096), (int)(values[0] % 4096), line, size);
    return -1;
}

/* The node's other ranks learn where the leader's store is, and map it. */
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
    struct {
        uint64_t path, dev;
    } root[MIOC_MAX_PREFIXES] = { { 0, 0 } };
    struct mioc_device_pair pairs[MIOC_MAX_PREFIXES];
    const struct mioc_policy *policy = node->policy;
    unsigned n = 0;

    if (node->world.rank == 0)
        for (unsigned i = 0; i < policy->count; i++) {
            root[i].path = mioc_hash(policy->prefix[i].path, policy->prefix[i].len);
            root[i].dev = policy->prefix[i].local_dev;
        }
    if (node->ops->share_all(node->transport, root, sizeof root) != 0)
        return -1;
    for (unsigned i = 0; i < policy->count; i++)
        for (unsigned k = 0; k < MIOC_MAX_PREFIXES; k++)
            if (root[k].path == mioc_hash(policy->prefix[i].path, policy->prefix[i].len) && root[k].dev != 0 &&
                policy->prefix[i].local_dev != 0) {
                pairs[n++] = (struct mioc_device_pair){ root[k].dev, policy->prefix[i].local_dev };
                break;
            }
    if (node->world.local_rank == 0)
        mioc_store_set_devices(node->store, pairs, n);
    return 0;
}

/* The collective steps, in the same order on all ranks. A rank that fails alone takes part in the rest all the same. */
static int join(struct mioc_node *node, uint64_t key, char *line, size_t size)
{
    if (agree_on_store(node, key, line, size) != 0)
        return -1;
    if (attach_store(node, line, size) != 0) {
        (void)share_devices(node); /* the others wait in there */
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
    if (mioc_node_agent_start(node, mioc_clock_ns() + MEET_NS) == 0) {
        mioc_store_set_state(node->store, MIOC_STORE_ACTIVE);
        if (mioc_node_agent_run(node) == 0)
            return 0;
    }
    mioc_store_set_state(node->store, MIOC_STORE_LEFT);
    snprintf(line, size, "cannot start the agent's threads: %s", strerror(errno));
    return -1;
}

/* On a busy node the leader starts its threads and meets its neighbours more slowly than the other ranks come to their
 * first calls. These would all go to the filesystem, so the others wait for the leader. */
static void await_leader(const struct mioc_node *node)
{
    if (node->world.local_rank != 0)
        (void)mioc_store_await(node->store, mioc_clock_ns() + node->config->timeout_ms * 1000000u);
}

int mioc_node_start(const struct mioc_task *me, const struct mioc_config *config, const struct mioc_policy *policy,
                    struct mioc_store **store, char *line, size_t size)
{
    struct mioc_node *node = &mioc_node;
    int rc;

    node->config = config;
    node->policy = policy;
    if (me->rank == 0)
        mioc_node_manifest_start(node);
    rc = mioc_plugin_start(me->plugin, &node->ops, &node->transport, &node->world, line, size);
    if (node->prefetch != NULL)
        mioc_prefetch_release(node->prefetch);
    if (node->transport != NULL)
        node->owner = getpid();                    /* MPI has begun, at least: depart() is due at the end */
    if (rc == 0 && node->world.size != me->size) { /* another MPI's launcher: each rank is a world of its own */
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
        node->ops->watch_finalize(mioc_node_finalize);
    *store = node->store;
    mioc_loader_start(node->store, node->world.local_rank == 0);
    snprintf(node->line, sizeof node->line, "active: %d ranks on %d node%s, %.128s, loader %s", node->world.size,
             node->world.nodes, node->world.nodes == 1 ? "" : "s", node->world.library, mioc_loader_text());
    snprintf(line, size, "%s", node->line);
    return 0;
}
