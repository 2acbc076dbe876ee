/* SPDX-License-Identifier: BSD-3-Clause */
/* agent_queue.c - composed messages that wait for the parent; with has_joins also those that went and may have to go
 * again. */
#include "agent_internal.h"
#include <stdlib.h>

struct mioc_agent_out *mioc_agent_out_new(size_t size)
{
    struct mioc_agent_out *out = malloc(sizeof(*out) + size);

    if (out != NULL)
        out->size = 0, out->sent = 0;
    return out;
}

void mioc_agent_out_append(struct mioc_agent *a, struct mioc_agent_out *out)
{
    STAILQ_INSERT_TAIL(&a->queue, out, next);
    a->queued++;
}

static struct mioc_agent_out *take_first(struct mioc_agent *a)
{
    struct mioc_agent_out *out = STAILQ_FIRST(&a->queue);

    STAILQ_REMOVE_HEAD(&a->queue, next);
    a->queued--;
    return out;
}

void mioc_agent_queue_remove(struct mioc_agent *a) { free(take_first(a)); }

static void remove_gone(struct mioc_agent *a, struct mioc_agent_out *out)
{
    STAILQ_REMOVE(&a->gone, out, mioc_agent_out, next);
    a->gones--;
    free(out);
}

void mioc_agent_queue_clear(struct mioc_agent *a)
{
    while (!STAILQ_EMPTY(&a->queue))
        mioc_agent_queue_remove(a);
    while (!STAILQ_EMPTY(&a->gone))
        remove_gone(a, STAILQ_FIRST(&a->gone));
}

/* --- Again ------------------------------------------------------------------------------------------------------- */

static const struct mioc_message *message_of(const struct mioc_agent_out *out) { return (const void *)out->bytes; }

static int is_write(const struct mioc_agent_out *out) { return message_of(out)->kind == MIOC_MESSAGE_INVALIDATE; }

/* A write is kept until the stream brings it back. That others joined below is kept for a while: a parent that is lost
 * has hardly kept it to itself for longer. */
void mioc_agent_queue_sent(struct mioc_agent *a)
{
    struct mioc_agent_out *out = take_first(a);

    if (!a->config.has_joins || !(is_write(out) || message_of(out)->kind == MIOC_MESSAGE_HELLO)) {
        free(out);
        return;
    }
    out->sent = a->now;
    STAILQ_INSERT_TAIL(&a->gone, out, next);
    a->gones++;
}

void mioc_agent_queue_again(struct mioc_agent *a)
{
    STAILQ_CONCAT(&a->gone, &a->queue);
    STAILQ_CONCAT(&a->queue, &a->gone);
    a->queued += a->gones;
    a->gones = 0;
}

static int is_it(const struct mioc_agent_out *out, uint32_t node, uint64_t token)
{
    return is_write(out) && message_of(out)->node == node && message_of(out)->token == token;
}

void mioc_agent_queue_confirm(struct mioc_agent *a, uint32_t node, uint64_t token)
{
    struct mioc_agent_out *out;

    STAILQ_FOREACH(out, &a->gone, next)
        if (is_it(out, node, token)) {
            remove_gone(a, out);
            return;
        }
    STAILQ_FOREACH(out, &a->queue, next)
        if (out->sent != 0 && is_it(out, node, token)) { /* it waits to go again, in vain */
            STAILQ_REMOVE(&a->queue, out, mioc_agent_out, next);
            a->queued--;
            free(out);
            return;
        }
}

void mioc_agent_queue_expire(struct mioc_agent *a)
{
    struct mioc_agent_out *out, *next;

    if (a->now - a->expired < a->config.heartbeat_ns) /* there may be many */
        return;
    a->expired = a->now;
    for (out = STAILQ_FIRST(&a->gone); out != NULL; out = next) {
        next = STAILQ_NEXT(out, next);
        if (!is_write(out) && a->now - out->sent >= a->config.silence_ns)
            remove_gone(a, out);
    }
}
