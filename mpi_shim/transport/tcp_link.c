/* SPDX-License-Identifier: BSD-3-Clause */
/* tcp_link.c - frames on one connection, and its queue. */
#include "tcp_link.h"
#include "transport.h"
#include "base/real.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/* Where a message begins in the buffer. An encrypted one stands one byte behind its frame's begin, so that it is
 * decrypted in its place. */
#define MESSAGE_AT 16u

static void forget_cipher(struct mioc_tcp_link *link)
{
    free(link->out_cipher);
    link->out_cipher = NULL;
    link->is_started = 0;
}

void mioc_tcp_link_close(struct mioc_tcp_link *link)
{
    if (link->fd >= 0)
        mioc_real(close)(link->fd);
    link->fd = -1;
    link->is_deaf = 1;
    free(link->buffer);
    free(link->raw);
    link->buffer = link->raw = NULL;
    link->has_frame = 0;
    forget_cipher(link);
    sodium_memzero(&link->in, sizeof link->in);
    sodium_memzero(&link->out, sizeof link->out);
}

/* --- In ---------------------------------------------------------------------------------------------------------- */

static size_t frame_begin(const struct mioc_tcp_link *link) { return MESSAGE_AT - (link->is_encrypted ? 1u : 0u); }

/* How many bytes came into `to`; 0: none are there now; -1. */
static ssize_t receive(struct mioc_tcp_link *link, void *to, size_t most)
{
    ssize_t n;

    do
        n = recv(link->fd, to, most, MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n > 0)
        return n;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return 0;
    if (n == 0)
        errno = ECONNRESET;
    return -1;
}

/* The length is checked before anything is allocated by it. */
static int begin_frame(struct mioc_tcp_link *link)
{
    uint32_t size;

    memcpy(&size, link->head, sizeof size);
    if (size > (link->is_sealed ? MIOC_MESSAGE_MAX : MIOC_TCP_FRAME_MAX)) {
        errno = EMSGSIZE;
        return -1;
    }
    link->buffer = malloc(MESSAGE_AT + size + MIOC_TCP_SEAL + sizeof link->head);
    if (link->buffer == NULL)
        return -1;
    link->size = size;
    link->have = 0;
    link->head_have = 0;
    return 0;
}

static int open_seal(struct mioc_tcp_link *link)
{
    unsigned char *frame = link->buffer + frame_begin(link), *message = link->buffer + MESSAGE_AT, tag;
    int rc;

    if (link->is_encrypted)
        rc = crypto_secretstream_xchacha20poly1305_pull(&link->in, message, NULL, &tag, frame,
                                                        link->size + MIOC_TCP_SEAL, NULL, 0);
    else
        rc = crypto_secretstream_xchacha20poly1305_pull(&link->in, NULL, NULL, &tag, frame + link->size, MIOC_TCP_SEAL,
                                                        message, link->size);
    errno = EBADMSG;
    return rc;
}

/* One read brings the rest of a message and the next one's length. */
static int receive_body(struct mioc_tcp_link *link)
{
    size_t want = link->size + (link->is_sealed ? MIOC_TCP_SEAL : 0);
    size_t ahead = link->is_sealed ? sizeof link->head : 0;
    unsigned char *frame = link->buffer + frame_begin(link);

    while (link->have < want) {
        ssize_t n = receive(link, frame + link->have, want + ahead - link->have);

        if (n <= 0)
            return (int)n;
        link->have += (size_t)n;
    }
    link->head_have = link->have - want;
    memcpy(link->head, frame + want, link->head_have);
    if (link->is_sealed && open_seal(link) != 0)
        return -1;
    link->has_frame = 1;
    return 1;
}

int mioc_tcp_link_receive(struct mioc_tcp_link *link)
{
    if (link->has_frame)
        return 0;
    while (link->buffer == NULL) {
        ssize_t n = 0;

        if (link->head_have < sizeof link->head) {
            n = receive(link, link->head + link->head_have, sizeof link->head - link->head_have);
            if (n <= 0)
                return (int)n;
            link->head_have += (size_t)n;
        }
        if (link->head_have == sizeof link->head && begin_frame(link) != 0)
            return -1;
    }
    return receive_body(link);
}

unsigned char *mioc_tcp_link_frame(struct mioc_tcp_link *link) { return link->buffer + MESSAGE_AT; }

void *mioc_tcp_link_take(struct mioc_tcp_link *link)
{
    void *buffer = link->buffer;

    link->buffer = NULL;
    link->has_frame = 0;
    return buffer;
}

/* --- Out --------------------------------------------------------------------------------------------------------- */

