/* SPDX-License-Identifier: BSD-3-Clause */
/* scale_net.c - messages: cables, link cards, MPI's two ways to send, what an agent's poll finds. */
#include "scale.h"

#include <stdlib.h>
#include <string.h>

/* Agents that have come equally far send the same bytes: one copy of each message of the stream. */
#define SHARED 16384u
#define SMALL 256u /* a question's size, mostly: kept for the next */

static struct scale_body *shared[SHARED];
static struct scale_message *spare;
static struct scale_body *spare_body;
/* An agent composes one message at a time, and sending copies it. */
static _Alignas(8) char buffer[MIOC_MESSAGE_MAX];

static uint64_t later(uint64_t a, uint64_t b) { return a > b ? a : b; }

static uint64_t earlier(uint64_t a, uint64_t b) { return a < b ? a : b; }

/* --- Bodies ------------------------------------------------------------------------------------------------------ */

static void drop_body(struct scale_body *body)
{
    if (body == NULL || --body->references > 0)
        return;
    if (body->size > SMALL) {
        free(body);
        return;
    }
    body->next = spare_body;
    spare_body = body;
}

static struct scale_body *copy_body(const void *bytes, size_t size)
{
    struct scale_body *body = size <= SMALL ? spare_body : NULL;

    if (body != NULL)
        spare_body = body->next;
    else
        body = malloc(sizeof(*body) + (size < SMALL ? SMALL : size));
    if (body == NULL)
        abort();
    body->references = 1;
    body->size = (uint32_t)size;
    memcpy(body->bytes, bytes, size);
    return body;
}

static struct scale_body *get_body(const void *bytes, size_t size)
{
    const struct mioc_message *m = bytes, *old;
    struct scale_body **slot = &shared[(m->offset * 31 + size) / 8 % SHARED];

    if (m->kind != MIOC_MESSAGE_STREAM)
        return copy_body(bytes, size);
    old = *slot ? (const void *)(*slot)->bytes : NULL;
    if (old == NULL || (*slot)->size != size || old->offset != m->offset) {
        drop_body(*slot);
        *slot = copy_body(bytes, size);
    }
    (*slot)->references++;
    return *slot;
}

void scale_net_end(void)
{
    for (unsigned i = 0; i < SHARED; i++) {
        drop_body(shared[i]);
        shared[i] = NULL;
    }
    for (struct scale_body *next; spare_body != NULL; spare_body = next) {
        next = spare_body->next;
        free(spare_body);
    }
    for (struct scale_message *next; spare != NULL; spare = next) {
        next = spare->next;
        free(spare);
    }
}

/* --- Sending ----------------------------------------------------------------------------------------------------- */

unsigned scale_unsent(const struct scale_node *n) { return n->out_n; }

void *scale_get_buffer(void *ctx) { return ((struct scale_node *)ctx)->out_n < SCALE_BUFFERS ? buffer : NULL; }

void scale_put_buffer(void *ctx, void *unused)
{
    (void)ctx;
    (void)unused;
}

static uint64_t transfer_ns(const struct scale *s, size_t size) { return size * 1000 / s->options.bytes_per_us; }

/* Through both cards; when the last byte is there. */
static uint64_t move(struct scale_node *from, struct scale_node *to, uint64_t from_time, size_t size)
{
    struct scale *s = from->scale;
    uint64_t transfer = transfer_ns(s, size);

    from->card_out = later(from_time, from->card_out) + transfer;
    to->card_in = later(from->card_out + s->options.latency_ns, to->card_in + transfer);
    return to->card_in;
}

static void add_sending(struct scale_node *n, int peer, uint64_t time)
{
    if (n->out_n == n->out_cap) {
        n->out_cap = n->out_cap ? n->out_cap * 2 : 4;
        n->out = realloc(n->out, n->out_cap * sizeof(*n->out));
        if (n->out == NULL)
            abort();
    }
    n->out[n->out_n++] = (struct scale_sending){ time, peer, time == NEVER };
}

