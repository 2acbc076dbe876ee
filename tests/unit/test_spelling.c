/* SPDX-License-Identifier: BSD-3-Clause */
/* test_spelling.c - a write by any spelling ends what is known by any other: in the store, on hold, under way at the
 * root, waiting there. */
#include "folder_fixture.h"
#include "store_fixture.h"

#include "resolver/recent.h"
#include "resolver/resolver.h"
#include "base/path.h"

#include <pthread.h>

#define DELAY \
    { \
        0, 200000 \
    }

/* What is asked, of the folder `dir` in which something is written, and of the file `dir/new` that it is. */
static const char *const of_folder[] = { "dir",          "dir/",         "dir/../dir",         "dir/../dir/",
                                         "dir/other/..", "other/../dir", "dir/other/../../dir" };
static const char *const of_file[] = { "dir/new", "dir/../dir/new", "dir/other/../new", "other/../dir/new",
                                       "dir/new/" };
/* By what names it is written. */
static const char *const written[] = { "dir/new", "dir/new/", "dir/../dir/new", "other/../dir/other/../new" };

#define EACH(i, table) (size_t i = 0; i < sizeof(table) / sizeof *(table); i++)

/* --- The store --------------------------------------------------------------------------------------------------- */

static const char *key(const char *name)
{
    static char out[4][128];
    static unsigned turn;

    snprintf(out[++turn % 4], 128, "/lib/%s", name);
    return out[turn % 4];
}

static void append_everything(struct mioc_store *s)
{
    for
        EACH(i, of_folder)
    append_all(s, key(of_folder[i]));
    for
        EACH(i, of_file)
    append_all(s, key(of_file[i]));
}

static void expect_gone(struct mioc_store *s, const char *by)
{
    const unsigned of_names = 1u << MIOC_ITEM_STAT | 1u << MIOC_ITEM_LIST;

    for
        EACH(i, of_folder)
    if (found(s, key(of_folder[i])) & of_names)
        fail_msg("%s was written, and %s is found", by, of_folder[i]);
    for
        EACH(i, of_file)
    if (found(s, key(of_file[i])) != 0)
        fail_msg("%s was written, and %s is found", by, of_file[i]);
}

static void invalidation_reaches_every_spelling(void **state)
{
    struct mioc_store *s = *state;

    for
        EACH(w, written)
        {
            append_everything(s);
        for
            EACH(i, of_folder)
        assert_int_not_equal(found(s, key(of_folder[i])), 0);
        mioc_store_append(s, invalidation(0, key(written[w]), 1, 1));
        expect_gone(s, written[w]);
        }
}

static void hold_reaches_every_spelling(void **state)
{
    struct mioc_store *s = *state;

    mioc_store_set_node(s, 3);
    for
        EACH(w, written)
        {
            append_everything(s);
            assert_int_equal(mioc_store_hold(s, key(written[w]), (uint32_t)strlen(key(written[w])), 0, w + 1), 0);
            expect_gone(s, written[w]);
            append_everything(s);
            expect_gone(s, written[w]);
            mioc_store_append(s,
                              invalidation(0, key(written[(w + 1) % 4]), 3, w + 1)); /* lifted, whatever it is called */
            append_everything(s);
            assert_int_not_equal(found(s, key("dir/")), 0);
            assert_int_not_equal(found(s, key("dir/new")), 0);
        }
}

