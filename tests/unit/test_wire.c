/* SPDX-License-Identifier: BSD-3-Clause */
/* test_wire.c - messages come back as they were composed, and nothing else passes the check. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "transport/transport.h"
#include "agent/wire.h"
#include "store/ring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static _Alignas(8) char message[MIOC_MESSAGE_MAX], item_buf[MIOC_ITEM_MAX];

static void refused(const void *bytes, size_t size)
{
    errno = 0;
    assert_null(mioc_wire_parse(bytes, size));
    assert_int_equal(errno, EPROTO);
}

/* --- Composing --------------------------------------------------------------------------------------------------- */

static void request_composed_comes_back(void **state)
{
    (void)state;
    const char *path = "/lib/python3/os.py";
    size_t size = mioc_wire_request(message, MIOC_ITEM_CONTENT, 4096, path, (uint32_t)strlen(path));
    const struct mioc_message *m = mioc_wire_parse(message, size);
    uint32_t len;

    assert_non_null(m);
    assert_int_equal(size, sizeof *m + strlen(path) + 1);
    assert_int_equal(m->kind, MIOC_MESSAGE_REQUEST);
    assert_int_equal(m->record, MIOC_ITEM_CONTENT);
    assert_int_equal(m->offset, 4096);
    assert_string_equal(mioc_wire_path(m, &len), path);
    assert_int_equal(len, strlen(path));
}

static void invalidate_composed_comes_back(void **state)
{
    (void)state;
    size_t size = mioc_wire_invalidate(message, 17, 0xfedcba9876543210u, MIOC_FLAG_SUBTREE | MIOC_FLAG_STICKY, "/a", 2);
    const struct mioc_message *m = mioc_wire_parse(message, size);
    uint32_t len;

    assert_non_null(m);
    assert_int_equal(m->kind, MIOC_MESSAGE_INVALIDATE);
    assert_int_equal(m->node, 17);
    assert_int_equal(m->token, 0xfedcba9876543210u);
    assert_int_equal(m->flags, MIOC_FLAG_SUBTREE | MIOC_FLAG_STICKY);
    assert_string_equal(mioc_wire_path(m, &len), "/a");
}

static void plain_and_body_composed_come_back(void **state)
{
    (void)state;
    const struct mioc_message *m = mioc_wire_parse(message, mioc_wire_plain(message, MIOC_MESSAGE_HEARTBEAT, 64));

    assert_non_null(m);
    assert_int_equal(m->offset, 64);
    assert_int_equal(m->body, 0);
    m = mioc_wire_parse(message, mioc_wire_heartbeat(message, 64, 32));
    assert_non_null(m);
    assert_int_equal(m->offset, 64);
    assert_int_equal(m->token, 32);
    refused(message, mioc_wire_heartbeat(message, 64, 33));
    m = mioc_wire_parse(message, mioc_wire_plain(message, MIOC_MESSAGE_LEAVE, 0));
    assert_non_null(m);
    m = mioc_wire_parse(message, mioc_wire_report(message, 5, "report", 6));
    assert_non_null(m);
    assert_int_equal(m->node, 5);
    assert_int_equal(m->body, 6);
    assert_memory_equal(m + 1, "report", 6);
    m = mioc_wire_parse(message, mioc_wire_hello(message, 6, 128, "hello", 5));
    assert_non_null(m);
    assert_int_equal(m->kind, MIOC_MESSAGE_HELLO);
    assert_int_equal(m->node, 6);
    assert_int_equal(m->offset, 128);
    assert_memory_equal(m + 1, "hello", 5);
    m = mioc_wire_parse(message, mioc_wire_body(message, MIOC_MESSAGE_WELCOME, 256, "welcome", 7));
    assert_non_null(m);
    assert_int_equal(m->offset, 256);
    assert_memory_equal(m + 1, "welcome", 7);
    refused(message, mioc_wire_body(message, MIOC_MESSAGE_WELCOME, 4, "welcome", 7));
    m = mioc_wire_parse(message, mioc_wire_stream(message, 64, 128, "12345678", 8));
    assert_non_null(m);
    assert_int_equal(m->token, 128);
    refused(message, mioc_wire_stream(message, 64, 127, "12345678", 8));
}

