/* SPDX-License-Identifier: BSD-3-Clause */
/* wire.c - composes and checks the messages between agents. */
#include "wire.h"
#include "base/path.h"
#include "store/ring.h"
#include "transport/transport.h"

#include <errno.h>
#include <string.h>

#define BODY_MAX (MIOC_MESSAGE_MAX - (uint32_t)sizeof(struct mioc_message))

_Static_assert(sizeof(struct mioc_message) % MIOC_ITEM_ALIGN == 0, "items behind the header are aligned");
_Static_assert(sizeof(struct mioc_chunk_record) + MIOC_CHUNK_MAX <= BODY_MAX && MIOC_ITEM_MAX <= BODY_MAX,
               "every item fits a message");

static uint32_t aligned(uint32_t size) { return (size + MIOC_ITEM_ALIGN - 1) & ~(MIOC_ITEM_ALIGN - 1); }

/* --- Composing --------------------------------------------------------------------------------------------------- */

static struct mioc_message *begin(void *buf, enum mioc_message_kind kind, uint64_t offset, uint32_t body)
{
    struct mioc_message *m = buf;

    *m = (struct mioc_message){
        .magic = MIOC_WIRE_MAGIC,
        .version = MIOC_WIRE_VERSION,
        .kind = (uint16_t)kind,
        .size = (uint32_t)sizeof(*m) + body,
        .offset = offset,
        .body = body,
    };
    return m;
}

static size_t finish_path(struct mioc_message *m, const char *path, uint32_t len)
{
    char *place = (char *)(m + 1);

    memcpy(place, path, len);
    place[len] = '\0';
    return m->size;
}

size_t mioc_wire_request(void *buf, unsigned record, uint64_t offset, const char *path, uint32_t len)
{
    struct mioc_message *m;

    if (!mioc_item_is_record(record) || !mioc_path_is_sound(path, len))
        return 0;
    m = begin(buf, MIOC_MESSAGE_REQUEST, offset, len + 1);
    m->record = record;
    return finish_path(m, path, len);
}

size_t mioc_wire_invalidate(void *buf, uint32_t node, uint64_t token, uint32_t flags, const char *path, uint32_t len)
{
    struct mioc_message *m;

    if (!mioc_path_is_sound(path, len) || (flags & ~(MIOC_FLAG_SUBTREE | MIOC_FLAG_STICKY)) != 0)
        return 0;
    m = begin(buf, MIOC_MESSAGE_INVALIDATE, 0, len + 1);
    m->node = node;
    m->token = token;
    m->flags = flags;
    return finish_path(m, path, len);
}

size_t mioc_wire_plain(void *buf, enum mioc_message_kind kind, uint64_t offset)
{
    return begin(buf, kind, offset, 0)->size;
}

size_t mioc_wire_heartbeat(void *buf, uint64_t offset, uint64_t applied)
{
    struct mioc_message *m = begin(buf, MIOC_MESSAGE_HEARTBEAT, offset, 0);

    m->token = applied;
    return m->size;
}

size_t mioc_wire_leave(void *buf, uint32_t flags)
{
    struct mioc_message *m = begin(buf, MIOC_MESSAGE_LEAVE, 0, 0);

    m->flags = flags;
    return m->size;
}

void mioc_wire_add_lease(void *buf, uint64_t clock, uint64_t grant)
{
    ((struct mioc_message *)buf)->clock = clock;
    ((struct mioc_message *)buf)->grant = grant;
}

void mioc_wire_add_stream(void *buf, uint64_t stream, uint32_t flags)
{
    ((struct mioc_message *)buf)->token = stream;
    ((struct mioc_message *)buf)->flags = flags;
}

size_t mioc_wire_body(void *buf, enum mioc_message_kind kind, uint64_t offset, const void *body, uint32_t size)
{
    struct mioc_message *m = buf;

    if (size > BODY_MAX)
        return 0;
    if (size > 0 && body != m + 1)
        memcpy(m + 1, body, size);
    return begin(buf, kind, offset, size)->size;
}

size_t mioc_wire_stream(void *buf, uint64_t offset, uint64_t needed, const void *body, uint32_t size)
{
    size_t whole = mioc_wire_body(buf, MIOC_MESSAGE_STREAM, offset, body, size);

    ((struct mioc_message *)buf)->token = needed;
    return whole;
}

/* HELLO or REPORT. */
static size_t compose_small(void *buf, enum mioc_message_kind kind, uint32_t node, uint64_t offset, const void *body,
                            uint32_t size)
{
    if (size > MIOC_WIRE_SMALL_MAX)
        return 0;
    (void)mioc_wire_body(buf, kind, offset, body, size);
    ((struct mioc_message *)buf)->node = node;
    return ((struct mioc_message *)buf)->size;
}

size_t mioc_wire_hello(void *buf, uint32_t node, uint64_t offset, const void *body, uint32_t size)
{
    return compose_small(buf, MIOC_MESSAGE_HELLO, node, offset, body, size);
}

