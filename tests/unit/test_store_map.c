/* SPDX-License-Identifier: BSD-3-Clause */
/* test_store_map.c - the index is mapped as far as it is used, and what was found in it stays. */
#include "store_fixture.h"
#include "store/store_internal.h"

#include <pthread.h>
#include <sys/mman.h>

#define RECORDS 40000u /* of some 350 bytes: more than the first map, and the second */

static const char *path_of(unsigned i)
{
    static _Thread_local char path[64];

    snprintf(path, sizeof path, "/lib/package/module%u.py", i);
    return path;
}

static void append(struct mioc_store *s, unsigned i)
{
    assert_true(mioc_store_append(s, record(MIOC_ITEM_STAT, 0, path_of(i), i)) >= 0);
}

static uint64_t version_of(const struct mioc_item *item)
{
    return ((const struct mioc_stat_record *)(const void *)item)->stat.ino;
}

static void reader_follows_the_stream_and_keeps_what_it_found(void **state)
{
    struct mioc_store *s = *state, *view = mioc_store_attach(mioc_store_path(s));
    const struct mioc_item *first;
    unsigned i = 0;

    assert_non_null(view);
    append(s, 0);
    first = lookup(view, MIOC_ITEM_STAT, path_of(0));
    assert_true(view->maps == 1 && view->mapped < view->index_size - MIOC_INDEX_ARENA_AT);
    while (++i < RECORDS)
        append(s, i);
    assert_true(mioc_store_end(s) > 4 * (MIOC_INDEX_FIRST_MAP - MIOC_INDEX_ARENA_AT));
    errno = 77;
    for (i = 0; i < RECORDS; i += 7)
        assert_int_equal(version_of(lookup(view, MIOC_ITEM_STAT, path_of(i))), i);
    assert_int_equal(errno, 77);
    assert_true(view->maps > 1 && view->maps < 6);
    assert_int_equal(version_of(first), 0);
    mioc_store_append(s, invalidation(0, path_of(0), 1, 1)); /* and what the agent marks is seen there */
    assert_true(mioc_item_is_dead(first));
    assert_null(lookup(view, MIOC_ITEM_STAT, path_of(0)));
    mioc_store_detach(view);
}

/* Whoever cannot have the next mapping now goes without: a signal's handler may have interrupted the one that makes it.
 */
static void reader_that_finds_another_mapping_goes_without(void **state)
{
    struct mioc_store *s = *state, *view = mioc_store_attach(mioc_store_path(s));

    for (unsigned i = 0; i < RECORDS / 4; i++)
        append(s, i);
    view->is_mapping = 1;
    assert_null(lookup(view, MIOC_ITEM_STAT, path_of(3)));
    assert_null(mioc_store_item_at(view, 0));
    view->is_mapping = 0;
    assert_int_equal(version_of(lookup(view, MIOC_ITEM_STAT, path_of(3))), 3);
    mioc_store_detach(view);
}

static struct mioc_store *shared;
static int is_done; /* atomic */

static void *look_all_the_time(void *arg)
{
    unsigned long *wrong = arg;

    while (!__atomic_load_n(&is_done, __ATOMIC_ACQUIRE))
        for (unsigned i = 0; i < RECORDS; i += 4999) {
            const struct mioc_item *item = lookup(shared, MIOC_ITEM_STAT, path_of(i));

            *wrong += item != NULL && version_of(item) != i;
        }
    return NULL;
}

/* As in a leader: the agent appends, and the program's threads look, by one view. */
static void threads_beside_the_writer_find_what_is_there(void **state)
{
    unsigned long wrong[2] = { 0 };
    pthread_t threads[2];

    shared = *state;
    is_done = 0;
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, look_all_the_time, &wrong[i]), 0);
    for (unsigned i = 0; i < RECORDS; i++)
        append(shared, i);
    __atomic_store_n(&is_done, 1, __ATOMIC_RELEASE);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_true(wrong[0] == 0 && wrong[1] == 0);
    assert_int_equal(version_of(lookup(shared, MIOC_ITEM_STAT, path_of(RECORDS - 1))), RECORDS - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reader_follows_the_stream_and_keeps_what_it_found, make_store, remove_store),
        cmocka_unit_test_setup_teardown(reader_that_finds_another_mapping_goes_without, make_store, remove_store),
        cmocka_unit_test_setup_teardown(threads_beside_the_writer_find_what_is_there, make_store, remove_store),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
