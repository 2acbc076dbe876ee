/* SPDX-License-Identifier: BSD-3-Clause */
/* sim.h - the protocol at scale: many agents in one process, on virtual time, all chance from one seed.
 *
 *     sim.c        events, nodes, the run
 *     sim_thread.c what a node's threads do: they ask, wait, and write
 *     sim_net.c    the network: delays, each node's link card, order per pair, shortage of buffers, refusals, loss
 *     sim_link.c   with joins: processes that begin anew, and the links between them
 *     sim_store.c  a node's store, modelled: keys, holds, expiry
 *     sim_root.c   the root's resolver, modelled
 *     sim_plan.c   what happens when: questions, writes, faults
 *     sim_check.c  what must hold, always and at the end
 *     sim_main.c   the program
 *
 * Ground truth is a version number for each key, raised by each write; a record carries the version that was read.
 * tests/sim/mutants plants bugs in the agent and sees that the checks find them. */
#ifndef MIOC_SIM_H
#define MIOC_SIM_H

#include "agent/agent.h"
#include "resolver/recent.h"
#include "transport/transport.h"

#include <stddef.h>
#include <stdint.h>

#define US 1000ull
#define MS 1000000ull
#define SECOND 1000000000ull

#define SIM_DIRS 4
#define SIM_FILES 9                            /* in each directory */
#define SIM_PATHS (SIM_DIRS * (1 + SIM_FILES)) /* a directory is the first of its group */
#define SIM_KINDS 5                            /* enum mioc_item_kind 1..5 */
#define SIM_KEYS (SIM_PATHS * SIM_KINDS)
#define SIM_CONTENTS 512
#define SIM_WRITES 64
#define SIM_SERVERS 8
#define SIM_TTL_MS 200u
#define SIM_WAY_MS 300u    /* the longest way down, with stalls */
#define SIM_COARSE_MS 4u   /* the tick of CLOCK_MONOTONIC_COARSE */
#define SIM_WORK_NS SECOND /* questions and writes come in this time */
#define SIM_EAGER 8192u    /* smaller messages count as sent though nobody takes them */

enum sim_what {
    SIM_TICK,
    SIM_MESSAGE,
    SIM_SENT,
    SIM_LOST,
    SIM_ASK,
    SIM_TAKE,
    SIM_WRITE,
    SIM_DEADLINE,
    SIM_RESOLVED,
    SIM_FAULT,
    SIM_END,
    SIM_BEGIN, /* with joins: these */
    SIM_TRY,
    SIM_JOINED,
    SIM_BREAK
};
enum sim_fault { SIM_NO_FAULT, SIM_DIE, SIM_LEAVE, SIM_STALL, SIM_FULL, SIM_LATE, SIM_FAULTS, SIM_CUT, SIM_HOLD };

struct sim_event {
    uint64_t time, order;
    enum sim_what what;
    int node, peer; /* peer: of messages; else the key, path, fault, waiter or life that it is about */
    uint32_t size;
    unsigned link; /* with joins */
    void *data;
};

/* Both sides: child, parent. */
struct sim_link {
    int node[2];
    unsigned life[2];
    int is_open[2];
    unsigned under_way[2]; /* from that side, and not given back */
    uint64_t last[2];      /* the last arrival there */
    int is_cut;            /* nothing comes through any more; each side hears of that some time */
};

struct sim_waiter {
    int key;
    uint64_t asked;
    uint32_t id;
};

struct sim_hold {
    uint64_t token;
    int path;
    uint32_t flags;
};

