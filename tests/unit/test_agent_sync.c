/* SPDX-License-Identifier: BSD-3-Clause */
/* test_agent_sync.c - when a write is said to be known to all nodes, as one agent handles it. */
#include "agent_fixture.h"

#define MANY 400u

static void write_in_a_job_of_one_node_is_settled_at_once(void **state)
{
    (void)state;
    start_with(0, 1, 2);
    wrote("/lib/a", 0, 1);
    assert_int_equal(w.settled, 1);
    assert_false(mioc_agent_is_busy(w.agent));
}

static void write_at_root_waits_for_all_children(void **state)
{
    (void)state;
    start(0);
    wrote("/lib/a", 0, 1);
    sent(1);
    sent(2);
    deliver_heartbeat(1, w.end, w.end);
    assert_int_equal(w.settled, 0);
    assert_true(mioc_agent_is_busy(w.agent)); /* the next look is to be soon */
    deliver_heartbeat(2, w.end, w.end - 8);   /* its subtree is not there yet */
    assert_int_equal(w.settled, 0);
    deliver_heartbeat(2, w.end, w.end);
    assert_int_equal(w.settled, 1);
    assert_false(mioc_agent_is_busy(w.agent));
}

static void write_of_another_is_passed_on_towards_its_node_only(void **state)
{
    (void)state;
    start(0);
    deliver_invalidate(1, 3, 1, "/lib/a"); /* 3 is below 1 */
    deliver_heartbeat(1, w.end, w.end);
    assert_int_equal(count_sent(1, MIOC_MESSAGE_HEARTBEAT), 0);
    sent(1);
    deliver_heartbeat(2, w.end, w.end);
    assert_int_equal(count_sent(1, MIOC_MESSAGE_HEARTBEAT), 1);
    assert_int_equal(last_to(1, MIOC_MESSAGE_HEARTBEAT)->token, w.end);
    assert_int_equal(count_sent(2, MIOC_MESSAGE_HEARTBEAT), 0);
    assert_int_equal(w.settled, 0);
}

/* Found by fuzz_agent: a child's place was written to, of which there is none. AddressSanitizer sees it. */
static void write_of_a_node_that_is_none_is_nobodys(void **state)
{
    (void)state;
    for (uint32_t node = 2; node < 3000; node++) {
        start_with(1, 2, 2);
        deliver_written(node, 1);
        assert_int_equal(w.settled, 0);
        assert_int_equal(ended(), MIOC_AGENT_RUNNING);
        assert_int_equal(stop_world(state), 0);
    }
    start_with(1, 2, 2);
}

static void write_is_published_by_its_other_names_first(void **state)
{
    const struct mioc_invalidate_record *first, *last;

    (void)state;
    start(0);
    strcpy(w.other_names, "/lib64/a");
    deliver_invalidate(1, 1, 7, "/lib/a");
    assert_int_equal(w.invalidated, 2);
    first = (const void *)w.arena;
    last = (const void *)(w.arena + first->item.size);
    assert_string_equal(first->path, "/lib64/a");
    assert_int_equal(first->token, 0);
    assert_string_equal(last->path, "/lib/a");
    assert_int_equal(last->token, 7);
    assert_int_equal(w.end, first->item.size + last->item.size);
}

/* Found by fuzzing: an agent that had ended at the first name went on publishing the others. */
static void write_that_does_not_fit_ends_at_its_first_name(void **state)
{
    (void)state;
    start(0);
    strcpy(w.other_names, "/lib64/a");
    w.room = 8;
    deliver_invalidate(1, 1, 7, "/lib/a");
    assert_int_equal(ended(), MIOC_AGENT_STORE_FULL);
    assert_int_equal(w.invalidated, 1);
    assert_int_equal(w.end, 0);
}

