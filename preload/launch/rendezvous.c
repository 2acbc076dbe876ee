/* SPDX-License-Identifier: BSD-3-Clause */
/* rendezvous.c - the ranks of a node meet at their leader's socket, and hear there whether all ranks of the job start
 * MPI (MPI.md). */
#include "rendezvous.h"
#include "base/real.h"
#include "job/pmi.h"
#include "base/proc.h"
#include "base/credentials.h"

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

/* How long a rank sleeps between two tries to reach the leader. */
#define NAP_MS 2
/* When a task first looks at the tasks beside it, and the longest time between two looks. */
#define FIRST_LOOK_MS 20
#define MOST_LOOK_MS 160
/* A leader accepts so many more connections than its node has tasks. */
#define STRANGERS 16

enum kind { KIND_HELLO, KIND_GO, KIND_STAY };

/* What a rank and its leader say to each other, in the node's own byte order. */
struct message {
    uint32_t magic;
    int32_t kind, local_rank;
    uint32_t pad;
    uint64_t layout;
    uint64_t rights; /* must be equal: UCX reads other ranks' memory by /proc, and MPI ends where it may not */
    char reason[248];
};

struct meeting {
    const struct mioc_rendezvous *rendezvous;
    int listener;
    int tasks, peers, come; /* tasks of this node; connections; ranks that have said hello, the leader not counted */
    struct pollfd *peer;    /* connections; [peers] is the listener */
    int *local_rank;        /* of each connection, -1 until it has said hello */
    int64_t since, look_at, look_every; /* ms: the start; the next look beside; the time between two looks */
    uint64_t rights;
    char *reason;
    size_t size;
};

/* The socket "stay", which tells late tasks of this node that the job stays dormant. The process holds it for life. */
static int mark = -1;

/* --- Sockets ----------------------------------------------------------------------------------------------------- */

static void close_raw(int fd)
{
    if (fd >= 0)
        syscall(SYS_close, fd);
}

/* Fills in the abstract name of a socket of this job step on this node. Returns the address's length. */
static socklen_t name_socket(struct sockaddr_un *address, const struct mioc_task *me, const char *what)
{
    int length;

    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    length = snprintf(address->sun_path + 1, sizeof address->sun_path - 1, "mpiio_cache-%lu-%016llx-%s",
                      (unsigned long)geteuid(), (unsigned long long)me->key, what);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
}

/* Returns a socket that listens under that name, or -1 with errno: EADDRINUSE where another process does. */
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

/* Whether the other end is a process of this user: another user may have taken the name. */
static int is_ours(int fd)
{
    struct ucred peer;
    socklen_t size = sizeof peer;

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == geteuid();
}

/* Returns a connection to whoever listens under that name, or -1. */
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

/* Whether a task of this node has declined. */
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

/* 1: a message; 0: nothing yet; -1: the other end is closed, or what it says is malformed. */
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

/* Whether this node must agree with others. Not where the process manager speaks PMIx: Open MPI's launchers and Slurm's
 * PMIx have no name service in common, so there each node agrees for itself. */
static int has_several_nodes(const struct mioc_rendezvous *rendezvous)
{
    return !rendezvous->me->has_pmix &&
           mioc_task_count_on_node(rendezvous->me, rendezvous->env) != rendezvous->me->size;
}

/* Only one task of a node gets the socket "stay"; that task tells the other nodes. */
void mioc_rendezvous_decline(const struct mioc_rendezvous *rendezvous, const char *reason)
{
    int saved = errno;

    mark = listen_as(rendezvous->me, "stay");
    if (mark >= 0 && has_several_nodes(rendezvous))
        mioc_rendezvous_nodes_decline(rendezvous, reason);
    errno = saved;
}

/* Looks, less and less often, whether a task of this node will certainly not come. 0, or -1 and the reason. */
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

/* Accepts the connections that wait, but those of other users. */
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

/* Reads what the peers say. 0, or -1 and the reason: not all will come. */
static int hear_peers(struct meeting *m)
{
    for (int i = 0; i < m->peers; i++) {
        struct message message;
        int rc = hear(m->peer[i].fd, &message);

        if (rc == 0)
            continue;
        if (rc < 0 && m->local_rank[i] < 0) { /* a connection that never said hello is no rank's */
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

/* Waits until all tasks of this node have come. 0, or -1 and the reason. */
static int gather(struct meeting *m)
{
    /* This ends before the root's deadline for the nodes, because this node knows the better reason. */
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

/* Returns a connection to the leader, or -1 and the reason. */
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
