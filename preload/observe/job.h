/* SPDX-License-Identifier: BSD-3-Clause */
/* job.h - notes facts about the job at its start, and writes the statistics at its end: to MPIIO_CACHE_STATS and to the
 * site's RECORDS.
 *
 * Rank 0 uses it, or a dormant process that reports by itself. */
#ifndef MIOC_JOB_H
#define MIOC_JOB_H

#include "base/config.h"
#include "base/stats.h"
#include <stdint.h>
#include <sys/types.h>

/* All strings are NUL-terminated, and cut if they are too long. */
struct mioc_job {
    char id[128]; /* "slurm 4711.0", "hydra", "" */
    char host[72];
    char interpreter[512]; /* the program's path, "" if /proc does not say */
    char script[512];      /* as on the command line, "" if there is none */
    uid_t user;
    pid_t pid;
    int64_t started;     /* seconds since 1970 */
    uint64_t started_ns; /* by CLOCK_MONOTONIC */
};

/* Whether mioc_job_report() would write anything. */
static inline int mioc_job_is_wanted(const struct mioc_config *config)
{
    return config->stats || config->site.records[0] != '\0';
}
/* Notes the facts. Called before main, with one thread, while environment and arguments are as the launcher gave them.
 * Keeps errno. */
void mioc_job_note(char *const *argv, char *const *env);

/* Writes what the configuration asks for: the table on standard error or the file of MPIIO_CACHE_STATS, and one file in
 * RECORDS. That file has mode 0644 and the name UID-JOB-HOST-PID-START.json, and is complete or not there at all. A
 * file that cannot be written is one warning. `line` is the active or inactive line, `status` the process's exit
 * status. Called once, at the end, by the thread that ends the process. */
void mioc_job_report(const struct mioc_report *report, const char *line, const struct mioc_config *config, int status);

#endif
