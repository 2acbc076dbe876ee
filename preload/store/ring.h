/* SPDX-License-Identifier: BSD-3-Clause */
/* ring.h - how threads of a node's processes ask their agent: request slots and a doorbell in shared memory, and one
 * statistics block for each process (README.md has the protocol).
 *
 * Any process may die at any instruction, so there is no lock: a slot changes by compare-and-swap on its state word.
 * All functions keep errno unless they say otherwise. */
#ifndef MIOC_RING_H
#define MIOC_RING_H

#include "base/path.h"
#include "base/stats.h"
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define MIOC_RING_SLOTS 256u
#define MIOC_RING_READS 192u /* the first slots, for reads; the others are for writes */
#define MIOC_RING_PROCESSES 512u
#define MIOC_RING_NOTES 8u /* messages for people; further ones are dropped */
#define MIOC_RING_NOTE_MAX 1032u

/* What a slot asks. */
enum mioc_ask {
    MIOC_ASK_RECORD = 1, /* publish the record (kind, path) */
    MIOC_ASK_INVALIDATE, /* this path was written: hold it here, tell all nodes; kind: MIOC_FLAG_SUBTREE, _STICKY */
    MIOC_ASK_SYNC,       /* answer when all nodes have heard of this node's writes so far; path "/", kind 0 */
};

enum mioc_ask_status {
    MIOC_ASK_ANSWERED = 0, /* look the record up again; of INVALIDATE: the hold is in force */
    MIOC_ASK_REAL,         /* no answer from the cache: make the real call */
    MIOC_ASK_TIMEOUT,      /* the deadline passed */
    MIOC_ASK_UNSYNCED,     /* of INVALIDATE: the hold is in force, but other nodes have not heard of the write yet */
};

struct mioc_ring; /* in shared memory; its layout is ring.c's */

size_t mioc_ring_size(void);
/* Makes an empty ring of memory that is all zero, for the agent with that pid. */
void mioc_ring_init(struct mioc_ring *ring, pid_t agent);
/* Checks a mapped ring. Returns 0, or -1 with errno (EPROTO: size or magic are wrong; EXDEV: the caller's PID namespace
 * is not the agent's, so the agent cannot tell whether the caller lives). */
int mioc_ring_check(const struct mioc_ring *ring, size_t size);

/* --- Client: any thread of any process; async-signal-safe -------------------------------------------------------- */

/* Asks, and sleeps until the answer is there, also while no slot is free. deadline_ns: CLOCK_MONOTONIC. About every 100
 * ms it calls is_agent_alive(ctx), unless NULL; 0 ends the wait with MIOC_ASK_REAL. */
enum mioc_ask_status mioc_ring_ask(struct mioc_ring *ring, enum mioc_ask what, unsigned kind, const char *path,
                                   uint32_t len, uint64_t deadline_ns, int (*is_agent_alive)(void *ctx), void *ctx);

/* Notes that the agent did not hear of a write: no process of the node may trust the store any more. For good. */
void mioc_ring_taint(struct mioc_ring *ring);
int mioc_ring_is_tainted(const struct mioc_ring *ring);

/* Whether the agent is so near to the other nodes that the store may be served: they wait for it with their writes. */
int mioc_ring_is_leased(const struct mioc_ring *ring);

/* Whether the agent's last beat is older than `ns`: then it does not hear of writes either. 0 before its first beat. */
int mioc_ring_is_silent(const struct mioc_ring *ring, uint64_t ns);
/* Whether the agent's last beat is at most `ns` old. 0 before its first beat. */
int mioc_ring_is_beating(const struct mioc_ring *ring, uint64_t ns);

/* Claims a statistics block for process `pid`; after an exec it is the same block. rank: -1 for a guest. Returns NULL
 * if all blocks are taken. */
struct mioc_stats *mioc_ring_stats_claim(struct mioc_ring *ring, pid_t pid, int rank);
/* Notes that a process ends, for an agent that waits for its node's ranks, and rings. */
void mioc_ring_process_ends(struct mioc_ring *ring, pid_t pid);

