/* SPDX-License-Identifier: BSD-3-Clause */
/* job.c - the facts of the job, and the files that the statistics go to. */
#include "job.h"
#include "base/clock.h"
#include "base/log.h"
#include "policy/policy.h"
#include "base/proc.h"
#include "base/real.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct mioc_job job;
static char record_name[400];

static void note_id(char *const *env)
{
    const char *id = mioc_proc_getenv(env, "SLURM_JOB_ID"), *step = mioc_proc_getenv(env, "SLURM_STEP_ID");

    if (id != NULL)
        snprintf(job.id, sizeof job.id, "slurm %.48s%s%.48s", id, step != NULL ? "." : "", step != NULL ? step : "");
    else if (mioc_proc_getenv(env, "PMI_RANK") != NULL)
        snprintf(job.id, sizeof job.id, "hydra");
}

/* The date of a day, counted from 1970-01-01. gmtime_r() takes a lock and reads the timezone, which the program may
 * still want to set. */
static void date_of(int64_t day, unsigned *year, unsigned *month, unsigned *day_of_month)
{
    /* Years begin in March here. 400 of them are a cycle of 146,097 days. */
    int64_t shifted = day + 719468, cycle = shifted / 146097, in_cycle = shifted % 146097;
    int64_t year_in_cycle = (in_cycle - in_cycle / 1460 + in_cycle / 36524 - in_cycle / 146096) / 365;
    int64_t in_year = in_cycle - (365 * year_in_cycle + year_in_cycle / 4 - year_in_cycle / 100),
            from_march = (5 * in_year + 2) / 153;

    *day_of_month = (unsigned)(in_year - (153 * from_march + 2) / 5 + 1);
    *month = (unsigned)(from_march < 10 ? from_march + 3 : from_march - 9);
    *year = (unsigned)(year_in_cycle + cycle * 400 + (*month <= 2));
}

/* Makes the record's name. The folder is everybody's, and host and job id come from others: characters that could lead
 * elsewhere become "_". */
static void name_record(void)
{
    unsigned year, month, day, second = (unsigned)(job.started % 86400);
    char *at;

    date_of(job.started / 86400, &year, &month, &day);
    snprintf(record_name, sizeof record_name, "%u-%.100s-%.64s-%d-%04u%02u%02uT%02u%02u%02uZ.json", (unsigned)job.user,
             job.id, job.host, (int)job.pid, year, month, day, second / 3600, second / 60 % 60, second % 60);
    for (at = record_name; *at != '\0'; at++)
        if (!isalnum((unsigned char)*at) && strchr("-._", *at) == NULL)
            *at = '_';
}

void mioc_job_note(char *const *argv, char *const *env)
{
    const char *script = mioc_policy_script(argv, env);
    int saved = errno;

    note_id(env);
    snprintf(job.script, sizeof job.script, "%s", script != NULL ? script : "");
    job.pid = getpid();
    job.user = geteuid();
    if (mioc_proc_exe(job.pid, job.interpreter, sizeof job.interpreter) != 0)
        job.interpreter[0] = '\0';
    if (gethostname(job.host, sizeof job.host - 1) != 0)
        job.host[0] = '\0';
    job.started = (int64_t)time(NULL);
    job.started_ns = mioc_clock_ns();
    name_record();
    errno = saved;
}

static void report_statistics(const struct mioc_report *report, const char *line, const struct mioc_config *config,
                              int status)
{
    const char *file = config->stats_file;
    int fd;

    if (file[0] == '\0') {
        (void)mioc_report_print(report, line, STDERR_FILENO);
        return;
    }
    fd = mioc_real(open)(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0 || mioc_report_json(report, line, &job, status, fd) != 0)
        mioc_log(
            MIOC_LOG_WARN,
            "cannot write statistics to MPIIO_CACHE_STATS=%s: %s; they are lost. Name a file that rank 0 can write",
            file, mioc_log_error(errno));
    if (fd >= 0)
        mioc_real(close)(fd);
}

/* Writes the record. Its name begins with a dot until it is complete. The folder is everybody's, with the sticky bit,
 * so this follows no link and replaces no file of others. */
static int write_record(const struct mioc_report *report, const char *line, const char *folder, int status)
{
    static char from[1024], to[1024]; /* the thread that calls exit() may have a small stack */
    int fd, error;

    snprintf(from, sizeof from, "%s/.%s", folder, record_name);
    snprintf(to, sizeof to, "%s/%s", folder, record_name);
    fd = mioc_real(open)(from, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0)
        return -1;
    if (mioc_report_json(report, line, &job, status, fd) == 0 && mioc_real(rename)(from, to) == 0) {
        mioc_real(close)(fd);
        return 0;
    }
    error = errno;
    mioc_real(close)(fd);
    (void)mioc_real(unlink)(from);
    errno = error;
    return -1;
}

void mioc_job_report(const struct mioc_report *report, const char *line, const struct mioc_config *config, int status)
{
    const char *folder = config->site.records;

    if (config->stats)
        report_statistics(report, line, config, status);
    if (folder[0] != '\0' && write_record(report, line, folder, status) != 0)
        mioc_log(MIOC_LOG_WARN,
                 "cannot write this job's record below %s: %s; it is lost. Your site wants one (RECORDS in %s)", folder,
                 mioc_log_error(errno), MIOC_SITE_FILE);
}
