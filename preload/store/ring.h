/* SPDX-License-Identifier: BSD-3-Clause */
/* ring.h - how threads of a node's processes ask their agent: request slots and a doorbell in shared memory, and one
 * statistics block per process.
 *
 * Any process may die at any instruction, so there is no lock. A slot's state word is the whole protocol; it carries
 * the client's pid and a generation number, so that nobody takes one request for another:
 *
 *     FREE ──client CAS──► CLAIMED(pid) ──client──► ASKED ──agent──► TAKEN ──agent──► DONE(status) ──client──► FREE
 *                                client's deadline:   └─CAS──► FREE    └─CAS──► DROPPED ──agent──► FREE
 *
 * The agent frees slots whose process is gone in whatever state (mioc_ring_sweep). The client sleeps on
 * the state word (futex, shared), the agent on the doorbell. Reads and writes have slots of their own, so that no write
 * waits behind reads of a slow filesystem; who finds all taken sleeps until one comes free. Everything that the agent
 * reads here is checked: the path is copied out and bounded before it is looked at. */
#ifndef MIOC_RING_H
#define MIOC_RING_H

#include "base/path.h"
#include "base/stats.h"
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define MIOC_RING_SLOTS 256u
#define MIOC_RING_READS 192u /* of them, the first; the others are for writes */
#define MIOC_RING_PROCESSES 512u

enum mioc_ask {                      /* what a slot asks */
                MIOC_ASK_RECORD = 1, /* publish the record (kind, path) */
                MIOC_ASK_INVALIDATE, /* this path was written: hold it here, tell everyone; `kind` carries
                                        MIOC_FLAG_SUBTREE, _STICKY */
                MIOC_ASK_SYNC, /* answer when all nodes have heard of what this node wrote so far; path "/", kind 0 */
};

enum mioc_ask_status {
    MIOC_ASK_ANSWERED = 0, /* look the record up again; the hold is in force */
    MIOC_ASK_REAL,         /* no answer from the cache: make the real call */
    MIOC_ASK_TIMEOUT,      /* the deadline passed */
    MIOC_ASK_UNSYNCED,     /* of INVALIDATE: the hold is in force, but other nodes have yet to hear of it */
};

struct mioc_ring; /* in shared memory; its layout is ring.c's */

size_t mioc_ring_size(void);
void mioc_ring_init(struct mioc_ring *ring, pid_t agent);
/* 0, or -1 (EPROTO): size or magic do not fit; (EXDEV): the caller is in another PID namespace than the agent, which
 * then could not tell whether it lives. */
int mioc_ring_check(const struct mioc_ring *ring, size_t size);

/* --- Client ------------------------------------------------------------------------------------------------------ */

/* Asks and waits, asleep, for a free slot too. deadline_ns is on CLOCK_MONOTONIC. is_agent_alive(ctx) is consulted
 * about every 100 ms of waiting; 0 ends it with REAL. Async-signal-safe, keeps errno. */
enum mioc_ask_status mioc_ring_ask(struct mioc_ring *ring, enum mioc_ask what, unsigned kind, const char *path,
                                   uint32_t len, uint64_t deadline_ns, int (*is_agent_alive)(void *ctx), void *ctx);

/* A write that the agent could not be told of makes the whole store untrustworthy, for all processes of the node. */
void mioc_ring_taint(struct mioc_ring *ring);
int mioc_ring_is_tainted(const struct mioc_ring *ring);

/* Whether the agent has shown no sign of life for that long: then it hears of no writes either. Before its first beat
 * it is not silent. */
int mioc_ring_is_silent(const struct mioc_ring *ring, uint64_t ns);
/* Whether it has shown one within that time. Neither is so before its first beat. */
int mioc_ring_is_beating(const struct mioc_ring *ring, uint64_t ns);

/* This process's statistics block: claims one (by pid) or returns NULL if all are taken. is_rank marks launcher's
 * tasks. */
struct mioc_stats *mioc_ring_stats_claim(struct mioc_ring *ring, pid_t pid, int rank);
/* Marks this process's end, for an agent that waits for its node. */
void mioc_ring_process_ends(struct mioc_ring *ring, pid_t pid);

/* --- Agent ------------------------------------------------------------------------------------------------------- */

struct mioc_ask_request {
    enum mioc_ask what;
    unsigned kind;
    uint32_t slot; /* a ticket: slot and generation */
    uint32_t len;
    char path[MIOC_PATH_MAX]; /* NUL-terminated */
};

/* A sign of life; cheap, for each turn of the agent's loop. */
void mioc_ring_beat(struct mioc_ring *ring);
/* Takes the next ASKED slot not taken before; 1, or 0 if there is none. A malformed one is answered REAL and skipped.
 */
int mioc_ring_take(struct mioc_ring *ring, struct mioc_ask_request *request);
/* Answers a taken slot and wakes its client; harmless if the client dropped it. */
void mioc_ring_answer(struct mioc_ring *ring, uint32_t slot, enum mioc_ask_status status);
/* Frees slots of dead processes (kill(pid, 0) → ESRCH), and answers that nobody fetched for a second or more (the
 * thread was cancelled). */
void mioc_ring_sweep(struct mioc_ring *ring);
/* Sleeps until somebody rings or timeout_ns passed; returns at once if somebody rang since the last return, so whatever
 * happened before a ring is seen by a loop that looks everywhere after each return. */
void mioc_ring_sleep(struct mioc_ring *ring, uint64_t timeout_ns);
/* Rings: from resolver threads and exiting threads of the agent's own process. Async-signal-safe. */
void mioc_ring_wake(struct mioc_ring *ring);

/* Statistics of all processes that ever claimed a block on this node. Calls visit() for each with its rank (-1: guest).
 */
void mioc_ring_stats_visit(const struct mioc_ring *ring,
                           void (*visit)(void *ctx, pid_t pid, int rank, const struct mioc_stats *stats), void *ctx);
/* How many ranks claimed a block and neither ended nor died, this pid not counted. */
unsigned mioc_ring_ranks_running(const struct mioc_ring *ring, pid_t except);

#endif
