/* SPDX-License-Identifier: BSD-3-Clause */
/* test_node_report.c - the node's report: what its processes, its children and the root have counted. */
#include "node_fixture.h"

#include "base/clock.h"

static void count(pid_t pid, int rank, uint64_t hits, uint64_t bytes)
{
    struct mioc_stats *stats = mioc_ring_stats_claim(mioc_store_ring(node.store), pid, rank);

    assert_non_null(stats);
    stats->row[MIOC_CALL_STAT].outcome[MIOC_HIT] = hits;
    stats->row[MIOC_CALL_STAT].bytes = bytes;
}

static void report_of_an_idle_node_is_of_one_node_and_zeros(void **state)
{
    struct mioc_report report;

    (void)state;
    memset(&report, 0xff, sizeof report);
    mioc_node_fill_report(&node, &report);
    assert_int_equal(report.nodes, 1);
    assert_int_equal(report.reported_nodes, 1);
    assert_int_equal(report.ranks, 0);
    assert_int_equal(report.guests, 0);
    assert_int_equal(report.contents, 0);
    assert_int_equal(report.root_requests, 0);
    for (unsigned i = 0; i < MIOC_CALLS; i++)
        assert_int_equal(report.row[i].calls, 0);
}

static void report_sums_ranks_and_guests_apart(void **state)
{
    struct mioc_report report;

    (void)state;
    count(1001, 0, 3, 10);
    count(1002, 1, 4, 20);
    count(1003, -1, 5, 30);
    mioc_node_fill_report(&node, &report);
    assert_int_equal(report.ranks, 2);
    assert_int_equal(report.guests, 1);
    assert_int_equal(report.row[MIOC_CALL_STAT].outcome[MIOC_HIT], 12);
    assert_int_equal(report.row[MIOC_CALL_STAT].calls, 12);
    assert_int_equal(report.row[MIOC_CALL_STAT].bytes, 60);
}

static void report_filled_twice_is_the_same(void **state)
{
    struct mioc_report first, second;

    (void)state;
    count(1001, 0, 3, 10);
    mioc_node_fill_report(&node, &first);
    mioc_node_fill_report(&node, &second);
    assert_memory_equal(&first, &second, sizeof first);
}

static void be_of_seven_nodes(void)
{
    free(node.report);
    node.report = calloc(7, sizeof *node.report);
    node.world.nodes = 7;
}

static void report_of_the_root_adds_the_other_nodes_and_names_all(void **state)
{
    struct mioc_report report;

    (void)state;
    be_of_seven_nodes();
    for (unsigned i = 1; i <= 3; i++) {
        node.report[i].reported_nodes = 1;
        node.report[i].ranks = 4;
        node.report[i].row[MIOC_CALL_STAT].calls = 50 - i * 10;
    }
    node.report[5].ranks = 1000; /* none has come */
    count(1001, 0, 3, 0);
    mioc_node_fill_report(&node, &report);
    assert_int_equal(report.nodes, 7);
    assert_int_equal(report.reported_nodes, 4);
    assert_int_equal(report.ranks, 13);
    assert_int_equal(report.row[MIOC_CALL_STAT].calls, 93);
}

static void report_of_another_node_leaves_the_roots_figures_out(void **state)
{
    struct mioc_report report;

    (void)state;
    be_of_seven_nodes();
    node.report[3].reported_nodes = 1;
    node.report[3].ranks = 5;
    node.world.node = 2;
    node.manifest.ahead = 5;
    count(1001, 0, 3, 0);
    mioc_node_fill_report(&node, &report);
    assert_int_equal(report.nodes, 1);
    assert_int_equal(report.ranks, 1);
    assert_int_equal(report.store_bytes, 0);
    assert_int_equal(report.root_ahead, 0);
}

static void report_of_the_root_has_the_stores_use_and_its_questions(void **state)
{
    struct mioc_report report;
    uint64_t arena, content, number;

    (void)state;
    node.manifest.ahead = 5;
    append_all(node.store, "/lib/a.py");
    mioc_agent_ask(node.agent, MIOC_ITEM_STAT, "/nowhere", 8, mioc_clock_ns());
    mioc_node_fill_report(&node, &report);
    mioc_store_usage(node.store, &arena, &content, &number);
    assert_true(arena > 0);
    assert_int_equal(report.store_bytes, arena + content);
    assert_int_equal(report.contents, number);
    assert_int_equal(report.root_requests, 1);
    assert_int_equal(report.root_questions, 1);
    assert_int_equal(report.root_ahead, 5);
}

/* The resolver is gone when the ending thread reports; its count stays. */
static void report_after_the_resolvers_end_has_its_last_count(void **state)
{
    struct mioc_resolver *resolver = node.resolver;
    struct mioc_report report;

    (void)state;
    node.resolver = NULL;
    node.resolver_calls = 42;
    mioc_node_fill_report(&node, &report);
    node.resolver = resolver;
    assert_int_equal(report.root_calls, 42);
}

#define NODE_TEST(name) cmocka_unit_test_setup_teardown(name, make_node, remove_node)

int main(void)
{
    const struct CMUnitTest tests[] = {
        NODE_TEST(report_of_an_idle_node_is_of_one_node_and_zeros),
        NODE_TEST(report_sums_ranks_and_guests_apart),
        NODE_TEST(report_filled_twice_is_the_same),
        NODE_TEST(report_of_the_root_adds_the_other_nodes_and_names_all),
        NODE_TEST(report_of_another_node_leaves_the_roots_figures_out),
        NODE_TEST(report_of_the_root_has_the_stores_use_and_its_questions),
        NODE_TEST(report_after_the_resolvers_end_has_its_last_count),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
