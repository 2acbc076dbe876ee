/* SPDX-License-Identifier: BSD-3-Clause */
/* test_tcp_attack.c - who does not have the step's secret does not join, costs little, and keeps nobody out. */
#include "tcp_relay.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>

#define STRANGERS 75

/* Goes on until the other side has closed fd. Returns after how long. */
static uint64_t until_closed(int fd)
{
    uint64_t since = mioc_clock_ns();
    char bytes[4096];
    ssize_t n;

    for (;;) {
        n = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN))
            return mioc_clock_ns() - since;
        if (mioc_clock_ns() - since > TCP_PATIENCE_NS)
            fail_msg("it is never closed");
        tcp_turn(mioc_clock_ns() + 5000000);
    }
}

static void open_root(int is_encrypted)
{
    tcp_begin(2, is_encrypted);
    tcp_open_node(0);
}

static void use_other_key(void)
{
    static const unsigned char key[32] = "another key, of another user";
    char reason[128];

    assert_int_equal(mioc_secret_from_bytes(&tcp.config.secret, key, tcp.step, reason, sizeof reason), 0);
}

/* Node 1 as it should be joins, without waiting for all of them. */
static void assert_node_can_join(void)
{
    uint64_t since = mioc_clock_ns();

    tcp_open_node(1);
    TCP_UNTIL(tcp_is_complete());
    assert_true(mioc_clock_ns() - since < 3000000000);
}

static void wrong_key_does_not_join_and_is_said_once(void **state)
{
    int log = memfd_create("log", MFD_CLOEXEC), saved = dup(STDERR_FILENO);
    char text[8192] = "", *said;

    (void)state;
    open_root(0);
    use_other_key();
    tcp_open_node(1);
    mioc_log_set_level(MIOC_LOG_INFO);
    dup2(log, STDERR_FILENO);
    TCP_UNTIL(mioc_tcp_refused(tcp.node[1].t) >= 5);
    dup2(saved, STDERR_FILENO);
    assert_int_equal(tcp.node[0].joins + tcp.node[1].joins, 0);
    assert_true(pread(log, text, sizeof text - 1, 0) > 0);
    said = strstr(text, "does not have the step's secret");
    assert_non_null(said);
    assert_null(strstr(said + 1, "does not have the step's secret"));
    close(log);
    close(saved);
    tcp_end();
}

static void other_encryption_does_not_join(void **state)
{
    (void)state;
    for (int is_encrypted = 0; is_encrypted <= 1; is_encrypted++) {
        open_root(is_encrypted);
        tcp.config.is_encrypted = !is_encrypted;
        tcp_open_node(1);
        TCP_UNTIL(mioc_tcp_refused(tcp.node[0].t) >= 3);
        assert_int_equal(tcp.node[0].joins + tcp.node[1].joins, 0);
        tcp_end();
    }
}

/* --- Raw words ---------------------------------------------------------------------------------------------------- */

static void say(int fd, unsigned kind, const void *bytes, size_t size)
{
    unsigned char frame[5 + 4096];
    uint32_t length = (uint32_t)size + 1;

    memcpy(frame, &length, 4);
    frame[4] = (unsigned char)kind;
    memcpy(frame + 5, bytes, size);
    tcp_write(fd, frame, 5 + size);
}

static struct mioc_tcp_hello hello_of(uint32_t child)
{
    struct mioc_tcp_hello hello = {
        .magic = MIOC_TCP_MAGIC, .version = MIOC_TCP_VERSION, .child = child, .nodes = 2, .arity = 4, .has_key = 1
    };

    crypto_generichash(hello.step, sizeof hello.step, (const unsigned char *)tcp.step, strlen(tcp.step), NULL, 0);
    return hello;
}

/* It knows the step's name, and does not have its key; it does not mind the parent's proof. */
static void forged_proofs_do_not_join(void **state)
{
    unsigned char junk[4096] = { 0 };
    struct mioc_tcp_hello hello;

    (void)state;
    open_root(0);
    for (size_t size = 0; size <= 3072; size = size == 0 ? 1 : size == 1 ? 32 : size == 32 ? 33 : size + 1013) {
        int fd = tcp_dial(mioc_tcp_port(tcp.node[0].t));

        hello = hello_of(1);
        say(fd, MIOC_TCP_HELLO, &hello, sizeof hello);
        say(fd, MIOC_TCP_PROOF, junk, size);
        say(fd, MIOC_TCP_CONFIRM, junk, MIOC_TCP_HEADER + MIOC_TCP_SEAL);
        assert_true(until_closed(fd) < 500000000);
        close(fd);
    }
    assert_in_range(mioc_tcp_refused(tcp.node[0].t), 5, 10);
    assert_int_equal(tcp.node[0].joins, 0);
    assert_node_can_join();
    tcp_end();
}