/* Rank 0 ends with `status`, and tells an agent that is a process of its own. With `report` it waits for the job's
 * report until CLOCK_MONOTONIC is at `until` (ns). Returns 0; or -1: there is no report. One thread of one process. */
int mioc_ring_job_ends(struct mioc_ring *ring, int status, struct mioc_report *report, uint64_t until);
/* The process that has started the agent ends, and could not say "finalize" to hydra itself: the agent is to. */
void mioc_ring_ask_farewell(struct mioc_ring *ring);
/* How many nodes the job has; 0: the agent has not said. */
uint32_t mioc_ring_nodes(const struct mioc_ring *ring);
/* Takes the next message that the agent has left for people into text[MIOC_RING_NOTE_MAX]. Each one is taken once.
 * Returns its bytes; or 0: there is none. */
size_t mioc_ring_take_note(struct mioc_ring *ring, char text[]);

/* --- Agent: one thread, except for mioc_ring_wake() -------------------------------------------------------------- */

struct mioc_ask_request {
    enum mioc_ask what;
    unsigned kind;
    uint32_t slot; /* a ticket: slot and generation */
    uint32_t len;
    char path[MIOC_PATH_MAX]; /* NUL-terminated */
};

/* A beat, the agent's sign of life. Cheap: for each turn of the agent's loop. */
void mioc_ring_beat(struct mioc_ring *ring);
/* The store may be served until CLOCK_MONOTONIC is at `until` (ns); 0: not now; UINT64_MAX, as at first: always. */
void mioc_ring_set_lease(struct mioc_ring *ring, uint64_t until);
/* Takes the next slot that asks. Returns 1, or 0: no slot asks. It answers a malformed request with MIOC_ASK_REAL and
 * goes on. */
int mioc_ring_take(struct mioc_ring *ring, struct mioc_ask_request *request);
/* Answers the request with that ticket, and wakes its client. Does nothing for a client that is gone. */
void mioc_ring_answer(struct mioc_ring *ring, uint32_t slot, enum mioc_ask_status status);
/* Frees slots of dead processes, and answers that nobody fetched for a second or more (the thread was cancelled). */
void mioc_ring_sweep(struct mioc_ring *ring);
/* Sleeps until somebody rings, for at most timeout_ns. Returns at once if somebody rang since the last return. So a
 * loop that looks at everything after each return sees whatever happened before a ring. */
void mioc_ring_sleep(struct mioc_ring *ring, uint64_t timeout_ns);
/* Rings: wakes the agent. Any thread; async-signal-safe. */
void mioc_ring_wake(struct mioc_ring *ring);

/* Whether that was asked. */
int mioc_ring_is_farewell_due(const struct mioc_ring *ring);
/* How many nodes the job has. */
void mioc_ring_set_nodes(struct mioc_ring *ring, uint32_t nodes);
/* Whether rank 0 has told that it ends; *status is its exit status. */
int mioc_ring_has_job_ended(const struct mioc_ring *ring, int *status);
/* Whether it waits for the report, which mioc_ring_give_report() gives. */
int mioc_ring_is_report_wanted(const struct mioc_ring *ring);
void mioc_ring_give_report(struct mioc_ring *ring, const struct mioc_report *report);
/* Leaves a message of `size` bytes for people, which a rank prints at its end: an agent process has no standard error.
 * Any thread. */
void mioc_ring_leave_note(struct mioc_ring *ring, const char *text, size_t size);

/* Calls visit() with the counters of each process that ever claimed a block on this node. rank: -1 for a guest. */
void mioc_ring_stats_visit(const struct mioc_ring *ring,
                           void (*visit)(void *ctx, pid_t pid, int rank, const struct mioc_stats *stats), void *ctx);
/* Returns how many ranks have a block and still run, without process `except`. */
unsigned mioc_ring_ranks_running(const struct mioc_ring *ring, pid_t except);

#endif
