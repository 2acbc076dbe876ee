/* SPDX-License-Identifier: BSD-3-Clause */
/* wire.h - the messages between agents: how they are composed and checked.
 *
 * A message is a header and its body. Nothing in it is trusted before mioc_wire_parse(). Any thread may call these
 * functions. `path` has `len` bytes. */
#ifndef MIOC_WIRE_H
#define MIOC_WIRE_H

#include "store/item.h"
#include <stddef.h>
#include <stdint.h>

#define MIOC_WIRE_MAGIC 0x4d494f43u /* "MIOC" */
#define MIOC_WIRE_VERSION 5u
/* Most bytes of the body of HELLO and REPORT: agents keep many of them in their queues. */
#define MIOC_WIRE_SMALL_MAX 16384u

/* Flag of HELLO: the sender's store may have been served. */
#define MIOC_HELLO_SERVED 1u

/* Flags of LEAVE. */
#define MIOC_LEAVE_OVER 1u      /* down: the root is gone */
#define MIOC_LEAVE_ELSEWHERE 2u /* down: another ancestor may take the receiver. With neither, none will */
#define MIOC_LEAVE_BELOW 4u     /* up: stores below the sender may be served until their leases end */

enum mioc_message_kind {
    /* Up: the sender wants the record (kind, path). It has the stream below `offset`, its store's end. */
    MIOC_MESSAGE_REQUEST = 1,
    /* Up: `node` wrote this path, under `token`. Flags: MIOC_FLAG_SUBTREE, _STICKY. */
    MIOC_MESSAGE_INVALIDATE,
    /* Down: items of the stream from `offset` on. The bytes of a CHUNK stand behind its item, padded to 8. `token`, if
     * not 0: the receiver's store must not be served before it has the stream below that offset. */
    MIOC_MESSAGE_STREAM,
    /* Both ways: the sender's store is at `offset`. Every store of the sender's subtree (up) or of the job (down) has
     * applied the stream below `token`. With has_joins, up: the sender's time is `clock`; down: the receiver, which
     * said `clock`, may be served for `grant` nanoseconds from then on, or 0: nothing is said of that. */
    MIOC_MESSAGE_HEARTBEAT,
    /* Both ways: the sender's agent ends. A child needs no more, a parent gives no more. Flags: MIOC_LEAVE_. */
    MIOC_MESSAGE_LEAVE,
    /* Up: the report of `node`, a struct mioc_report (stats.h) as bytes. Down, without a body: reports are wanted. */
    MIOC_MESSAGE_REPORT,
    /* Up, the first on a link: `node`, the sender, joins with a store that ends at `offset` of the stream `token` (0:
     * it has none yet), at its time `clock`. The body is what it says of itself. Then it is passed on to the root, with
     * 0 in these three. */
    MIOC_MESSAGE_HELLO,
    /* Down, the first on a link: the sender is of the job and takes the receiver as its child. Of the stream below
     * `offset` no write is waited for any more: STREAM's `token` holds from here on. `token` names the stream; `grant`
     * is as in HEARTBEAT, from HELLO's `clock` on. The body is the root's. */
    MIOC_MESSAGE_WELCOME,
    MIOC_MESSAGE_KINDS
};

/* The header as it stands on the wire, 8-aligned. A field that the kind does not use is 0. */
struct mioc_message {
    uint32_t magic;
    uint16_t version, kind;
    uint32_t size; /* of the whole message */
    uint32_t flags;
    uint32_t record; /* REQUEST: enum mioc_item_kind */
    uint32_t node;   /* INVALIDATE: the writer's; HELLO, REPORT */
    uint64_t offset; /* REQUEST, STREAM, HEARTBEAT, HELLO, WELCOME */
    uint64_t token;  /* INVALIDATE; HEARTBEAT, STREAM: a stream offset; HELLO, WELCOME: which stream */
    uint64_t clock;  /* HELLO, HEARTBEAT */
    uint64_t grant;  /* HEARTBEAT, WELCOME */
    uint32_t body;   /* bytes behind the header */
    uint32_t reserved;
};

/* Compose a message in `buf`, which is 8-aligned and has room for header and body. The message's size; or 0: it would
 * not pass mioc_wire_parse(), or exceeds MIOC_MESSAGE_MAX. */
size_t mioc_wire_request(void *buf, unsigned record, uint64_t offset, const char *path, uint32_t len);
size_t mioc_wire_invalidate(void *buf, uint32_t node, uint64_t token, uint32_t flags, const char *path, uint32_t len);
size_t mioc_wire_plain(void *buf, enum mioc_message_kind kind, uint64_t offset);
size_t mioc_wire_heartbeat(void *buf, uint64_t offset, uint64_t applied);
size_t mioc_wire_leave(void *buf, uint32_t flags);
/* Adds a lease's fields to a HELLO, HEARTBEAT or WELCOME; `stream` to the first and the last. */
void mioc_wire_add_lease(void *buf, uint64_t clock, uint64_t grant);
void mioc_wire_add_stream(void *buf, uint64_t stream, uint32_t flags);
/* `body` may stand in its place behind the header already. */
size_t mioc_wire_body(void *buf, enum mioc_message_kind kind, uint64_t offset, const void *body, uint32_t size);
size_t mioc_wire_stream(void *buf, uint64_t offset, uint64_t needed, const void *body, uint32_t size);
size_t mioc_wire_hello(void *buf, uint32_t node, uint64_t offset, const void *body, uint32_t size);
size_t mioc_wire_report(void *buf, uint32_t node, const void *body, uint32_t size);

/* Checks the header and, of REQUEST and INVALIDATE, the path (absolute, with a NUL behind it and none inside). The
 * message, which is `bytes` itself; or NULL with EPROTO. `bytes` is 8-aligned. */
const struct mioc_message *mioc_wire_parse(const void *bytes, size_t size);
/* Path of a checked REQUEST or INVALIDATE. */
const char *mioc_wire_path(const struct mioc_message *m, uint32_t *len);

/* The next item of a STREAM body, checked by mioc_item_check() and with local_* fields of 0; and, of a CHUNK, its
 * bytes. Both point into the message. Begin with *at = 0. 1; 0: the body has no more; -1 (EPROTO): it is malformed. */
int mioc_wire_next_item(const struct mioc_message *m, uint32_t *at, const struct mioc_item **item, const void **bytes);

#endif
