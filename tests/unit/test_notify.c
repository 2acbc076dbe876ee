/* SPDX-License-Identifier: BSD-3-Clause */
/* test_notify.c - who is told of a write, in which spellings, and what happens if nobody hears. */
#include "client_fixture.h"

#include <sys/resource.h>

static void wrote_kills_the_records(void **state)
{
    (void)state;
    assert_int_equal(stat_of("/lib_prefix/a"), 0);
    errno = 99;
    mioc_client_wrote(AT_FDCWD, "/lib_prefix//./a", MIOC_FLAG_STICKY);
    assert_int_equal(errno, 99);
    assert_int_equal(agent.writes, 1);
    assert_string_equal(agent.written[0], "/lib_prefix/a");
    assert_int_equal(agent.flags[0], MIOC_FLAG_STICKY);
    assert_int_equal(stat_of("/lib_prefix/a"), -1); /* held until the log brings the token back */
    expect_counts(MIOC_CALL_WRITE, 0, 0, 1, 0);
}

static void wrote_elsewhere_tells_nobody(void **state)
{
    (void)state;
    mioc_client_wrote(AT_FDCWD, "/tmp/x", MIOC_FLAG_SUBTREE);
    mioc_client_wrote(AT_FDCWD, "/imports/ckpt.h5", MIOC_FLAG_SUBTREE);
    mioc_client_wrote(AT_FDCWD, "x", 0);
    mioc_client_wrote(AT_FDCWD, "", 0);
    mioc_client_wrote(AT_FDCWD, NULL, 0);
    mioc_client_wrote(12345, "x", 0);
    assert_int_equal(agent.writes, 0);
    assert_int_equal(asked(), 0);
    mioc_client_wrote(AT_FDCWD, "/imports/pkg", MIOC_FLAG_SUBTREE);
    mioc_client_wrote(AT_FDCWD, "/", MIOC_FLAG_SUBTREE);
    assert_int_equal(agent.writes, 2);
}

static void wrote_relative_to_descriptor_is_resolved(void **state)
{
    char expected[128], cwd[4096];
    int fd = open(tree, O_RDONLY | O_DIRECTORY);

    (void)state;
    mioc_client_wrote(fd, "a", 0);
    snprintf(expected, sizeof expected, "%s/a", tree);
    assert_string_equal(agent.written[0], expected);
    close(fd);
    assert_non_null(getcwd(cwd, sizeof cwd));
    assert_int_equal(chdir(tree), 0); /* nobody said so */
    mioc_client_wrote(AT_FDCWD, "b", 0);
    snprintf(expected, sizeof expected, "%s/b", tree);
    assert_string_equal(agent.written[1], expected);
    assert_int_equal(agent.writes, 2);
    assert_int_equal(chdir(cwd), 0);
}

static void wrote_through_links_tells_every_spelling(void **state)
{
    char path[160], target[160];

    (void)state;
    /* a link below a prefix */
    snprintf(target, sizeof target, "%s/lib", tree);
    assert_int_equal(mkdir(target, 0700), 0);
    snprintf(path, sizeof path, "%s/lib64", tree);
    assert_int_equal(symlink("lib", path), 0);
    strcat(path, "/x.py");
    strcat(target, "/x.py");
    mioc_client_wrote(AT_FDCWD, path, 0);
    assert_int_equal(agent.writes, 2);
    assert_string_equal(agent.written[0], path);
    assert_string_equal(agent.written[1], target);
    /* a prefix that is a link itself, written by its real name */
    strcpy(policy.prefix[2].real, "/lustre/imports");
    policy.prefix[2].real_len = 15;
    mioc_client_wrote(AT_FDCWD, "/lustre/imports/x.py", 0);
    mioc_client_wrote(AT_FDCWD, "/lustre/imports/x.h5", 0);
    assert_int_equal(agent.writes, 3);
    assert_string_equal(agent.written[2], "/imports/x.py");
}

