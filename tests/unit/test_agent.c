/* SPDX-License-Identifier: BSD-3-Clause */
/* test_agent.c - questions, the publish stream and writes, as one agent handles them; how it ends is in
 * test_agent_end.c. */
#include "agent_fixture.h"

#define STAT MIOC_ITEM_STAT

/* --- Questions --------------------------------------------------------------------------------------------------- */

static void agent_with_bad_config_is_not_made(void **state)
{
    (void)state;
    const struct mioc_agent_config bad[] = { { .node = 0, .nodes = 1, .arity = 0, .window = 1 },
                                             { .node = 1, .nodes = 1, .arity = 2, .window = 1 },
                                             { .node = -1, .nodes = 1, .arity = 2, .window = 1 },
                                             { .node = 0, .nodes = 1, .arity = 2, .window = 0 } };
    const struct mioc_agent_host host = { 0 };

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        errno = 0;
        assert_null(mioc_agent_new(&bad[i], &host, 0));
        assert_int_equal(errno, EINVAL);
    }
}

static void ask_at_root_resolves_once_and_answers(void **state)
{
    (void)state;
    start(0);
    ask(STAT, "/a");
    ask(STAT, "/a");
    assert_int_equal(w.resolved, 1);
    assert_int_equal(w.answered, 0);
    assert_true(mioc_agent_is_busy(w.agent));
    assert_int_equal(publish(STAT, "/a"), 0);
    assert_int_equal(w.answered, 1);
    ask(STAT, "/a");
    assert_int_equal(w.answered, 2);
    assert_int_equal(w.resolved, 1);
    ask(MIOC_ITEM_LIST, "/a"); /* another key */
    assert_int_equal(w.resolved, 2);
}

static void ask_below_root_sends_one_request(void **state)
{
    (void)state;
    start(1);
    ask(STAT, "/a");
    ask(STAT, "/a");
    deliver_request(3, STAT, 0, "/a");
    deliver_request(4, STAT, 0, "/a");
    assert_int_equal(w.sends, 1);
    assert_int_equal(w.sent[0].peer, 0);
    assert_int_equal(w.sent[0].m->kind, MIOC_MESSAGE_REQUEST);
    assert_int_equal(mioc_agent_counters(w.agent)->requests_merged, 3);
    deliver_item(0, STAT, "/a");
    assert_int_equal(w.answered, 1);
    assert_int_equal(count_sent(3, MIOC_MESSAGE_STREAM), 1);
    assert_int_equal(count_sent(4, MIOC_MESSAGE_STREAM), 1);
}

static void ask_malformed_is_real_at_once(void **state)
{
    (void)state;
    start(1);
    ask(MIOC_ITEM_CHUNK, "/a");
    ask(MIOC_ITEM_INVALIDATE, "/a");
    ask(STAT, "relative");
    ask(STAT, "");
    mioc_agent_ask(w.agent, STAT, "/a\0b", 4, w.now);
    assert_int_equal(w.real, 5);
    assert_int_equal(w.sends, 0);
    assert_int_equal(ended(), MIOC_AGENT_RUNNING);
}

static void request_whose_answer_is_on_its_way_is_dropped(void **state)
{
    (void)state;
    start(1);
    deliver_item(0, STAT, "/a");
    w.sends = 0;
    deliver_request(3, STAT, 0, "/a");
    assert_int_equal(w.sends, 0);
    assert_int_equal(mioc_agent_counters(w.agent)->requests_merged, 1);
}

/* The child has this record, and it is dead there (a write of its own, its clock): the same record must not be the
 * answer. */
static void request_from_beyond_the_answer_goes_up(void **state)
{
    (void)state;
    start(1);
    deliver_item(0, STAT, "/a");
    w.sends = 0;
    deliver_request(3, STAT, w.end, "/a");
    assert_int_equal(count_sent(0, MIOC_MESSAGE_REQUEST), 1);
    assert_int_equal(w.sent[0].m->offset, w.end);
}

static void request_for_a_dead_record_goes_up(void **state)
{
    (void)state;
    start(1);
    deliver_item(0, STAT, "/a");
    strcpy(w.dead, "/a");
    w.sends = 0;
    deliver_request(3, STAT, 0, "/a");
    assert_int_equal(count_sent(0, MIOC_MESSAGE_REQUEST), 1);
}

static void request_unanswered_is_forgotten_and_sent_again(void **state)
{
    (void)state;
    start(1);
    ask(STAT, "/a");
    tick_after(100 * MS);
    for (unsigned i = 0; i < 10; i++) {
        deliver_plain(0, MIOC_MESSAGE_HEARTBEAT, 0);
        tick_after(100 * MS);
    }
    for (unsigned i = 0; i < 11; i++)
        sent(0), sent(3), sent(4);
    assert_false(mioc_agent_is_busy(w.agent));
    ask(STAT, "/a");
    assert_int_equal(count_sent(0, MIOC_MESSAGE_REQUEST), 2);
}

