/* SPDX-License-Identifier: BSD-3-Clause */
/* test_agent_lease.c - an agent without its parent, leases of stores, and writes that wait for those that are lost. */
#include "agent_fixture.h"

#define STAT MIOC_ITEM_STAT
#define GRANTED (LEASE - LEASE / 16)

static int is_linked(void) { return mioc_agent_is_linked(w.agent); }

static void deliver_leave(int from, uint32_t flags) { deliver(from, mioc_wire_leave(w.message, flags)); }

static void deliver_beat(int from, uint64_t offset, uint64_t token, uint64_t clock, uint64_t grant)
{
    size_t size = mioc_wire_heartbeat(w.message, offset, token);

    mioc_wire_add_lease(w.message, clock, grant);
    deliver(from, size);
}

/* --- An orphan --------------------------------------------------------------------------------------------------- */

static void node_without_its_parent_is_not_served_until_another_has_it(void **state)
{
    (void)state;
    for (unsigned way = 0; way < 3; way++) {
        start_alone(7); /* its ancestors: 3, 1, 0 */
        joined(0);
        deliver_welcome(0);
        deliver_item(0, STAT, "/a");
        ask(STAT, "/b");
        assert_true(is_linked());
        if (way == 0)
            mioc_agent_lost(w.agent, 0, w.now);
        if (way == 1)
            deliver_leave(0, MIOC_LEAVE_ELSEWHERE);
        for (unsigned i = 0; way == 2 && i < 6; i++)
            tick_after(100 * MS);
        assert_int_equal(ended(), MIOC_AGENT_RUNNING);
        assert_false(is_linked());
        assert_int_equal(mioc_agent_served_until(w.agent), 0);
        assert_int_equal(w.unlinks, 1);
        assert_int_equal(w.hung_up, 0);
        assert_int_equal(w.hang_ups, 1);
        w.sends = 0;
        joined(0);
        assert_int_equal(first_to(0, MIOC_MESSAGE_HELLO)->offset, w.end);
        assert_int_equal(first_to(0, MIOC_MESSAGE_HELLO)->token, STREAM_NAME);
        assert_int_equal(first_to(0, MIOC_MESSAGE_HELLO)->flags, MIOC_HELLO_SERVED);
        deliver_welcome(w.end + build(STAT, "/b"));
        assert_int_equal(w.welcomes, 1);
        assert_false(is_linked()); /* it lacks what the others have */
        assert_int_equal(count_sent(0, MIOC_MESSAGE_REQUEST), 0);
        deliver_item(w.end, STAT, "/b");
        assert_true(is_linked());
        stop_world(NULL);
    }
}

static void root_that_leaves_ends_all_below(void **state)
{
    (void)state;
    start_alone(1);
    join_parent(0);
    join_child(3, 0);
    deliver_leave(0, MIOC_LEAVE_OVER);
    assert_int_equal(ended(), MIOC_AGENT_PARENT_LEFT);
    assert_int_equal(last_to(3, MIOC_MESSAGE_LEAVE)->flags, MIOC_LEAVE_OVER);
    stop_world(NULL);
    start_alone(0);
    join_child(1, 0);
    mioc_agent_leave(w.agent, NULL, 0, w.now);
    assert_int_equal(last_to(1, MIOC_MESSAGE_LEAVE)->flags, MIOC_LEAVE_OVER);
    stop_world(NULL);
    start_alone(1); /* an inner node's end is not the root's */
    join_parent(0);
    join_child(3, 0);
    mioc_agent_leave(w.agent, NULL, 0, w.now);
    assert_int_equal(last_to(3, MIOC_MESSAGE_LEAVE)->flags, MIOC_LEAVE_ELSEWHERE);
    assert_int_equal(last_to(0, MIOC_MESSAGE_LEAVE)->flags, MIOC_LEAVE_BELOW);
}

static void parent_of_another_stream_is_none(void **state)
{
    size_t size;

    (void)state;
    start_alone(1);
    join_parent(0);
    mioc_agent_lost(w.agent, 0, w.now);
    joined(0);
    size = mioc_wire_body(w.message, MIOC_MESSAGE_WELCOME, 0, "welcome", 7);
    mioc_wire_add_stream(w.message, STREAM_NAME + 1, 0);
    deliver(0, size);
    assert_int_equal(ended(), MIOC_AGENT_REFUSED);
    assert_false(is_linked());
}

