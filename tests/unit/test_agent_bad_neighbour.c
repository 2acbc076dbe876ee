/* SPDX-License-Identifier: BSD-3-Clause */
/* test_agent_bad_neighbour.c - with joins: a child that breaks the protocol is dismissed, and its parent goes on; a
 * parent that does ends the agent. */
#include "agent_fixture.h"

#define STAT MIOC_ITEM_STAT

enum deed { HELLO, WELCOME, REQUEST, INVALIDATE, STREAM, HEARTBEAT, REPORT, NOISE };

static void deliver_deed(int from, enum deed deed, uint32_t node, uint64_t offset)
{
    switch (deed) {
    case HELLO: deliver_hello(from, node, offset); break;
    case WELCOME: deliver(from, mioc_wire_body(w.message, MIOC_MESSAGE_WELCOME, offset, "welcome", 7)); break;
    case REQUEST: deliver_request(from, STAT, offset, "/a"); break;
    case INVALIDATE: deliver_invalidate(from, node, 1, "/a"); break;
    case STREAM: deliver(from, mioc_wire_body(w.message, MIOC_MESSAGE_STREAM, offset, "12345678", 8)); break;
    case HEARTBEAT: deliver_heartbeat(from, offset, offset); break;
    case REPORT: deliver(from, mioc_wire_report(w.message, node, "report", node == 0 ? 0 : 6)); break;
    case NOISE: deliver(from, 20); break;
    }
}

/* Whatever child 3 said, the agent and its other child go on, and child 3 is not heard any more. */
static void is_dismissed(void)
{
    unsigned hellos = w.hellos, reports = count_sent(0, MIOC_MESSAGE_REPORT);

    assert_int_equal(ended(), MIOC_AGENT_RUNNING);
    assert_true(mioc_agent_is_linked(w.agent));
    assert_int_equal(count_sent(3, MIOC_MESSAGE_LEAVE), 1);
    assert_int_equal(mioc_agent_children(w.agent), 1);
    deliver_hello(3, 3, 0);
    deliver_invalidate(3, 3, 1, "/lib/x.py");
    deliver_report(3, 3);
    deliver(3, 20);
    assert_int_equal(w.hellos, hellos);
    assert_int_equal(count_sent(0, MIOC_MESSAGE_INVALIDATE), 0);
    assert_int_equal(count_sent(0, MIOC_MESSAGE_REPORT), reports);
    assert_int_equal(count_sent(3, MIOC_MESSAGE_LEAVE), 1);
    deliver_item(w.end, STAT, "/z");
    assert_int_equal(count_sent(3, MIOC_MESSAGE_STREAM), 0);
    assert_true(count_sent(4, MIOC_MESSAGE_STREAM) > 0);
    assert_int_equal(ended(), MIOC_AGENT_RUNNING);
}

/* Node 1 of 63 has child 4 and the link to its parent; its store ends at two records. */
static void start_family(void)
{
    start_alone(1);
    join_parent(0);
    join_child(4, 0);
    deliver_item(0, STAT, "/a");
    sent(4), sent(4);
    deliver_item(w.end, STAT, "/b");
    sent(4);
    w.sends = 0;
}

static void child_that_says_the_wrong_thing_first_is_dismissed(void **state)
{
    (void)state;
    const struct {
        enum deed deed;
        uint32_t node;
        uint64_t offset;
    } row[] = {
        { HELLO, 7, 0 }, /* of another node, below it */
        { HELLO, 4, 0 }, /* of one that is linked */
        { HELLO, 1, 0 }, /* of this one */
        { HELLO, 0, 0 },   { HELLO, 63, 0 },  { HELLO, UINT32_MAX, 0 }, { HELLO, 3, 100000 }, /* more than this node has
                                                                                               */
        { HELLO, 3, 8 },                                                                      /* no item begins there */
        { WELCOME, 0, 0 }, { REQUEST, 0, 0 }, { INVALIDATE, 3, 0 },     { STREAM, 0, 0 },     { HEARTBEAT, 0, 0 },
        { REPORT, 3, 0 },  { NOISE, 0, 0 },
    };

    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        start_family();
        joined(3);
        deliver_deed(3, row[i].deed, row[i].node, row[i].offset);
        assert_int_equal(count_sent(3, MIOC_MESSAGE_WELCOME), 0);
        is_dismissed();
        assert_int_equal(count_sent(0, MIOC_MESSAGE_HELLO), 0);
        stop_world(NULL);
    }
}

