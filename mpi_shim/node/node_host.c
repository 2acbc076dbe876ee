/* SPDX-License-Identifier: BSD-3-Clause */
/* node_host.c - what agent and resolver ask of the node: store, policy, ring, transport. */
#include "node_internal.h"
#include "base/clock.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define SECOND 1000000000ull
#define MS 1000000ull

/* --- The agent's side: agent's thread ---------------------------------------------------------------------------- */

static int host_is_known(void *ctx, unsigned kind, const char *path, uint32_t len)
{
    struct mioc_node *node = ctx;
    const struct mioc_item *item = mioc_store_lookup(node->store, kind, path, len, mioc_item_hash(kind, path, len));
    uint64_t now_ms;

    if (item == NULL)
        return 0;
    if (!(item->flags & MIOC_FLAG_BRIEF) &&
        ((item->flags & MIOC_FLAG_UNCACHED) || mioc_policy_classify(node->policy, path, len) != MIOC_POLICY_IMPORT))
        return 1;
    now_ms = mioc_clock_coarse_ms();
    return (item->flags & MIOC_FLAG_BRIEF) ? !mioc_item_is_over(item, now_ms)
                                           : now_ms < item->local_applied_ms + node->config->ttl_ms;
}

static const struct mioc_item *resolver_find(void *ctx, unsigned kind, const char *path, uint32_t len)
{
    return mioc_store_lookup(((struct mioc_node *)ctx)->store, kind, path, len, mioc_item_hash(kind, path, len));
}

static int64_t host_append(void *ctx, const struct mioc_item *item)
{
    struct mioc_node *node = ctx;
    int is_late = !mioc_agent_is_linked(node->agent);
    int64_t offset = mioc_store_append(node->store, item);
    struct mioc_item *copy = offset >= 0 && is_late ? (void *)mioc_store_item_at(node->store, (uint64_t)offset) : NULL;

    /* This node catches up: whatever lives for a time may have lived already. The store is not served yet. */
    if (copy != NULL)
        copy->local_applied_ms = 0;
    return offset;
}

static int host_write_chunk(void *ctx, const struct mioc_chunk_record *chunk, const void *bytes)
{
    return mioc_store_write_chunk(((struct mioc_node *)ctx)->store, chunk, bytes);
}

static int host_read_chunk(void *ctx, const struct mioc_chunk_record *chunk, void *bytes)
{
    return mioc_store_read_chunk(((struct mioc_node *)ctx)->store, chunk, bytes);
}

static const struct mioc_item *host_item_at(void *ctx, uint64_t offset)
{
    return mioc_store_item_at(((struct mioc_node *)ctx)->store, offset);
}

static uint64_t host_end(void *ctx) { return mioc_store_end(((struct mioc_node *)ctx)->store); }

/* The root does not answer this: everybody makes the real call. Its own policy may not serve the path. */
static void refuse(struct mioc_node *node, unsigned kind, const char *path, uint32_t len)
{
    void *buf = malloc(MIOC_ITEM_MAX);

    if (buf == NULL)
        return;
    mioc_item_finish(buf, mioc_item_begin(buf, kind, MIOC_FLAG_UNCACHED, path, len));
    (void)mioc_agent_publish(node->agent, buf, NULL, mioc_clock_ns());
    free(buf);
}

static void host_resolve(void *ctx, unsigned kind, const char *path, uint32_t len)
{
    struct mioc_node *node = ctx;

    if (mioc_policy_classify(node->policy, path, len) == MIOC_POLICY_NONE ||
        mioc_resolver_ask(node->resolver, kind, path, len) != 0)
        refuse(node, kind, path, len);
}

/* What node 0 itself wrote, its kernel knows: the resolver can believe it. */
static void host_invalidated(void *ctx, const char *path, uint32_t len, uint32_t flags, uint32_t writer)
{
    mioc_resolver_invalidate(((struct mioc_node *)ctx)->resolver, path, len, flags, writer != 0);
}

static uint32_t host_other_name(void *ctx, unsigned i, const char *path, uint32_t flags, char out[])
{
    return mioc_aliases_next(((struct mioc_node *)ctx)->aliases, i, path, flags, out);
}

