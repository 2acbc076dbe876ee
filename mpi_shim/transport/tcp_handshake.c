/* SPDX-License-Identifier: BSD-3-Clause */
/* tcp_handshake.c - the handshake's state machine, of both sides. */
#include "tcp_handshake.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum side { PARENT = 'P', CHILD = 'C' };

/* Checks the other side's proof, unless there is none yet, and makes this side's, unless it is made. */
struct proving {
    struct mioc_tcp_job job;
    struct mioc_secret secret;
    int has_to_check, has_to_prove;
    unsigned char checked_bound[32], checked[MIOC_SECRET_PROOF_MAX];
    size_t checked_size;
    crypto_generichash_state said; /* what was said before this side's proof */
    unsigned char proof[MIOC_SECRET_PROOF_MAX];
    size_t proof_size;
    unsigned char their_share[32], our_share[32];
    int has_failed, is_ours; /* is_ours: it is this side that cannot prove */
    char reason[160];
};

struct mioc_tcp_handshake {
    const struct mioc_tcp_terms *terms;
    enum side side;
    int child, parent;
    enum mioc_tcp_frame awaited; /* HELLO in a child: the connection itself */
    int progress;
    crypto_generichash_state said; /* all that was said, by both sides */
    struct proving *proving;       /* under way, or NULL */
    unsigned char share[2][32];    /* of the parent, of the child */
    unsigned char nonce[32];       /* the parent's */
    unsigned char private_key[32]; /* of this side's nonce */
    unsigned char agreed[32];      /* what it gives with the other side's nonce */
};

int mioc_tcp_is_below(int node, int ancestor, int arity)
{
    while (node > ancestor)
        node = (node - 1) / arity;
    return node == ancestor;
}

struct mioc_tcp_handshake *mioc_tcp_handshake_new(const struct mioc_tcp_terms *terms, int parent)
{
    struct mioc_tcp_handshake *h = calloc(1, sizeof *h);

    if (h == NULL)
        return NULL;
    h->terms = terms;
    h->side = parent < 0 ? PARENT : CHILD;
    h->child = parent < 0 ? -1 : terms->node;
    h->parent = parent < 0 ? terms->node : parent;
    h->awaited = MIOC_TCP_HELLO;
    crypto_generichash_init(&h->said, NULL, 0, 32);
    return h;
}

void mioc_tcp_handshake_free(struct mioc_tcp_handshake *h)
{
    if (h == NULL)
        return;
    mioc_tcp_job_drop(h->proving != NULL ? &h->proving->job : NULL);
    sodium_memzero(h, sizeof *h);
    free(h);
}

int mioc_tcp_handshake_progress(const struct mioc_tcp_handshake *h) { return h->progress; }

int mioc_tcp_handshake_is_proving(const struct mioc_tcp_handshake *h) { return h->proving != NULL; }

static void hear(crypto_generichash_state *said, const void *bytes, size_t size)
{
    crypto_generichash_update(said, bytes, size);
}

/* What a side's proof is bound to. */
static void bind_to(const crypto_generichash_state *said, enum side side, unsigned char bound[32])
{
    crypto_generichash_state state = *said;
    unsigned char label = (unsigned char)side;

    hear(&state, &label, 1);
    crypto_generichash_final(&state, bound, 32);
}

/* --- Proofs ------------------------------------------------------------------------------------------------------ */

static void run_proving(struct mioc_tcp_job *job)
{
    struct proving *p = (struct proving *)job;
    unsigned char bound[32];

    if (p->has_to_check && mioc_secret_check(&p->secret, p->checked_bound, p->checked, p->checked_size, p->their_share,
                                             p->reason, sizeof p->reason) != 0) {
        p->has_failed = 1;
        return;
    }
    if (!p->has_to_prove)
        return;
    if (p->has_to_check)
        hear(&p->said, p->checked, p->checked_size);
    bind_to(&p->said, p->has_to_check ? CHILD : PARENT, bound);
    if (mioc_secret_prove(&p->secret, bound, p->proof, &p->proof_size, p->our_share, p->reason, sizeof p->reason) != 0)
        p->has_failed = p->is_ours = 1;
}

