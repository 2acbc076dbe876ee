/* SPDX-License-Identifier: BSD-3-Clause */
/* test_trace_file.c - which ranks and agents are traced, where their files lie, and what may lie there already. */
#include "trace_fixture.h"

#include <errno.h>
#include <limits.h>

static int starts(enum mioc_trace_of of, int number)
{
    int status;
    pid_t pid = fork();

    if (pid == 0)
        _exit(mioc_trace_start(&config, of, number) >= 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WEXITSTATUS(status);
}

static void only_listed_ranks_are_traced(void **state)
{
    static const struct {
        const char *ranks;
        int rank, is_traced;
    } rows[] = { { "all", 0, 1 },   { "all", 9999, 1 }, { "0", 0, 1 },     { "0", 1, 0 },  { "0,5-7", 5, 1 },
                 { "0,5-7", 7, 1 }, { "0,5-7", 4, 0 },  { "0,5-7", 8, 0 }, { "12", 1, 0 }, { "12", 2, 0 } };

    (void)state;
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        snprintf(config.trace_ranks, sizeof config.trace_ranks, "%s", rows[i].ranks);
        if (starts(MIOC_TRACE_RANK, rows[i].rank) != rows[i].is_traced)
            fail_msg("rank %d of %s", rows[i].rank, rows[i].ranks);
    }
    config.trace[0] = '\0';
    assert_false(starts(MIOC_TRACE_RANK, 0));
    assert_false(starts(MIOC_TRACE_NODE, 0));
}

static void agent_of_the_root_is_traced_with_rank_0_others_with_all(void **state)
{
    static const struct {
        const char *ranks;
        int node, is_traced;
    } rows[] = { { "all", 0, 1 }, { "all", 1, 1 },  { "0", 0, 1 },   { "0-15", 0, 1 },
                 { "0", 1, 0 },   { "0-15", 1, 0 }, { "1-7", 0, 0 }, { "1-7", 1, 0 } };

    (void)state;
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        snprintf(config.trace_ranks, sizeof config.trace_ranks, "%s", rows[i].ranks);
        if (starts(MIOC_TRACE_NODE, rows[i].node) != rows[i].is_traced)
            fail_msg("node %d of %s", rows[i].node, rows[i].ranks);
    }
}

static void folder_is_filled_in_and_made(void **state)
{
    char template[128], host[HOST_NAME_MAX + 1] = "", expected[512];
    int fd;

    (void)state;
    assert_int_equal(gethostname(host, sizeof host - 1), 0);
    snprintf(template, sizeof template, "%s/%%j/%%h-100%%%%/r%%r", folder);
    fd = mioc_trace_create(template, MIOC_TRACE_RANK, 17, "job");
    assert_true(fd >= 0);
    close(fd);
    snprintf(expected, sizeof expected, "%s/job/%s-100%%/r17/rank-00017.json", folder, host);
    assert_int_equal(access(expected, F_OK), 0);
}

static void agents_file_is_beside_those_of_ranks(void **state)
{
    char template[128], expected[512];
    int fd;

    (void)state;
    snprintf(template, sizeof template, "%s/r%%r", folder);
    for (int i = 0; i < 2; i++) {
        fd = mioc_trace_create(i == 0 ? folder : template, MIOC_TRACE_NODE, RANK, "job");
        assert_true(fd >= 0);
        close(fd);
        snprintf(expected, sizeof expected, "%s%s/node-%05d.json", folder, i == 0 ? "" : "/rnode-3", RANK);
        assert_int_equal(access(expected, F_OK), 0);
    }
    assert_int_equal(access(file, F_OK), -1);
}

static void job_name_does_not_lead_out_of_the_folder(void **state)
{
    char template[128], expected[512];
    int fd;

    (void)state;
    snprintf(template, sizeof template, "%s/%%j", folder);
    fd = mioc_trace_create(template, MIOC_TRACE_RANK, 0, "../../x");
    assert_true(fd >= 0);
    close(fd);
    snprintf(expected, sizeof expected, "%s/_._.._x/rank-00000.json", folder);
    assert_int_equal(access(expected, F_OK), 0);
}

static void folder_that_means_nothing_is_an_error(void **state)
{
    char text[PATH_MAX + 32];

    (void)state;
    snprintf(text, sizeof text, "%s/%%x", folder);
    assert_int_equal(mioc_trace_create(text, MIOC_TRACE_RANK, 0, "job"), -1);
    assert_int_equal(errno, EINVAL);
    memset(text, 'x', sizeof text - 1);
    text[0] = '/';
    text[sizeof text - 1] = '\0';
    assert_int_equal(mioc_trace_create(text, MIOC_TRACE_RANK, 0, "job"), -1);
    assert_int_equal(errno, ENAMETOOLONG);
    assert_int_equal(mioc_trace_create("/proc/self/x", MIOC_TRACE_RANK, 0, "job"), -1);
    assert_int_not_equal(errno, 0);
}

static void file_replaces_what_lies_there(void **state)
{
    char victim[128], text[8] = "";
    struct stat st;
    int fd;

    (void)state;
    snprintf(victim, sizeof victim, "%s/victim", folder);
    fd = open(victim, O_WRONLY | O_CREAT, 0600);
    assert_int_equal(write(fd, "dear", 4), 4);
    close(fd);
    assert_int_equal(symlink(victim, file), 0);
    fd = mioc_trace_create(folder, MIOC_TRACE_RANK, RANK, "job");
    assert_int_equal(write(fd, "x", 1), 1);
    close(fd);
    fd = open(victim, O_RDONLY);
    assert_int_equal(read(fd, text, sizeof text), 4);
    assert_memory_equal(text, "dear", 4);
    close(fd);
    assert_int_equal(unlink(file), 0);
    assert_int_equal(mkfifo(file, 0600), 0); /* an open for writing would wait for a reader */
    fd = mioc_trace_create(folder, MIOC_TRACE_RANK, RANK, "job");
    assert_int_equal(fstat(fd, &st), 0);
    assert_true(S_ISREG(st.st_mode));
    close(fd);
}

static void descriptor_is_out_of_the_programs_way(void **state)
{
    int fd, again;

    (void)state;
    fd = mioc_trace_create(folder, MIOC_TRACE_RANK, RANK, "job");
    again = mioc_trace_reopen_file(fd);
    assert_true(fd >= 200 && again >= 200 && again != fd);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    assert_int_equal(fcntl(again, F_GETFD), FD_CLOEXEC);
    /* Both append: neither overwrites what the other wrote. */
    assert_int_equal(write(fd, "[1,", 3), 3);
    assert_int_equal(write(again, "2,", 2), 2);
    assert_int_equal(write(fd, "3]", 2), 2);
    assert_string_equal(queried("."), "[1,2,3]\n");
    close(fd);
    close(again);
    assert_int_equal(mioc_trace_reopen_file(fd), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(only_listed_ranks_are_traced),
        TEST(agent_of_the_root_is_traced_with_rank_0_others_with_all),
        TEST(folder_is_filled_in_and_made),
        TEST(agents_file_is_beside_those_of_ranks),
        TEST(job_name_does_not_lead_out_of_the_folder),
        TEST(folder_that_means_nothing_is_an_error),
        TEST(file_replaces_what_lies_there),
        TEST(descriptor_is_out_of_the_programs_way),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
