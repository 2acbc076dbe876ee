/* SPDX-License-Identifier: BSD-3-Clause */
/* node_store.c - makes this node's store, and says why there is none. */
#include "node_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define ARENA_BYTES (256ull << 20)

int mioc_node_create_store(struct mioc_node *node, uint64_t key)
{
    /* An agent process sets the limit once its ranks wait no more. */
    const struct mioc_store_limits limits = { .max_bytes = node->is_process ? 0 : mioc_node_store_limit(node->config),
                                              .max_arena = ARENA_BYTES };
    int error;

    node->store = node->is_process ? mioc_store_begin(node->config->dir, key, &limits)
                                   : mioc_store_create(node->config->dir, key, &limits);
    if (node->store == NULL)
        return errno != 0 ? errno : EIO;
    /* Programs that are no interpreters read the policy there. Without it nobody would hear of their writes. */
    if (mioc_policy_save(node->policy, mioc_store_path(node->store)) != 0) {
        error = errno != 0 ? errno : EIO;
        mioc_store_remove(node->store);
        mioc_store_detach(node->store);
        node->store = NULL;
        return error;
    }
    mioc_store_set_node(node->store, (uint32_t)node->world.node);
    return 0;
}

void mioc_node_say_unusable(const struct mioc_node *node, int number, int error, char *line, size_t size)
{
    snprintf(line, size, "cannot use MPIIO_CACHE_DIR=%s on node %d: %s", node->config->dir, number,
             error == EPERM ? "others could put their own in the place of what is in it" : strerror(error));
}
