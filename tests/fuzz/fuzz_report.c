/* SPDX-License-Identifier: BSD-3-Clause */
/* fuzz_report.c - statistics of any numbers from other processes and nodes. Promises: the table stays a table, the JSON
 * stays JSON. */
#include "observe/job.h"
#include "base/stats.h"
#include "fuzz.h"

#include <sys/mman.h>
#include <unistd.h>

static char text[16384];

static const char *read_back(int file)
{
    ssize_t n = pread(file, text, sizeof text - 1, 0);

    PROMISE(n > 0 && ftruncate(file, 0) == 0 && lseek(file, 0, SEEK_SET) == 0);
    text[n] = '\0';
    PROMISE(strlen(text) == (size_t)n);
    return text;
}

/* One value, by recursive descent; behind it. */
static const char *value(const char *at, int depth)
{
    PROMISE(depth < 8);
    at += strspn(at, " \n");
    if (*at == '{') {
        do {
            at++;
            at += strspn(at, " \n");
            PROMISE(*at == '"');
            at = value(at, depth + 1);
            at += strspn(at, " \n");
            PROMISE(*at == ':');
            at = value(at + 1, depth + 1);
            at += strspn(at, " \n");
        } while (*at == ',');
        PROMISE(*at == '}');
        return at + 1;
    }
    if (*at == '"') {
        for (at++; *at != '"'; at += *at == '\\' ? 2 : 1)
            PROMISE((unsigned char)*at >= 0x20);
        return at + 1;
    }
    PROMISE(*at == '-' || (*at >= '0' && *at <= '9'));
    at += strspn(at, "-0123456789.");
    return at;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct mioc_report report, child;
    static struct mioc_stats stats;
    static struct mioc_job job;
    static int file = -1;
    struct fuzz_input in = { data, size };
    char line[400] = "";
    const uint8_t *bytes;
    size_t n;

    if (file < 0)
        file = memfd_create("report", 0);
    memset(&report, 0, sizeof report);
    n = fuzz_bytes(&in, fuzz_number(&in, 2) % sizeof line, &bytes);
    memcpy(line, bytes, n < sizeof line ? n : sizeof line - 1);
    for (int i = 0; i < 3; i++) {
        memset(&child, 0, sizeof child);
        memset(&stats, 0, sizeof stats);
        n = fuzz_bytes(&in, sizeof child, &bytes);
        memcpy(&child, bytes, n);
        n = fuzz_bytes(&in, sizeof stats, &bytes);
        memcpy(&stats, bytes, n);
        mioc_report_add(&report, &stats, i % 2);
        mioc_report_merge(&report, &child);
    }
    PROMISE(mioc_report_print(&report, line, file) == 0);
    (void)read_back(file);
    memset(&job, 0, sizeof job);
    n = fuzz_bytes(&in, sizeof job.id - 1, &bytes);
    memcpy(job.id, bytes, n);
    n = fuzz_bytes(&in, sizeof job.script - 1, &bytes);
    memcpy(job.script, bytes, n);
    job.started = (int64_t)fuzz_number(&in, 8);
    job.started_ns = fuzz_number(&in, 8);
    PROMISE(mioc_report_json(&report, line, &job, (int)fuzz_number(&in, 4), file) == 0);
    PROMISE(strcmp(value(read_back(file), 0), "\n") == 0);
    return 0;
}
