/* SPDX-License-Identifier: BSD-3-Clause */
/* test_item_check.c - damaged items are refused, whatever the damage. */
#include "item_fixture.h"

static void check_built_items_accepted(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof(builders) / sizeof(*builders); i++) {
        builders[i]();
        assert_int_equal(item->kind, i + 1);
        assert_int_equal(item->size % 8, 0);
        errno = 77;
        if (mioc_item_check(item_buf, item->size) != 0)
            fail_msg("kind %u refused", i + 1);
        assert_int_equal(errno, 77);
        if (item->kind != MIOC_ITEM_CHUNK)
            assert_string_equal(mioc_item_path(item), PATH);
        else
            assert_null(mioc_item_path(item));
    }
}

static void check_every_shorter_prefix_refused(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof(builders) / sizeof(*builders); i++) {
        builders[i]();
        for (uint32_t size = 0; size < item->size; size++) {
            errno = 0;
            assert_int_equal(mioc_item_check(item_buf, size), -1);
            assert_int_equal(errno, EPROTO);
        }
        /* Nor may an item claim to be smaller than its parts. */
        for (uint32_t size = item->size; size >= 8; size -= 8) {
            uint32_t whole = item->size;

            item->size = size - 8;
            assert_int_equal(mioc_item_check(item_buf, sizeof(item_buf)), -1);
            item->size = whole;
        }
    }
}

static void stat_negative_errno(void) { ((struct mioc_stat_record *)item_buf)->lstat_errno = -1; }
static void stat_long_target(void) { ((struct mioc_stat_record *)item_buf)->target_len = 4000000000u; }
static void stat_target_no_nul(void) { ((struct mioc_stat_record *)item_buf)->target_len = 3; }
static void stat_huge_errno(void) { ((struct mioc_stat_record *)item_buf)->link_errno = 5000; }
static void any_path_changed(void) { *(char *)(uintptr_t)(mioc_item_path(item) + 3) ^= 1; }
static void any_path_relative(void)
{
    *(char *)(uintptr_t)mioc_item_path(item) = 'x';
    item->hash = mioc_item_hash(item->kind, mioc_item_path(item), item->path_len);
}
static void any_path_with_nul(void)
{
    *(char *)(uintptr_t)(mioc_item_path(item) + 2) = '\0';
    item->hash = mioc_item_hash(item->kind, mioc_item_path(item), item->path_len);
}
static void any_path_len_zero(void) { item->path_len = 0; }
static void any_path_len_long(void) { item->path_len = 65535; }
static void any_path_len_short(void)
{
    item->path_len--;
    item->hash = mioc_item_hash(item->kind, mioc_item_path(item), item->path_len);
}
static void any_hash_changed(void) { item->hash++; }
static void any_kind_zero(void) { item->kind = 0; }
static void any_kind_unknown(void) { item->kind = MIOC_ITEM_KINDS; }
static void any_kind_other(void) { item->kind = MIOC_ITEM_LIST; }
static void any_flag_unknown(void) { item->flags |= 0x80; }
static void any_size_odd(void) { item->size -= 4; }
static void any_size_over(void) { item->size = MIOC_ITEM_MAX + 8; }
static struct mioc_dirent *entry_at(uint32_t at) { return (void *)(item_buf + at); }
static uint32_t *table_of(void) { return (void *)(item_buf + list->table); }
static void list_count_over(void) { list->count = 5; }
static void list_count_huge(void) { list->count = 0xffffffff; }
static void list_count_under(void) { list->count = 3; }
static void list_entries_inside_header(void) { list->entries = 8; }
static void list_entries_odd(void) { list->entries += 4; }
static void list_entries_outside(void) { list->entries = 0xfffffff8; }
static void list_table_odd(void) { list->table += 2; }
static void list_table_outside(void) { list->table = list->item.size; }
static void list_table_wraps(void) { list->table = 0xfffffffc; }
static void list_table_not_power(void) { list->table_size = 6; }
static void list_table_small(void) { list->table_size = 4; }
static void list_table_none(void) { list->table_size = 0; }
static void list_table_over_entries(void) { list->table = list->entries; }
static void list_entry_size_zero(void) { entry_at(list->entries)->size = 0; }
static void list_entry_size_odd(void) { entry_at(list->entries)->size += 4; }
static void list_entry_size_over(void) { entry_at(list->entries)->size = 65528; }
static void list_entry_no_name(void) { entry_at(list->entries)->name_len = 0; }
static void list_entry_long_name(void) { entry_at(list->entries)->name_len = 255; }
static void list_entry_slash(void) { entry_at(list->entries)->name[0] = '/'; }
static void list_entry_renamed(void) { entry_at(list->entries)->name[0] = 'q'; }
static void list_slot_between_entries(void)
{
    for (unsigned i = 0; i < 8; i++)
        if (table_of()[i]) {
            table_of()[i] += 8;
            return;
        }
}
static void list_slot_outside(void) { table_of()[0] = 0xfffffff8; }
static void list_slots_all_used(void)
{
    for (unsigned i = 0; i < 8; i++)
        table_of()[i] = list->entries;
}
static void content_negative_errno(void) { ((struct mioc_content_record *)item_buf)->open_errno = -2; }
static void content_huge(void) { ((struct mioc_content_record *)item_buf)->size = 1ull << 63; }
static void access_negative_errno(void) { ((struct mioc_access_record *)item_buf)->eerr[7] = -2; }
static void realpath_empty(void) { ((struct mioc_realpath_record *)item_buf)->resolved_len = 0; }
static void realpath_long(void) { ((struct mioc_realpath_record *)item_buf)->resolved_len = 0xffffffff; }
static struct mioc_chunk_record *const chunk = (void *)item_buf;
static void chunk_empty(void) { chunk->length = 0; }
static void chunk_large(void)
{
    chunk->length = MIOC_CHUNK_MAX + 1;
    chunk->total = 1u << 30;
}
static void chunk_over_total(void) { chunk->offset = 6; }
static void chunk_wraps(void) { chunk->offset = UINT64_MAX - 4; }
static void chunk_huge(void) { chunk->total = UINT64_MAX; }
static void chunk_with_hash(void) { chunk->item.hash = 1; }
static void chunk_with_path(void) { chunk->item.path_len = 1; }
static struct mioc_invalidate_record *const invalidate = (void *)item_buf;
static void invalidate_with_pages(void) { invalidate->pages = 1; }
static void evict_of_no_content(void) { item->flags = MIOC_FLAG_EVICT; }
static void evict_of_large_number(void)
{
    item->flags = MIOC_FLAG_EVICT;
    invalidate->token = 1ull << 32;
}
static void evict_of_subtree(void)
{
    item->flags = MIOC_FLAG_EVICT | MIOC_FLAG_SUBTREE;
    invalidate->token = 1;
}

