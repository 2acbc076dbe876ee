/* SPDX-License-Identifier: BSD-3-Clause */
/* node_job_end.c - rank 0 has ended: an agent process writes the manifest, and gives rank 0 the report. */
#include "base/clock.h"
#include "node_internal.h"

#define SECOND 1000000000ull
/* How long rank 0's end waits at most for the others' ends and for the manifest: with statistics, which should be
 * complete; and otherwise. */
#define STATS_NS (2 * SECOND)
#define OTHERWISE_NS (SECOND / 12)

/* Whether something that rank 0 waits for is still under way. */
static int is_under_way(struct mioc_node *node, unsigned processes)
{
    return processes > 1 || mioc_agent_children(node->agent) > 0 || mioc_node_manifest_is_saving(node);
}

void mioc_node_attend_report(struct mioc_node *node)
{
    static struct mioc_report report;

    if (!node->is_report_wanted)
        return;
    node->is_report_wanted = 0;
    mioc_node_fill_report(node, &report);
    (void)mioc_agent_send_report(node->agent, &report, sizeof report, mioc_clock_ns());
}

int mioc_node_attend_job_end(struct mioc_node *node, unsigned processes)
{
    static uint64_t since;
    static int has_asked;
    static struct mioc_report report;
    uint64_t most = node->config->stats ? STATS_NS : OTHERWISE_NS;
    int status;

    if (!mioc_ring_has_job_ended(mioc_store_ring(node->store), &status))
        return 0;
    if (status == 0)
        mioc_node_manifest_save(node); /* while the others end */
    if (!mioc_ring_is_report_wanted(mioc_store_ring(node->store)))
        return 0;
    if (since == 0)
        since = mioc_clock_ns();
    if (is_under_way(node, processes) && mioc_clock_ns() - since < most) {
        if (!has_asked && mioc_clock_ns() - since > most / 2) { /* those who go on */
            mioc_agent_want_reports(node->agent, mioc_clock_ns());
            has_asked = 1;
        }
        return 1;
    }
    mioc_node_manifest_complain(node);
    mioc_node_fill_report(node, &report);
    mioc_ring_give_report(mioc_store_ring(node->store), &report);
    return 0;
}
