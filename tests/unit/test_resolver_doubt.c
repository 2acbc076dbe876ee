/* SPDX-License-Identifier: BSD-3-Clause */
/* test_resolver_doubt.c - what another node wrote: until client_most_ns have passed, looks of the root do not count. */
#include "resolver_fixture.h"

static void answer_about_what_another_node_wrote_counts_later(void **state)
{
    struct mioc_resolver *r = new_doubting_resolver(60000000000, 60000000000);

    (void)state;
    speculates = 1;
    assert_int_equal(flags_of(r, MIOC_ITEM_STAT, at("file.py")), 0);
    mioc_resolver_invalidate(r, at("file.py"), (uint32_t)strlen(at("file.py")), 0, 0); /* this node's own write */
    assert_int_equal(flags_of(r, MIOC_ITEM_STAT, at("file.py")), 0);
    mioc_resolver_invalidate(r, at("file.py"), (uint32_t)strlen(at("file.py")), 0, 1);
    for (unsigned kind = MIOC_ITEM_STAT; kind <= MIOC_ITEM_REALPATH; kind++)
        assert_true(is_brief(flags_of(r, kind, at("file.py"))));
    assert_true(is_brief(flags_of(r, MIOC_ITEM_LIST, top)));
    assert_true(is_brief(flags_of(r, MIOC_ITEM_STAT, top)));
    assert_int_equal(flags_of(r, MIOC_ITEM_ACCESS, top), 0);
    assert_int_equal(flags_of(r, MIOC_ITEM_STAT, at("dir")), 0);
    assert_int_equal(flags_of(r, MIOC_ITEM_STAT, at("missing")), 0); /* nor does it bring a listing that counts */
    speculates = 0;
    mioc_resolver_free(r, 1000000000);
}

/* The manifest's content was asked, its STAT comes with it; a listing comes with a missing name. */
static void answers_that_come_along_are_doubted_too(void **state)
{
    struct mioc_resolver *r = new_doubting_resolver(60000000000, 60000000000);
    struct mioc_resolved out;

    (void)state;
    speculates = 1;
    mioc_resolver_invalidate(r, at("new"), (uint32_t)strlen(at("new")), 0, 1);
    ask(r, MIOC_ITEM_STAT, at("missing"));
    out = next_of(r, MIOC_ITEM_LIST, top);
    assert_true(is_brief(out.item->flags));
    mioc_resolved_free(&out);
    speculates = 0;
    mioc_resolver_free(r, 1000000000);
}

static void what_waits_when_another_node_writes_is_doubted(void **state)
{
    struct mioc_resolver *r = new_doubting_resolver(60000000000, 60000000000);
    struct mioc_resolved out;
    int before = __atomic_load_n(&ready_count, __ATOMIC_RELAXED);

    (void)state;
    ask(r, MIOC_ITEM_CONTENT, at("file.py"));
    while (__atomic_load_n(&ready_count, __ATOMIC_RELAXED) == before)
        nanosleep(&(struct timespec){ 0, 100000 }, NULL);
    mioc_resolver_invalidate(r, at("file.py"), (uint32_t)strlen(at("file.py")), 0, 1);
    out = next_of(r, MIOC_ITEM_CONTENT, at("file.py"));
    assert_true(is_brief(out.item->flags));
    mioc_resolved_free(&out);
    mioc_resolver_free(r, 1000000000);
}

/* Where a link leads is known to who writes only when the link is. */
static void link_that_was_looked_at_before_a_write_is_asked_for_again(void **state)
{
    struct mioc_resolver *r = new_resolver();
    struct mioc_resolved out;

    (void)state;
    for (int is_written = 0; is_written < 2; is_written++) {
        int before = __atomic_load_n(&ready_count, __ATOMIC_RELAXED);

        ask(r, MIOC_ITEM_STAT, at("link"));
        while (__atomic_load_n(&ready_count, __ATOMIC_RELAXED) == before)
            nanosleep(&(struct timespec){ 0, 100000 }, NULL);
        if (is_written)
            mioc_resolver_invalidate(r, at("file.py"), (uint32_t)strlen(at("file.py")), 0, 0);
        out = next_of(r, MIOC_ITEM_STAT, at("link"));
        assert_int_equal(out.item->flags, MIOC_FLAG_BY_LINK);
        mioc_resolved_doubt(&out);
        assert_int_equal((out.item->flags & MIOC_FLAG_BRIEF) != 0, is_written);
        assert_int_equal(mioc_item_check(out.item, out.item->size), 0);
        mioc_resolved_free(&out);
    }
    mioc_resolver_free(r, 1000000000);
}

