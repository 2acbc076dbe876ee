/* SPDX-License-Identifier: BSD-3-Clause */
/* test_item.c - items are composed as the checker wants them, and the checker refuses what is broken in any place. */
#include "item_fixture.h"

static void check_uncached_records_without_payload_accepted(void **state)
{
    (void)state;
    for (unsigned kind = MIOC_ITEM_STAT; kind <= MIOC_ITEM_REALPATH; kind++) {
        char *end = mioc_item_begin(item_buf, kind, MIOC_FLAG_UNCACHED | MIOC_FLAG_STICKY, PATH, LEN);

        mioc_item_finish(item_buf, end);
        if (mioc_item_check(item_buf, item->size) != 0)
            fail_msg("kind %u refused", kind);
    }
}

static void check_brief_is_uncached_and_for_a_time(void **state)
{
    static const struct {
        uint32_t flags;
        int rc;
    } table[] = {
        { MIOC_FLAG_UNCACHED | MIOC_FLAG_BRIEF, 0 },
        { MIOC_FLAG_BRIEF, -1 },
        { MIOC_FLAG_UNCACHED | 1u << MIOC_BRIEF_SHIFT, -1 },
        { MIOC_FLAG_UNCACHED | MIOC_FLAG_BRIEF | MIOC_FLAG_STICKY, -1 },
        { MIOC_FLAG_UNCACHED | MIOC_FLAG_BRIEF | MIOC_FLAG_EARLY, -1 },
        { MIOC_FLAG_UNCACHED | MIOC_FLAG_BRIEF | 0x80u, -1 },
        { MIOC_FLAG_UNCACHED | MIOC_FLAG_BRIEF | 0xffffff00u, 0 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        mioc_item_finish(item_buf, mioc_item_begin(item_buf, MIOC_ITEM_LIST, table[i].flags, PATH, LEN));
        if (mioc_item_check(item_buf, item->size) != table[i].rc)
            fail_msg("flags %x", table[i].flags);
    }
    item->flags = mioc_item_brief(3000000000ull);
    item->local_applied_ms = 500;
    assert_int_equal(mioc_item_check(item_buf, item->size), 0);
    assert_false(mioc_item_is_over(item, 3500)); /* not before the root's own time is over, by however coarse a clock */
    assert_true(mioc_item_is_over(item, 3600));
    item->flags = mioc_item_brief(UINT64_MAX);
    assert_int_equal(mioc_item_check(item_buf, item->size), 0);
    assert_false(mioc_item_is_over(item, 3600000));
    item->flags = MIOC_FLAG_UNCACHED;
    assert_false(mioc_item_is_over(item, UINT64_MAX));
}

static void check_failed_listing_accepted(void **state)
{
    char *end = begin(MIOC_ITEM_LIST);

    (void)state;
    list->list_errno = ENOTDIR;
    mioc_item_finish(item_buf, end);
    assert_int_equal(mioc_item_check(item_buf, item->size), 0);
    assert_null(mioc_list_find(list, "x", 1));
}

static void find_each_entry_found_and_others_not(void **state)
{
    static char text[3000][12];
    static const char *names[3000];

    (void)state;
    for (unsigned i = 0; i < 3000; i++) {
        snprintf(text[i], sizeof(text[i]), "name%u", i);
        names[i] = text[i];
    }
    build_list_of(names, 3000, 8192);
    assert_int_equal(mioc_item_check(item_buf, item->size), 0);
    for (unsigned i = 0; i < 3000; i++) {
        const struct mioc_dirent *entry = mioc_list_find(list, names[i], (uint32_t)strlen(names[i]));

        assert_non_null(entry);
        assert_int_equal(entry->ino, i + 1);
    }
    assert_null(mioc_list_find(list, "name3000", 8));
    assert_null(mioc_list_find(list, "name", 4));
    assert_null(mioc_list_find(list, "name1x", 6));
}

/* In whatever way a filesystem may compare names, what is not to be found cannot be there. */
static void may_have_excludes_no_name_that_may_be_found_otherwise(void **state)
{
    static const char *const names[] = { ".", "..", "Readme.txt", "os.py", "re" };
    static const struct {
        const char *name;
        int may_have;
    } looked_for[] = {
        { "Readme.txt", 1 }, { "README.TXT", 1 },   { "readme.txt", 1 }, { "OS.py", 1 },
        { "os.pyc", 0 },     { "reader", 0 },       { "r", 0 },          { "README.TXt.gz", 0 },
        { "os@py", 0 },      { "none.py", 0 }, /* in no way */
        { "re\xcc\x81", 1 }, { "\xe2\x84\xaa", 1 }, { "README~1", 1 },   { "os.py.", 1 },
        { "os.py ", 1 },     { "os.py:stream", 1 }, { "", 1 },
    };

    (void)state;
    build_list_of(names, 5, 16);
    assert_int_equal(mioc_item_check(item_buf, item->size), 0);
    for (size_t i = 0; i < sizeof looked_for / sizeof looked_for[0]; i++) {
        const char *name = looked_for[i].name;

        if (mioc_list_may_have(list, name, (uint32_t)strlen(name)) != looked_for[i].may_have)
            fail_msg("%s", name);
    }
    assert_null(mioc_list_find(list, "OS.py", 5)); /* what is listed is listed in its case */
    list->maps_names = 1;
    assert_int_equal(mioc_item_check(item_buf, item->size), 0);
    assert_int_equal(mioc_list_may_have(list, "none.py", 7), 1);
    list->maps_names = 2;
    assert_int_equal(mioc_item_check(item_buf, item->size), -1);
}

static void begin_fixed_part_zeroed(void **state)
{
    char *end = begin(MIOC_ITEM_ACCESS);
    const struct mioc_access_record *r = (void *)item_buf;
    uint32_t size;

    (void)state;
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(r->err[i] | r->eerr[i], 0);
    assert_int_equal(item->local_dead, 0);
    assert_int_equal(item->local_applied_ms, 0);
    size = mioc_item_finish(item_buf, end);
    assert_int_equal(size, item->size);
    for (const char *p = end; p < item_buf + item->size; p++)
        assert_int_equal(*p, 0);
}

static void hash_differs_by_kind_and_is_never_zero(void **state)
{
    (void)state;
    for (unsigned kind = 1; kind < MIOC_ITEM_KINDS; kind++) {
        assert_true(mioc_item_hash(kind, PATH, LEN) != 0);
        for (unsigned other = 1; other < kind; other++)
            assert_true(mioc_item_hash(kind, PATH, LEN) != mioc_item_hash(other, PATH, LEN));
    }
    assert_true(mioc_item_hash(1, PATH, LEN) == mioc_item_hash(1, PATH "x", LEN));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_uncached_records_without_payload_accepted),
        cmocka_unit_test(check_brief_is_uncached_and_for_a_time),
        cmocka_unit_test(check_failed_listing_accepted),
        cmocka_unit_test(find_each_entry_found_and_others_not),
        cmocka_unit_test(may_have_excludes_no_name_that_may_be_found_otherwise),
        cmocka_unit_test(begin_fixed_part_zeroed),
        cmocka_unit_test(hash_differs_by_kind_and_is_never_zero),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
