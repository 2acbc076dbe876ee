/* SPDX-License-Identifier: BSD-3-Clause */
/* test_job.c - the record of a job: its name, its fields, and what happens if it cannot be written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/log.h"
#include "observe/job.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static char *slurm[] = { "SLURM_JOB_ID=4711", "SLURM_STEP_ID=0", NULL };
static char *argv[] = { "python3", "-O", "run \"it\".py", "x", NULL };

static struct mioc_config config;
static struct mioc_report report;
static char folder[] = "/tmp/mioc_test_job.XXXXXX";

static int setup(void **state)
{
    (void)state;
    memcpy(folder + sizeof folder - 7, "XXXXXX", 6);
    if (mkdtemp(folder) == NULL)
        return -1;
    memset(&config, 0, sizeof config);
    snprintf(config.site.records, sizeof config.site.records, "%s", folder);
    memset(&report, 0, sizeof report);
    report.ranks = 2;
    report.nodes = report.reported_nodes = 1;
    mioc_log_set_level(MIOC_LOG_WARN);
    return 0;
}

static int teardown(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

/* Reports with standard error in a file. Returns what was printed. */
static const char *reported(int status)
{
    static char printed[65536];
    int saved = dup(STDERR_FILENO), fd = memfd_create("stderr", MFD_CLOEXEC);
    ssize_t n;

    assert_int_equal(dup2(fd, STDERR_FILENO), STDERR_FILENO);
    mioc_job_report(&report, "active: 2 ranks", &config, status);
    assert_int_equal(dup2(saved, STDERR_FILENO), STDERR_FILENO);
    close(saved);
    n = pread(fd, printed, sizeof printed - 1, 0);
    close(fd);
    assert_true(n >= 0);
    printed[n] = '\0';
    return printed;
}

/* The name of the only file in the folder. */
static const char *only_file(void)
{
    static char name[NAME_MAX + 1];
    const struct dirent *entry;
    DIR *dir = opendir(folder);
    int count = 0;

    assert_non_null(dir);
    while ((entry = readdir(dir)) != NULL)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            snprintf(name, sizeof name, "%s", entry->d_name);
            count++;
        }
    closedir(dir);
    assert_int_equal(count, 1);
    return name;
}

/* What jq makes of a file, a line for each result. */
static const char *queried(const char *name, const char *query)
{
    static char answer[8192];
    char command[1024];
    FILE *output;
    size_t n;

    assert_true(snprintf(command, sizeof command, "jq -c '%s' '%s/%s' 2>&1", query, folder, name) <
                (int)sizeof command);
    output = popen(command, "r");
    assert_non_null(output);
    n = fread(answer, 1, sizeof answer - 1, output);
    answer[n] = '\0';
    assert_int_equal(pclose(output), 0);
    return answer;
}

static void record_is_named_after_user_job_host_process_and_start(void **state)
{
    char host[72] = "", expected[256];
    unsigned user;
    int process;
    struct tm tm;
    time_t start;

    (void)state;
    mioc_job_note(argv, slurm);
    assert_string_equal(reported(0), "");
    assert_int_equal(gethostname(host, sizeof host - 1), 0);
    start = (time_t)atoll(queried(only_file(), ".job.started"));
    assert_true(start <= time(NULL) && start > time(NULL) - 60);
    assert_non_null(gmtime_r(&start, &tm));
    user = (unsigned)geteuid();
    process = (int)getpid();
    snprintf(expected, sizeof expected, "%u-slurm_4711.0-%s-%d-", user, host, process);
    strftime(expected + strlen(expected), 64, "%Y%m%dT%H%M%SZ.json", &tm);
    assert_string_equal(only_file(), expected);
}

static void record_says_what_the_job_was(void **state)
{
    char exe[512] = "", host[72] = "", expected[2048];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);

    (void)state;
    assert_true(n > 0);
    assert_int_equal(gethostname(host, sizeof host - 1), 0);
    mioc_job_note(argv, slurm);
    assert_string_equal(reported(7), "");
    snprintf(expected, sizeof expected, "[\"slurm 4711.0\",%u,\"%s\",%d,\"%s\",\"run \\\"it\\\".py\",7]\n",
             (unsigned)geteuid(), host, (int)getpid(), exe);
    assert_string_equal(queried(only_file(), ".job | [.id, .user, .host, .pid, .interpreter, .script, .status]"),
                        expected);
    assert_string_equal(queried(only_file(), "[.schema, .line, .ranks], (.job.seconds | . >= 0 and . < 60)"),
                        "[1,\"active: 2 ranks\",2]\ntrue\n");
}

