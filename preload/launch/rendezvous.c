/* SPDX-License-Identifier: BSD-3-Clause */
/* rendezvous.c - the ranks of a node meet at their leader's socket, and hear from it whether all ranks of the job start
 * MPI. */
#include "rendezvous.h"
#include "base/real.h"
#include "base/hash.h"
#include "pmi_relay.h"
#include "store/item.h"
#include "job/pmi.h"
#include "base/proc.h"
#include "store/store.h"
#include "base/credentials.h"
#include "transport/transport.h"
#include "agent/wire.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define NAP_MS 2
/* The first look at the tasks beside us, and the longest time between two. */
#define FIRST_LOOK_MS 20
#define MOST_LOOK_MS 160
/* Connections of others than our tasks that a leader bears with. */
#define STRANGERS 16

enum kind { KIND_HELLO, KIND_GO, KIND_STAY };

/* Both ways; between processes of one node, so in its own byte order. */
struct message {
    uint32_t magic;
    int32_t kind, local_rank;
    uint32_t pad;
    uint64_t layout;
    uint64_t rights; /* UCX reads other ranks' memory by /proc: MPI ends where one may not do that to another */
    char reason[248];
};

struct meeting {
    const struct mioc_rendezvous *rendezvous;
    int listener, tasks, peers, come;
    struct pollfd *peer; /* connections; [peers] is the listener */
    int *local_rank;     /* of each, -1 until it has said hello */
    int64_t since, look_at, look_every;
    uint64_t rights;
    char *reason;
    size_t size;
};

static int mark = -1; /* the socket that says to this node's late comers that this job stays dormant; held for life */

/* --- Sockets ----------------------------------------------------------------------------------------------------- */

static void close_raw(int fd)
{
    if (fd >= 0)
        syscall(SYS_close, fd);
}

static socklen_t name_socket(struct sockaddr_un *address, const struct mioc_task *me, const char *what)
{
    int length;

    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    length = snprintf(address->sun_path + 1, sizeof address->sun_path - 1, "mpiio_cache-%lu-%016llx-%s",
                      (unsigned long)geteuid(), (unsigned long long)me->key, what);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
}

/* A socket that listens under that name, or -1: errno is EADDRINUSE where somebody else does. */
static int listen_as(const struct mioc_task *me, const char *what)
{
    struct sockaddr_un address;
    socklen_t length = name_socket(&address, me, what);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), high = mioc_proc_high_fd(fd), saved;

    if (high >= 0 && mioc_real(bind)(high, (struct sockaddr *)&address, length) == 0 && listen(high, 4096) == 0) {
        close_raw(fd);
        return high;
    }
    saved = errno;
    close_raw(fd);
    close_raw(high);
    errno = saved;
    return -1;
}

/* The name could be taken by another user: nobody is to be fooled by that. */
static int is_ours(int fd)
{
    struct ucred peer;
    socklen_t size = sizeof peer;

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == geteuid();
}

static int connect_to(const struct mioc_task *me, const char *what)
{
    struct sockaddr_un address;
    socklen_t length = name_socket(&address, me, what);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, length) == 0 && is_ours(fd))
        return fd;
    close_raw(fd);
    return -1;
}

static int is_marked(const struct mioc_task *me)
{
    int fd = connect_to(me, "stay");

    close_raw(fd);
    return fd >= 0;
}

static int say(int fd, enum kind kind, const struct mioc_task *me, const char *reason)
{
    struct message message = { .magic = MIOC_RENDEZVOUS_MAGIC,
                               .kind = kind,
                               .local_rank = me->local_rank,
                               .layout = mioc_rendezvous_layout(),
                               .rights = mioc_credentials_rights(1) };

    snprintf(message.reason, sizeof message.reason, "%s", reason);
    return send(fd, &message, sizeof message, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)sizeof message ? 0 : -1;
}

/* 1: a message; 0: nothing yet; -1: the other is gone, or speaks nonsense. */
static int hear(int fd, struct message *message)
{
    ssize_t n = recv(fd, message, sizeof *message, MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n != (ssize_t)sizeof *message || message->magic != MIOC_RENDEZVOUS_MAGIC)
        return -1;
    message->reason[sizeof message->reason - 1] = '\0';
    return 1;
}

/* --- Both sides -------------------------------------------------------------------------------------------------- */

/* There is no name service that Open MPI's launchers and Slurm's PMIx both have: with these each node agrees for
 * itself. */
static int has_several_nodes(const struct mioc_rendezvous *rendezvous)
{
    return !rendezvous->me->has_pmix &&
           mioc_task_count_on_node(rendezvous->me, rendezvous->env) != rendezvous->me->size;
}