static void child_that_says_what_cannot_be_is_dismissed(void **state)
{
    (void)state;
    const struct {
        enum deed deed;
        uint32_t node;
        uint64_t offset;
    } row[] = {
        { HELLO, 3, 0 }, /* again */
        { HELLO, 4, 0 }, /* of a node that is not below it */
        { HELLO, 1, 0 },      { HELLO, 9, 0 },        { HELLO, 63, 0 },         { HELLO, 7, 8 },   { WELCOME, 0, 0 },
        { STREAM, 0, 0 },     { REQUEST, 0, 100000 }, { HEARTBEAT, 0, 100000 }, /* it has more than its parent */
        { INVALIDATE, 4, 0 },                                                   /* of a node that is not below it */
        { INVALIDATE, 1, 0 }, { INVALIDATE, 63, 0 },  { REPORT, 4, 0 },         { REPORT, 63, 0 }, { REPORT, 0, 0 },
        { NOISE, 0, 0 },
    };

    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        start_family();
        join_child(3, w.end);
        assert_int_equal(count_sent(3, MIOC_MESSAGE_WELCOME), 1);
        deliver_deed(3, row[i].deed, row[i].node, row[i].offset);
        assert_int_equal(w.hellos, 2);
        is_dismissed();
        stop_world(NULL);
    }
}

static void parent_that_says_what_cannot_be_ends_the_agent(void **state)
{
    (void)state;
    const struct {
        int is_welcome; /* before that */
        enum deed deed;
        uint32_t node;
        uint64_t offset;
    } row[] = {
        { 0, STREAM, 0, 0 },  { 0, HEARTBEAT, 0, 8 },  { 0, HELLO, 1, 0 },  { 0, REPORT, 0, 0 },
        { 0, NOISE, 0, 0 },   { 1, WELCOME, 0, 0 },    { 1, HELLO, 1, 0 },  { 1, HELLO, 0, 0 },
        { 1, REQUEST, 0, 0 }, { 1, INVALIDATE, 1, 0 }, { 1, REPORT, 1, 0 }, { 1, HEARTBEAT, 0, 4096 },
        { 1, STREAM, 0, 0 },  { 1, NOISE, 0, 0 },
    };

    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        start_alone(1);
        join_child(3, 0);
        wrote("/lib/x.py", 0, 1);
        joined(0);
        if (row[i].is_welcome)
            deliver_welcome(0);
        deliver_deed(0, row[i].deed, row[i].node, row[i].offset);
        assert_int_equal(ended(), MIOC_AGENT_PROTOCOL);
        assert_int_equal(w.real_all, 1);
        assert_int_equal(w.end, 0);
        assert_int_equal(count_sent(3, MIOC_MESSAGE_LEAVE), 1);
        assert_int_equal(count_sent(0, MIOC_MESSAGE_INVALIDATE), (unsigned)row[i].is_welcome);
        assert_int_equal(count_sent(0, MIOC_MESSAGE_LEAVE), 1);
        stop_world(NULL);
    }
}

/* Its parent has a new one, and has to catch up. */
static void node_that_is_put_off_is_not_served_until_it_has_caught_up(void **state)
{
    uint32_t size;

    (void)state;
    start_alone(1);
    join_parent(0);
    size = build(STAT, "/a");
    deliver(0, mioc_wire_stream(w.message, 0, 2 * (uint64_t)size, w.item, size));
    assert_int_equal(ended(), MIOC_AGENT_RUNNING);
    assert_int_equal(w.unlinks, 1);
    assert_false(mioc_agent_is_linked(w.agent));
    assert_int_equal(mioc_agent_served_until(w.agent), 0);
    deliver_item(w.end, STAT, "/b");
    assert_true(mioc_agent_is_linked(w.agent));
    assert_int_equal(w.unlinks, 1);
}

