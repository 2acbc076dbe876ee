/* SPDX-License-Identifier: BSD-3-Clause */
/* pause.h - how long an agent's thread sleeps between looks at MPI; tests/sim/scale_node.c sleeps by it, too.
 *
 * While an answer is due a look costs the ranks of this node more than the wait. So it does for a while after news: the
 * next question of an import is on its way, and up the tree each node that sleeps longer adds to every round trip.
 * Idle, ten milliseconds cost the first question of a burst what a slow metadata operation costs. The longer nothing
 * comes, an answer included, the longer they grow: a hundredth of the silence is not noticed behind it, and a program
 * that computes for hours, or a neighbour that is stopped, is worth few looks. */
#ifndef MIOC_PAUSE_H
#define MIOC_PAUSE_H

#include <stdint.h>

#define MIOC_PAUSE_FIRST_NS 20000ull
#define MIOC_PAUSE_BUSY_NS 200000ull
#define MIOC_PAUSE_IDLE_NS 10000000ull
#define MIOC_PAUSE_SILENT_NS 50000000ull
#define MIOC_PAUSE_NEWS_NS 10000000ull

/* `silence`: how long ago the last news was, ns. */
static inline uint64_t mioc_pause(int is_busy, uint64_t silence)
{
    uint64_t pause = MIOC_PAUSE_FIRST_NS + silence / 4;
    uint64_t most = is_busy || silence < MIOC_PAUSE_NEWS_NS ? MIOC_PAUSE_BUSY_NS : MIOC_PAUSE_IDLE_NS;

    if (most < silence / 100)
        most = silence / 100 < MIOC_PAUSE_SILENT_NS ? silence / 100 : MIOC_PAUSE_SILENT_NS;
    return pause < most ? pause : most;
}

#endif
