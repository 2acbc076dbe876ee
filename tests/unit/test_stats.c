/* SPDX-License-Identifier: BSD-3-Clause */
/* test_stats.c - counting, summing up over ranks and nodes, and the report as table and as JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "observe/job.h"
#include "base/stats.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static char output[32768];

typedef int (*print_function)(const struct mioc_report *, const char *, int);

static const char *printed(print_function print, const struct mioc_report *report, const char *line)
{
    int fd = memfd_create("report", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(print(report, line, fd), 0);
    ssize_t n = pread(fd, output, sizeof output - 1, 0);
    assert_true(n >= 0);
    output[n] = '\0';
    close(fd);
    return output;
}

static const struct mioc_job job = { .id = "slurm 12.0",
                                     .host = "n0",
                                     .interpreter = "/bin/python3",
                                     .script = "a\"b.py",
                                     .user = 7,
                                     .pid = 9,
                                     .started = 1234 };

static int print_json(const struct mioc_report *report, const char *line, int fd)
{
    return mioc_report_json(report, line, &job, 3, fd);
}

/* What jq makes of the JSON report; needs jq. */
static const char *queried(const struct mioc_report *report, const char *line, const char *query)
{
    static char answer[8192];
    char command[512], path[] = "/tmp/mioc_test_stats.XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(print_json(report, line, fd), 0);
    close(fd);
    snprintf(command, sizeof command, "jq -r '%s' %s 2>&1", query, path);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    size_t n = fread(answer, 1, sizeof answer - 1, pipe);
    answer[n > 0 && answer[n - 1] == '\n' ? n - 1 : n] = '\0';
    int status = pclose(pipe);
    unlink(path);
    if (status != 0)
        fail_msg("%s: %s", command, answer);
    return answer;
}

static int has_jq(void) { return system("command -v jq >/dev/null 2>&1") == 0; }

static struct mioc_report example(void)
{
    struct mioc_stats fast = { 0 }, slow = { 0 }, guest = { 0 };
    struct mioc_report report = { 0 };
    fast.row[MIOC_CALL_STAT] = (struct mioc_stats_row){ { 90, 6, 3, 1 }, 0, 500000000 };
    slow.row[MIOC_CALL_STAT] = (struct mioc_stats_row){ { 100, 0, 0, 0 }, 0, 1500000000 };
    slow.row[MIOC_CALL_OPEN] = (struct mioc_stats_row){ { 4, 0, 0, 0 }, 3u << 20, 1000 };
    guest.row[MIOC_CALL_STAT] = (struct mioc_stats_row){ { 10, 0, 0, 0 }, 0, 7000000000 };
    fast.loads = 30;
    guest.loads = 10;
    fast.loader[MIOC_LOADER_PATCH] = 3;
    guest.loader[MIOC_LOADER_PATCH] = 1;
    slow.loader[MIOC_LOADER_THREADS] = 1;
    slow.loader[MIOC_LOADER_FORM] = 2;
    mioc_report_add(&report, &fast, 1);
    mioc_report_add(&report, &slow, 1);
    mioc_report_add(&report, &guest, 0);
    report.nodes = 4;
    report.reported_nodes = 3;
    report.store_bytes = 5u << 20;
    report.contents = 17;
    report.root_requests = 8;
    report.root_questions = 6;
    report.root_calls = 10;
    report.root_ahead = 500;
    return report;
}

