/* SPDX-License-Identifier: BSD-3-Clause */
/* resolver_manifest.c - the last run's questions become the resolver's work, as far as the policy serves such answers. */
#include "resolver_internal.h"

static void take(void *ctx, unsigned kind, const char *path, uint32_t len)
{
    struct mioc_resolver *r = ctx;

    if (!r->config.may_serve(r->config.ctx, kind, path, len) || r->config.is_known(r->config.ctx, kind, path, len))
        return;
    pthread_mutex_lock(&r->lock);
    if (!r->stop && mioc_resolver_enqueue_early(r, kind, path, len) == 0)
        __atomic_fetch_add(&r->config.manifest->ahead, 1, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&r->lock);
}

void mioc_resolver_read_manifest(struct mioc_resolver *r)
{
    (void)mioc_manifest_read(r->config.manifest, take, r); /* it says what is wrong to whoever asks it */
}