/* The first of a node to know tells the other nodes. */
void mioc_rendezvous_decline(const struct mioc_rendezvous *rendezvous, const char *reason)
{
    int saved = errno;

    mark = listen_as(rendezvous->me, "stay");
    if (mark >= 0 && has_several_nodes(rendezvous))
        mioc_rendezvous_nodes_decline(rendezvous, reason);
    errno = saved;
}

/* From time to time, less and less often: whether a task of this node is certain not to come. 0, or -1 and why. */
static int look_beside(struct meeting *m, int64_t now)
{
    const struct mioc_rendezvous *rendezvous = m->rendezvous;

    if (now < m->look_at)
        return 0;
    m->look_at = now + m->look_every;
    m->look_every = m->look_every * 2 > MOST_LOOK_MS ? MOST_LOOK_MS : m->look_every * 2;
    if (is_marked(rendezvous->me)) {
        snprintf(m->reason, m->size, "another rank of this node stays dormant");
        return -1;
    }
    return mioc_role_look_beside(rendezvous->me, rendezvous->env, now - m->since, m->reason, m->size);
}

/* --- The leader -------------------------------------------------------------------------------------------------- */

static void admit(struct meeting *m)
{
    int fd;

    while ((fd = accept4(m->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
        if (m->peers == m->tasks + STRANGERS || !is_ours(fd)) {
            close_raw(fd);
            continue;
        }
        m->local_rank[m->peers] = -1;
        m->peer[m->peers++] = (struct pollfd){ .fd = fd, .events = POLLIN };
    }
}

/* Takes what the peers say. 0, or -1 and why: not all will come. */
static int hear_peers(struct meeting *m)
{
    for (int i = 0; i < m->peers; i++) {
        struct message message;
        int rc = hear(m->peer[i].fd, &message);

        if (rc == 0)
            continue;
        if (rc < 0 && m->local_rank[i] < 0) { /* a look at who is there, or no rank at all */
            close_raw(m->peer[i].fd);
            m->peers--;
            m->peer[i] = m->peer[m->peers];
            m->local_rank[i] = m->local_rank[m->peers];
            i--;
            continue;
        }
        if (rc < 0) {
            snprintf(m->reason, m->size, "local rank %d of a node ended before the ranks had agreed to start MPI",
                     m->local_rank[i]);
            return -1;
        }
        if (message.layout != mioc_rendezvous_layout()) {
            snprintf(m->reason, m->size, "the ranks of a node have different versions of libmpiio_cache.so");
            return -1;
        }
        if (message.rights != m->rights) {
            snprintf(m->reason, m->size,
                     "the ranks of a node were started with different rights: not all have one user, groups, "
                     "capabilities and user namespace");
            return -1;
        }
        m->come += m->local_rank[i] < 0;
        m->local_rank[i] = message.local_rank >= 0 ? message.local_rank : 0;
    }
    return 0;
}

static int gather(struct meeting *m)
{
    /* Before the root's own deadline for the nodes, as the reason is better known here. */
    int64_t until = m->since + m->rendezvous->timeout_ms * 9 / 10;
    char span[32];

    while (m->come < m->tasks - 1) {
        int64_t now = mioc_pmi_now_ms(), wake = m->look_at < until ? m->look_at : until;

        m->peer[m->peers] = (struct pollfd){ .fd = m->listener, .events = POLLIN };
        if (now < wake)
            (void)poll(m->peer, (nfds_t)m->peers + 1, (int)(wake - now));
        admit(m);
        if (hear_peers(m) != 0)
            return -1;
        now = mioc_pmi_now_ms();
        if (m->come < m->tasks - 1 && look_beside(m, now) != 0)
            return -1;
        if (m->come < m->tasks - 1 && now >= until) {
            snprintf(m->reason, m->size, "of a node's %d ranks %d did not come within %s", m->tasks,
                     m->tasks - 1 - m->come, mioc_rendezvous_span(m->rendezvous->timeout_ms, span));
            return -1;
        }
    }
    return 0;
}

static int is_complete(void *ctx) { return hear_peers(ctx) == 0; }

static int lead(struct meeting *m)
{
    const struct mioc_rendezvous *rendezvous = m->rendezvous;
    int rc = rendezvous->look(rendezvous->ctx, m->reason, m->size);

    m->listener = -1;
    m->rights = mioc_credentials_rights(1);
    m->since = mioc_pmi_now_ms();
    m->look_at = m->since + FIRST_LOOK_MS;
    m->peer = calloc((size_t)m->tasks + STRANGERS + 1, sizeof *m->peer);
    m->local_rank = calloc((size_t)m->tasks + STRANGERS + 1, sizeof *m->local_rank);
    if (rc == 0 && (m->peer == NULL || m->local_rank == NULL ||
                    (m->tasks > 1 && (m->listener = listen_as(rendezvous->me, "meet")) < 0))) {
        snprintf(m->reason, m->size, "cannot meet the other ranks of this node: %s", strerror(errno));
        rc = -1;
    }
    if (rc == 0)
        rc = gather(m);
    if (rc != 0)
        mioc_rendezvous_decline(rendezvous, m->reason);
    else if (has_several_nodes(rendezvous))
        rc = mioc_rendezvous_nodes(rendezvous, is_complete, m, m->reason, m->size);
    for (int i = 0; i < m->peers; i++) {
        (void)say(m->peer[i].fd, rc == 0 ? KIND_GO : KIND_STAY, rendezvous->me, m->reason);
        close_raw(m->peer[i].fd);
    }
    close_raw(m->listener);
    free(m->peer);
    free(m->local_rank);
    return rc;
}

/* --- The others -------------------------------------------------------------------------------------------------- */

/* The leader's socket, or -1 and why. */
static int find_leader(struct meeting *m)
{
    int64_t until = m->since + m->rendezvous->timeout_ms;
    char span[32];

    for (;;) {
        int64_t now = mioc_pmi_now_ms();
        int fd = connect_to(m->rendezvous->me, "meet");

        if (fd >= 0)
            return fd;
        if (look_beside(m, now) != 0)
            return -1;
        if (now >= until) {
            snprintf(m->reason, m->size, "the first rank of a node did not come within %s",
                     mioc_rendezvous_span(m->rendezvous->timeout_ms, span));
            return -1;
        }
        nanosleep(&(struct timespec){ 0, NAP_MS * 1000000l }, NULL);
    }
}

static int follow(struct meeting *m)
{
    struct message message;
    int fd, rc = 0;

    m->since = mioc_pmi_now_ms();
    m->look_at = m->since + FIRST_LOOK_MS;
    fd = find_leader(m);
    if (fd >= 0 && say(fd, KIND_HELLO, m->rendezvous->me, "") != 0)
        rc = -1;
    while (fd >= 0 && rc == 0) {
        struct pollfd ready = { .fd = fd, .events = POLLIN };

        (void)poll(&ready, 1, -1);
        rc = hear(fd, &message);
    }
    if (fd >= 0 && rc < 0)
        snprintf(m->reason, m->size, "the first rank of a node ended before the ranks had agreed to start MPI");
    else if (fd >= 0 && message.kind != KIND_GO)
        snprintf(m->reason, m->size, "%s", message.reason);
    close_raw(fd);
    if (fd >= 0 && rc > 0)
        return message.kind == KIND_GO ? 0 : -1;
    mioc_rendezvous_decline(m->rendezvous, m->reason);
    return -1;
}

/* --- All --------------------------------------------------------------------------------------------------------- */

int mioc_rendezvous(const struct mioc_rendezvous *rendezvous, char *reason, size_t size)
{
    struct meeting meeting = { .rendezvous = rendezvous,
                               .look_every = FIRST_LOOK_MS,
                               .reason = reason,
                               .size = size,
                               .tasks = mioc_task_count_on_node(rendezvous->me, rendezvous->env) };
    int saved = errno, rc = -1;

    if (meeting.tasks < 1 || rendezvous->me->local_rank < 0)
        snprintf(reason, size, "the launcher does not say how many tasks this node has");
    else
        rc = rendezvous->me->local_rank == 0 ? lead(&meeting) : follow(&meeting);
    errno = saved;
    return rc;
}

/* hydra answers a second "init", MPI's; Slurm does not. */
void mioc_rendezvous_before_mpi(const struct mioc_task *me)
{
    int is_due;

    if (!mioc_rendezvous_nodes_has_spoken(&is_due))
        return;
    if (me->launcher == MIOC_LAUNCHER_SLURM)
        mioc_pmi_relay_open(is_due);
    else
        mioc_pmi_relay_release();
}

void mioc_rendezvous_after_mpi(void) { mioc_pmi_relay_release(); }

int mioc_rendezvous_settle(void)
{
    int is_due;

    if (!mioc_rendezvous_nodes_has_spoken(&is_due))
        return 0;
    mioc_pmi_relay_open(is_due);
    return 1;
}
