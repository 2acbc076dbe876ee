/* SPDX-License-Identifier: BSD-3-Clause */
/* transport.h - how agents reach each other: messages between nodes, links that come and go, and, where a transport has
 * them, a few collective steps at the start.
 *
 * The plug-in libmpiio_cache_<mpi>.so exports one struct mioc_transport_ops, `mioc_transport`. tcp.h has another one.
 *
 * Threads, unless a function says otherwise: start() and the collective steps run in the main thread of every rank,
 * before main(), in the same order on all ranks. send() and poll() run in leaders only: in the main thread until the
 * agent's thread starts, then in that. Nothing here ends the process. */
#ifndef MIOC_TRANSPORT_H
#define MIOC_TRANSPORT_H

#include <stddef.h>
#include <stdint.h>

#define MIOC_TRANSPORT_ABI 6u
/* The largest message: the header (wire.h), and an item or several with the bytes of chunks. */
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
    MIOC_EVENT_MESSAGE, /* `peer` sent data[0..size), which stays valid until the next poll */
    MIOC_EVENT_SENT,    /* a send to `peer` has finished: its buffer, `data`, is the caller's again */
    MIOC_EVENT_LOST,    /* `peer` cannot be reached any more; with `data`: that buffer is the caller's again */
    MIOC_EVENT_JOINED,  /* `peer` is of this job and can be sent to, until LOST. A peer of a lower number is the parent,
                           or another ancestor in its place. Only of transports whose links come and go (TCP): LOST
                           without data comes last, and the peer may join again */
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

    /* Joins the job; collective over it. 0 with *world and *instance; or -1 with a reason for people, and perhaps
     * *instance, for depart(). */
    int (*start)(struct mioc_transport **instance, struct mioc_world *world, char *reason, size_t reason_size);

    /* Collective over the job: each values[i] becomes the minimum over all ranks. Sleeps between looks. 0 or -1. */
    int (*agree_min)(struct mioc_transport *t, int64_t *values, int n);
    /* Collective over the node: all its ranks get the leader's bytes. 0 or -1. */
    int (*share_node)(struct mioc_transport *t, void *bytes, size_t size);
    /* Collective over the job: all ranks get rank 0's bytes. 0 or -1. */
    int (*share_all)(struct mioc_transport *t, void *bytes, size_t size);

    /* Starts to send. `message` belongs to the transport until SENT or LOST gives it back. Messages between two nodes
     * keep their order. 0; or -1, and `message` stays the caller's (EAGAIN: too many under way; EPIPE: the peer is
     * gone). */
    int (*send)(struct mioc_transport *t, int peer, void *message, size_t size);
    /* The next event, or NONE. Never blocks. */
    void (*poll)(struct mioc_transport *t, struct mioc_event *event);

    /* From here on the instance makes no call into its library any more, for good: after a death, or at the end. Any
     * thread, async-signal-safe. */
    void (*abandon)(struct mioc_transport *t);
    /* Before the process ends or execs: tells the launcher that this process needs its process manager no more. Not if
     * the application itself has started MPI and not finalized it. Any thread. Makes no MPI communication. */
    void (*depart)(struct mioc_transport *t);
    /* Whether the application itself has started MPI and not finalized it. Any thread, takes no lock. */
    int (*is_shared)(struct mioc_transport *t);
    /* Whether the application has ever started MPI. Any thread, takes no lock. */
    int (*was_shared)(struct mioc_transport *t);

    /* Both are NULL unless this MPI can be started only once, so that the application's MPI_Finalize ends the
     * transport, too. Then the plug-in stands in for the application's calls, and is loaded RTLD_GLOBAL. finalizing()
     * is called in the application's thread before MPI ends. It makes the agent's thread stop using MPI, then calls
     * end(), which abandons the transport and withdraws what is pending. */
    void (*watch_finalize)(void (*finalizing)(void));
    void (*end)(struct mioc_transport *t);

    /* What follows is NULL where the transport can only be polled (MPI). Where it is not, start(), the collective
     * steps, depart() and the two questions about the application are NULL. */

    /* A descriptor that polls readable while poll() has something to do. The transport's; nobody reads or closes it. */
    int (*fd)(struct mioc_transport *t);
    /* When poll() wants to be called at the latest, CLOCK_MONOTONIC, ns; UINT64_MAX: only when fd() is readable. */
    uint64_t (*next)(struct mioc_transport *t);
    /* Ends the link to a peer, if there is one; LOST follows. After its parent the instance looks for another ancestor.
     */
    void (*hang_up)(struct mioc_transport *t, int peer);
    /* Frees the instance and closes what it has open. Buffers under way are the caller's again, without an event. */
    void (*close)(struct mioc_transport *t);
};

#endif