/* The root's kernel may show from before another node's write where a link leads, though the look began after it. */
static void link_that_becomes_known_after_another_nodes_write_is_asked_for_again(void **state)
{
    struct mioc_resolver *r = new_doubting_resolver(60000000000, 60000000000);

    (void)state;
    for (int is_written = 0; is_written < 2; is_written++) {
        struct mioc_resolved out;

        if (is_written)
            mioc_resolver_invalidate(r, at("file.py"), (uint32_t)strlen(at("file.py")), 0, 1);
        ask(r, MIOC_ITEM_STAT, at("link"));
        out = next_of(r, MIOC_ITEM_STAT, at("link"));
        assert_int_equal(out.item->flags, MIOC_FLAG_BY_LINK);
        mioc_resolver_distrust(r, at("link"), (uint32_t)strlen(at("link")));
        mioc_resolved_doubt(&out);
        assert_int_equal((out.item->flags & MIOC_FLAG_BRIEF) != 0, is_written);
        assert_int_equal(mioc_item_check(out.item, out.item->size), 0);
        mioc_resolved_free(&out);
    }
    mioc_resolver_free(r, 1000000000);
}

static void doubt_has_an_end(void **state)
{
    struct mioc_resolver *r = new_doubting_resolver(50000000, 50000000);
    uint32_t flags;

    (void)state;
    mioc_resolver_invalidate(r, at("file.py"), (uint32_t)strlen(at("file.py")), 0, 1);
    for (int i = 0; (flags = flags_of(r, MIOC_ITEM_STAT, at("file.py"))) != 0; i++) {
        assert_true((flags & MIOC_FLAG_BRIEF) && i < 1000);
        nanosleep(&(struct timespec){ 0, 5000000 }, NULL);
    }
    mioc_resolver_free(r, 1000000000);
}

/* A coherent filesystem beside another one: by a link, a path can lead there. */
static void answer_of_the_prefixs_own_device_has_its_time(void **state)
{
    struct mioc_resolver *r = new_doubting_resolver(0, 60000000000);
    struct stat st;

    (void)state;
    assert_int_equal(stat(top, &st), 0);
    own_dev = st.st_dev;
    mioc_resolver_invalidate(r, top, (uint32_t)strlen(top), MIOC_FLAG_SUBTREE, 1);
    assert_int_equal(flags_of(r, MIOC_ITEM_STAT, at("file.py")), 0);
    assert_int_equal(flags_of(r, MIOC_ITEM_CONTENT, at("file.py")), 0);
    assert_int_equal(flags_of(r, MIOC_ITEM_LIST, at("dir")), 0);
    assert_true(is_brief(flags_of(r, MIOC_ITEM_STAT, at("missing"))));
    assert_true(is_brief(flags_of(r, MIOC_ITEM_ACCESS, at("file.py"))));
    own_dev = st.st_dev + 1;
    assert_true(is_brief(flags_of(r, MIOC_ITEM_STAT, at("file.py"))));
    assert_true(is_brief(flags_of(r, MIOC_ITEM_CONTENT, at("file.py"))));
    assert_true(is_brief(flags_of(r, MIOC_ITEM_LIST, at("dir"))));
    mioc_resolver_free(r, 1000000000);
}

static void link_that_becomes_known_is_distrusted_while_anything_is(void **state)
{
    struct mioc_resolver *r = new_doubting_resolver(60000000000, 60000000000);

    (void)state;
    mioc_resolver_distrust(r, at("dir"), (uint32_t)strlen(at("dir")));
    assert_int_equal(flags_of(r, MIOC_ITEM_STAT, at("dir")), 0);
    mioc_resolver_invalidate(r, "/elsewhere/x", 12, 0, 1);
    mioc_resolver_distrust(r, at("dir"), (uint32_t)strlen(at("dir")));
    assert_true(is_brief(flags_of(r, MIOC_ITEM_STAT, at("dir"))));
    assert_true(is_brief(flags_of(r, MIOC_ITEM_STAT, at("dir/below"))));
    assert_int_equal(flags_of(r, MIOC_ITEM_STAT, at("file.py")), 0);
    mioc_resolver_free(r, 1000000000);
}

