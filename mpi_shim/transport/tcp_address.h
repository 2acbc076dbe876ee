/* SPDX-License-Identifier: BSD-3-Clause */
/* tcp_address.h - addresses: of this node's interfaces, of a host by its name; and the ports of a node. One thread. */
#ifndef MIOC_TCP_ADDRESS_H
#define MIOC_TCP_ADDRESS_H

#include "tcp_worker.h"

#include <netinet/in.h>
#include <stdint.h>
#include <sys/socket.h>

#define MIOC_TCP_ADDRESSES 8u

union mioc_tcp_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/* Where to listen. */
struct mioc_tcp_network {
    unsigned n; /* 0: everywhere */
    struct {
        union mioc_tcp_address address;
        unsigned prefix; /* bits of the address that all of its network have */
    } at[MIOC_TCP_ADDRESSES];
};

/* The addresses of the interface of that name, or the one that has this address; "": none. 0, or -1 with a reason. */
int mioc_tcp_network_find(struct mioc_tcp_network *network, const char *interface, char *reason, size_t size);
/* Whether the address is on one of the networks. */
int mioc_tcp_network_has(const struct mioc_tcp_network *network, const union mioc_tcp_address *address);

/* The port of a node's try, from 0. Equal on all nodes. */
unsigned mioc_tcp_port_of(const char *step, int node, unsigned try, unsigned first, unsigned last);
socklen_t mioc_tcp_address_size(const union mioc_tcp_address *address);
void mioc_tcp_address_set_port(union mioc_tcp_address *address, unsigned port);
/* "192.0.2.1 port 21000" */
void mioc_tcp_address_text(const union mioc_tcp_address *address, char *text, size_t size);

/* A name that is looked up. */
struct mioc_tcp_lookup {
    struct mioc_tcp_job job;
    char host[256];
    unsigned n; /* 0: there is no such host, or nobody says */
    union mioc_tcp_address address[MIOC_TCP_ADDRESSES];
};

/* Looks the host up in a thread, which rings the bell; or at once if it is an address. NULL: not now. The caller calls
 * mioc_tcp_job_drop(). */
struct mioc_tcp_lookup *mioc_tcp_lookup_start(const char *host, struct mioc_tcp_bell *bell);

#endif
