/* SPDX-License-Identifier: BSD-3-Clause */
/* test_hostile.c - shared memory that a stray write went through: readers of the index, of a listing, of the policy
 * stay inside. What a fuzzer finds in tests/fuzz/fuzz_store.c becomes a row here. */
#include "store_fixture.h"
#include "policy/policy.h"
#include "store/store_internal.h"

#include <sys/mman.h>

#define AROUND (1ull << 36) /* more than a slot can say */
#define PATH "/lib/a"

/* A reader's view whose index has only untouchable pages before and behind it, so that a step outside is SIGSEGV. */
static struct mioc_store *fenced(const struct mioc_store *s)
{
    struct mioc_store *view = mioc_store_attach(mioc_store_path(s));
    char path[MIOC_STORE_PATH_MAX + 8], *around;
    int fd;

    assert_non_null(view);
    snprintf(path, sizeof path, "%s/index", mioc_store_path(s));
    fd = open(path, O_RDONLY);
    around = mmap(NULL, 2 * AROUND, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_true(fd >= 0 && around != MAP_FAILED);
    mioc_store_unmap_index(view);
    around = mmap(around + AROUND, view->index_size, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0);
    assert_true(around != MAP_FAILED);
    close(fd);
    view->index = (void *)around;
    view->table = (void *)(around + MIOC_INDEX_TABLE_AT);
    view->arena = around + MIOC_INDEX_ARENA_AT;
    view->mapped = view->index_size - MIOC_INDEX_ARENA_AT;
    view->map[0].at = around;
    view->map[0].size = view->index_size;
    view->maps = 1;
    return view;
}

static void drop(struct mioc_store *view)
{
    char *index = (void *)view->index;

    munmap(index - AROUND, AROUND);
    munmap(index + view->index_size, AROUND - view->index_size);
    mioc_store_detach(view);
}

static void slot_that_leads_out_finds_nothing(void **state)
{
    static const uint32_t places[] = { 0, 2, 0x7fffffff, 0xffffffff, 1u << 22, 4u << 20, 3 };
    struct mioc_store *s = *state, *view;
    uint64_t hash = mioc_item_hash(MIOC_ITEM_STAT, PATH, strlen(PATH)), slot;

    assert_true(mioc_store_append(s, record(MIOC_ITEM_STAT, 0, PATH, 1)) >= 0);
    view = fenced(s);
    slot = s->table[hash & MIOC_INDEX_MASK];
    assert_non_null(lookup(view, MIOC_ITEM_STAT, PATH));
    for (unsigned i = 0; i < sizeof places / sizeof places[0]; i++) {
        s->table[hash & MIOC_INDEX_MASK] = (hash >> 32 << 32) | places[i];
        assert_null(lookup(view, MIOC_ITEM_STAT, PATH));
    }
    s->table[hash & MIOC_INDEX_MASK] = slot;
    assert_non_null(lookup(view, MIOC_ITEM_STAT, PATH));
    for (uint64_t end = s->index->end + (1ull << 40);; end = 8) { /* too long, too short */
        s->index->end = end;
        assert_null(lookup(view, MIOC_ITEM_STAT, PATH));
        assert_null(mioc_store_item_at(view, 0));
        if (end == 8)
            break;
    }
    drop(view);
}

static void item_that_lies_about_its_size_is_not_found(void **state)
{
    static const uint32_t sizes[] = { 0, 8, 40, 1u << 20, 0xfffffff8 };
    struct mioc_store *s = *state, *view;

    for (unsigned kind = MIOC_ITEM_STAT; kind <= MIOC_ITEM_REALPATH; kind++) {
        struct mioc_item *item;
        uint32_t size;

        assert_true(mioc_store_append(s, record(kind, 0, PATH, 1)) >= 0);
        view = fenced(s);
        item = (struct mioc_item *)lookup(s, kind, PATH);
        size = item->size;
        for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            item->size = sizes[i];
            if (lookup(view, kind, PATH) != NULL)
                fail_msg("kind %u found with size %u", kind, sizes[i]);
        }
        item->size = size;
        assert_non_null(lookup(view, kind, PATH));
        drop(view);
    }
}

