/* SPDX-License-Identifier: BSD-3-Clause */
/* stats.h - counters per class of call; one block per process, in the ring or private.
 *
 * Adding is a relaxed atomic increment: any thread, any time. Seconds are only measured when timers are on
 * (MPIIO_CACHE_STATS set), because two clock reads cost more than a hit. */
#ifndef MIOC_STATS_H
#define MIOC_STATS_H

#include <stdint.h>

struct mioc_job; /* job.h */

enum mioc_call {                  /* classes of calls, rows of the table */
                 MIOC_CALL_STAT,  /* stat, lstat, fstatat, statx */
                 MIOC_CALL_FSTAT, /* fstat and AT_EMPTY_PATH */
                 MIOC_CALL_ACCESS,
                 MIOC_CALL_READLINK, /* readlink, realpath */
                 MIOC_CALL_OPEN,     /* open, openat, fopen, … for reading */
                 MIOC_CALL_OPENDIR,  /* opendir, fdopendir, scandir */
                 MIOC_CALL_WRITE,    /* open for writing, unlink, rename, … */
                 MIOC_CALL_LOADER,   /* what the dynamic loader asks itself: open, stat */
                 MIOC_CALLS
};

enum mioc_outcome { MIOC_HIT, MIOC_MISS, MIOC_PASS, MIOC_TIMEOUT, MIOC_OUTCOMES };
/* HIT: from the store at once. MISS: asked the agent and answered. PASS: real call. TIMEOUT: asked, no answer, real
 * call. */

struct mioc_stats_row {
    uint64_t outcome[MIOC_OUTCOMES], bytes, ns;
};
/* How the dynamic loader of a served process is served: patched, or plain, and why. */
enum mioc_loader_way {
    MIOC_LOADER_PATCH,
    MIOC_LOADER_SETTING, /* MPIIO_CACHE_LOADER=plain */
    MIOC_LOADER_THREADS, /* there were more threads than one */
    MIOC_LOADER_FORM,    /* its code is not as expected, or cannot be patched by us: another processor, valgrind */
    MIOC_LOADER_TEXT,    /* its text may not be written */
    MIOC_LOADER_TEST,    /* its calls did not arrive */
    MIOC_LOADER_WAYS
};

/* Nothing but counters. */
struct mioc_stats {
    struct mioc_stats_row row[MIOC_CALLS];
    uint64_t loader[MIOC_LOADER_WAYS]; /* 1 for this process's */
    uint64_t loads;                    /* objects that a patched loader opened */
};

extern const char *const mioc_call_names[MIOC_CALLS];
extern const char *const mioc_loader_way_names[MIOC_LOADER_WAYS];

/* Puts the block in force; there always is one: NULL means this process's private one. What the private one has counted
 * so far moves into the block, so nothing that happened before the start is lost. */
void mioc_stats_use(struct mioc_stats *block, int timers);
void mioc_stats_count(enum mioc_call call, enum mioc_outcome outcome, uint64_t bytes, uint64_t ns);
void mioc_stats_count_loader(enum mioc_loader_way way);
void mioc_stats_count_load(void);
/* Start of a timed call: CLOCK_MONOTONIC ns, or 0 if timers are off; mioc_stats_since() gives 0 for 0. */
uint64_t mioc_stats_now(void);
extern int mioc_stats_has_timers; /* atomic, read through mioc_stats_is_timed() */
static inline int mioc_stats_is_timed(void) { return __atomic_load_n(&mioc_stats_has_timers, __ATOMIC_RELAXED); }
uint64_t mioc_stats_since(uint64_t start);
/* The block in force, for a process that reports by itself. */
const struct mioc_stats *mioc_stats_current(void);

/* --- The report (root, at the end) ---------------------------------------------------------------------------------
 * Begins as zeros. Whoever makes a node's report sets nodes, reported_nodes = 1 and, on the root, the store's and
 * root's figures. Guests count in calls and bytes, not in the seconds, whose min and mean are over ranks. */
struct mioc_report_row {
    uint64_t calls, outcome[MIOC_OUTCOMES], bytes, ns_min, ns_max, ns_sum;
};
struct mioc_report {
    uint32_t ranks, guests, nodes, reported_nodes; /* how many are in the figures, and how many nodes there are */
    uint64_t store_bytes, contents, root_requests, root_questions,
        root_calls, /* requests, merged: questions; real calls of the resolver */
        root_ahead; /* questions of the manifest that it read ahead */
    struct mioc_report_row row[MIOC_CALLS];
    uint64_t loader[MIOC_LOADER_WAYS], loads;
};
void mioc_report_add(struct mioc_report *to, const struct mioc_stats *process, int is_rank);
/* Sums; of nodes, store_bytes and contents, which are the same everywhere, the larger one. */
void mioc_report_merge(struct mioc_report *to, const struct mioc_report *from);

/* The table for people (plain ASCII, at most 100 columns but for `line`), and JSON; written to fd with the real
 * write. 0 or -1 with errno. `line` is the active/inactive line, with or without "mpiio_cache: " before it.
 *
 * JSON, one object; new keys may be added, `schema` changes if one changes its meaning:
 *   schema          1
 *   line            the active/inactive line
 *   ranks, guests, nodes, reported_nodes
 *   calls           {stat, fstat, access, readlink, open, opendir, write, loader, all}, each
 *                   {calls, hit, miss, passed, timeout, bytes, seconds: {min, mean, max}}; calls is the sum of the
 *                   four. The seconds of `all` are {mean} only: the classes' minima need not be of one rank.
 *   loader          {loads, patched, unpatched, why: {setting, threads, form, text, test}}: objects that patched
 *                   loaders opened; processes whose loader is patched, and is not, and these by reason
 *   store           {bytes, contents}       as on the root's node
 *   root            {requests, questions, calls, ahead}    requests that reached it; without those that asked the
 *                   same at the same time, or what was known; real calls that it made; questions taken from the
 *                   manifest
 *   saved           {operations, percent}   hits + misses - root calls; in percent of hits + misses. Negative: a loss
 *   job             {id, user, host, pid, interpreter, script, started, seconds, status}: of rank 0; user is a
 *                   number, started the seconds of the epoch, status what it ended with, script "" if there is none */
/* One thread at a time; either writes all in one go, or -1 with errno. */
int mioc_report_print(const struct mioc_report *report, const char *line, int fd);
int mioc_report_json(const struct mioc_report *report, const char *line, const struct mioc_job *job, int status,
                     int fd);

#endif
