/* SPDX-License-Identifier: BSD-3-Clause */
/* test_aliases.c - which other names a write concerns, by the links that were published. */
#include "resolver/aliases.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct mioc_aliases *a;
static _Alignas(8) char item[MIOC_ITEM_MAX];

static int make(void **state)
{
    (void)state;
    return (a = mioc_aliases_new()) == NULL;
}
static int drop(void **state)
{
    (void)state;
    mioc_aliases_free(a);
    return 0;
}

static const char *learn(void)
{
    const char *name = "nothing";
    uint32_t len = 7;

    assert_int_equal(mioc_item_check(item, sizeof item), 0);
    return mioc_aliases_learn(a, (void *)item, &name, &len) ? (assert_int_equal(strlen(name), len), name) : NULL;
}

static const char *link_to(const char *path, const char *target)
{
    char *end = mioc_item_begin(item, MIOC_ITEM_STAT, 0, path, (uint32_t)strlen(path));

    ((struct mioc_stat_record *)(void *)item)->target_len = (uint32_t)strlen(target);
    strcpy(end, target);
    mioc_item_finish(item, end + strlen(target) + 1);
    return learn();
}

static const char *real_is(const char *path, const char *real)
{
    char *end = mioc_item_begin(item, MIOC_ITEM_REALPATH, 0, path, (uint32_t)strlen(path));

    ((struct mioc_realpath_record *)(void *)item)->resolved_len = (uint32_t)strlen(real);
    strcpy(end, real);
    mioc_item_finish(item, end + strlen(real) + 1);
    return learn();
}

static int compare(const void *x, const void *y) { return strcmp(*(char *const *)x, *(char *const *)y); }

/* The other names, sorted, with spaces between. */
static const char *names_of(const char *path, uint32_t flags)
{
    static char out[1 << 16], name[MIOC_ALIASES_MOST + 2][MIOC_PATH_MAX];
    char *sorted[MIOC_ALIASES_MOST + 2];
    uint32_t len;
    unsigned n = 0;

    while ((len = mioc_aliases_next(a, n, path, flags, name[n])) > 0) {
        assert_int_equal(strlen(name[n]), len);
        sorted[n] = name[n];
        n++;
    }
    qsort(sorted, n, sizeof sorted[0], compare);
    out[0] = '\0';
    for (unsigned i = 0; i < n; i++)
        sprintf(out + strlen(out), "%s%s", i > 0 ? " " : "", sorted[i]);
    return out;
}

static void names_without_links_are_none(void **state)
{
    (void)state;
    assert_string_equal(names_of("/lib/a", 0), "");
    assert_null(real_is("/lib", "/lib"));
    assert_null(real_is("/lib/", "/lib"));
    assert_null(real_is("/link/..", "/elsewhere")); /* "/" is not there */
    assert_null(real_is("/link/.././/", "/elsewhere"));
    assert_null(link_to("/link/..", "b"));
    assert_string_equal(names_of("/lib/a", MIOC_FLAG_SUBTREE), "");
}

static void name_below_a_directorys_target_is_known_by_the_link(void **state)
{
    (void)state;
    assert_string_equal(real_is("/env/lib64", "/env/lib"), "/env/lib64");
    assert_null(real_is("/env/lib64", "/env/lib"));
    assert_null(real_is("/env/lib64/python", "/env/lib/python")); /* follows */
    assert_string_equal(names_of("/env/lib/x.py", 0), "/env/lib64/x.py");
    assert_string_equal(names_of("/env/lib//./y/../x.py/", 0), "/env/lib64/x.py");
    assert_string_equal(names_of("/env/lib", 0), "/env/lib64");
    assert_string_equal(names_of("/env/library", 0), "");
    assert_string_equal(names_of("/env/lib64/x.py", 0), ""); /* the writer told the other itself */
    assert_string_equal(names_of("/env", 0), "");
    assert_string_equal(names_of("/env", MIOC_FLAG_SUBTREE), "/env/lib64");
}

/* Found by random writers and readers: a link that was asked for by way of its neighbour was not known to be one. */
static void link_asked_for_with_dotdot_is_known_by_its_normal_form(void **state)
{
    (void)state;
    assert_string_equal(real_is("/env/bin/../lib64", "/env/lib"), "/env/lib64");
    assert_null(real_is("/env/lib64", "/env/lib"));
    assert_string_equal(names_of("/env/lib/x.py", 0), "/env/lib64/x.py");
    assert_string_equal(link_to("/env/bin/.././a..", "b"), "/env/a..");
    assert_string_equal(names_of("/env/b", 0), "/env/a..");
}

