/* SPDX-License-Identifier: BSD-3-Clause */
/* ring_internal.h - the layout that ring.c and ring_stats.c share; nobody else includes it. */
#ifndef MIOC_RING_INTERNAL_H
#define MIOC_RING_INTERNAL_H

#include "ring.h"

struct mioc_slot { /* the client's between CLAIMED and ASKED, the agent's to read while TAKEN */
    uint32_t what, kind, len, reserved;
    char path[MIOC_PATH_MAX];
};

struct mioc_process {
    _Alignas(64) uint64_t id; /* {pid : 32, rank : 32}, 0: not claimed */
    uint32_t ended;
    struct mioc_stats stats;
};

struct mioc_ring {
    uint64_t magic; /* stored last */
    uint64_t pid_namespace;
    int32_t agent;
    uint64_t beat_ms;    /* CLOCK_MONOTONIC_COARSE of the agent's last sign of life, 0: none yet */
    uint32_t is_tainted; /* a write could not be told: what the store has may be old; set once, by anyone */
    _Alignas(64) uint32_t doorbell;
    uint32_t sleeping;
    _Alignas(64) uint32_t seen; /* from here on the agent's own */
    uint32_t cursor;
    uint64_t swept_ns;
    uint64_t swept[MIOC_RING_SLOTS];
    _Alignas(64) uint64_t state[MIOC_RING_SLOTS];
    struct mioc_slot slot[MIOC_RING_SLOTS];
    struct mioc_process process[MIOC_RING_PROCESSES];
};

/* Whether no process has that pid any more. Changes errno. */
int mioc_ring_is_gone(pid_t pid);

#endif
