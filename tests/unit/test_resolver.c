/* SPDX-License-Identifier: BSD-3-Clause */
/* test_resolver.c - the root's real calls, its speculation, and answers that a write overtakes. */
#include "resolver_fixture.h"

#include "resolver/aliases.h"

#include <dirent.h>
#include <errno.h>

#define BIG (5u * MIOC_CHUNK_MAX + 77u)

static void stat_of_each_shape_equals_the_kernels(void **state)
{
    static const char *const names[] = { "file.py", "dir", "link", "missing", "file.py/x", "file.py/", "dir/", "loop" };
    struct mioc_resolver *r = new_resolver();

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *path = at(names[i]);
        struct mioc_resolved out;
        const struct mioc_stat_record *record;
        struct stat st;
        int error;

        ask(r, MIOC_ITEM_STAT, path);
        out = next_of(r, MIOC_ITEM_STAT, path);
        record = (const void *)out.item;
        error = lstat(path, &st) == 0 ? 0 : errno;
        assert_int_equal(record->lstat_errno, error);
        if (error == 0) {
            assert_int_equal(record->lstat.ino, st.st_ino);
            assert_int_equal(record->lstat.mode, st.st_mode);
            assert_int_equal(record->lstat.dev, st.st_dev);
        }
        assert_int_equal(record->stat_errno, stat(path, &st) == 0 ? 0 : errno);
        mioc_resolved_free(&out);
    }
    mioc_resolver_free(r, 1000000000);
}

static void link_target_is_carried(void **state)
{
    struct mioc_resolver *r = new_resolver();
    struct mioc_resolved out;
    const struct mioc_stat_record *record;

    (void)state;
    ask(r, MIOC_ITEM_STAT, at("link"));
    out = next_of(r, MIOC_ITEM_STAT, at("link"));
    record = (const void *)out.item;
    assert_int_equal(record->link_errno, 0);
    assert_string_equal(record->path + record->item.path_len + 1, "file.py");
    mioc_resolved_free(&out);
    mioc_resolver_free(r, 1000000000);
}

/* The write that makes its target exist does not name it. */
static void link_to_nowhere_is_uncached(void **state)
{
    struct mioc_resolver *r = new_resolver();
    struct mioc_resolved out;

    (void)state;
    ask(r, MIOC_ITEM_STAT, at("dangling"));
    out = next_of(r, MIOC_ITEM_STAT, at("dangling"));
    assert_true(out.item->flags & MIOC_FLAG_UNCACHED);
    mioc_resolved_free(&out);
    mioc_resolver_free(r, 1000000000);
}

static void listing_has_every_name_and_finds_it(void **state)
{
    struct mioc_resolver *r = new_resolver();
    struct mioc_resolved out;
    const struct mioc_list_record *list;
    unsigned count = 0;
    struct dirent *entry;
    DIR *dir = opendir(top);

    (void)state;
    ask(r, MIOC_ITEM_LIST, top);
    out = next_of(r, MIOC_ITEM_LIST, top);
    list = (const void *)out.item;
    assert_int_equal(list->list_errno, 0);
    for (; (entry = readdir(dir)) != NULL; count++) {
        const struct mioc_dirent *found = mioc_list_find(list, entry->d_name, (uint32_t)strlen(entry->d_name));

        assert_non_null(found);
        assert_int_equal(found->ino, entry->d_ino);
        assert_int_equal(found->type, entry->d_type);
    }
    closedir(dir);
    assert_int_equal(list->count, count);
    assert_null(mioc_list_find(list, "nothing", 7));
    mioc_resolved_free(&out);
    mioc_resolver_free(r, 1000000000);
}

