/* SPDX-License-Identifier: BSD-3-Clause */
/* test_store.c - what the stream makes reachable: records, supersession, invalidation, holds, sticky records, limits.
 */
#include "store_fixture.h"

#include <pthread.h>
#include <sched.h>

#define ALL 0x3eu /* STAT to REALPATH */
#define PARENT_LEFT (ALL & ~(1u << MIOC_ITEM_STAT | 1u << MIOC_ITEM_LIST))

/* --- Records ----------------------------------------------------------------------------------------------------- */

static void append_record_is_found_by_its_key_only(void **state)
{
    struct mioc_store *s = *state;
    const struct mioc_stat_record *r;

    assert_null(lookup(s, MIOC_ITEM_STAT, "/lib/a.py"));
    errno = 77;
    assert_int_equal(mioc_store_append(s, record(MIOC_ITEM_STAT, 0, "/lib/a.py", 5)), 0);
    assert_int_equal(errno, 77);
    r = (const void *)lookup(s, MIOC_ITEM_STAT, "/lib/a.py");
    assert_non_null(r);
    assert_int_equal(r->stat.ino, 5);
    assert_string_equal(r->path, "/lib/a.py");
    assert_true(r->item.local_applied_ms > 0);
    assert_null(lookup(s, MIOC_ITEM_ACCESS, "/lib/a.py"));
    assert_null(lookup(s, MIOC_ITEM_STAT, "/lib/a.pyc"));
}

static void append_newer_record_supersedes(void **state)
{
    struct mioc_store *s = *state;
    const struct mioc_item *old, *new;

    mioc_store_append(s, record(MIOC_ITEM_STAT, 0, "/lib/a.py", 1));
    old = lookup(s, MIOC_ITEM_STAT, "/lib/a.py");
    mioc_store_append(s, record(MIOC_ITEM_STAT, 0, "/lib/a.py", 2));
    new = lookup(s, MIOC_ITEM_STAT, "/lib/a.py");
    assert_ptr_not_equal(old, new);
    assert_int_equal(old->local_dead, 1);
    assert_int_equal(((const struct mioc_stat_record *)(const void *)old)->stat.ino,
                     1); /* whoever holds it may read on */
    assert_int_equal(((const struct mioc_stat_record *)(const void *)new)->stat.ino, 2);
}

static void stream_is_walked_item_by_item(void **state)
{
    struct mioc_store *s = *state;
    uint64_t at = 0;
    unsigned n = 0;

    append_all(s, "/lib/a.py");
    mioc_store_append(s, invalidation(0, "/lib/a.py", 1, 1));
    for (const struct mioc_item *item; (item = mioc_store_item_at(s, at)); at += item->size, n++)
        assert_int_equal(mioc_item_check(item, item->size), 0);
    assert_int_equal(n, 6);
    assert_int_equal(at, mioc_store_end(s));
    assert_null(mioc_store_item_at(s, 4));
    assert_null(mioc_store_item_at(s, UINT64_MAX - 7));
}

static void fill_stat_translates_the_device(void **state)
{
    struct mioc_store *s = *state;
    const struct mioc_device_pair pairs[] = { { 100, 0 }, { 101, 7 }, { 102, 8 } };
    struct mioc_stat from = { .dev = 102,
                              .ino = 3,
                              .mode = S_IFREG | 0644,
                              .nlink = 2,
                              .uid = 4,
                              .gid = 5,
                              .size = 6,
                              .blksize = 4096,
                              .blocks = 8,
                              .mtime = -1,
                              .mtime_ns = 9,
                              .rdev = 10 };
    struct stat to;

    mioc_store_set_devices(s, pairs, 3);
    mioc_store_fill_stat(s, &from, &to);
    assert_int_equal(to.st_dev, 8);
    assert_int_equal(to.st_ino, 3);
    assert_int_equal(to.st_mode, S_IFREG | 0644);
    assert_int_equal(to.st_nlink, 2);
    assert_int_equal(to.st_size, 6);
    assert_true(to.st_mtim.tv_sec == -1 && to.st_mtim.tv_nsec == 9);
    assert_int_equal(mioc_store_local_dev(s, 101), 7);
    assert_int_equal(mioc_store_local_dev(s, 100), 100); /* this node does not know its own */
    assert_int_equal(mioc_store_local_dev(s, 999), 999);
}

static void state_goes_forward_only(void **state)
{
    struct mioc_store *s = *state;

    assert_int_equal(mioc_store_get_state(s), MIOC_STORE_STARTING);
    mioc_store_set_state(s, MIOC_STORE_ACTIVE);
    mioc_store_set_state(s, MIOC_STORE_LEFT);
    mioc_store_set_state(s, MIOC_STORE_FULL);
    assert_int_equal(mioc_store_get_state(s), MIOC_STORE_LEFT);
}