static void parent_that_is_silent_before_its_welcome_was_none(void **state)
{
    (void)state;
    start_alone(1);
    joined(0);
    for (unsigned i = 0; i < 6; i++)
        tick_after(100 * MS);
    assert_int_equal(w.hang_ups, 1);
    joined(0);
    assert_int_equal(count_sent(0, MIOC_MESSAGE_HELLO), 2);
    deliver_leave(0, MIOC_LEAVE_ELSEWHERE);
    assert_int_equal(ended(), MIOC_AGENT_RUNNING);
    assert_int_equal(w.hang_ups, 2);
    joined(0);
    deliver_leave(0, 0);
    assert_int_equal(ended(), MIOC_AGENT_REFUSED);
}

static void writes_that_did_not_come_back_go_again(void **state)
{
    (void)state;
    start_alone(1);
    join_parent(0);
    join_child(3, 0);
    wrote("/lib/a", 0, 5);
    wrote("/lib/b", 0, 6);
    deliver_invalidate(3, 3, 9, "/lib/c");
    assert_int_equal(count_sent(0, MIOC_MESSAGE_INVALIDATE), 3);
    deliver_written(1, 5);
    mioc_agent_lost(w.agent, 0, w.now);
    wrote("/lib/d", 0, 7);
    w.sends = 0;
    join_parent(w.end + build(MIOC_ITEM_INVALIDATE, "/lib/a"));
    assert_int_equal(count_sent(0, MIOC_MESSAGE_INVALIDATE), 0); /* the stream may still say that they came */
    deliver_written(1, 6);
    assert_int_equal(count_sent(0, MIOC_MESSAGE_INVALIDATE), 2);
    assert_int_equal(first_to(0, MIOC_MESSAGE_INVALIDATE)->token, 9);
    assert_int_equal(last_to(0, MIOC_MESSAGE_INVALIDATE)->token, 7);
}

static void write_that_came_twice_settles_once(void **state)
{
    (void)state;
    start_alone(1);
    join_parent(0);
    wrote("/lib/a", 0, 5);
    wrote("/lib/b", 0, 6);
    deliver_written(1, 5);
    deliver_written(1, 6);
    deliver_heartbeat(0, w.end, w.end);
    assert_int_equal(w.settled, 6);
    deliver_written(1, 5);
    deliver_heartbeat(0, w.end, w.end); /* fake_settled() sees that no token goes back */
    assert_int_equal(w.settled, 6);
}

/* --- Leases ------------------------------------------------------------------------------------------------------ */

static void node_is_served_for_as_long_as_its_parent_said(void **state)
{
    uint64_t greeted;

    (void)state;
    start_alone(1);
    joined(0);
    greeted = w.now;
    assert_int_equal(last_to(0, MIOC_MESSAGE_HELLO)->clock, greeted);
    w.now += 50 * MS;
    deliver_welcome_for(0, 200 * MS);
    assert_int_equal(mioc_agent_served_until(w.agent), greeted + 200 * MS);
    tick_after(50 * MS);
    assert_int_equal(last_to(0, MIOC_MESSAGE_HEARTBEAT)->clock, w.now);
    deliver_beat(0, 0, 0, w.now - MS, 150 * MS);
    assert_int_equal(mioc_agent_served_until(w.agent), w.now - MS + 150 * MS);
    deliver_beat(0, 0, 0, w.now - MS, 20 * MS); /* a promise stays */
    assert_int_equal(mioc_agent_served_until(w.agent), w.now - MS + 150 * MS);
    ask(STAT, "/a");
    tick_after(149 * MS);
    assert_false(is_linked());
    assert_int_equal(w.unlinks, 1);
    deliver_beat(0, 0, 0, w.now, 100 * MS);
    assert_true(is_linked());
    assert_int_equal(count_sent(0, MIOC_MESSAGE_REQUEST), 2); /* its answer may have passed */
    deliver_beat(0, 0, 0, w.now + 1, 100 * MS);               /* a time that this node has not said */
    assert_int_equal(ended(), MIOC_AGENT_PROTOCOL);
}