/* The root's own kernel knows of its own rename, but not of what another node wrote in the folder before. */
static void folder_that_the_root_renames_takes_its_doubts_along(void **state)
{
    struct mioc_resolver *r = new_doubting_resolver(60000000000, 60000000000);

    (void)state;
    mioc_resolver_invalidate(r, at("dir"), (uint32_t)strlen(at("dir")), MIOC_FLAG_SUBTREE, 0);
    assert_int_equal(flags_of(r, MIOC_ITEM_STAT, at("dir/below")), 0);
    mioc_resolver_invalidate(r, "/old/name/x", 11, 0, 1);
    assert_int_equal(flags_of(r, MIOC_ITEM_STAT, at("dir")), 0);
    mioc_resolver_invalidate(r, "/old/name", 9, MIOC_FLAG_SUBTREE, 0);
    mioc_resolver_invalidate(r, at("dir"), (uint32_t)strlen(at("dir")), MIOC_FLAG_SUBTREE, 0);
    assert_true(is_brief(flags_of(r, MIOC_ITEM_STAT, at("dir/below"))));
    assert_true(is_brief(flags_of(r, MIOC_ITEM_LIST, at("dir"))));
    mioc_resolver_free(r, 1000000000);
}

/* --- Directories that this kernel takes for removed (resolve_dead.c) --------------------------------------------- */

static void wrote(struct mioc_resolver *r, const char *path, int is_foreign)
{
    mioc_resolver_invalidate(r, path, (uint32_t)strlen(path), MIOC_FLAG_SUBTREE, is_foreign);
}

/* A directory that is removed and by this path still opens: so a misled kernel shows one that is there. */
static const char *dead_folder(int *fd, const char *name)
{
    static char path[3][80];
    static unsigned turn;
    char *out = path[turn++ % 3];

    if (*fd < 0) {
        assert_int_equal(mkdir(at("dead"), 0700), 0);
        *fd = open(at("dead"), O_RDONLY | O_DIRECTORY);
        assert_true(*fd >= 0);
        assert_int_equal(rmdir(at("dead")), 0);
    }
    snprintf(out, sizeof path[0], "/proc/%d/fd/%d%s", (int)getpid(), *fd, name);
    return out;
}

/* Whether an answer is shared. */
static int is_shared(struct mioc_resolver *r, unsigned kind, const char *path)
{
    return !(flags_of(r, kind, path) & MIOC_FLAG_UNCACHED);
}

static void what_is_in_a_directory_that_is_taken_for_removed_is_not_shared(void **state)
{
    struct mioc_resolver *r = new_doubting_resolver(60000000000, 60000000000);
    int fd = -1;

    (void)state;
    assert_int_equal(symlink("nowhere", at("lost")), 0);
    for (int is_misled = 0; is_misled < 2; is_misled++) {
        for (unsigned kind = MIOC_ITEM_STAT; kind <= MIOC_ITEM_REALPATH; kind++) {
            assert_int_equal(is_shared(r, kind, dead_folder(&fd, "/x")), !is_misled);
            assert_int_equal(is_shared(r, kind, dead_folder(&fd, "/x/y.py")), !is_misled);
            assert_int_equal(is_shared(r, kind, at("lost/x")), !is_misled); /* it may lead to such a one */
            assert_true(is_shared(r, kind, at("missing")));
            assert_true(is_shared(r, kind, at("missing/x.py")));
            assert_true(is_shared(r, kind, at("dir/missing/../x")));
        }
        assert_int_equal(is_shared(r, MIOC_ITEM_STAT, dead_folder(&fd, "")), !is_misled);
        assert_int_equal(is_shared(r, MIOC_ITEM_LIST, dead_folder(&fd, "")), !is_misled);
        assert_true(is_shared(r, MIOC_ITEM_LIST, at("dir")));
        assert_true(is_shared(r, MIOC_ITEM_STAT, at("dir")));
        assert_true(is_shared(r, MIOC_ITEM_CONTENT, at("file.py")));
        wrote(r, "/elsewhere/b", 1);
        wrote(r, "/elsewhere/b", 0);
    }
    assert_int_equal(unlink(at("lost")), 0);
    close(fd);
    mioc_resolver_free(r, 1000000000);
}

