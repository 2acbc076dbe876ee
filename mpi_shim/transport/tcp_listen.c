/* SPDX-License-Identifier: BSD-3-Clause */
/* tcp_listen.c - the own port, and who comes to it. */
#include "tcp_internal.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/real.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define BACKLOG 128
/* So long nobody is accepted if there is no descriptor left. */
#define SHORTAGE_NS (100 * (uint64_t)MIOC_NS_PER_MS)

/* The listener, or -1 with errno. */
static int open_listener(const union mioc_tcp_address *address)
{
    int on = 1, off = 0, error;
    int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return -1;
    /* Without this, a port that an earlier job's connections still occupy could not be had for a minute. */
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (address->any.sa_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (mioc_real(bind)(fd, &address->any, mioc_tcp_address_size(address)) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    error = errno;
    mioc_real(close)(fd);
    errno = error;
    return -1;
}

static void close_listeners(struct mioc_transport *t)
{
    while (t->listeners > 0)
        mioc_real(close)(t->listener[--t->listeners]);
}

/* A listener for the port, watched; or -1 with errno. */
static int add_listener(struct mioc_transport *t, union mioc_tcp_address address, unsigned port)
{
    struct epoll_event event = { .events = EPOLLIN, .data = { .ptr = t } };
    int fd;

    mioc_tcp_address_set_port(&address, port);
    fd = open_listener(&address);
    if (fd < 0)
        return -1;
    t->listener[t->listeners++] = fd;
    return mioc_real(epoll_ctl)(t->epoll, EPOLL_CTL_ADD, fd, &event);
}

/* On all addresses, or on those of the interface that can be had: one of IPv6 may be there, and not be ready. */
static int listen_on(struct mioc_transport *t, unsigned port)
{
    union mioc_tcp_address v6 = { .v6 = { .sin6_family = AF_INET6 } }, v4 = { .v4 = { .sin_family = AF_INET } };
    int rc = 0, error;

    if (t->network.n == 0) {
        rc = add_listener(t, v6, port);
        if (rc != 0 && errno == EAFNOSUPPORT)
            rc = add_listener(t, v4, port);
    }
    for (unsigned i = 0; i < t->network.n && rc == 0; i++)
        if (add_listener(t, t->network.at[i].address, port) != 0 && errno != EADDRNOTAVAIL)
            rc = -1;
    if (rc == 0 && t->listeners > 0) {
        t->port = port;
        return 0;
    }
    error = errno;
    close_listeners(t);
    errno = error;
    return -1;
}

int mioc_tcp_listen(struct mioc_transport *t, char *reason, size_t size)
{
    const struct mioc_tcp_config *config = &t->config;

    for (unsigned try = 0; try < MIOC_TCP_TRIES; try++)
        if (listen_on(t, mioc_tcp_port_of(t->step, config->node, try, config->port_first, config->port_last)) == 0)
            return 0;
    snprintf(reason, size, "no port to listen on: none of %u of %u-%u can be had: %s", MIOC_TCP_TRIES,
             config->port_first, config->port_last, mioc_log_error(errno));
    return -1;
}

/* --- Strangers --------------------------------------------------------------------------------------------------- */

static int is_of_one_host(const struct mioc_tcp_connection *a, const struct mioc_tcp_connection *b)
{
    if (a->address.any.sa_family != b->address.any.sa_family)
        return 0;
    if (a->address.any.sa_family == AF_INET6)
        return memcmp(&a->address.v6.sin6_addr, &b->address.v6.sin6_addr, sizeof a->address.v6.sin6_addr) == 0;
    return a->address.v4.sin_addr.s_addr == b->address.v4.sin_addr.s_addr;
}

/* The oldest one of the host that has the most: so a host that sends many harms its own only. */
static struct mioc_tcp_connection *one_too_many(struct mioc_transport *t)
{
    struct mioc_tcp_connection *worst = NULL;
    unsigned most = 0;

    for (struct mioc_tcp_connection *a = t->shaking; a != NULL; a = a->next) {
        unsigned n = 0;

        for (struct mioc_tcp_connection *b = a; b != NULL && a->ancestor < 0; b = b->next)
            n += b->ancestor < 0 && is_of_one_host(a, b);
        if (n > most) {
            most = n;
            worst = a;
        }
    }
    return worst;
}

static void listen_for(struct mioc_transport *t, uint32_t events)
{
    struct epoll_event event = { .events = events, .data = { .ptr = t } };

    for (unsigned i = 0; i < t->listeners; i++)
        (void)mioc_real(epoll_ctl)(t->epoll, EPOLL_CTL_MOD, t->listener[i], &event);
}

void mioc_tcp_listen_again(struct mioc_transport *t, uint64_t now)
{
    if (t->deaf_until == 0 || now < t->deaf_until)
        return;
    t->deaf_until = 0;
    listen_for(t, EPOLLIN);
}

/* 1: somebody came. */
static int accept_one(struct mioc_transport *t, int listener, uint64_t now)
{
    union mioc_tcp_address address;
    socklen_t size = sizeof address;
    struct mioc_tcp_connection *c;
    int fd = accept4(listener, &address.any, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            t->deaf_until = now + SHORTAGE_NS;
            listen_for(t, 0);
        }
        return 0;
    }
    c = mioc_tcp_connection_new(t, fd, &address, -1, now);
    if (c != NULL)
        mioc_tcp_connection_watch(t, c);
    if (t->strangers > MIOC_TCP_STRANGERS)
        mioc_tcp_connection_refuse(t, one_too_many(t), MIOC_TCP_CROWDED, "");
    return 1;
}

void mioc_tcp_accept(struct mioc_transport *t, uint64_t now)
{
    for (unsigned i = 0; i < t->listeners; i++)
        for (unsigned n = 0; n < MIOC_TCP_STRANGERS && accept_one(t, t->listener[i], now); n++)
            ;
}
