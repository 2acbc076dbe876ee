/* SPDX-License-Identifier: BSD-3-Clause */
/* transport_mpi.c - the transport over MPI with a private communicator: in a session of its own, or
 * (MIOC_WITHOUT_SESSIONS) in an MPI that is shared with the application (wrap_mpi.h).
 *
 * All calls have PMPI_ names, so that a profiler of the application's MPI does not count them. The session lives as
 * long as the process: MPICH 4.0.2 crashes in the application's MPI_Init after a Session_finalize. There is no blocking
 * collective but those that MPI insists on (Session_init, Comm_create_from_group): they spin, and a node may have more
 * ranks than processors. */
#include "transport_mpi.h"
#include "job/pmi.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#ifdef MIOC_WITHOUT_SESSIONS
#include <dlfcn.h>
#endif

#define TAG_MESSAGE 1
#define TAG_SHARE 2
#define PMI_TIMEOUT_MS 1000

/* --- Start ------------------------------------------------------------------------------------------------------- */

static int post_receive(struct mioc_transport *t, unsigned i)
{
    int rc =
        PMPI_Irecv(t->buffer[i], (int)MIOC_MESSAGE_MAX, MPI_BYTE, MPI_ANY_SOURCE, TAG_MESSAGE, t->job, &t->receive[i]);

    if (rc != MPI_SUCCESS)
        t->is_broken = 1;
    return t->is_broken ? -1 : 0;
}

