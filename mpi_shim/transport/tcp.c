/* SPDX-License-Identifier: BSD-3-Clause */
/* tcp.c - the operations of the TCP transport. */
#include "tcp_internal.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/real.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

/* One poll() looks at so many descriptors; then the caller's other work has its turn. */
#define LOOKS 64

/* --- Start ------------------------------------------------------------------------------------------------------- */

static int check_config(const struct mioc_tcp_config *config, char *reason, size_t size)
{
    if (config->nodes < 1 || config->node < 0 || config->node >= config->nodes || config->arity < 1)
        snprintf(reason, size, "node %d of %d: no such node", config->node, config->nodes);
    else if (config->port_first < 1 || config->port_first > config->port_last || config->port_last > 65535)
        snprintf(reason, size, "ports %u-%u: no such range", config->port_first, config->port_last);
    else if (strlen(config->step) >= MIOC_TCP_STEP_MAX)
        snprintf(reason, size, "the step's name is longer than %u characters", MIOC_TCP_STEP_MAX - 1);
    else if (sodium_init() < 0)
        snprintf(reason, size, "libsodium does not start");
    else
        return 0;
    return -1;
}

static void set_terms(struct mioc_transport *t)
{
    struct mioc_tcp_terms *terms = &t->terms;

    terms->node = t->config.node;
    terms->nodes = t->config.nodes;
    terms->arity = t->config.arity;
    terms->is_encrypted = t->config.is_encrypted != 0;
    terms->secret = t->config.secret;
    sodium_memzero(&t->config.secret, sizeof t->config.secret);
    crypto_generichash(terms->step, sizeof terms->step, (const unsigned char *)t->step, strlen(t->step), NULL, 0);
}

static int open_descriptors(struct mioc_transport *t, char *reason, size_t size)
{
    struct epoll_event event = { .events = EPOLLIN, .data = { .ptr = NULL } };

    t->terms.bell = mioc_tcp_bell_new();
    t->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (t->terms.bell != NULL && t->epoll >= 0 &&
        mioc_real(epoll_ctl)(t->epoll, EPOLL_CTL_ADD, t->terms.bell->fd, &event) == 0)
        return 0;
    snprintf(reason, size, "no descriptor for the network: %s", mioc_log_error(errno));
    return -1;
}

static void tcp_close(struct mioc_transport *t);

/* A leaf listens nowhere. Below an inner node that cannot listen, the grandparent takes the children. */
static int begin_to_listen(struct mioc_transport *t, const struct mioc_tcp_config *config, char *reason, size_t size)
{
    int is_leaf = config->node > (config->nodes - 2) / config->arity;

    if (config->nodes == 1 || is_leaf || mioc_tcp_listen(t, reason, size) == 0)
        return 0;
    if (config->node == 0)
        return -1;
    mioc_log(MIOC_LOG_INFO, "node %d: %s; its children go to its parent", config->node, reason);
    return 0;
}

int mioc_tcp_open(struct mioc_transport **instance, const struct mioc_tcp_config *config, char *reason, size_t size)
{
    struct mioc_transport *t;

    if (check_config(config, reason, size) != 0)
        return -1;
    t = calloc(1, sizeof *t);
    if (t == NULL) {
        snprintf(reason, size, "out of memory");
        return -1;
    }
    t->config = *config;
    t->epoll = -1;
    snprintf(t->step, sizeof t->step, "%s", config->step);
    t->config.step = t->step;
    set_terms(t);
    if (mioc_tcp_network_find(&t->network, config->interface != NULL ? config->interface : "", reason, size) != 0 ||
        open_descriptors(t, reason, size) != 0 || begin_to_listen(t, config, reason, size) != 0) {
        tcp_close(t);
        return -1;
    }
    mioc_tcp_search_init(t, config->parent);
    mioc_tcp_search_start(t, mioc_clock_ns());
    *instance = t;
    return 0;
}

unsigned mioc_tcp_port(const struct mioc_transport *t) { return t->listeners > 0 ? t->port : 0; }

