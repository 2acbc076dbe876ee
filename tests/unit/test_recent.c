/* SPDX-License-Identifier: BSD-3-Clause */
/* test_recent.c - what other nodes wrote lately: which answers it concerns, for how long, and what it takes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "resolver/recent.h"
#include "store/item.h"

#include <stdio.h>
#include <string.h>

#define CLIENT 100u /* how long the client keeps what it knows */

static struct mioc_recent *r;

static void add(const char *path, uint32_t flags, uint64_t now)
{
    mioc_recent_add(r, path, (uint32_t)strlen(path), flags, now);
}

static uint64_t doubt(unsigned kind, const char *path, uint64_t started, uint64_t now)
{
    return mioc_recent_doubt(r, kind, path, (uint32_t)strlen(path), started, CLIENT, now);
}

static void write_concerns_what_a_hold_covers(void **state)
{
    static const struct {
        unsigned kind;
        const char *path;
        int is_plain, is_subtree;
    } table[] = {
        { MIOC_ITEM_STAT, "/lib/a/x.py", 1, 1 },
        { MIOC_ITEM_LIST, "/lib/a/x.py", 1, 1 },
        { MIOC_ITEM_CONTENT, "/lib/a/x.py", 1, 1 },
        { MIOC_ITEM_ACCESS, "/lib/a/x.py", 1, 1 },
        { MIOC_ITEM_REALPATH, "/lib/a/x.py", 1, 1 },
        { MIOC_ITEM_STAT, "/lib/a", 1, 1 },
        { MIOC_ITEM_LIST, "/lib/a", 1, 1 },
        { MIOC_ITEM_CONTENT, "/lib/a", 0, 0 },
        { MIOC_ITEM_ACCESS, "/lib/a", 0, 0 },
        { MIOC_ITEM_STAT, "/lib", 0, 0 },
        { MIOC_ITEM_LIST, "/lib", 0, 0 },
        { MIOC_ITEM_STAT, "/lib/a/x.pyc", 0, 0 },
        { MIOC_ITEM_STAT, "/lib/a/y.py", 0, 0 },
        { MIOC_ITEM_STAT, "/lib/a/x.py/b", 0, 1 },
        { MIOC_ITEM_CONTENT, "/lib/a/x.py/b/c", 0, 1 },
        { MIOC_ITEM_STAT, "/", 0, 0 },
        /* in other spellings */
        { MIOC_ITEM_STAT, "/lib/a/x.py/", 1, 1 },
        { MIOC_ITEM_LIST, "/lib/a/", 1, 1 },
        { MIOC_ITEM_LIST, "/lib/b/../a", 1, 1 },
        { MIOC_ITEM_LIST, "/lib//a/.", 1, 1 },
        { MIOC_ITEM_CONTENT, "/lib/a/b/../x.py", 1, 1 },
        { MIOC_ITEM_STAT, "/lib/a/x.py/b/..", 1, 1 },
    };

    (void)state;
    for (int is_subtree = 0; is_subtree < 2; is_subtree++)
        for (unsigned spelling = 0; spelling < 3; spelling++) {
            static const char *const written[] = { "/lib/a/x.py", "/lib/a/b/../x.py", "/lib/./a//x.py/" };

            r = mioc_recent_new();
            assert_int_equal(doubt(MIOC_ITEM_STAT, "/lib/a/x.py", 0, 1000), 0);
            add(written[spelling], is_subtree ? MIOC_FLAG_SUBTREE : 0, 1000);
            for (size_t i = 0; i < sizeof table / sizeof *table; i++)
                if ((doubt(table[i].kind, table[i].path, 1050, 1060) > 0) !=
                    (is_subtree ? table[i].is_subtree : table[i].is_plain))
                    fail_msg("%s written%s: kind %u of %s", written[spelling], is_subtree ? " with all below" : "",
                             table[i].kind, table[i].path);
            mioc_recent_free(r);
        }
}