/* --- Invalidation ------------------------------------------------------------------------------------------------ */

static const struct {
    const char *path;
    uint32_t flags;
    unsigned file, below, sibling, parent, dotdot, slash;
} invalidations[] = {
    { "/lib/d", 0, 0, ALL, ALL, PARENT_LEFT, 0, 0 },
    { "/lib/d", MIOC_FLAG_SUBTREE, 0, 0, ALL, PARENT_LEFT, 0, 0 },
    { "/lib/d/", 0, 0, ALL, ALL, PARENT_LEFT, 0, 0 },
    { "/lib/x/../d", MIOC_FLAG_SUBTREE, 0, 0, ALL, PARENT_LEFT, 0, 0 },
    { "/lib/d/f", 0, PARENT_LEFT, 0, ALL, ALL, PARENT_LEFT, PARENT_LEFT },
    { "/lib", MIOC_FLAG_SUBTREE, 0, 0, 0, 0, 0, 0 },
    { "/li", MIOC_FLAG_SUBTREE, ALL, ALL, ALL, ALL, ALL, ALL },
};

static void invalidate_reaches_path_parent_and_subtree(void **state)
{
    struct mioc_store *s = *state;

    for (unsigned i = 0; i < sizeof(invalidations) / sizeof(*invalidations); i++) {
        append_all(s, "/lib");
        append_all(s, "/lib/d");
        append_all(s, "/lib/d/f");
        append_all(s, "/lib/dd");
        append_all(s, "/lib/e/../d");
        append_all(s, "/lib/d/");
        mioc_store_append(s, invalidation(invalidations[i].flags, invalidations[i].path, 1, 1));
        assert_int_equal(found(s, "/lib/d"), invalidations[i].file);
        assert_int_equal(found(s, "/lib/d/f"), invalidations[i].below);
        assert_int_equal(found(s, "/lib/dd"), invalidations[i].sibling);
        assert_int_equal(found(s, "/lib"), invalidations[i].parent);
        assert_int_equal(found(s, "/lib/e/../d"), invalidations[i].dotdot);
        assert_int_equal(found(s, "/lib/d/"), invalidations[i].slash);
    }
}

static void invalidated_key_can_be_published_again(void **state)
{
    struct mioc_store *s = *state;

    for (unsigned i = 0; i < 100; i++) {
        append_all(s, "/lib/a.py");
        assert_int_equal(found(s, "/lib/a.py"), ALL);
        mioc_store_append(s, invalidation(0, "/lib/a.py", 1, i));
        assert_int_equal(found(s, "/lib/a.py"), 0);
    }
}

/* --- Holds ------------------------------------------------------------------------------------------------------- */

static void hold_hides_until_its_own_token_returns(void **state)
{
    struct mioc_store *s = *state;

    mioc_store_set_node(s, 3);
    append_all(s, "/lib");
    append_all(s, "/lib/a.py");
    assert_int_equal(mioc_store_hold(s, "/lib/a.py", 9, 0, 17), 0);
    assert_int_equal(found(s, "/lib/a.py"), 0);
    assert_int_equal(found(s, "/lib"), PARENT_LEFT);
    append_all(s, "/lib/a.py"); /* these may have been read before the write */
    append_all(s, "/lib/x/../a.py");
    append_all(s, "/lib");
    assert_int_equal(found(s, "/lib/a.py"), 0);
    assert_int_equal(found(s, "/lib/x/../a.py"), 0);
    assert_int_equal(found(s, "/lib"), PARENT_LEFT);
    mioc_store_append(s, invalidation(0, "/lib/a.py", 2, 17)); /* another node's */
    mioc_store_append(s, invalidation(0, "/lib/a.py", 3, 16)); /* another write's */
    append_all(s, "/lib/a.py");
    assert_int_equal(found(s, "/lib/a.py"), 0);
    mioc_store_append(s, invalidation(0, "/lib/a.py", 3, 17));
    append_all(s, "/lib/a.py");
    append_all(s, "/lib");
    assert_int_equal(found(s, "/lib/a.py"), ALL);
    assert_int_equal(found(s, "/lib"), ALL);
}

static void hold_of_subtree_hides_all_below(void **state)
{
    struct mioc_store *s = *state;

    mioc_store_set_node(s, 3);
    append_all(s, "/lib/d/f");
    assert_int_equal(mioc_store_hold(s, "/lib/d", 6, 1, 1), 0);
    assert_int_equal(mioc_store_hold(s, "/lib/d/g", 8, 0, 2), 0);
    append_all(s, "/lib/d/f");
    append_all(s, "/lib/dd");
    assert_int_equal(found(s, "/lib/d/f"), 0);
    assert_int_equal(found(s, "/lib/dd"), ALL);
    mioc_store_append(s, invalidation(MIOC_FLAG_SUBTREE, "/lib/d", 3, 1));
    append_all(s, "/lib/d/f");
    append_all(s, "/lib/d/g");
    assert_int_equal(found(s, "/lib/d/f"), ALL);
    assert_int_equal(found(s, "/lib/d/g"), 0); /* held by the second one still */
}

