/* SPDX-License-Identifier: BSD-3-Clause */
/* transport_mpi.h - what the MPI transport's two files share; nobody else includes it.
 *
 *     transport_mpi.c    messages, collective steps, the end
 *     transport_open.c   the start: MPI, the private communicator, who is on which node */
#ifndef MIOC_TRANSPORT_MPI_H
#define MIOC_TRANSPORT_MPI_H

#include "transport.h"

#include <mpi.h>
#include <stdatomic.h>

#ifdef MIOC_WITHOUT_SESSIONS
#include "wrap_mpi.h"
#elif MPI_VERSION < 4
#error "this MPI has no sessions: MIOC_WITHOUT_SESSIONS"
#endif

#define MIOC_TRANSPORT_RECEIVES 2
#define MIOC_TRANSPORT_SENDS 64

struct mioc_transport {
#ifndef MIOC_WITHOUT_SESSIONS
    MPI_Session session;
#endif
    MPI_Comm job;
    struct mioc_world world;
    int tasks; /* of this node, as the launcher says; 0: it does not */
    atomic_int is_abandoned;
    atomic_int has_departed;
    int pmi_fd;            /* hydra's, or -1: this launcher needs no farewell */
    int *leader;           /* node → its leader's rank */
    int *node_of;          /* rank → node */
    unsigned char *is_met; /* node → whether we ever exchanged anything: whom to name LOST */
    int is_broken;         /* an MPI call failed: nothing but LOST comes any more */
    int lost;              /* broken: next node to name */
    int turn;              /* poll alternates between receives and sends */
    int is_held;           /* the buffer of receive[next] is the caller's until the next poll */
    unsigned next;         /* the receive that was posted first */
    void *buffer[MIOC_TRANSPORT_RECEIVES];
    MPI_Request receive[MIOC_TRANSPORT_RECEIVES];
    int sends;
    MPI_Request send[MIOC_TRANSPORT_SENDS];
    struct {
        void *message;
        int peer;
    } sent[MIOC_TRANSPORT_SENDS];
};

/* Waits for a request that was started with `rc`, asleep between looks. 0, or -1: the transport is broken. */
int mioc_transport_complete(struct mioc_transport *t, int rc, MPI_Request *request);

/* Starts MPI, opens the job's communicator, fills world. Collective over the job. 0, or -1 and the reason. */
int mioc_transport_open(struct mioc_transport *t, char *reason, size_t size);

#endif
