/* SPDX-License-Identifier: BSD-3-Clause */
/* agent_start.c - finds the agent of this node, or starts it: a process of its own.
 *
 * The first process of a node that takes the turn starts the agent. The others sleep until it tells them that the store
 * is there. The starter does work of its own while the agent's program is loaded, and then waits until the agent has
 * said what became of it. */
#include "agent_start.h"
#include "agent_path.h"
#include "agent_spawn.h"
#include "store/store_turn.h"
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
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MS 1000000ull
/* How long a starter under hydra waits for its parent's name: names can be asked for before main() only. */
#define NAMES_NS (2000 * MS)

static struct start {
    const struct mioc_task *me;
    const struct mioc_config *config;
    const struct mioc_policy *policy;
    char *reason; /* out: why there is no store */
    size_t size;
    uint64_t until;
    struct mioc_store *store; /* NULL: not found yet */
    struct mioc_store_turn turn;
    int socket; /* to the agent that this process starts; -1: it starts none */
    struct mioc_agent_spawn spawn;
    int error;      /* errno: why there is neither; EAGAIN: somebody else has the turn */
    int has_failed; /* `reason` says why */
    int has_hydra;  /* a job of several nodes under hydra */
    struct mioc_hydra_join hydra;
} the_start;

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
    static struct mioc_agent_order order; /* too large for a stack; only its head is used */
    const struct mioc_policy *policy = s->policy;

    order.version = mioc_agent_order_version();
    order.starter = getpid();
    order.task = *s->me;
    memcpy(&order.policy, policy, offsetof(struct mioc_policy, prefix));
    if (s->me->launcher == MIOC_LAUNCHER_HYDRA && !s->me->has_hosts)
        order.nodes = 1;
    if (s->has_hydra) {
        order.node = s->hydra.place.index;
        order.nodes = s->hydra.place.nodes;
        snprintf(order.step, sizeof order.step, "hydra %.240s", s->hydra.names.kvs);
    }
    if (send_all(fd, &order, MIOC_AGENT_ORDER_HEAD, s->until) != 0 ||
        send_all(fd, policy->prefix, policy->count * sizeof policy->prefix[0], s->until) != 0)
        return -1;
    return send_all(fd, policy->exclude, policy->excludes * sizeof policy->exclude[0], s->until);
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

/* Under hydra the agent cannot ask for its parent: its starter does. */
static void send_parent(const struct start *s, const struct mioc_agent_parent *parent)
{
    (void)mioc_io_send_fd(s->socket, parent, sizeof *parent, s->hydra.names.fd);
}

/* Without an answer the node has a cache of its own questions only, and they are all real calls; so it is not an error
 * here. */
static void await_parent(struct start *s)
{
    uint64_t until = mioc_clock_ns() + NAMES_NS;
    struct mioc_agent_parent parent;

    if (mioc_hydra_join_await(&s->hydra, until < s->until ? until : s->until, &parent) != 0)
        mioc_log(MIOC_LOG_WARN,
                 "node %d does not reach the others: %s; it goes on uncached. See why that one is missing",
                 s->hydra.place.index, s->hydra.problem);
    send_parent(s, &parent);
}

/* Starts the agent's program, which is loaded while this process goes on. 0, or -1 and the reason. */
static int spawn(struct start *s)
{
    char path[PATH_MAX];
    int pair[2], rc, error;

    if (mioc_agent_path(path, sizeof path) != 0) {
        snprintf(s->reason, s->size, "the agent program %.180s is missing", path);
        return -1;
    }
    rc = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair);
    error = errno;
    if (rc == 0) {
        rc = mioc_agent_spawn_begin(&s->spawn, path, pair[1]);
        error = errno;
        mioc_real(close)(pair[1]);
        if (rc == 0)
            s->socket = pair[0];
        else
            mioc_real(close)(pair[0]);
    }
    if (rc != 0)
        snprintf(s->reason, s->size, "cannot start the agent: %s", mioc_log_error(error));
    return rc;
}

