/* SPDX-License-Identifier: BSD-3-Clause */
/* node_fixture.h - the root of a job of one node, with a real store, agent and resolver, but without their thread and
 * without MPI; for test_node_*.c. */
#ifndef MIOC_TEST_NODE_FIXTURE_H
#define MIOC_TEST_NODE_FIXTURE_H

#include "store_fixture.h"

#include "node/node_internal.h"

#define SECOND 1000000000ull

static struct mioc_node node;
static struct mioc_config config;
static struct mioc_policy policy;

static __attribute__((unused)) int make_node(void **state)
{
    void *store;

    if (make_store(&store) != 0)
        return -1;
    *state = store;
    config = (struct mioc_config){ .timeout_ms = 10000, .ttl_ms = 2000, .max_file = 1u << 20 };
    strcpy(config.dir, store_dir);
    memset(&node, 0, sizeof node);
    node.config = &config;
    node.policy = &policy;
    node.store = store;
    node.owner = getpid();
    node.world = (struct mioc_world){ .size = 1, .nodes = 1, .local_size = 1 };
    return mioc_node_host_start(&node);
}

/* What a node holds to its process's end, so that the leak checker sees that somebody has it. */
static void *held[64][2];

static __attribute__((unused)) int remove_node(void **state)
{
    static unsigned nodes;

    assert_true(nodes < sizeof held / sizeof held[0]);
    held[nodes][0] = node.evictable;
    held[nodes++][1] = node.abandoned;
    mioc_resolver_free(node.resolver, SECOND);
    mioc_agent_free(node.agent);
    mioc_aliases_free(node.aliases);
    free(node.report);
    return remove_store(state);
}

#endif
