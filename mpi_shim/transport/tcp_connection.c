/* SPDX-License-Identifier: BSD-3-Clause */
/* tcp_connection.c - one connection: its lists, its handshake's deadline, what is said when it is refused. */
#include "tcp_internal.h"
#include "base/log.h"
#include "base/real.h"

#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#define UNWATCHED UINT32_MAX

static void append(struct mioc_tcp_connection **list, struct mioc_tcp_connection *c)
{
    while (*list != NULL)
        list = &(*list)->next;
    c->next = NULL;
    *list = c;
}

static void take_out(struct mioc_tcp_connection **list, struct mioc_tcp_connection *c)
{
    for (; *list != NULL; list = &(*list)->next)
        if (*list == c) {
            *list = c->next;
            return;
        }
}

/* The kernel asks a host that is silent for a minute whether it is still there. An answer wakes nobody. */
static void set_options(int fd)
{
    int one = 1, idle = 30, interval = 10, probes = 3;

    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
}

struct mioc_tcp_connection *mioc_tcp_connection_new(struct mioc_transport *t, int fd,
                                                    const union mioc_tcp_address *address, int ancestor, uint64_t now)
{
    struct mioc_tcp_connection *c = calloc(1, sizeof *c);
    struct mioc_tcp_handshake *handshake = c != NULL ? mioc_tcp_handshake_new(&t->terms, ancestor) : NULL;

    if (handshake == NULL) {
        mioc_real(close)(fd);
        free(c);
        return NULL;
    }
    set_options(fd);
    c->link.fd = fd;
    c->handshake = handshake;
    c->address = *address;
    c->ancestor = ancestor;
    c->peer = -1;
    c->watched = UNWATCHED;
    c->deadline = now + MIOC_TCP_HANDSHAKE_NS;
    append(&t->shaking, c);
    *(ancestor < 0 ? &t->strangers : &t->attempts) += 1;
    return c;
}

static uint32_t wanted(const struct mioc_tcp_connection *c)
{
    if (c->is_connecting)
        return EPOLLOUT;
    if (c->handshake == NULL)
        return mioc_tcp_link_wanted(&c->link);
    /* Only an end matters while a proof is made. */
    return mioc_tcp_handshake_is_proving(c->handshake) ? EPOLLRDHUP : mioc_tcp_link_wanted(&c->link);
}

void mioc_tcp_connection_watch(struct mioc_transport *t, struct mioc_tcp_connection *c)
{
    uint32_t events = wanted(c);
    struct epoll_event event = { .events = events, .data = { .ptr = c } };

    if (c->link.fd < 0 || events == c->watched)
        return;
    if (mioc_real(epoll_ctl)(t->epoll, c->watched == UNWATCHED ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, c->link.fd, &event) ==
        0)
        c->watched = events;
    else if (c->watched == UNWATCHED)
        c->deadline = 0; /* it will never be heard */
}

void mioc_tcp_connection_free(struct mioc_transport *t, struct mioc_tcp_connection *c)
{
    if (c->handshake != NULL)
        *(c->ancestor < 0 ? &t->strangers : &t->attempts) -= 1;
    take_out(c->handshake != NULL ? &t->shaking : &t->joined, c);
    mioc_tcp_handshake_free(c->handshake);
    mioc_tcp_link_close(&c->link);
    free(c);
}

/* Which faults are said, and how. OTHER and GONE are normal: ports can collide, and who found its parent elsewhere
 * hangs up. */
static const struct {
    enum mioc_log_level level;
    const char *comes, *is_asked; /* what is said of one that came here, and of one that this node went to */
    const char *remedy;
} words[MIOC_TCP_FAULTS] = {
    [MIOC_TCP_SPEECH] = { MIOC_LOG_INFO, "says nothing that a node says", "says nothing that a node says",
                          "Give MPIIO_CACHE_PORTS a range that others do not use" },
    [MIOC_TCP_RELEASE] = { MIOC_LOG_WARN, "is of another version of mpiio_cache",
                           "is of another version of mpiio_cache", "Install one version on all nodes" },
    [MIOC_TCP_ENCRYPT] = { MIOC_LOG_WARN, "has another MPIIO_CACHE_ENCRYPT", "has another MPIIO_CACHE_ENCRYPT",
                           "Set it alike on all nodes" },
    [MIOC_TCP_SECRET] = { MIOC_LOG_WARN, "says that it is of this step, and does not have the step's secret",
                          "sits on a port of this step, and does not have the step's secret",
                          "All nodes need the same MPIIO_CACHE_KEYFILE, or MUNGE; if they have it, tell your site" },
    [MIOC_TCP_OURS] = { MIOC_LOG_WARN, "cannot be let in: this node cannot prove that it is of the step",
                        "cannot be joined: this node cannot prove that it is of the step",
                        "See that munged runs, or name a key file by MPIIO_CACHE_KEYFILE" },
    [MIOC_TCP_SLOW] = { MIOC_LOG_INFO, "says too little within a second", "does not answer within a second",
                        "If it is a node of the step, it has too much to do" },
    [MIOC_TCP_CROWDED] = { MIOC_LOG_WARN, "is one of too many at a time that have not said who they are", "",
                           "Tell your site, if they are no nodes of the step" },
};

void mioc_tcp_connection_refuse(struct mioc_transport *t, struct mioc_tcp_connection *c, enum mioc_tcp_fault fault,
                                const char *reason)
{
    const char *text = c->ancestor < 0 ? words[fault].comes : words[fault].is_asked;
    char who[80];

    if (fault != MIOC_TCP_GONE && fault != MIOC_TCP_OTHER)
        t->refused++;
    if (text != NULL && (t->said >> fault & 1) == 0) {
        t->said |= 1u << fault;
        mioc_tcp_address_text(&c->address, who, sizeof who);
        mioc_log(words[fault].level, "%s %s%s%s%s; it is refused, and so are others like it. %s", who, text,
                 *reason != '\0' ? " (" : "", reason, *reason != '\0' ? ")" : "", words[fault].remedy);
    }
    mioc_tcp_connection_free(t, c);
}

int mioc_tcp_connection_shake(struct mioc_transport *t, struct mioc_tcp_connection *c)
{
    enum mioc_tcp_fault fault;
    char reason[200];
    int rc;

    if (c->is_connecting) {
        int error = 0;
        socklen_t size = sizeof error;

        if (getsockopt(c->link.fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0) {
            mioc_tcp_connection_refuse(t, c, MIOC_TCP_GONE, "");
            return -1;
        }
        c->is_connecting = 0;
    }
    rc = mioc_tcp_handshake_step(c->handshake, &c->link, &c->peer, &fault, reason, sizeof reason);
    if (rc < 0) {
        mioc_tcp_connection_refuse(t, c, fault, reason);
        return -1;
    }
    if (rc > 0) {
        *(c->ancestor < 0 ? &t->strangers : &t->attempts) -= 1;
        take_out(&t->shaking, c);
        append(&t->joined, c);
        mioc_tcp_handshake_free(c->handshake);
        c->handshake = NULL;
    }
    mioc_tcp_connection_watch(t, c);
    return rc;
}

void mioc_tcp_connection_end(struct mioc_tcp_connection *c)
{
    c->is_dead = 1;
    mioc_tcp_link_close(&c->link);
}
