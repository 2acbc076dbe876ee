/* SPDX-License-Identifier: BSD-3-Clause */
/* test_trace.c - what a traced rank or agent writes for given calls, read back by jq; the file's bounds. */
#include "trace_fixture.h"

#include "base/clock.h"
#include "store/item.h"

#include <errno.h>
#include <limits.h>
#include <sys/resource.h>

/* Runs work() in a traced process of its own: what a trace has counted cannot be reset. */
static void trace_as(enum mioc_trace_of of, void (*work)(void))
{
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        if (mioc_trace_start(&config, of, RANK) < 0)
            _exit(100);
        work();
        mioc_trace_end();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void trace(void (*work)(void)) { trace_as(MIOC_TRACE_RANK, work); }

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

static void agent_has_a_pid_that_no_rank_has(void **state)
{
    (void)state;
    trace_as(MIOC_TRACE_NODE, three_calls);
    snprintf(file, sizeof file, "%s/node-%05d.json", folder, RANK);
    assert_string_equal(queried("map(.pid) | unique"), "[1000000003]\n");
    assert_string_equal(queried(".[0] | .name, (.args.name | startswith(\"agent of node 3 (\"))"),
                        "\"process_name\"\ntrue\n");
    assert_string_equal(queried(".[-1].name, (.[-1].args.events == length - 1)"), "\"mpiio_cache_end\"\ntrue\n");
    /* It names its threads itself. */
    assert_string_equal(queried("map(select(.name == \"thread_name\")) | length"), "0\n");
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(call_is_an_event_with_its_arguments),
        TEST(call_has_its_time_in_microseconds_of_2026),
        TEST(file_begins_and_ends_with_metadata),
        TEST(agent_has_a_pid_that_no_rank_has),
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
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
