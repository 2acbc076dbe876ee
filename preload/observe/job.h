/* SPDX-License-Identifier: BSD-3-Clause */
/* job.h - what the statistics say of the job itself, and where they go at its end: MPIIO_CACHE_STATS and the site's
 * RECORDS.
 *
 * For rank 0, or a dormant process that reports by itself. mioc_job_note() before main, while environment and arguments
 * are as the launcher gave them; mioc_job_report() at the end, in whatever thread ends the process. */
#ifndef MIOC_JOB_H
#define MIOC_JOB_H

#include "base/config.h"
#include "base/stats.h"
#include <stdint.h>
#include <sys/types.h>

struct mioc_job {
    char id[128];                                 /* "slurm 4711.0", "hydra", "" */
    char host[72], interpreter[512], script[512]; /* script as on the command line, "" if there is none */
    uid_t user;
    pid_t pid;
    int64_t started;     /* seconds of the epoch */
    uint64_t started_ns; /* CLOCK_MONOTONIC */
};

/* Whether anything is to be written at the end. */
static inline int mioc_job_is_wanted(const struct mioc_config *config)
{
    return config->stats || config->site.records[0] != '\0';
}
void mioc_job_note(char *const *argv, char *const *env);

/* Writes what is asked for: the table or the file of MPIIO_CACHE_STATS, and one file in RECORDS, mode 0644, named
 * UID-JOB-HOST-PID-START.json, complete or not there at all. What cannot be written is one warning each. `status`: of
 * the process. */
void mioc_job_report(const struct mioc_report *report, const char *line, const struct mioc_config *config, int status);

#endif
