/* SPDX-License-Identifier: BSD-3-Clause */
/* test_tcp.c - nodes find each other, whoever comes first and whoever is missing; an idle one sleeps. */
#include "tcp_fixture.h"

static void two_nodes_join(void **state)
{
    (void)state;
    tcp_begin(2, 0);
    tcp_open_node(0);
    assert_in_range(mioc_tcp_port(tcp.node[0].t), TCP_PORT_FIRST, TCP_PORT_LAST);
    tcp_open_node(1);
    assert_int_equal(mioc_tcp_port(tcp.node[1].t), 0);
    TCP_UNTIL(tcp_is_complete());
    assert_int_equal(tcp.node[0].joins, 1);
    assert_int_equal(tcp.node[1].joins, 1);
    assert_int_equal(mioc_tcp_refused(tcp.node[0].t), 0);
    assert_string_equal(ops->name, "tcp");
    assert_int_equal(ops->abi, MIOC_TRANSPORT_ABI);
    assert_true(ops->start == NULL && ops->agree_min == NULL && ops->share_node == NULL && ops->share_all == NULL &&
                ops->depart == NULL && ops->is_shared == NULL && ops->was_shared == NULL);
    tcp_end();
}

/* Children first, so that all have to look for their parents. */
static void twenty_one_nodes_are_complete(void **state)
{
    (void)state;
    for (int is_encrypted = 0; is_encrypted <= 1; is_encrypted++) {
        tcp_begin(21, is_encrypted);
        for (int i = 20; i >= 0; i--)
            tcp_open_node(i);
        TCP_UNTIL(tcp_is_complete());
        for (int i = 0; i < 21; i++)
            assert_int_equal(mioc_tcp_refused(tcp.node[i].t), 0);
        tcp_end();
    }
}

static void names_are_looked_up(void **state)
{
    (void)state;
    tcp_begin(2, 0);
    tcp.config.ctx = "localhost";
    tcp_open_node(0);
    tcp_open_node(1);
    TCP_UNTIL(tcp_is_complete());
    tcp_end();
}

static void parent_that_is_named_needs_no_host(void **state)
{
    char parent[64];

    (void)state;
    tcp_begin(2, 0);
    tcp_open_node(0);
    snprintf(parent, sizeof parent, "127.0.0.1@%u", mioc_tcp_port(tcp.node[0].t));
    tcp.config.parent = parent;
    tcp.config.host = NULL;
    tcp.config.port_first = tcp.config.port_last = 1; /* nobody is there */
    tcp_open_node(1);
    TCP_UNTIL(tcp_is_complete());
    tcp_end();
}

static void late_parent_is_found(void **state)
{
    (void)state;
    tcp_begin(6, 0);
    tcp_open_node(5);
    tcp_open_node(1);
    TCP_UNTIL(tcp.node[5].parent == 1);
    tcp_go_on(300000000);
    assert_int_equal(tcp.node[1].parent, NOBODY);
    tcp_open_node(0);
    TCP_UNTIL(tcp.node[1].parent == 0 && tcp.node[0].is_child[1]);
    assert_int_equal(tcp.node[5].losses, 0);
    tcp_end();
}

static void grandparent_stands_in_for_an_absent_parent(void **state)
{
    uint64_t since = mioc_clock_ns();

    (void)state;
    tcp_begin(22, 0);
    tcp_open_node(0);
    tcp_open_node(21); /* 5, 1 and 0 are above it */
    TCP_UNTIL(tcp.node[21].parent == 0 && tcp.node[0].is_child[21]);
    assert_true(mioc_clock_ns() - since > 1500000000ull); /* the root is asked after the nearer ones */
    tcp_end();
}

static void lost_parent_is_looked_for_again(void **state)
{
    (void)state;
    tcp_begin(2, 0);
    tcp_open_node(0);
    tcp_open_node(1);
    TCP_UNTIL(tcp_is_complete());
    for (unsigned i = 1; i <= 3; i++) {
        tcp_close_node(0);
        TCP_UNTIL(tcp.node[1].losses == i);
        tcp_open_node(0);
        TCP_UNTIL(tcp_is_complete());
        assert_int_equal(tcp.node[1].joins, i + 1);
    }
    tcp_end();
}