/* Takes chunks and record of a content and compares them with the file's bytes. */
static void expect_content(struct mioc_resolver *r, const char *path, const char *bytes, size_t size)
{
    char *got = calloc(1, size + 1);
    uint32_t content = 0;
    size_t have = 0;

    for (;;) {
        struct mioc_resolved out = next(r);

        if (out.item->kind == MIOC_ITEM_CHUNK) {
            const struct mioc_chunk_record *chunk = (const void *)out.item;

            assert_int_equal(chunk->total, size);
            assert_true(chunk->offset + chunk->length <= size);
            memcpy(got + chunk->offset, out.bytes, chunk->length);
            have += chunk->length;
            content = chunk->content;
        } else if (out.item->kind == MIOC_ITEM_CONTENT && strcmp(mioc_item_path(out.item), path) == 0) {
            const struct mioc_content_record *record = (const void *)out.item;

            assert_int_equal(record->item.flags, 0);
            assert_int_equal(record->open_errno, 0);
            assert_int_equal(record->size, size);
            if (size > 0)
                assert_int_equal(record->content, content);
            mioc_resolved_free(&out);
            break;
        }
        mioc_resolved_free(&out);
    }
    assert_int_equal(have, size);
    assert_memory_equal(got, bytes, size);
    free(got);
}

static void content_comes_whole_before_its_record(void **state)
{
    static const size_t sizes[] = { 0, 1, 4096, MIOC_CHUNK_MAX, MIOC_CHUNK_MAX + 1, BIG };
    struct mioc_resolver *r = new_resolver();
    char *bytes = malloc(BIG);

    (void)state;
    for (size_t i = 0; i < BIG; i++)
        bytes[i] = (char)(i * 2654435761u >> 13);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        put("content", bytes, sizes[i]);
        ask(r, MIOC_ITEM_CONTENT, at("content"));
        expect_content(r, at("content"), bytes, sizes[i]);
    }
    free(bytes);
    mioc_resolver_free(r, 1000000000);
}

static void content_beyond_the_room_is_uncached(void **state)
{
    struct mioc_resolver *r = new_resolver();
    struct mioc_resolved out;

    (void)state;
    room = 3;
    ask(r, MIOC_ITEM_CONTENT, at("file.py"));
    out = next_of(r, MIOC_ITEM_CONTENT, at("file.py"));
    assert_int_equal(out.item->flags, MIOC_FLAG_UNCACHED);
    mioc_resolved_free(&out);
    mioc_resolver_free(r, 1000000000);
}

static void directory_as_content_is_uncached(void **state)
{
    struct mioc_resolver *r = new_resolver();
    struct mioc_resolved out;

    (void)state;
    ask(r, MIOC_ITEM_CONTENT, at("dir"));
    out = next_of(r, MIOC_ITEM_CONTENT, at("dir"));
    assert_int_equal(out.item->flags, MIOC_FLAG_UNCACHED);
    mioc_resolved_free(&out);
    mioc_resolver_free(r, 1000000000);
}

static void python_source_brings_its_bytecode(void **state)
{
    struct mioc_resolver *r = new_resolver();
    struct mioc_resolved out;
    char path[512];

    (void)state;
    speculates = 1;
    ask(r, MIOC_ITEM_CONTENT, at("__pycache__/other.cpython-311.pyc")); /* shows how bytecode is named here */
    out = next_of(r, MIOC_ITEM_CONTENT, at("__pycache__/other.cpython-311.pyc"));
    mioc_resolved_free(&out);
    ask(r, MIOC_ITEM_STAT, at("file.py"));
    snprintf(path, sizeof path, "%s", at("__pycache__/file.cpython-311.pyc"));
    expect_content(r, path, "bytecode", 8);
    speculates = 0;
    mioc_resolver_free(r, 1000000000);
}

static void answer_that_waits_when_a_write_comes_is_made_again(void **state)
{
    struct mioc_resolver *r = new_resolver();
    struct mioc_resolved out;
    const struct mioc_stat_record *record;
    const char *path = at("written.py");

    (void)state;
    unlink(path);
    ask(r, MIOC_ITEM_STAT, path);
    while (__atomic_load_n(&ready_count, __ATOMIC_RELAXED) == 0)
        nanosleep(&(struct timespec){ 0, 100000 }, NULL);
    put("written.py", "x", 1);
    mioc_resolver_invalidate(r, path, (uint32_t)strlen(path), 0, 0);
    out = next_of(r, MIOC_ITEM_STAT, path);
    record = (const void *)out.item;
    assert_int_equal(record->lstat_errno, 0);
    assert_int_equal(record->lstat.size, 1);
    mioc_resolved_free(&out);
    mioc_resolver_free(r, 1000000000);
}