/* MUNGE takes its time, in a thread; a MAC does not. */
static int begin_proving(struct mioc_tcp_handshake *h, const unsigned char *checked, size_t size, int has_to_prove)
{
    struct proving *p = calloc(1, sizeof *p);

    if (p == NULL || size > sizeof p->checked) {
        free(p);
        return -1;
    }
    p->job.run = run_proving;
    p->job.size = sizeof *p;
    p->secret = h->terms->secret;
    p->said = h->said;
    p->has_to_check = checked != NULL;
    p->has_to_prove = has_to_prove;
    if (checked != NULL) {
        memcpy(p->checked, checked, size);
        p->checked_size = size;
        bind_to(&h->said, h->side == CHILD ? PARENT : CHILD, p->checked_bound);
        hear(&h->said, checked, size);
    }
    if (h->terms->secret.has_key) {
        atomic_store(&p->job.owners, 1);
        run_proving(&p->job);
        atomic_store(&p->job.is_done, 1);
    } else if (mioc_tcp_job_start(&p->job, h->terms->bell) != 0)
        return -1;
    h->proving = p;
    return 0;
}

/* --- The seal ---------------------------------------------------------------------------------------------------- */

static void key_of(const struct mioc_tcp_handshake *h, enum side from, unsigned char key[32])
{
    crypto_generichash_state state;
    unsigned char said[32];

    bind_to(&h->said, from, said);
    crypto_generichash_init(&state, h->share[0], sizeof h->share, 32);
    hear(&state, h->agreed, sizeof h->agreed);
    hear(&state, said, sizeof said);
    crypto_generichash_final(&state, key, 32);
    sodium_memzero(&state, sizeof state);
}

static int say_confirm(struct mioc_tcp_handshake *h, struct mioc_tcp_link *link)
{
    unsigned char frame[1 + MIOC_TCP_HEADER + MIOC_TCP_SEAL] = { MIOC_TCP_CONFIRM }, key[32];

    key_of(h, h->side, key);
    crypto_secretstream_xchacha20poly1305_init_push(&link->out, frame + 1, key);
    crypto_secretstream_xchacha20poly1305_push(&link->out, frame + 1 + MIOC_TCP_HEADER, NULL, NULL, 0, NULL, 0, 0);
    sodium_memzero(key, sizeof key);
    return mioc_tcp_link_say(link, frame, sizeof frame);
}

static int hear_confirm(struct mioc_tcp_handshake *h, struct mioc_tcp_link *link, const unsigned char *bytes,
                        size_t size)
{
    unsigned char key[32], tag;
    int rc = -1;

    if (size != MIOC_TCP_HEADER + MIOC_TCP_SEAL)
        return -1;
    key_of(h, h->side == CHILD ? PARENT : CHILD, key);
    if (crypto_secretstream_xchacha20poly1305_init_pull(&link->in, bytes, key) == 0)
        rc = crypto_secretstream_xchacha20poly1305_pull(&link->in, NULL, NULL, &tag, bytes + MIOC_TCP_HEADER,
                                                        MIOC_TCP_SEAL, NULL, 0);
    sodium_memzero(key, sizeof key);
    return rc;
}

/* --- What is said ------------------------------------------------------------------------------------------------ */

static int say(struct mioc_tcp_link *link, enum mioc_tcp_frame kind, const void *bytes, size_t size, const void *more,
               size_t more_size)
{
    unsigned char frame[1 + 32 + MIOC_SECRET_PROOF_MAX] = { (unsigned char)kind };

    memcpy(frame + 1, bytes, size);
    memcpy(frame + 1 + size, more, more_size);
    return mioc_tcp_link_say(link, frame, 1 + size + more_size);
}