static void wrote_with_dots_tells_what_is_compared(void **state)
{
    char path[160], expected[160];

    (void)state;
    snprintf(path, sizeof path, "%s/real", tree);
    assert_int_equal(mkdir(path, 0700), 0);
    strcat(path, "/inner");
    assert_int_equal(mkdir(path, 0700), 0);
    mioc_client_wrote(AT_FDCWD, "/lib_prefix/x/.././a/", 0);
    assert_string_equal(agent.written[0], "/lib_prefix/a");
    snprintf(path, sizeof path, "%s/real/../real/x.py", tree);
    snprintf(expected, sizeof expected, "%s/real/x.py", tree);
    mioc_client_wrote(AT_FDCWD, path, 0);
    assert_string_equal(agent.written[1], expected);
    assert_string_equal(agent.written[agent.writes - 1], expected); /* also what the kernel calls it */
    /* A link's "..": the folder that the link's target is in. */
    snprintf(path, sizeof path, "%s/turn", tree);
    assert_int_equal(symlink("real/inner", path), 0);
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/turn/..%s", tree, i == 0 ? "" : "/x.py");
        snprintf(expected, sizeof expected, "%s/real%s", tree, i == 0 ? "" : "/x.py");
        mioc_client_wrote(AT_FDCWD, path, 0);
        assert_string_equal(agent.written[agent.writes - 1], expected);
    }
}

/* A link of one name to the other. */
static void moved(const char *from, const char *to)
{
    const struct mioc_folders now = { -1, -1 };

    mioc_client_moved_in(&now, AT_FDCWD, from, AT_FDCWD, to, 0);
}

static void wrote_waits_until_all_nodes_have_heard(void **state)
{
    (void)state;
    mioc_client_wrote(AT_FDCWD, "/lib_prefix/a", 0);
    assert_int_equal(agent.syncs, 0); /* they have already */
    agent.is_unsynced = 1;
    mioc_client_wrote(AT_FDCWD, "/lib_prefix/a", 0);
    assert_int_equal(agent.syncs, 1);
    mioc_client_wrote(AT_FDCWD, "/elsewhere", 0);
    assert_int_equal(agent.syncs, 1);
    moved("/lib_prefix/a", "/lib_prefix/b");
    assert_int_equal(agent.writes, 4);
    assert_int_equal(agent.syncs, 2); /* once for both */
}

static void wrote_that_does_not_sync_is_a_timeout_and_no_more(void **state)
{
    (void)state;
    agent.is_unsynced = agent.never_syncs = 1;
    mioc_client.timeout_ns = SECOND / 20;
    for (int i = 0; i < MIOC_BREAKER_LIMIT + 1; i++)
        mioc_client_wrote(AT_FDCWD, "/lib_prefix/b", 0);
    expect_counts(MIOC_CALL_WRITE, 0, 0, 0, MIOC_BREAKER_LIMIT + 1);
    __atomic_store_n(&agent.never_syncs, 0, __ATOMIC_RELEASE);
    assert_int_equal(stat_of("/lib_prefix/a"), 0); /* served, and asked for */
}

static void bytecode_of_an_import_is_waited_for_by_nobody(void **state)
{
    static const char name[] = "/lib_prefix/__pycache__/m.cpython-311.pyc",
                      temporary[] = "/lib_prefix/__pycache__/m.cpython-311.pyc.140";

    (void)state;
    agent.is_unsynced = 1;
    mioc_client_wrote(AT_FDCWD, temporary, MIOC_FLAG_STICKY | MIOC_WROTE_SOON);
    moved(temporary, name);
    assert_int_equal(agent.writes, 3);
    assert_int_equal(agent.flags[0], MIOC_FLAG_STICKY);
    assert_int_equal(agent.syncs, 0);
    moved(temporary, name); /* py_compile's */
    assert_int_equal(agent.syncs, 1);
}

static void put(const char *name)
{
    char path[160];
    int fd;

    snprintf(path, sizeof path, "%s/%s", tree, name);
    fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    close(fd);
}