/* MPI matches in order of arrival. */
static void deliver(struct scale_node *to, struct scale_message *m)
{
    struct scale_message **place = &to->in;

    for (struct scale_message **link = place; *link != NULL; link = &(*link)->next)
        if ((*link)->time <= m->time || (*link)->from == m->from)
            place = &(*link)->next;
    m->next = *place;
    *place = m;
}

int scale_send(void *ctx, int peer, void *message, size_t size)
{
    struct scale_node *from = ctx, *to = &from->scale->node[peer];
    struct scale *s = from->scale;
    struct scale_message *m = spare ? spare : malloc(sizeof(*m));

    if (m == NULL)
        abort();
    if (m == spare)
        spare = m->next;
    s->now += SCALE_PER_MESSAGE + size * SCALE_PS_PER_BYTE / 1000;
    *m = (struct scale_message){ .body = get_body(message, size), .from = (int)from->number, .ready = NEVER };
    m->time = s->now + s->options.latency_ns;
    if (size <= SCALE_EAGER)
        m->time = m->ready = move(from, to, s->now, size);
    add_sending(from, peer, m->ready == NEVER ? NEVER : from->card_out);
    from->messages_out++;
    from->bytes_out += size;
    deliver(to, m);
    scale_node_expect(to, m->time);
    return 0;
}

/* --- Polling ----------------------------------------------------------------------------------------------------- */

/* The receiver has seen the announcement and fetches the bytes; its sender sees that they have gone. */
static void fetch(struct scale_node *n, struct scale_message *m)
{
    struct scale_node *from = &n->scale->node[m->from];

    m->ready = move(from, n, n->scale->now + n->scale->options.latency_ns, m->body->size);
    for (unsigned i = 0; i < from->out_n; i++)
        if (from->out[i].is_pending && from->out[i].peer == (int)n->number) {
            from->out[i].is_pending = 0;
            from->out[i].time = m->ready + n->scale->options.latency_ns;
            scale_node_expect(from, from->out[i].time);
            return;
        }
}

static int take_sent(struct scale_node *n)
{
    for (unsigned i = 0; i < n->out_n; i++) {
        int peer = n->out[i].peer;

        if (n->out[i].is_pending || n->out[i].time > n->scale->now)
            continue;
        memmove(&n->out[i], &n->out[i + 1], (n->out_n - i - 1) * sizeof(*n->out));
        n->out_n--;
        mioc_agent_sent(n->agent, peer, n->scale->now);
        return 1;
    }
    return 0;
}

int scale_poll(struct scale_node *n)
{
    struct scale *s = n->scale;
    struct scale_message *m = n->in;
    unsigned posted = 0;

    for (struct scale_message *i = m; i != NULL && posted < SCALE_RECEIVES && i->time <= s->now; i = i->next, posted++)
        if (i->ready == NEVER)
            fetch(n, i);
    if (m == NULL || m->ready > s->now) /* the oldest receive only, as in transport_mpi.c */
        return take_sent(n);
    n->in = m->next;
    s->now += SCALE_PER_MESSAGE + m->body->size * SCALE_PS_PER_BYTE / 1000;
    n->messages_in++;
    n->bytes_in += m->body->size;
    mioc_agent_message(n->agent, m->from, m->body->bytes, m->body->size, s->now);
    drop_body(m->body);
    m->next = spare;
    spare = m;
    return 1;
}

uint64_t scale_poll_due(const struct scale_node *n)
{
    uint64_t due = NEVER;
    unsigned posted = 0;

    for (const struct scale_message *m = n->in; m != NULL && posted < SCALE_RECEIVES; m = m->next, posted++) {
        if (m->ready == NEVER || posted == 0)
            due = earlier(due, m->ready == NEVER ? m->time : m->ready);
        if (m->time > n->scale->now)
            break;
    }
    for (unsigned i = 0; i < n->out_n; i++)
        if (!n->out[i].is_pending)
            due = earlier(due, n->out[i].time);
    return due;
}

void scale_net_free(struct scale_node *n)
{
    for (struct scale_message *m = n->in, *next; m != NULL; m = next) {
        next = m->next;
        drop_body(m->body);
        free(m);
    }
    free(n->out);
}