static void make_nonce(struct mioc_tcp_handshake *h, unsigned char nonce[32])
{
    randombytes_buf(h->private_key, sizeof h->private_key);
    crypto_scalarmult_base(nonce, h->private_key);
}

/* -1: it is no public key. */
static int take_nonce(struct mioc_tcp_handshake *h, const unsigned char nonce[32])
{
    return crypto_scalarmult(h->agreed, h->private_key, nonce);
}

static int say_hello(struct mioc_tcp_handshake *h, struct mioc_tcp_link *link)
{
    const struct mioc_tcp_terms *terms = h->terms;
    struct mioc_tcp_hello hello = { .magic = MIOC_TCP_MAGIC,
                                    .version = MIOC_TCP_VERSION,
                                    .child = (uint32_t)h->child,
                                    .parent = (uint32_t)h->parent,
                                    .nodes = (uint32_t)terms->nodes,
                                    .arity = (uint32_t)terms->arity,
                                    .has_key = (uint32_t)terms->secret.has_key,
                                    .is_encrypted = (uint32_t)terms->is_encrypted };

    memcpy(hello.step, terms->step, sizeof hello.step);
    make_nonce(h, hello.nonce);
    hear(&h->said, &hello, sizeof hello);
    h->awaited = MIOC_TCP_CHALLENGE;
    return say(link, MIOC_TCP_HELLO, &hello, sizeof hello, "", 0);
}

/* Whether it is a child of ours. The order of the checks is that of the words that help most. */
static int judge_hello(struct mioc_tcp_handshake *h, const unsigned char *bytes, size_t size,
                       enum mioc_tcp_fault *fault)
{
    const struct mioc_tcp_terms *terms = h->terms;
    struct mioc_tcp_hello hello;

    *fault = MIOC_TCP_SPEECH;
    if (size < 8)
        return -1;
    memcpy(&hello, bytes, size < sizeof hello ? size : sizeof hello);
    if (hello.magic != MIOC_TCP_MAGIC)
        return -1;
    *fault = MIOC_TCP_RELEASE;
    if (hello.version != MIOC_TCP_VERSION)
        return -1;
    *fault = MIOC_TCP_SPEECH;
    if (size != sizeof hello)
        return -1;
    *fault = MIOC_TCP_OTHER;
    if (memcmp(hello.step, terms->step, sizeof hello.step) != 0 || hello.parent != (uint32_t)terms->node ||
        hello.nodes != (uint32_t)terms->nodes || hello.arity != (uint32_t)terms->arity)
        return -1;
    *fault = MIOC_TCP_SPEECH;
    if (hello.child >= hello.nodes || hello.child <= hello.parent ||
        !mioc_tcp_is_below((int)hello.child, terms->node, terms->arity))
        return -1;
    *fault = MIOC_TCP_ENCRYPT;
    if (hello.is_encrypted != (uint32_t)terms->is_encrypted)
        return -1;
    *fault = MIOC_TCP_SECRET;
    if (hello.has_key != (uint32_t)terms->secret.has_key)
        return -1;
    h->child = (int)hello.child;
    return 0;
}

static int hear_hello(struct mioc_tcp_handshake *h, const unsigned char *bytes, size_t size, enum mioc_tcp_fault *fault)
{
    if (judge_hello(h, bytes, size, fault) != 0)
        return -1;
    make_nonce(h, h->nonce);
    *fault = MIOC_TCP_SPEECH;
    if (take_nonce(h, bytes + offsetof(struct mioc_tcp_hello, nonce)) != 0)
        return -1;
    hear(&h->said, bytes, size);
    hear(&h->said, h->nonce, sizeof h->nonce);
    *fault = MIOC_TCP_OURS;
    return begin_proving(h, NULL, 0, 1);
}