static void record_is_for_everybody_to_read(void **state)
{
    char path[512];
    struct stat st;
    mode_t before = umask(022);

    (void)state;
    mioc_job_note(argv, slurm);
    assert_string_equal(reported(0), "");
    (void)umask(before);
    snprintf(path, sizeof path, "%s/%s", folder, only_file());
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode, S_IFREG | 0644);
}

static void job_id_does_not_lead_out_of_the_folder(void **state)
{
    char *env[] = { "SLURM_JOB_ID=../../tmp/x\n%s", NULL };

    (void)state;
    mioc_job_note(argv, env);
    assert_string_equal(reported(0), "");
    assert_non_null(strstr(only_file(), "-slurm_.._.._tmp_x__s-"));
    assert_string_equal(queried(only_file(), ".job.id"), "\"slurm ../../tmp/x\\n%s\"\n");
}

static void job_without_script_has_an_empty_one(void **state)
{
    char *interactive[] = { "python3", NULL }, *env[] = { "PMI_RANK=0", NULL };

    (void)state;
    mioc_job_note(interactive, env);
    assert_string_equal(reported(0), "");
    assert_string_equal(queried(only_file(), ".job | [.id, .script]"), "[\"hydra\",\"\"]\n");
}

static void note_keeps_errno(void **state)
{
    (void)state;
    errno = 77;
    mioc_job_note(argv, slurm);
    assert_int_equal(errno, 77);
}

static void missing_folder_is_one_warning_and_nothing_is_made(void **state)
{
    struct stat st;

    (void)state;
    snprintf(config.site.records, sizeof config.site.records, "%s/none", folder);
    mioc_job_note(argv, slurm);
    const char *printed = reported(0);
    assert_non_null(strstr(printed, "warning: cannot write this job's record below "));
    assert_non_null(strstr(printed, "/none: No such file or directory; it is lost"));
    assert_ptr_equal(strchr(printed, '\n'), printed + strlen(printed) - 1);
    assert_int_equal(stat(config.site.records, &st), -1);
}

/* Somebody has planted a link under the name that the record has until it is complete. */
static void planted_link_is_not_followed(void **state)
{
    char name[NAME_MAX + 1], link[512], victim[512];
    struct stat st;

    (void)state;
    mioc_job_note(argv, slurm);
    assert_string_equal(reported(0), "");
    snprintf(name, sizeof name, "%s", only_file());
    snprintf(victim, sizeof victim, "%s/%s", folder, name);
    assert_int_equal(unlink(victim), 0);
    snprintf(victim, sizeof victim, "%s/victim", folder);
    snprintf(link, sizeof link, "%s/.%s", folder, name);
    assert_int_equal(symlink(victim, link), 0);
    assert_non_null(strstr(reported(0), "warning: cannot write this job's record"));
    assert_int_equal(lstat(victim, &st), -1);
    assert_int_equal(lstat(link, &st), 0);
    assert_true(S_ISLNK(st.st_mode));
}

static void statistics_go_to_their_file(void **state)
{
    (void)state;
    config.site.records[0] = '\0';
    config.stats = 1;
    snprintf(config.stats_file, sizeof config.stats_file, "%s/stats.json", folder);
    mioc_job_note(argv, slurm);
    assert_string_equal(reported(3), "");
    assert_string_equal(queried("stats.json", "[.ranks, .job.status]"), "[2,3]\n");
    snprintf(config.stats_file, sizeof config.stats_file, "%s/none/stats.json", folder);
    assert_non_null(strstr(reported(3), "warning: cannot write statistics to MPIIO_CACHE_STATS="));
    config.stats_file[0] = '\0';
    assert_non_null(strstr(reported(3), "processes:  2 ranks, 0 guests\n"));
}

static void report_is_wanted_for_statistics_or_a_record(void **state)
{
    (void)state;
    assert_true(mioc_job_is_wanted(&config));
    config.site.records[0] = '\0';
    assert_false(mioc_job_is_wanted(&config));
    assert_string_equal(reported(0), "");
    config.stats = 1;
    assert_true(mioc_job_is_wanted(&config));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(record_is_named_after_user_job_host_process_and_start),
        TEST(record_says_what_the_job_was),
        TEST(record_is_for_everybody_to_read),
        TEST(job_id_does_not_lead_out_of_the_folder),
        TEST(job_without_script_has_an_empty_one),
        TEST(note_keeps_errno),
        TEST(missing_folder_is_one_warning_and_nothing_is_made),
        TEST(planted_link_is_not_followed),
        TEST(statistics_go_to_their_file),
        TEST(report_is_wanted_for_statistics_or_a_record),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