/* A second waiter must not go unanswered because the first one's time was over. */
static void request_asked_again_stays(void **state)
{
    (void)state;
    start(1);
    ask(STAT, "/a");
    for (unsigned i = 0; i < 18; i++) {
        deliver_plain(0, MIOC_MESSAGE_HEARTBEAT, 0);
        tick_after(100 * MS);
        sent(0);
        if (i == 8)
            ask(STAT, "/a");
    }
    assert_int_equal(count_sent(0, MIOC_MESSAGE_REQUEST), 1);
    deliver_item(0, STAT, "/a");
    assert_int_equal(w.answered, 1);
}

static void requests_many_are_all_found_again(void **state)
{
    (void)state;
    char path[32];

    start_with(0, 1, 1);
    for (unsigned i = 0; i < 3000; i++) {
        snprintf(path, sizeof path, "/lib/%u", i);
        ask(STAT, path);
    }
    assert_int_equal(w.resolved, 3000);
    for (unsigned i = 0; i < 3000; i++) {
        snprintf(path, sizeof path, "/lib/%u", i);
        publish(STAT, path);
    }
    assert_int_equal(w.answered, 3000);
    assert_false(mioc_agent_is_busy(w.agent));
    assert_int_equal(w.sends, 0); /* nobody to send to */
}

/* --- The stream -------------------------------------------------------------------------------------------------- */

static void stream_fills_the_window_then_batches(void **state)
{
    (void)state;
    char path[32];

    start(0);
    assert_false(mioc_agent_is_saturated(w.agent));
    for (unsigned i = 0; i < 50; i++) {
        snprintf(path, sizeof path, "/lib/%u", i);
        publish(STAT, path);
    }
    assert_int_equal(count_sent(1, MIOC_MESSAGE_STREAM), 2);
    assert_int_equal(count_sent(2, MIOC_MESSAGE_STREAM), 2);
    assert_true(mioc_agent_is_saturated(w.agent));
    sent(1);
    assert_int_equal(count_sent(1, MIOC_MESSAGE_STREAM), 3); /* the other 48 in one */
    assert_false(mioc_agent_is_saturated(w.agent));          /* node 1 has all, and a slower one does not count */
    assert_int_equal(count_sent(2, MIOC_MESSAGE_STREAM), 2);
    assert_int_equal(w.sent[w.sends - 1].m->offset + w.sent[w.sends - 1].m->body, w.end);
    sent(1);
    sent(1);
    assert_int_equal(count_sent(1, MIOC_MESSAGE_STREAM), 3);
    assert_true(mioc_agent_is_busy(w.agent)); /* node 2 has not all */
    sent(2);
    sent(2);
    sent(2);
    assert_false(mioc_agent_is_busy(w.agent));
}

static void stream_copies_carry_no_local_fields(void **state)
{
    (void)state;
    start(0);
    publish(STAT, "/a");
    const struct mioc_item *item = (const void *)(w.sent[0].m + 1);
    assert_int_equal(((struct mioc_item *)w.arena)->local_applied_ms, 77);
    assert_int_equal(((struct mioc_item *)w.arena)->local_dead, 1);
    assert_int_equal(item->local_applied_ms, 0);
    assert_int_equal(item->local_dead, 0);
}

static void stream_chunk_is_written_before_it_is_appended(void **state)
{
    (void)state;
    start(1);
    deliver_item(0, MIOC_ITEM_CHUNK, "");
    assert_int_equal(w.chunk_first, 1);
    assert_int_equal(count_sent(3, MIOC_MESSAGE_STREAM), 1);
    assert_int_equal(w.sent[0].size, sizeof(struct mioc_message) + sizeof(struct mioc_chunk_record) + 100008);
}

static void stream_chunks_fill_messages_up_to_the_limit(void **state)
{
    (void)state;
    start(0);
    w.limit = 0; /* until all stands there */
    for (unsigned i = 0; i < 5; i++)
        publish(MIOC_ITEM_CHUNK, "");
    assert_int_equal(w.sends, 0);
    w.limit = 100;
    tick_after(MS);
    for (unsigned i = 0; i < 8; i++)
        sent(1), sent(2);
    assert_int_equal(count_sent(1, MIOC_MESSAGE_STREAM), 3); /* 2 + 2 + 1 */
    assert_int_equal(count_sent(2, MIOC_MESSAGE_STREAM), 3);
}

static void stream_refused_is_sent_later(void **state)
{
    (void)state;
    const int refusals[] = { 0, EAGAIN };

    for (unsigned i = 0; i < 2; i++) {
        start(0);
        w.refuse = refusals[i];
        w.refuse_peer = -1;
        w.limit = refusals[i] ? 100 : 0;
        publish(STAT, "/a");
        assert_int_equal(w.sends, 0);
        assert_true(mioc_agent_tick(w.agent, w.now) <= w.now + MS);
        w.refuse = 0;
        w.limit = 100;
        tick_after(MS);
        assert_int_equal(count_sent(1, MIOC_MESSAGE_STREAM) + count_sent(2, MIOC_MESSAGE_STREAM), 2);
        if (i == 0)
            stop_world(NULL);
    }
}

/* --- Writes ------------------------------------------------------------------------------------------------------ */