struct sim_node {
    struct sim *sim;
    int number;
    struct mioc_agent *agent; /* NULL before it joins */
    /* process */
    int is_gone; /* died, or ended after its LEAVE */
    int is_leaving, has_asked_to_end;
    int is_faulty;          /* anything happened to it that may cut off its subtree */
    int is_cut;             /* it or an ancestor is faulty */
    uint64_t stalled_until; /* before it joins, too */
    unsigned phase_ms;      /* of its coarse clock */
    unsigned reports;       /* of this node that came to the root */
    /* with joins */
    unsigned life;       /* 0: it has not begun yet */
    unsigned hello_life; /* of which the root has heard */
    unsigned welcomes;
    int avoids;           /* the ancestor of its last link */
    uint64_t linked_at;   /* when it was seen linked last, or began */
    uint64_t ghost_until; /* its process is gone: its ranks may be served until then */
    int heals;            /* it begins anew when all its ancestors are well for good */
    int is_absent;        /* it never begins */
    int is_refused;
    int was_linked;
    int was_served; /* at some time of this life */
    uint64_t synced;
    uint64_t began_at;  /* by the plan, until it has */
    uint64_t failed_at; /* by the plan; 0: never */
    /* store */
    char *arena;
    uint64_t end, room, limit;
    uint32_t live[SIM_KEYS];    /* offset + 1 of the record that is found; 0: none */
    uint16_t held[SIM_KEYS];    /* holds in force */
    uint16_t wrote[SIM_KEYS];   /* the version that this node's own last write made, or a write that it has heard of */
    uint32_t got[SIM_CONTENTS]; /* bytes of each content */
    uint8_t gave_up[SIM_CONTENTS];
    uint8_t is_hollow[SIM_CONTENTS]; /* it came as zeros, as it is given up further on */
    unsigned hollows;                /* of these, not given up here */
    struct sim_hold hold[SIM_WRITES];
    unsigned holds;
    uint64_t tokens, settled; /* writes of this node; those that all have heard of */
    uint64_t former;          /* of these, writes of its former lives */
    /* threads */
    struct sim_waiter *waiter;
    unsigned waiters, waiters_cap;
    /* network */
    unsigned buffers;            /* not given back */
    uint64_t up_last, down_last; /* last arrival on the link to the parent, each way */
    uint64_t card_out, card_in;  /* until when its link card sends and receives what is under way */
    uint64_t ns_per_kib;         /* of its card */
    uint64_t latency;            /* of its cable, in front of the switches' */
    uint64_t lag; /* how late it may take what has come: it sleeps between looks, or its cores are busy */
};

struct sim_job {
    struct sim_job *next;
    int key;
    uint16_t version;
    int is_dirty;
    uint64_t started;
    uint32_t content, size, at;
    uint64_t abandoned_at; /* not 0: it is given up when all are there in the stream */
};

struct sim_options {
    int nodes, arity, faults; /* 0, 0, -1: by seed */
    int joins;
};

struct sim {
    uint64_t seed, random, now, orders;
    struct sim_options options;
    struct mioc_agent_config config;
    struct sim_node *node;
    struct sim_event *heap;
    size_t events, events_cap;
    struct sim_link *link;
    unsigned links, links_cap;
    /* by seed */
    uint64_t latency, jitter, service, slow_service, deadline, stop_at;
    uint64_t client_ns;           /* how long the root's kernel keeps what it saw, for all that other nodes write */
    uint64_t server[SIM_SERVERS]; /* until when each of the resolver's threads is busy */
    unsigned servers, buffers, refuse_percent, ask_count, write_count, content_max;
    int detects_death, has_faults, is_slow;
    int evicts;        /* contents that are complete are given up, too */
    unsigned given_up; /* contents */
    uint64_t quiet_synced;
    /* ground truth and counts */
    uint16_t version[SIM_KEYS];
    uint64_t heard[SIM_KEYS]; /* when the root heard of the last write of another node */
    unsigned invalidations[SIM_KEYS], resolves[SIM_KEYS], requests[SIM_KEYS];
    unsigned cut_writes[SIM_KEYS]; /* writes that the others need not have heard of */
    unsigned evictions[SIM_KEYS];
    uint16_t settled_version[SIM_KEYS]; /* what a write that has returned made */
    struct sim_write {
        int node, path, is_cut;
        uint32_t flags;
        uint64_t token;
        uint16_t made[SIM_KEYS];
    } write[SIM_WRITES];
    unsigned writes;
    uint32_t contents, waiter_ids;
    struct sim_job *jobs;
    struct mioc_recent *recent;
    struct {
        uint16_t version;
        uint64_t until;
    } kept[SIM_KEYS]; /* in the root's kernel */
    uint64_t messages, bytes, asks, hits, answered, real, timeouts;
    /* result */
    int has_failed;
    char failure[512];
};

/* --- sim.c ------------------------------------------------------------------------------------------------------- */
uint64_t sim_random(struct sim *s, uint64_t below); /* 0..below - 1 */
void sim_at(struct sim *s, uint64_t time, enum sim_what what, int node, int peer, void *data, uint32_t size);
void sim_at_on(struct sim *s, uint64_t time, enum sim_what what, int node, int peer, void *data, uint32_t size,
               unsigned link);