static void root_promises_what_it_waits_for(void **state)
{
    (void)state;
    start_alone(0);
    joined(1);
    w.now += 30 * MS;
    deliver_hello(1, 1, 0);
    assert_int_equal(last_to(1, MIOC_MESSAGE_WELCOME)->grant, GRANTED);
    w.now += 100 * MS;
    deliver_beat(1, 0, 0, 555, 0);
    assert_int_equal(last_to(1, MIOC_MESSAGE_HEARTBEAT)->clock, 555);
    assert_int_equal(last_to(1, MIOC_MESSAGE_HEARTBEAT)->grant, GRANTED);
}

static void inner_node_promises_no_more_than_it_has_and_at_once(void **state)
{
    unsigned beats;

    (void)state;
    start_alone(1);
    joined(0);
    deliver_welcome_for(0, 300 * MS);
    w.now += 100 * MS;
    join_child(3, 0);
    assert_int_equal(last_to(3, MIOC_MESSAGE_WELCOME)->grant, 200 * MS);
    w.now += 60 * MS;
    beats = count_sent(3, MIOC_MESSAGE_HEARTBEAT);
    deliver_beat(0, 0, 0, w.now, 310 * MS);
    assert_int_equal(count_sent(3, MIOC_MESSAGE_HEARTBEAT), beats + 1);
    assert_int_equal(last_to(3, MIOC_MESSAGE_HEARTBEAT)->grant, 60 * MS + 310 * MS);
    mioc_agent_lost(w.agent, 0, w.now);
    sent(3), sent(3);
    tick_after(200 * MS);
    assert_int_equal(last_to(3, MIOC_MESSAGE_HEARTBEAT)->grant, 0);
    assert_int_equal(mioc_agent_children(w.agent), 1);
}

static void child_gets_no_promise_before_it_knows_what_it_lacks(void **state)
{
    uint64_t needed;

    (void)state;
    start_alone(1);
    join_parent(0);
    join_child(3, 0);
    deliver_item(w.end, STAT, "/z"); /* its window is full */
    mioc_agent_lost(w.agent, 0, w.now);
    needed = w.end + 2 * build(STAT, "/a");
    join_parent(needed);
    deliver_item(w.end, STAT, "/a");
    deliver_item(w.end, STAT, "/b");
    assert_true(is_linked());
    w.now += 60 * MS;
    deliver_beat(0, w.end, 0, w.now, 300 * MS);
    w.sends = 0;
    sent(3); /* the HEARTBEAT comes first */
    assert_int_equal(last_to(3, MIOC_MESSAGE_HEARTBEAT)->grant, 0);
    sent(3);
    assert_int_equal(last_to(3, MIOC_MESSAGE_STREAM)->token, needed);
    sent(3), sent(3);
    w.now += 60 * MS;
    deliver_beat(0, w.end, 0, w.now, 300 * MS);
    assert_true(last_to(3, MIOC_MESSAGE_HEARTBEAT)->grant > 0);
}

/* --- Lost stores ------------------------------------------------------------------------------------------------- */

static void write_waits_for_a_lost_store_as_long_as_it_may_be_served(void **state)
{
    (void)state;
    for (unsigned way = 0; way < 4; way++) {
        uint64_t lost;

        start_alone(0);
        join_child(1, 0);
        lost = w.now;
        w.now += 100 * MS;
        if (way == 0)
            mioc_agent_lost(w.agent, 1, w.now);
        if (way == 1)
            deliver_leave(1, MIOC_LEAVE_BELOW), lost = w.now;
        if (way == 2)
            joined(1); /* again, and the old one is not lost */
        if (way == 3)
            deliver(1, 20), lost = w.now; /* nonsense: it is dismissed */
        wrote("/lib/a", 0, 1);
        assert_int_equal(w.settled, 0);
        if (way == 2) /* whoever comes back: some below may be served yet */
            deliver_hello(1, 1, 0);
        deliver_beat(1, 0, 0, 0, 0);
        w.now = lost + LEASE - 1;
        mioc_agent_tick(w.agent, w.now);
        assert_int_equal(w.settled, 0);
        if (way == 2)
            deliver_beat(1, w.end, w.end, 0, 0);
        assert_true(mioc_agent_tick(w.agent, w.now) <= lost + LEASE + MS);
        w.now = lost + LEASE;
        mioc_agent_tick(w.agent, w.now);
        assert_int_equal(w.settled, 1);
        stop_world(NULL);
    }
}