size_t mioc_wire_report(void *buf, uint32_t node, const void *body, uint32_t size)
{
    return compose_small(buf, MIOC_MESSAGE_REPORT, node, 0, body, size);
}

/* --- Checking ---------------------------------------------------------------------------------------------------- */

static int is_body_sound(const struct mioc_message *m)
{
    const char *body = (const char *)(m + 1);

    switch (m->kind) {
    case MIOC_MESSAGE_REQUEST:
    case MIOC_MESSAGE_INVALIDATE:
        return m->body > 1 && body[m->body - 1] == '\0' && mioc_path_is_sound(body, m->body - 1);
    case MIOC_MESSAGE_STREAM: return m->body > 0; /* mioc_wire_next_item() checks the items */
    case MIOC_MESSAGE_HELLO:
    case MIOC_MESSAGE_REPORT: return m->body <= MIOC_WIRE_SMALL_MAX;
    case MIOC_MESSAGE_WELCOME: return 1;
    default: return m->body == 0;
    }
}

static uint32_t flags_of(const struct mioc_message *m)
{
    switch (m->kind) {
    case MIOC_MESSAGE_INVALIDATE: return MIOC_FLAG_SUBTREE | MIOC_FLAG_STICKY;
    case MIOC_MESSAGE_HELLO: return MIOC_HELLO_SERVED;
    case MIOC_MESSAGE_LEAVE: return MIOC_LEAVE_OVER | MIOC_LEAVE_ELSEWHERE | MIOC_LEAVE_BELOW;
    default: return 0;
    }
}

static int is_token_sound(const struct mioc_message *m)
{
    switch (m->kind) {
    case MIOC_MESSAGE_INVALIDATE:
    case MIOC_MESSAGE_HELLO:
    case MIOC_MESSAGE_WELCOME: return 1;
    case MIOC_MESSAGE_HEARTBEAT:
    case MIOC_MESSAGE_STREAM: return m->token % MIOC_ITEM_ALIGN == 0;
    default: return m->token == 0;
    }
}

/* A field that the kind does not use must be 0, so that a later version can use it. */
static int are_fields_sound(const struct mioc_message *m)
{
    int has_node =
        m->kind == MIOC_MESSAGE_INVALIDATE || m->kind == MIOC_MESSAGE_HELLO || m->kind == MIOC_MESSAGE_REPORT;
    int has_clock = m->kind == MIOC_MESSAGE_HEARTBEAT || m->kind == MIOC_MESSAGE_HELLO;
    int has_grant = m->kind == MIOC_MESSAGE_HEARTBEAT || m->kind == MIOC_MESSAGE_WELCOME;

    if ((m->flags & ~flags_of(m)) != 0 || m->offset % MIOC_ITEM_ALIGN != 0 || m->reserved != 0)
        return 0;
    if ((!has_node && m->node != 0) || (!has_clock && m->clock != 0) || (!has_grant && m->grant != 0))
        return 0;
    if (!is_token_sound(m))
        return 0;
    return m->kind == MIOC_MESSAGE_REQUEST ? mioc_item_is_record(m->record) : m->record == 0;
}

const struct mioc_message *mioc_wire_parse(const void *bytes, size_t size)
{
    const struct mioc_message *m = bytes;

    if ((uintptr_t)bytes % MIOC_ITEM_ALIGN == 0 && size >= sizeof(*m) && size <= MIOC_MESSAGE_MAX &&
        m->magic == MIOC_WIRE_MAGIC && m->version == MIOC_WIRE_VERSION && m->kind > 0 && m->kind < MIOC_MESSAGE_KINDS &&
        m->size == size && m->body == size - sizeof(*m) && are_fields_sound(m) && is_body_sound(m))
        return m;
    errno = EPROTO;
    return NULL;
}

const char *mioc_wire_path(const struct mioc_message *m, uint32_t *len)
{
    *len = m->body - 1;
    return (const char *)(m + 1);
}

int mioc_wire_next_item(const struct mioc_message *m, uint32_t *at, const struct mioc_item **item, const void **bytes)
{
    const char *body = (const char *)(m + 1);
    const struct mioc_item *found;
    uint32_t left, behind = 0;

    if (*at == m->body)
        return 0;
    if (*at > m->body || mioc_item_check(body + *at, m->body - *at) != 0)
        goto malformed;
    found = (const void *)(body + *at);
    left = m->body - *at - found->size;
    if (found->local_dead != 0 || found->local_applied_ms != 0)
        goto malformed;
    if (found->kind == MIOC_ITEM_CHUNK) {
        behind = aligned(((const struct mioc_chunk_record *)found)->length);
        if (behind > left)
            goto malformed;
    }
    *item = found;
    *bytes = behind > 0 ? (const char *)found + found->size : NULL;
    *at += found->size + behind;
    return 1;
malformed:
    errno = EPROTO;
    return -1;
}
