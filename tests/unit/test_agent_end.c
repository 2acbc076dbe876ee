/* SPDX-License-Identifier: BSD-3-Clause */
/* test_agent_end.c - neighbours that leave, die, stall or talk nonsense, stores that are full, and an agent's own end.
 */
#include "agent_fixture.h"

#define STAT MIOC_ITEM_STAT

static void ended_as(enum mioc_agent_end state)
{
    assert_int_equal(ended(), state);
    assert_int_equal(w.real_all, 1);
    /* From now on nothing waits here, and nothing is asked or sent. */
    unsigned sends = w.sends, real = w.real;
    ask(STAT, "/later");
    wrote("/later", 0, 1);
    tick_after(100 * MS);
    assert_int_equal(w.real, real + 1);
    assert_int_equal(w.sends, sends);
}

/* --- Neighbours -------------------------------------------------------------------------------------------------- */

static void tick_first_greets_all_neighbours(void **state)
{
    (void)state;
    start(1);
    tick_after(0);
    assert_int_equal(count_sent(0, MIOC_MESSAGE_HEARTBEAT), 1);
    assert_int_equal(count_sent(3, MIOC_MESSAGE_HEARTBEAT), 1);
    assert_int_equal(count_sent(4, MIOC_MESSAGE_HEARTBEAT), 1);
    tick_after(50 * MS);
    assert_int_equal(w.sends, 3);
    sent(0), sent(3), sent(4);
    tick_after(60 * MS);
    assert_int_equal(w.sends, 6);
}

static void node_alone_sends_nothing(void **state)
{
    (void)state;
    start_with(0, 1, 1);
    ask(STAT, "/a");
    publish(STAT, "/a");
    wrote("/a", MIOC_FLAG_STICKY, 1);
    for (unsigned i = 0; i < 50; i++)
        tick_after(100 * MS);
    assert_int_equal(w.sends, 0);
    mioc_agent_leave(w.agent, "report", 6, w.now);
    assert_int_equal(w.sends, 0);
    assert_false(mioc_agent_is_busy(w.agent));
    ended_as(MIOC_AGENT_LEFT);
}

static void parent_that_leaves_ends_the_subtree(void **state)
{
    (void)state;
    start(1);
    ask(STAT, "/a");
    deliver_plain(0, MIOC_MESSAGE_LEAVE, 0);
    assert_int_equal(count_sent(3, MIOC_MESSAGE_LEAVE), 1);
    assert_int_equal(count_sent(4, MIOC_MESSAGE_LEAVE), 1);
    assert_int_equal(count_sent(0, MIOC_MESSAGE_LEAVE), 0);
    ended_as(MIOC_AGENT_PARENT_LEFT);
}

static void parent_that_is_lost_or_silent_or_gone_ends_the_subtree(void **state)
{
    (void)state;
    for (unsigned way = 0; way < 3; way++) {
        start(1);
        ask(STAT, "/a");
        if (way == 0) {
            mioc_agent_lost(w.agent, 0, w.now);
        } else if (way == 1) {
            for (unsigned i = 0; i < 6; i++) {
                deliver_plain(3, MIOC_MESSAGE_HEARTBEAT, 0);
                deliver_plain(4, MIOC_MESSAGE_HEARTBEAT, 0);
                tick_after(100 * MS);
            }
        } else {
            w.refuse = EPIPE;
            ask(STAT, "/b");
            w.refuse = 0;
        }
        if (way == 2)
            tick_after(MS); /* its children could not be told at once */
        else
            assert_int_equal(count_sent(3, MIOC_MESSAGE_LEAVE), 1);
        assert_int_equal(count_sent(0, MIOC_MESSAGE_LEAVE), 0);
        ended_as(MIOC_AGENT_PEER_DIED);
        stop_world(NULL);
    }
}

