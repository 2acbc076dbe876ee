/* SPDX-License-Identifier: BSD-3-Clause */
/* test_agent_join_sync.c - writes, given-up contents and reports while nodes join, as one agent handles them. */
#include "agent_fixture.h"

#define STAT MIOC_ITEM_STAT

/* --- Writes ------------------------------------------------------------------------------------------------------ */

/* It is not served before it has the stream that far, so it need not be waited for. */
static void write_under_way_does_not_wait_for_a_child_that_joins(void **state)
{
    (void)state;
    start_alone(0);
    publish(STAT, "/a");
    join_child(1, 0);
    sent(1), sent(1);
    wrote("/lib/a", 0, 1);
    assert_int_equal(w.settled, 0);
    join_child(2, 0);
    sent(2);
    deliver_heartbeat(2, 0, 0);
    deliver_heartbeat(1, w.end, w.end);
    assert_int_equal(w.settled, 1);
    wrote("/lib/a", 0, 2); /* for this one it counts */
    deliver_heartbeat(1, w.end, w.end);
    assert_int_equal(w.settled, 1);
    deliver_heartbeat(2, w.end, w.end - 8);
    assert_int_equal(w.settled, 1);
    deliver_heartbeat(2, w.end, w.end);
    assert_int_equal(w.settled, 2);
}

static void write_waits_for_no_child_that_has_yet_to_say_hello(void **state)
{
    (void)state;
    start_alone(0);
    joined(1);
    wrote("/lib/a", 0, 1);
    assert_int_equal(w.settled, 1);
}

/* What a parent was told holds for good: the root gives contents up by it, and writes return. */
static void applied_never_goes_back_when_a_child_joins(void **state)
{
    uint64_t told = 0;

    (void)state;
    start_alone(1);
    join_parent(0);
    join_child(3, 0);
    sent(0), sent(3);
    deliver_written(9, 1);
    deliver_heartbeat(3, w.end, w.end);
    assert_int_equal(last_to(0, MIOC_MESSAGE_HEARTBEAT)->token, w.end);
    for (int child = 4; child <= 8; child += 4) {
        told = last_to(0, MIOC_MESSAGE_HEARTBEAT)->token;
        join_child(child, 0);
        assert_int_equal(last_to(child, MIOC_MESSAGE_WELCOME)->offset, w.end);
        sent(0), sent(child), sent(child);
        deliver_heartbeat(child, 0, 0);
        deliver_heartbeat(0, w.end, 0);
        tick_after(110 * MS);
        assert_int_equal(last_to(0, MIOC_MESSAGE_HEARTBEAT)->token, told);
        sent(0), sent(3), sent(child);
        deliver_written(9, (uint64_t)child);
        deliver_heartbeat(3, w.end, w.end);
        if (child == 8)
            deliver_heartbeat(4, w.end, w.end);
        tick_after(110 * MS); /* the new child lacks the write that came behind its WELCOME */
        assert_true(last_to(0, MIOC_MESSAGE_HEARTBEAT)->token < w.end);
        assert_true(last_to(0, MIOC_MESSAGE_HEARTBEAT)->token >= told);
        for (unsigned i = 0; i < 4; i++)
            sent(0), sent(3), sent(child), sent(4);
        deliver_heartbeat(child, w.end, w.end);
        assert_int_equal(last_to(0, MIOC_MESSAGE_HEARTBEAT)->token, w.end);
    }
}

/* A child that comes back lacks what its former life had. It counts as new, and the figure stays. */
static void applied_never_goes_back_when_a_child_comes_back(void **state)
{
    (void)state;
    start_alone(1);
    join_parent(0);
    join_child(3, 0);
    deliver_written(9, 1);
    deliver_heartbeat(3, w.end, w.end);
    assert_int_equal(last_to(0, MIOC_MESSAGE_HEARTBEAT)->token, w.end);
    mioc_agent_lost(w.agent, 3, w.now);
    join_child(3, 0);
    deliver_heartbeat(3, 0, 0);
    sent(0);
    tick_after(110 * MS);
    assert_int_equal(last_to(0, MIOC_MESSAGE_HEARTBEAT)->token, w.end);
    assert_int_equal(ended(), MIOC_AGENT_RUNNING);
}