/* This node's own writes do not meet those of others elsewhere, nor others before them that moved nothing. */
static void own_writes_alone_mislead_nobody(void **state)
{
    struct mioc_resolver *r = new_doubting_resolver(60000000000, 60000000000);
    int fd = -1;

    (void)state;
    wrote(r, "/elsewhere/b", 0);
    wrote(r, "/elsewhere/a", 1);
    wrote(r, "/elsewhere/c", 0);
    mioc_resolver_invalidate(r, "/elsewhere/d", 12, 0, 1);
    wrote(r, "/elsewhere/d", 0);
    mioc_resolver_invalidate(r, "/elsewhere/a", 12, 0, 0);
    assert_true(is_shared(r, MIOC_ITEM_STAT, dead_folder(&fd, "/x")));
    wrote(r, "/elsewhere/a/below", 0); /* what is below was moved, too */
    assert_false(is_shared(r, MIOC_ITEM_STAT, dead_folder(&fd, "/x")));
    close(fd);
    mioc_resolver_free(r, 1000000000);
}

/* The other node's write is heard of second. What was asked in between is forgotten, wherever it has been moved to. */
static void what_was_answered_before_both_writes_were_known_is_forgotten(void **state)
{
    struct mioc_resolver *r = new_doubting_resolver(60000000000, 60000000000);
    struct mioc_resolved out;
    int fd = -1;

    (void)state;
    wrote(r, "/elsewhere/moved", 0);
    wrote(r, "/elsewhere/b/c", 0);
    wrote(r, "/elsewhere/b", 1);
    assert_false(is_shared(r, MIOC_ITEM_STAT, dead_folder(&fd, "/x")));
    mioc_resolver_free(r, 1000000000);
    r = new_doubting_resolver(60000000000, 60000000000);
    wrote(r, "/elsewhere/moved", 0);
    wrote(r, "/elsewhere/b/c", 0);
    wrote(r, "/elsewhere/b", 1);
    out = next_of(r, MIOC_ITEM_INVALIDATE, "/elsewhere/moved");
    assert_int_equal(out.item->flags, MIOC_FLAG_SUBTREE);
    mioc_resolved_free(&out);
    close(fd);
    mioc_resolver_free(r, 1000000000);
}

/* This node's write is heard of when the client's time is over: answers since then were lasting. */
static void what_was_answered_before_an_own_write_was_known_is_forgotten(void **state)
{
    struct mioc_resolver *r = new_doubting_resolver(50000000, 50000000);
    struct mioc_resolved out;

    (void)state;
    wrote(r, at("dir"), 1);
    for (int i = 0; flags_of(r, MIOC_ITEM_STAT, at("dir")) != 0; i++) {
        assert_true(i < 1000);
        nanosleep(&(struct timespec){ 0, 5000000 }, NULL);
    }
    wrote(r, at("dir"), 0);
    out = next_of(r, MIOC_ITEM_INVALIDATE, at("dir"));
    assert_int_equal(out.item->flags, MIOC_FLAG_SUBTREE);
    mioc_resolved_free(&out);
    mioc_resolver_free(r, 1000000000);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(answer_about_what_another_node_wrote_counts_later),
        cmocka_unit_test(answers_that_come_along_are_doubted_too),
        cmocka_unit_test(what_waits_when_another_node_writes_is_doubted),
        cmocka_unit_test(link_that_was_looked_at_before_a_write_is_asked_for_again),
        cmocka_unit_test(link_that_becomes_known_after_another_nodes_write_is_asked_for_again),
        cmocka_unit_test(doubt_has_an_end),
        cmocka_unit_test(answer_of_the_prefixs_own_device_has_its_time),
        cmocka_unit_test(link_that_becomes_known_is_distrusted_while_anything_is),
        cmocka_unit_test(folder_that_the_root_renames_takes_its_doubts_along),
        cmocka_unit_test(what_is_in_a_directory_that_is_taken_for_removed_is_not_shared),
        cmocka_unit_test(own_writes_alone_mislead_nobody),
        cmocka_unit_test(what_was_answered_before_both_writes_were_known_is_forgotten),
        cmocka_unit_test(what_was_answered_before_an_own_write_was_known_is_forgotten),
    };

    return cmocka_run_group_tests(tests, set_up, remove_folder);
}