/* A parent that is there may not take this node any more. */
static void lost_ancestor_is_tried_last(void **state)
{
    int lost = 5;

    (void)state;
    tcp_begin(22, 0);
    for (int i = 0; i < 22; i += i == 0 ? 1 : i == 1 ? 4 : 16) /* 0, 1, 5 and 21, each above the next */
        tcp_open_node(i);
    TCP_UNTIL(tcp.node[21].parent == 5 && tcp.node[5].is_child[21]);
    for (unsigned i = 1; i <= 3; i++) {
        ops->hang_up(tcp.node[21].t, lost);
        ops->hang_up(tcp.node[21].t, lost); /* there is none any more */
        TCP_UNTIL(tcp.node[21].losses == i && tcp.node[21].parent != NOBODY && !tcp.node[lost].is_child[21]);
        assert_int_not_equal(tcp.node[21].parent, lost);
        lost = tcp.node[21].parent;
    }
    tcp_close_node(lost); /* and it is found where it is the only one */
    tcp_close_node(lost == 0 ? 1 : 0);
    TCP_UNTIL(tcp.node[21].parent != NOBODY && tcp.node[21].parent != lost);
    tcp_end();
}

static void child_that_comes_again_is_lost_first(void **state)
{
    struct mioc_transport *old;

    (void)state;
    tcp_begin(2, 0);
    tcp_open_node(0);
    tcp_open_node(1);
    TCP_UNTIL(tcp_is_complete());
    old = tcp.node[1].t; /* it hangs: its connection stays open */
    tcp.node[1].parent = NOBODY;
    tcp_open_node(1);
    TCP_UNTIL(tcp_is_complete() && tcp.node[0].joins == 2);
    assert_int_equal(tcp.node[0].losses, 1);
    ops->close(old);
    tcp_go_on(20000000);
    assert_int_equal(tcp.node[0].losses, 1);
    tcp_end();
}

/* Somebody else's service, on ports that the root would take. */
static void ports_that_are_taken_are_passed_over(void **state)
{
    int taken[MIOC_TCP_TRIES];

    (void)state;
    tcp_begin(2, 0);
    for (unsigned i = 0; i + 1 < MIOC_TCP_TRIES; i++)
        taken[i] = tcp_squat(mioc_tcp_port_of(tcp.step, 0, i, TCP_PORT_FIRST, TCP_PORT_LAST));
    tcp_open_node(0);
    assert_int_equal(mioc_tcp_port(tcp.node[0].t),
                     mioc_tcp_port_of(tcp.step, 0, MIOC_TCP_TRIES - 1, TCP_PORT_FIRST, TCP_PORT_LAST));
    tcp_open_node(1);
    TCP_UNTIL(tcp_is_complete());
    for (unsigned i = 0; i + 1 < MIOC_TCP_TRIES; i++)
        close(taken[i]);
    tcp_end();
}

static void root_without_a_port_says_so(void **state)
{
    char reason[256] = "";
    struct mioc_transport *t;
    int fd;

    (void)state;
    tcp_begin(2, 0);
    tcp.config.port_first = tcp.config.port_last = mioc_tcp_port_of(tcp.step, 0, 0, TCP_PORT_FIRST, TCP_PORT_LAST);
    fd = tcp_squat(tcp.config.port_first);
    assert_true(fd >= 0);
    assert_int_equal(mioc_tcp_open(&t, &tcp.config, reason, sizeof reason), -1);
    assert_non_null(strstr(reason, "no port to listen on"));
    close(fd);
    tcp.config.interface = "nosuch0";
    assert_int_equal(mioc_tcp_open(&t, &tcp.config, reason, sizeof reason), -1);
    assert_non_null(strstr(reason, "nosuch0"));
    tcp_end();
}

static void interface_is_the_only_one_that_listens(void **state)
{
    static const char *const interfaces[] = { "127.0.0.1", "::1", "lo" };
    static const char *const hosts[] = { "127.0.0.1", "::1", "::1" };
    struct sockaddr_in other = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK + 1) } };
    int fd;

    (void)state;
    for (int i = 0; i < 3; i++) {
        tcp_begin(2, 0);
        tcp.config.interface = interfaces[i];
        tcp.config.ctx = (void *)(uintptr_t)hosts[i];
        tcp_open_node(0);
        tcp_open_node(1);
        TCP_UNTIL(tcp_is_complete());
        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); /* 127.0.0.2 is this machine, too */
        other.sin_port = htons((uint16_t)mioc_tcp_port(tcp.node[0].t));
        assert_int_equal(connect(fd, (struct sockaddr *)&other, sizeof other), -1);
        close(fd);
        tcp_end();
    }
}

/* Nothing wakes an agent whose links are idle. */
static void idle_nodes_sleep(void **state)
{
    struct pollfd fd;

    (void)state;
    tcp_begin(6, 0);
    for (int i = 0; i < 6; i++)
        tcp_open_node(i);
    TCP_UNTIL(tcp_is_complete());
    for (int i = 0; i < 6; i++)
        tcp_poll_node(i);
    for (int i = 0; i < 6; i++) {
        fd = (struct pollfd){ .fd = ops->fd(tcp.node[i].t), .events = POLLIN };
        assert_int_equal(poll(&fd, 1, i == 0 ? 1500 : 10), 0);
        assert_true(ops->next(tcp.node[i].t) == UINT64_MAX);
    }
    tcp_end();
}

