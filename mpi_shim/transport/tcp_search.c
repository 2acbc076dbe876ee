/* SPDX-License-Identifier: BSD-3-Clause */
/* tcp_search.c - a child looks for its nearest ancestor that is there.
 *
 * A round tries each port and each address of the ancestors that are due: the parent, after 1 s the grandparent, too,
 * and so on. An attempt that is refused is followed by the next at once. One that gets no answer is followed after a
 * short while, and goes on beside it: so neither a host that drops packets nor a squatter that says nothing costs more
 * than that. Between two rounds there is a pause, which grows.
 *
 * Who loses its ancestor tries all of them at once, first the one behind it, and last the lost one again. */
#include "tcp_internal.h"
#include "base/clock.h"
#include "base/real.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAUSE_FIRST_NS 500000ull
#define PAUSE_SOON_NS 50000000ull /* the longest in the first seconds */
#define PAUSE_MOST_NS 1000000000ull
#define LEVEL_NS 1000000000ull                           /* so long before one more ancestor is tried */
#define BESIDE_NS 20000000ull                            /* so long before an attempt has company */
#define LASTING_NS 1000000000ull                         /* a link that lasts so long was one */
#define LOOKUP_NS 1000000000ull                          /* between two lookups of a name that is not found */
#define ATTEMPTS 16u                                     /* at a time */
#define AT_ONCE 64u                                      /* the most candidates in one call */
#define CANDIDATES (MIOC_TCP_TRIES * MIOC_TCP_ADDRESSES) /* of one place */

static void note_parent(struct mioc_tcp_place *place, const char *parent)
{
    const char *at = strrchr(parent, '@');

    if (at == NULL || (size_t)(at - parent) >= sizeof place->host)
        return;
    memcpy(place->host, parent, (size_t)(at - parent));
    place->host[at - parent] = '\0';
    place->port = (unsigned)strtoul(at + 1, NULL, 10);
}

void mioc_tcp_search_init(struct mioc_transport *t, const char *parent)
{
    struct mioc_tcp_search *search = &t->search;
    int node = t->config.node;

    while (node > 0) {
        node = search->places + 1 < MIOC_TCP_PLACES ? (node - 1) / t->config.arity : 0;
        search->place[search->places++].node = node;
    }
    if (search->places > 0 && parent != NULL)
        note_parent(&search->place[0], parent);
}

void mioc_tcp_search_start(struct mioc_transport *t, uint64_t now)
{
    struct mioc_tcp_search *search = &t->search;

    search->is_on = search->places > 0;
    search->started = search->next = now;
    search->pause = PAUSE_FIRST_NS;
    search->is_pausing = 0;
    search->candidate = 0;
}

void mioc_tcp_search_again(struct mioc_transport *t, int lost, uint64_t now)
{
    struct mioc_tcp_search *search = &t->search;
    uint64_t pause = search->pause;

    mioc_tcp_search_start(t, now);
    for (unsigned i = 0; i < search->places; i++)
        if (search->place[i].node == lost)
            search->first = (i + 1) % search->places;
    search->has_found = 1;
    if (now - search->found >= LASTING_NS)
        return;
    /* Nobody has taken this node, perhaps, but all let it in. */
    search->next = now + pause;
    search->pause = pause * 3 / 2 < PAUSE_MOST_NS ? pause * 3 / 2 : PAUSE_MOST_NS;
}

static void end_round(struct mioc_tcp_search *search, uint64_t now)
{
    uint64_t most = (now - search->started) / 100;

    most = most < PAUSE_SOON_NS ? PAUSE_SOON_NS : most > PAUSE_MOST_NS ? PAUSE_MOST_NS : most;
    search->next = now + search->pause;
    search->pause = search->pause * 3 / 2 < most ? search->pause * 3 / 2 : most;
    search->is_pausing = 1;
    search->candidate = 0;
}

/* --- Addresses --------------------------------------------------------------------------------------------------- */

/* Those on the network that is preferred come first. */
static void sort_addresses(const struct mioc_tcp_network *network, struct mioc_tcp_lookup *lookup)
{
    unsigned to = 0;

    for (unsigned i = 0; i < lookup->n; i++)
        if (mioc_tcp_network_has(network, &lookup->address[i])) {
            union mioc_tcp_address found = lookup->address[i];

            memmove(&lookup->address[to + 1], &lookup->address[to], (i - to) * sizeof found);
            lookup->address[to++] = found;
        }
}