/* Only leaders exchange messages, and only if there is more than one. */
static int post_receives(struct mioc_transport *t)
{
    if (t->world.local_rank != 0 || t->world.nodes == 1)
        return 0;
    for (unsigned i = 0; i < MIOC_TRANSPORT_RECEIVES; i++) {
        /* A mapping, not the program's heap: pages that no message reaches are never touched. */
        void *buffer = mmap(NULL, MIOC_MESSAGE_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        t->buffer[i] = buffer != MAP_FAILED ? buffer : NULL;
        if (t->buffer[i] == NULL || post_receive(t, i) != 0)
            return -1;
    }
    return 0;
}

static int transport_start(struct mioc_transport **instance, struct mioc_world *world, char *reason, size_t reason_size)
{
    static struct mioc_transport only; /* never freed: the session cannot end before the process */
    struct mioc_transport *t = &only;

    t->pmi_fd = mioc_pmi_is_hydra_task() ? mioc_pmi_fd(environ) : -1;
    if (mioc_transport_open(t, reason, reason_size) != 0) {
        *instance = t; /* for depart() */
        return -1;
    }
    /* A leader without buffers must not leave alone: the others would wait for it. Its transport counts as broken. */
    if (post_receives(t) != 0)
        t->is_broken = 1;
    *world = t->world;
    *instance = t;
    return 0;
}

/* --- Collective steps -------------------------------------------------------------------------------------------- */

static int transport_agree_min(struct mioc_transport *t, int64_t *values, int n)
{
    MPI_Request request;

    return mioc_transport_complete(t, PMPI_Iallreduce(MPI_IN_PLACE, values, n, MPI_INT64_T, MPI_MIN, t->job, &request),
                                   &request);
}

/* Point to point: a communicator for the node would need a blocking collective, which spins. */
static int transport_share_node(struct mioc_transport *t, void *bytes, size_t size)
{
    struct mioc_world *world = &t->world;
    int leader = t->leader[world->node];
    MPI_Request request;

    if (world->rank != leader)
        return mioc_transport_complete(t, PMPI_Irecv(bytes, (int)size, MPI_BYTE, leader, TAG_SHARE, t->job, &request),
                                       &request);
    for (int i = leader + 1; i < world->size; i++)
        if (t->node_of[i] == world->node &&
            mioc_transport_complete(t, PMPI_Isend(bytes, (int)size, MPI_BYTE, i, TAG_SHARE, t->job, &request),
                                    &request) != 0)
            return -1;
    return 0;
}

static int transport_share_all(struct mioc_transport *t, void *bytes, size_t size)
{
    MPI_Request request;

    return mioc_transport_complete(t, PMPI_Ibcast(bytes, (int)size, MPI_BYTE, 0, t->job, &request), &request);
}

/* --- Messages ---------------------------------------------------------------------------------------------------- */

static int transport_send(struct mioc_transport *t, int peer, void *message, size_t size)
{
    if (t->is_broken || atomic_load(&t->is_abandoned) || peer < 0 || peer >= t->world.nodes) {
        errno = EPIPE;
        return -1;
    }
    if (t->sends == MIOC_TRANSPORT_SENDS) {
        errno = EAGAIN;
        return -1;
    }
    if (PMPI_Isend(message, (int)size, MPI_BYTE, t->leader[peer], TAG_MESSAGE, t->job, &t->send[t->sends]) !=
        MPI_SUCCESS) {
        t->is_broken = 1;
        errno = EPIPE;
        return -1;
    }
    t->is_met[peer] = 1;
    t->sent[t->sends].message = message;
    t->sent[t->sends++].peer = peer;
    return 0;
}

/* Looks at the oldest receive only. MPI matches receives in their order, so each peer's messages keep theirs. */
static int poll_receive(struct mioc_transport *t, struct mioc_event *event)
{
    MPI_Status status;
    int is_done = 0, bytes = 0;

    if (t->buffer[0] == NULL)
        return 0;
    if (PMPI_Test(&t->receive[t->next], &is_done, &status) != MPI_SUCCESS ||
        (is_done && PMPI_Get_count(&status, MPI_BYTE, &bytes) != MPI_SUCCESS)) {
        t->is_broken = 1;
        return 0;
    }
    if (!is_done)
        return 0;
    t->is_held = 1;
    event->kind = MIOC_EVENT_MESSAGE;
    event->peer = t->node_of[status.MPI_SOURCE];
    event->data = t->buffer[t->next];
    event->size = (size_t)bytes;
    t->is_met[event->peer] = 1;
    return 1;
}

static void forget_send(struct mioc_transport *t, int i, enum mioc_event_kind kind, struct mioc_event *event)
{
    *event = (struct mioc_event){ .kind = kind, .peer = t->sent[i].peer, .data = t->sent[i].message };
    t->sends--;
    t->send[i] = t->send[t->sends];
    t->sent[i] = t->sent[t->sends];
}

static int poll_sends(struct mioc_transport *t, struct mioc_event *event)
{
    int i = MPI_UNDEFINED, is_done = 0;

    if (t->sends == 0)
        return 0;
    if (PMPI_Testany(t->sends, t->send, &i, &is_done, MPI_STATUS_IGNORE) != MPI_SUCCESS) {
        t->is_broken = 1;
        return 0;
    }
    if (!is_done || i == MPI_UNDEFINED)
        return 0;
    forget_send(t, i, MIOC_EVENT_SENT, event);
    return 1;
}

/* MPI does not say which peer an error on a receive is about, and promises nothing after one. So all neighbours are
 * lost. MPI may still read the buffers that were being sent; nobody needs what it reads. */
static void poll_broken(struct mioc_transport *t, struct mioc_event *event)
{
    if (t->sends > 0) {
        forget_send(t, 0, MIOC_EVENT_LOST, event);
        return;
    }
    for (; t->lost < t->world.nodes; t->lost++)
        if (t->is_met[t->lost]) {
            *event = (struct mioc_event){ .kind = MIOC_EVENT_LOST, .peer = t->lost++ };
            return;
        }
}

static void transport_poll(struct mioc_transport *t, struct mioc_event *event)
{
    *event = (struct mioc_event){ .kind = MIOC_EVENT_NONE };
    if (atomic_load(&t->is_abandoned))
        return;
    if (t->is_held && !t->is_broken) {
        t->is_held = 0;
        (void)post_receive(t, t->next);
        t->next = (t->next + 1) % MIOC_TRANSPORT_RECEIVES;
    }
    for (int i = 0; i < 2 && !t->is_broken; i++) {
        t->turn = !t->turn;
        if (t->turn ? poll_receive(t, event) : poll_sends(t, event))
            return;
    }
    if (t->is_broken)
        poll_broken(t, event);
}

/* --- The end ----------------------------------------------------------------------------------------------------- */

static void transport_abandon(struct mioc_transport *t) { atomic_store(&t->is_abandoned, 1); }

#ifdef MIOC_WITHOUT_SESSIONS
static int transport_is_shared(struct mioc_transport *t)
{
    (void)t;
    return mioc_wrap_mpi_is_shared();
}

static int transport_was_shared(struct mioc_transport *t)
{
    (void)t;
    return mioc_wrap_mpi_was_shared();
}

/* No receive may be pending when MPI ends. */
static void transport_end(struct mioc_transport *t)
{
    atomic_store(&t->is_abandoned, 1);
    for (unsigned i = 0; i < MIOC_TRANSPORT_RECEIVES && t->buffer[0] != NULL; i++)
        if (t->receive[i] != MPI_REQUEST_NULL) {
            (void)PMPI_Cancel(&t->receive[i]);
            (void)PMPI_Request_free(&t->receive[i]);
        }
}

/* Open MPI's daemons, too, count a process that ends with PMIx started as failed. PMIx_Finalize needs no other one. */
static void leave_pmix(void)
{
    int (*finalize)(const void *info, size_t n) = (int (*)(const void *, size_t))dlsym(RTLD_DEFAULT, "PMIx_Finalize");

    if (finalize != NULL)
        (void)finalize(NULL, 0);
}
#else
static int transport_is_shared(struct mioc_transport *t)
{
    int is_initialized = 0, is_finalized = 0;

    (void)t;
    (void)PMPI_Initialized(&is_initialized);
    (void)PMPI_Finalized(&is_finalized);
    return is_initialized && !is_finalized;
}

static int transport_was_shared(struct mioc_transport *t)
{
    int is_initialized = 0;

    (void)t;
    (void)PMPI_Initialized(&is_initialized);
    return is_initialized;
}
#endif

/* hydra kills the job if a process ends that has started PMI and not finalized it. PMI's finalize, without MPI's, is
 * enough, and needs no other process; then the process may end, exec or crash. An application that ends while it runs
 * MPI is meant to be killed, so then nothing is said. */
static void transport_depart(struct mioc_transport *t)
{
    char answer[256];

    atomic_store(&t->is_abandoned, 1);
    if (atomic_exchange(&t->has_departed, 1) || transport_is_shared(t))
        return;
#ifdef MIOC_WITHOUT_SESSIONS
    if (mioc_wrap_mpi_is_over())
        return;
    if (t->pmi_fd < 0)
        leave_pmix();
#endif
    if (t->pmi_fd >= 0)
        (void)mioc_pmi_ask(t->pmi_fd, "finalize", answer, sizeof answer, PMI_TIMEOUT_MS);
}

__attribute__((visibility("default"))) extern const struct mioc_transport_ops mioc_transport;
const struct mioc_transport_ops mioc_transport = {
    .abi = MIOC_TRANSPORT_ABI,
    .name = MIOC_MPI_NAME,
    .start = transport_start,
    .agree_min = transport_agree_min,
    .share_node = transport_share_node,
    .share_all = transport_share_all,
    .send = transport_send,
    .poll = transport_poll,
    .abandon = transport_abandon,
    .depart = transport_depart,
    .is_shared = transport_is_shared,
    .was_shared = transport_was_shared,
#ifdef MIOC_WITHOUT_SESSIONS
    .watch_finalize = mioc_wrap_mpi_watch,
    .end = transport_end,
#endif
};
