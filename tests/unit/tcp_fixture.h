/* SPDX-License-Identifier: BSD-3-Clause */
/* tcp_fixture.h - several nodes in one process, each with its TCP transport, on this machine's real sockets.
 *
 * The fixture waits as an agent does: it sleeps until a transport's fd() is readable or its next() has come. So a
 * transport that forgets to say that it has something to do hangs the test. */
#ifndef MIOC_TCP_FIXTURE_H
#define MIOC_TCP_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"
#include "transport/tcp.h"
#include "transport/tcp_address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TCP_NODES 32
#define TCP_PORT_FIRST 21000u
#define TCP_PORT_LAST 28999u
#define TCP_PATIENCE_NS 20000000000ull
#define NOBODY (-1)

static const struct mioc_transport_ops *const ops = &mioc_tcp_ops;

struct tcp_node {
    struct mioc_transport *t;
    int parent;                                              /* that has joined, or NOBODY */
    unsigned char is_child[TCP_NODES];                       /* that has joined */
    unsigned joins, losses;                                  /* JOINED, LOST without data */
    unsigned sent, returned;                                 /* SENT, LOST with data */
    unsigned messages;                                       /* MESSAGE */
    void (*taken)(int node, const struct mioc_event *event); /* looks at each event; may be NULL */
};

struct tcp_world {
    char step[64];
    struct mioc_tcp_config config; /* of the next node that is opened */
    struct tcp_node node[TCP_NODES];
    int nodes;
};
static struct tcp_world tcp;

static int tcp_host(void *ctx, int node, char *name, size_t size)
{
    (void)node;
    snprintf(name, size, "%s", (const char *)ctx);
    return 0;
}

/* A step of its own for each test: so it has ports of its own. */
static void tcp_begin(int nodes, int is_encrypted)
{
    static unsigned count;
    static const unsigned char key[32] = "any key, the same in all nodes";
    char reason[128];

    mioc_log_set_level(MIOC_LOG_ERROR); /* what is refused on purpose is no news */
    memset(&tcp, 0, sizeof tcp);
    snprintf(tcp.step, sizeof tcp.step, "test %d %u %llu", (int)getpid(), count++, (unsigned long long)mioc_clock_ns());
    tcp.nodes = nodes;
    tcp.config = (struct mioc_tcp_config){ .nodes = nodes,
                                           .arity = 4,
                                           .step = tcp.step,
                                           .port_first = TCP_PORT_FIRST,
                                           .port_last = TCP_PORT_LAST,
                                           .interface = "",
                                           .is_encrypted = is_encrypted,
                                           .host = tcp_host,
                                           .ctx = "127.0.0.1" };
    assert_int_equal(mioc_secret_from_bytes(&tcp.config.secret, key, tcp.step, reason, sizeof reason), 0);
    for (int i = 0; i < nodes; i++)
        tcp.node[i].parent = NOBODY;
}

static void tcp_open_node(int node)
{
    char reason[256] = "";

    tcp.config.node = node;
    if (mioc_tcp_open(&tcp.node[node].t, &tcp.config, reason, sizeof reason) != 0)
        fail_msg("node %d: %s", node, reason);
}

static void tcp_close_node(int node)
{
    if (tcp.node[node].t != NULL)
        ops->close(tcp.node[node].t);
    tcp.node[node].t = NULL;
    tcp.node[node].parent = NOBODY;
    memset(tcp.node[node].is_child, 0, sizeof tcp.node[node].is_child);
}

static void tcp_end(void)
{
    for (int i = 0; i < tcp.nodes; i++)
        tcp_close_node(i);
}

