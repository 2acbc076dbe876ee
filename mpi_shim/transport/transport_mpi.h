/* SPDX-License-Identifier: BSD-3-Clause */
/* transport_mpi.h - what the MPI transport's files share; nobody else includes it.
 *
 *     transport_mpi.c    messages, collective steps, the end
 *     transport_open.c   the start: MPI, the private communicator, which rank is on which node
 *     transport_wait.c   waits for a request */
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
    atomic_int is_abandoned;
    atomic_int has_departed;
    int pmi_fd;            /* the connection to hydra; -1: the launcher is another one */
    int *leader;           /* node → its leader's rank */
    int *node_of;          /* rank → node */
    unsigned char *is_met; /* node → whether a message ever went either way: these become LOST */
    int is_broken;         /* an MPI call failed: no event but LOST comes any more */
    int lost;              /* broken: the next node to be LOST */
    int turn;              /* poll() alternates between receives and sends */
    int is_held;           /* the caller has the buffer of receive[next], until the next poll() */
    unsigned next;         /* the oldest receive */
    void *buffer[MIOC_TRANSPORT_RECEIVES];
    MPI_Request receive[MIOC_TRANSPORT_RECEIVES];
    int sends;
    MPI_Request send[MIOC_TRANSPORT_SENDS];
    struct {
        void *message;
        int peer;
    } sent[MIOC_TRANSPORT_SENDS];
};

/* Waits for a request whose start gave `rc`. Sleeps between looks. 0, or -1 (EIO): the transport is broken. */
int mioc_transport_complete(struct mioc_transport *t, int rc, MPI_Request *request);

/* Starts MPI, opens the job's communicator, fills t->world. Collective over the job. 0, or -1 and the reason. */
int mioc_transport_open(struct mioc_transport *t, char *reason, size_t size);

#endif