static void node_between_tells_up_what_its_subtree_has(void **state)
{
    (void)state;
    start(1);
    deliver_written(4, 9);
    assert_int_equal(count_sent(0, MIOC_MESSAGE_HEARTBEAT), 0);
    deliver_heartbeat(3, w.end, w.end);
    assert_int_equal(count_sent(0, MIOC_MESSAGE_HEARTBEAT), 0);
    deliver_heartbeat(4, w.end, w.end);
    assert_int_equal(count_sent(0, MIOC_MESSAGE_HEARTBEAT), 1);
    assert_int_equal(last_to(0, MIOC_MESSAGE_HEARTBEAT)->token, w.end);
    sent(3);
    sent(4);
    deliver_heartbeat(0, w.end, w.end);
    assert_int_equal(count_sent(4, MIOC_MESSAGE_HEARTBEAT), 1);
    assert_int_equal(count_sent(3, MIOC_MESSAGE_HEARTBEAT), 0);
    assert_int_equal(w.settled, 0); /* no write of this node */
}

static void own_write_is_settled_by_the_parents_word(void **state)
{
    uint64_t first;

    (void)state;
    start(2); /* no children */
    wrote("/lib/a", 0, 1);
    wrote("/lib/b", 0, 2);
    deliver_written(2, 1);
    first = w.end;
    deliver_written(2, 2);
    assert_int_equal(w.settled, 0);
    deliver_heartbeat(0, w.end, first);
    assert_int_equal(w.settled, 1);
    assert_true(mioc_agent_is_busy(w.agent));
    deliver_heartbeat(0, w.end, w.end);
    assert_int_equal(w.settled, 2);
    deliver_heartbeat(0, w.end, first); /* an older one, overtaken */
    assert_int_equal(w.settled, 2);
    assert_int_equal(ended(), MIOC_AGENT_RUNNING);
}

static void more_writes_than_are_told_apart_all_settle(void **state)
{
    (void)state;
    start(2);
    for (uint64_t token = 1; token <= MANY; token++)
        deliver_written(2, token);
    deliver_heartbeat(0, w.end, w.end);
    assert_int_equal(w.settled, MANY);
}

static void nobody_waits_for_a_child_that_left_or_died(void **state)
{
    (void)state;
    start(0);
    wrote("/lib/a", 0, 1);
    sent(1);
    sent(2);
    deliver_plain(1, MIOC_MESSAGE_LEAVE, 0);
    assert_int_equal(w.settled, 0);
    mioc_agent_lost(w.agent, 2, w.now);
    assert_int_equal(w.settled, 1);
}

static void quiet_child_is_given_up_in_the_end(void **state)
{
    (void)state;
    start(0);
    wrote("/lib/a", 0, 1);
    for (int i = 0; i < 4; i++)
        tick_after(100 * MS);
    assert_int_equal(w.settled, 0);
    for (int i = 0; i < 2; i++)
        tick_after(100 * MS);
    assert_int_equal(w.settled, 1);
}

static void neighbour_that_is_further_than_it_can_be_ends_the_agent(void **state)
{
    (void)state;
    start(1);
    deliver_written(2, 1);
    deliver_heartbeat(3, 0, 8); /* applied more than it has */
    assert_int_equal(ended(), MIOC_AGENT_PROTOCOL);
    mioc_agent_free(w.agent);
    start(1);
    deliver_heartbeat(0, 64, 64); /* all have what we have not */
    assert_int_equal(ended(), MIOC_AGENT_PROTOCOL);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_teardown(f, stop_world)
    const struct CMUnitTest tests[] = {
        TEST(write_in_a_job_of_one_node_is_settled_at_once),
        TEST(write_at_root_waits_for_all_children),
        TEST(write_of_another_is_passed_on_towards_its_node_only),
        TEST(write_of_a_node_that_is_none_is_nobodys),
        TEST(write_is_published_by_its_other_names_first),
        TEST(write_that_does_not_fit_ends_at_its_first_name),
        TEST(node_between_tells_up_what_its_subtree_has),
        TEST(own_write_is_settled_by_the_parents_word),
        TEST(more_writes_than_are_told_apart_all_settle),
        TEST(nobody_waits_for_a_child_that_left_or_died),
        TEST(quiet_child_is_given_up_in_the_end),
        TEST(neighbour_that_is_further_than_it_can_be_ends_the_agent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
