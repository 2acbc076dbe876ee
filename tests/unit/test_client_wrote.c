/* SPDX-License-Identifier: BSD-3-Clause */
/* test_client_wrote.c - who is told of a write, in which spellings, and what happens if nobody hears. */
#include "client_fixture.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_CLIENT(wrote_kills_the_records),
        WITH_CLIENT(wrote_elsewhere_tells_nobody),
        WITH_CLIENT(wrote_relative_to_descriptor_is_resolved),
        WITH_CLIENT(wrote_through_links_tells_every_spelling),
        WITH_CLIENT(wrote_that_nobody_hears_stops_serving),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
