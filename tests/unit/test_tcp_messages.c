/* SPDX-License-Identifier: BSD-3-Clause */
/* test_tcp_messages.c - messages come whole and in order, buffers come back once, whatever the other side does. */
#include "tcp_fixture.h"

#include "transport/tcp_link.h"

static const size_t sizes[] = { 1, 56, MIOC_MESSAGE_MAX, 0, 8, 4096, 65537, 17, MIOC_MESSAGE_MAX - 1, 100000, 3 };
#define SIZES (sizeof sizes / sizeof sizes[0])

static unsigned put[2], got[2]; /* messages that node i has sent, and that have come from it */
static unsigned refusals;       /* EAGAIN */

static void fill(unsigned char *bytes, int from, unsigned number, size_t size)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)(i * 31 + number * 7 + (unsigned)from);
}

static void check_message(int node, const struct mioc_event *event)
{
    static unsigned char expected[MIOC_MESSAGE_MAX];

    if (event->kind == MIOC_EVENT_SENT || (event->kind == MIOC_EVENT_LOST && event->data != NULL))
        free(event->data);
    if (event->kind != MIOC_EVENT_MESSAGE)
        return;
    assert_int_equal(event->size, sizes[got[event->peer] % SIZES]);
    fill(expected, event->peer, got[event->peer]++, event->size);
    assert_memory_equal(event->data, expected, event->size);
    (void)node;
}

/* As many as it takes, but not more than `most` in all. */
static void put_messages(int from, unsigned most)
{
    while (put[from] < most) {
        size_t size = sizes[put[from] % SIZES];
        unsigned char *message = malloc(size + 1);

        fill(message, from, put[from], size);
        if (ops->send(tcp.node[from].t, !from, message, size) != 0) {
            assert_int_equal(errno, EAGAIN);
            refusals++;
            free(message);
            return;
        }
        put[from]++;
    }
}

static void join_two(int is_encrypted)
{
    tcp_begin(2, is_encrypted);
    memset(put, 0, sizeof put);
    memset(got, 0, sizeof got);
    refusals = 0;
    for (int i = 0; i < 2; i++) {
        tcp_open_node(i);
        tcp.node[i].taken = check_message;
    }
    TCP_UNTIL(tcp_is_complete());
}

static void messages_keep_their_order_under_back_pressure(void **state)
{
    const unsigned most = 40 * SIZES;

    (void)state;
    for (int is_encrypted = 0; is_encrypted <= 1; is_encrypted++) {
        join_two(is_encrypted);
        put_messages(0, most); /* more than the kernel takes: nobody reads yet */
        put_messages(1, most);
        assert_int_equal(refusals, 2);
        while (got[0] < most || got[1] < most) {
            uint64_t until = mioc_clock_ns() + TCP_PATIENCE_NS;

            tcp_turn(until);
            assert_true(mioc_clock_ns() < until);
            put_messages(0, most);
            put_messages(1, most);
        }
        TCP_UNTIL(tcp.node[0].sent == most && tcp.node[1].sent == most);
        assert_int_equal(tcp.node[0].returned + tcp.node[1].returned, 0);
        tcp_end();
    }
}

/* Each message is in a buffer of its own, of the largest size: 64 of them are more than the kernel takes. */
#define POOL 128u
static unsigned char pool[POOL][MIOC_MESSAGE_MAX];
static unsigned char is_out[POOL];
static unsigned is_lost;

static void take_back(int node, const struct mioc_event *event)
{
    (void)node;
    assert_false(is_lost);
    if (event->kind == MIOC_EVENT_SENT || (event->kind == MIOC_EVENT_LOST && event->data != NULL)) {
        size_t i = (size_t)((unsigned char *)event->data - pool[0]) / sizeof pool[0];

        assert_in_range(i, 0, POOL - 1);
        assert_ptr_equal(event->data, pool[i]);
        assert_int_equal(is_out[i], 1);
        is_out[i] = 0;
    }
    is_lost = event->kind == MIOC_EVENT_LOST && event->data == NULL;
}