static void impossible_children_are_refused(void **state)
{
    static const uint32_t children[] = { 0, 2, 1000000, UINT32_MAX, 0x80000001u };

    (void)state;
    open_root(0);
    for (size_t i = 0; i < sizeof children / sizeof children[0]; i++) {
        struct mioc_tcp_hello hello = hello_of(children[i]);
        int fd = tcp_dial(mioc_tcp_port(tcp.node[0].t));

        say(fd, MIOC_TCP_HELLO, &hello, sizeof hello);
        assert_true(until_closed(fd) < 500000000);
        close(fd);
    }
    assert_int_equal(mioc_tcp_refused(tcp.node[0].t), sizeof children / sizeof children[0]);
    assert_node_can_join();
    tcp_end();
}

static void truncated_and_huge_frames_are_refused(void **state)
{
    static const uint32_t huge[] = { UINT32_MAX, 0x7fffffff, MIOC_TCP_FRAME_MAX + 1, MIOC_MESSAGE_MAX };
    struct mioc_tcp_hello hello;
    int fd;

    (void)state;
    open_root(0);
    for (size_t i = 0; i < sizeof huge / sizeof huge[0]; i++) {
        fd = tcp_dial(mioc_tcp_port(tcp.node[0].t));
        tcp_write(fd, &huge[i], sizeof huge[i]);
        assert_true(until_closed(fd) < 500000000);
        close(fd);
    }
    assert_int_equal(mioc_tcp_refused(tcp.node[0].t), sizeof huge / sizeof huge[0]);
    hello = hello_of(1);
    for (size_t size = 0; size < sizeof hello; size += 7) {
        fd = tcp_dial(mioc_tcp_port(tcp.node[0].t)); /* a whole frame, but too short a hello */
        say(fd, MIOC_TCP_HELLO, &hello, size);
        assert_true(until_closed(fd) < 500000000);
        close(fd);
        fd = tcp_dial(mioc_tcp_port(tcp.node[0].t)); /* it ends in the middle of a frame */
        tcp_write(fd, &(uint32_t){ sizeof hello + 1 }, 4);
        tcp_write(fd, &hello, size);
        shutdown(fd, SHUT_WR);
        assert_true(until_closed(fd) < 500000000);
        close(fd);
    }
    assert_int_equal(tcp.node[0].joins, 0);
    assert_node_can_join();
    tcp_end();
}

static void mute_and_slow_peers_have_a_second(void **state)
{
    struct mioc_tcp_hello hello;
    uint64_t since, now;
    int mute, slow;
    size_t at = 0;

    (void)state;
    open_root(0);
    hello = hello_of(1);
    mute = tcp_dial(mioc_tcp_port(tcp.node[0].t));
    slow = tcp_dial(mioc_tcp_port(tcp.node[0].t));
    tcp_write(slow, &(uint32_t){ sizeof hello + 1 }, 4);
    since = now = mioc_clock_ns();
    while (now - since < 900000000) { /* a byte every 20 ms */
        if ((now - since) / 20000000 >= at && at < sizeof hello)
            tcp_write(slow, (char *)&hello + at++, 1);
        tcp_turn(now + 20000000);
        now = mioc_clock_ns();
    }
    assert_in_range(at, 20, sizeof hello - 1);
    assert_int_equal(mioc_tcp_refused(tcp.node[0].t), 0);
    assert_true(until_closed(slow) < 500000000);
    assert_true(until_closed(mute) < 500000000);
    assert_int_equal(mioc_tcp_refused(tcp.node[0].t), 2);
    close(mute);
    close(slow);
    assert_node_can_join();
    tcp_end();
}

static void strangers_are_bounded_and_keep_nobody_out(void **state)
{
    int fds[STRANGERS], open = 0;
    char byte;

    (void)state;
    open_root(0);
    for (int i = 0; i < STRANGERS; i++) {
        fds[i] = tcp_dial(mioc_tcp_port(tcp.node[0].t));
        tcp_poll_node(0);
    }
    tcp_go_on(20000000);
    for (int i = 0; i < STRANGERS; i++)
        open += recv(fds[i], &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;
    assert_int_equal(open, MIOC_TCP_STRANGERS);
    assert_node_can_join(); /* beside them */
    for (int i = 0; i < STRANGERS; i++)
        (void)until_closed(fds[i]);
    assert_int_equal(mioc_tcp_refused(tcp.node[0].t), STRANGERS);
    for (int i = 0; i < STRANGERS; i++)
        close(fds[i]);
    assert_true(ops->next(tcp.node[0].t) == UINT64_MAX);
    tcp_end();
}

/* Who cannot take a connection for want of descriptors does not burn a processor, and takes it later. */
static void shortage_of_descriptors_passes(void **state)
{
    struct rlimit before, none;
    unsigned turns = 0;
    uint64_t until;
    int fd;

    (void)state;
    open_root(0);
    fd = tcp_dial(mioc_tcp_port(tcp.node[0].t));
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){ 3, before.rlim_max };
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    tcp_turn(mioc_clock_ns() + 1000000000);
    assert_true(ops->next(tcp.node[0].t) != UINT64_MAX);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0); /* poll() needs it, too */
    for (until = mioc_clock_ns() + 90000000; mioc_clock_ns() < until; turns++)
        tcp_turn(until);
    assert_in_range(turns, 1, 4);
    assert_node_can_join();
    (void)until_closed(fd);
    close(fd);
    tcp_end();
}