static void body_too_large_is_not_composed(void **state)
{
    (void)state;
    uint32_t most = MIOC_MESSAGE_MAX - sizeof(struct mioc_message);
    char *in_place = message + sizeof(struct mioc_message);

    assert_int_equal(mioc_wire_body(message, MIOC_MESSAGE_WELCOME, 0, in_place, most), MIOC_MESSAGE_MAX);
    assert_int_equal(mioc_wire_body(message, MIOC_MESSAGE_WELCOME, 0, in_place, most + 1), 0);
    assert_int_equal(mioc_wire_body(message, MIOC_MESSAGE_WELCOME, 0, in_place, UINT32_MAX), 0);
    assert_int_not_equal(mioc_wire_hello(message, 1, 0, in_place, MIOC_WIRE_SMALL_MAX), 0);
    assert_int_equal(mioc_wire_hello(message, 1, 0, in_place, MIOC_WIRE_SMALL_MAX + 1), 0);
    assert_int_equal(mioc_wire_report(message, 1, in_place, MIOC_WIRE_SMALL_MAX + 1), 0);
    for (int kind = MIOC_MESSAGE_REPORT; kind <= MIOC_MESSAGE_HELLO; kind++)
        refused(message, mioc_wire_body(message, (enum mioc_message_kind)kind, 0, in_place, MIOC_WIRE_SMALL_MAX + 1));
}

static void path_malformed_is_not_composed(void **state)
{
    (void)state;
    static char longest[MIOC_PATH_MAX + 1];
    const struct {
        const char *path;
        uint32_t len;
        int is_ok;
    } row[] = {
        { "/", 1, 1 },
        { "", 0, 0 },
        { "a", 1, 0 },
        { "relative/x", 10, 0 },
        { "/a\0b", 4, 0 },
        { longest, MIOC_PATH_MAX - 1, 1 },
        { longest, MIOC_PATH_MAX, 0 },
    };

    memset(longest, 'x', sizeof longest);
    longest[0] = '/';
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        assert_int_equal(mioc_wire_request(message, MIOC_ITEM_STAT, 0, row[i].path, row[i].len) != 0, row[i].is_ok);
        assert_int_equal(mioc_wire_invalidate(message, 1, 1, 0, row[i].path, row[i].len) != 0, row[i].is_ok);
    }
    assert_int_equal(mioc_wire_request(message, MIOC_ITEM_CHUNK, 0, "/a", 2), 0);
    assert_int_equal(mioc_wire_request(message, MIOC_ITEM_INVALIDATE, 0, "/a", 2), 0);
    assert_int_equal(mioc_wire_request(message, 0, 0, "/a", 2), 0);
    assert_int_equal(mioc_wire_invalidate(message, 1, 1, MIOC_FLAG_UNCACHED, "/a", 2), 0);
}

/* --- Checking ---------------------------------------------------------------------------------------------------- */

static void header_field_wrong_is_refused(void **state)
{
    (void)state;
#define FIELD(name, value) offsetof(struct mioc_message, name), sizeof((struct mioc_message *)0)->name, value
    const struct {
        size_t at, size;
        uint64_t value;
    } row[] = {
        { FIELD(magic, 0) },
        { FIELD(version, MIOC_WIRE_VERSION + 1) },
        { FIELD(kind, 0) },
        { FIELD(kind, MIOC_MESSAGE_KINDS) },
        { FIELD(kind, MIOC_MESSAGE_HEARTBEAT) },
        { FIELD(kind, MIOC_MESSAGE_INVALIDATE) },
        { FIELD(size, 0) },
        { FIELD(size, UINT32_MAX) },
        { FIELD(flags, MIOC_FLAG_SUBTREE) },
        { FIELD(record, 0) },
        { FIELD(record, MIOC_ITEM_CHUNK) },
        { FIELD(record, MIOC_ITEM_KINDS) },
        { FIELD(node, 1) },
        { FIELD(offset, 1) },
        { FIELD(token, 1) },
        { FIELD(body, 0) },
        { FIELD(body, 4) },
        { FIELD(body, UINT32_MAX) },
        { FIELD(reserved, 1) },
    };
#undef FIELD

    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        size_t size = mioc_wire_request(message, MIOC_ITEM_STAT, 8, "/abc", 4);

        assert_non_null(mioc_wire_parse(message, size));
        memcpy(message + row[i].at, &row[i].value, row[i].size);
        refused(message, size);
    }
}

