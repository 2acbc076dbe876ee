/* SPDX-License-Identifier: BSD-3-Clause */
/* tcp_address.c - addresses and ports. */
#include "tcp_address.h"
#include "base/hash.h"
#include "base/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

socklen_t mioc_tcp_address_size(const union mioc_tcp_address *address)
{
    return address->any.sa_family == AF_INET6 ? sizeof address->v6 : sizeof address->v4;
}

void mioc_tcp_address_set_port(union mioc_tcp_address *address, unsigned port)
{
    if (address->any.sa_family == AF_INET6)
        address->v6.sin6_port = htons((uint16_t)port);
    else
        address->v4.sin_port = htons((uint16_t)port);
}

void mioc_tcp_address_text(const union mioc_tcp_address *address, char *text, size_t size)
{
    char host[INET6_ADDRSTRLEN] = "?";
    int is_v6 = address->any.sa_family == AF_INET6;

    inet_ntop(address->any.sa_family,
              is_v6 ? (const void *)&address->v6.sin6_addr : (const void *)&address->v4.sin_addr, host, sizeof host);
    /* A dual-stack socket's IPv4 peer. */
    snprintf(text, size, "%s port %u", strncmp(host, "::ffff:", 7) == 0 ? host + 7 : host,
             ntohs(is_v6 ? address->v6.sin6_port : address->v4.sin_port));
}

unsigned mioc_tcp_port_of(const char *step, int node, unsigned try, unsigned first, unsigned last)
{
    char text[512];
    int n = snprintf(text, sizeof text, "%d/%u/%s", node, try, step);

    return first +
           (unsigned)(mioc_hash(text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1) % (last - first + 1));
}

/* --- Interfaces -------------------------------------------------------------------------------------------------- */

static const unsigned char *bytes_of(const union mioc_tcp_address *address, unsigned *bits)
{
    *bits = address->any.sa_family == AF_INET6 ? 128 : 32;
    return address->any.sa_family == AF_INET6 ? (const void *)&address->v6.sin6_addr
                                              : (const void *)&address->v4.sin_addr;
}

static int is_alike(const union mioc_tcp_address *a, const union mioc_tcp_address *b, unsigned prefix)
{
    unsigned bits, whole, rest;
    const unsigned char *left = bytes_of(a, &bits), *right = bytes_of(b, &bits);

    if (a->any.sa_family != b->any.sa_family)
        return 0;
    prefix = prefix < bits ? prefix : bits;
    whole = prefix / 8;
    rest = prefix % 8;
    return memcmp(left, right, whole) == 0 && (rest == 0 || ((left[whole] ^ right[whole]) >> (8 - rest)) == 0);
}

static int copy_address(union mioc_tcp_address *to, const struct sockaddr *from)
{
    if (from == NULL || (from->sa_family != AF_INET && from->sa_family != AF_INET6))
        return -1;
    memset(to, 0, sizeof *to);
    memcpy(to, from, from->sa_family == AF_INET6 ? sizeof to->v6 : sizeof to->v4);
    return 0;
}

static unsigned prefix_of(const struct sockaddr *mask)
{
    union mioc_tcp_address copy;
    unsigned bits, prefix = 0;
    const unsigned char *bytes;

    if (copy_address(&copy, mask) != 0)
        return 128;
    for (bytes = bytes_of(&copy, &bits); prefix < bits && (bytes[prefix / 8] >> (7 - prefix % 8) & 1) != 0; prefix++)
        ;
    return prefix;
}

int mioc_tcp_network_find(struct mioc_tcp_network *network, const char *interface, char *reason, size_t size)
{
    union mioc_tcp_address wanted = { .v4 = { .sin_family = AF_INET } }, found;
    struct ifaddrs *list, *at;
    int is_address = 1;

    network->n = 0;
    if (*interface == '\0')
        return 0;
    if (inet_pton(AF_INET, interface, &wanted.v4.sin_addr) != 1) {
        memset(&wanted, 0, sizeof wanted);
        wanted.v6.sin6_family = AF_INET6;
        is_address = inet_pton(AF_INET6, interface, &wanted.v6.sin6_addr) == 1;
    }
    if (getifaddrs(&list) != 0) {
        snprintf(reason, size, "the network interfaces cannot be listed: %s", mioc_log_error(errno));
        return -1;
    }
    for (at = list; at != NULL && network->n < MIOC_TCP_ADDRESSES; at = at->ifa_next)
        if (copy_address(&found, at->ifa_addr) == 0 &&
            (is_address ? is_alike(&found, &wanted, 128) : strcmp(at->ifa_name, interface) == 0)) {
            network->at[network->n].address = found;
            network->at[network->n++].prefix = prefix_of(at->ifa_netmask);
        }
    freeifaddrs(list);
    if (network->n > 0)
        return 0;
    snprintf(reason, size, "this node has no network interface %s with an address (MPIIO_CACHE_INTERFACE)", interface);
    return -1;
}

int mioc_tcp_network_has(const struct mioc_tcp_network *network, const union mioc_tcp_address *address)
{
    for (unsigned i = 0; i < network->n; i++)
        if (is_alike(&network->at[i].address, address, network->at[i].prefix))
            return 1;
    return 0;
}

/* --- Names ------------------------------------------------------------------------------------------------------- */

static int look_up(struct mioc_tcp_lookup *lookup, int flags)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = flags }, *list, *at;

    if (getaddrinfo(lookup->host, NULL, &hints, &list) != 0)
        return -1;
    for (at = list; at != NULL && lookup->n < MIOC_TCP_ADDRESSES; at = at->ai_next)
        if (copy_address(&lookup->address[lookup->n], at->ai_addr) == 0)
            lookup->n++;
    freeaddrinfo(list);
    return 0;
}

static void run_lookup(struct mioc_tcp_job *job) { (void)look_up((struct mioc_tcp_lookup *)job, 0); }

struct mioc_tcp_lookup *mioc_tcp_lookup_start(const char *host, struct mioc_tcp_bell *bell)
{
    struct mioc_tcp_lookup *lookup = calloc(1, sizeof *lookup);

    if (lookup == NULL)
        return NULL;
    lookup->job.run = run_lookup;
    lookup->job.size = sizeof *lookup;
    snprintf(lookup->host, sizeof lookup->host, "%s", host);
    if (look_up(lookup, AI_NUMERICHOST) == 0) {
        atomic_store(&lookup->job.owners, 1);
        atomic_store(&lookup->job.is_done, 1);
        return lookup;
    }
    return mioc_tcp_job_start(&lookup->job, bell) == 0 ? lookup : NULL;
}