static void tcp_take(int node, const struct mioc_event *event)
{
    struct tcp_node *me = &tcp.node[node];

    assert_in_range(event->peer, 0, tcp.nodes - 1);
    switch (event->kind) {
    case MIOC_EVENT_JOINED:
        me->joins++;
        if (event->peer < node) {
            assert_int_equal(me->parent, NOBODY);
            me->parent = event->peer;
        } else {
            assert_false(me->is_child[event->peer]);
            me->is_child[event->peer] = 1;
        }
        break;
    case MIOC_EVENT_LOST:
        assert_true(event->peer < node ? me->parent == event->peer : me->is_child[event->peer]);
        if (event->data != NULL) {
            me->returned++;
            break;
        }
        me->losses++;
        if (event->peer < node)
            me->parent = NOBODY;
        else
            me->is_child[event->peer] = 0;
        break;
    case MIOC_EVENT_SENT: me->sent++; break;
    case MIOC_EVENT_MESSAGE:
        assert_true(event->peer < node ? me->parent == event->peer : me->is_child[event->peer]);
        assert_int_equal((uintptr_t)event->data % 8, 0);
        me->messages++;
        break;
    case MIOC_EVENT_NONE: break;
    }
    if (me->taken != NULL)
        me->taken(node, event);
}

/* All that there is to do at one node. */
static void tcp_poll_node(int node)
{
    struct mioc_event event;

    for (;;) {
        ops->poll(tcp.node[node].t, &event);
        if (event.kind == MIOC_EVENT_NONE)
            return;
        tcp_take(node, &event);
    }
}

/* Sleeps until a node has something to do or `until` is there, and does it. */
static void tcp_turn(uint64_t until)
{
    struct pollfd fds[TCP_NODES];
    int who[TCP_NODES];
    uint64_t next = until, now = mioc_clock_ns();
    nfds_t n = 0;
    struct timespec nap;

    for (int i = 0; i < tcp.nodes; i++) {
        if (tcp.node[i].t == NULL)
            continue;
        who[n] = i;
        fds[n++] = (struct pollfd){ .fd = ops->fd(tcp.node[i].t), .events = POLLIN };
        if (ops->next(tcp.node[i].t) < next)
            next = ops->next(tcp.node[i].t);
    }
    nap = mioc_clock_timespec(next > now ? next - now : 0);
    assert_true(ppoll(fds, n, &nap, NULL) >= 0);
    now = mioc_clock_ns();
    for (nfds_t i = 0; i < n; i++)
        if (fds[i].revents != 0 || ops->next(tcp.node[who[i]].t) <= now)
            tcp_poll_node(who[i]);
}

/* Goes on until the condition holds. */
#define TCP_UNTIL(condition) \
    do { \
        uint64_t until_ = mioc_clock_ns() + TCP_PATIENCE_NS; \
        while (!(condition)) { \
            if (mioc_clock_ns() >= until_) \
                fail_msg("in vain: %s", #condition); \
            tcp_turn(until_); \
        } \
    } while (0)

/* Goes on for so long. */
static inline void tcp_go_on(uint64_t ns)
{
    uint64_t until = mioc_clock_ns() + ns;

    while (mioc_clock_ns() < until)
        tcp_turn(until);
}

static inline int tcp_is_complete(void)
{
    for (int i = 1; i < tcp.nodes; i++)
        if (tcp.node[i].parent != (i - 1) / 4 || !tcp.node[(i - 1) / 4].is_child[i])
            return 0;
    return 1;
}

/* --- Plain sockets, for neighbours that are no nodes -------------------------------------------------------------- */

static inline struct sockaddr_in tcp_local(unsigned port)
{
    return (struct sockaddr_in){ .sin_family = AF_INET,
                                 .sin_port = htons((uint16_t)port),
                                 .sin_addr = { htonl(INADDR_LOOPBACK) } };
}

/* Listens there; -1: it cannot. */
static inline int tcp_squat(unsigned port)
{
    struct sockaddr_in any = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;

    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&any, sizeof any) == 0 && listen(fd, 64) == 0)
        return fd;
    close(fd);
    return -1;
}

static inline int tcp_dial(unsigned port)
{
    struct sockaddr_in there = tcp_local(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&there, sizeof there), 0);
    return fd;
}

#endif