static void *host_get_buffer(void *ctx)
{
    struct mioc_node *node = ctx;
    void *buffer;

    if (node->free_buffers > 0)
        return node->buffer[--node->free_buffers];
    if (node->buffers == MIOC_NODE_BUFFERS)
        return NULL;
    buffer = mmap(NULL, MIOC_MESSAGE_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (buffer == MAP_FAILED)
        return NULL;
    node->buffers++;
    return buffer;
}

void mioc_node_put_buffer(void *ctx, void *buffer)
{
    struct mioc_node *node = ctx;

    if (buffer != NULL)
        node->buffer[node->free_buffers++] = buffer;
}

void mioc_node_clear_buffers(struct mioc_node *node)
{
    for (unsigned i = 0; i < node->free_buffers; i++)
        (void)madvise(node->buffer[i], MIOC_MESSAGE_MAX, MADV_DONTNEED);
}

static int host_send(void *ctx, int peer, void *message, size_t size)
{
    struct mioc_node *node = ctx;

    if (node->ops == NULL || node->ops->send(node->transport, peer, message, size) != 0)
        return -1;
    node->unsent++;
    return 0;
}

static void host_hang_up(void *ctx, int peer)
{
    struct mioc_node *node = ctx;

    if (node->ops != NULL && node->ops->hang_up != NULL)
        node->ops->hang_up(node->transport, peer);
}

void mioc_node_answer(void *ctx, unsigned kind, const char *path, uint32_t len, int answered)
{
    struct mioc_node *node = ctx;
    uint64_t hash = kind == 0 ? 0 : mioc_item_hash(kind, path, len);
    unsigned kept = 0;

    /* The agent has ended. Neighbours that know wait for this node no more, so the store must not be served by then. */
    if (kind == 0)
        mioc_store_set_state(node->store, MIOC_STORE_LEFT);
    for (unsigned i = 0; i < node->waiters; i++) {
        if (kind == 0 || node->waiter[i].hash == hash)
            mioc_ring_answer(mioc_store_ring(node->store), node->waiter[i].slot,
                             answered ? MIOC_ASK_ANSWERED : MIOC_ASK_REAL);
        else
            node->waiter[kept++] = node->waiter[i];
    }
    node->waiters = kept;
}

static void host_settled(void *ctx, uint64_t token)
{
    struct mioc_node *node = ctx;
    unsigned kept = 0;

    node->settled = token;
    for (unsigned i = 0; i < node->waiters; i++) {
        if (node->waiter[i].hash == 0 && node->waiter[i].token <= token)
            mioc_ring_answer(mioc_store_ring(node->store), node->waiter[i].slot, MIOC_ASK_ANSWERED);
        else
            node->waiter[kept++] = node->waiter[i];
    }
    node->waiters = kept;
}

/* Root. What a node says of other nodes does not count. */
static void host_report(void *ctx, int from, const void *bytes, uint32_t size)
{
    struct mioc_node *node = ctx;

    if (node->report == NULL || size != sizeof *node->report)
        return;
    memcpy(&node->report[from], bytes, size);
    node->report[from].nodes = node->report[from].reported_nodes = 1;
}

static void host_wanted_report(void *ctx) { ((struct mioc_node *)ctx)->is_report_wanted = 1; }

/* --- The resolver's side: any thread ----------------------------------------------------------------------------- */

static void resolver_ready(void *ctx) { mioc_ring_wake(mioc_store_ring(((struct mioc_node *)ctx)->store)); }

static int resolver_may_speculate(void *ctx, const char *path, uint32_t len)
{
    return mioc_policy_classify(((struct mioc_node *)ctx)->policy, path, len) == MIOC_POLICY_LIBRARY;
}

static uint64_t resolver_client_ns(void *ctx, const char *path, uint32_t len, uint64_t *dev)
{
    return mioc_policy_client_ms(((struct mioc_node *)ctx)->policy, path, len, dev) * MS;
}

static int resolver_maps_names(void *ctx, const char *path, uint32_t len)
{
    return mioc_policy_maps_names(((struct mioc_node *)ctx)->policy, path, len);
}

/* Anybody may have written the manifest: what the policy would not serve is not read. */
int mioc_node_may_serve(void *ctx, unsigned kind, const char *path, uint32_t len)
{
    const struct mioc_policy *policy = ((struct mioc_node *)ctx)->policy;

    return mioc_policy_classify(policy, path, len) != MIOC_POLICY_NONE &&
           (kind != MIOC_ITEM_LIST || mioc_policy_is_whole(policy, path, len));
}

/* --- Start ------------------------------------------------------------------------------------------------------- */

static int start_resolver(struct mioc_node *node)
{
    const struct mioc_resolver_config resolver = {
        .threads = MIOC_NODE_RESOLVERS,
        .max_file = node->config->max_file,
        .ready = resolver_ready,
        .is_known = host_is_known,
        .find = resolver_find,
        .reserve = mioc_node_reserve,
        .release = mioc_node_release,
        .maps_names = resolver_maps_names,
        .may_speculate = resolver_may_speculate,
        .manifest = node->manifest.dir[0] != '\0' ? &node->manifest : NULL,
        .may_serve = mioc_node_may_serve,
        .client_ns = resolver_client_ns,
        .client_most_ns = node->policy->client_most_ms * MS,
        .notice_ns = node->config->timeout_ms * MS,
        .prefetch = node->prefetch,
        .ctx = node,
    };

    node->report = calloc((size_t)node->world.nodes, sizeof *node->report); /* NULL: those of others are not kept */
    node->aliases = mioc_aliases_new();
    if (node->aliases != NULL)
        node->resolver = mioc_resolver_new(&resolver);
    if (node->resolver == NULL)
        return -1;
    node->prefetch = NULL; /* the resolver owns it now */
    return 0;
}

int mioc_node_host_start(struct mioc_node *node)
{
    struct mioc_agent_config config = {
        .node = node->world.node,
        .nodes = node->world.nodes,
        .arity = MIOC_NODE_ARITY,
        .request_ns = node->config->timeout_ms * 1000000,
        .heartbeat_ns = SECOND,
        .silence_ns = mioc_config_silence_ns(node->config),
        .window = MIOC_NODE_WINDOW,
    };
    const struct mioc_agent_host host = {
        .ctx = node,
        .is_known = host_is_known,
        .append = host_append,
        .write_chunk = host_write_chunk,
        .read_chunk = host_read_chunk,
        .item_at = host_item_at,
        .end = host_end,
        .resolve = host_resolve,
        .invalidated = host_invalidated,
        .other_name = host_other_name,
        .get_buffer = host_get_buffer,
        .put_buffer = mioc_node_put_buffer,
        .send = host_send,
        .answer = mioc_node_answer,
        .settled = host_settled,
        .report = host_report,
        .hello = mioc_node_take_hello,
        .welcomed = mioc_node_take_welcome,
        .unlinked = mioc_node_unlinked,
        .hang_up = host_hang_up,
        .wanted_report = host_wanted_report,
    };

    if (node->is_process && node->world.nodes > 1)
        mioc_node_prepare_join(node, &config);
    node->agent = mioc_agent_new(&config, &host, mioc_clock_ns());
    if (node->agent == NULL)
        return -1;
    return node->world.node == 0 ? start_resolver(node) : 0;
}