/* A write to file.py would not be known to concern "link/": the link is known by its own name only. */
static void slash_behind_a_link_to_no_folder_is_not_shared(void **state)
{
    struct mioc_resolver *r = new_resolver();

    (void)state;
    assert_int_equal(flags_of(r, MIOC_ITEM_STAT, at("link/")), MIOC_FLAG_UNCACHED);
    assert_int_equal(flags_of(r, MIOC_ITEM_LIST, at("link/")), MIOC_FLAG_UNCACHED);
    assert_int_equal(flags_of(r, MIOC_ITEM_STAT, at("dir/")), 0);
    assert_int_equal(flags_of(r, MIOC_ITEM_STAT, at("file.py/")), 0);
    mioc_resolver_free(r, 1000000000);
}

static void access_sums_follow_from_single_rights(void **state)
{
    struct mioc_resolver *r = new_resolver();
    struct mioc_resolved out;
    const struct mioc_access_record *record;

    (void)state;
    chmod(at("file.py"), 0644);
    ask(r, MIOC_ITEM_ACCESS, at("file.py"));
    out = next_of(r, MIOC_ITEM_ACCESS, at("file.py"));
    record = (const void *)out.item;
    for (int mode = 0; mode < 8; mode++)
        assert_int_equal(record->err[mode], access(at("file.py"), mode) == 0 ? 0 : errno);
    mioc_resolved_free(&out);
    mioc_resolver_free(r, 1000000000);
}

/* By it the root knows whom a write to the directory concerns (aliases.h). */
static void listing_by_a_link_says_where_it_is_first(void **state)
{
    struct mioc_resolver *r = new_resolver();
    const struct mioc_realpath_record *real;
    struct mioc_resolved out;

    (void)state;
    assert_int_equal(symlink("dir", at("dir_link")), 0);
    ask(r, MIOC_ITEM_LIST, at("dir_link"));
    out = next(r);
    assert_int_equal(out.item->kind, MIOC_ITEM_REALPATH);
    assert_string_equal(mioc_item_path(out.item), at("dir_link"));
    real = (const void *)out.item;
    assert_string_equal(real->path + real->item.path_len + 1, at("dir"));
    mioc_resolved_free(&out);
    out = next(r);
    assert_int_equal(out.item->kind, MIOC_ITEM_LIST);
    mioc_resolved_free(&out);
    ask(r, MIOC_ITEM_LIST, at("dir/"));
    out = next(r);
    assert_int_equal(out.item->kind, MIOC_ITEM_LIST);
    mioc_resolved_free(&out);
    /* Rights by a link: what it leads to comes with them. */
    ask(r, MIOC_ITEM_ACCESS, at("dir_link"));
    out = next_of(r, MIOC_ITEM_STAT, at("dir_link"));
    mioc_resolved_free(&out);
    out = next_of(r, MIOC_ITEM_ACCESS, at("dir_link"));
    mioc_resolved_free(&out);
    assert_int_equal(unlink(at("dir_link")), 0);
    mioc_resolver_free(r, 1000000000);
}

/* "" if the next item is none about where that name leads. */
static const char *next_leads_to(struct mioc_resolver *r, const char *path, uint32_t *flags)
{
    static char text[PATH_MAX];
    struct mioc_resolved out = next(r);
    const struct mioc_realpath_record *real = (const void *)out.item;

    text[0] = '\0';
    *flags = out.item->flags;
    if (out.item->kind == MIOC_ITEM_REALPATH && strcmp(mioc_item_path(out.item), path) == 0)
        (void)snprintf(text, sizeof text, "%s", real->path + real->item.path_len + 1);
    mioc_resolved_free(&out);
    return text;
}

static void drop_next_of(struct mioc_resolver *r, unsigned kind, const char *path)
{
    struct mioc_resolved out = next_of(r, kind, path);

    mioc_resolved_free(&out);
}

/* Seen: l/d was listed, and so l/d known to lead elsewhere, not l. Its own listing was doubted, so not read. Then a
 * write to the other name of l/file did not end what was said of l/file, for good. */