static void link_is_learnt_from_what_does_not_count(void **state)
{
    char *end = mioc_item_begin(item, MIOC_ITEM_REALPATH, mioc_item_brief(1000000000), "/env/lib64", 10);

    (void)state;
    mioc_item_finish(item, end);
    assert_null(learn()); /* nobody looked */
    ((struct mioc_realpath_record *)(void *)item)->resolved_len = 8;
    strcpy(end, "/env/lib");
    mioc_item_finish(item, end + 9);
    assert_string_equal(learn(), "/env/lib64");
    assert_string_equal(names_of("/env/lib/x.py", 0), "/env/lib64/x.py");
}

static void link_in_a_linked_directory_is_taken_from_where_that_is(void **state)
{
    (void)state;
    real_is("/env/lib64", "/other/lib");
    assert_string_equal(link_to("/env/lib64/a.so", "../a.so.1"), "/env/lib64/a.so");
    assert_string_equal(names_of("/other/a.so.1", 0), "/env/lib64/a.so");
    assert_string_equal(names_of("/env/a.so.1", 0), "");
}

static void chains_and_several_links_are_followed_back(void **state)
{
    (void)state;
    link_to("/l/a.so", "a.so.1");
    link_to("/l/a.so.1", "a.so.1.2");
    link_to("/m/b.so", "/l/a.so");
    real_is("/k", "/l");
    assert_string_equal(names_of("/l/a.so.1.2", 0), "/k/a.so /k/a.so.1 /k/a.so.1.2 /l/a.so /l/a.so.1 /m/b.so");
    assert_string_equal(names_of("/l/a.so.1", 0), "/k/a.so /k/a.so.1 /l/a.so /m/b.so");
    assert_string_equal(names_of("/l/c", 0), "/k/c");
}

static void link_that_leads_elsewhere_now_is_known_by_both(void **state)
{
    (void)state;
    assert_non_null(link_to("/l/now", "v1"));
    assert_non_null(link_to("/l/now", "v2"));
    assert_string_equal(names_of("/l/v1", 0), "/l/now");
    assert_string_equal(names_of("/l/v2", 0), "/l/now");
}

static void circles_and_long_names_come_to_an_end(void **state)
{
    char path[MIOC_PATH_MAX];
    uint32_t len, n = 0;

    (void)state;
    link_to("/l/again", ".");
    link_to("/l/self", "self");
    while ((len = mioc_aliases_next(a, n, "/l/x", 0, path)) > 0)
        n++;
    assert_int_equal(n, MIOC_ALIASES_MOST);
    memset(path, 'x', sizeof path);
    path[0] = '/', path[2] = '/';
    path[MIOC_PATH_MAX - 1] = '\0';
    real_is("/longer_than_x", "/x");
    assert_string_equal(names_of(path, 0), "");
}

static void records_that_say_nothing_of_links_teach_nothing(void **state)
{
    struct mioc_stat_record *st = (void *)item;
    char *end;

    (void)state;
    assert_null(link_to("/l/a", ""));
    end = mioc_item_begin(item, MIOC_ITEM_STAT, 0, "/l/a", 4);
    *end = '\0';
    st->link_errno = 22;
    mioc_item_finish(item, end + 1);
    assert_null(learn());
    mioc_item_finish(item, mioc_item_begin(item, MIOC_ITEM_STAT, MIOC_FLAG_UNCACHED | MIOC_FLAG_STICKY, "/l/a", 4));
    assert_null(learn());
    mioc_item_finish(item, mioc_item_begin(item, MIOC_ITEM_INVALIDATE, 0, "/l/a", 4));
    assert_null(learn());
    assert_string_equal(names_of("/l/a", MIOC_FLAG_SUBTREE), "");
    mioc_aliases_free(NULL);
    assert_int_equal(mioc_aliases_next(NULL, 0, "/l/a", 0, (char[MIOC_PATH_MAX]){ 0 }), 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, make, drop)
    const struct CMUnitTest tests[] = {
        TEST(names_without_links_are_none),
        TEST(name_below_a_directorys_target_is_known_by_the_link),
        TEST(link_asked_for_with_dotdot_is_known_by_its_normal_form),
        TEST(link_is_learnt_from_what_does_not_count),
        TEST(link_in_a_linked_directory_is_taken_from_where_that_is),
        TEST(chains_and_several_links_are_followed_back),
        TEST(link_that_leads_elsewhere_now_is_known_by_both),
        TEST(circles_and_long_names_come_to_an_end),
        TEST(records_that_say_nothing_of_links_teach_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