static void moved_file_that_is_written_is_given_up_under_its_new_name(void **state)
{
    const struct {
        const char *from, *to;
        int is_written, is_sticky;
    } row[] = {
        { "tmp", "mod.py", 1, 1 },    { "old.py", "new.py", 0, 0 },     { "m.pyc.123", "m.pyc", 1, 0 },
        { "m.pyc.x", "m.pyc", 1, 1 }, { "/elsewhere/x", "x.py", 0, 1 },
    };
    char from[160], to[160];

    (void)state;
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        unsigned before = agent.writes;

        snprintf(from, sizeof from, "%s/%s", row[i].from[0] == '/' ? "" : tree, row[i].from);
        snprintf(to, sizeof to, "%s/%s", tree, row[i].to);
        put(row[i].to);
        if (row[i].is_written)
            append(record(MIOC_ITEM_STAT, MIOC_FLAG_UNCACHED | MIOC_FLAG_STICKY, from, 7));
        moved(from, to);
        assert_true(agent.writes > before);
        assert_string_equal(agent.written[(agent.writes - 1) % 16], to);
        if (agent.flags[(agent.writes - 1) % 16] != (MIOC_FLAG_SUBTREE | (row[i].is_sticky ? MIOC_FLAG_STICKY : 0)))
            fail_msg("%s to %s: flags %x", from, to, agent.flags[(agent.writes - 1) % 16]);
    }
    snprintf(from, sizeof from, "%s/dir", tree);
    assert_int_equal(mkdir(from, 0700), 0);
    moved("/elsewhere/dir", from);
    assert_int_equal(agent.flags[(agent.writes - 1) % 16], MIOC_FLAG_SUBTREE);
}

/* Whether the agent was told of that name below the tree. */
static int is_told(const char *name)
{
    char path[160];

    snprintf(path, sizeof path, "%s/%s", tree, name);
    for (unsigned i = 0; i < agent.writes && i < 16; i++)
        if (strcmp(agent.written[i], path) == 0)
            return 1;
    return 0;
}

static void renamed_over_the_link_that_it_went_through_tells_where_that_led(void **state)
{
    static const struct {
        const char *from, *to, *told;
        int is_exchange;
    } row[] = {
        { "link/x", "link", "dir/x", 0 },
        { "link", "link/y", "dir/y", 0 },
        { "link", "link/x", "dir/x", 1 },
        { "link/x", "link", "dir/x", 1 },
    };
    char from[168], to[168], link[160], dir[160];

    (void)state;
    snprintf(dir, sizeof dir, "%s/dir", tree);
    snprintf(link, sizeof link, "%s/link", tree);
    assert_int_equal(mkdir(dir, 0700), 0);
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        struct mioc_folders folders;

        (void)unlink(link);
        assert_int_equal(symlink("dir", link), 0);
        put("dir/x");
        snprintf(from, sizeof from, "%s/%s", tree, row[i].from);
        snprintf(to, sizeof to, "%s/%s", tree, row[i].to);
        agent.writes = 0;
        errno = 99;
        folders = mioc_client_open_folders(AT_FDCWD, from, AT_FDCWD, to);
        assert_true(errno == 99 && folders.from >= 0 && folders.to >= 0);
        assert_int_equal(renameat2(AT_FDCWD, from, AT_FDCWD, to, row[i].is_exchange ? RENAME_EXCHANGE : 0), 0);
        mioc_client_moved_in(&folders, AT_FDCWD, from, AT_FDCWD, to, row[i].is_exchange);
        mioc_client_close_folders(&folders);
        assert_true(errno == 99 && fcntl(folders.from, F_GETFD) == -1 && fcntl(folders.to, F_GETFD) == -1);
        if (!is_told(row[i].told) || !is_told("link"))
            fail_msg("%s to %s: %s is not told", row[i].from, row[i].to, row[i].told);
        snprintf(from, sizeof from, "%s/x", dir);
        (void)unlink(from);
        snprintf(from, sizeof from, "%s/y", dir);
        (void)unlink(from);
    }
    agent.writes = 0;
    assert_int_equal(mioc_client_open_folders(AT_FDCWD, "/tmp/x", AT_FDCWD, NULL).from, -1); /* not ours */
}