/* Whether the place's addresses are known. Starts to find them. */
static int is_located(struct mioc_transport *t, struct mioc_tcp_place *place, uint64_t now)
{
    char host[sizeof place->host];

    if (place->is_ready)
        return 1;
    if (place->lookup == NULL) {
        if (now < place->retry)
            return 0;
        place->retry = now + LOOKUP_NS;
        snprintf(host, sizeof host, "%s", place->host);
        if (*host == '\0' &&
            (t->config.host == NULL || t->config.host(t->config.ctx, place->node, host, sizeof host) != 0))
            return 0;
        place->lookup = mioc_tcp_lookup_start(host, t->terms.bell);
    }
    if (place->lookup == NULL || !mioc_tcp_job_is_done(&place->lookup->job))
        return 0;
    if (place->lookup->n == 0) {
        mioc_tcp_job_drop(&place->lookup->job);
        place->lookup = NULL;
        return 0;
    }
    sort_addresses(&t->network, place->lookup);
    place->is_ready = 1;
    return 1;
}

/* --- Attempts ---------------------------------------------------------------------------------------------------- */

static int is_under_way(const struct mioc_transport *t, unsigned candidate)
{
    for (const struct mioc_tcp_connection *c = t->shaking; c != NULL; c = c->next)
        if (c->ancestor >= 0 && c->candidate == candidate)
            return 1;
    return 0;
}

/* 1: it is under way. */
static int try_one(struct mioc_transport *t, const struct mioc_tcp_place *place, unsigned candidate, uint64_t now)
{
    const struct mioc_tcp_config *config = &t->config;
    unsigned try = candidate / MIOC_TCP_ADDRESSES % MIOC_TCP_TRIES;
    union mioc_tcp_address address = place->lookup->address[candidate % MIOC_TCP_ADDRESSES];
    struct mioc_tcp_connection *c;
    int fd, rc;

    mioc_tcp_address_set_port(&address, place->port != 0 ? place->port
                                                         : mioc_tcp_port_of(t->step, place->node, try,
                                                                            config->port_first, config->port_last));
    fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return 0;
    do
        rc = connect(fd, &address.any, mioc_tcp_address_size(&address));
    while (rc != 0 && errno == EINTR);
    if (rc != 0 && errno != EINPROGRESS && errno != EALREADY) {
        mioc_real(close)(fd);
        return 0;
    }
    c = mioc_tcp_connection_new(t, fd, &address, place->node, now);
    if (c == NULL)
        return 0;
    c->candidate = candidate;
    c->is_connecting = 1;
    mioc_tcp_connection_watch(t, c);
    return 1;
}

void mioc_tcp_search_go(struct mioc_transport *t, uint64_t now)
{
    struct mioc_tcp_search *search = &t->search;
    uint64_t levels = search->has_found ? search->places : 1 + (now - search->started) / LEVEL_NS;
    unsigned end = (levels < search->places ? (unsigned)levels : search->places) * CANDIDATES;

    if (!search->is_on || now < search->next)
        return;
    search->is_pausing = 0;
    for (unsigned tried = 0; search->candidate < end && tried < AT_ONCE;) {
        unsigned candidate = search->candidate, try = candidate / MIOC_TCP_ADDRESSES % MIOC_TCP_TRIES;
        struct mioc_tcp_place *place = &search->place[(candidate / CANDIDATES + search->first) % search->places];

        if (!is_located(t, place, now)) {
            search->candidate = (candidate / CANDIDATES + 1) * CANDIDATES;
            continue;
        }
        if (t->attempts >= ATTEMPTS) {
            search->next = now + BESIDE_NS;
            return;
        }
        search->candidate++;
        if (candidate % MIOC_TCP_ADDRESSES >= place->lookup->n || (place->port != 0 && try > 0) ||
            is_under_way(t, candidate))
            continue;
        tried++;
        if (try_one(t, place, candidate, now)) {
            search->next = now + BESIDE_NS;
            return;
        }
    }
    if (search->candidate >= end)
        end_round(search, now);
}

void mioc_tcp_search_hurry(struct mioc_transport *t, uint64_t now)
{
    struct mioc_tcp_search *search = &t->search;

    if (search->is_on && !search->is_pausing && now < search->next)
        search->next = now;
}

void mioc_tcp_search_end(struct mioc_transport *t, uint64_t now)
{
    struct mioc_tcp_connection *next;

    t->search.is_on = 0;
    t->search.found = now;
    for (struct mioc_tcp_connection *c = t->shaking; c != NULL; c = next) {
        next = c->next;
        if (c->ancestor >= 0)
            mioc_tcp_connection_free(t, c);
    }
}

void mioc_tcp_search_free(struct mioc_transport *t)
{
    for (unsigned i = 0; i < t->search.places; i++)
        if (t->search.place[i].lookup != NULL)
            mioc_tcp_job_drop(&t->search.place[i].lookup->job);
}
