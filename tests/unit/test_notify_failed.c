/* SPDX-License-Identifier: BSD-3-Clause */
/* test_notify_failed.c - what a failed call tells where the store says otherwise, and that nothing is told where it
 * does not. */
#include "client_fixture.h"

#include <sys/resource.h>

/* What is really there: below the prefix `tree`. */
static const char *there(const char *name)
{
    static char path[4][160];
    static unsigned turn;

    snprintf(path[++turn % 4], sizeof path[0], "%s/%s", tree, name);
    return path[turn % 4];
}

static void make_tree(void)
{
    assert_int_equal(mkdir(there("folder"), 0700), 0);
    assert_int_equal(mkdir(there("folder/inside"), 0700), 0);
    assert_int_equal(mkdir(there("empty"), 0700), 0);
    assert_int_equal(close(open(there("file"), O_CREAT | O_WRONLY, 0600)), 0);
    assert_int_equal(symlink("folder", there("link")), 0);
    assert_int_equal(symlink("loop", there("loop")), 0);
}

/* What a STAT says of a path: a letter for what lstat sees, and one for stat. '-' is not there, 'f'ile, 'd'irectory,
 * 'l'ink. */
static void say(const char *path, char lstat_is, char stat_is)
{
    struct mioc_stat_record *st = (void *)record(MIOC_ITEM_STAT, 0, path, 1);

    st->lstat_errno = lstat_is == '-' ? ENOENT : 0;
    st->stat_errno = stat_is == '-' ? ENOENT : 0;
    st->lstat.mode = lstat_is == 'l' ? S_IFLNK : lstat_is == 'd' ? S_IFDIR : S_IFREG;
    st->stat.mode = stat_is == 'd' ? S_IFDIR : S_IFREG;
    append(&st->item);
}

/* How many names are told of. All nodes hear of it then. */
static unsigned told_by(int error, const char *path)
{
    unsigned before = agent.writes;

    errno = error;
    mioc_client_failed(AT_FDCWD, path, 0);
    assert_int_equal(errno, error);
    assert_int_equal(agent.syncs, 0);
    mioc_client.doubts_until_ms = 0; /* what this process looks at itself is another test's */
    mioc_store_set_node(agent.store, 0);
    for (unsigned i = before; i < agent.writes; i++)
        append(invalidation(MIOC_FLAG_SUBTREE, agent.written[i % 16], 0, i + 1));
    return agent.writes - before;
}

static void answer_ends_where_kernel_and_error_say_otherwise(void **state)
{
    static const struct {
        const char *path;
        char lstat_is, stat_is;
        int error, is_told;
    } table[] = {
        { "file", '-', '-', EEXIST, 1 },
        { "file", 'f', 'f', EEXIST, 0 },
        { "file", 'd', 'd', ENOTDIR, 1 },
        { "file", 'l', 'f', EEXIST, 1 },
        { "file", '-', '-', EADDRINUSE, 1 },
        { "folder", '-', '-', EEXIST, 1 },
        { "folder", 'd', 'd', EEXIST, 0 },
        { "folder", 'f', 'f', EISDIR, 1 },
        { "folder", 'd', 'd', ENOTEMPTY, 0 },
        { "link", 'f', 'f', ELOOP, 2 },
        { "link", '-', '-', EEXIST, 2 },
        { "link", 'l', 'd', EEXIST, 0 },
        { "link", 'l', 'f', EISDIR, 2 },
        { "loop", 'f', 'f', ELOOP, 1 },
        { "gone", 'f', 'f', ENOENT, 1 },
        { "gone", 'd', 'd', ENOENT, 1 },
        { "gone", '-', '-', ENOENT, 0 },
        { "gone", 'f', 'f', ESTALE, 1 },
        /* Nothing that the store says is meant. */
        { "file", '-', '-', EACCES, 0 },
        { "file", '-', '-', EROFS, 0 },
        { "file", '-', '-', ENOSPC, 0 },
        { "file", '-', '-', EPERM, 0 },
        { "file", '-', '-', 0, 0 },
        { "file", '-', '-', EMFILE, 0 },
    };

    (void)state;
    make_tree();
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const char *path = there(table[i].path);

        say(path, table[i].lstat_is, table[i].stat_is);
        if (told_by(table[i].error, path) != (unsigned)table[i].is_told)
            fail_msg("row %zu: %s", i, table[i].path);
        if (table[i].is_told) { /* of a link, where it leads, too */
            assert_string_equal(agent.written[(agent.writes - (unsigned)table[i].is_told) % 16], path);
            assert_int_equal(agent.flags[(agent.writes - 1) % 16], MIOC_FLAG_SUBTREE);
            assert_null(lookup(agent.store, MIOC_ITEM_STAT, path)); /* here at once */
        }
        append(invalidation(0, path, 1, 1));
        assert_int_equal(told_by(table[i].error, path), 0); /* nothing is said any more */
    }
    expect_counts(MIOC_CALL_WRITE, 0, 0, 0, 0); /* the call was counted by itself, if at all */
}