static void child_gone_is_dropped(void **state)
{
    (void)state;
    for (unsigned way = 0; way < 4; way++) {
        start(0);
        assert_int_equal(mioc_agent_children(w.agent), 2);
        if (way == 0)
            deliver_plain(1, MIOC_MESSAGE_LEAVE, 0);
        if (way == 1)
            mioc_agent_lost(w.agent, 1, w.now);
        w.refuse = way == 2 ? EPIPE : 0;
        w.refuse_peer = 1;
        for (unsigned i = 0; i < 6; i++) {
            deliver_plain(2, MIOC_MESSAGE_HEARTBEAT, 0);
            tick_after(100 * MS);
        }
        assert_int_equal(mioc_agent_children(w.agent), 1);
        unsigned before = count_sent(1, MIOC_MESSAGE_STREAM);
        sent(2);
        publish(STAT, "/a");
        assert_int_equal(count_sent(1, MIOC_MESSAGE_STREAM), before);
        sent(2), sent(2), sent(2), sent(2), sent(2), sent(2), sent(2);
        assert_int_equal(count_sent(2, MIOC_MESSAGE_STREAM), 1);
        assert_int_equal(ended(), MIOC_AGENT_RUNNING);
        assert_false(mioc_agent_is_busy(w.agent));
        stop_world(NULL);
    }
}

/* SIGSTOP of a whole job, and SIGCONT: everybody was silent, nobody is dead. */
static void silence_while_the_agent_itself_stood_still_does_not_count(void **state)
{
    (void)state;
    start(1);
    tick_after(100 * MS);
    tick_after(3600000 * MS);
    assert_int_equal(ended(), MIOC_AGENT_RUNNING);
    assert_int_equal(mioc_agent_children(w.agent), 2);
    for (unsigned i = 0; i < 6; i++)
        tick_after(100 * MS);
    ended_as(MIOC_AGENT_PEER_DIED);
}

static void child_given_up_that_speaks_again_is_told_and_its_writes_count(void **state)
{
    (void)state;
    start(0);
    mioc_agent_lost(w.agent, 1, w.now);
    deliver_request(1, STAT, 0, "/a");
    assert_int_equal(w.resolved, 0);
    assert_int_equal(count_sent(1, MIOC_MESSAGE_LEAVE), 1);
    deliver_invalidate(1, 3, 4, "/lib/x.py");
    assert_int_equal(w.invalidated, 1);
    assert_int_equal(w.writer, 3);
    assert_int_equal(count_sent(2, MIOC_MESSAGE_STREAM), 1);
    assert_int_equal(count_sent(1, MIOC_MESSAGE_LEAVE), 1);
    deliver_report(1, 3);
    assert_int_equal(w.reports, 1);
    assert_int_equal(mioc_agent_children(w.agent), 1);
}

static void time_that_steps_back_is_ignored(void **state)
{
    (void)state;
    start(1);
    tick_after(100 * MS);
    mioc_agent_tick(w.agent, 1);
    mioc_agent_sent(w.agent, 0, 2);
    assert_int_equal(ended(), MIOC_AGENT_RUNNING);
}

/* --- Nonsense ---------------------------------------------------------------------------------------------------- */

static void message_that_cannot_be_ends_the_agent(void **state)
{
    (void)state;
    const struct {
        int from;
        enum mioc_message_kind kind;
        uint64_t offset;
    } row[] = {
        { 0, MIOC_MESSAGE_REQUEST, 0 }, { 0, MIOC_MESSAGE_INVALIDATE, 0 }, { 3, MIOC_MESSAGE_REPORT, 0 },
        { 3, MIOC_MESSAGE_STREAM, 0 },  { 2, MIOC_MESSAGE_HEARTBEAT, 0 },  { 99, MIOC_MESSAGE_HEARTBEAT, 0 },
        { -1, MIOC_MESSAGE_LEAVE, 0 },  { 3, MIOC_MESSAGE_HEARTBEAT, 8 },  { 3, MIOC_MESSAGE_REQUEST, 8 },
        { 0, MIOC_MESSAGE_STREAM, 8 },  { 1, MIOC_MESSAGE_HEARTBEAT, 0 },
    };

    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        start(1);
        if (row[i].kind == MIOC_MESSAGE_REQUEST)
            deliver_request(row[i].from, STAT, row[i].offset, "/a");
        else if (row[i].kind == MIOC_MESSAGE_INVALIDATE)
            deliver_invalidate(row[i].from, 3, 1, "/a");
        else if (row[i].kind == MIOC_MESSAGE_STREAM && row[i].from == 0)
            deliver_item(row[i].offset, STAT, "/a");
        else
            deliver(row[i].from, mioc_wire_body(w.message, row[i].kind, row[i].offset, "12345678",
                                                row[i].kind == MIOC_MESSAGE_STREAM ? 8 : 0));
        assert_int_equal(w.end, 0);
        assert_int_equal(count_sent(0, MIOC_MESSAGE_LEAVE), 1);
        assert_int_equal(count_sent(3, MIOC_MESSAGE_LEAVE), 1);
        ended_as(MIOC_AGENT_PROTOCOL);
        stop_world(NULL);
    }
}

