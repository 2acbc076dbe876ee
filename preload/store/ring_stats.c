/* SPDX-License-Identifier: BSD-3-Clause */
/* ring_stats.c - the statistics blocks of a node's processes, and how many of its ranks still run. */
#include "ring_internal.h"
#include <errno.h>

static pid_t id_pid(uint64_t id) { return (pid_t)(id >> 32); }
static int id_rank(uint64_t id) { return (int)(int32_t)(uint32_t)id; }

struct mioc_stats *mioc_ring_stats_claim(struct mioc_ring *ring, pid_t pid, int rank)
{
    uint64_t id = (uint64_t)(uint32_t)pid << 32 | (uint32_t)rank;

    for (unsigned i = 0; i < MIOC_RING_PROCESSES; i++) {
        struct mioc_process *process = &ring->process[i];
        uint64_t seen = 0;

        if (__atomic_compare_exchange_n(&process->id, &seen, id, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
            return &process->stats;
        if (seen == id) { /* the same process after an exec: its counters go on */
            __atomic_store_n(&process->ended, 0, __ATOMIC_RELEASE);
            return &process->stats;
        }
    }
    return NULL;
}

void mioc_ring_process_ends(struct mioc_ring *ring, pid_t pid)
{
    for (unsigned i = 0; i < MIOC_RING_PROCESSES; i++) {
        uint64_t id = __atomic_load_n(&ring->process[i].id, __ATOMIC_ACQUIRE);

        if (id == 0)
            break;
        if (id_pid(id) == pid)
            __atomic_store_n(&ring->process[i].ended, 1, __ATOMIC_RELEASE);
    }
    mioc_ring_wake(ring);
}

void mioc_ring_stats_visit(const struct mioc_ring *ring,
                           void (*visit)(void *ctx, pid_t pid, int rank, const struct mioc_stats *stats), void *ctx)
{
    for (unsigned i = 0; i < MIOC_RING_PROCESSES; i++) {
        uint64_t id = __atomic_load_n(&ring->process[i].id, __ATOMIC_ACQUIRE);

        if (id == 0)
            break;
        visit(ctx, id_pid(id), id_rank(id), &ring->process[i].stats);
    }
}

unsigned mioc_ring_ranks_running(const struct mioc_ring *ring, pid_t except)
{
    unsigned running = 0;
    int saved = errno;

    for (unsigned i = 0; i < MIOC_RING_PROCESSES; i++) {
        uint64_t id = __atomic_load_n(&ring->process[i].id, __ATOMIC_ACQUIRE);

        if (id == 0)
            break;
        if (id_rank(id) >= 0 && id_pid(id) != except && !__atomic_load_n(&ring->process[i].ended, __ATOMIC_ACQUIRE) &&
            !mioc_ring_is_gone(id_pid(id)))
            running++;
    }
    errno = saved;
    return running;
}