static void hold_of_no_path_refused(void **state)
{
    assert_int_equal(mioc_store_hold(*state, "a", 1, 0, 1), -1);
    assert_int_equal(mioc_store_hold(*state, "/", 5000, 0, 1), -1);
}

static void sticky_record_is_never_replaced(void **state)
{
    struct mioc_store *s = *state;
    const struct mioc_item *item;

    mioc_store_set_node(s, 3);
    append_all(s, "/lib/log.py");
    mioc_store_hold(s, "/lib/log.py", 11, 0, 1);
    mioc_store_hold(s, "/lib/log.py", 11, 0, 2);
    mioc_store_append(s, invalidation(MIOC_FLAG_STICKY, "/lib/log.py", 3, 1));
    /* Behind another hold too, for it does not come again. */
    mioc_store_append(s, record(MIOC_ITEM_STAT, MIOC_FLAG_UNCACHED | MIOC_FLAG_STICKY, "/lib/log.py", 0));
    for (unsigned i = 0; i < 2; i++) {
        mioc_store_append(s, record(MIOC_ITEM_STAT, 0, "/lib/log.py", 2));
        mioc_store_append(s, record(MIOC_ITEM_STAT, 0, "/lib/x/../log.py", 2));
        item = lookup(s, MIOC_ITEM_STAT, "/lib/log.py");
        assert_non_null(item);
        assert_int_equal(item->flags, MIOC_FLAG_UNCACHED | MIOC_FLAG_STICKY);
        assert_null(lookup(s, MIOC_ITEM_STAT, "/lib/x/../log.py"));
        mioc_store_append(s, invalidation(MIOC_FLAG_SUBTREE, "/lib", 3, 2));
    }
}

/* --- Limits ------------------------------------------------------------------------------------------------------ */

static void append_to_full_arena_fails_and_the_rest_is_served(void **state)
{
    const struct mioc_store_limits small = { .max_arena = 128u << 10 };
    struct mioc_store *s = mioc_store_create(store_dir, KEY, &small);
    char path[64];
    unsigned n = 0;
    uint64_t end;

    (void)state;
    assert_non_null(s);
    do
        snprintf(path, sizeof(path), "/lib/%u", n++);
    while (mioc_store_append(s, record(MIOC_ITEM_STAT, 0, path, n)) >= 0);
    assert_int_equal(errno, ENOSPC);
    assert_true(n > 300);
    assert_int_equal(mioc_store_get_state(s), MIOC_STORE_FULL);
    end = mioc_store_end(s);
    assert_true(end <= 128u << 10);
    assert_int_equal(mioc_store_append(s, record(MIOC_ITEM_ACCESS, 0, "/s", 0)),
                     -1); /* would fit, but not in its place */
    assert_int_equal(mioc_store_end(s), end);
    assert_int_equal(mioc_store_has_room(s, 0), 0);
    assert_non_null(lookup(s, MIOC_ITEM_STAT, "/lib/7"));
    assert_int_equal(mioc_store_append(s, invalidation(0, "/lib/7", 1, 1)), -1); /* the write counts all the same */
    assert_null(lookup(s, MIOC_ITEM_STAT, "/lib/7"));
    mioc_store_remove(s);
    mioc_store_detach(s);
}

static void append_beyond_max_bytes_fails(void **state)
{
    const struct mioc_store_limits small = { .max_bytes = 700u << 10 };
    struct mioc_store *s = mioc_store_create(store_dir, KEY, &small);
    char path[64];
    unsigned n = 0;

    (void)state;
    assert_non_null(s);
    assert_int_equal(mioc_store_has_room(s, 700u << 10), 1);
    assert_int_equal(mioc_store_has_room(s, (700u << 10) + 1), 0);
    assert_int_equal(mioc_store_has_room(s, UINT64_MAX), 0);
    do
        snprintf(path, sizeof(path), "/lib/%u", n++);
    while (mioc_store_append(s, record(MIOC_ITEM_STAT, 0, path, n)) >= 0);
    assert_true(mioc_store_end(s) <= 700u << 10);
    assert_true(mioc_store_end(s) > (700u << 10) - 1024);
    mioc_store_remove(s);
    mioc_store_detach(s);
}