/* Without joins nobody says HELLO or WELCOME, or puts a node off. */
static void greetings_without_joins_end_the_agent(void **state)
{
    (void)state;
    for (unsigned way = 0; way < 4; way++) {
        uint32_t size;

        start(1);
        size = build(STAT, "/a");
        if (way == 0)
            deliver_hello(3, 3, 0);
        if (way == 1)
            deliver_welcome(0);
        if (way == 2)
            deliver(0, mioc_wire_stream(w.message, 0, 8, w.item, size));
        if (way == 3)
            joined(3); /* not heard at all */
        assert_int_equal(ended(), way == 3 ? MIOC_AGENT_RUNNING : MIOC_AGENT_PROTOCOL);
        assert_int_equal(w.hellos + w.welcomes + w.end, 0);
        stop_world(NULL);
    }
}

static void strangers_are_not_heard(void **state)
{
    (void)state;
    start_family();
    joined(5); /* below node 2 */
    assert_int_equal(count_sent(5, MIOC_MESSAGE_LEAVE), 1);
    deliver_hello(5, 5, 0);
    joined(-1), joined(63), joined(1), joined(INT32_MAX), joined(INT32_MIN);
    deliver_hello(3, 3, 0); /* never joined */
    deliver(-1, 20), deliver(63, 20), deliver_plain(2, MIOC_MESSAGE_LEAVE, 0);
    mioc_agent_lost(w.agent, 62, w.now);
    sent(62);
    assert_int_equal(w.sends, 1);
    assert_int_equal(mioc_agent_children(w.agent), 1);
    assert_int_equal(ended(), MIOC_AGENT_RUNNING);
}

/* A child that floods its parent, which cannot pass it on: the child goes. */
static void child_that_fills_the_queue_is_dismissed(void **state)
{
    (void)state;
    for (unsigned way = 0; way < 2; way++) {
        start_family();
        join_child(3, w.end);
        w.limit = 0;
        for (unsigned i = 0; i < 20000 && way == 0; i++)
            deliver_invalidate(3, 3, i, "/lib/x.py");
        for (unsigned i = 0; i < 20000 && way == 1; i++)
            deliver_hello(3, 7, 0);
        assert_int_equal(ended(), MIOC_AGENT_RUNNING);
        assert_int_equal(mioc_agent_children(w.agent), 1);
        w.limit = 100;
        tick_after(MS);
        assert_int_equal(count_sent(3, MIOC_MESSAGE_LEAVE), 1);
        mioc_agent_lost(w.agent, 0, w.now);
        stop_world(NULL);
    }
}

static void greeting_that_is_too_large_is_not_configured(void **state)
{
    const struct mioc_agent_host host = { 0 };
    struct mioc_agent_config config = { .nodes = 2, .arity = 2, .window = 1, .has_joins = 1 };

    (void)state;
    config.hello_size = MIOC_WIRE_SMALL_MAX + 1;
    assert_null(mioc_agent_new(&config, &host, 0));
    assert_int_equal(errno, EINVAL);
    config.hello_size = 0;
    config.welcome_size = MIOC_MESSAGE_MAX;
    assert_null(mioc_agent_new(&config, &host, 0));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, stop_world)
    const struct CMUnitTest tests[] = {
        TEST(child_that_says_the_wrong_thing_first_is_dismissed),
        TEST(child_that_says_what_cannot_be_is_dismissed),
        TEST(parent_that_says_what_cannot_be_ends_the_agent),
        TEST(node_that_is_put_off_is_not_served_until_it_has_caught_up),
        TEST(greetings_without_joins_end_the_agent),
        TEST(strangers_are_not_heard),
        TEST(child_that_fills_the_queue_is_dismissed),
        TEST(greeting_that_is_too_large_is_not_configured),
    };
#undef TEST

    return cmocka_run_group_tests(tests, NULL, NULL);
}