static void each_kind_of_record_is_an_answer(void **state)
{
    (void)state;
    make_tree();
    for (unsigned kind = MIOC_ITEM_STAT; kind <= MIOC_ITEM_REALPATH; kind++) {
        if (kind == MIOC_ITEM_STAT || kind == MIOC_ITEM_ACCESS)
            continue;
        append(record(kind, 0, there("file"), 1)); /* ENOENT, all of them */
        if (told_by(EEXIST, there("file")) != 1)
            fail_msg("kind %u", kind);
    }
    append(listing(tree, 0755)); /* it has one name, "there" */
    assert_int_equal(told_by(EEXIST, there("folder")), 1);
    append(record(MIOC_ITEM_STAT, MIOC_FLAG_UNCACHED, there("empty"), 1));
    assert_int_equal(told_by(EEXIST, there("empty")), 0);
}

static void folder_that_is_not_empty_ends_an_empty_listing(void **state)
{
    struct mioc_list_record *list;

    (void)state;
    make_tree();
    append(listing(there("folder"), 0755));
    assert_int_equal(told_by(ENOTEMPTY, there("folder")), 0); /* it has something, whatever that is */
    for (int i = 0; i < 2; i++) {
        const char *path = there(i == 0 ? "folder" : "empty");

        list = (void *)record(MIOC_ITEM_LIST, MIOC_FLAG_UNCACHED, path, 1);
        list->item.flags = 0;
        list->list_errno = 0;
        list->entries = (uint32_t)(offsetof(struct mioc_list_record, path) + strlen(path) + 1 + 7) & ~7u;
        list->table = list->entries;
        list->table_size = 2;
        memset((char *)list + list->table, 0, 8);
        mioc_item_finish(list, (char *)list + list->table + 8);
        assert_int_equal(mioc_item_check(list, list->item.size), 0);
        append(&list->item);
        assert_int_equal(told_by(ENOTEMPTY, path), i == 0);
    }
}

static void other_spellings_are_the_same(void **state)
{
    (void)state;
    make_tree();
    say(there("folder/"), '-', '-');
    assert_int_equal(told_by(EEXIST, there("folder")), 1);
    say(there("folder"), '-', '-');
    assert_int_equal(told_by(EEXIST, there("folder/")), 1);
    say(there("link/inside"), '-', '-');
    assert_int_equal(told_by(EEXIST, there("link/inside")), 2); /* by both names */
    say(there("folder/inside"), '-', '-');
    assert_int_equal(told_by(EEXIST, there("link/inside")), 2);
    /* A file with a slash behind it is no folder, and so says "file" of the name. */
    append(with_error(MIOC_ITEM_STAT, there("file/"), ENOTDIR));
    assert_int_equal(told_by(EEXIST, there("file")), 0);
    say(there("link/"), 'd', 'd');
    assert_int_equal(told_by(EEXIST, there("link")), 0);
}

