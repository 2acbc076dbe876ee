/* SPDX-License-Identifier: BSD-3-Clause */
/* ring_job.c - what rank 0 and an agent process say to each other at the job's end, and the agent's messages. */
#include "base/futex.h"
#include "ring_internal.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

/* --- The job's end ----------------------------------------------------------------------------------------------- */

int mioc_ring_job_ends(struct mioc_ring *ring, int status, struct mioc_report *report, uint64_t until)
{
    struct mioc_job_end *end = &ring->job_end;
    int saved = errno, has_report = 0;
    uint64_t now;

    end->status = status;
    __atomic_store_n(&end->is_report_wanted, report != NULL, __ATOMIC_RELAXED);
    __atomic_store_n(&end->has_ended, 1, __ATOMIC_RELEASE);
    mioc_ring_wake(ring);
    while (report != NULL && !(has_report = (int)__atomic_load_n(&end->has_report, __ATOMIC_ACQUIRE)) &&
           (now = mioc_clock_ns()) < until)
        (void)mioc_futex_wait(&end->has_report, 0, until - now, 0);
    if (has_report)
        *report = end->report;
    errno = saved;
    return has_report ? 0 : -1;
}

int mioc_ring_has_job_ended(const struct mioc_ring *ring, int *status)
{
    if (!__atomic_load_n(&ring->job_end.has_ended, __ATOMIC_ACQUIRE))
        return 0;
    *status = ring->job_end.status;
    return 1;
}

int mioc_ring_is_report_wanted(const struct mioc_ring *ring)
{
    return __atomic_load_n(&ring->job_end.has_ended, __ATOMIC_ACQUIRE) &&
           __atomic_load_n(&ring->job_end.is_report_wanted, __ATOMIC_RELAXED) &&
           !__atomic_load_n(&ring->job_end.has_report, __ATOMIC_RELAXED);
}

void mioc_ring_give_report(struct mioc_ring *ring, const struct mioc_report *report)
{
    ring->job_end.report = *report;
    __atomic_store_n(&ring->job_end.has_report, 1, __ATOMIC_RELEASE);
    mioc_futex_wake(&ring->job_end.has_report, INT_MAX, 0);
}

void mioc_ring_set_nodes(struct mioc_ring *ring, uint32_t nodes)
{
    __atomic_store_n(&ring->nodes, nodes, __ATOMIC_RELAXED);
}

uint32_t mioc_ring_nodes(const struct mioc_ring *ring) { return __atomic_load_n(&ring->nodes, __ATOMIC_RELAXED); }

void mioc_ring_ask_farewell(struct mioc_ring *ring) { __atomic_store_n(&ring->is_farewell_due, 1, __ATOMIC_RELEASE); }

int mioc_ring_is_farewell_due(const struct mioc_ring *ring)
{
    return (int)__atomic_load_n(&ring->is_farewell_due, __ATOMIC_ACQUIRE);
}

/* --- Messages ---------------------------------------------------------------------------------------------------- */

void mioc_ring_leave_note(struct mioc_ring *ring, const char *text, size_t size)
{
    uint32_t at = __atomic_fetch_add(&ring->notes, 1, __ATOMIC_RELAXED);

    if (at >= MIOC_RING_NOTES) {
        __atomic_store_n(&ring->notes, MIOC_RING_NOTES, __ATOMIC_RELAXED);
        return;
    }
    if (size > MIOC_RING_NOTE_MAX)
        size = MIOC_RING_NOTE_MAX;
    memcpy(ring->note[at].text, text, size);
    __atomic_store_n(&ring->note[at].size, (uint32_t)size, __ATOMIC_RELEASE);
}

size_t mioc_ring_take_note(struct mioc_ring *ring, char text[])
{
    for (unsigned i = 0; i < MIOC_RING_NOTES; i++) {
        uint32_t size = __atomic_exchange_n(&ring->note[i].size, 0, __ATOMIC_ACQUIRE);

        if (size == 0 || size > MIOC_RING_NOTE_MAX)
            continue;
        memcpy(text, ring->note[i].text, size);
        return size;
    }
    return 0;
}
