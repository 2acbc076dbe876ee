/* SPDX-License-Identifier: BSD-3-Clause */
/* tcp_relay.h - somebody between a child and its parent, in a thread: hands frames on, writes them down, and does one
 * evil thing with one of them. */
#ifndef MIOC_TCP_RELAY_H
#define MIOC_TCP_RELAY_H

#include "tcp_fixture.h"
#include "transport/tcp_handshake.h"
#include "transport/tcp_link.h"

#include <pthread.h>
#include <stdatomic.h>

enum tcp_evil {
    TCP_HONEST,
    TCP_FLIP,    /* one bit of the frame's byte `at`, its length's 4 included */
    TCP_REPEAT,  /* the frame twice */
    TCP_SWAP,    /* it and the next one */
    TCP_DROP,    /* not at all */
    TCP_INJECT,  /* another frame before it */
    TCP_SHORTEN, /* one byte less, with a length that says so */
    TCP_TURN     /* it goes back to whom it comes from */
};
enum tcp_way { TCP_UP, TCP_DOWN }; /* from the child, from the parent */

/* The frames before a way is sealed. */
#define TCP_SHAKES_UP 3
#define TCP_SHAKES_DOWN 2

struct tcp_relay {
    int listener;
    unsigned port, to;
    pthread_t thread;
    atomic_int is_over;
    atomic_int ended; /* connections */
    /* What it does, in each connection: */
    enum tcp_evil evil;
    enum tcp_way way;
    unsigned frame;
    size_t at;
    int is_once; /* in the first connection only */
    atomic_int is_done;
    /* What it heard in the last connection. */
    unsigned char *heard[2];
    size_t heard_size[2];
};

struct tcp_way_state {
    int from, to;
    unsigned char *bytes; /* of frames that are not complete */
    size_t have;
    unsigned frames;
    unsigned char *kept; /* SWAP */
    size_t kept_size;
};

static inline void tcp_write(int fd, const void *bytes, size_t size)
{
    const char *at = bytes;

    while (size > 0) {
        ssize_t n = send(fd, at, size, MSG_NOSIGNAL);

        if (n <= 0)
            return; /* it has hung up: that is seen soon */
        at += n;
        size -= (size_t)n;
    }
}

static inline void tcp_do_evil(struct tcp_relay *relay, struct tcp_way_state *way, unsigned char *frame, size_t size)
{
    uint32_t length;

    atomic_store(&relay->is_done, 1);
    switch (relay->evil) {
    case TCP_HONEST: break;
    case TCP_FLIP: frame[relay->at < size ? relay->at : size - 1] ^= 1; break;
    case TCP_REPEAT: tcp_write(way->to, frame, size); break;
    case TCP_SWAP:
        way->kept = malloc(size);
        memcpy(way->kept, frame, size);
        way->kept_size = size;
        return;
    case TCP_DROP: return;
    case TCP_INJECT: {
        unsigned char other[4 + 100 + MIOC_TCP_SEAL] = { 100 };

        tcp_write(way->to, other, sizeof other);
        break;
    }
    case TCP_SHORTEN:
        memcpy(&length, frame, sizeof length);
        length--;
        memcpy(frame, &length, sizeof length);
        tcp_write(way->to, frame, 4 + length);
        tcp_write(way->to, frame + 4 + length + 1, size - 4 - length - 1);
        return;
    case TCP_TURN: tcp_write(way->from, frame, size); return;
    }
    tcp_write(way->to, frame, size);
}

static inline void tcp_hand_on(struct tcp_relay *relay, struct tcp_way_state *way, enum tcp_way which,
                               unsigned char *frame, size_t size)
{
    int is_it = which == relay->way && way->frames == relay->frame && relay->evil != TCP_HONEST &&
                !(relay->is_once && atomic_load(&relay->is_done));

    way->frames++;
    if (is_it) {
        tcp_do_evil(relay, way, frame, size);
        return;
    }
    tcp_write(way->to, frame, size);
    if (way->kept != NULL) {
        tcp_write(way->to, way->kept, way->kept_size);
        free(way->kept);
        way->kept = NULL;
    }
}