static void append_beyond_table_fails(void **state)
{
    struct mioc_store *s = *state;
    unsigned n = 0;
    char path[64];

    do
        snprintf(path, sizeof(path), "/%x", n++);
    while (mioc_store_append(s, record(MIOC_ITEM_ACCESS, 0, path, n)) >= 0);
    n--;
    assert_int_equal(errno, ENOSPC);
    assert_int_equal(n, (1u << 18) / 4 * 3);
    assert_int_equal(mioc_store_get_state(s), MIOC_STORE_FULL);
    for (unsigned i = 0; i < n; i++) {
        snprintf(path, sizeof(path), "/%x", i);
        if (!lookup(s, MIOC_ITEM_ACCESS, path))
            fail_msg("%s is not found", path);
        if (lookup(s, MIOC_ITEM_STAT, path))
            fail_msg("%s is found as STAT", path);
    }
}

/* --- Readers beside the writer ----------------------------------------------------------------------------------- */

#define PATHS 400u
#define ROUNDS 30000u

static void path_of(char path[64], unsigned i)
{
    snprintf(path, 64, "/lib/python3.11/site-packages/%s%u/__init__.py", i % 3 ? "a" : "x/../a", i);
}

/* Looks everything up until the writer has left; how many records were not what was appended. */
static unsigned read_until_left(const struct mioc_store *s)
{
    unsigned bad = 0;
    char path[64];

    for (unsigned i = 0; mioc_store_get_state(s) != MIOC_STORE_LEFT; i++) {
        const struct mioc_stat_record *r;

        path_of(path, i % PATHS);
        r = (const void *)lookup(s, MIOC_ITEM_STAT, path);
        if (r && (strcmp(r->path, path) != 0 || r->stat.ino != r->stat.size || r->lstat.ino != r->stat.ino ||
                  r->lstat.size != r->stat.ino || r->stat.ino % PATHS != i % PATHS))
            bad++;
        if (!lookup(s, MIOC_ITEM_STAT, "/always")) /* superseded all the time, but never dead */
            bad++;
        if (i % 1000 == 0)
            sched_yield();
    }
    return bad;
}

static void *reader(void *s) { return (void *)(uintptr_t)read_until_left(s); }

static int attached_reader(void *path)
{
    struct mioc_store *s = mioc_store_attach(path);

    return s ? read_until_left(s) != 0 : 2;
}

static void *writer(void *arg)
{
    struct mioc_store *s = arg;
    char path[64];

    for (unsigned i = 0; i < ROUNDS; i++) {
        path_of(path, i * 7 % PATHS);
        mioc_store_append(s, record(MIOC_ITEM_STAT, 0, "/always", i));
        mioc_store_append(s, record(MIOC_ITEM_STAT, 0, path, (uint64_t)i * PATHS + i * 7 % PATHS));
        if (i % 5 == 0)
            mioc_store_append(s, invalidation(0, path, 1, i));
        if (i % 3000 == 0)
            mioc_store_append(s, invalidation(MIOC_FLAG_SUBTREE, "/lib", 1, i));
    }
    mioc_store_set_state(s, MIOC_STORE_LEFT);
    return NULL;
}

static void readers_beside_the_writer_see_whole_records(void **state)
{
    struct mioc_store *s = *state;
    uintptr_t all_bad = 0;
    pthread_t thread[4];
    void *bad;
    int status;
    pid_t pid;

    mioc_store_append(s, record(MIOC_ITEM_STAT, 0, "/always", 0));
    pid = fork();
    if (pid == 0)
        _exit(attached_reader((void *)(uintptr_t)mioc_store_path(s)));
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, i < 3 ? reader : writer, s), 0);
    for (unsigned i = 0; i < 4; i++) {
        pthread_join(thread[i], &bad);
        all_bad += (uintptr_t)bad;
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(all_bad, 0);
    assert_int_equal(status, 0);
}

#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, make_store, remove_store)
#define WITH_DIR(test) cmocka_unit_test_setup_teardown(test, make_dir, remove_dir)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        WITH_STORE(append_record_is_found_by_its_key_only),
        WITH_STORE(append_newer_record_supersedes),
        WITH_STORE(stream_is_walked_item_by_item),
        WITH_STORE(fill_stat_translates_the_device),
        WITH_STORE(state_goes_forward_only),
        WITH_STORE(invalidate_reaches_path_parent_and_subtree),
        WITH_STORE(invalidated_key_can_be_published_again),
        WITH_STORE(hold_hides_until_its_own_token_returns),
        WITH_STORE(hold_of_subtree_hides_all_below),
        WITH_STORE(hold_of_no_path_refused),
        WITH_STORE(sticky_record_is_never_replaced),
        WITH_DIR(append_to_full_arena_fails_and_the_rest_is_served),
        WITH_DIR(append_beyond_max_bytes_fails),
        WITH_STORE(append_beyond_table_fails),
        WITH_STORE(readers_beside_the_writer_see_whole_records),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
