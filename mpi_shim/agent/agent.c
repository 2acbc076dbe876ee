/* SPDX-License-Identifier: BSD-3-Clause */
/* agent.c - the protocol's state machine: its life, what this node's threads want, its state. */
#include "agent_internal.h"
#include "base/path.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* --- Life -------------------------------------------------------------------------------------------------------- */

static int is_sound(const struct mioc_agent_config *config)
{
    return config->arity >= 1 && config->node >= 0 && config->node < config->nodes && config->window >= 1 &&
           config->hello_size <= MIOC_WIRE_SMALL_MAX &&
           (!config->has_joins || (config->lease_ns > 0 && config->lease_ns <= config->silence_ns &&
                                   (config->node > 0 || config->stream != 0))) &&
           config->welcome_size <= MIOC_MESSAGE_MAX - sizeof(struct mioc_message);
}

/* Makes the links that are there from the start. 0, or -1: no memory. */
static int meet_family(struct mioc_agent *a, uint64_t now)
{
    int64_t arity = a->config.arity, first = arity * a->config.node + 1, last = first + arity;

    a->is_interior = first < a->config.nodes;
    if (a->config.has_joins)
        return 0;
    if (last > a->config.nodes)
        last = a->config.nodes;
    a->children = a->children_cap = first < last ? (unsigned)(last - first) : 0;
    a->child = calloc(a->children + 1, sizeof(*a->child));
    if (a->child == NULL)
        return -1;
    for (unsigned i = 0; i < a->children; i++)
        a->child[i] = (struct mioc_agent_link){ .node = (int)first + (int)i, .state = MIOC_LINK_UP, .heard = now };
    a->parent.node = (a->config.node - 1) / a->config.arity;
    a->parent.state = mioc_agent_is_root(a) ? MIOC_LINK_NONE : MIOC_LINK_UP;
    a->parent.heard = now;
    return 0;
}

struct mioc_agent *mioc_agent_new(const struct mioc_agent_config *config, const struct mioc_agent_host *host,
                                  uint64_t now)
{
    struct mioc_agent *a;

    if (!is_sound(config)) {
        errno = EINVAL;
        return NULL;
    }
    a = calloc(1, sizeof(*a));
    if (a == NULL)
        return NULL;
    a->config = *config;
    a->host = *host;
    a->now = a->ticked = now;
    a->lease = mioc_agent_is_root(a) || !a->config.has_joins ? UINT64_MAX : 0;
    a->stream = mioc_agent_is_root(a) ? config->stream : 0;
    STAILQ_INIT(&a->queue);
    STAILQ_INIT(&a->gone);
    if (mioc_agent_is_root(a))
        a->scratch = malloc(MIOC_ITEM_MAX);
    if (mioc_agent_pending_start(a) != 0 || meet_family(a, now) != 0 || (mioc_agent_is_root(a) && a->scratch == NULL) ||
        mioc_agent_keep(&a->hello, &a->hello_size, config->hello, config->hello_size) != 0 ||
        mioc_agent_keep(&a->welcome, &a->welcome_size, config->welcome, config->welcome_size) != 0) {
        mioc_agent_free(a);
        errno = ENOMEM;
        return NULL;
    }
    a->was_ready = mioc_agent_is_ready(a);
    return a;
}

void mioc_agent_free(struct mioc_agent *a)
{
    if (a == NULL)
        return;
    mioc_agent_queue_clear(a);
    mioc_agent_pending_free(a);
    free(a->child);
    free(a->scratch);
    free(a->hello);
    free(a->welcome);
    free(a->evicted);
    free(a);
}

/* --- What this node's threads want ------------------------------------------------------------------------------- */

/* A question must not be lost silently. */
void mioc_agent_take_question(struct mioc_agent *a, unsigned kind, const char *path, uint32_t len, uint64_t hash,
                              int is_child)
{
    if (mioc_agent_want(a, kind, path, len, hash, is_child) != 0)
        mioc_agent_stop(a, MIOC_AGENT_STORE_FULL);
}

void mioc_agent_ask(struct mioc_agent *a, unsigned kind, const char *path, uint32_t len, uint64_t now)
{
    mioc_agent_set_time(a, now);
    a->counters.requests_local++;
    /* Every process of the node can write into the ring. A question that a parent would reject ends here. */
    if (a->state != MIOC_AGENT_RUNNING || !mioc_item_is_record(kind) || !mioc_path_is_sound(path, len)) {
        a->host.answer(a->host.ctx, kind, path, len, 0);
        return;
    }
    if (mioc_agent_is_ready(a) && a->host.is_known(a->host.ctx, kind, path, len)) {
        a->host.answer(a->host.ctx, kind, path, len, 1);
        return;
    }
    mioc_agent_take_question(a, kind, path, len, mioc_item_hash(kind, path, len), 0);
    mioc_agent_flush(a);
}

/* Tells the parent. 0, or -1: too much waits for it. */
static int tell_written(struct mioc_agent *a, uint32_t node, uint64_t token, uint32_t flags, const char *path,
                        uint32_t len)
{
    struct mioc_agent_out *out = NULL;

    if (a->queued < MIOC_AGENT_QUEUE_MAX && a->gones < MIOC_AGENT_GONE_MAX)
        out = mioc_agent_out_new(sizeof(struct mioc_message) + len + 1);
    if (out == NULL)
        return -1;
    out->size = (uint32_t)mioc_wire_invalidate(out->bytes, node, token, flags, path, len);
    mioc_agent_out_append(a, out);
    return 0;
}

