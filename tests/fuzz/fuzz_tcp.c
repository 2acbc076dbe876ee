/* SPDX-License-Identifier: BSD-3-Clause */
/* fuzz_tcp.c - a stranger that says anything to a parent or to a child; and a relay that does anything between two
 * nodes, one of which may be of another step. Promises: a stranger never joins; who joins is of the step and in its
 * place in the tree; what is heard is what was said, in order, up to the first thing that the relay did; no length
 * makes a frame larger than it may be. */
#include "transport/tcp_handshake.h"
#include "transport/transport.h"
#include "fuzz.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#define MESSAGES 24u /* fewer than a queue holds */
#define ROOM (1u << 16)

/* --- Random numbers that are the same in each run ----------------------------------------------------------------- */

static uint32_t drawn;

static const char *random_name(void) { return "fuzz"; }
static uint32_t random_number(void) { return ++drawn * 2654435761u; }
static void random_bytes(void *const bytes, const size_t size)
{
    for (size_t i = 0; i < size; i++)
        ((unsigned char *)bytes)[i] = (unsigned char)(random_number() >> 24);
}
static randombytes_implementation same = { .implementation_name = random_name,
                                           .random = random_number,
                                           .buf = random_bytes };

/* --- An end of a connection --------------------------------------------------------------------------------------- */

struct end {
    struct mioc_tcp_terms terms;
    struct mioc_tcp_link link;
    struct mioc_tcp_handshake *handshake;
    int outside; /* the other end of its socket */
    int state;   /* 0: in its handshake, 1: joined, -1: over */
    int peer;
    unsigned put, got;
    unsigned char messages[MESSAGES][512];
    size_t sizes[MESSAGES];
};

static void set_terms(struct mioc_tcp_terms *terms, int node, int is_encrypted)
{
    *terms = (struct mioc_tcp_terms){ .node = node, .nodes = 30, .arity = 4, .is_encrypted = is_encrypted };
    crypto_generichash(terms->step, sizeof terms->step, (const unsigned char *)"fuzz", 4, NULL, 0);
    terms->secret.has_key = 1;
    memset(terms->secret.key, 'k', sizeof terms->secret.key);
}

static void begin(struct end *end, int parent)
{
    int pair[2];

    PROMISE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
    end->link.fd = pair[0];
    end->outside = pair[1];
    end->handshake = mioc_tcp_handshake_new(&end->terms, parent);
    end->peer = -1;
    PROMISE(end->handshake != NULL);
}

static void finish(struct end *end)
{
    mioc_tcp_handshake_free(end->handshake);
    mioc_tcp_link_close(&end->link);
    close(end->outside);
    free(end);
}

static void check_frame(struct end *end, const struct end *from)
{
    struct mioc_tcp_link *link = &end->link;

    PROMISE(from != NULL && end->got < from->put && link->size == from->sizes[end->got]);
    PROMISE(memcmp(mioc_tcp_link_frame(link), from->messages[end->got], link->size) == 0);
    end->got++;
    free(mioc_tcp_link_take(link));
}

/* Goes on as far as it can. `from`: who may be on the other side. */
static void go_on(struct end *end, const struct end *from)
{
    enum mioc_tcp_fault fault;
    char reason[200];
    int rc;

    if (end->state == 0) {
        end->state = mioc_tcp_handshake_step(end->handshake, &end->link, &end->peer, &fault, reason, sizeof reason);
        PROMISE(end->state >= 0 || fault < MIOC_TCP_FAULTS);
        PROMISE(end->link.buffer == NULL || end->state == 1 || end->link.size <= MIOC_TCP_FRAME_MAX);
    }
    if (end->state == 1) {
        mioc_tcp_link_flush(&end->link);
        while ((rc = mioc_tcp_link_receive(&end->link)) == 1)
            check_frame(end, from);
        PROMISE(end->link.buffer == NULL || end->link.size <= MIOC_MESSAGE_MAX);
        if (rc < 0)
            end->state = -1;
    }
    if (end->state < 0 && end->link.fd >= 0)
        mioc_tcp_link_close(&end->link);
}

/* --- A stranger ----------------------------------------------------------------------------------------------------
 */

static void stranger(struct fuzz_input *in, int is_child)
{
    struct end *end = calloc(1, sizeof *end);

    PROMISE(end != NULL);
    set_terms(&end->terms, is_child ? 5 : 1, fuzz_byte(in) & 1);
    begin(end, is_child ? 1 : -1);
    while (in->left > 0 && end->state == 0) {
        const uint8_t *bytes;
        size_t n = fuzz_bytes(in, 1 + fuzz_byte(in), &bytes);

        if (send(end->outside, bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)n)
            break;
        go_on(end, NULL);
    }
    PROMISE(end->state != 1);
    finish(end);
}