/* "/lib/a/../x" is not there where /lib/a is not, nor where it is a file. */
static void what_a_path_leaves_again_concerns_it(void **state)
{
    static const struct {
        const char *path, *written;
        uint32_t flags;
        int is_found;
    } table[] = {
        { "a/../x", "a", 0, 0 },
        { "a/../x", "a/", 0, 0 },
        { "a/../x", "a/y", MIOC_FLAG_SUBTREE, 1 },
        { "a/../x", "b", MIOC_FLAG_SUBTREE, 1 },
        { "a/b/../../x", "a", 0, 0 },
        { "a/b/../../x", "a/b", 0, 0 },
        { "a/b/../c/../../x", "a/c", 0, 0 },
        { "b/a/../x", "b", 0, 1 },
        { "b/a/../x", "b", MIOC_FLAG_SUBTREE, 0 },
        { "a/../../lib/x", "../lib", MIOC_FLAG_SUBTREE, 0 },
        { "a/..", "a", 0, 0 },
    };
    struct mioc_store *s = *state;
    uint64_t token = 0;

    mioc_store_set_node(s, 3);
    for
        EACH(i, table)
    for (int is_hold = 0; is_hold < 2; is_hold++) {
        const char *path = key(table[i].path), *by = key(table[i].written);
        struct mioc_recent *r = mioc_recent_new();

        append_all(s, path);
        mioc_recent_add(r, by, (uint32_t)strlen(by), table[i].flags, 100);
        if (is_hold) {
            assert_int_equal(mioc_store_hold(s, by, (uint32_t)strlen(by), table[i].flags != 0, ++token), 0);
            append_all(s, path);
        } else {
            mioc_store_append(s, invalidation(table[i].flags, by, 1, 1));
        }
        if ((lookup(s, MIOC_ITEM_CONTENT, path) != NULL) != table[i].is_found)
            fail_msg("%s, %s written, hold %d", path, by, is_hold);
        if ((mioc_recent_doubt(r, MIOC_ITEM_CONTENT, path, (uint32_t)strlen(path), 100, 10, 100) == 0) !=
            table[i].is_found)
            fail_msg("%s, %s written lately", path, by);
        if (is_hold)
            mioc_store_append(s, invalidation(table[i].flags, by, 3, token));
        mioc_recent_free(r);
    }
}

/* --- The root ---------------------------------------------------------------------------------------------------- */

static int are_ready, is_reading; /* 1: a look has begun and waits, 2: it may go on; atomic */

static void ready(void *ctx)
{
    (void)ctx;
    __atomic_store_n(&are_ready, 1, __ATOMIC_RELEASE);
}

static int is_known(void *ctx, unsigned kind, const char *path, uint32_t len)
{
    (void)ctx, (void)kind, (void)path, (void)len;
    return 0;
}

static int may_speculate(void *ctx, const char *path, uint32_t len)
{
    (void)ctx, (void)path, (void)len;
    return 0;
}

