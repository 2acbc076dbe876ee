/* SPDX-License-Identifier: BSD-3-Clause */
/* node_state.h - the data of this process's node. Only the files of node/ include it.
 *
 * `(atomic)`: several threads use the field, by __atomic operations. All others belong to the main thread until the
 * agent's thread starts, and to the agent's thread from then on, unless the comment says otherwise. */
#ifndef MIOC_NODE_STATE_H
#define MIOC_NODE_STATE_H

#include "store/ring.h"
#include "base/stats.h"
#include "store/store.h"
#include "agent/agent.h"
#include "resolver/prefetch.h"
#include "resolver/aliases.h"
#include "plugin.h"
#include "process.h"
#include "resolver/resolver.h"
#include "transport/transport.h"

#include <pthread.h>

#define MIOC_NODE_RESOLVERS 8
#define MIOC_NODE_WINDOW 4
/* What agent.h asks for, so that children which stand still cannot keep them all. */
#define MIOC_NODE_BUFFERS (MIOC_AGENT_CHILDREN_MAX * (MIOC_NODE_WINDOW + 1) + 9)

/* A request of the ring that waits for its answer. */
struct mioc_waiter {
    uint32_t slot;
    uint64_t hash;  /* of the record that it waits for; 0: it waits for writes */
    uint64_t token; /* hash 0: the last write that must settle */
};

/* How the leader's agent is to end. The ending thread writes it, the agent's thread reads it. */
enum mioc_node_end_mode {
    MIOC_END_RUN,
    MIOC_END_LINGER,   /* once the node's ranks have ended and the children have left */
    MIOC_END_FINALIZE, /* once the children have left */
    MIOC_END_LEAVE     /* now */
};

struct mioc_node {
    /* --- Every rank; fixed from mioc_node_start() on --- */
    pid_t owner; /* the process that all this belongs to; a forked child is another one */
    const struct mioc_config *config;
    const struct mioc_policy *policy;
    const struct mioc_transport_ops *ops;
    struct mioc_transport *transport;
    struct mioc_world world;
    struct mioc_store *store;
    char line[384];                  /* "active: …", for people */
    const struct mioc_node_way *way; /* an agent process only; and the two that follow */
    int starter;                     /* the socket to the process that started it; -1: it is closed */
    int launcher;                    /* the starter's connection to hydra, or -1 */
    pid_t starter_pid;
    int is_named;      /* hydra's name service has told where the parent is */
    uint64_t apart_ns; /* since when it is not linked: from the start, or from the loss of its parent */
    int was_linked;
    int is_report_wanted; /* the root wants this node's report */
    int is_report_due;    /* rank 0 has ended and waits for the report; an agent process only */
    int is_process;       /* the agent is a process of its own (process.h), not a thread of a rank */

    /* --- Leaders --- */
    struct mioc_agent *agent;
    pthread_t thread; /* the agent's */
    int has_thread;
    int is_crowded; /* the node has more ranks than processors */
    int has_left;   /* the agent has ended, the process has not; (atomic) where the ending thread reads it */
    unsigned waiters;
    struct mioc_waiter waiter[MIOC_RING_SLOTS];
    uint64_t token;   /* this node's last write */
    uint64_t settled; /* this node's writes up to this token are known to every node */
    unsigned free_buffers, buffers;
    void *buffer[MIOC_NODE_BUFFERS]; /* the free ones */
    unsigned unsent;                 /* messages that the transport still holds */
    uint64_t saturated_at;           /* messages sent when the windows of all children became full, */
    uint64_t saturated_ns;           /* and when that was */
    int is_short;                    /* (atomic) the memory cgroup's limit is near */

    /* --- Leaders: the end --- */
    int end_mode;                   /* (atomic) enum mioc_node_end_mode */
    int done;                       /* (atomic, futex) 1: the agent's thread makes no call into MPI any more */
    int is_ending;                  /* (atomic) mioc_node_end() has run */
    int is_departing, has_departed; /* (atomic) the launcher is being told, was told */

    /* --- Root --- */
    struct mioc_aliases *aliases;
    struct mioc_resolver *resolver; /* (atomic) NULL once the agent's thread needs it no more */
    uint64_t resolver_calls;        /* what it had counted then */
    struct mioc_manifest manifest;
    struct mioc_prefetch *prefetch; /* until the resolver takes it over */
    int is_saving;                  /* the manifest is being written; the ending thread's */
    int has_saved;                  /* (atomic, futex) 1: it is written, or that failed */
    char save_problem[512];         /* why that failed; written before has_saved */

    struct mioc_report *report; /* the newest of each node, by its number; reported_nodes 0: none has come */

    /* --- Root: room (node_evict.c) --- */
    uint64_t bound;                   /* bytes that each node's store may take */
    uint64_t arena_bound;             /* those of them that are for the stream */
    uint64_t room;                    /* (atomic) bytes of contents that the stores may still take */
    uint64_t wanted;                  /* (atomic) bytes that a resolver's thread waits for; 0: none waits */
    unsigned refusals;                /* (atomic) how often such a thread waited in vain */
    struct mioc_evictable *evictable; /* contents that can be given up, the oldest first */
    struct mioc_abandoned *abandoned; /* contents that will not be complete, in the stream's order */
};

extern struct mioc_node mioc_node;

#endif
