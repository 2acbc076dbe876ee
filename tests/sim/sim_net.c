/* SPDX-License-Identifier: BSD-3-Clause */
/* sim_net.c - the network: delays, link cards, order per pair only, few buffers, refusals, peers that are gone. */
#include "sim.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define POOL 64

static void *pool[POOL];
static unsigned pooled;

void *sim_get_buffer(void *ctx)
{
    struct sim_node *n = ctx;
    char *buffer;

    if (n->buffers >= n->sim->buffers || sim_random(n->sim, 100) < n->sim->refuse_percent)
        return NULL;
    n->buffers++;
    buffer = pooled > 0 ? pool[--pooled] : malloc(MIOC_MESSAGE_MAX);
    memset(buffer, 0xa5, 256); /* whoever forgets to fill something sends this */
    return buffer;
}

static void give_back(void *buffer)
{
    if (pooled < POOL)
        pool[pooled++] = buffer;
    else
        free(buffer);
}

void sim_put_buffer(void *ctx, void *buffer)
{
    ((struct sim_node *)ctx)->buffers--;
    give_back(buffer);
}

static uint64_t later(uint64_t a, uint64_t b) { return a > b ? a : b; }

/* When the receiver's agent takes it. All that a node sends goes through its card one after the other, and so does all
 * that it receives; the slower of the two cards is the bandwidth of the link. */
static uint64_t arrival(struct sim_node *from, struct sim_node *to, size_t size, uint64_t *last)
{
    struct sim *s = from->sim;
    uint64_t out = size * from->ns_per_kib / 1024, in = size * to->ns_per_kib / 1024, at;

    from->card_out = later(s->now, from->card_out) + out;
    at = from->card_out + s->latency + from->latency + to->latency + sim_random(s, s->jitter);
    to->card_in = later(at, to->card_in + in); /* it began to come in while it still went out */
    *last = later(to->card_in + sim_random(s, to->lag), *last + 1);
    return *last;
}

static int is_neighbour(const struct sim *s, int a, int b)
{
    int low = a < b ? a : b, high = a < b ? b : a;

    return low >= 0 && high < s->config.nodes && high != low && (high - 1) / s->config.arity == low;
}

/* A dead process is noticed by its silence or by an error, but never before its last messages have come. */
static int is_refused(const struct sim_node *from, int peer)
{
    const struct sim *s = from->sim;
    uint64_t last = peer < from->number ? from->down_last : s->node[peer].up_last;

    return s->node[peer].is_gone && s->detects_death && s->now > last;
}

/* With joins: a link's other process has ended, and its last messages have come. */
static int is_broken(const struct sim_node *from, const struct sim_link *l)
{
    const struct sim *s = from->sim;

    return !sim_link_has_peer(s, l, from->number) && s->detects_death && s->now > l->last[l->node[1] == from->number];
}

/* A child that was served before, and that lacks contents which are given up by now, cannot go on. */
static void note_refusal(struct sim_node *from, struct sim_node *to, const void *message)
{
    const struct mioc_message *m = message;

    if (m->kind != MIOC_MESSAGE_LEAVE || m->flags != 0 || to->number < from->number || from->sim->config.lease_ns == 0)
        return;
    if (from->sim->given_up == 0 || !from->sim->has_faults)
        sim_fail(from->sim, "node %d sends node %d away for no reason", from->number, to->number);
    to->is_refused = 1;
}

int sim_send(void *ctx, int peer, void *message, size_t size)
{
    struct sim_node *from = ctx;
    struct sim *s = from->sim;
    struct sim_link *l = s->config.has_joins ? sim_link_of(s, from->number, peer) : NULL;
    unsigned link = l != NULL ? (unsigned)(l - s->link) : 0;
    uint64_t at;
    char *copy;

    if ((s->config.has_joins ? l == NULL : !is_neighbour(s, from->number, peer)) ||
        mioc_wire_parse(message, size) == NULL)
        sim_fail(s, "node %d sends what it must not to node %d", from->number, peer);
    if (from->is_gone)
        sim_fail(s, "node %d sends after its end", from->number);
    if (s->has_failed || sim_random(s, 100) < s->refuse_percent) {
        errno = EAGAIN;
        return -1;
    }
    if ((l != NULL ? is_broken(from, l) : is_refused(from, peer)) && sim_random(s, 2) == 0) {
        errno = EPIPE;
        return -1;
    }
    note_refusal(from, &s->node[peer], message);
    at = arrival(from, &s->node[peer], size,
                 l != NULL             ? &l->last[l->node[1] == peer]
                 : peer < from->number ? &from->up_last
                                       : &s->node[peer].down_last);
    copy = malloc(size);
    memcpy(copy, message, size);
    give_back(message);
    s->messages++;
    s->bytes += size;
    if (l != NULL)
        l->under_way[l->node[1] == from->number]++;
    if (size < SIM_EAGER)
        sim_at_on(s, from->card_out + sim_random(s, s->latency + 1), SIM_SENT, from->number, peer, NULL, 0, link);
    if (l != NULL && l->is_cut)
        free(copy);
    else
        sim_at_on(s, at, SIM_MESSAGE, peer, from->number, copy, (uint32_t)size, link);
    return 0;
}