unsigned mioc_tcp_refused(const struct mioc_transport *t) { return t->refused; }

/* --- What happens ------------------------------------------------------------------------------------------------ */

/* A child that joins anew has lost its old connection, even if nothing says so yet. */
static void welcome(struct mioc_transport *t, struct mioc_tcp_connection *c)
{
    if (c->ancestor >= 0)
        mioc_tcp_search_end(t, mioc_clock_ns());
    for (struct mioc_tcp_connection *at = t->joined; at != NULL; at = at->next)
        if (at != c && at->peer == c->peer && !at->is_dead)
            mioc_tcp_connection_end(at);
}

static void shake(struct mioc_transport *t, struct mioc_tcp_connection *c, uint64_t now)
{
    int is_attempt = c->ancestor >= 0, rc = mioc_tcp_connection_shake(t, c);

    if (rc > 0)
        welcome(t, c);
    else if (rc < 0 && is_attempt)
        mioc_tcp_search_hurry(t, now);
}

static void exchange(struct mioc_transport *t, struct mioc_tcp_connection *c)
{
    mioc_tcp_link_flush(&c->link);
    if (mioc_tcp_link_receive(&c->link) < 0) {
        if (errno == EBADMSG || errno == EMSGSIZE)
            mioc_log(MIOC_LOG_WARN,
                     "node %d: somebody alters what comes from node %d; the connection is closed. Tell your site",
                     t->config.node, c->peer);
        mioc_tcp_connection_end(c);
    } else
        mioc_tcp_connection_watch(t, c);
}

/* Proofs and names that are there now. A step frees its connection at most. */
static void hear_bell(struct mioc_transport *t, uint64_t now)
{
    struct mioc_tcp_connection *next;

    mioc_tcp_bell_clear(t->terms.bell);
    t->is_rung = 0;
    mioc_tcp_search_hurry(t, now);
    for (struct mioc_tcp_connection *c = t->shaking; c != NULL; c = next) {
        int is_attempt = c->ancestor >= 0;

        next = c->next;
        if (!mioc_tcp_handshake_is_proving(c->handshake))
            continue;
        shake(t, c, now);
        if (is_attempt && !t->search.is_on)
            return hear_bell(t, now); /* the other attempts are gone: `next` may be one */
    }
}

/* 0: nothing more happens now. */
static int look(struct mioc_transport *t, uint64_t now)
{
    struct epoll_event event;
    struct mioc_tcp_connection *c;
    int n = epoll_wait(t->epoll, &event, 1, 0);

    if (n <= 0)
        return 0;
    c = event.data.ptr;
    if (c == NULL)
        hear_bell(t, now);
    else if (event.data.ptr == t)
        mioc_tcp_accept(t, now);
    else if (c->handshake == NULL)
        exchange(t, c);
    else if (mioc_tcp_handshake_is_proving(c->handshake))
        mioc_tcp_connection_refuse(t, c, MIOC_TCP_GONE, "");
    else
        shake(t, c, now);
    return 1;
}

static void run_timers(struct mioc_transport *t, uint64_t now)
{
    struct mioc_tcp_connection *next;

    for (struct mioc_tcp_connection *c = t->shaking; c != NULL; c = next) {
        int is_attempt = c->ancestor >= 0;

        next = c->next;
        if (now < c->deadline)
            continue;
        mioc_tcp_connection_refuse(t, c, c->is_connecting ? MIOC_TCP_GONE : MIOC_TCP_SLOW, "");
        if (is_attempt)
            mioc_tcp_search_hurry(t, now);
    }
    mioc_tcp_search_go(t, now);
    mioc_tcp_listen_again(t, now);
}