/* A child that nobody takes: 20 rounds of 8 ports a second. */
static void orphan_looks_for_parents_ever_more_seldom(void **state)
{
    unsigned turns = 0;
    uint64_t until;

    (void)state;
    tcp_begin(2, 0);
    tcp_open_node(1);
    tcp_go_on(1000000000);
    for (until = mioc_clock_ns() + 1000000000; mioc_clock_ns() < until; turns++)
        tcp_turn(until);
    assert_in_range(turns, 10, 20 * (MIOC_TCP_TRIES + 1) + 20);
    tcp_end();
}

static void step_of_the_same_name_but_longer_is_another(void **state)
{
    struct mioc_transport *other;
    struct mioc_event event;
    char reason[128], step[80], parent[64];
    struct mioc_tcp_config config;

    (void)state;
    tcp_begin(2, 0);
    tcp_open_node(0);
    config = tcp.config; /* it has the same key, and looks at the same port */
    snprintf(step, sizeof step, "%s.1", tcp.step);
    snprintf(parent, sizeof parent, "127.0.0.1@%u", mioc_tcp_port(tcp.node[0].t));
    config.step = step;
    config.node = 1;
    config.parent = parent;
    assert_int_equal(mioc_tcp_open(&other, &config, reason, sizeof reason), 0);
    for (uint64_t until = mioc_clock_ns() + 300000000; mioc_clock_ns() < until;) {
        ops->poll(other, &event);
        assert_int_equal(event.kind, MIOC_EVENT_NONE);
        tcp_poll_node(0);
    }
    assert_int_equal(tcp.node[0].joins, 0);
    assert_int_equal(mioc_tcp_refused(tcp.node[0].t), 0); /* ports can collide: that is no attack */
    tcp_open_node(1);
    TCP_UNTIL(tcp_is_complete());
    ops->close(other);
    tcp_end();
}

static void abandoned_one_says_nothing_more(void **state)
{
    struct mioc_event event;
    char bytes[8];

    (void)state;
    tcp_begin(2, 0);
    tcp_open_node(0);
    tcp_open_node(1);
    TCP_UNTIL(tcp_is_complete());
    ops->abandon(tcp.node[0].t);
    ops->poll(tcp.node[0].t, &event);
    assert_int_equal(event.kind, MIOC_EVENT_NONE);
    assert_int_equal(ops->send(tcp.node[0].t, 1, bytes, sizeof bytes), -1);
    assert_int_equal(errno, EPIPE);
    assert_true(ops->next(tcp.node[0].t) == UINT64_MAX);
    TCP_UNTIL(tcp.node[1].losses == 1);
    tcp_end();
}

static void impossible_configurations_are_refused(void **state)
{
    struct mioc_transport *t;
    char reason[128], step[1024];

    (void)state;
    tcp_begin(2, 0);
    tcp.config.node = 2;
    assert_int_equal(mioc_tcp_open(&t, &tcp.config, reason, sizeof reason), -1);
    tcp.config.node = 0;
    tcp.config.port_first = 0;
    assert_int_equal(mioc_tcp_open(&t, &tcp.config, reason, sizeof reason), -1);
    tcp.config.port_first = 65000;
    tcp.config.port_last = 65536;
    assert_int_equal(mioc_tcp_open(&t, &tcp.config, reason, sizeof reason), -1);
    tcp.config.port_last = 65535;
    memset(step, 'a', sizeof step);
    step[sizeof step - 1] = '\0';
    tcp.config.step = step;
    assert_int_equal(mioc_tcp_open(&t, &tcp.config, reason, sizeof reason), -1);
    tcp_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_nodes_join),
        cmocka_unit_test(twenty_one_nodes_are_complete),
        cmocka_unit_test(names_are_looked_up),
        cmocka_unit_test(parent_that_is_named_needs_no_host),
        cmocka_unit_test(late_parent_is_found),
        cmocka_unit_test(grandparent_stands_in_for_an_absent_parent),
        cmocka_unit_test(lost_parent_is_looked_for_again),
        cmocka_unit_test(child_that_comes_again_is_lost_first),
        cmocka_unit_test(lost_ancestor_is_tried_last),
        cmocka_unit_test(ports_that_are_taken_are_passed_over),
        cmocka_unit_test(root_without_a_port_says_so),
        cmocka_unit_test(interface_is_the_only_one_that_listens),
        cmocka_unit_test(idle_nodes_sleep),
        cmocka_unit_test(orphan_looks_for_parents_ever_more_seldom),
        cmocka_unit_test(step_of_the_same_name_but_longer_is_another),
        cmocka_unit_test(abandoned_one_says_nothing_more),
        cmocka_unit_test(impossible_configurations_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
