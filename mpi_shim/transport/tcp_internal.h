/* SPDX-License-Identifier: BSD-3-Clause */
/* tcp_internal.h - what the TCP transport's files share; nobody else includes it.
 *
 *     tcp.c              the operations
 *     tcp_event.c        the order of the events
 *     tcp_listen.c       the own port, strangers
 *     tcp_search.c       an ancestor is looked for
 *     tcp_connection.c   one connection, from its first byte to its end
 *     tcp_handshake.h, tcp_link.h, tcp_address.h, tcp_worker.h */
#ifndef MIOC_TCP_INTERNAL_H
#define MIOC_TCP_INTERNAL_H

#include "tcp.h"
#include "tcp_address.h"
#include "tcp_handshake.h"

#define MIOC_TCP_STEP_MAX 512u
/* The most ancestors that a node looks for. */
#define MIOC_TCP_PLACES 24u

struct mioc_tcp_connection {
    struct mioc_tcp_connection *next;
    struct mioc_tcp_link link;
    struct mioc_tcp_handshake *handshake; /* NULL: it has joined */
    union mioc_tcp_address address;       /* of the other side */
    uint64_t deadline;                    /* of the handshake */
    int ancestor;                         /* whom it goes to; -1: it came here */
    unsigned candidate;                   /* of the search */
    int is_connecting;
    int peer;                 /* once it has joined */
    int is_reported, is_dead; /* JOINED was told; LOST is to be told */
    uint32_t watched;         /* the events of epoll */
};

/* An ancestor, and where it may be. */
struct mioc_tcp_place {
    int node;
    unsigned port;                  /* 0: as the step and the node say */
    char host[256];                 /* "": ask */
    struct mioc_tcp_lookup *lookup; /* under way, or with the addresses */
    int is_ready;                   /* the addresses can be used */
    uint64_t retry;                 /* no lookup before */
};

struct mioc_tcp_search {
    int is_on;
    uint64_t started, next; /* next: when the next attempt is due */
    uint64_t pause;         /* between two rounds */
    int is_pausing;
    unsigned candidate; /* of the round, from 0: place, try and address in one number */
    unsigned first;     /* the place that a round begins with */
    int has_found;      /* an ancestor was there once: all are tried in each round */
    uint64_t found;     /* when that was last */
    unsigned places;
    struct mioc_tcp_place place[MIOC_TCP_PLACES];
};

struct mioc_transport {
    struct mioc_tcp_config config; /* its strings are not used but `step` */
    char step[MIOC_TCP_STEP_MAX];
    struct mioc_tcp_terms terms;
    struct mioc_tcp_network network;
    int epoll;
    int is_rung; /* the bell, by this thread */
    int is_abandoned;
    int listener[MIOC_TCP_ADDRESSES];
    unsigned listeners, port;
    uint64_t deaf_until; /* no connection is accepted before: descriptors are short; 0: all is well */
    struct mioc_tcp_connection *shaking, *joined;
    unsigned strangers, attempts; /* how many of `shaking` came here, and go to an ancestor */
    void *held;                   /* the bytes of the last MESSAGE */
    unsigned refused, said;       /* said: a bit for each fault that was told */
    struct mioc_tcp_search search;
};

/* --- tcp_connection.c: `shaking` has all connections whose handshake is under way, oldest first ------------------- */

/* Takes the descriptor. Returns the connection, in `shaking`; or NULL, and the descriptor is closed. */
struct mioc_tcp_connection *mioc_tcp_connection_new(struct mioc_transport *t, int fd,
                                                    const union mioc_tcp_address *address, int ancestor, uint64_t now);
/* Watches it for what it waits for now. */
void mioc_tcp_connection_watch(struct mioc_transport *t, struct mioc_tcp_connection *c);
/* Counts it as refused and says why, once for each fault; then frees it. `reason` may be "". */
void mioc_tcp_connection_refuse(struct mioc_transport *t, struct mioc_tcp_connection *c, enum mioc_tcp_fault fault,
                                const char *reason);
/* Goes on with its handshake. 1: it has joined, and is in `joined`; 0; -1: it is refused and gone. */
int mioc_tcp_connection_shake(struct mioc_transport *t, struct mioc_tcp_connection *c);
/* Closes it and takes it out of its list. The queue's messages are not told. */
void mioc_tcp_connection_free(struct mioc_transport *t, struct mioc_tcp_connection *c);
/* A joined one has ended: closes it. Its events are still to be told. */
void mioc_tcp_connection_end(struct mioc_tcp_connection *c);

/* --- tcp_event.c ------------------------------------------------------------------------------------------------- */

/* Takes the next event; NONE if the connection's end concerns nobody. 1; or 0: there is none. */
int mioc_tcp_event_take(struct mioc_transport *t, struct mioc_event *event);
/* Whether there is one. */
int mioc_tcp_event_is_due(const struct mioc_transport *t);
/* Whether the oldest buffer is sent, and not given back yet. */
int mioc_tcp_event_has_sent(const struct mioc_tcp_link *link);

/* --- tcp_listen.c ------------------------------------------------------------------------------------------------- */

/* 0, or -1 with a reason. */
int mioc_tcp_listen(struct mioc_transport *t, char *reason, size_t size);
/* Lets in who waits. */
void mioc_tcp_accept(struct mioc_transport *t, uint64_t now);
/* Accepts again after a shortage of descriptors. */
void mioc_tcp_listen_again(struct mioc_transport *t, uint64_t now);

/* --- tcp_search.c ------------------------------------------------------------------------------------------------- */

/* Notes all ancestors. `parent`: as in the configuration. */
void mioc_tcp_search_init(struct mioc_transport *t, const char *parent);
void mioc_tcp_search_start(struct mioc_transport *t, uint64_t now);
/* The ancestor `lost` is not there any more, or does not take this node: begins with the one behind it. */
void mioc_tcp_search_again(struct mioc_transport *t, int lost, uint64_t now);
/* Makes the attempts that are due. */
void mioc_tcp_search_go(struct mioc_transport *t, uint64_t now);
/* An attempt failed, or a name is found: the next one need not wait. */
void mioc_tcp_search_hurry(struct mioc_transport *t, uint64_t now);
/* An ancestor is found: closes the other attempts. */
void mioc_tcp_search_end(struct mioc_transport *t, uint64_t now);
void mioc_tcp_search_free(struct mioc_transport *t);

#endif