static void folders_on_the_way_are_looked_at(void **state)
{
    (void)state;
    make_tree();
    say(there("gone"), 'd', 'd');
    say(there("gone/too"), 'd', 'd');
    assert_int_equal(told_by(ENOENT, there("gone/too/name")), 1); /* a folder's STAT changes with what is in it */
    assert_null(lookup(agent.store, MIOC_ITEM_STAT, there("gone")));
    assert_null(lookup(agent.store, MIOC_ITEM_STAT, there("gone/too")));
    say(there("file"), 'd', 'd');
    assert_int_equal(told_by(ENOTDIR, there("file/name")), 1);
    say(there("loop"), 'd', 'd');
    assert_int_equal(told_by(ELOOP, there("loop/name")), 1);
    /* What is there is as it is said to be: it is the name. */
    say(there("folder"), 'd', 'd');
    assert_int_equal(told_by(ENOENT, there("folder/none")), 0);
    assert_int_equal(told_by(EEXIST, there("folder/none")), 0);
    say(there("folder/inside"), 'f', 'f');
    assert_int_equal(told_by(EEXIST, there("folder/inside/below")), 0); /* not about what is above */
}

static int is_served(const char *path)
{
    return mioc_client_begin(&q, MIOC_CALL_STAT, AT_FDCWD, path) && q.kind != MIOC_POLICY_NONE;
}

static void wrote(int error, const char *path)
{
    errno = error;
    mioc_client_failed(AT_FDCWD, path, 1);
    assert_int_equal(errno, error);
}

/* An answer from before may be under way. */
static void process_looks_itself_at_what_nothing_is_known_of(void **state)
{
    static const struct {
        const char *name;
        int is_served;
    } table[] = {
        { "folder/inside", 0 },
        { "folder/inside/", 0 },
        { "folder/inside/below/x", 0 },
        { "folder", 0 },
        { "folder/", 0 },
        { "folder/../folder/inside", 0 },
        { "link/inside", 1 },
        { "folder/inside2", 1 },
        { "folder/other", 1 },
        { "file", 1 },
        { "", 1 },
    };

    (void)state;
    make_tree();
    wrote(EACCES, there("folder/inside"));
    assert_true(is_served(there("folder/inside")));
    wrote(ENOENT, there("folder/inside"));
    assert_int_equal(agent.writes, 0);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (is_served(there(table[i].name)) != table[i].is_served)
            fail_msg("%s", table[i].name);
    mioc_client.doubts_until_ms = 1; /* the time is over */
    assert_true(is_served(there("folder/inside")));
    assert_int_equal(mioc_client.doubts_until_ms, 0);
    wrote(ENOENT, there("link/inside")); /* by all its names */
    assert_false(is_served(there("link/inside")));
    assert_false(is_served(there("folder/inside")));
}

static void what_the_store_has_right_stays_served(void **state)
{
    (void)state;
    make_tree();
    say(there("folder"), 'd', 'd');
    wrote(EEXIST, there("folder"));
    assert_true(is_served(there("folder")));
    assert_true(is_served(there("folder/inside")));
    say(there("gone"), '-', '-');
    wrote(ENOENT, there("gone"));
    assert_true(is_served(there("gone")));
    say(there("file"), '-', '-');
    wrote(EEXIST, there("file")); /* wrong: told, and looked at */
    assert_int_equal(agent.writes, 1);
    assert_true(is_served(there("file")) && q.has_absence_doubted);
}

