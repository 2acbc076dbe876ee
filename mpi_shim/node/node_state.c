/* SPDX-License-Identifier: BSD-3-Clause */
/* node_state.c - the node of this process. */
#include "base/config.h"
#include "limits.h"
#include "node_internal.h"

#include <unistd.h>

struct mioc_node mioc_node;

uint64_t mioc_node_store_limit(const struct mioc_config *config)
{
    uint64_t bytes = config->max_bytes != 0 ? config->max_bytes : mioc_limits_default("", config->dir);

    return bytes > INT64_MAX ? INT64_MAX : bytes;
}

int mioc_node_is_owner(void) { return mioc_node.owner != 0 && mioc_node.owner == getpid(); }