/* The job has settled more than this node has, which it is not served without. */
static void job_may_be_further_than_a_node_that_catches_up(void **state)
{
    (void)state;
    start_alone(1);
    join_parent(8000);
    join_child(3, 0);
    assert_int_equal(last_to(3, MIOC_MESSAGE_WELCOME)->offset, 8000);
    deliver_heartbeat(0, 9000, 8000);
    assert_int_equal(ended(), MIOC_AGENT_RUNNING);
    sent(3);
    tick_after(110 * MS);
    assert_int_equal(last_to(3, MIOC_MESSAGE_HEARTBEAT)->token, 8000);
    assert_int_equal(last_to(0, MIOC_MESSAGE_HEARTBEAT)->token, 0);
    deliver_heartbeat(0, 9000, 8008);
    assert_int_equal(ended(), MIOC_AGENT_PROTOCOL);
}

/* The stream brings back what an earlier process of this node wrote. */
static void writes_of_a_former_life_settle_nothing(void **state)
{
    uint32_t size;

    (void)state;
    start_alone(1);
    size = build(MIOC_ITEM_INVALIDATE, "/lib/a");
    join_parent(2 * size);
    deliver_written(1, 70);
    deliver_written(1, 71);
    deliver_heartbeat(0, w.end, w.end);
    assert_int_equal(w.settled, 0);
    wrote("/lib/a", 0, 80);
    deliver_written(1, 72); /* was under way when that process died: found by the simulation */
    deliver_heartbeat(0, w.end, w.end);
    assert_int_equal(w.settled, 0);
    deliver_written(1, 81); /* never given */
    deliver_written(1, 80);
    deliver_heartbeat(0, w.end, w.end);
    assert_int_equal(w.settled, 80);
}

/* A node hangs at whatever ancestor it found, so its writes may come by several children. */
static void news_go_to_all_children_that_the_writer_can_be_below(void **state)
{
    (void)state;
    start_alone(0);
    join_child(1, 0);
    join_child(3, 0); /* below 1 */
    join_child(2, 0);
    deliver_invalidate(1, 8, 1, "/lib/a"); /* 8 is below 3 */
    for (int child = 1; child <= 3; child++)
        sent(child), sent(child);
    for (int child = 1; child <= 3; child++)
        deliver_heartbeat(child, w.end, w.end);
    assert_int_equal(count_sent(1, MIOC_MESSAGE_HEARTBEAT), 1);
    assert_int_equal(count_sent(3, MIOC_MESSAGE_HEARTBEAT), 1);
    assert_int_equal(count_sent(2, MIOC_MESSAGE_HEARTBEAT), 0);
}

/* --- Contents that were given up --------------------------------------------------------------------------------- */

/* Whether the first STREAM to that child carries zeros. */
static int has_zeros(int child)
{
    const char *m = (const void *)first_to(child, MIOC_MESSAGE_STREAM);

    return m[sizeof(struct mioc_message) + sizeof(struct mioc_chunk_record)] == 0;
}

static void content_that_was_given_up_comes_as_zeros_and_is_not_served(void **state)
{
    (void)state;
    start_alone(1);
    join_parent(0);
    deliver_item(0, MIOC_ITEM_CHUNK, "");
    join_child(3, 0);
    assert_false(has_zeros(3));
    assert_int_equal(first_to(3, MIOC_MESSAGE_STREAM)->token, 0);
    deliver_written_with(UINT32_MAX, 1, MIOC_FLAG_EVICT);
    w.chunk_fails = 1; /* it is gone */
    join_child(4, 0);
    assert_int_equal(ended(), MIOC_AGENT_RUNNING);
    assert_true(has_zeros(4));
    assert_int_equal(first_to(4, MIOC_MESSAGE_STREAM)->token, w.end);
}

/* Between WELCOME and the chunk the content is given up: the child must go on waiting, and those below it, too. */
static void content_given_up_meanwhile_puts_the_child_off(void **state)
{
    uint64_t born, later;

    (void)state;
    start_alone(1);
    join_parent(0);
    deliver_item(0, MIOC_ITEM_CHUNK, "");
    born = w.end;
    join_child(3, 0);
    assert_int_equal(last_to(3, MIOC_MESSAGE_WELCOME)->offset, born);
    stop_world(NULL);

    start_alone(1); /* that child, with one of its own */
    join_parent(born);
    join_child(3, 0);
    later = born + build(MIOC_ITEM_INVALIDATE, "/lib/a");
    build(MIOC_ITEM_CHUNK, "");
    memcpy(w.message + sizeof(struct mioc_message), w.item, born);
    memset(w.message + sizeof(struct mioc_message) + born, 0, 100008);
    deliver(0, mioc_wire_stream(w.message, 0, later, w.message + sizeof(struct mioc_message), (uint32_t)born + 100008));
    assert_int_equal(w.end, born);
    assert_false(mioc_agent_is_linked(w.agent));
    assert_int_equal(first_to(3, MIOC_MESSAGE_STREAM)->token, later);
    deliver_written_with(UINT32_MAX, 1, MIOC_FLAG_EVICT);
    assert_int_equal(w.end, later);
    assert_true(mioc_agent_is_linked(w.agent));
}