static void count_goes_to_the_block_in_force(void **state)
{
    struct mioc_stats block = { 0 }, other = { 0 };
    (void)state;
    mioc_stats_count(MIOC_CALL_OPEN, MIOC_PASS, 0, 0); /* before any start: must not be lost */
    mioc_stats_use(&block, 0);
    mioc_stats_count(MIOC_CALL_OPEN, MIOC_HIT, 100, 7);
    mioc_stats_count(MIOC_CALL_OPEN, MIOC_HIT, 50, 0);
    assert_ptr_equal(mioc_stats_current(), &block);
    assert_int_equal(block.row[MIOC_CALL_OPEN].outcome[MIOC_PASS], 1);
    assert_int_equal(block.row[MIOC_CALL_OPEN].outcome[MIOC_HIT], 2);
    assert_int_equal(block.row[MIOC_CALL_OPEN].bytes, 150);
    assert_int_equal(block.row[MIOC_CALL_OPEN].ns, 7);
    mioc_stats_use(&other, 0); /* from one block to another nothing moves */
    assert_int_equal(other.row[MIOC_CALL_OPEN].outcome[MIOC_HIT], 0);
    mioc_stats_use(NULL, 0);
    assert_int_equal(mioc_stats_current()->row[MIOC_CALL_OPEN].outcome[MIOC_PASS], 0);
    mioc_stats_use(NULL, 0);
    mioc_stats_count(MIOC_CALL_STAT, MIOC_MISS, 0, 0);
    assert_int_equal(mioc_stats_current()->row[MIOC_CALL_STAT].outcome[MIOC_MISS], 1);
}

static void now_without_timers_is_zero(void **state)
{
    struct mioc_stats block = { 0 };
    (void)state;
    mioc_stats_use(&block, 0);
    assert_int_equal(mioc_stats_now(), 0);
    assert_int_equal(mioc_stats_since(0), 0);
    mioc_stats_use(&block, 1);
    uint64_t start = mioc_stats_now();
    assert_true(start > 0);
    assert_true(mioc_stats_since(start) < 60000000000u);
    mioc_stats_use(NULL, 0);
}

static void *count_often(void *argument)
{
    (void)argument;
    for (int i = 0; i < 20000; i++)
        mioc_stats_count(MIOC_CALL_STAT, MIOC_HIT, 1, 2);
    return NULL;
}

static void count_from_threads_loses_nothing(void **state)
{
    struct mioc_stats block = { 0 };
    pthread_t threads[4];
    (void)state;
    mioc_stats_use(&block, 1);
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, count_often, NULL);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(block.row[MIOC_CALL_STAT].outcome[MIOC_HIT], 80000);
    assert_int_equal(block.row[MIOC_CALL_STAT].bytes, 80000);
    assert_int_equal(block.row[MIOC_CALL_STAT].ns, 160000);
    mioc_stats_use(NULL, 0);
}

static void add_counts_guests_but_not_their_seconds(void **state)
{
    struct mioc_report report = example();
    const struct mioc_report_row *row = &report.row[MIOC_CALL_STAT];
    (void)state;
    assert_int_equal(report.ranks, 2);
    assert_int_equal(report.guests, 1);
    assert_int_equal(row->calls, 210);
    assert_int_equal(row->outcome[MIOC_HIT], 200);
    assert_int_equal(row->outcome[MIOC_TIMEOUT], 1);
    assert_int_equal(row->ns_min, 500000000);
    assert_int_equal(row->ns_max, 1500000000);
    assert_int_equal(row->ns_sum, 2000000000);
    /* A rank that made no such call has 0 seconds, and that is the minimum. */
    assert_int_equal(report.row[MIOC_CALL_OPEN].ns_min, 0);
}

static void merge_is_the_same_as_adding_all(void **state)
{
    struct mioc_stats ranks[4];
    struct mioc_report all = { 0 }, left = { 0 }, right = { 0 }, empty = { 0 }, merged = { 0 };
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        for (int call = 0; call < MIOC_CALLS; call++)
            ranks[i].row[call] = (struct mioc_stats_row){ { i + 1, i, 2 * i, 3 }, i * 100, 1000 + i * 10 };
        mioc_report_add(&all, &ranks[i], 1);
        mioc_report_add(i < 2 ? &left : &right, &ranks[i], 1);
    }
    mioc_report_merge(&merged, &left);
    mioc_report_merge(&merged, &empty); /* a node without ranks must not make the minimum 0 */
    mioc_report_merge(&merged, &right);
    assert_memory_equal(&merged, &all, sizeof all);
}

