/* SPDX-License-Identifier: BSD-3-Clause */
/* test_lookup.c - what a reading call gets: from the store, from an agent that answers, is silent, or gone. */
#include "client_fixture.h"
#include "base/clock.h"
#include "store/store_internal.h"

#include <sys/resource.h>

/* --- Reading ----------------------------------------------------------------------------------------------------- */

static void begin_knows_whose_call_it_is(void **state)
{
    static const struct {
        const char *path;
        int dirfd, expected;
    } table[] = {
        { "/lib_prefix/a", AT_FDCWD, 1 },
        { "/lib_prefix/a", 77, 1 },
        { "//lib_prefix//a", AT_FDCWD, 1 },
        { "/./lib_prefix/a", AT_FDCWD, 1 },
        { "/imports/a.py", AT_FDCWD, 1 },
        { "/imports/a.h5", AT_FDCWD, 0 },
        { "/etc/passwd", AT_FDCWD, 0 },
        { "a", AT_FDCWD, 0 },
        { "", AT_FDCWD, 0 },
        { NULL, AT_FDCWD, 0 },
        { (const char *)8, AT_FDCWD, 0 },
        { "a.py", 5, 0 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        errno = 99;
        assert_int_equal(mioc_client_begin(&q, MIOC_CALL_OPEN, table[i].dirfd, table[i].path), table[i].expected);
        assert_int_equal(errno, 99);
        if (table[i].expected == 0)
            assert_null(mioc_client_record(&q, MIOC_ITEM_STAT));
    }
    expect_counts(MIOC_CALL_OPEN, 0, 0, 0, 0);
    assert_int_equal(asked(), 0);
    assert_int_equal(mioc_client_rank(), 3);
}

static void begin_with_timers_times_what_is_not_ours(void **state)
{
    int absent = 99;

    (void)state;
    mioc_stats_use(&stats, 1);
    assert_int_equal(begin("/etc/passwd"), 1);
    assert_int_equal(q.kind, MIOC_POLICY_NONE);
    assert_int_equal(q.key.len, 0);
    assert_null(mioc_client_stat(&q, &absent));
    assert_int_equal(absent, 0);
    assert_null(mioc_client_record(&q, MIOC_ITEM_CONTENT));
    mioc_client_end(&q, 0);
    expect_counts(MIOC_CALL_STAT, 0, 0, 1, 0);
    assert_true(stats.row[MIOC_CALL_STAT].ns > 0);
    mioc_client_stop(); /* MPIIO_CACHE_DISABLE=1 */
    assert_int_equal(begin("/lib_prefix/x"), 1);
    assert_int_equal(q.kind, MIOC_POLICY_NONE);
    mioc_client_exempt_thread(1);
    assert_int_equal(begin("/lib_prefix/x"), 0);
    mioc_client_exempt_thread(0);
}

static void stat_asks_once_then_hits(void **state)
{
    (void)state;
    assert_int_equal(stat_of("/lib_prefix/a"), 0);
    assert_int_equal(stat_of("/lib_prefix//a"), 0);
    assert_int_equal(stat_of("/lib_prefix/missing"), ENOENT);
    assert_int_equal(stat_of("/lib_prefix/missing"), ENOENT);
    assert_int_equal(asked(), 2);
    expect_counts(MIOC_CALL_STAT, 2, 2, 0, 0);
}

static void stat_of_name_not_in_listing_is_enoent(void **state)
{
    static const char long_name[] = "/lib_prefix/dir/"
                                    "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"
                                    "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"
                                    "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"
                                    "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn";

    (void)state;
    append(listing("/lib_prefix/dir", 0755));
    assert_int_equal(stat_of("/lib_prefix/dir/no"), ENOENT);
    assert_int_equal(stat_of("/lib_prefix/dir/./no"), ENOENT);
    assert_int_equal(asked(), 0);
    assert_int_equal(stat_of(long_name), -1); /* ENAMETOOLONG is the kernel's */
    assert_int_equal(asked(), 0);
    assert_int_equal(stat_of("/lib_prefix/dir/there"), 0);
    assert_int_equal(stat_of("/lib_prefix/dir/."), -1); /* a folder of mode 0 */
    assert_int_equal(stat_of("/lib_prefix/dir/.."), 0);
    assert_int_equal(stat_of("/lib_prefix/dir/no/"), 0);
    assert_int_equal(stat_of("/lib_prefix/dir/.snapshot"), 0);
    assert_int_equal(asked(), 5);
    expect_counts(MIOC_CALL_STAT, 2, 4, 1, 0);
}

static void stat_below_listing_with_error_gives_that_error(void **state)
{
    (void)state;
    append(with_error(MIOC_ITEM_LIST, "/lib_prefix/none", ENOENT));
    append(with_error(MIOC_ITEM_LIST, "/lib_prefix/file.py", ENOTDIR));
    append(with_error(MIOC_ITEM_LIST, "/lib_prefix/secret", EACCES));
    assert_int_equal(stat_of("/lib_prefix/none/x"), ENOENT);
    assert_int_equal(stat_of("/lib_prefix/file.py/x"), ENOTDIR);
    assert_int_equal(asked(), 0);
    assert_int_equal(stat_of("/lib_prefix/secret/x"), 0);
    assert_int_equal(asked(), 1);
}

static void stat_below_listing_that_proves_nothing_asks(void **state)
{
    (void)state;
    append(listing("/lib_prefix/dark", 0444)); /* names can be read, but not looked up */
    append(record(MIOC_ITEM_LIST, MIOC_FLAG_UNCACHED, "/lib_prefix/huge", 0));
    append(listing("/imports/dir", 0755));
    assert_int_equal(stat_of("/lib_prefix/dark/x"), 0);
    assert_int_equal(stat_of("/lib_prefix/huge/x"), 0);
    assert_int_equal(stat_of("/imports/dir/x.py"), 0);
    assert_int_equal(asked(), 3);
    append(listing("/lib_prefix/own", 0700));
    assert_int_equal(stat_of("/lib_prefix/own/x"), ENOENT);
    assert_int_equal(asked(), 3);
}

static void stat_answered_by_listing_alone_is_enoent(void **state)
{
    (void)state;
    set(&agent.lists_only, 1);
    assert_int_equal(stat_of("/lib_prefix/dir/no"), ENOENT);
    assert_int_equal(asked(), 1);
    expect_counts(MIOC_CALL_STAT, 0, 1, 0, 0);
}

static void record_of_listing_needs_a_whole_library(void **state)
{
    (void)state;
    policy.prefix[1].interpreter_names_only = 1;
    assert_int_equal(begin("/lib_prefix"), 1);
    assert_null(mioc_client_record(&q, MIOC_ITEM_LIST));
    assert_int_equal(begin("/imports/__pycache__"), 1);
    assert_null(mioc_client_record(&q, MIOC_ITEM_LIST));
    assert_int_equal(asked(), 0);
    assert_int_equal(begin(tree), 1);
    assert_non_null(mioc_client_record(&q, MIOC_ITEM_LIST));
}

static void record_uncached_is_the_real_call(void **state)
{
    (void)state;
    append(record(MIOC_ITEM_STAT, MIOC_FLAG_UNCACHED, "/lib_prefix/odd", 0));
    assert_int_equal(stat_of("/lib_prefix/odd"), -1);
    assert_int_equal(asked(), 0);
    expect_counts(MIOC_CALL_STAT, 0, 0, 1, 0);
}

static void set_age(const char *path, uint64_t ms)
{
    struct timespec now;
    struct mioc_item *item =
        (void *)(uintptr_t)mioc_store_lookup(agent.store, MIOC_ITEM_STAT, path, (uint32_t)strlen(path),
                                             mioc_item_hash(MIOC_ITEM_STAT, path, (uint32_t)strlen(path)));

    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    item->local_applied_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000 - ms;
}

static void record_that_the_root_cannot_tell_yet_is_asked_for_again_later(void **state)
{
    (void)state;
    append(record(MIOC_ITEM_STAT, mioc_item_brief(60 * SECOND), "/lib_prefix/new", 0));
    assert_int_equal(stat_of("/lib_prefix/new"), -1);
    set_age("/lib_prefix/new", 59000);
    assert_int_equal(stat_of("/lib_prefix/new"), -1);
    assert_int_equal(asked(), 0);
    set_age("/lib_prefix/new", 61000);
    assert_int_equal(stat_of("/lib_prefix/new"), 0);
    assert_int_equal(asked(), 1);
    assert_int_equal(stat_of("/lib_prefix/new"), 0);
    assert_int_equal(asked(), 1);
    expect_counts(MIOC_CALL_STAT, 1, 1, 2, 0);
}

static void record_not_given_is_the_real_call(void **state)
{
    (void)state;
    set(&agent.answers_nothing, 1);
    assert_int_equal(stat_of("/lib_prefix/x"), -1);
    assert_int_equal(asked(), 1);
    expect_counts(MIOC_CALL_STAT, 0, 0, 1, 0);
}

static void enoent_in_import_directory_lives_for_the_ttl(void **state)
{
    (void)state;
    mioc_client.ttl_ms = 200;
    assert_int_equal(stat_of("/imports/missing.py"), ENOENT);
    assert_int_equal(stat_of("/imports/there.py"), 0);
    assert_int_equal(stat_of("/lib_prefix/missing"), ENOENT);
    assert_int_equal(asked(), 3);
    mioc_client.ttl_ms = 0; /* from now on everything is old */
    assert_int_equal(stat_of("/imports/missing.py"), ENOENT);
    assert_int_equal(asked(), 4);
    assert_int_equal(stat_of("/imports/there.py"), 0);
    assert_int_equal(stat_of("/lib_prefix/missing"), ENOENT);
    assert_int_equal(asked(), 4);
}

static void exempt_thread_is_not_served(void **state)
{
    (void)state;
    assert_int_equal(stat_of("/lib_prefix/a"), 0);
    mioc_client_exempt_thread(1);
    assert_int_equal(stat_of("/lib_prefix/a"), -1);
    mioc_client_wrote(AT_FDCWD, "/lib_prefix/a", 0);
    mioc_client_exempt_thread(0);
    assert_int_equal(stat_of("/lib_prefix/a"), 0);
    assert_int_equal(agent.writes, 0);
}

static void relative_path_is_ours_where_the_cwd_is(void **state)
{
    char cwd[4096], expected[128];

    (void)state;
    assert_non_null(getcwd(cwd, sizeof cwd));
    assert_int_equal(stat_of("x"), -1);
    assert_int_equal(chdir(tree), 0);
    assert_int_equal(stat_of("x"), -1); /* nobody said so */
    mioc_client_cwd_changed();
    assert_int_equal(begin("x"), 1);
    snprintf(expected, sizeof expected, "%s/x", tree);
    assert_string_equal(q.key.text, expected);
    assert_int_equal(begin("../x"), 0);
    assert_int_equal(stat_of("x"), 0);
    policy.prefix[0].kind = MIOC_POLICY_IMPORT;
    mioc_client_cwd_changed();
    assert_int_equal(begin("x.h5"), 0);
    assert_int_equal(begin("sub/x.py"), 1);
    assert_int_equal(chdir(cwd), 0);
    assert_int_equal(begin("x.py"), 0); /* gone behind our back: looked up */
    mioc_client_cwd_changed();
    assert_int_equal(mioc_client.cwd, MIOC_POLICY_NONE);
}

static void relative_path_is_the_kernels_where_the_cwd_was_renamed(void **state)
{
    char cwd[4096], moved[128];

    (void)state;
    assert_non_null(getcwd(cwd, sizeof cwd));
    snprintf(moved, sizeof moved, "%s/moved", tree);
    assert_int_equal(mkdir(moved, 0700), 0);
    assert_int_equal(chdir(moved), 0);
    mioc_client_cwd_changed();
    assert_int_equal(begin("x"), 1);
    /* Another node renames it, and puts another one in its place: by its name the kernel here does not know that. */
    mioc_client.cwd_ino++;
    assert_int_equal(begin("x"), 0);
    assert_int_equal(begin("../x"), 0);
    mioc_client.cwd_ino--;
    assert_int_equal(chdir(cwd), 0);
    mioc_client_cwd_changed();
    assert_int_equal(rmdir(moved), 0);
}

static void vfork_child_does_not_change_the_cwd(void **state)
{
    int status;
    pid_t child;

    (void)state;
    child = vfork();
    if (child == 0) {
        (void)!chdir(tree);
        mioc_client_cwd_changed();
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(mioc_client.cwd, MIOC_POLICY_NONE);
    child = fork();
    if (child == 0) {
        (void)!chdir(tree);
        mioc_client_cwd_changed();
        _exit(mioc_client.cwd == MIOC_POLICY_LIBRARY && stat_of("in_child") == 0 ? 5 : 6);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(WEXITSTATUS(status), 5);
}

/* --- Threads ----------------------------------------------------------------------------------------------------- */

static void *stat_many(void *arg)
{
    char path[64];

    for (int i = 0; i < 200; i++) {
        struct mioc_query mine;
        int absent;

        snprintf(path, sizeof path, "/lib_prefix/%d", i);
        if (mioc_client_begin(&mine, MIOC_CALL_STAT, AT_FDCWD, path) && mioc_client_stat(&mine, &absent) == NULL)
            return NULL;
        mioc_client_end(&mine, 0);
    }
    return arg;
}

static void threads_ask_for_the_same_names_at_once(void **state)
{
    pthread_t thread[8];
    void *result;

    (void)state;
    for (int i = 0; i < 8; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, stat_many, thread), 0);
    for (int i = 0; i < 8; i++) {
        pthread_join(thread[i], &result);
        assert_ptr_equal(result, thread);
    }
    assert_int_equal(stats.row[MIOC_CALL_STAT].outcome[MIOC_HIT] + stats.row[MIOC_CALL_STAT].outcome[MIOC_MISS], 1600);
}

/* Runs first: nothing was ever started. */
static void call_before_start_passes(void **state)
{
    int absent;

    (void)state;
    assert_int_equal(begin("/lib_prefix/a"), 0);
    assert_null(mioc_client_stat(&q, &absent));
    assert_null(mioc_client_store());
    assert_null(mioc_client_policy());
    assert_int_equal(mioc_client_rank(), -1);
    mioc_client_wrote(AT_FDCWD, "/lib_prefix/a", 0);
    mioc_client_cwd_changed();
    mioc_client_stop();
}

/* The key of "dir/." is "dir/", which does not ask for the right to search. */
static void folder_with_a_dot_is_served_to_who_may_search_it(void **state)
{
    static const struct {
        uint32_t mode;
        int with_dot;
    } table[] = { { 0755, 0 }, { 0644, -1 }, { 0700, 0 }, { 0600, -1 } };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct mioc_stat_record *st = (void *)record(MIOC_ITEM_STAT, 0, "/lib_prefix/dir/", 1);

        st->lstat.mode = st->stat.mode = S_IFDIR | table[i].mode;
        st->stat.uid = geteuid();
        append(&st->item);
        assert_int_equal(stat_of("/lib_prefix/dir/"), 0);
        assert_int_equal(stat_of("/lib_prefix/dir/."), table[i].with_dot);
        assert_int_equal(stat_of("/lib_prefix/dir/.//./"), table[i].with_dot);
        assert_int_equal(stat_of("/lib_prefix/./dir/"), 0);
    }
}

static void agent_that_stands_still_at_its_start_holds_up_one_call(void **state)
{
    uint64_t began = mioc_clock_ns();

    (void)state;
    mioc_client.timeout_ns = SECOND / 20;
    __atomic_store_n(&agent.store->index->state, MIOC_STORE_STARTING, __ATOMIC_RELEASE);
    assert_false(mioc_client_begin(&q, MIOC_CALL_STAT, AT_FDCWD, "/lib_prefix/a.py"));
    assert_true(mioc_clock_ns() - began >= SECOND / 20);
    for (int i = 0; i < 400; i++)
        assert_false(mioc_client_begin(&q, MIOC_CALL_STAT, AT_FDCWD, "/lib_prefix/a.py"));
    assert_true(mioc_clock_ns() - began < 10 * SECOND); /* and not 20 */
    mioc_store_set_state(agent.store, MIOC_STORE_ACTIVE);
    assert_true(mioc_client_begin(&q, MIOC_CALL_STAT, AT_FDCWD, "/lib_prefix/a.py"));
    mioc_client_end(&q, 0);
    mioc_client.has_awaited = 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(call_before_start_passes),
        WITH_CLIENT(begin_knows_whose_call_it_is),
        WITH_CLIENT(agent_that_stands_still_at_its_start_holds_up_one_call),
        WITH_CLIENT(begin_with_timers_times_what_is_not_ours),
        WITH_CLIENT(stat_asks_once_then_hits),
        WITH_CLIENT(stat_of_name_not_in_listing_is_enoent),
        WITH_CLIENT(folder_with_a_dot_is_served_to_who_may_search_it),
        WITH_CLIENT(stat_below_listing_with_error_gives_that_error),
        WITH_CLIENT(stat_below_listing_that_proves_nothing_asks),
        WITH_CLIENT(stat_answered_by_listing_alone_is_enoent),
        WITH_CLIENT(record_of_listing_needs_a_whole_library),
        WITH_CLIENT(record_uncached_is_the_real_call),
        WITH_CLIENT(record_that_the_root_cannot_tell_yet_is_asked_for_again_later),
        WITH_CLIENT(record_not_given_is_the_real_call),
        WITH_CLIENT(enoent_in_import_directory_lives_for_the_ttl),
        WITH_CLIENT(exempt_thread_is_not_served),
        WITH_CLIENT(relative_path_is_ours_where_the_cwd_is),
        WITH_CLIENT(relative_path_is_the_kernels_where_the_cwd_was_renamed),
        WITH_CLIENT(vfork_child_does_not_change_the_cwd),
        WITH_CLIENT(threads_ask_for_the_same_names_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
