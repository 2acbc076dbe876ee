/* SPDX-License-Identifier: BSD-3-Clause */
/* job.c - what the statistics say of the job itself, and where they go at its end. */
#include "job.h"
#include "log.h"
#include "policy.h"
#include "proc.h"
#include "real.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct mioc_job job;

static void note_id(char *const *env)
{
    const char *id = mioc_proc_getenv(env, "SLURM_JOB_ID"), *step = mioc_proc_getenv(env, "SLURM_STEP_ID");

    if (id != NULL)
        snprintf(job.id, sizeof job.id, "slurm %.48s%s%.48s", id, step != NULL ? "." : "", step != NULL ? step : "");
    else if (mioc_proc_getenv(env, "PMI_RANK") != NULL)
        snprintf(job.id, sizeof job.id, "hydra");
}

void mioc_job_note(char *const *argv, char *const *env)
{
    const char *script = mioc_policy_script(argv, env);
    struct timespec now;
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
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    job.started_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    errno = saved;
}

static void report_statistics(const struct mioc_report *report, const char *line, const struct mioc_config *config, int status)
{
    const char *file = config->stats_file;
    int fd;

    if (file[0] == '\0') {
        (void)mioc_report_print(report, line, STDERR_FILENO);
        return;
    }
    fd = mioc_real(open)(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0 || mioc_report_json(report, line, &job, status, fd) != 0)
        mioc_log(MIOC_LOG_WARN, "cannot write statistics to MPIIO_CACHE_STATS=%s: %s; they are lost. Name a file that rank 0 can write", file, strerror(errno));
    if (fd >= 0)
        mioc_real(close)(fd);
}

/* A name for everybody's folder: of what others chose only what cannot lead elsewhere. */
static void name_record(char *name, size_t size)
{
    struct tm tm;
    time_t started = (time_t)job.started;
    char *at;

    if (gmtime_r(&started, &tm) == NULL)
        memset(&tm, 0, sizeof tm);
    snprintf(name, size, "%u-%.100s-%.64s-%d-%04d%02d%02dT%02d%02d%02dZ.json", (unsigned)job.user, job.id, job.host, (int)job.pid,
             tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
    for (at = name; *at != '\0'; at++)
        if (!isalnum((unsigned char)*at) && strchr("-._", *at) == NULL)
            *at = '_';
}

/* Under a name that begins with a dot until it is whole. The folder is everybody's, with the sticky bit: no link is followed and
 * nothing of others replaced. */
static int write_record(const struct mioc_report *report, const char *line, const char *folder, int status)
{
    char name[400], from[1024], to[1024];
    int fd, error;

    name_record(name, sizeof name);
    snprintf(from, sizeof from, "%s/.%s", folder, name);
    snprintf(to, sizeof to, "%s/%s", folder, name);
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
        mioc_log(MIOC_LOG_WARN, "cannot write this job's record below %s: %s; it is lost. Your site wants one (RECORDS in %s)",
                 folder, strerror(errno), MIOC_SITE_FILE);
}