static void merge_sums_nodes_and_keeps_the_store(void **state)
{
    struct mioc_report to = example(), from = example();
    (void)state;
    from.reported_nodes = 1;
    from.root_calls = from.root_requests = from.root_questions = from.root_ahead = 0;
    from.store_bytes = 1;
    mioc_report_merge(&to, &from);
    assert_int_equal(to.nodes, 4);
    assert_int_equal(to.reported_nodes, 4);
    assert_int_equal(to.store_bytes, 5u << 20);
    assert_int_equal(to.contents, 17);
    assert_int_equal(to.root_calls, 10);
}

static void print_gives_the_table(void **state)
{
    struct mioc_report report = example();
    const char *expected[] = {
        "mpiio_cache: active: 2 ranks on 4 nodes, MPICH 4.0.2\n",
        "\nclass          calls        hit       miss     passed    timeout    bytes      min     mean     max\n",
        "\nstat             210        200          6          3          1        0    0.500    1.000   1.500\n",
        "\nopen               4          4          0          0          0     3.0M    0.000    0.000   0.000\n",
        "\nall              214        204          6          3          1     3.0M             1.000\n",
        "\nprocesses:  2 ranks, 1 guests\n",
        "\nloader:     40 loads, 4 processes patched, 3 not\n      because: setting 0 threads 1 form 2 text 0 test 0\n",
        "\nstore:      5.0MB a node, 17 file contents\n",
        "\nroot:       8 requests, 6 questions, 10 real calls, 500 read ahead\n",
        "\nsaved:      200 operations, 95.2 % of the hits and misses\n",
        "\nincomplete: 3 of 4 nodes reported\n",
    };
    (void)state;
    printed(mioc_report_print, &report, "active: 2 ranks on 4 nodes, MPICH 4.0.2");
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++)
        if (strstr(output, expected[i]) == NULL)
            fail_msg("missing: %s\nin: %s", expected[i], output);
    report.reported_nodes = 4;
    printed(mioc_report_print, &report, "mpiio_cache: active");
    assert_null(strstr(output, "incomplete"));
    assert_true(strncmp(output, "mpiio_cache: active\n", 20) == 0);
}