static void answer_below_a_link_says_where_it_leads_first(void **state)
{
    static const unsigned kinds[] = { MIOC_ITEM_STAT, MIOC_ITEM_CONTENT, MIOC_ITEM_ACCESS };
    char link[PATH_MAX], below[PATH_MAX], deep[PATH_MAX], target[PATH_MAX];
    struct mioc_resolver *r = new_doubting_resolver(60000000000, 60000000000);
    uint32_t flags;

    (void)state;
    (void)snprintf(target, sizeof target, "%s", at("dir"));
    (void)snprintf(link, sizeof link, "%s", at("way"));
    (void)snprintf(below, sizeof below, "%s", at("way/in.py"));
    (void)snprintf(deep, sizeof deep, "%s", at("way/other"));
    assert_int_equal(symlink("dir", link), 0);
    mioc_resolver_invalidate(r, deep, (uint32_t)strlen(deep), 0, 1);
    assert_true(is_brief(flags_of(r, MIOC_ITEM_LIST, link))); /* not read */
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        ask(r, kinds[i], below);
        assert_string_equal(next_leads_to(r, link, &flags), target);
        assert_int_equal(flags, MIOC_FLAG_BY_LINK);
        drop_next_of(r, kinds[i], below);
    }
    /* Where a link led when another node wrote it is said, too, but counts for nobody else. */
    mioc_resolver_invalidate(r, link, (uint32_t)strlen(link), 0, 1);
    ask(r, MIOC_ITEM_ACCESS, below);
    assert_string_equal(next_leads_to(r, link, &flags), target);
    assert_true(is_brief(flags));
    drop_next_of(r, MIOC_ITEM_ACCESS, below);
    ask(r, MIOC_ITEM_ACCESS, at("dir/in.py"));
    assert_string_equal(next_leads_to(r, target, &flags), "");
    assert_int_equal(unlink(link), 0);
    mioc_resolver_free(r, 1000000000);
}

/* Seen: stat("way/") and stat("way/in/..") went on saying for good what they had said before a chmod("dir"). */
static void directory_by_a_link_says_where_it_leads_first(void **state)
{
    static const unsigned kinds[] = { MIOC_ITEM_STAT, MIOC_ITEM_ACCESS, MIOC_ITEM_LIST };
    static const char *const names[] = { "way/", "way/in/..", "way/./", "dir/../way/", "way/in/../." };
    char link[PATH_MAX], target[PATH_MAX];
    uint32_t flags;

    (void)state;
    (void)snprintf(target, sizeof target, "%s", at("dir"));
    (void)snprintf(link, sizeof link, "%s", at("way"));
    assert_int_equal(symlink("dir", link) | mkdir(at("dir/in"), 0700), 0);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
            struct mioc_resolver *r = new_resolver();
            struct mioc_aliases *aliases = mioc_aliases_new();
            struct mioc_resolved out;
            char other[MIOC_PATH_MAX];
            const char *name;
            uint32_t len;

            ask(r, kinds[i], at(names[k]));
            out = next(r);
            assert_int_equal(mioc_aliases_learn(aliases, out.item, &name, &len), 1);
            assert_int_equal(mioc_aliases_next(aliases, 0, target, 0, other), strlen(link));
            assert_string_equal(other, link);
            mioc_resolved_free(&out);
            out = next_of(r, kinds[i], at(names[k]));
            flags = out.item->flags;
            assert_int_equal(flags, MIOC_FLAG_BY_LINK);
            mioc_resolved_free(&out);
            mioc_aliases_free(aliases);
            mioc_resolver_free(r, 1000000000);
        }
    assert_int_equal(unlink(link) | rmdir(at("dir/in")), 0);
}

