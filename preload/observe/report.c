/* SPDX-License-Identifier: BSD-3-Clause */
/* report.c - prints the statistics as a table and as JSON. Numbers have a point, whatever the locale says. */
#include "job.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/stats.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define LINE_PREFIX "mpiio_cache: "

static const char *const outcome_names[MIOC_OUTCOMES] = {
    [MIOC_HIT] = "hit", [MIOC_MISS] = "miss", [MIOC_PASS] = "passed", [MIOC_TIMEOUT] = "timeout"
};

/* The text under construction. If it does not fit, is_full is set, and nothing is written. It is static because the
 * thread that calls exit() may have a small stack. */
static struct text {
    char bytes[12288];
    size_t used;
    int is_full;
} text;

__attribute__((format(printf, 2, 3))) static void put(struct text *t, const char *format, ...)
{
    size_t room = sizeof t->bytes - t->used;
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(t->bytes + t->used, room, format, arguments);
    va_end(arguments);
    if (n < 0 || (size_t)n >= room)
        t->is_full = 1;
    else
        t->used += (size_t)n;
}

static int write_text(const struct text *t, int fd)
{
    if (t->is_full) {
        errno = EMSGSIZE;
        return -1;
    }
    return mioc_log_write(fd, t->bytes, t->used);
}

/* --- Figures ----------------------------------------------------------------------------------------------------- */

struct figure {
    char text[40];
};

/* A number in at most ten columns: all its digits, or, above 9,999,999,999, a decimal suffix. */
static struct figure count_figure(uint64_t n)
{
    static const char suffixes[] = "kMGTPE";
    struct figure f;
    int power = -1;
    uint64_t rest = 0;
    if (n > 9999999999u)
        for (; n > 99999u; power++) {
            rest = n % 1000;
            n /= 1000;
        }
    if (power < 0)
        (void)snprintf(f.text, sizeof f.text, "%" PRIu64, n);
    else
        (void)snprintf(f.text, sizeof f.text, "%" PRIu64 ".%u%c", n, (unsigned)(rest / 100), suffixes[power]);
    return f;
}

/* A number of bytes with a binary suffix, cut to one decimal. */
static struct figure bytes_figure(uint64_t bytes)
{
    static const char suffixes[] = "KMGTPE";
    struct figure f;
    int power = -1;
    uint64_t rest = 0;
    for (; bytes >= 1024; power++) {
        rest = bytes % 1024;
        bytes /= 1024;
    }
    if (power < 0)
        (void)snprintf(f.text, sizeof f.text, "%" PRIu64, bytes);
    else
        (void)snprintf(f.text, sizeof f.text, "%" PRIu64 ".%u%c", bytes, (unsigned)(rest * 10 / 1024), suffixes[power]);
    return f;
}

/* Nanoseconds as seconds with 3 or 9 decimals. */
static struct figure seconds_figure(uint64_t ns, unsigned digits)
{
    struct figure f;
    uint64_t unit = digits == 3 ? 1000000u : 1u;
    uint64_t rounded = ns / unit + (ns % unit >= (unit + 1) / 2 && unit > 1);
    (void)snprintf(f.text, sizeof f.text, "%" PRIu64 ".%0*" PRIu64, rounded / (1000000000u / unit), (int)digits,
                   rounded % (1000000000u / unit));
    return f;
}

static uint64_t mean(uint64_t sum, uint32_t n) { return n != 0 ? sum / n : 0; }

/* The sum of all classes. ns_min and ns_max stay 0, because the classes' extremes need not be of one rank. */
static struct mioc_report_row sum_rows(const struct mioc_report *report)
{
    struct mioc_report_row all = { 0 };
    for (int call = 0; call < MIOC_CALLS; call++) {
        const struct mioc_report_row *row = &report->row[call];
        all.calls += row->calls;
        all.bytes += row->bytes;
        all.ns_sum += row->ns_sum;
        for (int i = 0; i < MIOC_OUTCOMES; i++)
            all.outcome[i] += row->outcome[i];
    }
    return all;
}

/* The number of operations saved; *percent is the same in percent of those that were answered. */
static int64_t saved_operations(const struct mioc_report *report, struct figure *percent)
{
    struct mioc_report_row all = sum_rows(report);
    uint64_t answered = all.outcome[MIOC_HIT] + all.outcome[MIOC_MISS];
    int64_t saved = (int64_t)(answered - report->root_calls);
    uint64_t size = saved < 0 ? -(uint64_t)saved : (uint64_t)saved;
    double exact = answered != 0 ? (double)size / (double)answered * 1000.0 + 0.5 : 0.0;
    uint64_t tenths = exact < 9e18 ? (uint64_t)exact : 9000000000000000000u; /* the figures come from other processes */
    (void)snprintf(percent->text, sizeof percent->text, "%s%" PRIu64 ".%u", saved < 0 && tenths != 0 ? "-" : "",
                   tenths / 10, (unsigned)(tenths % 10));
    return saved;
}