static void print_largest_numbers_fit_a_hundred_columns(void **state)
{
    struct mioc_report report;
    (void)state;
    memset(&report, 0xff, sizeof report);
    for (int call = 0; call < MIOC_CALLS; call++)
        report.row[call].ns_min = report.row[call].ns_sum = report.row[call].ns_max = 86399999999999ull;
    report.ranks = 1;
    printed(mioc_report_print, &report, "active");
    for (char *line = strtok(output, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        if (strlen(line) > 100)
            fail_msg("%zu columns: %s", strlen(line), line);
        for (const char *c = line; *c != '\0'; c++)
            assert_true(*c >= 0x20 && *c < 0x7f);
    }
}

static void print_of_nothing_divides_by_nothing(void **state)
{
    struct mioc_report report = { 0 };
    (void)state;
    printed(mioc_report_print, &report, "inactive: no launcher");
    assert_non_null(strstr(output, "saved:      0 operations, 0.0 %"));
    printed(print_json, &report, "inactive: no launcher");
    assert_non_null(strstr(output, "\"percent\": 0.0"));
}

static void json_says_which_job_it_was(void **state)
{
    struct mioc_report report = { 0 };
    (void)state;
    if (!has_jq())
        skip();
    assert_string_equal(
        queried(&report, "x",
                ".job | [.id, .host, .interpreter, .script, .user, .pid, .started, .status] | join(\",\")"),
        "slurm 12.0,n0,/bin/python3,a\"b.py,7,9,1234,3");
}

static void print_to_bad_descriptor_fails_with_errno(void **state)
{
    struct mioc_report report = { 0 };
    (void)state;
    assert_int_equal(mioc_report_print(&report, "x", -1), -1);
    assert_int_equal(errno, EBADF);
    int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_int_equal(print_json(&report, "x", fd), -1);
    assert_int_equal(errno, ENOSPC);
    close(fd);
}

static void json_has_the_numbers_of_the_table(void **state)
{
    struct mioc_report report = example();
    static const struct {
        const char *query, *answer;
    } cases[] = {
        { ".schema", "1" },
        { ".line", "active: 2 ranks" },
        { "[.ranks, .guests, .nodes, .reported_nodes] | @csv", "2,1,4,3" },
        { ".calls.stat | [.calls, .hit, .miss, .passed, .timeout, .bytes] | @csv", "210,200,6,3,1,0" },
        { ".calls.stat.seconds | [.min, .mean, .max] | @csv", "0.5,1,1.5" },
        { ".calls.open.bytes", "3145728" },
        { ".calls.all | [.calls, .hit, .miss] | @csv", "214,204,6" },
        { ".calls | keys | length", "9" },
        { ".loader | [.loads, .patched, .unpatched, .why.form] | @csv", "40,4,3,2" },
        { ".loader.why | [.[]] | add", "3" },
        { ".store | [.bytes, .contents] | @csv", "5242880,17" },
        { ".root | [.requests, .calls] | @csv", "8,10" },
        { ".saved | [.operations, .percent] | @csv", "200,95.2" },
    };
    (void)state;
    if (!has_jq())
        skip();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_string_equal(queried(&report, "active: 2 ranks", cases[i].query), cases[i].answer);
}

static void json_with_hostile_line_stays_valid(void **state)
{
    struct mioc_report report = example();
    char *endless = malloc(100001);
    (void)state;
    if (!has_jq())
        skip();
    assert_string_equal(queried(&report, "a\"b\\c\n\x01ö…\xf0\x9f\x90\x8d", ".line"),
                        "a\"b\\c\n\x01ö…\xf0\x9f\x90\x8d");
    /* Bytes that are no UTF-8: alone, cut off, overlong, surrogate, too large. */
    assert_string_equal(queried(&report, "\xff|\xc3|\xc0\xaf|\xed\xa0\x80|\xf4\x90\x80\x80|\xe2\x80", ".line | length"),
                        "18");
    memset(endless, '"', 100000);
    endless[100000] = '\0';
    assert_string_equal(queried(&report, endless, ".ranks"), "2");
    free(endless);
}

static void json_loss_is_negative(void **state)
{
    struct mioc_report report = example();
    (void)state;
    if (!has_jq())
        skip();
    report.root_calls = 1000; /* speculation that nobody asked for */
    assert_string_equal(queried(&report, "x", ".saved | [.operations, .percent] | @csv"), "-790,-376.2");
    memset(&report, 0xff, sizeof report);
    queried(&report, "x", ".");
    /* A block that a guest has written over: the quotient is larger than any integer (undefined, seen by UBSan). */
    memset(&report, 0, sizeof report);
    report.row[0].outcome[MIOC_HIT] = 1;
    report.root_calls = (uint64_t)1 << 63;
    assert_string_equal(queried(&report, "x", ".saved.percent < -8e17"), "true");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(count_goes_to_the_block_in_force),
        cmocka_unit_test(now_without_timers_is_zero),
        cmocka_unit_test(count_from_threads_loses_nothing),
        cmocka_unit_test(add_counts_guests_but_not_their_seconds),
        cmocka_unit_test(merge_is_the_same_as_adding_all),
        cmocka_unit_test(merge_sums_nodes_and_keeps_the_store),
        cmocka_unit_test(print_gives_the_table),
        cmocka_unit_test(print_largest_numbers_fit_a_hundred_columns),
        cmocka_unit_test(print_of_nothing_divides_by_nothing),
        cmocka_unit_test(json_says_which_job_it_was),
        cmocka_unit_test(print_to_bad_descriptor_fails_with_errno),
        cmocka_unit_test(json_has_the_numbers_of_the_table),
        cmocka_unit_test(json_with_hostile_line_stays_valid),
        cmocka_unit_test(json_loss_is_negative),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
