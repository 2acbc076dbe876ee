/* SPDX-License-Identifier: BSD-3-Clause */
/* test_agent_join.c - links that join, leave and come back, as one agent handles them. */
#include "agent_fixture.h"

#define STAT MIOC_ITEM_STAT

static int is_linked(void) { return mioc_agent_is_linked(w.agent); }

/* --- Upwards ----------------------------------------------------------------------------------------------------- */

static void node_without_a_parent_sends_nothing_and_waits(void **state)
{
    (void)state;
    start_alone(1);
    for (unsigned i = 0; i < 20; i++)
        tick_after(100 * MS);
    wrote("/lib/x.py", 0, 1);
    ask(STAT, "/a");
    assert_int_equal(w.sends, 0);
    assert_int_equal(w.real + w.answered, 0);
    assert_int_equal(ended(), MIOC_AGENT_RUNNING);
    assert_false(is_linked());
    assert_false(mioc_agent_is_busy(w.agent)); /* no look brings a parent sooner */
}

static void node_that_joined_says_hello_and_nothing_else_until_it_is_welcome(void **state)
{
    (void)state;
    start_alone(1);
    wrote("/lib/x.py", 0, 1);
    ask(STAT, "/a");
    joined(0);
    assert_int_equal(w.sends, 1);
    assert_int_equal(w.sent[0].m->kind, MIOC_MESSAGE_HELLO);
    assert_int_equal(w.sent[0].m->node, 1);
    assert_int_equal(w.sent[0].m->offset, 0);
    assert_memory_equal(w.sent[0].m + 1, "hello", 5);
    for (unsigned i = 0; i < 9; i++) {
        deliver_plain(0, MIOC_MESSAGE_HEARTBEAT, 0); /* the parent waits for its own */
        tick_after(100 * MS);
    }
    assert_int_equal(w.sends, 1);
    assert_int_equal(ended(), MIOC_AGENT_RUNNING);
    assert_false(is_linked());
    deliver_welcome(0);
    assert_int_equal(w.welcomes, 1);
    assert_true(is_linked());
    assert_int_equal(w.sends, 4);
    assert_int_equal(w.sent[1].m->kind, MIOC_MESSAGE_HEARTBEAT); /* its time, as HELLO is old by now */
    assert_int_equal(w.sent[2].m->kind, MIOC_MESSAGE_INVALIDATE);
    assert_int_equal(w.sent[3].m->kind, MIOC_MESSAGE_REQUEST);
}

static void hello_that_is_refused_for_now_is_said_later(void **state)
{
    (void)state;
    start_alone(1);
    w.refuse = EAGAIN;
    w.refuse_peer = -1;
    joined(0);
    assert_int_equal(w.sends, 0);
    w.refuse = 0;
    tick_after(MS);
    assert_int_equal(count_sent(0, MIOC_MESSAGE_HELLO), 1);
    tick_after(MS);
    assert_int_equal(w.sends, 1);
}

/* What a write that has returned long ago made wrong may still be reachable before. */
static void node_answers_nothing_before_it_has_what_its_parent_had(void **state)
{
    uint64_t born;

    (void)state;
    start_alone(1);
    born = 2 * build(STAT, "/a");
    ask(STAT, "/a");
    ask(STAT, "/c");
    join_parent(born);
    deliver_item(0, STAT, "/a");
    ask(STAT, "/a");
    assert_false(is_linked());
    assert_int_equal(w.answered, 0);
    assert_int_equal(count_sent(0, MIOC_MESSAGE_REQUEST), 0);
    deliver_item(w.end, STAT, "/b");
    assert_int_equal(w.end, born);
    assert_true(is_linked());
    assert_int_equal(w.answered, 1);
    assert_int_equal(count_sent(0, MIOC_MESSAGE_REQUEST), 1); /* for /c */
    assert_int_equal(first_to(0, MIOC_MESSAGE_REQUEST)->offset, born);
    deliver_item(w.end, STAT, "/c");
    assert_int_equal(w.answered, 2);
    assert_false(mioc_agent_is_busy(w.agent) && mioc_agent_counters(w.agent)->requests_sent != 1);
}