int mioc_tcp_link_say(struct mioc_tcp_link *link, const void *bytes, size_t size)
{
    uint32_t length = (uint32_t)size;
    unsigned char *raw = realloc(link->raw, link->raw_size + sizeof length + size);

    if (raw == NULL)
        return -1;
    memcpy(raw + link->raw_size, &length, sizeof length);
    memcpy(raw + link->raw_size + sizeof length, bytes, size);
    link->raw = raw;
    link->raw_size += sizeof length + size;
    return 0;
}

int mioc_tcp_link_queue(struct mioc_tcp_link *link, void *message, size_t size)
{
    if (link->is_deaf || link->last - link->first == MIOC_TCP_SENDS) {
        errno = link->is_deaf ? EPIPE : EAGAIN;
        return -1;
    }
    link->queue[link->last % MIOC_TCP_SENDS].message = message;
    link->queue[link->last++ % MIOC_TCP_SENDS].size = size;
    return 0;
}

static int seal_next(struct mioc_tcp_link *link)
{
    void *message = link->queue[link->next % MIOC_TCP_SENDS].message;
    size_t size = link->queue[link->next % MIOC_TCP_SENDS].size;
    uint32_t length = (uint32_t)size;

    if (link->is_encrypted) {
        link->out_cipher = malloc(size + MIOC_TCP_SEAL);
        if (link->out_cipher == NULL)
            return -1;
        crypto_secretstream_xchacha20poly1305_push(&link->out, link->out_cipher, NULL, message, size, NULL, 0, 0);
    } else
        crypto_secretstream_xchacha20poly1305_push(&link->out, link->out_seal, NULL, NULL, 0, message, size, 0);
    memcpy(link->out_head, &length, sizeof length);
    link->out_done = 0;
    link->is_started = 1;
    return 0;
}

/* Sends from `done` on. The bytes that the kernel took, 0, or -1: the link is deaf. */
static ssize_t send_parts(struct mioc_tcp_link *link, const struct iovec *parts, int n, size_t done)
{
    struct iovec left[3];
    struct msghdr message = { .msg_iov = left };
    ssize_t sent;

    for (int i = 0; i < n; i++) {
        size_t skip = done < parts[i].iov_len ? done : parts[i].iov_len;

        done -= skip;
        if (skip < parts[i].iov_len)
            left[message.msg_iovlen++] =
                (struct iovec){ (unsigned char *)parts[i].iov_base + skip, parts[i].iov_len - skip };
    }
    do
        sent = mioc_real(sendmsg)(link->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    if (sent >= 0)
        return sent;
    if (errno == EAGAIN || errno == EWOULDBLOCK)
        return 0;
    link->is_deaf = 1;
    return -1;
}

/* 1: all of it is sent. */
static int flush_raw(struct mioc_tcp_link *link)
{
    while (link->raw != NULL) {
        struct iovec part = { link->raw, link->raw_size };
        ssize_t n = send_parts(link, &part, 1, link->raw_done);

        if (n <= 0)
            return 0;
        link->raw_done += (size_t)n;
        if (link->raw_done == link->raw_size) {
            free(link->raw);
            link->raw = NULL;
            link->raw_size = link->raw_done = 0;
        }
    }
    return 1;
}

/* 1: `next` is sent. */
static int flush_next(struct mioc_tcp_link *link)
{
    void *message = link->queue[link->next % MIOC_TCP_SENDS].message;
    size_t size = link->queue[link->next % MIOC_TCP_SENDS].size;
    struct iovec parts[3] = { { link->out_head, sizeof link->out_head } };

    if (!link->is_started && seal_next(link) != 0) { /* no memory: the end of the link, for both sides */
        link->is_deaf = 1;
        (void)shutdown(link->fd, SHUT_RDWR);
        return 0;
    }
    parts[1] =
        link->is_encrypted ? (struct iovec){ link->out_cipher, size + MIOC_TCP_SEAL } : (struct iovec){ message, size };
    parts[2] = (struct iovec){ link->out_seal, link->is_encrypted ? 0 : MIOC_TCP_SEAL };
    while (link->out_done < sizeof link->out_head + size + MIOC_TCP_SEAL) {
        ssize_t n = send_parts(link, parts, 3, link->out_done);

        if (n <= 0)
            return 0;
        link->out_done += (size_t)n;
    }
    forget_cipher(link);
    link->next++;
    return 1;
}

void mioc_tcp_link_flush(struct mioc_tcp_link *link)
{
    if (link->is_deaf || !flush_raw(link))
        return;
    while (link->is_sealed && link->next != link->last && flush_next(link))
        ;
}

uint32_t mioc_tcp_link_wanted(const struct mioc_tcp_link *link)
{
    int has_more = link->raw != NULL || (link->is_sealed && link->next != link->last);

    return (link->has_frame ? 0 : EPOLLIN) | (has_more && !link->is_deaf ? EPOLLOUT : 0);
}
