/* SPDX-License-Identifier: BSD-3-Clause */
/* agent_start.c - finds the agent of this node, or starts it: a process of its own.
 *
 * The first process of a node that locks the turn's file starts the agent. The others wait for the lock, and then find
 * the store. The starter waits until the agent has said what became of it. */
#include "agent_start.h"
#include "agent_path.h"
#include "agent_spawn.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/real.h"
#include "hydra_join.h"
#include "node/process.h"
#include "store/ring.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MS 1000000ull
/* How long a starter under hydra waits for its parent's name: names can be asked for before main() only. */
#define NAMES_NS (2000 * MS)
#define FIRST_PAUSE_NS (MS / 5)
#define MOST_PAUSE_NS (5 * MS)

struct start {
    const struct mioc_task *me;
    const struct mioc_config *config;
    const struct mioc_policy *policy;
    char *reason; /* out: why there is no store */
    size_t size;
    uint64_t until;
    int has_hydra; /* a job of several nodes under hydra */
    struct mioc_hydra_join hydra;
};

/* --- Whose turn it is -------------------------------------------------------------------------------------------- */

static int turn_path(const struct start *s, char *path, size_t size)
{
    int n = snprintf(path, size, "%s/" MIOC_STORE_PREFIX "%u-%016llx" MIOC_STORE_TURN, s->config->dir,
                     (unsigned)geteuid(), (unsigned long long)s->me->key);

    return n > 0 && (size_t)n < size ? 0 : -1;
}

/* Returns the file's descriptor, locked; or -1 with errno (EAGAIN: somebody else has the turn). */
static int take_turn(const char *path)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    int fd = mioc_real(open)(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600), error;
    struct stat st, now;

    if (fd < 0)
        return -1;
    if (mioc_real(fstat)(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid())
        error = EPERM;
    else if (mioc_real(fcntl)(fd, F_SETLK, &lock) != 0)
        error = errno == EACCES ? EAGAIN : errno;
    else if (mioc_real(lstat)(path, &now) != 0 || now.st_ino != st.st_ino || now.st_dev != st.st_dev)
        error = EAGAIN; /* the last one has removed it meanwhile */
    else
        return fd;
    mioc_real(close)(fd);
    errno = error;
    return -1;
}

static void give_turn(const char *path, int fd)
{
    (void)mioc_real(unlink)(path);
    mioc_real(close)(fd);
}

/* --- The conversation with a new agent --------------------------------------------------------------------------- */

/* Waits until the socket is ready. 0, or -1: the time is over. */
static int await(int fd, short events, uint64_t until)
{
    uint64_t now;

    while ((now = mioc_clock_ns()) < until) {
        struct pollfd ready = { .fd = fd, .events = events };

        if (poll(&ready, 1, (int)((until - now) / MS) + 1) > 0)
            return 0;
    }
    return -1;
}

static int send_all(int fd, const void *bytes, size_t size, uint64_t until)
{
    const char *at = bytes;

    while (size > 0) {
        ssize_t n;

        if (await(fd, POLLOUT, until) != 0)
            return -1;
        n = send(fd, at, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno != EINTR && errno != EAGAIN)
            return -1;
        if (n > 0) {
            at += n;
            size -= (size_t)n;
        }
    }
    return 0;
}

/* Reads a line. Its length without the newline; 0: the agent has ended without one; -1: it does not come in time. */
static ssize_t read_line(int fd, char *text, size_t size, uint64_t until)
{
    size_t got = 0;

    while (got < size - 1) {
        ssize_t n;

        if (await(fd, POLLIN, until) != 0)
            return -1;
        n = recv(fd, text + got, size - 1 - got, MSG_DONTWAIT);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (n <= 0)
            break;
        got += (size_t)n;
        if (text[got - 1] == '\n') {
            text[got - 1] = '\0';
            return (ssize_t)got - 1;
        }
    }
    return 0;
}

