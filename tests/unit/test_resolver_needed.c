/* SPDX-License-Identifier: BSD-3-Clause */
/* test_resolver_needed.c - what an object needs is read with it: which files, in which order, and which are not even
 * looked for. */
#include "needed_fixture.h"

static void needed_come_breadth_first_and_once(void **state)
{
    struct mioc_resolver *r = new_resolver(1);

    (void)state;
    folder("m");
    library("m/a.so", "libb.so libc.so.6 libc-1.so", DT_RUNPATH, "$ORIGIN");
    library("m/libb.so", "libd.so libc-1.so", DT_RUNPATH, "$ORIGIN");
    library("m/libc-1.so", "libe.so libb.so", DT_RUNPATH, "$ORIGIN");
    library("m/libd.so", "libe.so", DT_RUNPATH, "$ORIGIN/.");
    library("m/libe.so", "a.so", DT_RUNPATH, "$ORIGIN");
    library("m/libc.so.6", "", 0, NULL); /* this process has one already */
    library("m/libother.so", "", 0, NULL);
    ask(r, "m/a.so");
    settle(r);
    assert_string_equal(taken(MIOC_ITEM_CONTENT), "m/a.so m/libb.so m/libc-1.so m/libd.so m/libe.so ");
    assert_string_equal(taken(MIOC_ITEM_LIST), "m ");
    end(r);
}

static void needed_absent_by_listing_is_not_looked_for(void **state)
{
    struct mioc_resolver *r = new_resolver(1);

    (void)state;
    folder("m");
    folder("one");
    folder("two");
    library("m/a.so", "libb.so libnone.so libc-1.so", DT_RUNPATH, "$ORIGIN/../one:$ORIGIN/../missing:$ORIGIN/../two");
    library("one/libc-1.so", "", 0, NULL);
    library("two/libb.so", "", 0, NULL);
    library("two/libc-1.so", "", 0, NULL);
    ask(r, "m/a.so");
    settle(r);
    assert_string_equal(taken(MIOC_ITEM_CONTENT), "m/a.so m/../two/libb.so m/../one/libc-1.so ");
    assert_string_equal(taken(MIOC_ITEM_LIST), "m m/../one m/../missing m/.. m/../two ");
    end(r);
}

/* The directory may not be listed by guess; names in it may be asked for. */
static void needed_without_listing_is_looked_for_as_the_loader_does(void **state)
{
    struct mioc_resolver *r;
    char one[512];

    (void)state;
    folder("m");
    folder("one");
    folder("two");
    snprintf(one, sizeof one, "%s", at("one"));
    forbidden = one;
    setenv("LD_LIBRARY_PATH", one, 1);
    library("m/a.so", "libb.so", DT_RUNPATH, "$ORIGIN/../two");
    library("two/libb.so", "", 0, NULL);
    r = new_resolver(1);
    ask(r, "m/a.so");
    settle(r);
    assert_string_equal(taken(MIOC_ITEM_CONTENT), "m/a.so one/libb.so! m/../two/libb.so ");
    end(r);
}

static void needed_by_rpath_of_who_loaded_it(void **state)
{
    struct mioc_resolver *r = new_resolver(1);

    (void)state;
    folder("m");
    folder("m/libs");
    folder("m/more");
    library("m/a.so", "libb.so libc-1.so", DT_RPATH, "$ORIGIN/libs");
    library("m/libs/libb.so", "libd.so", 0, NULL);
    library("m/libs/libc-1.so", "libe.so", DT_RUNPATH, "$ORIGIN/../more");
    library("m/libs/libd.so", "", 0, NULL);
    library("m/libs/libe.so", "", 0, NULL); /* not by DT_RPATH: who needs it has DT_RUNPATH */
    ask(r, "m/a.so");
    settle(r);
    assert_string_equal(taken(MIOC_ITEM_CONTENT), "m/a.so m/libs/libb.so m/libs/libc-1.so m/libs/libd.so ");
    end(r);
}

static void needed_in_library_path_of_the_environment(void **state)
{
    struct mioc_resolver *r;
    char list[1024];

    (void)state;
    folder("env");
    library("a.so", "libb.so libc-1.so", DT_RUNPATH, "$ORIGIN");
    library("libb.so", "", 0, NULL);
    library("libc-1.so", "", 0, NULL);
    library("env/libb.so", "", 0, NULL);
    snprintf(list, sizeof list, "/nowhere:%s", at("env"));
    setenv("LD_LIBRARY_PATH", list, 1);
    r = new_resolver(1);
    ask(r, "a.so");
    settle(r);
    /* The listing of top itself is none that may be asked for. */
    assert_string_equal(taken(MIOC_ITEM_CONTENT), "a.so env/libb.so libc-1.so ");
    end(r);
}

static void needed_in_hwcaps_only_where_they_are(void **state)
{
#ifdef __x86_64__
    struct mioc_resolver *r = new_resolver(1);

    (void)state;
    if (!__builtin_cpu_supports("sse4.2") || !__builtin_cpu_supports("popcnt"))
        skip();
    folder("m");
    folder("m/glibc-hwcaps");
    folder("m/glibc-hwcaps/x86-64-v2");
    folder("plain");
    library("m/a.so", "libb.so libc-1.so libd.so", DT_RUNPATH, "$ORIGIN/../plain:$ORIGIN");
    library("m/libb.so", "", 0, NULL);
    library("m/libc-1.so", "", 0, NULL);
    library("m/glibc-hwcaps/x86-64-v2/libb.so", "", 0, NULL);
    library("plain/libd.so", "", 0, NULL);
    ask(r, "m/a.so");
    settle(r);
    assert_string_equal(taken(MIOC_ITEM_CONTENT),
                        "m/a.so m/glibc-hwcaps/x86-64-v2/libb.so m/libc-1.so m/../plain/libd.so ");
    end(r);
#else
    (void)state;
    skip();
#endif
}

static void needed_elsewhere_and_of_other_files_is_left_alone(void **state)
{
    struct mioc_resolver *r = new_resolver(2);

    (void)state;
    folder("m");
    library("m/a.so", "libb.so sub/libc-1.so $ORIGIN/libd.so", DT_RUNPATH, "/tmp:$ORIGIN/../../..:.");
    library("m/data", "libe.so", DT_RUNPATH, "$ORIGIN");
    library("m/libb.so", "", 0, NULL);
    library("m/libe.so", "", 0, NULL);
    ask(r, "m/a.so");
    ask(r, "m/data");
    settle(r);
    assert_null(strstr(taken(MIOC_ITEM_CONTENT), "lib"));
    end(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(needed_come_breadth_first_and_once),
        TEST(needed_absent_by_listing_is_not_looked_for),
        TEST(needed_without_listing_is_looked_for_as_the_loader_does),
        TEST(needed_by_rpath_of_who_loaded_it),
        TEST(needed_in_library_path_of_the_environment),
        TEST(needed_in_hwcaps_only_where_they_are),
        TEST(needed_elsewhere_and_of_other_files_is_left_alone),
    };

    return cmocka_run_group_tests_name("resolver_needed", tests, NULL, NULL);
}
