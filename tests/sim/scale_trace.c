/* SPDX-License-Identifier: BSD-3-Clause */
/* scale_trace.c - reads the trace of a real import. Lines, as record-trace writes them:
 *
 *     J RECORDED KIND PATH CALLS BYTES N KIND:SIZE...   job 0, 1, ...: real calls, bytes of its content, its N items
 *     C JOB JOB BEFORE                                  the first job brings the second: 1: before its answer, 0:
 *                                                       under way with it
 *     L THINK-NS JOB OTHER                              a rank's look-up: that job's record, or OTHER's (a
 *                                                       listing; -1: none) */
#include "scale.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *grow(void *array, unsigned n, size_t size)
{
    if ((n & (n - 1)) != 0)
        return array;
    array = realloc(array, (n ? 2 * (size_t)n : 1) * size);
    if (array == NULL)
        abort();
    return array;
}

static int read_items(struct scale_job *job, const char *text)
{
    int used;

    for (unsigned i = 0; i < job->items; i++, text += used)
        if (sscanf(text, " %u:%u%n", &job->item[i].kind, &job->item[i].size, &used) != 2)
            return -1;
    return 0;
}

static int read_job(struct scale_trace *t, const char *line)
{
    struct scale_job *job;
    char path[4096];
    int used = 0;

    t->job = grow(t->job, t->jobs, sizeof(*t->job));
    job = &t->job[t->jobs];
    memset(job, 0, sizeof(*job));
    if (sscanf(line, "J %d %u %4095s %u %lu %u%n", &job->is_recorded, &job->kind, path, &job->calls, &job->bytes,
               &job->items, &used) != 6 ||
        job->items > sizeof(job->item) / sizeof(job->item[0]) || read_items(job, line + used) != 0)
        return -1;
    job->path = strdup(path);
    job->len = (uint32_t)strlen(path);
    t->jobs++;
    return 0;
}

static int read_cause(struct scale_trace *t, const char *line)
{
    t->cause = grow(t->cause, t->causes, sizeof(*t->cause));
    if (sscanf(line, "C %u %u %d", &t->cause[t->causes].job, &t->cause[t->causes].brings,
               &t->cause[t->causes].is_before) != 3 ||
        t->cause[t->causes].job >= t->jobs || t->cause[t->causes].brings >= t->jobs)
        return -1;
    t->causes++;
    return 0;
}

static int read_lookup(struct scale_trace *t, const char *line)
{
    struct scale_lookup *lookup;

    t->lookup = grow(t->lookup, t->lookups, sizeof(*t->lookup));
    lookup = &t->lookup[t->lookups];
    if (sscanf(line, "L %lu %u %d", &lookup->think, &lookup->job, &lookup->other) != 3 || lookup->job >= t->jobs ||
        lookup->other >= (int)t->jobs)
        return -1;
    t->lookups++;
    return 0;
}

int scale_trace_read(struct scale_trace *t, const char *file)
{
    static char line[16384];
    FILE *in = strcmp(file, "-") == 0 ? stdin : fopen(file, "re");
    unsigned number = 0;
    int rc = in == NULL ? -1 : 0;

    memset(t, 0, sizeof(*t));
    while (rc == 0 && fgets(line, sizeof line, in) != NULL) {
        number++;
        switch (line[0]) {
        case 'J': rc = read_job(t, line); break;
        case 'C': rc = read_cause(t, line); break;
        case 'L': rc = read_lookup(t, line); break;
        case '#': break;
        default: rc = -1;
        }
    }
    if (in != NULL && in != stdin)
        fclose(in);
    if (rc != 0 || t->lookups == 0)
        fprintf(stderr, "mioc_scale: %s, line %u: not a trace\n", file, number);
    return rc != 0 || t->lookups == 0 ? -1 : 0;
}

void scale_trace_free(struct scale_trace *t)
{
    for (unsigned i = 0; i < t->jobs; i++)
        free(t->job[i].path);
    free(t->job);
    free(t->cause);
    free(t->lookup);
}