/* --- Replay, and who sits on the parent's ports --------------------------------------------------------------------
 */

/* All that was said once, said again, to either side. */
static void recorded_connection_is_worth_nothing(void **state)
{
    struct tcp_relay relay = { 0 };
    static char message[100] = "a message";
    char parent[64];
    int fd, listener;
    struct sockaddr_in here;
    socklen_t size = sizeof here;

    (void)state;
    open_root(0);
    tcp_relay_start(&relay, mioc_tcp_port(tcp.node[0].t), parent, sizeof parent);
    tcp.config.parent = parent;
    tcp_open_node(1);
    TCP_UNTIL(tcp_is_complete());
    assert_int_equal(ops->send(tcp.node[1].t, 0, message, sizeof message), 0);
    assert_int_equal(ops->send(tcp.node[0].t, 1, message, sizeof message), 0);
    TCP_UNTIL(tcp.node[0].messages == 1 && tcp.node[1].messages == 1);
    tcp_close_node(1);
    TCP_UNTIL(tcp.node[0].losses == 1);
    tcp_relay_stop(&relay);
    fd = tcp_dial(mioc_tcp_port(tcp.node[0].t));
    tcp_write(fd, relay.heard[TCP_UP], relay.heard_size[TCP_UP]);
    assert_true(until_closed(fd) < 500000000);
    close(fd);
    assert_int_equal(tcp.node[0].joins, 1);
    assert_int_equal(tcp.node[0].messages, 1);
    /* And to the child, which looks for its parent there. */
    listener = tcp_squat(0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&here, &size), 0);
    snprintf(parent, sizeof parent, "127.0.0.1@%u", ntohs(here.sin_port));
    tcp_open_node(1);
    fd = -1;
    while (fd < 0) {
        tcp_turn(mioc_clock_ns() + 5000000);
        fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    }
    tcp_write(fd, relay.heard[TCP_DOWN], relay.heard_size[TCP_DOWN]);
    assert_true(until_closed(fd) < 500000000);
    assert_int_equal(tcp.node[1].joins, 1);
    assert_int_equal(tcp.node[1].messages, 1);
    assert_int_equal(mioc_tcp_refused(tcp.node[1].t), 1);
    close(fd);
    close(listener);
    tcp_relay_free(&relay);
    tcp_end();
}

/* Others have 7 of the root's 8 ports before it: they say nothing, hang up, or answer nonsense. */
static void squatters_do_not_keep_a_child_from_its_parent(void **state)
{
    int taken[MIOC_TCP_TRIES - 1], guests[64], n = 0;
    uint64_t since;

    (void)state;
    tcp_begin(2, 0);
    for (unsigned i = 0; i + 1 < MIOC_TCP_TRIES; i++)
        taken[i] = tcp_squat(mioc_tcp_port_of(tcp.step, 0, i, TCP_PORT_FIRST, TCP_PORT_LAST));
    tcp_open_node(0);
    since = mioc_clock_ns();
    tcp_open_node(1);
    while (!tcp_is_complete()) {
        assert_true(mioc_clock_ns() - since < 3000000000); /* 5 of them are mute: one after the other takes 5 s */
        tcp_turn(mioc_clock_ns() + 1000000);
        for (unsigned i = 0; i + 1 < MIOC_TCP_TRIES; i++) {
            int fd = taken[i] >= 0 ? accept4(taken[i], NULL, NULL, SOCK_CLOEXEC) : -1;

            if (fd < 0 || n == 64)
                continue;
            if (i % 3 == 1)
                tcp_write(fd, "HTTP/1.1 400 Bad Request\r\n\r\n", 28);
            if (i % 3 == 2)
                close(fd);
            else
                guests[n++] = fd;
        }
    }
    assert_in_range(n, 1, 64);
    assert_true(ops->next(tcp.node[1].t) == UINT64_MAX); /* it waits for none of them any more */
    while (n > 0)
        close(guests[--n]);
    for (unsigned i = 0; i + 1 < MIOC_TCP_TRIES; i++)
        if (taken[i] >= 0)
            close(taken[i]);
    tcp_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_key_does_not_join_and_is_said_once),
        cmocka_unit_test(other_encryption_does_not_join),
        cmocka_unit_test(forged_proofs_do_not_join),
        cmocka_unit_test(impossible_children_are_refused),
        cmocka_unit_test(truncated_and_huge_frames_are_refused),
        cmocka_unit_test(mute_and_slow_peers_have_a_second),
        cmocka_unit_test(strangers_are_bounded_and_keep_nobody_out),
        cmocka_unit_test(shortage_of_descriptors_passes),
        cmocka_unit_test(recorded_connection_is_worth_nothing),
        cmocka_unit_test(squatters_do_not_keep_a_child_from_its_parent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
