/* SPDX-License-Identifier: BSD-3-Clause */
/* tcp_handshake.h - two nodes prove to each other that they are of one step, and agree on the keys of their connection.
 *
 *     child                                     parent
 *     HELLO      who I am, nonce          ──►
 *                                         ◄──   CHALLENGE   nonce, proof
 *     PROOF      proof                    ──►
 *                                         ◄──   CONFIRM     the stream's header, an empty sealed message
 *     CONFIRM    the same                 ──►               … and the link is sealed
 *
 * A nonce is a public key (X25519) that is made for this connection. A proof (secret.h) is bound to all that both sides
 * have said before, and to the side. The keys, one for each direction, follow from what the two private keys give, from
 * both sides' shares and from all that was said. So who relays a handshake can hand on what comes later, or not, and
 * nothing else; and who gets to know the secret later cannot read what was recorded. README.md, "TCP", has the
 * reasons. One thread, never blocks. */
#ifndef MIOC_TCP_HANDSHAKE_H
#define MIOC_TCP_HANDSHAKE_H

#include "secret.h"
#include "tcp_link.h"
#include "tcp_worker.h"

#define MIOC_TCP_VERSION 1u

#define MIOC_TCP_MAGIC 0x4d494f54u /* "MIOT" */

/* The first byte of each frame of a handshake. */
enum mioc_tcp_frame { MIOC_TCP_HELLO = 1, MIOC_TCP_CHALLENGE, MIOC_TCP_PROOF, MIOC_TCP_CONFIRM };

/* What stands behind it in HELLO. */
struct mioc_tcp_hello {
    uint32_t magic, version;
    unsigned char step[32]; /* the hash of the step's name */
    uint32_t child, parent, nodes, arity;
    uint32_t has_key, is_encrypted;
    unsigned char nonce[32];
};

/* Why a connection comes to nothing. */
enum mioc_tcp_fault {
    MIOC_TCP_GONE,    /* it ended */
    MIOC_TCP_OTHER,   /* another step, or another node of this one: ports can collide */
    MIOC_TCP_SPEECH,  /* it does not speak this protocol */
    MIOC_TCP_RELEASE, /* it speaks another version of it */
    MIOC_TCP_ENCRYPT, /* one side encrypts, the other does not */
    MIOC_TCP_SECRET,  /* its proof does not hold */
    MIOC_TCP_OURS,    /* this side cannot make a proof */
    MIOC_TCP_SLOW,    /* it took longer than its time */
    MIOC_TCP_CROWDED, /* too many others wanted in */
    MIOC_TCP_FAULTS
};

/* What is the same for all handshakes of a node. */
struct mioc_tcp_terms {
    int node, nodes, arity, is_encrypted;
    unsigned char step[32]; /* the hash of the step's name */
    struct mioc_secret secret;
    struct mioc_tcp_bell *bell; /* rung when a proof is made or checked */
};

struct mioc_tcp_handshake;

/* A handshake in the child, with the ancestor `parent`; or, parent == -1, in the parent. NULL: no memory. */
struct mioc_tcp_handshake *mioc_tcp_handshake_new(const struct mioc_tcp_terms *terms, int parent);
void mioc_tcp_handshake_free(struct mioc_tcp_handshake *handshake);
/* Goes on, as far as it can. Called when the connection is there, when it is readable, and when the bell rang. Returns
 * 1: the link is sealed, *peer is the other side's node; 0: it waits for something; -1: *fault says why it failed, and
 * `reason`, if not empty, has more. */
int mioc_tcp_handshake_step(struct mioc_tcp_handshake *handshake, struct mioc_tcp_link *link, int *peer,
                            enum mioc_tcp_fault *fault, char *reason, size_t size);
/* Whether it waits for a proof to be made or checked, and not for the other side. */
int mioc_tcp_handshake_is_proving(const struct mioc_tcp_handshake *handshake);
/* How many of the other side's frames have come. */
int mioc_tcp_handshake_progress(const struct mioc_tcp_handshake *handshake);
/* Whether `node` is `ancestor` itself or below it. */
int mioc_tcp_is_below(int node, int ancestor, int arity);

#endif