static void path_on_the_wire_malformed_is_refused(void **state)
{
    (void)state;
    size_t size = mioc_wire_request(message, MIOC_ITEM_STAT, 8, "/abc", 4), path = sizeof(struct mioc_message);

    message[path] = 'x';
    refused(message, size);
    message[path] = '/';
    message[path + 2] = '\0';
    refused(message, size);
    message[path + 2] = 'b';
    message[path + 4] = 'x';
    refused(message, size);
    message[path + 4] = '\0';
    assert_non_null(mioc_wire_parse(message, size));
}

static void size_other_than_said_is_refused(void **state)
{
    (void)state;
    size_t size = mioc_wire_request(message, MIOC_ITEM_STAT, 8, "/abc", 4);

    for (size_t i = 0; i < size; i++)
        refused(message, i);
    refused(message, size + 1);
    refused(message, MIOC_MESSAGE_MAX + 1ul);
    memmove(message + 1, message, size);
    refused(message + 1, size);
    assert_int_not_equal(mioc_wire_plain(message, MIOC_MESSAGE_STREAM, 0), 0);
    refused(message, sizeof(struct mioc_message));
}

/* --- Streams ----------------------------------------------------------------------------------------------------- */

static uint32_t add_item(char *to, unsigned kind, const char *path)
{
    struct mioc_chunk_record *chunk = (void *)item_buf;
    uint32_t size;

    if (kind == MIOC_ITEM_CHUNK) {
        char *end = mioc_item_begin(item_buf, kind, 0, "", 0);

        *chunk =
            (struct mioc_chunk_record){ .item = chunk->item, .content = 3, .length = 13, .offset = 5, .total = 18 };
        size = mioc_item_finish(item_buf, end);
        memcpy(to, item_buf, size);
        memcpy(to + size, "thirteenbytes\0\0", 16);
        return size + 16;
    }
    size =
        mioc_item_finish(item_buf, mioc_item_begin(item_buf, kind, MIOC_FLAG_UNCACHED, path, (uint32_t)strlen(path)));
    memcpy(to, item_buf, size);
    return size;
}

static size_t compose_stream(void)
{
    char *body = message + sizeof(struct mioc_message);
    uint32_t at = 0;

    at += add_item(body + at, MIOC_ITEM_STAT, "/lib/a");
    at += add_item(body + at, MIOC_ITEM_CHUNK, NULL);
    at += add_item(body + at, MIOC_ITEM_INVALIDATE, "/lib/b");
    at += add_item(body + at, MIOC_ITEM_LIST, "/lib");
    return mioc_wire_body(message, MIOC_MESSAGE_STREAM, 800, body, at);
}

static void stream_composed_is_walked_whole(void **state)
{
    (void)state;
    const unsigned kinds[] = { MIOC_ITEM_STAT, MIOC_ITEM_CHUNK, MIOC_ITEM_INVALIDATE, MIOC_ITEM_LIST };
    const struct mioc_message *m = mioc_wire_parse(message, compose_stream());
    const struct mioc_item *item;
    const void *bytes;
    uint32_t at = 0;

    assert_non_null(m);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(mioc_wire_next_item(m, &at, &item, &bytes), 1);
        assert_int_equal(item->kind, kinds[i]);
        assert_int_equal(bytes != NULL, kinds[i] == MIOC_ITEM_CHUNK);
        if (bytes)
            assert_memory_equal(bytes, "thirteenbytes", 13);
    }
    assert_int_equal(mioc_wire_next_item(m, &at, &item, &bytes), 0);
    assert_int_equal(at, m->body);
}

static void stream_with_local_fields_is_refused(void **state)
{
    (void)state;
    const struct mioc_item *item;
    const void *bytes;

    for (unsigned i = 0; i < 2; i++) {
        size_t size = compose_stream();
        struct mioc_item *first = (void *)(message + sizeof(struct mioc_message));
        uint32_t at = 0;

        if (i == 0)
            first->local_dead = 1;
        else
            first->local_applied_ms = 1;
        assert_int_equal(mioc_wire_next_item(mioc_wire_parse(message, size), &at, &item, &bytes), -1);
        assert_int_equal(errno, EPROTO);
        assert_int_equal(at, 0);
    }
}