static void tcp_poll(struct mioc_transport *t, struct mioc_event *event)
{
    uint64_t now;
    int looks = 0, is_told;

    *event = (struct mioc_event){ .kind = MIOC_EVENT_NONE };
    free(t->held);
    t->held = NULL;
    if (t->is_abandoned)
        return;
    now = mioc_clock_ns();
    run_timers(t, now);
    while ((is_told = mioc_tcp_event_take(t, event)) == 0 || event->kind == MIOC_EVENT_NONE)
        if (looks++ == LOOKS || (!is_told && !look(t, now)))
            break;
    if (!t->is_rung && mioc_tcp_event_is_due(t)) {
        t->is_rung = 1;
        mioc_tcp_bell_ring(t->terms.bell);
    }
}

/* --- The other operations ---------------------------------------------------------------------------------------- */

static int tcp_send(struct mioc_transport *t, int peer, void *message, size_t size)
{
    struct mioc_tcp_connection *c = t->joined;

    while (c != NULL && (c->peer != peer || c->is_dead || !c->is_reported))
        c = c->next;
    if (c == NULL || t->is_abandoned || size > MIOC_MESSAGE_MAX) {
        errno = size > MIOC_MESSAGE_MAX ? EMSGSIZE : EPIPE;
        return -1;
    }
    if (mioc_tcp_link_queue(&c->link, message, size) != 0)
        return -1;
    if ((c->watched & EPOLLOUT) == 0)
        mioc_tcp_link_flush(&c->link);
    mioc_tcp_connection_watch(t, c);
    if (!t->is_rung && mioc_tcp_event_has_sent(&c->link)) {
        t->is_rung = 1;
        mioc_tcp_bell_ring(t->terms.bell);
    }
    return 0;
}

static void tcp_hang_up(struct mioc_transport *t, int peer)
{
    for (struct mioc_tcp_connection *c = t->joined; c != NULL; c = c->next)
        if (c->peer == peer && c->is_reported && !c->is_dead) {
            mioc_tcp_connection_end(c);
            if (!t->is_rung)
                mioc_tcp_bell_ring(t->terms.bell);
            t->is_rung = 1;
            return;
        }
}

static int tcp_fd(struct mioc_transport *t) { return t->epoll; }

static uint64_t tcp_next(struct mioc_transport *t)
{
    uint64_t next = UINT64_MAX;

    if (t->is_abandoned)
        return next;
    for (const struct mioc_tcp_connection *c = t->shaking; c != NULL; c = c->next)
        next = c->deadline < next ? c->deadline : next;
    if (t->search.is_on && t->search.next < next)
        next = t->search.next;
    return t->deaf_until != 0 && t->deaf_until < next ? t->deaf_until : next;
}

/* What the other side sent last is read first: the kernel throws away what is on its way to the other side if a
 * connection is closed with something unread. */
static void part_from(struct mioc_tcp_connection *c)
{
    char bytes[4096];

    if (c->link.fd < 0 || c->handshake != NULL)
        return;
    for (int i = 0; i < LOOKS && recv(c->link.fd, bytes, sizeof bytes, MSG_DONTWAIT) > 0; i++)
        ;
}

static void tcp_abandon(struct mioc_transport *t)
{
    t->is_abandoned = 1;
    while (t->listeners > 0)
        mioc_real(close)(t->listener[--t->listeners]);
    t->search.is_on = 0;
    while (t->shaking != NULL)
        mioc_tcp_connection_free(t, t->shaking);
    while (t->joined != NULL) {
        part_from(t->joined);
        mioc_tcp_connection_free(t, t->joined);
    }
}

static void tcp_close(struct mioc_transport *t)
{
    tcp_abandon(t);
    mioc_tcp_search_free(t);
    mioc_tcp_bell_drop(t->terms.bell);
    if (t->epoll >= 0)
        mioc_real(close)(t->epoll);
    free(t->held);
    sodium_memzero(t, sizeof *t);
    free(t);
}

const struct mioc_transport_ops mioc_tcp_ops = {
    .abi = MIOC_TRANSPORT_ABI,
    .name = "tcp",
    .send = tcp_send,
    .poll = tcp_poll,
    .abandon = tcp_abandon,
    .fd = tcp_fd,
    .next = tcp_next,
    .hang_up = tcp_hang_up,
    .close = tcp_close,
};