static void record_that_lies_about_its_parts_is_not_found(void **state)
{
    struct mioc_store *s = *state;
    struct mioc_stat_record *st;
    struct mioc_realpath_record *real;
    struct mioc_list_record *list;

    append_all(s, PATH);
    st = (void *)(uintptr_t)lookup(s, MIOC_ITEM_STAT, PATH);
    real = (void *)(uintptr_t)lookup(s, MIOC_ITEM_REALPATH, PATH);
    list = (void *)(uintptr_t)lookup(s, MIOC_ITEM_LIST, PATH);
    st->target_len = 4000;
    real->resolved_len = UINT32_MAX;
    assert_null(lookup(s, MIOC_ITEM_STAT, PATH));
    assert_null(lookup(s, MIOC_ITEM_REALPATH, PATH));
    list->table_size = 1u << 31;
    assert_null(lookup(s, MIOC_ITEM_LIST, PATH));
    list->table_size = 3;
    assert_null(lookup(s, MIOC_ITEM_LIST, PATH));
}

/* A listing of one name in the last bytes before a page that cannot be touched. */
static void listing_that_leads_out_is_left(void **state)
{
    char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const uint32_t size = 256, at = 256 - 24;
    struct mioc_list_record *list = (void *)(page + 4096 - size);
    struct mioc_dirent *entry = (void *)((char *)list + at);
    uint32_t *table;

    (void)state;
    assert_true(page != MAP_FAILED && mprotect(page + 4096, 4096, PROT_NONE) == 0);
    (void)mioc_item_begin(list, MIOC_ITEM_LIST, 0, "/l", 2);
    list->item.size = size;
    list->count = 1;
    list->entries = at;
    list->table_size = 2;
    list->table = at - 8;
    table = (void *)((char *)list + list->table);
    table[0] = table[1] = at;
    entry->size = 24;
    entry->name_len = 3;
    strcpy(entry->name, "abc");
    assert_true(mioc_item_is_bounded(&list->item));
    assert_ptr_equal(mioc_list_find(list, "abc", 3), entry);
    for (unsigned i = 0; i < 5; i++) {
        static const uint32_t places[] = { size, size - 8, size - 4, 0xfffffff8, 1u << 20 };

        table[0] = table[1] = places[i];
        assert_null(mioc_list_find(list, "abc", 3));
        assert_null(mioc_list_entry(list, places[i]));
    }
    entry->size = 0; /* would never end */
    assert_null(mioc_list_entry(list, at));
    entry->size = 32;
    assert_null(mioc_list_entry(list, at));
    entry->size = 24;
    entry->name_len = 200;
    assert_null(mioc_list_entry(list, at));
    munmap(page, 8192);
}

static void policy_that_leads_out_is_refused(void **state)
{
    static struct mioc_policy good, policy;

    (void)state;
    good.count = good.excludes = 1;
    good.prefix[0] = (struct mioc_policy_prefix){
        .len = 4, .kind = MIOC_POLICY_LIBRARY, .path = "/lib", .real = "/usr", .real_len = 4
    };
    good.exclude[0] = (struct mioc_policy_exclude){ .len = 6, .path = "/lib/x" };
    assert_true(mioc_policy_is_sound(&good));
#define REFUSED(change) (policy = good, policy.change, assert_false(mioc_policy_is_sound(&policy)))
    REFUSED(count = MIOC_MAX_PREFIXES + 1);
    REFUSED(excludes = UINT32_MAX);
    REFUSED(heads = MIOC_MAX_PREFIXES + 1);
    REFUSED(prefix[0].len = 1024);
    REFUSED(prefix[0].len = 5);
    REFUSED(prefix[0].len = 0);
    REFUSED(prefix[0].real_len = UINT32_MAX);
    REFUSED(prefix[0].path[4] = 'x');
    REFUSED(prefix[0].kind = 77);
    REFUSED(exclude[0].len = 1024);
}

#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, make_store, remove_store)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        WITH_STORE(slot_that_leads_out_finds_nothing),
        WITH_STORE(item_that_lies_about_its_size_is_not_found),
        WITH_STORE(record_that_lies_about_its_parts_is_not_found),
        cmocka_unit_test(listing_that_leads_out_is_left),
        cmocka_unit_test(policy_that_leads_out_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