static void wrote_at_root_publishes(void **state)
{
    (void)state;
    start(0);
    wrote("/lib/x.py", MIOC_FLAG_SUBTREE, 5);
    const struct mioc_invalidate_record *record = (const void *)w.arena;
    assert_int_equal(w.invalidated, 1);
    assert_int_equal(w.writer, 0);
    assert_int_equal(record->item.kind, MIOC_ITEM_INVALIDATE);
    assert_int_equal(record->item.flags, MIOC_FLAG_SUBTREE);
    assert_int_equal(record->node, 0);
    assert_int_equal(record->token, 5);
    assert_string_equal(record->path, "/lib/x.py");
    assert_int_equal(record->item.size, w.end);
    assert_int_equal(count_sent(1, MIOC_MESSAGE_STREAM), 1);
}

static void wrote_sticky_publishes_uncached_records(void **state)
{
    (void)state;
    const unsigned kinds[] = { MIOC_ITEM_INVALIDATE, STAT, MIOC_ITEM_CONTENT, MIOC_ITEM_ACCESS, MIOC_ITEM_REALPATH };
    uint64_t at = 0;

    start(0);
    ask(STAT, "/lib/x.py");
    deliver(1, mioc_wire_invalidate(w.message, 3, 9, MIOC_FLAG_STICKY, "/lib/x.py", 9));
    assert_int_equal(((const struct mioc_invalidate_record *)w.arena)->node, 3);
    for (unsigned i = 0; i < 5; i++) {
        const struct mioc_item *item = (const void *)(w.arena + at);

        assert_int_equal(mioc_item_check(item, (uint32_t)(w.end - at)), 0);
        assert_int_equal(item->kind, kinds[i]);
        assert_int_equal(item->flags, i == 0 ? MIOC_FLAG_STICKY : MIOC_FLAG_STICKY | MIOC_FLAG_UNCACHED);
        at += item->size;
    }
    assert_int_equal(at, w.end);
    assert_int_equal(w.answered, 1);
}

static void wrote_below_root_goes_up_before_later_requests(void **state)
{
    (void)state;
    for (unsigned way = 0; way < 3; way++) {
        unsigned order[3], n = 0;

        start(1);
        w.limit = way == 0 ? 0 : 100;
        w.refuse = way == 1 ? EAGAIN : 0;
        w.refuse_peer = -1;
        w.gets_refused = way == 2 ? 1 : 0;
        wrote("/lib/x.py", 0, 1);
        w.gets_refused = way == 2 ? 1 : 0;
        ask(STAT, "/lib/x.py");
        w.gets_refused = way == 2 ? 1 : 0;
        deliver_invalidate(3, 3, 1, "/lib/y.py");
        assert_int_equal(w.sends, 0);
        w.limit = 100;
        w.refuse = 0;
        tick_after(MS);
        for (unsigned i = 0; i < w.sends; i++)
            if (w.sent[i].peer == 0 && w.sent[i].m->kind != MIOC_MESSAGE_HEARTBEAT)
                order[n++] = w.sent[i].m->kind == MIOC_MESSAGE_REQUEST ? 99 : w.sent[i].m->node;
        assert_int_equal(n, 3);
        assert_int_equal(order[0], 1);
        assert_int_equal(order[1], 3);
        assert_int_equal(order[2], 99);
        if (way < 2)
            stop_world(NULL);
    }
}

static void wrote_faster_than_the_parent_takes_loses_none(void **state)
{
    (void)state;
    start(1);
    for (unsigned i = 0; i < 100; i++)
        wrote("/lib/x.py", 0, i);
    assert_in_range(w.sends, 1, 20);
    for (unsigned i = 0; i < 100; i++)
        sent(0);
    assert_int_equal(w.sends, 100);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(w.sent[i].m->token, i);
    assert_false(mioc_agent_is_busy(w.agent));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, stop_world)
    const struct CMUnitTest tests[] = {
        TEST(agent_with_bad_config_is_not_made),
        TEST(ask_at_root_resolves_once_and_answers),
        TEST(ask_below_root_sends_one_request),
        TEST(ask_malformed_is_real_at_once),
        TEST(request_whose_answer_is_on_its_way_is_dropped),
        TEST(request_from_beyond_the_answer_goes_up),
        TEST(request_for_a_dead_record_goes_up),
        TEST(request_unanswered_is_forgotten_and_sent_again),
        TEST(request_asked_again_stays),
        TEST(requests_many_are_all_found_again),
        TEST(stream_fills_the_window_then_batches),
        TEST(stream_copies_carry_no_local_fields),
        TEST(stream_chunk_is_written_before_it_is_appended),
        TEST(stream_chunks_fill_messages_up_to_the_limit),
        TEST(stream_refused_is_sent_later),
        TEST(wrote_at_root_publishes),
        TEST(wrote_sticky_publishes_uncached_records),
        TEST(wrote_below_root_goes_up_before_later_requests),
        TEST(wrote_faster_than_the_parent_takes_loses_none),
    };
#undef TEST

    return cmocka_run_group_tests(tests, NULL, NULL);
}