static void write_does_not_wait_for_who_left(void **state)
{
    (void)state;
    start_alone(0);
    join_child(1, 0);
    deliver_leave(1, 0);
    wrote("/lib/a", 0, 1);
    assert_int_equal(w.settled, 1);
}

/* --- Who comes back ---------------------------------------------------------------------------------------------- */

static void child_that_was_served_needs_a_parent_that_is(void **state)
{
    (void)state;
    start_alone(1); /* not welcome itself */
    joined(3);
    deliver_hello_of(3, 3, 0, MIOC_HELLO_SERVED);
    assert_int_equal(last_to(3, MIOC_MESSAGE_LEAVE)->flags, MIOC_LEAVE_ELSEWHERE);
    stop_world(NULL);
    start_alone(1);
    join_parent(build(STAT, "/a"));
    deliver_item(0, STAT, "/a");
    joined(3);
    deliver_hello_of(3, 3, w.end, MIOC_HELLO_SERVED);
    assert_int_equal(count_sent(3, MIOC_MESSAGE_WELCOME), 1);
    joined(4);
    deliver_hello_of(4, 4, 0, MIOC_HELLO_SERVED); /* this node may have zeros there */
    assert_int_equal(last_to(4, MIOC_MESSAGE_LEAVE)->flags, MIOC_LEAVE_ELSEWHERE);
}

static void child_that_was_served_gets_no_zeros(void **state)
{
    (void)state;
    for (unsigned is_served = 0; is_served < 2; is_served++) {
        start_alone(0);
        publish(MIOC_ITEM_CHUNK, "");
        build(MIOC_ITEM_INVALIDATE, "/lib/a");
        ((struct mioc_invalidate_record *)w.item)->item.flags = MIOC_FLAG_EVICT;
        ((struct mioc_invalidate_record *)w.item)->token = 1;
        ((struct mioc_invalidate_record *)w.item)->pages = 1;
        assert_int_equal(mioc_agent_publish(w.agent, (void *)w.item, NULL, w.now), 0);
        w.chunk_fails = 1;
        joined(1);
        deliver_hello_of(1, 1, 0, is_served ? MIOC_HELLO_SERVED : 0);
        assert_int_equal(count_sent(1, MIOC_MESSAGE_STREAM), !is_served);
        assert_int_equal(count_sent(1, MIOC_MESSAGE_LEAVE), is_served);
        deliver_invalidate(1, 1, 1, "/lib/x"); /* its writes count */
        assert_int_equal(mioc_agent_counters(w.agent)->invalidations, 1);
        assert_int_equal(ended(), MIOC_AGENT_RUNNING);
        stop_world(NULL);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, stop_world)
    const struct CMUnitTest tests[] = {
        TEST(node_without_its_parent_is_not_served_until_another_has_it),
        TEST(root_that_leaves_ends_all_below),
        TEST(parent_of_another_stream_is_none),
        TEST(parent_that_is_silent_before_its_welcome_was_none),
        TEST(writes_that_did_not_come_back_go_again),
        TEST(write_that_came_twice_settles_once),
        TEST(node_is_served_for_as_long_as_its_parent_said),
        TEST(root_promises_what_it_waits_for),
        TEST(inner_node_promises_no_more_than_it_has_and_at_once),
        TEST(child_gets_no_promise_before_it_knows_what_it_lacks),
        TEST(write_waits_for_a_lost_store_as_long_as_it_may_be_served),
        TEST(write_does_not_wait_for_who_left),
        TEST(child_that_was_served_needs_a_parent_that_is),
        TEST(child_that_was_served_gets_no_zeros),
    };
#undef TEST

    return cmocka_run_group_tests(tests, NULL, NULL);
}