/* A peer that never reads, and ends. */
static void buffers_come_back_once(void **state)
{
    (void)state;
    for (int is_encrypted = 0; is_encrypted <= 1; is_encrypted++) {
        unsigned n = 0;

        join_two(is_encrypted);
        tcp.node[0].taken = take_back;
        is_lost = 0;
        while (n < POOL && ops->send(tcp.node[0].t, 1, pool[n], sizeof pool[0]) == 0) {
            is_out[n++] = 1;
            tcp_poll_node(0);
        }
        assert_in_range(n, 1, POOL - 1);
        assert_int_equal(errno, EAGAIN);
        assert_int_equal(n - tcp.node[0].sent, MIOC_TCP_SENDS);
        tcp_close_node(1);
        TCP_UNTIL(tcp.node[0].losses == 1);
        assert_int_equal(tcp.node[0].returned, MIOC_TCP_SENDS);
        assert_int_equal(tcp.node[0].sent + tcp.node[0].returned, n);
        for (unsigned i = 0; i < n; i++)
            assert_int_equal(is_out[i], 0);
        assert_int_equal(ops->send(tcp.node[0].t, 1, pool[0], 1), -1);
        assert_int_equal(errno, EPIPE);
        tcp_end();
    }
}

static void only_who_has_joined_can_be_sent_to(void **state)
{
    (void)state;
    tcp_begin(3, 0);
    tcp_open_node(0);
    tcp_open_node(1);
    assert_int_equal(ops->send(tcp.node[0].t, 1, pool[0], 1), -1);
    assert_int_equal(errno, EPIPE);
    TCP_UNTIL(tcp.node[0].is_child[1] && tcp.node[1].parent == 0);
    assert_int_equal(ops->send(tcp.node[0].t, 2, pool[0], 1), -1);
    assert_int_equal(errno, EPIPE);
    assert_int_equal(ops->send(tcp.node[0].t, -1, pool[0], 1), -1);
    assert_int_equal(errno, EPIPE);
    assert_int_equal(ops->send(tcp.node[0].t, 1, pool[0], MIOC_MESSAGE_MAX + 1), -1);
    assert_int_equal(errno, EMSGSIZE);
    assert_int_equal(ops->send(tcp.node[0].t, 1, pool[0], 1), 0);
    TCP_UNTIL(tcp.node[0].sent == 1 && tcp.node[1].messages == 1);
    tcp_end();
}

/* The parent has more for the child than the kernel takes. The child comes again: all comes back before it joins. */
static void buffers_come_back_before_a_child_joins_again(void **state)
{
    struct mioc_transport *old;
    unsigned n = 0;

    (void)state;
    join_two(0);
    tcp.node[0].taken = NULL;
    while (n < POOL && ops->send(tcp.node[0].t, 1, pool[n], sizeof pool[0]) == 0) {
        n++;
        tcp_poll_node(0);
    }
    assert_int_equal(errno, EAGAIN);
    old = tcp.node[1].t;
    tcp.node[1].parent = NOBODY;
    tcp_open_node(1);
    TCP_UNTIL(tcp.node[0].joins == 2);
    assert_int_equal(tcp.node[0].losses, 1);
    assert_int_equal(tcp.node[0].sent + tcp.node[0].returned, n);
    ops->close(old);
    tcp_end();
}

/* What a node has sent arrives, even if it ends at once, and has not read what was sent to it. */
static void last_words_arrive(void **state)
{
    struct mioc_event event;
    unsigned n = 0, sent = 0;

    (void)state;
    join_two(0);
    tcp.node[0].taken = tcp.node[1].taken = NULL;
    for (int i = 0; i < 8; i++) /* the kernel has them; they are not read, but for the first one */
        assert_int_equal(ops->send(tcp.node[0].t, 1, pool[i], 100), 0);
    do {
        while (n < POOL && ops->send(tcp.node[1].t, 0, pool[n], sizeof pool[0]) == 0)
            n++;
        ops->poll(tcp.node[1].t, &event);
        sent += event.kind == MIOC_EVENT_SENT;
    } while (event.kind == MIOC_EVENT_SENT);
    assert_in_range(sent, 1, POOL - 1);
    tcp_close_node(1);
    TCP_UNTIL(tcp.node[0].losses == 1);
    assert_int_equal(tcp.node[0].messages, sent);
    tcp_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_keep_their_order_under_back_pressure),
        cmocka_unit_test(buffers_come_back_once),
        cmocka_unit_test(only_who_has_joined_can_be_sent_to),
        cmocka_unit_test(buffers_come_back_before_a_child_joins_again),
        cmocka_unit_test(last_words_arrive),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
