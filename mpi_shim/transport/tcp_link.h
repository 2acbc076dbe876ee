/* SPDX-License-Identifier: BSD-3-Clause */
/* tcp_link.h - frames on one connection, which has a queue of messages to send.
 *
 * A frame is a length (4 bytes) and so many bytes. Once the link is sealed, a frame is a message, with 17 bytes behind
 * it that authenticate it and its place in the order, or the encrypted message in its stead. Nothing blocks, nothing
 * raises a signal. One thread. */
#ifndef MIOC_TCP_LINK_H
#define MIOC_TCP_LINK_H

#include <sodium.h>
#include <stddef.h>
#include <stdint.h>

#define MIOC_TCP_SEAL crypto_secretstream_xchacha20poly1305_ABYTES
#define MIOC_TCP_HEADER crypto_secretstream_xchacha20poly1305_HEADERBYTES
/* The most bytes of a frame before the link is sealed. */
#define MIOC_TCP_FRAME_MAX 4096u
/* The most messages under way on one link. */
#define MIOC_TCP_SENDS 32u

struct mioc_tcp_link {
    int fd; /* -1: closed */
    int is_sealed, is_encrypted;
    crypto_secretstream_xchacha20poly1305_state in, out;

    /* The frame that comes in. */
    unsigned char head[4];
    size_t head_have;
    unsigned char *buffer; /* from malloc() */
    size_t size, have;     /* bytes of the message; bytes that came behind the length */
    int has_frame;         /* it is complete and checked, at mioc_tcp_link_frame() */

    /* The frame that goes out. */
    unsigned char *raw; /* frames without a seal: they go before all messages */
    size_t raw_size, raw_done;
    struct {
        void *message;
        size_t size;
    } queue[MIOC_TCP_SENDS];
    unsigned first, next, last; /* of the queue: the oldest that is not given back; the oldest that is not sent; end */
    int is_started;             /* `next` is sealed, and out_done of its bytes are sent */
    size_t out_done;
    unsigned char out_head[4], out_seal[MIOC_TCP_SEAL];
    unsigned char *out_cipher; /* the encrypted message, from malloc() */
    int is_deaf;               /* nothing can be sent any more; what has come may still be read */
};

/* Closes it and frees what it has, but for the queue's messages: those from `first` to `last` are the caller's again.
 */
void mioc_tcp_link_close(struct mioc_tcp_link *link);

/* Reads until one frame is complete. Returns 1; 0: it is not, or another one still lies there; -1 with errno: nothing
 * more comes (ECONNRESET: the other side has ended; EMSGSIZE, EBADMSG: it says what it must not). */
int mioc_tcp_link_receive(struct mioc_tcp_link *link);
/* The complete frame's bytes, 16-aligned; link->size of them. */
unsigned char *mioc_tcp_link_frame(struct mioc_tcp_link *link);
/* Forgets the complete frame. Returns its buffer, which is to be freed when its bytes are not needed any more. */
void *mioc_tcp_link_take(struct mioc_tcp_link *link);

/* Adds a frame without a seal, which mioc_tcp_link_flush() sends. 0, or -1 (ENOMEM). */
int mioc_tcp_link_say(struct mioc_tcp_link *link, const void *bytes, size_t size);
/* Adds a message to the queue. 0; or -1, EAGAIN: the queue is full, EPIPE: the other side is gone. */
int mioc_tcp_link_queue(struct mioc_tcp_link *link, void *message, size_t size);
/* Sends as much as the kernel takes. */
void mioc_tcp_link_flush(struct mioc_tcp_link *link);
/* The events of epoll that matter now. */
uint32_t mioc_tcp_link_wanted(const struct mioc_tcp_link *link);

#endif