/* Tells the agent what it is for, and waits for its store. 0, or -1 and the reason. */
static int converse(struct start *s)
{
    struct mioc_agent_parent parent;
    int is_known = 0, rc;

    if (s->has_hydra && mioc_hydra_join_begin(&s->hydra, s->me, environ, (int)s->config->timeout_ms) != 0) {
        snprintf(s->reason, s->size, "%s", s->hydra.problem);
        return -1;
    }
    (void)send_order(s, s->socket); /* an agent that cannot take it says why, or ends */
    if (s->has_hydra) {             /* while the agent makes its store */
        mioc_hydra_join_publish(&s->hydra);
        is_known = mioc_hydra_join_look(&s->hydra, &parent) == 1;
        if (is_known)
            send_parent(s, &parent);
    }
    rc = take_status(s, s->socket);
    if (rc == 0 && s->has_hydra && !is_known)
        await_parent(s);
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

/* Looks once, and starts the agent if there is none and nobody else is about to. */
static void look_or_spawn(struct start *s)
{
    mioc_store_turn_note(&s->turn);
    s->store = attach(s);
    if (s->store != NULL)
        return;
    s->error = mioc_store_turn_take(&s->turn) == 0 ? 0 : errno;
    if (s->error != 0)
        return;
    s->store = attach(s); /* that of the last one that had the turn */
    s->has_failed = s->store == NULL && spawn(s) != 0;
}

static void say_not_started(const struct start *s, int error)
{
    if (s->spawn.error != 0)
        snprintf(s->reason, s->size, "cannot execute the agent program: %s", mioc_log_error(error));
    else
        snprintf(s->reason, s->size, "cannot start the agent: %s", mioc_log_error(error));
}

static void finish_agent(struct start *s)
{
    s->has_failed = converse(s) != 0;
    mioc_real(close)(s->socket);
    s->socket = -1;
    if (mioc_agent_spawn_end(&s->spawn, s->until) != 0 && s->has_failed && errno != ETIMEDOUT)
        say_not_started(s, errno);
    if (!s->has_failed)
        s->store = attach(s); /* also when the time is over by now */
    s->error = EAGAIN;        /* not there: its ranks have ended already, and the agent with them */
    mioc_store_turn_end(&s->turn);
}

void mioc_agent_begin(const struct mioc_task *me, const struct mioc_config *config, const struct mioc_policy *policy,
                      char *reason, size_t size)
{
    struct start *s = &the_start;
    int saved = errno;

    s->me = me;
    s->config = config;
    s->policy = policy;
    s->reason = reason;
    s->size = size;
    s->until = mioc_clock_ns() + config->timeout_ms * MS;
    s->socket = -1;
    s->has_hydra =
        me->launcher == MIOC_LAUNCHER_HYDRA && !me->has_hosts && mioc_task_count_on_node(me, environ) != me->size;
    s->error = ENAMETOOLONG;
    if (mioc_store_turn_begin(&s->turn, config->dir, me->key) == 0)
        look_or_spawn(s);
    errno = saved;
}

struct mioc_store *mioc_agent_await(void)
{
    struct start *s = &the_start;
    int saved = errno;

    while (s->store == NULL && !s->has_failed) {
        if (s->socket >= 0) {
            finish_agent(s);
        } else if (s->error == EAGAIN && mioc_clock_ns() < s->until) {
            mioc_store_turn_wait(&s->turn);
            look_or_spawn(s);
        } else {
            snprintf(s->reason, s->size, "cannot use MPIIO_CACHE_DIR=%.150s: %s", s->config->dir,
                     s->error == EAGAIN ? "no rank of this node could start the agent in time"
                                        : mioc_log_error(s->error));
            s->has_failed = 1;
        }
    }
    mioc_store_turn_end(&s->turn);
    errno = saved;
    return s->store;
}