static const char *without_prefix(const char *line)
{
    size_t len = strlen(LINE_PREFIX);
    return strncmp(line, LINE_PREFIX, len) == 0 ? line + len : line;
}

/* --- Table ------------------------------------------------------------------------------------------------------- */

static void put_counts(struct text *t, const char *name, const struct mioc_report_row *row)
{
    put(t, "%-9s%11s", name, count_figure(row->calls).text);
    for (int i = 0; i < MIOC_OUTCOMES; i++)
        put(t, "%11s", count_figure(row->outcome[i]).text);
    put(t, "%9s", bytes_figure(row->bytes).text);
}

static void put_table(struct text *t, const struct mioc_report *report)
{
    struct mioc_report_row all = sum_rows(report);
    put(t, "%73s%26s\n", "", "seconds of a rank");
    put(t, "%-9s%11s%11s%11s%11s%11s%9s%9s%9s%8s\n", "class", "calls", "hit", "miss", "passed", "timeout", "bytes",
        "min", "mean", "max");
    for (int call = 0; call < MIOC_CALLS; call++) {
        const struct mioc_report_row *row = &report->row[call];
        put_counts(t, mioc_call_names[call], row);
        put(t, "%9s%9s%8s\n", seconds_figure(row->ns_min, 3).text,
            seconds_figure(mean(row->ns_sum, report->ranks), 3).text, seconds_figure(row->ns_max, 3).text);
    }
    put_counts(t, "all", &all);
    put(t, "%9s%9s\n", "", seconds_figure(mean(all.ns_sum, report->ranks), 3).text);
}

/* The number of processes whose loader is not patched. */
static uint64_t unpatched(const struct mioc_report *report)
{
    uint64_t n = 0;
    for (int way = MIOC_LOADER_PATCH + 1; way < MIOC_LOADER_WAYS; way++)
        n += report->loader[way];
    return n;
}

static void put_footer(struct text *t, const struct mioc_report *report)
{
    struct figure percent;
    int64_t saved = saved_operations(report, &percent);
    put(t, "processes:  %" PRIu32 " ranks, %" PRIu32 " guests\n", report->ranks, report->guests);
    put(t, "loader:     %s loads, %s processes patched, %s not\n", count_figure(report->loads).text,
        count_figure(report->loader[MIOC_LOADER_PATCH]).text, count_figure(unpatched(report)).text);
    if (unpatched(report) != 0) {
        put(t, "      because:");
        for (int way = MIOC_LOADER_PATCH + 1; way < MIOC_LOADER_WAYS; way++)
            put(t, " %s %s", mioc_loader_way_names[way], count_figure(report->loader[way]).text);
        put(t, "\n");
    }
    put(t, "store:      %sB a node, %" PRIu64 " file contents\n", bytes_figure(report->store_bytes).text,
        report->contents);
    put(t, "root:       %s requests, %s questions, %s real calls, %s read ahead\n",
        count_figure(report->root_requests).text, count_figure(report->root_questions).text,
        count_figure(report->root_calls).text, count_figure(report->root_ahead).text);
    put(t, "saved:      %" PRId64 " operations, %s %% of the hits and misses\n", saved, percent.text);
    if (report->reported_nodes < report->nodes)
        put(t, "incomplete: %" PRIu32 " of %" PRIu32 " nodes reported\n", report->reported_nodes, report->nodes);
}

int mioc_report_print(const struct mioc_report *report, const char *line, int fd)
{
    struct text *t = &text;
    t->used = 0;
    t->is_full = 0;
    put(t, LINE_PREFIX "%.2000s\n", without_prefix(line));
    put_table(t, report);
    put_footer(t, report);
    return write_text(t, fd);
}

/* --- JSON -------------------------------------------------------------------------------------------------------- */

/* The length in bytes of the UTF-8 character at s; 0 if it is not well-formed, as surrogates and overlong forms are. */
static unsigned utf8_length(const unsigned char *s)
{
    unsigned n = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf5 ? 4 : 0;
    for (unsigned i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80) /* true for the NUL at the end, too */
            return 0;
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] >= 0xa0) || (s[0] == 0xf0 && s[1] < 0x90) ||
        (s[0] == 0xf4 && s[1] >= 0x90))
        return 0;
    return n;
}

