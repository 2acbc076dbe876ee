/* SPDX-License-Identifier: BSD-3-Clause */
/* resolver_manifest.c - the last run's questions become the resolver's work, as far as the policy serves such answers. */
#include "resolver_internal.h"
#include "ahead.h"

/* Longest wait for what was to be read while MPI started. */
#define AHEAD_NS 10000000000ull

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
    if (r->ahead != NULL && mioc_ahead_wait(r->ahead, AHEAD_NS) != 0)
        __atomic_store_n(&r->ahead, NULL, __ATOMIC_RELEASE); /* a filesystem that hangs: left behind */
    if (r->ahead != NULL)
        mioc_resolver_count(r, (unsigned)mioc_ahead_calls(r->ahead));
    (void)mioc_manifest_read(r->config.manifest, take, r); /* it says what is wrong to whoever asks it */
}