static void wrote_through_a_link_tells_what_it_leads_to(void **state)
{
    char path[160], target[160];

    (void)state;
    put("real.py");
    snprintf(target, sizeof target, "%s/real.py", tree);
    snprintf(path, sizeof path, "%s/link.py", tree);
    assert_int_equal(symlink("real.py", path), 0);
    mioc_client_wrote(AT_FDCWD, path, 0);
    assert_int_equal(agent.writes, 2);
    assert_string_equal(agent.written[0], path);
    assert_string_equal(agent.written[1], target);
}

static void wrote_that_nobody_hears_stops_serving(void **state)
{
    (void)state;
    assert_int_equal(stat_of("/lib_prefix/a"), 0);
    set(&agent.is_silent, 1);
    mioc_client.timeout_ns = SECOND / 50;
    mioc_client_wrote(AT_FDCWD, "/lib_prefix/b", 0);
    assert_int_equal(stat_of("/lib_prefix/a"), -1);
    assert_ptr_equal(mioc_client_store(), agent.store); /* a copy may still be open */
    expect_counts(MIOC_CALL_WRITE, 0, 0, 0, 1);
}

/* Whether the path leads through a link cannot be seen then, and so not which other names the store has for the file.
 */
static void wrote_when_no_descriptor_is_left_stops_serving(void **state)
{
    const struct mioc_ring *ring = mioc_store_ring(agent.store);
    struct rlimit limit, none;
    char path[160];

    (void)state;
    put("b.py");
    snprintf(path, sizeof path, "%s/b.py", tree);
    assert_int_equal(stat_of("/lib_prefix/a"), 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = (struct rlimit){ 0, limit.rlim_max };
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    errno = 99;
    mioc_client_wrote(AT_FDCWD, path, 0);
    assert_int_equal(errno, 99);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(agent.writes, 1);
    assert_int_equal(stat_of("/lib_prefix/a"), -1);
    assert_true(mioc_ring_is_tainted(ring)); /* nor in other processes of the node */
}

static void *leave_meanwhile(void *unused)
{
    while (asked() == 0)
        sched_yield();
    mioc_store_set_state(agent.store, MIOC_STORE_LEFT);
    return unused;
}

/* Seen: another thread of a leader that ended waited 10 s for its own agent, in a dlopen() whose lock exit() needs. */
static void question_of_an_agent_that_leaves_meanwhile_is_the_real_call(void **state)
{
    pthread_t thread;
    struct timespec before, after;

    (void)state;
    set(&agent.is_silent, 1);
    assert_int_equal(pthread_create(&thread, NULL, leave_meanwhile, NULL), 0);
    clock_gettime(CLOCK_MONOTONIC, &before);
    assert_int_equal(stat_of("/lib_prefix/a"), -1);
    clock_gettime(CLOCK_MONOTONIC, &after);
    assert_true(after.tv_sec - before.tv_sec < 4); /* of 5 */
    pthread_join(thread, NULL);
    expect_counts(MIOC_CALL_STAT, 0, 0, 1, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_CLIENT(wrote_kills_the_records),
        WITH_CLIENT(wrote_elsewhere_tells_nobody),
        WITH_CLIENT(wrote_relative_to_descriptor_is_resolved),
        WITH_CLIENT(wrote_through_links_tells_every_spelling),
        WITH_CLIENT(wrote_with_dots_tells_what_is_compared),
        WITH_CLIENT(wrote_waits_until_all_nodes_have_heard),
        WITH_CLIENT(wrote_that_does_not_sync_is_a_timeout_and_no_more),
        WITH_CLIENT(bytecode_of_an_import_is_waited_for_by_nobody),
        WITH_CLIENT(moved_file_that_is_written_is_given_up_under_its_new_name),
        WITH_CLIENT(renamed_over_the_link_that_it_went_through_tells_where_that_led),
        WITH_CLIENT(wrote_through_a_link_tells_what_it_leads_to),
        WITH_CLIENT(wrote_that_nobody_hears_stops_serving),
        WITH_CLIENT(wrote_when_no_descriptor_is_left_stops_serving),
        WITH_CLIENT(question_of_an_agent_that_leaves_meanwhile_is_the_real_call),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