static void content_that_is_gone_for_another_reason_ends_the_agent(void **state)
{
    (void)state;
    start_alone(1);
    join_parent(0);
    deliver_item(0, MIOC_ITEM_CHUNK, "");
    deliver_written_with(UINT32_MAX, 2, MIOC_FLAG_EVICT);
    w.chunk_fails = 1;
    join_child(3, 0);
    assert_int_equal(ended(), MIOC_AGENT_STORE_FULL);
}

/* --- Reports ----------------------------------------------------------------------------------------------------- */

static void reports_are_passed_on_and_each_names_its_node(void **state)
{
    for (int has_joins = 0; has_joins < 2; has_joins++) {
        (void)state;
        start_as(1, 63, 2, has_joins);
        if (has_joins) {
            join_parent(0);
            join_child(3, 0);
        }
        deliver_report(3, 8);
        assert_int_equal(w.reports, 0); /* the root's host has them */
        assert_int_equal(last_to(0, MIOC_MESSAGE_REPORT)->node, 8);
        assert_memory_equal(last_to(0, MIOC_MESSAGE_REPORT) + 1, "report", 6);
        assert_int_equal(mioc_agent_send_report(w.agent, "report", 6, w.now), 0);
        assert_int_equal(last_to(0, MIOC_MESSAGE_REPORT)->node, 1);
        deliver_plain(0, MIOC_MESSAGE_REPORT, 0);
        assert_int_equal(w.wishes, 1);
        assert_int_equal(count_sent(3, MIOC_MESSAGE_REPORT), 1);
        assert_int_equal(last_to(3, MIOC_MESSAGE_REPORT)->body, 0);
        if (!has_joins)
            stop_world(NULL);
    }
}

static void reports_wanted_by_the_root_are_asked_of_who_is_linked(void **state)
{
    (void)state;
    start_alone(0);
    join_child(1, 0);
    joined(2);
    publish(STAT, "/a"); /* the window of child 1 is full */
    mioc_agent_want_reports(w.agent, w.now);
    assert_int_equal(count_sent(1, MIOC_MESSAGE_REPORT), 0);
    sent(1);
    assert_int_equal(count_sent(1, MIOC_MESSAGE_REPORT), 1);
    sent(1), sent(1);
    deliver_hello(2, 2, 0);
    assert_int_equal(count_sent(1, MIOC_MESSAGE_REPORT), 1);
    assert_int_equal(count_sent(2, MIOC_MESSAGE_REPORT), 0);
    assert_int_equal(mioc_agent_send_report(w.agent, "report", 6, w.now), -1); /* the root has its own */
}

/* Writes must find room in the queue. */
static void reports_beyond_half_of_the_queue_are_dropped(void **state)
{
    (void)state;
    start_alone(1);
    assert_int_equal(mioc_agent_send_report(w.agent, "report", 6, w.now), -1); /* no way up yet */
    join_parent(0);
    w.limit = 0;
    for (unsigned i = 0; i < 8192; i++)
        assert_int_equal(mioc_agent_send_report(w.agent, "report", 6, w.now), 0);
    assert_int_equal(mioc_agent_send_report(w.agent, "report", 6, w.now), -1);
    wrote("/lib/x.py", 0, 1);
    assert_int_equal(ended(), MIOC_AGENT_RUNNING);
    mioc_agent_lost(w.agent, 0, w.now);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, stop_world)
    const struct CMUnitTest tests[] = {
        TEST(write_under_way_does_not_wait_for_a_child_that_joins),
        TEST(write_waits_for_no_child_that_has_yet_to_say_hello),
        TEST(applied_never_goes_back_when_a_child_joins),
        TEST(applied_never_goes_back_when_a_child_comes_back),
        TEST(job_may_be_further_than_a_node_that_catches_up),
        TEST(writes_of_a_former_life_settle_nothing),
        TEST(news_go_to_all_children_that_the_writer_can_be_below),
        TEST(content_that_was_given_up_comes_as_zeros_and_is_not_served),
        TEST(content_given_up_meanwhile_puts_the_child_off),
        TEST(content_that_is_gone_for_another_reason_ends_the_agent),
        TEST(reports_are_passed_on_and_each_names_its_node),
        TEST(reports_wanted_by_the_root_are_asked_of_who_is_linked),
        TEST(reports_beyond_half_of_the_queue_are_dropped),
    };
#undef TEST

    return cmocka_run_group_tests(tests, NULL, NULL);
}
