/* SPDX-License-Identifier: BSD-3-Clause */
/* node_internal.h - what a rank's life (node.c), its agent's thread (node_agent.c) and the end's report share. */
#ifndef MIOC_NODE_INTERNAL_H
#define MIOC_NODE_INTERNAL_H

#include "store/ring.h"
#include "base/stats.h"
#include "store/store.h"
#include "agent/agent.h"
#include "resolver/prefetch.h"
#include "resolver/aliases.h"
#include "node.h"
#include "plugin.h"
#include "resolver/resolver.h"
#include "transport/transport.h"

#include <pthread.h>

#define MIOC_NODE_ARITY 4
#define MIOC_NODE_RESOLVERS 8
#define MIOC_NODE_WINDOW 4
#define MIOC_NODE_BUFFERS 64

struct mioc_waiter {
    uint32_t slot;
    uint64_t hash;
    uint64_t token; /* what is waited for: a record, or with hash 0 that this settles */
};

/* How the leader's agent is to end; written by the ending thread, read by the agent's. */
enum mioc_node_end_mode {
    MIOC_END_RUN,
    MIOC_END_LINGER,
    MIOC_END_FINALIZE /* once the children have left */,
    MIOC_END_LEAVE
};

struct mioc_node {
    pid_t owner; /* whom all this belongs to; a forked child is somebody else */
    const struct mioc_config *config;
    const struct mioc_policy *policy;
    const struct mioc_transport_ops *ops;
    struct mioc_transport *transport;
    struct mioc_world world;
    struct mioc_store *store;
    char line[384];

    /* leaders */
    struct mioc_agent *agent;
    struct mioc_aliases *aliases;   /* root */
    struct mioc_resolver *resolver; /* root; atomic, NULL when the agent is through with it */
    uint64_t resolver_calls;        /* its last word then */
    struct mioc_manifest manifest;  /* root */
    struct mioc_prefetch *ahead;    /* root, until the resolver takes it */
    int is_saving;                  /* it is being written */
    int has_saved;                  /* futex, 1 when it is through, atomic */
    char save_problem[512];         /* what went wrong then */
    pthread_t thread;
    int has_thread;
    int is_crowded;                   /* the node has more ranks than processors */
    int end_mode;                     /* enum mioc_node_end_mode, atomic */
    int done;                         /* futex, 1 when the agent's thread is through, atomic */
    int is_ending;                    /* mioc_node_end ran, atomic */
    int is_departing, has_departed;   /* the launcher is being told, was told, atomic */
    uint64_t bound, arena_bound;      /* bytes that each node's store may take, and its arena of them */
    uint64_t room;                    /* bytes of contents the job's stores may still take, atomic (root) */
    uint64_t wanted;                  /* … and how many a resolver waits for, atomic */
    unsigned refusals;                /* … in vain, atomic */
    struct mioc_evictable *evictable; /* contents in the stream's order, the oldest first (root; node_evict.c) */
    struct mioc_abandoned *abandoned; /* contents that will not be complete, in order (root; node_evict.c) */
    uint64_t token;                   /* invalidations of this node */
    int is_short;                     /* the memory cgroup's limit is near, atomic */
    uint64_t settled;                 /* … that all nodes have heard of */
    int has_left;                     /* the agent ended before the process */
    unsigned waiters;
    struct mioc_waiter waiter[MIOC_RING_SLOTS];
    unsigned free_buffers, buffers;
    void *buffer[MIOC_NODE_BUFFERS];     /* free ones */
    unsigned unsent;                     /* messages that the transport still holds */
    uint64_t saturated_at, saturated_ns; /* messages sent when all children's windows were full, and since when */
    struct mioc_report report;           /* of children */
};

extern struct mioc_node mioc_node;

uint64_t mioc_node_store_limit(const struct mioc_config *config); /* bytes */

/* node_memory.c: from before main() on sets is_short once it is so, where there is a limit. */
void mioc_node_watch_memory(struct mioc_node *node);

/* node_host.c: creates agent and, on the root, resolver. 0 or -1. */
int mioc_node_host_start(struct mioc_node *node);
void mioc_node_put_buffer(void *ctx, void *buffer);
/* Whether the policy serves such answers. Allocates nothing. */
int mioc_node_may_serve(void *ctx, unsigned kind, const char *path, uint32_t len);
/* Gives the memory of free buffers back to the kernel, for a while in which none is needed. */
void mioc_node_clear_buffers(struct mioc_node *node);
/* Answers the waiters of that key, kind 0: all. */
void mioc_node_answer(void *ctx, unsigned kind, const char *path, uint32_t len, int answered);

/* Creates agent and, on the root, resolver; meets the neighbours (deadline `until`), so that connections exist. 0 or
 * -1. */
int mioc_node_agent_start(struct mioc_node *node, uint64_t until);
int mioc_node_agent_run(struct mioc_node *node); /* starts the thread: 0 or -1 */
/* node_end.c. The application ends MPI, which all ranks do together, and with it ours (transport.h): what comes after
 * is not cached. */
void mioc_node_finalize(void);

/* node_manifest.c. Rank 0, before MPI starts: reads what the last run read; and after a start that failed: throws it
 * away. */
void mioc_node_manifest_start(struct mioc_node *node);
void mioc_node_manifest_drop(struct mioc_node *node);
/* Root, ending thread: what was asked is noted for the next run, by the store's thread, which may have other work just
 * now: called until it is begun, but not twice; and waits for it until the deadline. A process that ends before costs
 * the note, no more. */
void mioc_node_manifest_save(struct mioc_node *node);
void mioc_node_manifest_wait(struct mioc_node *node, uint64_t until);
/* Says what went wrong with reading and writing it, if anything did: as a warning only where the user chose the file.
 */
void mioc_node_manifest_complain(struct mioc_node *node);
/* Everything that the node's processes counted so far, and the root's own figures. */
void mioc_node_fill_report(const struct mioc_node *node, struct mioc_report *report);

/* --- node_evict.c: root ------------------------------------------------------------------------------------------ */
/* The bound that the tightest node has. */
void mioc_node_set_bound(struct mioc_node *node, uint64_t bytes);
/* Resolvers: room for a content, 0; or -1: there is none, also after others were given up for it (`may_evict`), which
 * takes a moment. */
int mioc_node_reserve(void *ctx, uint64_t bytes, int may_evict);
void mioc_node_release(void *ctx, uint64_t bytes);
/* Agent's thread: whether it says that a content will not be complete; then it is kept until all nodes may be told. */
int mioc_node_take_abandoned(struct mioc_node *node, const struct mioc_resolved *resolved);
/* Agent's thread: a record was published at that offset. */
void mioc_node_note_published(struct mioc_node *node, const struct mioc_item *item, uint64_t offset);
/* Agent's thread: gives up what will not be complete, and the oldest for what a resolver waits for. How many. */
unsigned mioc_node_make_room(struct mioc_node *node);

#endif
