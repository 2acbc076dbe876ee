/* SPDX-License-Identifier: BSD-3-Clause */
/* ring_internal.h - what ring.c, ring_ask.c and ring_stats.c share; nobody else includes it. */
#ifndef MIOC_RING_INTERNAL_H
#define MIOC_RING_INTERNAL_H

#include "ring.h"

/* The client writes it from CLAIMED to ASKED; the agent reads it while TAKEN. */
struct mioc_slot {
    uint32_t what, kind, len, reserved;
    char path[MIOC_PATH_MAX];
};

struct mioc_process {
    _Alignas(64) uint64_t id; /* {pid : 32, rank : 32}; 0: not claimed */
    uint32_t ended;
    struct mioc_stats stats;
};

/* Clients that wait for a slot of this lane sleep on `freed`, which changes when a slot comes free. */
struct mioc_lane {
    _Alignas(64) uint32_t freed;
    uint32_t is_awaited;
};

/* What rank 0 and an agent process have to say to each other at the job's end. Rank 0 writes `status` and then
 * `has_ended`; the agent writes `report` and then `has_report`. */
struct mioc_job_end {
    _Alignas(64) uint32_t has_ended, is_report_wanted;
    int32_t status;
    uint32_t has_report; /* futex */
    struct mioc_report report;
};

/* A message for people. `size` is written last by the agent, and taken, set to 0, by whoever prints it. */
struct mioc_note {
    uint32_t size;
    char text[MIOC_RING_NOTE_MAX];
};

struct mioc_ring {
    uint64_t magic; /* stored last */
    uint64_t pid_namespace;
    int32_t agent;
    uint64_t beat_ms;    /* CLOCK_MONOTONIC_COARSE of the agent's last beat; 0: none yet */
    uint64_t lease_ms;   /* atomic: the store may be served before this CLOCK_MONOTONIC_COARSE; UINT64_MAX: always */
    uint32_t is_tainted; /* the agent did not hear of a write: records may be old; anybody sets it, for good */
    _Alignas(64) uint32_t doorbell;
    uint32_t sleeping;
    struct mioc_lane lane[2];   /* reads, writes */
    _Alignas(64) uint32_t seen; /* from here to swept[]: only the agent uses them */
    uint32_t cursor;
    uint64_t swept_ns;
    uint64_t swept[MIOC_RING_SLOTS];
    _Alignas(64) uint64_t state[MIOC_RING_SLOTS];
    struct mioc_slot slot[MIOC_RING_SLOTS];
    struct mioc_process process[MIOC_RING_PROCESSES];
    struct mioc_job_end job_end;
    uint32_t nodes;           /* atomic */
    uint32_t is_farewell_due; /* atomic */
    uint32_t notes;           /* that the agent has begun to write */
    struct mioc_note note[MIOC_RING_NOTES];
};

/* A state word is {pid : 32, generation : 24, status : 5, phase : 3}. Each claim takes the slot's next generation. The
 * lower half is the futex. */
enum mioc_slot_phase {
    MIOC_SLOT_FREE,
    MIOC_SLOT_CLAIMED,
    MIOC_SLOT_ASKED,
    MIOC_SLOT_TAKEN,
    MIOC_SLOT_DONE,
    MIOC_SLOT_DROPPED
};

_Static_assert(MIOC_RING_SLOTS == 256, "a ticket has 8 bits for the slot and 24 for the generation");

static inline uint64_t mioc_word_make(pid_t pid, uint32_t generation, enum mioc_slot_phase phase)
{
    return (uint64_t)(uint32_t)pid << 32 | (generation & 0xffffffu) << 8 | phase;
}
static inline enum mioc_slot_phase mioc_word_phase(uint64_t word) { return (enum mioc_slot_phase)(word & 7u); }
static inline uint32_t mioc_word_generation(uint64_t word) { return (uint32_t)word >> 8; }
static inline pid_t mioc_word_pid(uint64_t word) { return (pid_t)(word >> 32); }
static inline uint64_t mioc_word_with(uint64_t word, enum mioc_slot_phase phase, unsigned status)
{
    return (word & ~0xffull) | (uint64_t)(status & 0x1fu) << 3 | phase;
}

static inline uint64_t mioc_slot_load(const struct mioc_ring *ring, uint32_t slot)
{
    return __atomic_load_n(&ring->state[slot], __ATOMIC_ACQUIRE);
}
static inline int mioc_slot_swap(struct mioc_ring *ring, uint32_t slot, uint64_t from, uint64_t to)
{
    return __atomic_compare_exchange_n(&ring->state[slot], &from, to, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}
/* The half of a state word that has phase and generation. */
static inline uint32_t *mioc_slot_futex(struct mioc_ring *ring, uint32_t slot)
{
    return (uint32_t *)(void *)&ring->state[slot] + (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__);
}

/* Sleeps while *at is `value`, for at most `ns`. Changes errno. */
void mioc_ring_futex_wait(uint32_t *at, uint32_t value, uint64_t ns);
/* Frees a slot, and wakes one client that waits for a slot. Returns 1; or 0: its state word is not `word` any more. */
int mioc_slot_release(struct mioc_ring *ring, uint32_t slot, uint64_t word);
/* Wakes one client that waits for a slot of the lane, if any does. */
void mioc_lane_wake(struct mioc_lane *lane);
/* Whether no process has that pid. Changes errno. */
int mioc_ring_is_gone(pid_t pid);

#endif