/* Else a folder that all make, should it not be there yet, would be served to nobody. */
static void where_a_name_is_there_only_absence_is_doubted(void **state)
{
    static const struct {
        const char *name;
        char lstat_is, stat_is;
        int result;
    } table[] = {
        { "folder", 'd', 'd', 0 },           { "folder", '-', '-', -1 },      { "folder/inside", 'd', 'd', 0 },
        { "folder/inside/", 'd', 'd', 0 },   { "folder/none", '-', '-', -1 }, { "folder/dangling", 'l', '-', -1 },
        { "folder/inside/x", '-', '-', -1 }, { "other", '-', '-', ENOENT },   { "other/x", '-', '-', ENOENT },
    };

    (void)state;
    make_tree();
    wrote(EEXIST, there("folder"));
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        say(there(table[i].name), table[i].lstat_is, table[i].stat_is);
        if (stat_of(there(table[i].name)) != table[i].result)
            fail_msg("row %zu: %s", i, table[i].name);
    }
    assert_int_equal(asked(), 0);
    assert_false(is_served(tree)); /* its listing has the name, or has it not */
    append(listing(tree, 0755));   /* … and that may be from before */
    assert_int_equal(stat_of(there("folder/by_listing")), -1);
    assert_int_equal(asked(), 0);
    assert_int_equal(stat_of(there("another")), ENOENT);
    append(listing(there("folder"), 0755)); /* this one says that the folder is there */
    assert_int_equal(stat_of(there("folder/by_listing")), ENOENT);
    append(with_error(MIOC_ITEM_LIST, there("folder"), ENOENT));
    assert_int_equal(stat_of(there("folder/by_listing")), -1);
    assert_int_equal(asked(), 0);
}

/* Adds a STAT that a link led to. */
static void say_by_link(const char *path, char lstat_is, char stat_is)
{
    struct mioc_stat_record *st = (void *)record(MIOC_ITEM_STAT, MIOC_FLAG_BY_LINK, path, 1);

    st->lstat_errno = lstat_is == '-' ? ENOENT : 0;
    st->stat_errno = stat_is == '-' ? ENOENT : 0;
    st->lstat.mode = lstat_is == 'l' ? S_IFLNK : S_IFREG;
    append(&st->item);
}

/* Adds that the link leads there. */
static void say_leads_to(const char *link, const char *to)
{
    static _Alignas(8) char buf[1024];
    char *end = mioc_item_begin(buf, MIOC_ITEM_REALPATH, MIOC_FLAG_BY_LINK, link, (uint32_t)strlen(link));

    ((struct mioc_realpath_record *)(void *)buf)->resolved_len = (uint32_t)strlen(to);
    mioc_item_finish(buf, strcpy(end, to) + strlen(to) + 1);
    append((void *)buf);
}

static int is_listed(const char *path)
{
    int result = begin(path) && mioc_client_record(&q, MIOC_ITEM_LIST) != NULL;

    mioc_client_end(&q, 0);
    return result;
}

/* Seen: mkdir("folder/inside") was EEXIST, and then scandir("link") lacked it, or after ENOENT still had it. */
static void what_a_link_leads_to_does_not_contradict_the_error(void **state)
{
    struct mioc_item *list;

    (void)state;
    make_tree();
    for (int is_right = 0; is_right < 2; is_right++) {
        say_leads_to(there("link"), there("folder"));
        list = listing(there("link"), 0755);
        list->flags = MIOC_FLAG_BY_LINK;
        append(list);
        say_by_link(there("link/inside"), '-', '-');
        say_by_link(there("link/other"), 'f', 'f');
        say_by_link(there("to_inside"), 'l', 'f');
        say(there("folder/other"), 'f', 'f');
        if (is_right) /* by the name of the call */
            say(there("folder/inside"), 'd', 'd');
        assert_true(is_listed(there("link")));
        assert_int_equal(stat_of(there("link/inside")), ENOENT);
        assert_int_equal(stat_of(there("link/no")), ENOENT); /* by the listing */
        assert_int_equal(stat_of(there("to_inside")), 0);
        wrote(EEXIST, there("folder/inside"));
        assert_int_equal(mioc_client.doubts_until_ms == 0, is_right);
        assert_false(is_listed(there("link")));
        assert_int_equal(stat_of(there("link/inside")), -1);
        assert_int_equal(stat_of(there("to_inside")), -1); /* it may lead there */
        assert_int_equal(stat_of(there("link/other")), 0); /* that is another name */
        assert_int_equal(stat_of(there("folder/other")), 0);
        if (is_right)
            assert_int_equal(stat_of(there("folder/inside")), 0);
        append(invalidation(0, there("link"), 1, 1)); /* then nobody knows where it leads */
        assert_int_equal(stat_of(there("link/other")), -1);
        mioc_client.doubts_until_ms = mioc_client.link_doubts_until_ms = 1; /* the time is over */
        assert_int_equal(stat_of(there("link/inside")), ENOENT);
        assert_int_equal(mioc_client.link_doubts_until_ms, 0);
    }
    assert_int_equal(agent.writes, 0);
    assert_int_equal(asked(), 0);
}