static void invalidate_of_nobody_ends_the_agent(void **state)
{
    (void)state;
    start(0);
    deliver_invalidate(1, 5, 1, "/a"); /* there are nodes 0 to 4 */
    assert_int_equal(w.invalidated, 0);
    ended_as(MIOC_AGENT_PROTOCOL);
}

static void stream_malformed_keeps_what_came_before(void **state)
{
    (void)state;
    char *body = w.message + sizeof(struct mioc_message);

    start(1);
    uint32_t size = build(STAT, "/a");
    memcpy(body, w.item, size);
    memcpy(body + size, w.item, size);
    ((struct mioc_item *)(body + size))->hash++;
    deliver(0, mioc_wire_body(w.message, MIOC_MESSAGE_STREAM, 0, body, 2 * size));
    assert_int_equal(w.end, size);
    ended_as(MIOC_AGENT_PROTOCOL);
}

/* --- Full -------------------------------------------------------------------------------------------------------- */

static void store_full_at_root_ends_all(void **state)
{
    (void)state;
    start(0);
    ask(STAT, "/b");
    w.room = 400;
    assert_int_equal(publish(STAT, "/a"), 0);
    errno = 0;
    assert_int_equal(publish(STAT, "/b"), -1);
    assert_int_equal(errno, ENOSPC);
    assert_int_equal(publish(STAT, "/b"), -1);
    assert_int_equal(count_sent(1, MIOC_MESSAGE_LEAVE), 1);
    assert_int_equal(count_sent(2, MIOC_MESSAGE_LEAVE), 1);
    ended_as(MIOC_AGENT_STORE_FULL);
}

static void store_full_below_root_ends_the_subtree(void **state)
{
    (void)state;
    struct mioc_chunk_record *chunk = (void *)w.arena;

    for (unsigned way = 0; way < 5; way++) {
        start(1);
        ask(STAT, "/a");
        w.chunk_fails = way == 1;
        w.room = way == 0 ? 8 : w.room;
        if (way >= 2) { /* what it took it cannot give, or the program has written over it */
            w.limit = 0;
            deliver_item(0, MIOC_ITEM_CHUNK, "");
            w.limit = 100;
            w.chunk_fails = way == 2;
            if (way == 3)
                chunk->length = UINT32_MAX - 70;
            if (way == 4)
                chunk->item.size = sizeof(struct mioc_item);
            tick_after(MS);
        } else {
            deliver_item(0, way == 0 ? STAT : MIOC_ITEM_CHUNK, "/a");
            assert_int_equal(w.end, 0);
        }
        assert_int_equal(count_sent(0, MIOC_MESSAGE_LEAVE), 1);
        assert_int_equal(count_sent(3, MIOC_MESSAGE_LEAVE), 1);
        assert_int_equal(count_sent(3, MIOC_MESSAGE_STREAM), 0);
        ended_as(MIOC_AGENT_STORE_FULL);
        stop_world(NULL);
    }
}

static void writes_that_the_parent_never_takes_end_the_agent(void **state)
{
    (void)state;
    start(1);
    w.limit = 0;
    for (unsigned i = 0; i < 16384; i++)
        wrote("/lib/x.py", 0, i);
    assert_int_equal(ended(), MIOC_AGENT_RUNNING);
    wrote("/lib/x.py", 0, 16384);
    ended_as(MIOC_AGENT_PEER_DIED);
    assert_true(mioc_agent_is_busy(w.agent));
    w.limit = 100; /* what was promised is still told, and LEAVE behind it */
    for (unsigned i = 0; i < 16385; i++) {
        w.sends = 0;
        sent(0);
    }
    assert_int_equal(w.sends, 0);
    for (unsigned i = 0; i < 8; i++)
        sent(0);
    sent(3), sent(4);
    assert_false(mioc_agent_is_busy(w.agent));
}

/* --- Its own end ------------------------------------------------------------------------------------------------- */

