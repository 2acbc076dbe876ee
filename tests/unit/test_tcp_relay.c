/* SPDX-License-Identifier: BSD-3-Clause */
/* test_tcp_relay.c - who sits between two nodes can hand on what they say, or end it, and nothing else. */
#include "tcp_relay.h"

#define MESSAGES 8u
static const char marker[] = "what only the two of them should read";

static unsigned got;
static int is_wrong;

static void fill(unsigned char *bytes, size_t size, unsigned number)
{
    memset(bytes, (int)('a' + number), size);
    memcpy(bytes, marker, sizeof marker);
}

static void hear(int node, const struct mioc_event *event)
{
    unsigned char expected[200];

    (void)node;
    if (event->kind != MIOC_EVENT_MESSAGE)
        return;
    fill(expected, sizeof expected, got++);
    is_wrong |= event->size != sizeof expected || memcmp(event->data, expected, sizeof expected) != 0;
}

/* Root and node 1, with the relay between them. */
static void open_both(struct tcp_relay *relay, int is_encrypted)
{
    char parent[64];

    tcp_begin(2, is_encrypted);
    tcp_open_node(0);
    tcp_relay_start(relay, mioc_tcp_port(tcp.node[0].t), parent, sizeof parent);
    tcp.config.parent = parent;
    tcp_open_node(1);
    got = 0;
    is_wrong = 0;
}

static void close_both(struct tcp_relay *relay)
{
    tcp_end();
    tcp_relay_stop(relay);
    tcp_relay_free(relay);
}

static void send_all(int from)
{
    static unsigned char messages[MESSAGES][200];

    for (unsigned i = 0; i < MESSAGES; i++) {
        fill(messages[i], sizeof messages[i], i);
        assert_int_equal(ops->send(tcp.node[from].t, !from, messages[i], sizeof messages[i]), 0);
    }
}

static int is_in(const unsigned char *bytes, size_t size) { return memmem(bytes, size, marker, sizeof marker) != NULL; }

static void eavesdropper_reads_contents_without_encryption_only(void **state)
{
    (void)state;
    for (int is_encrypted = 0; is_encrypted <= 1; is_encrypted++) {
        struct tcp_relay relay = { 0 };

        open_both(&relay, is_encrypted);
        TCP_UNTIL(tcp_is_complete());
        tcp.node[0].taken = hear;
        send_all(1);
        TCP_UNTIL(got == MESSAGES);
        got = 0;
        tcp.node[1].taken = hear;
        send_all(0);
        TCP_UNTIL(got == MESSAGES);
        assert_false(is_wrong);
        tcp_end();
        tcp_relay_stop(&relay);
        assert_true(relay.heard_size[0] > MESSAGES * 200 && relay.heard_size[1] > MESSAGES * 200);
        assert_int_equal(is_in(relay.heard[0], relay.heard_size[0]), !is_encrypted);
        assert_int_equal(is_in(relay.heard[1], relay.heard_size[1]), !is_encrypted);
        /* The key is not on the wire, either way. */
        assert_null(memmem(relay.heard[0], relay.heard_size[0], tcp.config.secret.key, 8));
        assert_null(memmem(relay.heard[1], relay.heard_size[1], tcp.config.secret.key, 8));
        tcp_relay_free(&relay);
    }
}

/* The 4th message is tampered with: the first 3 arrive, with REPEAT 4, and then the connection is over. */
static void check_evil(enum tcp_evil evil, enum tcp_way way, size_t at, int is_encrypted)
{
    struct tcp_relay relay = {
        .evil = evil, .way = way, .at = at, .is_once = 1, .frame = 3 + (way == TCP_UP ? TCP_SHAKES_UP : TCP_SHAKES_DOWN)
    };
    int from = way == TCP_UP ? 1 : 0;

    open_both(&relay, is_encrypted);
    TCP_UNTIL(tcp_is_complete());
    tcp.node[!from].taken = hear;
    send_all(from);
    TCP_UNTIL(tcp.node[!from].losses == 1);
    assert_true(atomic_load(&relay.is_done));
    assert_false(is_wrong);
    assert_int_equal(got, evil == TCP_REPEAT ? 4 : 3);
    TCP_UNTIL(tcp_is_complete()); /* they meet again */
    close_both(&relay);
}

static void no_message_can_be_altered_added_repeated_or_reordered(void **state)
{
    /* Of the length, of the message, of the seal. */
    static const size_t bytes[] = { 0, 1, 3, 4, 100, 203, 204, 205, 220 };

    (void)state;
    for (int is_encrypted = 0; is_encrypted <= 1; is_encrypted++)
        for (enum tcp_way way = TCP_UP; way <= TCP_DOWN; way++) {
            for (size_t i = 0; i < sizeof bytes / sizeof bytes[0]; i++)
                check_evil(TCP_FLIP, way, bytes[i], is_encrypted);
            for (enum tcp_evil evil = TCP_REPEAT; evil < TCP_TURN; evil++)
                check_evil(evil, way, 0, is_encrypted);
        }
}