void sim_join(struct sim_node *n);
void sim_fail(struct sim *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
void sim_make_nodes(struct sim *s);
/* One run; 0, or -1 and s->failure. *s holds the figures afterwards. */
int sim_run(struct sim *s, uint64_t seed, const struct sim_options *options);

/* --- sim_thread.c ------------------------------------------------------------------------------------------------ */
void sim_answer(void *ctx, unsigned kind, const char *path, uint32_t len, int answered);
void sim_unlinked(void *ctx);
/* A thread asks: by the store, or by the ring. */
void sim_ask(struct sim_node *n, int key);
/* The agent finds the question in the ring; its answer may have come meanwhile. */
void sim_take_question(struct sim_node *n, int key, uint32_t id);
void sim_pass_deadline(struct sim_node *n, int id);
void sim_write_path(struct sim_node *n, int path, uint32_t flags);

/* --- sim_net.c --------------------------------------------------------------------------------------------------- */
void *sim_get_buffer(void *ctx);
void sim_put_buffer(void *ctx, void *buffer);
int sim_send(void *ctx, int peer, void *message, size_t size);

/* --- sim_link.c -------------------------------------------------------------------------------------------------- */
void sim_begin(struct sim_node *n);
/* Looks for a parent. */
void sim_try(struct sim_node *n);
void sim_take_joined(struct sim *s, unsigned link, int node);
void sim_lose(struct sim_node *n, unsigned link);
/* A child's connection breaks. */
void sim_break(struct sim_node *n, unsigned link);
/* The agent has no use for a link any more. */
void sim_hang_up(void *ctx, int peer);
/* All messages of the link to the parent are lost from now on, or held back for a while, in one direction or both. */
void sim_cut_link(struct sim_node *n);
void sim_hold_link(struct sim_node *n, uint64_t ns);
void sim_close_links(struct sim_node *n);
/* A node's threads do not wait for ever for its link. */
void sim_mind_link(struct sim_node *n);
/* The link of that node to that peer; NULL: there is none that it knows of. */
struct sim_link *sim_link_of(struct sim *s, int node, int peer);
int sim_link_is_open(const struct sim *s, unsigned link, int node);
/* Whether the process at the other side is still there. */
int sim_link_has_peer(const struct sim *s, const struct sim_link *l, int node);

/* --- sim_store.c ------------------------------------------------------------------------------------------------- */
#define sim_key(path, kind) ((path)*SIM_KINDS + (int)(kind)-1)
uint32_t sim_path_name(int path, char out[64]);
int sim_path_number(const char *path, uint32_t len); /* -1: none of ours */
/* Calls visit() for each key that a write to this path concerns. */
void sim_concerned(int path, uint32_t flags, void (*visit)(void *ctx, int key), void *ctx);
int sim_has_ttl(int key);
int sim_is_known(void *ctx, unsigned kind, const char *path, uint32_t len);
const struct mioc_item *sim_live(const struct sim_node *n, int key); /* unexpired, or NULL */
/* Whether the node's threads may be served now, whatever became of its agent. */
int sim_is_served(const struct sim_node *n);
/* What a thread of the node finds: nothing before the node is linked. */
const struct mioc_item *sim_served(const struct sim_node *n, int key);
int64_t sim_append(void *ctx, const struct mioc_item *item);
int sim_write_chunk(void *ctx, const struct mioc_chunk_record *chunk, const void *bytes);
int sim_read_chunk(void *ctx, const struct mioc_chunk_record *chunk, void *bytes);
const struct mioc_item *sim_item_at(void *ctx, uint64_t offset);
uint64_t sim_end_of(void *ctx);
void sim_hold_add(struct sim_node *n, int path, uint32_t flags, uint64_t token);
/* A record of that version; its size. */
uint32_t sim_build(void *buf, int key, uint16_t version, uint32_t content, uint64_t size);
uint16_t sim_version_of(const struct mioc_item *item);

/* --- sim_root.c -------------------------------------------------------------------------------------------------- */
void sim_resolve(void *ctx, unsigned kind, const char *path, uint32_t len);
void sim_invalidated(void *ctx, const char *path, uint32_t len, uint32_t flags, uint32_t node);
/* The root's own node writes: its kernel knows. */
void sim_root_wrote(struct sim *s, int path, uint32_t flags);
void sim_resolved(struct sim *s, struct sim_job *job);
void sim_root_end(struct sim *s);

/* --- sim_plan.c -------------------------------------------------------------------------------------------------- */
void sim_plan(struct sim *s);

/* --- sim_check.c ------------------------------------------------------------------------------------------------- */
void sim_check_served(struct sim_node *n, int key, const struct mioc_item *item);
/* An INVALIDATE has come: what was read before that write is wrong from now on. */
void sim_check_heard(struct sim_node *n, const struct mioc_invalidate_record *record);
void sim_check_settled(struct sim_node *n, uint64_t token);
void sim_check_state(struct sim_node *n); /* after each event */
void sim_check_quiet(struct sim *s);      /* after the work, before the end */
void sim_check_over(struct sim *s);       /* after all have left */

#endif