/* 0: that way is closed. */
static inline int tcp_carry(struct tcp_relay *relay, struct tcp_way_state *way, enum tcp_way which)
{
    static const size_t room = 2 * (MIOC_MESSAGE_MAX + 64);
    unsigned shakes = which == TCP_UP ? TCP_SHAKES_UP : TCP_SHAKES_DOWN;
    ssize_t n = recv(way->from, way->bytes + way->have, room - way->have, MSG_DONTWAIT);
    size_t at = 0;

    if (n <= 0)
        return n < 0 && (errno == EAGAIN || errno == EINTR);
    relay->heard[which] = realloc(relay->heard[which], relay->heard_size[which] + (size_t)n);
    memcpy(relay->heard[which] + relay->heard_size[which], way->bytes + way->have, (size_t)n);
    relay->heard_size[which] += (size_t)n;
    way->have += (size_t)n;
    for (;;) {
        uint32_t length;
        size_t size;

        if (way->have - at < sizeof length)
            break;
        memcpy(&length, way->bytes + at, sizeof length);
        size = sizeof length + length + (way->frames < shakes ? 0 : MIOC_TCP_SEAL);
        if (way->have - at < size)
            break;
        tcp_hand_on(relay, way, which, way->bytes + at, size);
        at += size;
    }
    memmove(way->bytes, way->bytes + at, way->have - at);
    way->have -= at;
    return 1;
}

static inline void tcp_serve(struct tcp_relay *relay, int child, int parent)
{
    struct tcp_way_state ways[2] = { { .from = child, .to = parent }, { .from = parent, .to = child } };

    for (int i = 0; i < 2; i++) {
        ways[i].bytes = malloc(2 * (MIOC_MESSAGE_MAX + 64));
        free(relay->heard[i]);
        relay->heard[i] = NULL;
        relay->heard_size[i] = 0;
    }
    while (!atomic_load(&relay->is_over)) {
        struct pollfd fds[2] = { { .fd = child, .events = POLLIN }, { .fd = parent, .events = POLLIN } };

        if (poll(fds, 2, 20) <= 0)
            continue;
        if ((fds[0].revents != 0 && !tcp_carry(relay, &ways[0], TCP_UP)) ||
            (fds[1].revents != 0 && !tcp_carry(relay, &ways[1], TCP_DOWN)))
            break;
    }
    for (int i = 0; i < 2; i++) {
        free(ways[i].bytes);
        free(ways[i].kept);
    }
}

static inline void *tcp_run_relay(void *arg)
{
    struct tcp_relay *relay = arg;

    while (!atomic_load(&relay->is_over)) {
        struct pollfd fd = { .fd = relay->listener, .events = POLLIN };
        int child, parent;
        struct sockaddr_in there = tcp_local(relay->to);

        if (poll(&fd, 1, 20) <= 0)
            continue;
        child = accept4(relay->listener, NULL, NULL, SOCK_CLOEXEC);
        if (child < 0)
            continue;
        parent = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connect(parent, (struct sockaddr *)&there, sizeof there) == 0)
            tcp_serve(relay, child, parent);
        close(parent);
        close(child);
        atomic_fetch_add(&relay->ended, 1);
    }
    return NULL;
}

/* Node 1 is to look for its parent there: text becomes what the configuration wants. */
static inline void tcp_relay_start(struct tcp_relay *relay, unsigned to, char *text, size_t size)
{
    struct sockaddr_in here;
    socklen_t length = sizeof here;

    relay->listener = tcp_squat(0);
    assert_true(relay->listener >= 0);
    assert_int_equal(getsockname(relay->listener, (struct sockaddr *)&here, &length), 0);
    relay->port = ntohs(here.sin_port);
    relay->to = to;
    snprintf(text, size, "127.0.0.1@%u", relay->port);
    assert_int_equal(pthread_create(&relay->thread, NULL, tcp_run_relay, relay), 0);
}

static inline void tcp_relay_stop(struct tcp_relay *relay)
{
    atomic_store(&relay->is_over, 1);
    assert_int_equal(pthread_join(relay->thread, NULL), 0);
    close(relay->listener);
}

static inline void tcp_relay_free(struct tcp_relay *relay)
{
    free(relay->heard[0]);
    free(relay->heard[1]);
}

#endif