/* By its mark a process that doubts the other names of a file knows that this is such a name. */
static void record_that_a_link_leads_to_is_marked(void **state)
{
    static const struct {
        unsigned kind;
        const char *name;
        int is_marked;
    } table[] = {
        { MIOC_ITEM_STAT, "dir/in.py", 0 },     { MIOC_ITEM_STAT, "way/in.py", 1 },
        { MIOC_ITEM_CONTENT, "dir/in.py", 0 },  { MIOC_ITEM_CONTENT, "way/in.py", 1 },
        { MIOC_ITEM_ACCESS, "dir/in.py", 0 },   { MIOC_ITEM_ACCESS, "way/in.py", 1 },
        { MIOC_ITEM_REALPATH, "dir/in.py", 0 }, { MIOC_ITEM_REALPATH, "way/in.py", 1 },
        { MIOC_ITEM_LIST, "dir", 0 },           { MIOC_ITEM_LIST, "way", 1 },
        { MIOC_ITEM_STAT, "dir/none", 0 },      { MIOC_ITEM_STAT, "way/none", 1 },
        { MIOC_ITEM_STAT, "none/none", 1 }, /* a link that leads nowhere may be on the way */
        { MIOC_ITEM_LIST, "none", 1 },          { MIOC_ITEM_STAT, "file.py", 0 },
        { MIOC_ITEM_STAT, "link", 1 },          { MIOC_ITEM_CONTENT, "link", 1 },
        { MIOC_ITEM_ACCESS, "link", 1 },        { MIOC_ITEM_REALPATH, "link", 1 },
        { MIOC_ITEM_STAT, "way/", 1 },          { MIOC_ITEM_STAT, "dir/", 0 },
    };
    struct mioc_resolver *r = new_resolver();

    (void)state;
    put("dir/in.py", "x", 1);
    assert_int_equal(symlink("dir", at("way")), 0);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (flags_of(r, table[i].kind, at(table[i].name)) != (table[i].is_marked ? MIOC_FLAG_BY_LINK : 0))
            fail_msg("kind %u of %s", table[i].kind, table[i].name);
    assert_int_equal(unlink(at("way")) | unlink(at("dir/in.py")), 0);
    mioc_resolver_free(r, 1000000000);
}

/* A listing that waits or is known spares the look at the folder: it says by its own mark how it was reached. */
static void known_listing_hands_its_mark_down(void **state)
{
    struct mioc_resolver *r = new_resolver();
    struct mioc_resolved list;

    (void)state;
    assert_int_equal(symlink("dir", at("way")), 0);
    for (int is_marked = 0; is_marked < 2; is_marked++) {
        ask(r, MIOC_ITEM_LIST, at(is_marked ? "way" : "dir"));
        list = next_of(r, MIOC_ITEM_LIST, at(is_marked ? "way" : "dir")); /* in hand until it is freed */
        assert_int_equal(flags_of(r, MIOC_ITEM_STAT, at(is_marked ? "way/in.py" : "dir/in.py")),
                         is_marked ? MIOC_FLAG_BY_LINK : 0);
        mioc_resolved_free(&list);
    }
    assert_int_equal(unlink(at("way")), 0);
    mioc_resolver_free(r, 1000000000);
}

static void realpath_resolves_links(void **state)
{
    struct mioc_resolver *r = new_resolver();
    struct mioc_resolved out;
    const struct mioc_realpath_record *record;
    char *expected = realpath(at("link"), NULL);

    (void)state;
    ask(r, MIOC_ITEM_REALPATH, at("link"));
    out = next_of(r, MIOC_ITEM_REALPATH, at("link"));
    record = (const void *)out.item;
    assert_string_equal(record->path + record->item.path_len + 1, expected);
    free(expected);
    mioc_resolved_free(&out);
    mioc_resolver_free(r, 1000000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stat_of_each_shape_equals_the_kernels),
        cmocka_unit_test(link_target_is_carried),
        cmocka_unit_test(link_to_nowhere_is_uncached),
        cmocka_unit_test(listing_has_every_name_and_finds_it),
        cmocka_unit_test(content_comes_whole_before_its_record),
        cmocka_unit_test(content_beyond_the_room_is_uncached),
        cmocka_unit_test(directory_as_content_is_uncached),
        cmocka_unit_test(python_source_brings_its_bytecode),
        cmocka_unit_test(answer_that_waits_when_a_write_comes_is_made_again),
        cmocka_unit_test(slash_behind_a_link_to_no_folder_is_not_shared),
        cmocka_unit_test(access_sums_follow_from_single_rights),
        cmocka_unit_test(listing_by_a_link_says_where_it_is_first),
        cmocka_unit_test(answer_below_a_link_says_where_it_leads_first),
        cmocka_unit_test(directory_by_a_link_says_where_it_leads_first),
        cmocka_unit_test(record_that_a_link_leads_to_is_marked),
        cmocka_unit_test(known_listing_hands_its_mark_down),
        cmocka_unit_test(realpath_resolves_links),
    };

    return cmocka_run_group_tests_name("resolver", tests, set_up, remove_folder);
}
