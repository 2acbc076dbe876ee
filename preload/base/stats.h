/* SPDX-License-Identifier: BSD-3-Clause */
/* stats.h - counters for each class of call, in one block for each process; and their report.
 *
 * A process's block lies in the ring, or in the process before it has one there. Counting is a relaxed atomic
 * increment: any thread, any time, also in signal handlers. Durations are measured only if timers are on
 * (MPIIO_CACHE_STATS), because two reads of the clock cost more than a hit. */
#ifndef MIOC_STATS_H
#define MIOC_STATS_H

#include <stdint.h>

struct mioc_job; /* job.h */

/* Classes of calls; the rows of the table. */
enum mioc_call {
    MIOC_CALL_STAT,  /* stat, lstat, fstatat, statx */
    MIOC_CALL_FSTAT, /* fstat and AT_EMPTY_PATH */
    MIOC_CALL_ACCESS,
    MIOC_CALL_READLINK, /* readlink, realpath */
    MIOC_CALL_OPEN,     /* open, openat, fopen, … for reading */
    MIOC_CALL_OPENDIR,  /* opendir, fdopendir, scandir */
    MIOC_CALL_WRITE,    /* open for writing, unlink, rename, … */
    MIOC_CALL_LOADER,   /* ld.so's own open and stat */
    MIOC_CALLS
};

enum mioc_outcome {
    MIOC_HIT,     /* answered from the store at once */
    MIOC_MISS,    /* answered after a request to the agent */
    MIOC_PASS,    /* the real call, without a request */
    MIOC_TIMEOUT, /* a request without an answer, then the real call */
    MIOC_OUTCOMES
};

struct mioc_stats_row {
    uint64_t outcome[MIOC_OUTCOMES], bytes, ns;
};
/* Whether the dynamic loader of a served process is patched, or why it is plain. */
enum mioc_loader_way {
    MIOC_LOADER_PATCH,
    MIOC_LOADER_SETTING, /* MPIIO_CACHE_LOADER=plain */
    MIOC_LOADER_THREADS, /* there was more than one thread */
    MIOC_LOADER_FORM,    /* its code has no known form, or we cannot patch it: another processor, valgrind */
    MIOC_LOADER_TEXT,    /* its text may not be written */
    MIOC_LOADER_TEST,    /* its calls did not arrive */
    MIOC_LOADER_WAYS
};

/* Only counters: mioc_stats_use() adds them up one by one. */
struct mioc_stats {
    struct mioc_stats_row row[MIOC_CALLS];
    uint64_t loader[MIOC_LOADER_WAYS]; /* 1 for the way of this process */
    uint64_t loads;                    /* objects that a patched loader opened */
};

extern const char *const mioc_call_names[MIOC_CALLS];
extern const char *const mioc_loader_way_names[MIOC_LOADER_WAYS];

/* Puts a block in force; NULL: this process's private one. What the private block has counted so far moves into the new
 * block, so that nothing from before the start is lost. */
void mioc_stats_use(struct mioc_stats *block, int timers);
void mioc_stats_count(enum mioc_call call, enum mioc_outcome outcome, uint64_t bytes, uint64_t ns);
void mioc_stats_count_loader(enum mioc_loader_way way);
void mioc_stats_count_load(void);
/* The start of a timed call: CLOCK_MONOTONIC, ns, or 0 if timers are off. mioc_stats_since() returns the ns since then,
 * 0 for 0. */
uint64_t mioc_stats_now(void);
extern int mioc_stats_has_timers; /* atomic, read through mioc_stats_is_timed() */
static inline int mioc_stats_is_timed(void) { return __atomic_load_n(&mioc_stats_has_timers, __ATOMIC_RELAXED); }
uint64_t mioc_stats_since(uint64_t start);
/* Returns the block in force, for a process that makes its own report. */
const struct mioc_stats *mioc_stats_current(void);

/* --- The report (root, at the end) ---------------------------------------------------------------------------------
 * A report begins as zeros. Whoever makes a node's report sets nodes, reported_nodes = 1 and, on the root, the figures
 * of the store and of the root. Guests count in calls and bytes, but not in the seconds: their minimum and mean are
 * over ranks. */
struct mioc_report_row {
    uint64_t calls, outcome[MIOC_OUTCOMES], bytes, ns_min, ns_max, ns_sum;
};
struct mioc_report {
    uint32_t ranks, guests;  /* that are in the figures */
    uint32_t nodes;          /* of the job */
    uint32_t reported_nodes; /* that are in the figures */
    uint64_t store_bytes, contents;
    uint64_t root_requests;  /* that reached the root */
    uint64_t root_questions; /* requests without those for the same answer */
    uint64_t root_calls;     /* real calls of the resolver */
    uint64_t root_ahead;     /* questions that the resolver prefetched from the manifest */
    struct mioc_report_row row[MIOC_CALLS];
    uint64_t loader[MIOC_LOADER_WAYS], loads;
};
/* Adds one process's counters. */
void mioc_report_add(struct mioc_report *to, const struct mioc_stats *process, int is_rank);
/* Adds another report up. Of nodes, store_bytes and contents, which are the same on all nodes, it
 * keeps the larger one. */
void mioc_report_merge(struct mioc_report *to, const struct mioc_report *from);

/* Writes the table for people to fd: plain ASCII, at most 100 columns except for `line`. `line` is the
 * active/inactive line, with or without "mpiio_cache: " before it. One thread at a time. Returns 0, with all written;
 * or -1 with errno. */
int mioc_report_print(const struct mioc_report *report, const char *line, int fd);

/* The same as one JSON object. New keys may come; `schema` changes if a key changes its meaning:
 *   schema          1
 *   line            the active/inactive line
 *   ranks, guests, nodes, reported_nodes
 *   calls           {stat, fstat, access, readlink, open, opendir, write, loader, all}, each
 *                   {calls, hit, miss, passed, timeout, bytes, seconds: {min, mean, max}}; calls is the sum of the
 *                   four. The seconds of `all` are {mean} only: the classes' minima may be of different ranks
 *   loader          {loads, patched, unpatched, why: {setting, threads, form, text, test}}: objects that patched
 *                   loaders opened; processes with a patched loader; processes without, and these by reason
 *   store           {bytes, contents}, on the root's node
 *   root            {requests, questions, calls, ahead}: requests that reached the root; requests without those whose
 *                   answer was under way or known; real calls that the root made; questions from the manifest
 *   saved           {operations, percent}: hits + misses - root calls; in percent of hits + misses. Negative: a loss
 *   job             {id, user, host, pid, interpreter, script, started, seconds, status} of rank 0: user is a number,
 *                   started the seconds of the epoch, status the exit status, script "" if there is none */
int mioc_report_json(const struct mioc_report *report, const char *line, const struct mioc_job *job, int status,
                     int fd);

#endif