static int send_order(const struct start *s, int fd)
{
    struct mioc_agent_order *order =
        mmap(NULL, sizeof *order, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int rc;

    if (order == MAP_FAILED)
        return -1;
    order->version = mioc_agent_order_version();
    order->starter = getpid();
    order->task = *s->me;
    order->policy = *s->policy;
    if (s->me->launcher == MIOC_LAUNCHER_HYDRA)
        order->nodes = 1;
    if (s->has_hydra) {
        order->node = s->hydra.place.index;
        order->nodes = s->hydra.place.nodes;
        snprintf(order->step, sizeof order->step, "hydra %.240s", s->hydra.names.kvs);
    }
    rc = send_all(fd, order, sizeof *order, s->until);
    (void)munmap(order, sizeof *order);
    return rc;
}

/* 0: the agent has made its store; or -1 and the reason. */
static int take_status(const struct start *s, int fd)
{
    char text[MIOC_AGENT_STATUS_MAX];
    ssize_t n = read_line(fd, text, sizeof text, s->until);

    if (n > 0 && strcmp(text, MIOC_AGENT_OK) == 0)
        return 0;
    if (n < 0)
        snprintf(s->reason, s->size, "the node's agent did not come within %llu ms",
                 (unsigned long long)s->config->timeout_ms);
    else
        snprintf(s->reason, s->size, "%.250s", n > 0 ? text : "the node's agent ended before it had a store");
    return -1;
}

/* Under hydra the agent cannot ask for its parent: its starter does. Without an answer the node has a cache of its
 * own questions only, and they are all real calls; so it is not an error here. */
static void send_parent(struct start *s, int fd)
{
    uint64_t until = mioc_clock_ns() + NAMES_NS;
    struct mioc_agent_parent parent;

    memset(&parent, 0, sizeof parent);
    parent.is_known = mioc_hydra_join_parent(&s->hydra, until < s->until ? until : s->until, &parent) == 0;
    (void)mioc_io_send_fd(fd, &parent, sizeof parent, s->hydra.names.fd);
    if (!parent.is_known)
        mioc_log(MIOC_LOG_WARN,
                 "node %d does not reach the others: %s; it goes on uncached. See why that one is missing",
                 s->hydra.place.index, s->hydra.problem);
}

static int start_agent(struct start *s)
{
    char path[PATH_MAX];
    int pair[2], rc;

    if (mioc_agent_path(path, sizeof path) != 0) {
        snprintf(s->reason, s->size, "the agent program %.180s is missing", path);
        return -1;
    }
    if (s->has_hydra && mioc_hydra_join_begin(&s->hydra, s->me, environ, (int)s->config->timeout_ms) != 0) {
        snprintf(s->reason, s->size, "%s", s->hydra.problem);
        return -1;
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
        snprintf(s->reason, s->size, "cannot start the agent: %s", mioc_log_error(errno));
        return -1;
    }
    rc = mioc_agent_spawn(path, pair[1]);
    if (rc != 0)
        snprintf(s->reason, s->size, "cannot start the agent: %s", mioc_log_error(errno));
    mioc_real(close)(pair[1]);
    if (rc == 0) {
        (void)send_order(s, pair[0]); /* an agent that cannot take it says why, or ends */
        rc = take_status(s, pair[0]);
    }
    if (rc == 0 && s->has_hydra)
        send_parent(s, pair[0]);
    mioc_real(close)(pair[0]);
    return rc;
}

/* --- Finding or starting ----------------------------------------------------------------------------------------- */

/* Maps the step's store, if it is whole and its agent has not left it. Returns NULL otherwise. */
static struct mioc_store *attach(const struct start *s)
{
    char path[1024];
    struct mioc_store *store;

    if (mioc_store_find(s->config->dir, s->me->key, path, sizeof path) != 0 ||
        (store = mioc_store_attach(path)) == NULL)
        return NULL;
    if (mioc_store_get_state(store) != MIOC_STORE_LEFT && mioc_ring_nodes(mioc_store_ring(store)) != 0)
        return store;
    mioc_store_detach(store); /* not whole yet, or of Pythons that this task ran before: their agent is about to end */
    return NULL;
}

static void nap(uint64_t *pause)
{
    (void)nanosleep(&(struct timespec){ 0, (long)*pause }, NULL);
    *pause = *pause * 3 / 2 < MOST_PAUSE_NS ? *pause * 3 / 2 : MOST_PAUSE_NS;
}

static struct mioc_store *find_or_start(struct start *s)
{
    char path[PATH_MAX];
    uint64_t pause = FIRST_PAUSE_NS;
    int fd, error = ENAMETOOLONG;

    if (turn_path(s, path, sizeof path) == 0)
        do {
            struct mioc_store *store = attach(s);

            if (store != NULL)
                return store;
            fd = take_turn(path);
            error = errno;
            if (fd >= 0) {
                int rc = (store = attach(s)) != NULL ? 0 : start_agent(s);

                if (store == NULL && rc == 0)
                    store = attach(s); /* also when the time is over by now */
                give_turn(path, fd);
                if (store != NULL || rc != 0)
                    return store;
                error = EAGAIN;
            }
            nap(&pause);
        } while (error == EAGAIN && mioc_clock_ns() < s->until);
    snprintf(s->reason, s->size, "cannot use MPIIO_CACHE_DIR=%.150s: %s", s->config->dir,
             error == EAGAIN ? "no rank of this node could start the agent in time" : mioc_log_error(error));
    return NULL;
}

struct mioc_store *mioc_agent_start(const struct mioc_task *me, const struct mioc_config *config,
                                    const struct mioc_policy *policy, char *reason, size_t size)
{
    struct start s = { .me = me,
                       .config = config,
                       .policy = policy,
                       .reason = reason,
                       .size = size,
                       .until = mioc_clock_ns() + config->timeout_ms * MS };
    struct mioc_store *store;
    int saved = errno;

    s.has_hydra = me->launcher == MIOC_LAUNCHER_HYDRA && mioc_task_count_on_node(me, environ) != me->size;
    store = find_or_start(&s);
    errno = saved;
    return store;
}