static void parent_lost_before_its_welcome_was_none(void **state)
{
    (void)state;
    start_alone(7); /* its ancestors: 3, 1, 0 */
    wrote("/lib/x.py", 0, 1);
    joined(3);
    mioc_agent_lost(w.agent, 3, w.now);
    assert_int_equal(ended(), MIOC_AGENT_RUNNING);
    joined(4); /* none of its ancestors */
    assert_int_equal(w.sends, 1);
    joined(0);
    assert_int_equal(count_sent(0, MIOC_MESSAGE_HELLO), 1);
    joined(1); /* it has one */
    assert_int_equal(count_sent(1, MIOC_MESSAGE_HELLO), 0);
    joined(0); /* again: that link was lost */
    assert_int_equal(count_sent(0, MIOC_MESSAGE_HELLO), 2);
    deliver_welcome(0);
    assert_int_equal(count_sent(0, MIOC_MESSAGE_INVALIDATE), 1);
    assert_true(is_linked());
}

static void parent_that_joins_again_unlost_is_lost(void **state)
{
    (void)state;
    start_alone(1);
    join_parent(0);
    joined(0);
    assert_int_equal(ended(), MIOC_AGENT_RUNNING);
    assert_int_equal(w.unlinks, 1);
    assert_false(is_linked());
    assert_int_equal(count_sent(0, MIOC_MESSAGE_HELLO), 2);
}

static void node_that_is_not_taken_ends_as_refused(void **state)
{
    (void)state;
    start_alone(1);
    joined(0);
    deliver_plain(0, MIOC_MESSAGE_LEAVE, 0);
    assert_int_equal(ended(), MIOC_AGENT_REFUSED);
    assert_int_equal(w.real_all, 1);
    stop_world(NULL);
    start_alone(1);
    w.welcomed_rc = -1;
    wrote("/lib/x.py", 0, 1);
    join_parent(0);
    assert_int_equal(ended(), MIOC_AGENT_REFUSED);
    assert_int_equal(w.sent[1].m->kind, MIOC_MESSAGE_INVALIDATE); /* its write happened all the same */
    assert_int_equal(w.sent[2].m->kind, MIOC_MESSAGE_LEAVE);
}

static void node_that_ends_before_its_welcome_still_tells_of_its_writes(void **state)
{
    (void)state;
    start_alone(1);
    wrote("/lib/x.py", 0, 1);
    joined(0);
    mioc_agent_leave(w.agent, "report", 6, w.now);
    assert_int_equal(w.sends, 1);
    assert_true(mioc_agent_is_busy(w.agent));
    deliver_welcome(800);
    assert_int_equal(w.welcomes, 0);
    assert_int_equal(w.sends, 4);
    assert_int_equal(w.sent[1].m->kind, MIOC_MESSAGE_INVALIDATE);
    assert_int_equal(w.sent[2].m->kind, MIOC_MESSAGE_REPORT);
    assert_int_equal(w.sent[3].m->kind, MIOC_MESSAGE_LEAVE);
    stop_world(NULL);
    start_alone(1); /* nothing to tell */
    joined(0);
    mioc_agent_leave(w.agent, NULL, 0, w.now);
    assert_int_equal(w.sent[1].m->kind, MIOC_MESSAGE_LEAVE);
    sent(0), sent(0);
    assert_false(mioc_agent_is_busy(w.agent));
    stop_world(NULL);
    start_alone(1);
    mioc_agent_leave(w.agent, "report", 6, w.now);
    assert_int_equal(w.sends, 0);
    assert_false(mioc_agent_is_busy(w.agent));
    stop_world(NULL);
    start_alone(1); /* the parent comes when this node has ended already */
    wrote("/lib/x.py", 0, 1);
    mioc_agent_leave(w.agent, "report", 6, w.now);
    assert_true(mioc_agent_is_busy(w.agent));
    join_parent(0);
    assert_int_equal(w.sends, 3);
    assert_int_equal(w.sent[0].m->kind, MIOC_MESSAGE_HELLO);
    assert_int_equal(w.sent[1].m->kind, MIOC_MESSAGE_INVALIDATE);
    assert_int_equal(w.sent[2].m->kind, MIOC_MESSAGE_LEAVE);
    sent(0), sent(0), sent(0);
    assert_false(mioc_agent_is_busy(w.agent));
}

/* --- Downwards --------------------------------------------------------------------------------------------------- */