static void stream_cut_anywhere_is_refused_there(void **state)
{
    (void)state;
    size_t size = compose_stream(), whole = 0;
    char *copy = malloc(size);

    memcpy(copy, message, size);
    for (size_t cut = sizeof(struct mioc_message) + 1; cut < size; cut++) {
        uint32_t at = 0, body = (uint32_t)(cut - sizeof(struct mioc_message));
        const struct mioc_message *m;
        const struct mioc_item *item;
        const void *bytes;
        int rc;

        m = mioc_wire_parse(message, mioc_wire_body(message, MIOC_MESSAGE_STREAM, 0, copy + sizeof *m, body));
        assert_non_null(m);
        while ((rc = mioc_wire_next_item(m, &at, &item, &bytes)) == 1)
            ;
        whole += rc == 0; /* where the cut falls between two items */
        assert_true(at <= body);
    }
    assert_int_equal(whole, 3);
    free(copy);
}

/* --- Mutations --------------------------------------------------------------------------------------------------- */

static uint64_t next_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static volatile unsigned touched; /* reading is the test */

static void walk(const struct mioc_message *m)
{
    const struct mioc_item *item;
    const void *bytes;
    uint32_t at = 0, len;

    if (m->kind == MIOC_MESSAGE_REQUEST || m->kind == MIOC_MESSAGE_INVALIDATE) {
        const char *path = mioc_wire_path(m, &len);

        assert_int_equal(strlen(path), len);
        assert_int_equal(path[0], '/');
    }
    while (m->kind == MIOC_MESSAGE_STREAM && mioc_wire_next_item(m, &at, &item, &bytes) == 1) {
        if (item->kind == MIOC_ITEM_CHUNK)
            touched += ((const unsigned char *)bytes)[((const struct mioc_chunk_record *)item)->length - 1];
        else
            assert_int_equal(mioc_item_path(item)[0], '/');
    }
}

/* Run under AddressSanitizer each copy ends where its allocation ends. */
static void message_mutated_never_breaks_the_reader(void **state)
{
    (void)state;
    uint64_t seed = 88172645463325252u;
    unsigned passed = 0;

    for (unsigned round = 0; round < 60000; round++) {
        size_t size = round % 3 == 0   ? mioc_wire_request(message, MIOC_ITEM_LIST, 16, "/lib/python", 11)
                      : round % 3 == 1 ? mioc_wire_invalidate(message, 3, 4, MIOC_FLAG_STICKY, "/lib/x.py", 9)
                                       : compose_stream();
        char *copy;

        if (next_random(&seed) % 8 == 0)
            size = next_random(&seed) % (size + 1);
        copy = malloc(size ? size : 1);
        memcpy(copy, message, size);
        for (uint64_t n = next_random(&seed) % 5; n > 0 && size > 0; n--)
            copy[next_random(&seed) % (next_random(&seed) % 2 && size > 80 ? 80 : size)] =
                (char)(next_random(&seed) % 4 ? next_random(&seed) % 16 : next_random(&seed));
        const struct mioc_message *m = mioc_wire_parse(copy, size);

        if (m)
            walk(m);
        passed += m != NULL;
        free(copy);
    }
    assert_in_range(passed, 6000, 54000); /* both ways were tried often */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(request_composed_comes_back),
        cmocka_unit_test(invalidate_composed_comes_back),
        cmocka_unit_test(plain_and_body_composed_come_back),
        cmocka_unit_test(body_too_large_is_not_composed),
        cmocka_unit_test(path_malformed_is_not_composed),
        cmocka_unit_test(header_field_wrong_is_refused),
        cmocka_unit_test(path_on_the_wire_malformed_is_refused),
        cmocka_unit_test(size_other_than_said_is_refused),
        cmocka_unit_test(stream_composed_is_walked_whole),
        cmocka_unit_test(stream_with_local_fields_is_refused),
        cmocka_unit_test(stream_cut_anywhere_is_refused_there),
        cmocka_unit_test(message_mutated_never_breaks_the_reader),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
