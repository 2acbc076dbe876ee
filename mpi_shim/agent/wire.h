/* SPDX-License-Identifier: BSD-3-Clause */
/* wire.h - the messages between agents. One message is a header and its body; nothing is trusted before
 * mioc_wire_parse(). */
#ifndef MIOC_WIRE_H
#define MIOC_WIRE_H

#include "store/item.h"
#include <stddef.h>
#include <stdint.h>

#define MIOC_WIRE_MAGIC 0x4d494f43u /* "MIOC" */
#define MIOC_WIRE_VERSION 3u

enum mioc_message_kind {
    MIOC_MESSAGE_REQUEST = 1, /* up: (kind, path) wanted, at or behind stream offset `offset`: the sender's end */
    MIOC_MESSAGE_INVALIDATE,  /* up: path written on `node`, `token`; flags MIOC_FLAG_SUBTREE, _STICKY */
    MIOC_MESSAGE_STREAM,    /* down: items from stream offset `offset`; behind each CHUNK item its bytes, padded to 8 */
    MIOC_MESSAGE_HEARTBEAT, /* both: offset = how far the sender's store is; token = how far (up) all stores of its
                               subtree, (down) all stores of the job are */
    MIOC_MESSAGE_LEAVE,     /* both: the sender's agent ends; a child needs no more, a parent gives no more */
    MIOC_MESSAGE_REPORT,    /* up: struct mioc_report as bytes (stats.h) */
    MIOC_MESSAGE_KINDS
};

struct mioc_message { /* the header as it stands on the wire, 8-aligned */
    uint32_t magic;
    uint16_t version, kind;
    uint32_t size; /* of the whole message */
    uint32_t flags;
    uint32_t record; /* REQUEST: enum mioc_item_kind */
    uint32_t node;   /* INVALIDATE: who asked */
    uint64_t offset; /* REQUEST, STREAM, HEARTBEAT */
    uint64_t token;  /* INVALIDATE; HEARTBEAT: a stream offset */
    uint32_t body;   /* bytes behind the header */
    uint32_t reserved;
};


/* Composes header and body in buf, which is 8-aligned and large enough for them; the message's size, or 0 if it would
 * not pass mioc_wire_parse() or does not fit MIOC_MESSAGE_MAX. A body may stand in its place behind the header already.
 */
size_t mioc_wire_request(void *buf, unsigned record, uint64_t offset, const char *path, uint32_t len);
size_t mioc_wire_invalidate(void *buf, uint32_t node, uint64_t token, uint32_t flags, const char *path, uint32_t len);
size_t mioc_wire_plain(void *buf, enum mioc_message_kind kind, uint64_t offset);
size_t mioc_wire_heartbeat(void *buf, uint64_t offset, uint64_t applied);
size_t mioc_wire_body(void *buf, enum mioc_message_kind kind, uint64_t offset, const void *body, uint32_t size);

/* Checks header and, for REQUEST and INVALIDATE, the path (absolute, NUL-terminated, no NUL inside). `bytes` is
 * 8-aligned. The message, or NULL with EPROTO. */
const struct mioc_message *mioc_wire_parse(const void *bytes, size_t size);
/* Path of a checked REQUEST or INVALIDATE. */
const char *mioc_wire_path(const struct mioc_message *m, uint32_t *len);

/* Walks a STREAM body: *item and, for a CHUNK, *bytes; each item is mioc_item_check()ed and its local_* fields are
 * zero. Start with *at = 0. 1, 0 at the end, -1 (EPROTO). */
int mioc_wire_next_item(const struct mioc_message *m, uint32_t *at, const struct mioc_item **item, const void **bytes);

#endif
