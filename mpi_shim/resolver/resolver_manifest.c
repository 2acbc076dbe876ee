/* SPDX-License-Identifier: BSD-3-Clause */
/* resolver_manifest.c - queues the last run's questions, as far as the policy serves such answers. */
#include "jobs.h"
#include "base/clock.h"
#include "prefetch.h"

#include <time.h>

/* Longest wait for contents that are being read ahead. */
#define AHEAD_NS 10000000000ull

struct taking {
    struct mioc_resolver *r;
    uint64_t until;
};

static void take(void *ctx, unsigned kind, const char *path, uint32_t len)
{
    struct taking *taking = ctx;
    struct mioc_resolver *r = taking->r;

    /* The reading ahead goes in the manifest's order, too, so it comes to this file soon. Other threads go on. */
    if (kind == MIOC_ITEM_CONTENT && r->prefetch != NULL &&
        mioc_prefetch_await(r->prefetch, path, len, taking->until) != 0)
        __atomic_store_n(&r->prefetch, NULL,
                         __ATOMIC_RELEASE); /* its filesystem hangs: go on without, and leave it behind */
    if (!r->config.may_serve(r->config.ctx, kind, path, len) || r->config.is_known(r->config.ctx, kind, path, len))
        return;
    pthread_mutex_lock(&r->lock);
    if (!r->stop && mioc_resolver_enqueue_early(r, kind, path, len) == 0)
        __atomic_fetch_add(&r->config.manifest->ahead, 1, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&r->lock);
}

void mioc_resolver_read_manifest(struct mioc_resolver *r)
{
    struct taking taking = { .r = r, .until = mioc_clock_ns() + AHEAD_NS };

    (void)mioc_manifest_read(r->config.manifest, take, &taking); /* the manifest keeps what is wrong with it */
}
