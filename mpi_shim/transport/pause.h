/* SPDX-License-Identifier: BSD-3-Clause */
/* pause.h - how long an agent's thread sleeps between two looks at MPI. The simulation sleeps by it, too.
 *
 * README.md, "Pauses", has the reasons. Any thread. */
#ifndef MIOC_PAUSE_H
#define MIOC_PAUSE_H

#include <stdint.h>

#define MIOC_PAUSE_FIRST_NS 20000ull     /* the shortest pause */
#define MIOC_PAUSE_BUSY_NS 200000ull     /* the longest while an answer is due, or after news, */
#define MIOC_PAUSE_NEWS_NS 10000000ull   /* for so long */
#define MIOC_PAUSE_IDLE_NS 10000000ull   /* the longest otherwise, until the silence is long */
#define MIOC_PAUSE_SILENT_NS 50000000ull /* the longest of all */

/* The next pause in ns. is_busy: an answer is due. silence: how many ns ago the last news came. */
static inline uint64_t mioc_pause(int is_busy, uint64_t silence)
{
    uint64_t pause = MIOC_PAUSE_FIRST_NS + silence / 4;
    uint64_t most = is_busy || silence < MIOC_PAUSE_NEWS_NS ? MIOC_PAUSE_BUSY_NS : MIOC_PAUSE_IDLE_NS;

    if (most < silence / 100)
        most = silence / 100 < MIOC_PAUSE_SILENT_NS ? silence / 100 : MIOC_PAUSE_SILENT_NS;
    return pause < most ? pause : most;
}

#endif
