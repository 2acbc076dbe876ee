/* SPDX-License-Identifier: BSD-3-Clause */
/* scale.h - one import on up to 100,000 nodes: the real agent code of every node in one process, on virtual time.
 *
 *     scale.c        the event queue, the run, the result
 *     scale_trace.c  the trace of a real import (record-trace): jobs of the root, look-ups of a rank
 *     scale_net.c    messages: cables, link cards, MPI's two ways to send, what an agent's poll finds
 *     scale_node.c   a node: the agent's thread as in node_agent.c, its store, its rank
 *     scale_root.c   the root's resolver threads; the manifest's bulk
 *     scale_main.c   the program
 *
 * Every store is a prefix of the same stream, so there is one log, and a node's store is how far it has come. Nothing
 * is written to and nobody dies here: that is sim.h's. What takes no part: the start of MPI, other ranks of a node
 * (they are merged before the agent), the page cache.
 *
 * Constants are what this machine's real code takes or, for the network, the question that is asked of the protocol. */
#ifndef MIOC_SCALE_H
#define MIOC_SCALE_H

#include "agent/agent.h"
#include "transport/transport.h"

#include <stddef.h>
#include <stdint.h>

#define US 1000ull
#define MS 1000000ull
#define SECOND 1000000000ull
#define NEVER UINT64_MAX

/* As in node_internal.h and transport_mpi.c. */
#define SCALE_ARITY 4
#define SCALE_RESOLVERS 8
#define SCALE_WINDOW 4
#define SCALE_BUFFERS (MIOC_AGENT_CHILDREN_MAX * (SCALE_WINDOW + 1) + 9)
#define SCALE_RECEIVES 4
#define SCALE_TAKE_MOST 64

#define SCALE_EAGER 8192u             /* larger messages wait until the receiver looks (MPICH's rendezvous) */
#define SCALE_WAKE (10 * US)          /* from a futex wake until the thread runs */
#define SCALE_SLACK (55 * US)         /* by which a sleep is longer than asked: the kernel's timer slack, and waking */
#define SCALE_PER_MESSAGE (1 * US)    /* of an agent's CPU, in and out: MPI, checks */
#define SCALE_PER_ITEM 500ull         /* ns: checks, append, table */
#define SCALE_PER_CONTENT (30 * US)   /* its file in the store */
#define SCALE_PS_PER_BYTE 100ull      /* a copy, 10 GB/s */
#define SCALE_READ_PS_PER_BYTE 500ull /* the filesystem's 2 GB/s to one reader, beside the time per call */

/* --- Trace ------------------------------------------------------------------------------------------------------- */

struct scale_job { /* what the root answers to one question */
    unsigned kind;
    char *path;
    uint32_t len, calls, items;
    int is_recorded; /* 0: nobody asked it in the recorded run */
    uint64_t bytes;  /* of its content */
    struct {
        unsigned kind;
        uint32_t size;
    } item[3];
};
struct scale_lookup {
    uint64_t think;
    uint32_t job;
    int other;
}; /* other: the job of a listing that answers too, or -1 */

struct scale_trace {
    struct scale_job *job;
    struct scale_lookup *lookup;
    struct {
        uint32_t job, brings;
        int is_before;
    } * cause;
    unsigned jobs, lookups, causes;
};

/* Reads the trace's text. 0, or -1 and a line on standard error. */
int scale_trace_read(struct scale_trace *t, const char *file);
void scale_trace_free(struct scale_trace *t);

/* --- World ------------------------------------------------------------------------------------------------------- */

enum scale_what { SCALE_WAKE_AGENT, SCALE_RANK, SCALE_SERVED };

struct scale_event {
    uint64_t time;
    uint32_t node;
    uint32_t what;
};

struct scale_body {
    struct scale_body *next;
    uint32_t references, size;
    _Alignas(8) char bytes[];
};

struct scale_message { /* on its way to a node; in the order in which MPI matches them */
    struct scale_message *next;
    struct scale_body *body;
    uint64_t time;  /* when it comes; of a large one: when its announcement does */
    uint64_t ready; /* when its bytes are there, NEVER: they do not move yet */
    int from;
};
struct scale_sending {
    uint64_t time;
    int peer;
    int is_pending;
}; /* when its buffer is free again */