static void put_string(struct text *t, const char *string)
{
    put(t, "\"");
    for (const unsigned char *s = (const unsigned char *)string; *s != '\0' && t->used < sizeof t->bytes / 2;) {
        unsigned n = utf8_length(s);
        if (n == 0)
            put(t, "\\ufffd");
        else if (*s < 0x20 || *s == 0x7f)
            put(t, "\\u%04x", *s);
        else
            put(t, "%s%.*s", *s == '"' || *s == '\\' ? "\\" : "", (int)n, (const char *)s);
        s += n != 0 ? n : 1;
    }
    put(t, "\"");
}

static void put_json_row(struct text *t, const char *name, const struct mioc_report_row *row)
{
    put(t, "    \"%s\": {\"calls\": %" PRIu64, name, row->calls);
    for (int i = 0; i < MIOC_OUTCOMES; i++)
        put(t, ", \"%s\": %" PRIu64, outcome_names[i], row->outcome[i]);
    put(t, ", \"bytes\": %" PRIu64 ", \"seconds\": {", row->bytes);
}

static void put_json_calls(struct text *t, const struct mioc_report *report)
{
    struct mioc_report_row all = sum_rows(report);
    put(t, "  \"calls\": {\n");
    for (int call = 0; call < MIOC_CALLS; call++) {
        const struct mioc_report_row *row = &report->row[call];
        put_json_row(t, mioc_call_names[call], row);
        put(t, "\"min\": %s, \"mean\": %s, \"max\": %s}},\n", seconds_figure(row->ns_min, 9).text,
            seconds_figure(mean(row->ns_sum, report->ranks), 9).text, seconds_figure(row->ns_max, 9).text);
    }
    put_json_row(t, "all", &all);
    put(t, "\"mean\": %s}}\n  },\n", seconds_figure(mean(all.ns_sum, report->ranks), 9).text);
}

static void put_json_loader(struct text *t, const struct mioc_report *report)
{
    put(t, "  \"loader\": {\"loads\": %" PRIu64 ", \"patched\": %" PRIu64 ", \"unpatched\": %" PRIu64 ", \"why\": {",
        report->loads, report->loader[MIOC_LOADER_PATCH], unpatched(report));
    for (int way = MIOC_LOADER_PATCH + 1; way < MIOC_LOADER_WAYS; way++)
        put(t, "%s\"%s\": %" PRIu64, way > MIOC_LOADER_PATCH + 1 ? ", " : "", mioc_loader_way_names[way],
            report->loader[way]);
    put(t, "}},\n");
}

static void put_json_job(struct text *t, const struct mioc_job *job, int status)
{
    uint64_t ns = mioc_clock_ns() - job->started_ns;

    put(t, "  \"job\": {\"id\": ");
    put_string(t, job->id);
    put(t, ", \"user\": %u, \"host\": ", (unsigned)job->user);
    put_string(t, job->host);
    put(t, ", \"pid\": %d, \"interpreter\": ", (int)job->pid);
    put_string(t, job->interpreter);
    put(t, ", \"script\": ");
    put_string(t, job->script);
    put(t, ", \"started\": %" PRId64 ", \"seconds\": %s, \"status\": %d}\n", job->started, seconds_figure(ns, 3).text,
        status);
}

int mioc_report_json(const struct mioc_report *report, const char *line, const struct mioc_job *job, int status, int fd)
{
    struct text *t = &text;
    struct figure percent;
    int64_t saved = saved_operations(report, &percent);
    t->used = 0;
    t->is_full = 0;
    put(t, "{\n  \"schema\": 1,\n  \"line\": ");
    put_string(t, without_prefix(line));
    put(t,
        ",\n  \"ranks\": %" PRIu32 ",\n  \"guests\": %" PRIu32 ",\n  \"nodes\": %" PRIu32
        ",\n  \"reported_nodes\": %" PRIu32 ",\n",
        report->ranks, report->guests, report->nodes, report->reported_nodes);
    put_json_calls(t, report);
    put_json_loader(t, report);
    put(t, "  \"store\": {\"bytes\": %" PRIu64 ", \"contents\": %" PRIu64 "},\n", report->store_bytes,
        report->contents);
    put(t,
        "  \"root\": {\"requests\": %" PRIu64 ", \"questions\": %" PRIu64 ", \"calls\": %" PRIu64
        ", \"ahead\": %" PRIu64 "},\n",
        report->root_requests, report->root_questions, report->root_calls, report->root_ahead);
    put(t, "  \"saved\": {\"operations\": %" PRId64 ", \"percent\": %s},\n", saved, percent.text);
    put_json_job(t, job, status);
    put(t, "}\n");
    return write_text(t, fd);
}