/* A message that comes back to its sender is no message of the other side. */
static void no_message_can_be_turned_back(void **state)
{
    (void)state;
    for (enum tcp_way way = TCP_UP; way <= TCP_DOWN; way++) {
        struct tcp_relay relay = {
            .evil = TCP_TURN, .way = way, .is_once = 1, .frame = 3 + (way == TCP_UP ? TCP_SHAKES_UP : TCP_SHAKES_DOWN)
        };
        int from = way == TCP_UP ? 1 : 0;

        open_both(&relay, 0);
        TCP_UNTIL(tcp_is_complete());
        tcp.node[from].taken = hear;
        send_all(from);
        TCP_UNTIL(tcp.node[from].losses == 1);
        assert_int_equal(got, 0);
        close_both(&relay);
    }
}

/* Whichever byte of a handshake is altered: whoever hears it does not join. */
static void no_byte_of_the_handshake_can_be_altered(void **state)
{
    static const size_t hello = 4 + 1 + sizeof(struct mioc_tcp_hello),
                        confirm = 4 + 1 + MIOC_TCP_HEADER + MIOC_TCP_SEAL;
    const size_t sizes[2][TCP_SHAKES_UP] = { { hello, 4 + 1 + 32, confirm }, { 4 + 1 + 32 + 32, confirm, 0 } };
    unsigned trials = 0;

    (void)state;
    for (enum tcp_way way = TCP_UP; way <= TCP_DOWN; way++)
        for (unsigned frame = 0; frame < TCP_SHAKES_UP; frame++)
            /* A length that is altered makes the other side wait, for a second. The first byte is enough of that. */
            for (size_t at = frame == 0 ? 0 : 4; at < sizes[way][frame]; at += at == 0 ? 4 : 1) {
                struct tcp_relay relay = { .evil = TCP_FLIP, .way = way, .frame = frame, .at = at };

                open_both(&relay, 0);
                TCP_UNTIL(atomic_load(&relay.ended) > 0);
                tcp_go_on(1000000);
                assert_true(atomic_load(&relay.is_done));
                if (way == TCP_UP || frame == 0)
                    assert_int_equal(tcp.node[0].joins, 0);
                if (way == TCP_DOWN || frame < 2)
                    assert_int_equal(tcp.node[1].joins, 0);
                close_both(&relay);
                trials++;
            }
    assert_in_range(trials, 200, 400);
}

static void handshake_frames_cannot_be_repeated_swapped_or_turned_back(void **state)
{
    (void)state;
    for (enum tcp_way way = TCP_UP; way <= TCP_DOWN; way++)
        for (unsigned frame = 0; frame < (way == TCP_UP ? 2 : 1); frame++)
            for (enum tcp_evil evil = TCP_REPEAT; evil <= TCP_TURN; evil++) {
                struct tcp_relay relay = { .evil = evil, .way = way, .frame = frame };

                if (evil == TCP_SWAP || evil == TCP_DROP)
                    continue; /* nobody says anything more */
                open_both(&relay, 0);
                TCP_UNTIL(atomic_load(&relay.ended) > 0);
                assert_true(atomic_load(&relay.is_done));
                assert_int_equal(tcp.node[0].joins, 0);
                close_both(&relay);
            }
}

/* Nor can the last word of the parent be given back to it for the child's. */
static void confirmation_of_one_side_is_none_of_the_other(void **state)
{
    struct tcp_relay relay = { .evil = TCP_TURN, .way = TCP_DOWN, .frame = 1 };

    (void)state;
    open_both(&relay, 0);
    TCP_UNTIL(atomic_load(&relay.ended) > 0);
    assert_true(atomic_load(&relay.is_done));
    assert_int_equal(tcp.node[0].joins, 0);
    assert_int_equal(mioc_tcp_refused(tcp.node[0].t), 1);
    close_both(&relay);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(eavesdropper_reads_contents_without_encryption_only),
        cmocka_unit_test(no_message_can_be_altered_added_repeated_or_reordered),
        cmocka_unit_test(no_message_can_be_turned_back),
        cmocka_unit_test(no_byte_of_the_handshake_can_be_altered),
        cmocka_unit_test(handshake_frames_cannot_be_repeated_swapped_or_turned_back),
        cmocka_unit_test(confirmation_of_one_side_is_none_of_the_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