static int hear_frame(struct mioc_tcp_handshake *h, struct mioc_tcp_link *link, enum mioc_tcp_fault *fault)
{
    const unsigned char *bytes = mioc_tcp_link_frame(link);
    size_t size = link->size;

    *fault = MIOC_TCP_SPEECH;
    if (size < 1 || bytes[0] != h->awaited)
        return -1;
    h->progress++;
    switch (h->awaited) {
    case MIOC_TCP_HELLO: return hear_hello(h, bytes + 1, size - 1, fault);
    case MIOC_TCP_CHALLENGE:
        if (size < 1 + 32 + 1 || take_nonce(h, bytes + 1) != 0)
            return -1;
        hear(&h->said, bytes + 1, sizeof h->nonce);
        *fault = MIOC_TCP_OURS;
        return begin_proving(h, bytes + 33, size - 33, 1);
    case MIOC_TCP_PROOF: *fault = MIOC_TCP_OURS; return begin_proving(h, bytes + 1, size - 1, 0);
    case MIOC_TCP_CONFIRM:
        *fault = MIOC_TCP_SECRET;
        if (hear_confirm(h, link, bytes + 1, size - 1) != 0 || (h->side == CHILD && say_confirm(h, link) != 0))
            return -1;
        return 1;
    }
    return -1;
}

/* The proofs are there: says what follows. */
static int end_proving(struct mioc_tcp_handshake *h, struct mioc_tcp_link *link, enum mioc_tcp_fault *fault,
                       char *reason, size_t size)
{
    struct proving *p = h->proving;
    int rc = 0, ours = h->side == PARENT ? 0 : 1;

    h->proving = NULL;
    if (p->has_failed) {
        *fault = p->is_ours ? MIOC_TCP_OURS : MIOC_TCP_SECRET;
        snprintf(reason, size, "%s", p->reason);
        rc = -1;
    } else if (h->side == PARENT && h->awaited == MIOC_TCP_HELLO) {
        memcpy(h->share[ours], p->our_share, 32);
        hear(&h->said, p->proof, p->proof_size);
        h->awaited = MIOC_TCP_PROOF;
        rc = say(link, MIOC_TCP_CHALLENGE, h->nonce, sizeof h->nonce, p->proof, p->proof_size);
    } else {
        memcpy(h->share[!ours], p->their_share, 32);
        h->awaited = MIOC_TCP_CONFIRM;
        if (h->side == CHILD) {
            memcpy(h->share[ours], p->our_share, 32);
            hear(&h->said, p->proof, p->proof_size);
            rc = say(link, MIOC_TCP_PROOF, "", 0, p->proof, p->proof_size);
        } else
            rc = say_confirm(h, link);
    }
    mioc_tcp_job_drop(&p->job);
    return rc;
}

int mioc_tcp_handshake_step(struct mioc_tcp_handshake *h, struct mioc_tcp_link *link, int *peer,
                            enum mioc_tcp_fault *fault, char *reason, size_t size)
{
    int rc = 0;

    *fault = MIOC_TCP_GONE;
    *reason = '\0';
    if (h->side == CHILD && h->awaited == MIOC_TCP_HELLO)
        rc = say_hello(h, link);
    while (rc == 0) {
        if (h->proving != NULL) {
            if (!mioc_tcp_job_is_done(&h->proving->job))
                break;
            rc = end_proving(h, link, fault, reason, size);
            continue;
        }
        mioc_tcp_link_flush(link);
        rc = mioc_tcp_link_receive(link);
        if (rc <= 0) {
            *fault = rc < 0 && errno == EMSGSIZE ? MIOC_TCP_SPEECH : MIOC_TCP_GONE;
            break;
        }
        rc = hear_frame(h, link, fault);
        free(mioc_tcp_link_take(link));
    }
    mioc_tcp_link_flush(link);
    if (rc == 1) {
        link->is_sealed = 1;
        link->is_encrypted = h->terms->is_encrypted;
        *peer = h->side == CHILD ? h->parent : h->child;
    }
    return rc;
}
