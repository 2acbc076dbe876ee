/* SPDX-License-Identifier: BSD-3-Clause */
/* stats.c - counts calls, and adds up the counts of processes and nodes in a report. */
#include "stats.h"
#include "clock.h"

#include <stddef.h>
#include <time.h>

const char *const mioc_call_names[MIOC_CALLS] = {
    [MIOC_CALL_STAT] = "stat",         [MIOC_CALL_FSTAT] = "fstat",   [MIOC_CALL_ACCESS] = "access",
    [MIOC_CALL_READLINK] = "readlink", [MIOC_CALL_OPEN] = "open",     [MIOC_CALL_OPENDIR] = "opendir",
    [MIOC_CALL_WRITE] = "write",       [MIOC_CALL_LOADER] = "loader",
};
const char *const mioc_loader_way_names[MIOC_LOADER_WAYS] = {
    [MIOC_LOADER_PATCH] = "patch", [MIOC_LOADER_SETTING] = "setting", [MIOC_LOADER_THREADS] = "threads",
    [MIOC_LOADER_FORM] = "form",   [MIOC_LOADER_TEXT] = "text",       [MIOC_LOADER_TEST] = "test",
};

static struct mioc_stats private_block;
static struct mioc_stats *in_force = &private_block;
int mioc_stats_has_timers;

static void add(uint64_t *counter, uint64_t n)
{
    if (n != 0)
        (void)__atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

static uint64_t load(const uint64_t *counter) { return __atomic_load_n(counter, __ATOMIC_RELAXED); }

void mioc_stats_use(struct mioc_stats *block, int timers)
{
    if (block == NULL)
        block = &private_block;
    struct mioc_stats *old = __atomic_exchange_n(&in_force, block, __ATOMIC_ACQ_REL);
    __atomic_store_n(&mioc_stats_has_timers, timers, __ATOMIC_RELAXED);
    if (old != &private_block || block == old)
        return;
    uint64_t *from = (uint64_t *)old, *to = (uint64_t *)block;
    for (size_t i = 0; i < sizeof *old / sizeof *from; i++)
        add(&to[i], __atomic_exchange_n(&from[i], 0, __ATOMIC_RELAXED));
}

const struct mioc_stats *mioc_stats_current(void) { return __atomic_load_n(&in_force, __ATOMIC_ACQUIRE); }

void mioc_stats_count(enum mioc_call call, enum mioc_outcome outcome, uint64_t bytes, uint64_t ns)
{
    struct mioc_stats_row *row = &__atomic_load_n(&in_force, __ATOMIC_ACQUIRE)->row[call];
    add(&row->outcome[outcome], 1);
    add(&row->bytes, bytes);
    add(&row->ns, ns);
}

void mioc_stats_count_loader(enum mioc_loader_way way)
{
    add(&__atomic_load_n(&in_force, __ATOMIC_ACQUIRE)->loader[way], 1);
}

void mioc_stats_count_load(void) { add(&__atomic_load_n(&in_force, __ATOMIC_ACQUIRE)->loads, 1); }

uint64_t mioc_stats_now(void) { return mioc_stats_is_timed() ? mioc_clock_ns() : 0; }

uint64_t mioc_stats_since(uint64_t start) { return start != 0 ? mioc_clock_ns() - start : 0; }

/* --- The report -------------------------------------------------------------------------------------------------- */

void mioc_report_add(struct mioc_report *to, const struct mioc_stats *process, int is_rank)
{
    for (int call = 0; call < MIOC_CALLS; call++) {
        const struct mioc_stats_row *from = &process->row[call];
        struct mioc_report_row *row = &to->row[call];
        for (int i = 0; i < MIOC_OUTCOMES; i++) {
            uint64_t n = load(&from->outcome[i]);
            row->outcome[i] += n;
            row->calls += n;
        }
        row->bytes += load(&from->bytes);
        if (!is_rank)
            continue;
        uint64_t ns = load(&from->ns);
        row->ns_sum += ns;
        if (to->ranks == 0 || ns < row->ns_min)
            row->ns_min = ns;
        if (ns > row->ns_max)
            row->ns_max = ns;
    }
    for (int way = 0; way < MIOC_LOADER_WAYS; way++)
        to->loader[way] += load(&process->loader[way]);
    to->loads += load(&process->loads);
    if (is_rank)
        to->ranks++;
    else
        to->guests++;
}

static void merge_row(struct mioc_report_row *to, const struct mioc_report_row *from)
{
    to->calls += from->calls;
    to->bytes += from->bytes;
    to->ns_sum += from->ns_sum;
    for (int i = 0; i < MIOC_OUTCOMES; i++)
        to->outcome[i] += from->outcome[i];
    if (from->ns_max > to->ns_max)
        to->ns_max = from->ns_max;
}

void mioc_report_merge(struct mioc_report *to, const struct mioc_report *from)
{
    for (int call = 0; call < MIOC_CALLS; call++) {
        merge_row(&to->row[call], &from->row[call]);
        /* A report without ranks has no minimum: its 0 does not count. */
        if (from->ranks != 0 && (to->ranks == 0 || from->row[call].ns_min < to->row[call].ns_min))
            to->row[call].ns_min = from->row[call].ns_min;
    }
    for (int way = 0; way < MIOC_LOADER_WAYS; way++)
        to->loader[way] += from->loader[way];
    to->loads += from->loads;
    to->ranks += from->ranks;
    to->guests += from->guests;
    to->reported_nodes += from->reported_nodes;
    to->root_requests += from->root_requests;
    to->root_questions += from->root_questions;
    to->root_calls += from->root_calls;
    to->root_ahead += from->root_ahead;
    if (from->nodes > to->nodes)
        to->nodes = from->nodes;
    if (from->store_bytes > to->store_bytes)
        to->store_bytes = from->store_bytes;
    if (from->contents > to->contents)
        to->contents = from->contents;
}
