/* SPDX-License-Identifier: BSD-3-Clause */
/* node_manifest.c - the manifest at the root's start and end: read ahead what it names, write the next one. */
#include "node_internal.h"
#include "base/futex.h"
#include "base/clock.h"
#include "base/io_thread.h"
#include "client/client.h"
#include "base/log.h"

#include <limits.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000ull
/* The most that rank 0 holds of files until MPI has started. */
#define AHEAD_BYTES (64ull << 20)

void mioc_node_manifest_start(struct mioc_node *node)
{
    uint64_t room = mioc_node_store_limit(node->config) / 4;

    mioc_manifest_find(&node->manifest, node->config, node->policy, environ);
    node->prefetch = mioc_prefetch_start(&node->manifest, room < AHEAD_BYTES ? room : AHEAD_BYTES,
                                         node->config->max_file, mioc_node_may_serve, node);
}

void mioc_node_manifest_drop(struct mioc_node *node)
{
    if (node->prefetch != NULL && mioc_prefetch_wait(node->prefetch, SECOND) == 0)
        mioc_prefetch_free(node->prefetch); /* else its threads still use it: it stays */
    node->prefetch = NULL;
}

static int save(void *arg)
{
    struct mioc_node *node = arg;

    mioc_client_exempt_thread(1);
    /* This thread has no standard error: mioc_node_manifest_complain() says what went wrong. */
    (void)mioc_manifest_write(&node->manifest, node->store, node->save_problem, sizeof node->save_problem);
    __atomic_store_n(&node->has_saved, 1, __ATOMIC_RELEASE);
    mioc_futex_wake(&node->has_saved, INT_MAX, 0);
    return 0;
}

/* Whether to write one. A filesystem that has not finished reading would hang at writing, too. And an agent that has
 * left has heard only a part of the questions. */
static int is_wanted(struct mioc_node *node)
{
    return node->world.node == 0 && node->manifest.dir[0] != '\0' &&
           !__atomic_load_n(&node->has_left, __ATOMIC_RELAXED) &&
           __atomic_load_n(&node->manifest.is_through, __ATOMIC_ACQUIRE);
}

void mioc_node_manifest_save(struct mioc_node *node)
{
    if (!node->is_saving && is_wanted(node))
        node->is_saving = mioc_io_thread_begin(mioc_store_io_thread(node->store), save, node) == 0;
}

int mioc_node_manifest_is_saving(const struct mioc_node *node)
{
    return node->is_saving && !__atomic_load_n(&node->has_saved, __ATOMIC_ACQUIRE);
}

void mioc_node_manifest_wait(struct mioc_node *node, uint64_t until)
{
    uint64_t now;

    while (mioc_node_manifest_is_saving(node) && (now = mioc_clock_ns()) < until)
        (void)mioc_futex_wait(&node->has_saved, 0, until - now, 0);
}

void mioc_node_manifest_complain(struct mioc_node *node)
{
    enum mioc_log_level level = node->manifest.is_own_dir ? MIOC_LOG_INFO : MIOC_LOG_WARN;

    if (__atomic_load_n(&node->manifest.is_bad, __ATOMIC_ACQUIRE))
        mioc_log(level,
                 "no manifest: %s; nothing is read ahead. Remove it, or name another or off by MPIIO_CACHE_MANIFEST",
                 node->manifest.problem);
    if (!node->is_saving)
        return;
    if (!__atomic_load_n(&node->has_saved, __ATOMIC_ACQUIRE))
        mioc_log(
            level,
            "the manifest is not written: %s takes too long; the next run reads nothing ahead. Name a faster place by "
            "MPIIO_CACHE_MANIFEST",
            node->manifest.dir);
    else if (node->save_problem[0] != '\0')
        mioc_log(level,
                 "cannot write the manifest: %s; the next run reads nothing ahead. Name a file that rank 0 can write, "
                 "or off, by "
                 "MPIIO_CACHE_MANIFEST",
                 node->save_problem);
}