static void child_gets_welcome_first_and_the_stream_from_its_place(void **state)
{
    uint64_t second;

    (void)state;
    start_alone(0);
    publish(STAT, "/a");
    second = w.end;
    publish(STAT, "/b");
    joined(1);
    tick_after(100 * MS);
    assert_int_equal(w.sends, 0);
    assert_int_equal(mioc_agent_children(w.agent), 0);
    deliver_hello(1, 1, 0);
    assert_int_equal(w.hellos, 1);
    assert_int_equal(w.hello_node, 1);
    assert_int_equal(mioc_agent_children(w.agent), 1);
    assert_int_equal(w.sent[0].m->kind, MIOC_MESSAGE_WELCOME);
    assert_int_equal(w.sent[0].m->offset, w.end);
    assert_memory_equal(w.sent[0].m + 1, "welcome", 7);
    assert_int_equal(w.sent[1].m->kind, MIOC_MESSAGE_STREAM);
    assert_int_equal(w.sent[1].m->offset, 0);
    assert_int_equal(w.sent[1].m->body, w.end);
    join_child(2, second); /* it was there before */
    assert_int_equal(first_to(2, MIOC_MESSAGE_STREAM)->offset, second);
    join_child(7, w.end); /* a grandchild that found no nearer ancestor */
    assert_int_equal(count_sent(7, MIOC_MESSAGE_WELCOME), 1);
    assert_int_equal(count_sent(7, MIOC_MESSAGE_STREAM), 0);
}

static void child_is_welcome_as_soon_as_its_parent_is(void **state)
{
    (void)state;
    start_alone(1);
    join_child(3, 0);
    join_child(9, 0);
    deliver_hello(3, 7, 0);
    assert_int_equal(w.hellos, 2); /* 3 has to wait for its WELCOME, and can pass on none: it is dismissed */
    assert_int_equal(count_sent(3, MIOC_MESSAGE_LEAVE), 1);
    assert_int_equal(w.sends, 1);
    join_parent(4096);
    assert_int_equal(count_sent(9, MIOC_MESSAGE_WELCOME), 1);
    assert_int_equal(last_to(9, MIOC_MESSAGE_WELCOME)->offset, 4096); /* what this node is not served without */
    assert_memory_equal(last_to(9, MIOC_MESSAGE_WELCOME) + 1, "welcome", 7);
    assert_int_equal(count_sent(3, MIOC_MESSAGE_WELCOME), 0);
    assert_int_equal(count_sent(0, MIOC_MESSAGE_HELLO), 3); /* its own, and those of 3 and 9 */
}

static void hello_of_a_node_below_goes_on_to_the_root(void **state)
{
    const struct mioc_message *m;

    (void)state;
    start_alone(1);
    join_parent(0);
    join_child(3, 0);
    deliver_hello(3, 8, 0);
    assert_int_equal(w.hello_node, 8);
    m = last_to(0, MIOC_MESSAGE_HELLO);
    assert_int_equal(m->node, 8);
    assert_int_equal(m->offset, 0);
    assert_memory_equal(m + 1, "hello", 5);
    w.hello_rc = -1; /* further below nobody is dismissed by this agent; nobody hears of that node */
    deliver_hello(3, 7, 0);
    assert_int_equal(count_sent(0, MIOC_MESSAGE_HELLO), 3);
    assert_int_equal(count_sent(3, MIOC_MESSAGE_LEAVE), 0);
    join_child(4, 0);
    assert_int_equal(count_sent(4, MIOC_MESSAGE_LEAVE), 1);
    assert_int_equal(count_sent(0, MIOC_MESSAGE_HELLO), 3);
}

static void child_that_comes_back_begins_anew(void **state)
{
    (void)state;
    for (unsigned way = 0; way < 4; way++) {
        start_alone(0);
        publish(STAT, "/a");
        join_child(1, 0);
        if (way == 0)
            deliver_plain(1, MIOC_MESSAGE_LEAVE, 0);
        if (way == 1)
            mioc_agent_lost(w.agent, 1, w.now);
        for (unsigned i = 0; way == 2 && i < 6; i++)
            tick_after(100 * MS);
        assert_int_equal(mioc_agent_children(w.agent), way == 3);
        w.sends = 0;
        joined(1); /* way 3: unlost */
        assert_int_equal(mioc_agent_children(w.agent), 0);
        publish(STAT, "/b");
        assert_int_equal(w.sends, 0);
        deliver_hello(1, 1, 0);
        assert_int_equal(mioc_agent_children(w.agent), 1);
        assert_int_equal(w.sent[0].m->kind, MIOC_MESSAGE_WELCOME);
        assert_int_equal(w.sent[1].m->offset, 0);
        assert_int_equal(w.sent[1].m->body, w.end);
        assert_int_equal(w.hellos, 2);
        stop_world(NULL);
    }
}

