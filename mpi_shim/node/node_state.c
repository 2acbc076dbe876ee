/* SPDX-License-Identifier: BSD-3-Clause */
/* node_state.c - the node of this process. */
#include "base/config.h"
#include "limits.h"
#include "node_internal.h"

#include <unistd.h>

struct mioc_node mioc_node;

uint64_t mioc_node_store_limit(const struct mioc_config *config)
{
    static uint64_t machine; /* 0: not asked yet, which takes a dozen system calls */
    uint64_t bytes = config->max_bytes;

    if (bytes == 0 && machine == 0)
        machine = mioc_limits_default("", config->dir);
    bytes = bytes != 0 ? bytes : machine;
    return bytes > INT64_MAX ? INT64_MAX : bytes;
}

int mioc_node_is_owner(void) { return mioc_node.owner != 0 && mioc_node.owner == getpid(); }