int mioc_agent_take_written(struct mioc_agent *a, uint32_t node, uint64_t token, uint32_t flags, const char *path,
                            uint32_t len)
{
    a->counters.invalidations++;
    if (!mioc_agent_is_root(a))
        return tell_written(a, node, token, flags, path, len);
    mioc_agent_invalidate(a, node, token, flags, path, len);
    return 0;
}

void mioc_agent_wrote(struct mioc_agent *a, const char *path, uint32_t len, uint32_t flags, uint64_t token,
                      uint64_t now)
{
    mioc_agent_set_time(a, now);
    if (a->state != MIOC_AGENT_RUNNING || !mioc_path_is_sound(path, len))
        return;
    if (a->first_token == 0)
        a->first_token = token;
    a->last_token = token > 0 ? token : a->last_token;
    /* A node whose writes cannot be told must not go on. */
    if (mioc_agent_take_written(a, (uint32_t)a->config.node, token, flags & (MIOC_FLAG_SUBTREE | MIOC_FLAG_STICKY),
                                path, len) != 0)
        mioc_agent_stop(a, MIOC_AGENT_PEER_DIED);
    mioc_agent_flush(a);
}

uint64_t mioc_agent_synced(const struct mioc_agent *a) { return a->settled; }

int mioc_agent_publish(struct mioc_agent *a, const struct mioc_item *item, const void *bytes, uint64_t now)
{
    int rc;

    mioc_agent_set_time(a, now);
    if (a->state != MIOC_AGENT_RUNNING || !mioc_agent_is_root(a)) {
        errno = a->state == MIOC_AGENT_STORE_FULL ? ENOSPC : EINVAL;
        return -1;
    }
    rc = mioc_agent_apply(a, item, bytes);
    mioc_agent_flush(a);
    return rc;
}

void mioc_agent_leave(struct mioc_agent *a, const void *report, uint32_t size, uint64_t now)
{
    mioc_agent_set_time(a, now);
    if (a->state != MIOC_AGENT_RUNNING)
        return;
    if (report != NULL)
        (void)mioc_agent_queue_report(a, (uint32_t)a->config.node, report, size);
    mioc_agent_stop(a, MIOC_AGENT_LEFT);
    mioc_agent_flush(a);
}

/* --- Reports -------------------------------------------------------------------------------------------------------
 */

int mioc_agent_send_report(struct mioc_agent *a, const void *bytes, uint32_t size, uint64_t now)
{
    int rc = -1;

    mioc_agent_set_time(a, now);
    if (a->state == MIOC_AGENT_RUNNING)
        rc = mioc_agent_queue_report(a, (uint32_t)a->config.node, bytes, size);
    mioc_agent_flush(a);
    return rc;
}

void mioc_agent_want_reports(struct mioc_agent *a, uint64_t now)
{
    mioc_agent_set_time(a, now);
    if (a->state == MIOC_AGENT_RUNNING && mioc_agent_is_root(a))
        mioc_agent_ask_children(a);
    mioc_agent_flush(a);
}

/* --- State -------------------------------------------------------------------------------------------------------- */

enum mioc_agent_end mioc_agent_state(const struct mioc_agent *a) { return a->state; }

int mioc_agent_is_linked(const struct mioc_agent *a) { return mioc_agent_is_ready(a); }

uint64_t mioc_agent_served_until(const struct mioc_agent *a) { return mioc_agent_is_ready(a) ? a->lease : 0; }

int mioc_agent_is_busy(const struct mioc_agent *a)
{
    int is_running = a->state == MIOC_AGENT_RUNNING;
    /* When a parent comes, nobody knows. */
    int is_alone = is_running && !mioc_agent_is_root(a) && a->parent.state != MIOC_LINK_UP;

    if (!is_alone && (a->pendings > 0 || a->queued > 0))
        return 1;
    if (a->parent.inflight > 0 || (is_running && mioc_agent_is_syncing(a)))
        return 1;
    for (unsigned i = 0; i < a->children; i++) {
        const struct mioc_agent_link *link = &a->child[i];

        if (link->owes_leave || (link->inflight > 0 && !(a->config.has_joins && link->state == MIOC_LINK_DEAD)) ||
            (is_running && link->state == MIOC_LINK_UP && link->cursor < a->host.end(a->host.ctx)))
            return 1;
    }
    return 0;
}

int mioc_agent_is_saturated(const struct mioc_agent *a)
{
    unsigned up = 0;

    for (unsigned i = 0; i < a->children; i++) {
        const struct mioc_agent_link *link = &a->child[i];

        if (link->state != MIOC_LINK_UP)
            continue;
        if (link->inflight < a->config.window || link->cursor >= a->host.end(a->host.ctx))
            return 0;
        up++;
    }
    return up > 0;
}

unsigned mioc_agent_children(const struct mioc_agent *a)
{
    unsigned up = 0;

    for (unsigned i = 0; i < a->children; i++)
        up += a->child[i].state == MIOC_LINK_UP;
    return up;
}

const struct mioc_agent_counters *mioc_agent_counters(const struct mioc_agent *a) { return &a->counters; }
