/* SPDX-License-Identifier: BSD-3-Clause */
/* agent_queue.c - composed messages that wait for the parent. */
#include "agent_internal.h"
#include <stdlib.h>

struct mioc_agent_out *mioc_agent_out_new(size_t size)
{
    struct mioc_agent_out *out = malloc(sizeof(*out) + size);

    if (out != NULL)
        out->size = 0;
    return out;
}

void mioc_agent_out_append(struct mioc_agent *a, struct mioc_agent_out *out)
{
    STAILQ_INSERT_TAIL(&a->queue, out, next);
    a->queued++;
}

void mioc_agent_queue_remove(struct mioc_agent *a)
{
    struct mioc_agent_out *out = STAILQ_FIRST(&a->queue);

    STAILQ_REMOVE_HEAD(&a->queue, next);
    a->queued--;
    free(out);
}

void mioc_agent_queue_clear(struct mioc_agent *a)
{
    while (!STAILQ_EMPTY(&a->queue))
        mioc_agent_queue_remove(a);
}