static void children_beyond_the_most_are_refused(void **state)
{
    (void)state;
    start_alone(0);
    for (int child = 1; child <= 17; child++)
        join_child(child, 0);
    assert_int_equal(mioc_agent_children(w.agent), 16);
    assert_int_equal(w.hellos, 16);
    assert_int_equal(count_sent(17, MIOC_MESSAGE_LEAVE), 1);
    for (int child = 1; child <= 17; child++)
        sent(child);
    deliver_plain(3, MIOC_MESSAGE_LEAVE, 0);
    join_child(18, 0);
    assert_int_equal(mioc_agent_children(w.agent), 16);
    publish(STAT, "/a"); /* under way to all, and 4 dies: its buffers are not back yet */
    sent(18);
    for (unsigned i = 0; i < 6; i++) {
        for (int child = 1; child <= 18; child++)
            if (child != 3 && child != 4 && child != 17)
                deliver_heartbeat(child, 0, 0), sent(child);
        tick_after(100 * MS);
    }
    assert_int_equal(mioc_agent_children(w.agent), 15);
    join_child(19, 0);
    assert_int_equal(count_sent(19, MIOC_MESSAGE_LEAVE), 1);
    sent(19);
    mioc_agent_lost(w.agent, 4, w.now);
    join_child(20, 0);
    assert_int_equal(mioc_agent_children(w.agent), 16);
    assert_int_equal(count_sent(20, MIOC_MESSAGE_WELCOME), 1);
    for (int child = 21; child < 60; child++) { /* the list does not grow by each */
        join_child(child, 0);
        assert_int_equal(count_sent(child, MIOC_MESSAGE_LEAVE), 1);
        sent(child);
    }
    assert_int_equal(ended(), MIOC_AGENT_RUNNING);
}

static void child_that_says_nothing_is_dismissed_in_the_end(void **state)
{
    (void)state;
    start_alone(0);
    joined(1);
    for (unsigned i = 0; i < 4; i++)
        tick_after(100 * MS);
    assert_int_equal(w.sends, 0);
    tick_after(100 * MS);
    assert_int_equal(count_sent(1, MIOC_MESSAGE_LEAVE), 1);
    deliver_hello(1, 1, 0); /* too late */
    assert_int_equal(w.sends, 1);
    assert_int_equal(w.hellos, 0);
}

static void agent_that_ends_tells_all_who_joined(void **state)
{
    (void)state;
    start_alone(1);
    joined(4);
    join_child(3, 0);
    joined(0);
    mioc_agent_leave(w.agent, NULL, 0, w.now);
    assert_int_equal(count_sent(3, MIOC_MESSAGE_LEAVE), 1);
    assert_int_equal(count_sent(4, MIOC_MESSAGE_LEAVE), 1);
    assert_int_equal(count_sent(0, MIOC_MESSAGE_LEAVE), 0); /* it waits: the HELLO of 3 is still owed */
    join_child(9, 0);
    assert_int_equal(count_sent(9, MIOC_MESSAGE_LEAVE), 1);
    assert_int_equal(mioc_agent_children(w.agent), 0); /* nobody waits for them: found by the simulation */
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, stop_world)
    const struct CMUnitTest tests[] = {
        TEST(node_without_a_parent_sends_nothing_and_waits),
        TEST(node_that_joined_says_hello_and_nothing_else_until_it_is_welcome),
        TEST(hello_that_is_refused_for_now_is_said_later),
        TEST(node_answers_nothing_before_it_has_what_its_parent_had),
        TEST(parent_lost_before_its_welcome_was_none),
        TEST(parent_that_joins_again_unlost_is_lost),
        TEST(node_that_is_not_taken_ends_as_refused),
        TEST(node_that_ends_before_its_welcome_still_tells_of_its_writes),
        TEST(child_gets_welcome_first_and_the_stream_from_its_place),
        TEST(child_is_welcome_as_soon_as_its_parent_is),
        TEST(hello_of_a_node_below_goes_on_to_the_root),
        TEST(child_that_comes_back_begins_anew),
        TEST(children_beyond_the_most_are_refused),
        TEST(child_that_says_nothing_is_dismissed_in_the_end),
        TEST(agent_that_ends_tells_all_who_joined),
    };
#undef TEST

    return cmocka_run_group_tests(tests, NULL, NULL);
}