/* --- A relay -------------------------------------------------------------------------------------------------------
 */

static void put_message(struct end *end, struct fuzz_input *in)
{
    size_t size = fuzz_number(in, 2) % sizeof end->messages[0];

    if (end->state != 1 || end->put == MESSAGES)
        return;
    memset(end->messages[end->put], (int)end->put + 'a', size);
    end->sizes[end->put] = size;
    if (mioc_tcp_link_queue(&end->link, end->messages[end->put], size) == 0)
        end->put++;
}

/* Carries what there is from one end to the other, and does something with it. */
static void carry(struct end *from, struct end *to, struct fuzz_input *in, unsigned evil)
{
    static unsigned char bytes[ROOM];
    ssize_t n = recv(from->outside, bytes, evil == 0 ? sizeof bytes : 1 + fuzz_number(in, 2) % 600, MSG_DONTWAIT);
    const uint8_t *other;
    size_t more;

    if (n <= 0)
        return;
    switch (evil) {
    case 1: bytes[fuzz_number(in, 2) % (size_t)n] ^= (unsigned char)(1 + fuzz_byte(in) % 255); break;
    case 2: return;                                                                         /* lost */
    case 3: (void)!send(to->outside, bytes, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT); break; /* twice */
    case 4:
        more = fuzz_bytes(in, fuzz_byte(in), &other);
        (void)!send(to->outside, other, more, MSG_NOSIGNAL | MSG_DONTWAIT);
        break;
    case 5: (void)!send(from->outside, bytes, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT); return; /* back */
    default: break;
    }
    (void)!send(to->outside, bytes, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* One of the two may be of another step, another tree or another mind. */
static int set_child(struct mioc_tcp_terms *terms, struct fuzz_input *in, int is_encrypted)
{
    set_terms(terms, 5, is_encrypted);
    switch (fuzz_byte(in) % 16) {
    case 1: terms->node = (int)fuzz_odd_number(in, 30); return 0;
    case 2: terms->nodes = (int)fuzz_odd_number(in, 30); return terms->nodes == 30;
    case 3: terms->arity = (int)fuzz_odd_number(in, 4); return terms->arity == 4;
    case 4: terms->step[fuzz_byte(in) % 32] ^= 1; return 0;
    case 5: terms->secret.key[fuzz_byte(in) % 32] ^= 1; return 0;
    case 6: terms->is_encrypted ^= 1; return 0;
    default: return 1;
    }
}

static void relay(struct fuzz_input *in)
{
    struct end *child = calloc(1, sizeof *child), *parent = calloc(1, sizeof *parent);
    int is_encrypted = fuzz_byte(in) & 1, is_ours, node;

    PROMISE(child != NULL && parent != NULL);
    set_terms(&parent->terms, 1, is_encrypted);
    is_ours = set_child(&child->terms, in, is_encrypted);
    node = child->terms.node;
    begin(child, 1);
    begin(parent, -1);
    for (unsigned i = 0; i < 200 && (in->left > 0 || i < 8); i++) {
        uint8_t what = fuzz_byte(in);
        struct end *from = what & 0x80 ? parent : child, *to = what & 0x80 ? child : parent;

        go_on(child, parent);
        go_on(parent, child);
        if ((what & 0x40) != 0)
            put_message(from, in);
        else
            carry(from, to, in, what % 8 < 6 ? what % 8 : 0);
    }
    go_on(child, parent);
    go_on(parent, child);
    PROMISE(parent->peer < 0 || is_ours ||
            (parent->peer == node && node > 1 && node < 30 && mioc_tcp_is_below(node, 1, 4)));
    PROMISE(child->peer < 0 || child->peer == 1);
    PROMISE(child->peer < 0 || is_ours || (node > 1 && node < 30 && mioc_tcp_is_below(node, 1, 4)));
    finish(child);
    finish(parent);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int is_started;
    struct fuzz_input in = { data, size };
    uint8_t kind = fuzz_byte(&in);

    if (!is_started) {
        randombytes_set_implementation(&same);
        PROMISE(sodium_init() >= 0);
        is_started = 1;
    }
    drawn = 0;
    if (kind % 4 < 2)
        stranger(&in, kind % 4);
    else
        relay(&in);
    return 0;
}