static const struct {
    void (*build)(void), (*harm)(void);
    const char *what;
} broken[] = {
#define ROW(build, harm) \
    { \
        build, harm, #harm \
    }
    ROW(build_stat, stat_negative_errno),
    ROW(build_stat, stat_long_target),
    ROW(build_stat, stat_target_no_nul),
    ROW(build_stat, stat_huge_errno),
    ROW(build_stat, any_path_changed),
    ROW(build_stat, any_path_relative),
    ROW(build_stat, any_path_with_nul),
    ROW(build_stat, any_path_len_zero),
    ROW(build_stat, any_path_len_long),
    ROW(build_stat, any_path_len_short),
    ROW(build_stat, any_hash_changed),
    ROW(build_stat, any_kind_zero),
    ROW(build_stat, any_kind_unknown),
    ROW(build_stat, any_kind_other),
    ROW(build_stat, any_flag_unknown),
    ROW(build_stat, any_size_odd),
    ROW(build_stat, any_size_over),
    ROW(build_invalidate, any_path_changed),
    ROW(build_list, list_count_over),
    ROW(build_list, list_count_huge),
    ROW(build_list, list_count_under),
    ROW(build_list, list_entries_inside_header),
    ROW(build_list, list_entries_odd),
    ROW(build_list, list_entries_outside),
    ROW(build_list, list_table_odd),
    ROW(build_list, list_table_outside),
    ROW(build_list, list_table_wraps),
    ROW(build_list, list_table_not_power),
    ROW(build_list, list_table_small),
    ROW(build_list, list_table_none),
    ROW(build_list, list_table_over_entries),
    ROW(build_list, list_entry_size_zero),
    ROW(build_list, list_entry_size_odd),
    ROW(build_list, list_entry_size_over),
    ROW(build_list, list_entry_no_name),
    ROW(build_list, list_entry_long_name),
    ROW(build_list, list_entry_slash),
    ROW(build_list, list_entry_renamed),
    ROW(build_list, list_slot_between_entries),
    ROW(build_list, list_slot_outside),
    ROW(build_list, list_slots_all_used),
    ROW(build_content, content_negative_errno),
    ROW(build_content, content_huge),
    ROW(build_access, access_negative_errno),
    ROW(build_realpath, realpath_empty),
    ROW(build_realpath, realpath_long),
    ROW(build_chunk, chunk_empty),
    ROW(build_chunk, chunk_large),
    ROW(build_chunk, chunk_over_total),
    ROW(build_chunk, chunk_wraps),
    ROW(build_chunk, chunk_huge),
    ROW(build_chunk, chunk_with_hash),
    ROW(build_chunk, chunk_with_path),
    ROW(build_invalidate, invalidate_with_pages),
    ROW(build_invalidate, evict_of_no_content),
    ROW(build_invalidate, evict_of_large_number),
    ROW(build_invalidate, evict_of_subtree),
#undef ROW
};

static void check_broken_items_refused(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof(broken) / sizeof(*broken); i++) {
        broken[i].build();
        broken[i].harm();
        errno = 0;
        if (mioc_item_check(item_buf, sizeof(item_buf)) != -1 || errno != EPROTO)
            fail_msg("%s accepted", broken[i].what);
    }
}

/* What is random must not make the checker read outside (under ASan), and what it accepts must be usable. */
static void check_random_damage_is_harmless(void **state)
{
    unsigned seed = 1;

    (void)state;
    for (unsigned round = 0; round < 60000; round++) {
        char *copy;

        builders[round % 7]();
        copy = malloc(item->size);
        memcpy(copy, item_buf, item->size);
        for (unsigned flips = 0; flips < 1 + round % 4; flips++)
            copy[(unsigned)rand_r(&seed) % item->size] = (char)rand_r(&seed);
        if (mioc_item_check(copy, item->size) == 0 && ((struct mioc_item *)(void *)copy)->kind == MIOC_ITEM_LIST)
            mioc_list_find((void *)copy, "absent", 6);
        free(copy);
    }
}

static void check_unaligned_refused(void **state)
{
    (void)state;
    build_stat();
    memmove(item_buf + 4, item_buf, item->size);
    assert_int_equal(mioc_item_check(item_buf + 4, sizeof(item_buf) - 4), -1);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_built_items_accepted), cmocka_unit_test(check_every_shorter_prefix_refused),
        cmocka_unit_test(check_broken_items_refused), cmocka_unit_test(check_random_damage_is_harmless),
        cmocka_unit_test(check_unaligned_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
