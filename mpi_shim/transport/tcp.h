/* SPDX-License-Identifier: BSD-3-Clause */
/* tcp.h - the transport over TCP: a tree of connections, each encrypted or authenticated, whose nodes come and go.
 *
 * Each node but the leaves listens on a port that follows from the step's name and its number. A child looks for its
 * parent on these ports, for ever; after 1 s it also tries the grandparent, and so on up to the root. After the LOST of
 * its parent it begins anew. README.md, "TCP", has the reasons and what an attacker can do.
 *
 * All in one thread, abandon() too. What may block (name lookup, MUNGE) runs in threads of its own. */
#ifndef MIOC_TCP_H
#define MIOC_TCP_H

#include "secret.h"
#include "transport.h"

/* Of so many ports each node listens on the first free one. */
#define MIOC_TCP_TRIES 8u
/* The most connections at a time that have proved nothing yet. */
#define MIOC_TCP_STRANGERS 16u
/* How long a handshake may take. */
#define MIOC_TCP_HANDSHAKE_NS 1000000000ull

struct mioc_tcp_config {
    int node, nodes, arity;         /* the tree: the parent of n is (n - 1) / arity */
    const char *step;               /* names the step: the same in all its nodes, and in no other step */
    unsigned port_first, port_last; /* MPIIO_CACHE_PORTS */
    const char *interface;          /* MPIIO_CACHE_INTERFACE, a name or an address: it listens there only, and prefers
                                       the parent's addresses on that network; "": any */
    int is_encrypted;               /* MPIIO_CACHE_ENCRYPT; the same in all nodes */
    struct mioc_secret secret;
    /* Stores a node's host name or address. 0, or -1: unknown. In the transport's thread. */
    int (*host)(void *ctx, int node, char *name, size_t size);
    void *ctx;
    const char *parent; /* "host@port" of the parent, if it is known otherwise; or NULL */
};

/* Listens, and begins to look for the parent. Nothing of `config` is needed afterwards but `ctx`. Returns 0, or -1 with
 * a reason for people. */
int mioc_tcp_open(struct mioc_transport **t, const struct mioc_tcp_config *config, char *reason, size_t size);
/* Where it listens; 0: nowhere, as a leaf. */
unsigned mioc_tcp_port(const struct mioc_transport *t);
/* How many connections came to nothing: strangers, and ports of ancestors that somebody else holds. */
unsigned mioc_tcp_refused(const struct mioc_transport *t);

extern const struct mioc_transport_ops mioc_tcp_ops;

#endif
