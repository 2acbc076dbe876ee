/* SPDX-License-Identifier: BSD-3-Clause */
/* node_memory.c - a thread of the leader that watches the job's memory cgroup, where that has a limit. */
#include "limits.h"
#include "node_internal.h"
#include "base/io_thread.h"
#include "base/thread.h"

#include <time.h>

#define LOOK_NS 100000000l
#define STACK (256u * 1024u)

/* This is a thread of its own, so that the files that it opens are not among the program's descriptors. */
static void *watch(void *arg)
{
    struct mioc_node *node = arg;
    int are_near;

    mioc_io_thread_part_from_descriptors();
    while ((are_near = mioc_limits_are_near("")) == 0)
        nanosleep(&(struct timespec){ 0, LOOK_NS }, NULL);
    if (are_near == 1) {
        __atomic_store_n(&node->is_short, 1, __ATOMIC_RELEASE);
        mioc_ring_wake(mioc_store_ring(node->store));
    }
    return NULL;
}

void mioc_node_watch_memory(struct mioc_node *node)
{
    if (mioc_limits_are_near("") < 0)
        return;
    (void)mioc_thread_start(NULL, 0, STACK, watch, node); /* without it only the store's bound counts */
}