static void leave_sends_writes_report_and_leave_in_this_order(void **state)
{
    (void)state;
    const enum mioc_message_kind order[] = { MIOC_MESSAGE_INVALIDATE, MIOC_MESSAGE_REPORT, MIOC_MESSAGE_LEAVE };
    unsigned n = 0;

    start(1);
    w.limit = 0;
    ask(STAT, "/a");
    wrote("/lib/x.py", 0, 1);
    mioc_agent_leave(w.agent, "report", 6, w.now);
    assert_true(mioc_agent_is_busy(w.agent));
    assert_int_equal(w.sends, 0);
    w.limit = 100;
    assert_true(mioc_agent_tick(w.agent, w.now) > w.now);
    for (unsigned i = 0; i < w.sends; i++)
        if (w.sent[i].peer == 0)
            assert_int_equal(w.sent[i].m->kind, order[n++]);
    assert_int_equal(n, 3);
    assert_int_equal(count_sent(3, MIOC_MESSAGE_LEAVE), 1);
    assert_int_equal(count_sent(4, MIOC_MESSAGE_LEAVE), 1);
    assert_true(mioc_agent_is_busy(w.agent));
    sent(0), sent(0), sent(0), sent(3), sent(4);
    assert_false(mioc_agent_is_busy(w.agent));
    mioc_agent_leave(w.agent, "report", 6, w.now);
    ended_as(MIOC_AGENT_LEFT);
}

static void report_of_each_node_reaches_the_roots_host(void **state)
{
    (void)state;
    start(0);
    deliver_report(1, 3);
    assert_int_equal(w.reports, 1);
    assert_int_equal(w.reporter, 3);
    deliver_report(1, 1);
    assert_int_equal(w.reporter, 1);
    mioc_agent_leave(w.agent, NULL, 0, w.now);
    deliver_report(2, 2);
    assert_int_equal(w.reports, 3);
    deliver_plain(2, MIOC_MESSAGE_LEAVE, 0);
    assert_int_equal(mioc_agent_children(w.agent), 1);
    assert_int_equal(ended(), MIOC_AGENT_LEFT);
}

/* --- Mutations --------------------------------------------------------------------------------------------------- */

static uint64_t next_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static void message_mutated_never_breaks_the_agent(void **state)
{
    (void)state;
    uint64_t seed = 88172645463325252u;
    unsigned survived = 0;

    for (unsigned round = 0; round < 3000; round++) {
        char *body = w.message + sizeof(struct mioc_message), *copy;
        uint32_t built;
        size_t size;

        start(1);
        built = build(STAT, "/lib/os.py");
        memcpy(body, w.item, built);
        size = round % 2 ? mioc_wire_body(w.message, MIOC_MESSAGE_STREAM, 0, body, built)
                         : mioc_wire_request(w.message, STAT, 0, "/lib/os.py", 10);
        copy = malloc(size);
        memcpy(copy, w.message, size);
        for (unsigned n = 0; n < 2; n++)
            copy[next_random(&seed) % size] = (char)next_random(&seed);
        mioc_agent_message(w.agent, round % 2 ? 0 : 3, copy, size, w.now);
        assert_true(ended() == MIOC_AGENT_RUNNING || ended() == MIOC_AGENT_PROTOCOL);
        survived += ended() == MIOC_AGENT_RUNNING;
        free(copy);
        stop_world(NULL);
    }
    assert_in_range(survived, 30, 2900);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, stop_world)
    const struct CMUnitTest tests[] = {
        TEST(tick_first_greets_all_neighbours),
        TEST(node_alone_sends_nothing),
        TEST(parent_that_leaves_ends_the_subtree),
        TEST(parent_that_is_lost_or_silent_or_gone_ends_the_subtree),
        TEST(child_gone_is_dropped),
        TEST(silence_while_the_agent_itself_stood_still_does_not_count),
        TEST(child_given_up_that_speaks_again_is_told_and_its_writes_count),
        TEST(time_that_steps_back_is_ignored),
        TEST(message_that_cannot_be_ends_the_agent),
        TEST(invalidate_of_nobody_ends_the_agent),
        TEST(stream_malformed_keeps_what_came_before),
        TEST(store_full_at_root_ends_all),
        TEST(store_full_below_root_ends_the_subtree),
        TEST(writes_that_the_parent_never_takes_end_the_agent),
        TEST(leave_sends_writes_report_and_leave_in_this_order),
        TEST(report_of_each_node_reaches_the_roots_host),
        TEST(message_mutated_never_breaks_the_agent),
    };
#undef TEST

    return cmocka_run_group_tests(tests, NULL, NULL);
}
