/* SPDX-License-Identifier: BSD-3-Clause */
/* test_trace.c - what a traced rank writes for given calls, read back by jq; the file's bounds; where the file lies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "observe/trace.h"
#include "store/item.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define RANK 3

static struct mioc_config config;
static char folder[] = "/tmp/mioc_test_trace.XXXXXX", file[128];

static int setup(void **state)
{
    (void)state;
    memcpy(folder + sizeof folder - 7, "XXXXXX", 6);
    if (mkdtemp(folder) == NULL)
        return -1;
    memset(&config, 0, sizeof config);
    snprintf(config.trace, sizeof config.trace, "%s", folder);
    snprintf(config.trace_ranks, sizeof config.trace_ranks, "all");
    config.trace_max = 1u << 20;
    snprintf(file, sizeof file, "%s/rank-%05d.json", folder, RANK);
    return 0;
}

static int teardown(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

/* Runs work() in a traced rank, a process of its own: what a trace has counted cannot be reset. */
static void trace(void (*work)(void))
{
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        if (mioc_trace_start(&config, RANK, "job") < 0)
            _exit(100);
        work();
        mioc_trace_end();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* What jq makes of the file, a line for each result. */
static const char *queried(const char *query)
{
    static char answer[65536];
    char command[1024];
    FILE *output;
    size_t n;

    assert_true(snprintf(command, sizeof command, "jq -c '%s' %s 2>&1", query, file) < (int)sizeof command);
    output = popen(command, "r");
    assert_non_null(output);
    n = fread(answer, 1, sizeof answer - 1, output);
    answer[n] = '\0';
    assert_int_equal(pclose(output), 0);
    return answer;
}

static off_t size_of_file(void)
{
    struct stat st;

    assert_int_equal(stat(file, &st), 0);
    return st.st_size;
}

/* Where the file has this text, -1: nowhere. */
static long offset_of(const char *text)
{
    static char bytes[65536];
    const char *at;
    int fd = open(file, O_RDONLY);
    ssize_t n = read(fd, bytes, sizeof bytes);

    close(fd);
    assert_true(n >= 0);
    at = memmem(bytes, (size_t)n, text, strlen(text));
    return at == NULL ? -1 : at - bytes;
}

/* --- Events ------------------------------------------------------------------------------------------------------ */

static void three_calls(void)
{
    uint64_t now = mioc_clock_ns();

    mioc_trace_call(MIOC_CALL_STAT, MIOC_MISS, "/a/b", ENOENT, 0, now - 5000000);
    mioc_trace_call(MIOC_CALL_OPEN, MIOC_HIT, "/lib/x.py", 0, 42, now);
    mioc_trace_call(MIOC_CALL_FSTAT, MIOC_PASS, "", 0, 0, now);
}

static void call_is_an_event_with_its_arguments(void **state)
{
    (void)state;
    trace(three_calls);
    assert_string_equal(queried(".[] | select(.cat == \"call\") | [.ph, .name, .pid, .args]"),
                        "[\"X\",\"stat\",3,{\"path\":\"/a/b\",\"answer\":\"miss\",\"errno\":2,\"bytes\":0}]\n"
                        "[\"X\",\"open\",3,{\"path\":\"/lib/x.py\",\"answer\":\"hit\",\"errno\":0,\"bytes\":42}]\n"
                        "[\"X\",\"fstat\",3,{\"path\":\"\",\"answer\":\"passed\",\"errno\":0,\"bytes\":0}]\n");
}

static void call_has_its_time_in_microseconds_of_2026(void **state)
{
    double start, length, now = (double)mioc_clock_real_ns() / 1000 - 1767225600e6;

    (void)state;
    trace(three_calls);
    assert_int_equal(sscanf(queried("map(select(.name == \"stat\"))[0] | [.ts, .dur]"), "[%lf,%lf]", &start, &length),
                     2);
    assert_true(length >= 5000);
    assert_true(start + length >= now - 1e6 && start + length <= now + 60e6);
}

static void file_begins_and_ends_with_metadata(void **state)
{
    char expected[64];

    (void)state;
    trace(three_calls);
    assert_string_equal(queried("[.[0, 1, -1] | .ph, .name]"),
                        "[\"M\",\"process_name\",\"M\",\"thread_name\",\"M\",\"mpiio_cache_end\"]\n");
    assert_string_equal(queried(".[0].args.name | startswith(\"rank 3 (\")"), "true\n");
    assert_string_equal(queried("(.[-1].args.events == length - 1), .[-1].args.dropped"), "true\n0\n");
    assert_string_equal(queried("map(.tid) | unique | length"), "1\n");
    /* The last event tells the bytes before it. */
    snprintf(expected, sizeof expected, "%ld\n",
             offset_of(",\n{\"ph\":\"M\",\"cat\":\"__metadata\",\"name\":\"mpiio_cache_e"));
    assert_string_equal(queried(".[-1].args.bytes"), expected);
}

static void odd_paths(void)
{
    char every[256];

    for (int i = 0; i < 255; i++)
        every[i] = (char)(i + 1);
    every[255] = '\0';
    mioc_trace_call(MIOC_CALL_STAT, MIOC_PASS, every, 0, 0, mioc_clock_ns());
    mioc_trace_call(MIOC_CALL_STAT, MIOC_PASS, (const char *)16, EFAULT, 0, mioc_clock_ns());
    mioc_trace_call(MIOC_CALL_STAT, MIOC_PASS, NULL, ENOENT, 0, mioc_clock_ns());
}

static void path_shows_each_byte_as_a_character(void **state)
{
    (void)state;
    trace(odd_paths);
    assert_string_equal(queried("map(select(.name == \"stat\"))[0].args.path | explode == [range(1; 256)]"), "true\n");
}

static void path_that_cannot_be_read_is_empty(void **state)
{
    (void)state;
    trace(odd_paths);
    assert_string_equal(queried("map(select(.name == \"stat\"))[1, 2].args | [.path, .errno]"),
                        "[\"\",14]\n[\"\",2]\n");
}

static void long_paths(void)
{
    char path[PATH_MAX];

    memset(path, 'x', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    mioc_trace_call(MIOC_CALL_STAT, MIOC_PASS, path, 0, 0, mioc_clock_ns());
    path[1000] = '\0';
    mioc_trace_call(MIOC_CALL_STAT, MIOC_PASS, path, 0, 0, mioc_clock_ns());
    memset(path, '\n', sizeof path - 1); /* six bytes each in JSON */
    mioc_trace_call(MIOC_CALL_STAT, MIOC_PASS, path, 0, 0, mioc_clock_ns());
    mioc_trace_work("agent", "publish", MIOC_ITEM_CONTENT, path, PATH_MAX - 1, mioc_clock_ns());
}

static void long_path_is_cut_and_marked(void **state)
{
    (void)state;
    trace(long_paths);
    assert_string_equal(queried("map(select(.name == \"stat\").args.path | [length, .[-4:]])[0, 1]"),
                        "[1003,\"x...\"]\n[1000,\"xxxx\"]\n");
    /* Of a path that becomes longer in JSON fewer bytes fit; the event is whole. */
    assert_string_equal(queried("map(select(.cat == \"call\" or .cat == \"agent\"))[2, 3] | "
                                "(.args.path | (length > 200 and length < 1003), .[-4:]), (.args | length)"),
                        "true\n\"\\n...\"\n4\ntrue\n\"\\n...\"\n2\n");
}

static void a_question(void)
{
    const char *path = "/a/b";

    mioc_trace_flow('s', MIOC_ITEM_STAT, path, 4);
    mioc_trace_work("agent", "take", MIOC_ITEM_STAT, path, 4, mioc_clock_ns());
    mioc_trace_flow('t', MIOC_ITEM_STAT, path, 4);
    mioc_trace_work("root", "resolve", MIOC_ITEM_LIST, path, 2, mioc_clock_ns());
    mioc_trace_work("root", "resolve", 1000, path, 0, mioc_clock_ns());
    mioc_trace_flow('f', MIOC_ITEM_STAT, path, 4);
}

static void question_is_a_flow_with_one_id(void **state)
{
    char expected[64];

    (void)state;
    trace(a_question);
    assert_string_equal(queried(".[] | select(.cat == \"question\") | [.ph, .name, .bp]"),
                        "[\"s\",\"stat\",null]\n[\"t\",\"stat\",null]\n[\"f\",\"stat\",\"e\"]\n");
    snprintf(expected, sizeof expected, "[%llu]\n",
             (unsigned long long)mioc_item_hash(MIOC_ITEM_STAT, "/a/b", 4) >> 11);
    assert_string_equal(queried("map(select(.cat == \"question\").id) | unique"), expected);
}

static void work_has_its_kind_and_path(void **state)
{
    (void)state;
    trace(a_question);
    assert_string_equal(queried(".[] | select(.cat == \"agent\" or .cat == \"root\") | [.ph, .cat, .name, .args]"),
                        "[\"X\",\"agent\",\"take\",{\"kind\":\"stat\",\"path\":\"/a/b\"}]\n"
                        "[\"X\",\"root\",\"resolve\",{\"kind\":\"list\",\"path\":\"/a\"}]\n"
                        "[\"X\",\"root\",\"resolve\",{\"kind\":\"\",\"path\":\"\"}]\n");
}

static void calls_of_a_child(void)
{
    pid_t pid;

    mioc_trace_call(MIOC_CALL_STAT, MIOC_PASS, "/parent", 0, 0, mioc_clock_ns());
    pid = fork();
    if (pid == 0) {
        mioc_trace_call(MIOC_CALL_STAT, MIOC_PASS, "/child", 0, 0, mioc_clock_ns());
        mioc_trace_end();
        _exit(mioc_trace_now() == 0 ? 0 : 1);
    }
    int status = -1;
    if (waitpid(pid, &status, 0) != pid || status != 0)
        _exit(101);
}

static void forked_child_is_not_traced(void **state)
{
    (void)state;
    trace(calls_of_a_child);
    assert_string_equal(queried(".[] | select(.cat == \"call\").args.path"), "\"/parent\"\n");
}

static void calls_with_errno(void)
{
    errno = 77;
    three_calls();
    a_question();
    mioc_trace_name_thread("x");
    if (errno != 77)
        _exit(102);
}

static void tracing_keeps_errno(void **state)
{
    (void)state;
    trace(calls_with_errno);
}

static void nothing_is_traced_before_the_start(void **state)
{
    (void)state;
    assert_false(mioc_trace_is_on());
    assert_true(mioc_trace_now() == 0);
    three_calls();
    a_question();
    mioc_trace_end();
    assert_int_equal(access(file, F_OK), -1);
}

/* --- Bounds ------------------------------------------------------------------------------------------------------ */

#define CALLS 50
static void many_calls(void)
{
    for (int i = 0; i < CALLS; i++)
        mioc_trace_call(MIOC_CALL_STAT, MIOC_PASS, "/some/path", 0, 0, mioc_clock_ns());
}

/* Two events of metadata come first. The last event is written in any case. */
static void assert_cut_file_is_whole(unsigned max)
{
    assert_string_equal(queried("(.[-1].args | .events + .dropped), (.[-1].args.events == length - 1), "
                                "(.[-1].args.dropped > 0), .[-1].name"),
                        "52\ntrue\ntrue\n\"mpiio_cache_end\"\n");
    assert_true(size_of_file() <= (off_t)max + 300);
}

static void full_file_drops_events_and_counts_them(void **state)
{
    (void)state;
    config.trace_max = 2000;
    trace(many_calls);
    assert_cut_file_is_whole(2000);
}

static void calls_below_a_limit(void)
{
    const struct rlimit limit = { 2000, RLIM_INFINITY }, none = { RLIM_INFINITY, RLIM_INFINITY };

    if (setrlimit(RLIMIT_FSIZE, &limit) != 0)
        _exit(103);
    many_calls();
    (void)setrlimit(RLIMIT_FSIZE, &none);
}

/* A write past the limit would end the rank by SIGXFSZ. */
static void limit_on_file_size_drops_events_and_raises_no_signal(void **state)
{
    (void)state;
    trace(calls_below_a_limit);
    assert_cut_file_is_whole(2000);
}

/* --- Which ranks, and where -------------------------------------------------------------------------------------- */

static int starts(int rank)
{
    int status;
    pid_t pid = fork();

    if (pid == 0)
        _exit(mioc_trace_start(&config, rank, "job") >= 0);
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
        if (starts(rows[i].rank) != rows[i].is_traced)
            fail_msg("rank %d of %s", rows[i].rank, rows[i].ranks);
    }
    config.trace[0] = '\0';
    assert_false(starts(0));
}

static void folder_is_filled_in_and_made(void **state)
{
    char template[128], host[HOST_NAME_MAX + 1] = "", expected[512];
    int fd;

    (void)state;
    assert_int_equal(gethostname(host, sizeof host - 1), 0);
    snprintf(template, sizeof template, "%s/%%j/%%h-100%%%%/r%%r", folder);
    fd = mioc_trace_create(template, 17, "job");
    assert_true(fd >= 0);
    close(fd);
    snprintf(expected, sizeof expected, "%s/job/%s-100%%/r17/rank-00017.json", folder, host);
    assert_int_equal(access(expected, F_OK), 0);
}

static void job_name_does_not_lead_out_of_the_folder(void **state)
{
    char template[128], expected[512];
    int fd;

    (void)state;
    snprintf(template, sizeof template, "%s/%%j", folder);
    fd = mioc_trace_create(template, 0, "../../x");
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
    assert_int_equal(mioc_trace_create(text, 0, "job"), -1);
    assert_int_equal(errno, EINVAL);
    memset(text, 'x', sizeof text - 1);
    text[0] = '/';
    text[sizeof text - 1] = '\0';
    assert_int_equal(mioc_trace_create(text, 0, "job"), -1);
    assert_int_equal(errno, ENAMETOOLONG);
    assert_int_equal(mioc_trace_create("/proc/self/x", 0, "job"), -1);
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
    fd = mioc_trace_create(folder, RANK, "job");
    assert_int_equal(write(fd, "x", 1), 1);
    close(fd);
    fd = open(victim, O_RDONLY);
    assert_int_equal(read(fd, text, sizeof text), 4);
    assert_memory_equal(text, "dear", 4);
    close(fd);
    assert_int_equal(unlink(file), 0);
    assert_int_equal(mkfifo(file, 0600), 0); /* an open for writing would wait for a reader */
    fd = mioc_trace_create(folder, RANK, "job");
    assert_int_equal(fstat(fd, &st), 0);
    assert_true(S_ISREG(st.st_mode));
    close(fd);
}

static void descriptor_is_out_of_the_programs_way(void **state)
{
    int fd, again;

    (void)state;
    fd = mioc_trace_create(folder, RANK, "job");
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(call_is_an_event_with_its_arguments),
        TEST(call_has_its_time_in_microseconds_of_2026),
        TEST(file_begins_and_ends_with_metadata),
        TEST(path_shows_each_byte_as_a_character),
        TEST(path_that_cannot_be_read_is_empty),
        TEST(long_path_is_cut_and_marked),
        TEST(question_is_a_flow_with_one_id),
        TEST(work_has_its_kind_and_path),
        TEST(forked_child_is_not_traced),
        TEST(tracing_keeps_errno),
        TEST(nothing_is_traced_before_the_start),
        TEST(full_file_drops_events_and_counts_them),
        TEST(limit_on_file_size_drops_events_and_raises_no_signal),
        TEST(only_listed_ranks_are_traced),
        TEST(folder_is_filled_in_and_made),
        TEST(job_name_does_not_lead_out_of_the_folder),
        TEST(folder_that_means_nothing_is_an_error),
        TEST(file_replaces_what_lies_there),
        TEST(descriptor_is_out_of_the_programs_way),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
