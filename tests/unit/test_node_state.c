/* SPDX-License-Identifier: BSD-3-Clause */
/* test_node_state.c - whose the node is, and how much its store may take. */
#include "store_fixture.h"

#include "node/limits.h"
#include "node/node_internal.h"

static void limit_that_is_set_is_taken_as_it_is(void **state)
{
    const struct mioc_config config = { .max_bytes = 12345, .dir = "/nonexistent" };

    (void)state;
    assert_int_equal(mioc_node_store_limit(&config), 12345);
}

/* Collective steps carry it as a signed number. */
static void limit_beyond_a_signed_number_is_cut(void **state)
{
    const struct mioc_config config = { .max_bytes = UINT64_MAX };

    (void)state;
    assert_int_equal(mioc_node_store_limit(&config), INT64_MAX);
}

static void limit_that_is_not_set_comes_from_the_machine(void **state)
{
    const struct mioc_config config = { .dir = "/nonexistent" };
    uint64_t machine = mioc_limits_default("", "/nonexistent"), limit = mioc_node_store_limit(&config);

    (void)state;
    if (machine == UINT64_MAX) { /* no cgroup's limit here, and no such filesystem */
        assert_int_equal(limit, INT64_MAX);
    } else {
        assert_true(limit > 0);
        assert_true(limit <= INT64_MAX);
    }
}

static int is_owner(void *ctx)
{
    (void)ctx;
    return mioc_node_is_owner();
}

static void owner_of_a_node_that_has_not_started_is_nobody(void **state)
{
    (void)state;
    mioc_node.owner = 0;
    assert_false(mioc_node_is_owner());
}

static void owner_is_the_process_that_started_and_no_forked_child(void **state)
{
    (void)state;
    mioc_node.owner = getpid();
    assert_true(mioc_node_is_owner());
    assert_int_equal(in_child(is_owner, NULL), 0);
    mioc_node.owner = 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limit_that_is_set_is_taken_as_it_is),
        cmocka_unit_test(limit_beyond_a_signed_number_is_cut),
        cmocka_unit_test(limit_that_is_not_set_comes_from_the_machine),
        cmocka_unit_test(owner_of_a_node_that_has_not_started_is_nobody),
        cmocka_unit_test(owner_is_the_process_that_started_and_no_forked_child),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