struct scale_node {
    struct scale *scale;
    struct mioc_agent *agent;
    uint64_t end; /* of its store, in the log */
    /* the agent's thread */
    uint64_t looked, tick, wake; /* looked: when it last found something, and then nothing more */
    struct scale_message *in;
    struct scale_sending *out;
    unsigned out_n, out_cap;
    /* the rank */
    uint64_t began, since; /* when its import began, when its next look-up is due */
    unsigned next;
    int is_asking; /* 1: in the ring, 2: the agent has it */
    int is_done;
    /* the link card: until when it is busy */
    uint64_t card_out, card_in;
    uint32_t number, messages_in, messages_out;
    uint64_t bytes_in, bytes_out;
};

struct scale_options {
    int nodes, servers; /* servers: of the metadata service, calls at once; 0: any number */
    int is_manifest;
    uint64_t latency_ns, bytes_per_us, service_ns, lead_ns,
        seed; /* lead: the last node's rank starts so long before the others */
};

struct scale_queue; /* radix heap of events */

struct scale {
    struct scale_options options;
    struct scale_trace trace;
    struct scale_node *node;
    struct scale_queue *queue;
    uint64_t now; /* of the event; inside a node's loop its own time */
    uint64_t random, events;
    /* the log */
    char *log;
    uint64_t log_end, log_room;
    uint64_t *at;          /* of each job: where the record of its key stands, NEVER: not yet */
    uint32_t *job_of_hash; /* open addressing: job + 1 */
    uint64_t *hash_of_job;
    uint32_t hashes;
    /* the root */
    struct scale_root *root;
    unsigned done;
    uint64_t longest; /* import of a rank */
    uint64_t all;     /* their sum */
    int has_failed;
    char failure[256];
};

struct scale_result {
    double seconds, mean_seconds;
    uint64_t root_messages, root_bytes, node_messages, node_bytes, requests_at_root, stream_bytes;
};

/* --- scale.c ----------------------------------------------------------------------------------------------------- */
uint64_t scale_random(struct scale *s, uint64_t below);
void scale_at(struct scale *s, uint64_t time, enum scale_what what, uint32_t node);
void scale_fail(struct scale *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The trace has been read into *s. 0, or -1 and s->failure. */
int scale_run(struct scale *s, const struct scale_options *options, struct scale_result *result);

/* --- scale_net.c ------------------------------------------------------------------------------------------------- */
void *scale_get_buffer(void *ctx);
void scale_put_buffer(void *ctx, void *buffer);
int scale_send(void *ctx, int peer, void *message, size_t size);
/* One poll of the transport: hands one event to the agent. 0: nothing there. */
int scale_poll(struct scale_node *n);
/* When a poll would find something next. */
uint64_t scale_poll_due(const struct scale_node *n);
unsigned scale_unsent(const struct scale_node *n);
void scale_net_free(struct scale_node *n);
void scale_net_end(void);

/* --- scale_node.c ------------------------------------------------------------------------------------------------ */
int scale_node_start(struct scale_node *n, struct scale *s, uint32_t number);
void scale_node_loop(struct scale_node *n);
void scale_node_rank(struct scale_node *n);
/* Somebody rings: a question, or the resolver. */
void scale_node_ring(struct scale_node *n);
/* A new message or room is due at `time`: the agent finds it when it looks next. */
void scale_node_expect(struct scale_node *n, uint64_t time);
/* `job` may be -1. */
int scale_is_known(const struct scale_node *n, int job);
/* The job that this question is; -1: none of the trace. */
int scale_key(const struct scale *s, unsigned kind, const char *path, uint32_t len);

/* --- scale_root.c ------------------------------------------------------------------------------------------------ */
int scale_root_start(struct scale *s);
void scale_root_end(struct scale *s);
void scale_resolve(void *ctx, unsigned kind, const char *path, uint32_t len);
void scale_served(struct scale *s);
/* Publishes one finished item. 0: none there. */
int scale_take_resolved(struct scale *s);

#endif