static int reserve(void *ctx, uint64_t bytes, int may_evict)
{
    int none = 0;

    (void)ctx, (void)bytes, (void)may_evict;
    if (__atomic_compare_exchange_n(&is_reading, &none, 1, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        while (__atomic_load_n(&is_reading, __ATOMIC_ACQUIRE) != 2)
            nanosleep(&(struct timespec)DELAY, NULL);
    return 0;
}

static struct mioc_resolver *new_resolver(void)
{
    const struct mioc_resolver_config config = { .threads = 1,
                                                 .max_file = 1u << 20,
                                                 .ready = ready,
                                                 .is_known = is_known,
                                                 .reserve = reserve,
                                                 .may_speculate = may_speculate };
    struct mioc_resolver *r = mioc_resolver_new(&config);

    assert_non_null(r);
    return r;
}

/* The next answer of that kind, whose memory is the caller's. */
static struct mioc_resolved answer(struct mioc_resolver *r, unsigned kind)
{
    struct mioc_resolved out;

    for (int i = 0; i < 50000; i++) {
        if (!mioc_resolver_take(r, &out))
            nanosleep(&(struct timespec)DELAY, NULL);
        else if (out.item->kind == kind)
            return out;
        else
            mioc_resolved_free(&out);
    }
    fail_msg("no answer");
    abort();
}

static void answer_that_waits_is_made_again(void **state)
{
    (void)state;
    for
        EACH(w, written)
        for
            EACH(i, of_folder)
            {
                struct mioc_resolver *r = new_resolver();
                struct mioc_resolved out;

                unlink(at("dir/new"));
                __atomic_store_n(&are_ready, 0, __ATOMIC_RELEASE);
                assert_int_equal(
                    mioc_resolver_ask(r, MIOC_ITEM_LIST, at(of_folder[i]), (uint32_t)strlen(at(of_folder[i]))), 0);
                while (!__atomic_load_n(&are_ready, __ATOMIC_ACQUIRE))
                    nanosleep(&(struct timespec)DELAY, NULL);
                put("dir/new", "x", 1);
                mioc_resolver_invalidate(r, at(written[w]), (uint32_t)strlen(at(written[w])), 0, 0);
                out = answer(r, MIOC_ITEM_LIST);
                if (mioc_list_find((const void *)out.item, "new", 3) == NULL)
                    fail_msg("%s was written, %s does not have it", written[w], of_folder[i]);
                mioc_resolved_free(&out);
                mioc_resolver_free(r, 1000000000);
            }
}

static void answer_that_is_being_made_is_made_again(void **state)
{
    (void)state;
    for
        EACH(w, written)
    for (size_t i = 0; i < sizeof of_file / sizeof *of_file - 1; i++) { /* the last one cannot be opened */
        struct mioc_resolver *r = new_resolver();
        struct mioc_resolved out;

        put("dir/new", "x", 1);
        __atomic_store_n(&is_reading, 0, __ATOMIC_RELEASE);
        assert_int_equal(mioc_resolver_ask(r, MIOC_ITEM_CONTENT, at(of_file[i]), (uint32_t)strlen(at(of_file[i]))), 0);
        while (__atomic_load_n(&is_reading, __ATOMIC_ACQUIRE) != 1)
            nanosleep(&(struct timespec)DELAY, NULL);
        put("dir/new", "another one", 11);
        mioc_resolver_invalidate(r, at(written[w]), (uint32_t)strlen(at(written[w])), 0, 0);
        __atomic_store_n(&is_reading, 2, __ATOMIC_RELEASE);
        out = answer(r, MIOC_ITEM_CONTENT);
        if (((const struct mioc_content_record *)(const void *)out.item)->size != 11)
            fail_msg("%s was written, %s is as it was before", written[w], of_file[i]);
        mioc_resolved_free(&out);
        mioc_resolver_free(r, 1000000000);
    }
}

/* Who writes dir/target writes by a name that has nothing to do with link/../target's. */
static void path_that_leaves_a_link_is_not_shared(void **state)
{
    static const struct {
        const char *path;
        uint32_t flags;
    } table[] = {
        { "link/../target", MIOC_FLAG_UNCACHED },
        { "link/..", MIOC_FLAG_UNCACHED },
        { "link/../../top", MIOC_FLAG_UNCACHED },
        { "dir/../dir/target", 0 },
        { "dir/inner/../target", 0 },
        { "link/deep/../x", MIOC_FLAG_BY_LINK },
        { "none/../target", MIOC_FLAG_BY_LINK },
        { "dir/target/../x", MIOC_FLAG_BY_LINK },
        { "link/../none", MIOC_FLAG_UNCACHED },
    };
    struct mioc_resolver *r;

    (void)state;
    mkdir(at("dir/inner"), 0755);
    mkdir(at("dir/inner/deep"), 0755);
    put("dir/target", "x", 1);
    assert_int_equal(symlink("dir/inner", at("link")), 0);
    r = new_resolver();
    for
        EACH(i, table)
        {
            struct mioc_resolved out;

            assert_int_equal(
                mioc_resolver_ask(r, MIOC_ITEM_STAT, at(table[i].path), (uint32_t)strlen(at(table[i].path))), 0);
            out = answer(r, MIOC_ITEM_STAT);
            if (out.item->flags != table[i].flags)
                fail_msg("%s: flags %x", table[i].path, out.item->flags);
            mioc_resolved_free(&out);
        }
    mioc_resolver_free(r, 1000000000);
}

static int make_folder(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(top));
    mkdir(at("dir"), 0755);
    mkdir(at("dir/other"), 0755);
    return mkdir(at("other"), 0755);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(invalidation_reaches_every_spelling, make_store, remove_store),
        cmocka_unit_test_setup_teardown(hold_reaches_every_spelling, make_store, remove_store),
        cmocka_unit_test_setup_teardown(what_a_path_leaves_again_concerns_it, make_store, remove_store),
        cmocka_unit_test(answer_that_waits_is_made_again),
        cmocka_unit_test(answer_that_is_being_made_is_made_again),
        cmocka_unit_test(path_that_leaves_a_link_is_not_shared),
    };

    return cmocka_run_group_tests_name("spelling", tests, make_folder, remove_folder);
}