static void what_counts_is_when_the_look_began(void **state)
{
    (void)state;
    r = mioc_recent_new();
    add("/lib/x", 0, 1000);
    assert_int_equal(doubt(MIOC_ITEM_STAT, "/lib/x", 900, 1001), 99);
    assert_int_equal(doubt(MIOC_ITEM_STAT, "/lib/x", 1001, 1002), 98);
    assert_int_equal(doubt(MIOC_ITEM_STAT, "/lib/x", 1099, 1099), 1);
    assert_int_equal(doubt(MIOC_ITEM_STAT, "/lib/x", 1099, 5000), 1); /* it took long, and began too early */
    assert_int_equal(doubt(MIOC_ITEM_STAT, "/lib/x", 1100, 1100), 0);
    add("/lib/x", 0, 1200);
    assert_int_equal(doubt(MIOC_ITEM_STAT, "/lib/x", 1100, 1210), 90);
    assert_int_equal(mioc_recent_doubt(r, MIOC_ITEM_STAT, "/lib/x", 6, 1100, 0, 1210),
                     0); /* a client that keeps nothing */
    mioc_recent_free(r);
}

static void forgetting_drops_what_is_old_and_no_more(void **state)
{
    (void)state;
    r = mioc_recent_new();
    add("/lib/old", 0, 1000);
    add("/lib/new", 0, 1050);
    assert_int_equal(mioc_recent_last(r), 1050);
    mioc_recent_forget(r, 1050);
    assert_int_equal(doubt(MIOC_ITEM_STAT, "/lib/old", 900, 1060), 0);
    assert_int_not_equal(doubt(MIOC_ITEM_STAT, "/lib/new", 900, 1060), 0);
    assert_int_not_equal(doubt(MIOC_ITEM_LIST, "/lib", 900, 1060), 0);
    assert_int_equal(mioc_recent_last(r), 1050);
    mioc_recent_forget(r, 1051);
    assert_int_equal(mioc_recent_bytes(r), 0);
    assert_int_equal(mioc_recent_last(r), 0);
    mioc_recent_free(r);
}

static void the_same_written_again_takes_no_more(void **state)
{
    size_t bytes;

    (void)state;
    r = mioc_recent_new();
    add("/lib/log", 0, 1);
    bytes = mioc_recent_bytes(r);
    for (unsigned i = 2; i < 1000; i++)
        add("/lib/log", MIOC_FLAG_SUBTREE, i);
    assert_int_equal(mioc_recent_bytes(r), bytes);
    mioc_recent_free(r);
}

static void more_than_fits_is_all_there_is(void **state)
{
    char path[64];
    uint64_t now = 1000;

    (void)state;
    r = mioc_recent_new();
    while (doubt(MIOC_ITEM_STAT, "/elsewhere", now, now) == 0) {
        snprintf(path, sizeof path, "/lib/%llu", (unsigned long long)++now);
        add(path, 0, now);
        assert_true(mioc_recent_bytes(r) <= MIOC_RECENT_MOST_BYTES && now < 100000);
    }
    assert_true(now > 5000);
    assert_int_equal(doubt(MIOC_ITEM_STAT, path, now, now), CLIENT);
    assert_int_equal(mioc_recent_last(r), now);
    /* It has an end, and goes on as before. */
    assert_int_equal(doubt(MIOC_ITEM_STAT, "/elsewhere", now + CLIENT, now + CLIENT), 0);
    add("/lib/x", 0, now + CLIENT);
    assert_int_equal(doubt(MIOC_ITEM_STAT, "/lib/x", now + CLIENT, now + CLIENT), CLIENT);
    assert_int_equal(doubt(MIOC_ITEM_STAT, "/lib/y", now + CLIENT, now + CLIENT), 0);
    mioc_recent_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(write_concerns_what_a_hold_covers),
        cmocka_unit_test(what_counts_is_when_the_look_began),
        cmocka_unit_test(forgetting_drops_what_is_old_and_no_more),
        cmocka_unit_test(the_same_written_again_takes_no_more),
        cmocka_unit_test(more_than_fits_is_all_there_is),
    };

    return cmocka_run_group_tests_name("recent", tests, NULL, NULL);
}
