/* SPDX-License-Identifier: BSD-3-Clause */
/* transport.h - how agents reach each other: messages between nodes, and a few collective steps at the start.
 *
 * The plug-in libmpiio_cache_<mpi>.so exports one object of this type, `mioc_transport`. Tests plug in a simulated one.
 *
 * Threads: start() runs in the main thread before main() of every rank, the collective calls follow there, in the same
 * order on all ranks. From then on only the node's leader (local rank 0 of world.node) uses the transport, and only its
 * agent thread. Nothing here prints or ends the process; errors come back. */
#ifndef MIOC_TRANSPORT_H
#define MIOC_TRANSPORT_H

#include <stddef.h>
#include <stdint.h>

#define MIOC_TRANSPORT_ABI 4u
/* The largest message: one item or one batch of items with chunk bytes, and the header (wire.h). */
#define MIOC_MESSAGE_MAX (256u * 1024u)

struct mioc_transport; /* an instance */

struct mioc_world {
    int rank, size;             /* of the job */
    int node, nodes;            /* node 0 is rank 0's; nodes are numbered by their lowest rank */
    int local_rank, local_size; /* on this node; local rank 0 is the leader */
    char library[128];          /* "MPICH 4.0.2" */
};

enum mioc_event_kind {
    MIOC_EVENT_NONE = 0,
    MIOC_EVENT_MESSAGE, /* data, size: valid until the next poll */
    MIOC_EVENT_SENT,    /* a send finished: its buffer (data) is the caller's again */
    MIOC_EVENT_LOST,    /* peer cannot be reached any more (an error from below) */
};

struct mioc_event {
    enum mioc_event_kind kind;
    int peer; /* node */
    void *data;
    size_t size;
};

struct mioc_transport_ops {
    uint32_t abi;     /* MIOC_TRANSPORT_ABI */
    const char *name; /* "mpich" */

    /* Joins the job; world->local_size says how many ranks this node has, as far as the launcher said, or 0. Returns 0
     * with *world and *instance, or -1 with a reason for people. Collective over the job. */
    int (*start)(struct mioc_transport **instance, struct mioc_world *world, char *reason, size_t reason_size);

    /* Collective over the job, asleep between polls: each values[i] becomes the minimum over all ranks. 0 or -1. */
    int (*agree_min)(struct mioc_transport *t, int64_t *values, int n);
    /* Collective over the node: the leader's bytes reach its local ranks. 0 or -1. */
    int (*share_node)(struct mioc_transport *t, void *bytes, size_t size);
    /* Collective over the job: rank 0's bytes reach all. 0 or -1. */
    int (*share_all)(struct mioc_transport *t, void *bytes, size_t size);

    /* Agent thread of leaders. Starts sending; the buffer stays the transport's until SENT or LOST names it. Messages
     * between two nodes keep their order. 0, or -1 (EAGAIN: too many under way; EPIPE: gone). */
    int (*send)(struct mioc_transport *t, int peer, void *message, size_t size);
    /* The next event; never blocks. */
    void (*poll)(struct mioc_transport *t, struct mioc_event *event);

    /* From here on the instance makes no call into its library any more (after a death, or at the end). Not undone.
     * Async-signal-safe. */
    void (*abandon)(struct mioc_transport *t);
    /* Before the process ends or execs: tells the launcher that this process needs its process manager no more, unless
     * the application itself has MPI started and not finalized. Callable from any thread, makes no MPI communication.
     */
    void (*depart)(struct mioc_transport *t);
    /* Whether the application itself has the library started and not finalized. From any thread, takes no lock. */
    int (*is_shared)(struct mioc_transport *t);
    /* Whether it ever had. The same. */
    int (*was_shared)(struct mioc_transport *t);

    /* NULL but where the library can be started only once, so that the application's end of it is the transport's too:
     * then the plug-in stands in for the application's calls, and is loaded RTLD_GLOBAL. finalizing() is called in the
     * application's thread, before the library's end begins; end() belongs there, once the agent's thread makes no call
     * any more: abandon, and nothing pending. */
    void (*watch_finalize)(void (*finalizing)(void));
    void (*end)(struct mioc_transport *t);
};

#endif