static void what_is_doubted_depends_on_the_error(void **state)
{
    static const struct {
        int error, is_served, is_served_below;
    } table[] = {
        { EEXIST, 1, 1 },  { EADDRINUSE, 1, 1 }, { EISDIR, 0, 1 }, { ENOTEMPTY, 0, 1 }, { ENOENT, 0, 0 },
        { ENOTDIR, 0, 0 }, { ELOOP, 0, 0 },      { ESTALE, 0, 0 }, { EACCES, 1, 1 },    { EROFS, 1, 1 },
    };
    char name[32];

    (void)state;
    make_tree();
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        snprintf(name, sizeof name, "folder/%zu", i);
        wrote(table[i].error, there(name));
        assert_int_equal(is_served(there(name)), table[i].is_served);
        snprintf(name, sizeof name, "folder/%zu/x", i);
        assert_int_equal(is_served(there(name)), table[i].is_served_below);
    }
}

/* Of what is above it, it says nothing. */
static void folder_that_is_left_by_dots_is_meant(void **state)
{
    (void)state;
    make_tree();
    wrote(ENOENT, there("folder/none/.."));
    assert_false(is_served(there("folder/none/x")));
    assert_false(is_served(there("folder")));
    assert_true(is_served(there("folder/inside")));
    wrote(EISDIR, there("folder/inside/.."));
    assert_true(is_served(there("file")));
}

static void only_the_last_are_remembered(void **state)
{
    char name[32];

    (void)state;
    for (int i = 0; i < 200; i++) {
        snprintf(name, sizeof name, "none%d", i);
        wrote(ENOENT, there(name));
        assert_false(is_served(there(name)));
    }
    assert_true(is_served(there("none0")));
}

static void paths_of_others_cost_nothing(void **state)
{
    (void)state;
    assert_int_equal(told_by(EEXIST, "/tmp"), 0);
    assert_int_equal(told_by(ENOENT, "/tmp/none"), 0);
    assert_int_equal(told_by(ENOENT, ""), 0);
    assert_int_equal(told_by(ENOENT, NULL), 0);
    assert_int_equal(told_by(ENOENT, (const char *)16), 0);
    assert_int_equal(asked(), 0);
}

static void without_descriptors_it_goes_on(void **state)
{
    struct rlimit limit, none;

    (void)state;
    make_tree();
    say(there("file"), '-', '-');
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = (struct rlimit){ 0, limit.rlim_max };
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    assert_int_equal(told_by(EEXIST, there("file")), 1);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    set(&agent.answers_nothing, 0);
    assert_int_equal(stat_of(there("other")), 0); /* served as before */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_CLIENT(answer_ends_where_kernel_and_error_say_otherwise),
        WITH_CLIENT(each_kind_of_record_is_an_answer),
        WITH_CLIENT(folder_that_is_not_empty_ends_an_empty_listing),
        WITH_CLIENT(other_spellings_are_the_same),
        WITH_CLIENT(folders_on_the_way_are_looked_at),
        WITH_CLIENT(process_looks_itself_at_what_nothing_is_known_of),
        WITH_CLIENT(what_the_store_has_right_stays_served),
        WITH_CLIENT(where_a_name_is_there_only_absence_is_doubted),
        WITH_CLIENT(what_a_link_leads_to_does_not_contradict_the_error),
        WITH_CLIENT(what_is_doubted_depends_on_the_error),
        WITH_CLIENT(folder_that_is_left_by_dots_is_meant),
        WITH_CLIENT(only_the_last_are_remembered),
        WITH_CLIENT(paths_of_others_cost_nothing),
        WITH_CLIENT(without_descriptors_it_goes_on),
    };

    return cmocka_run_group_tests_name("client_failed", tests, NULL, NULL);
}
