/* SPDX-License-Identifier: BSD-3-Clause */
/* node_report.c - adds up what the node's processes have counted; at the root, what all nodes and the root have. */
#include "node_internal.h"

#include <string.h>

struct visit_context {
    struct mioc_report *report;
};

static void add_process(void *ctx, pid_t pid, int rank, const struct mioc_stats *stats)
{
    (void)pid;
    mioc_report_add(((struct visit_context *)ctx)->report, stats, rank >= 0);
}

void mioc_node_fill_report(const struct mioc_node *node, struct mioc_report *report)
{
    struct visit_context context = { report };
    const struct mioc_agent_counters *counters = mioc_agent_counters(node->agent);
    const struct mioc_resolver *resolver = __atomic_load_n(&node->resolver, __ATOMIC_ACQUIRE);
    uint64_t arena, content, contents;

    memset(report, 0, sizeof *report);
    report->nodes = report->reported_nodes = 1;
    mioc_ring_stats_visit(mioc_store_ring(node->store), add_process, &context);
    if (node->world.node != 0)
        return;
    for (int i = 1; node->report != NULL && i < node->world.nodes; i++)
        if (node->report[i].reported_nodes > 0)
            mioc_report_merge(report, &node->report[i]);
    mioc_store_usage(node->store, &arena, &content, &contents);
    report->nodes = (uint32_t)node->world.nodes;
    report->store_bytes = arena + content;
    report->contents = contents;
    report->root_requests = counters->requests_local + counters->requests_children;
    report->root_questions = counters->requests_resolved;
    report->root_ahead = __atomic_load_n(&node->manifest.ahead, __ATOMIC_RELAXED);
    report->root_calls = resolver != NULL ? mioc_resolver_calls(resolver) : node->resolver_calls;
}
