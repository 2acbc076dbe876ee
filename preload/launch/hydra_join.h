/* SPDX-License-Identifier: BSD-3-Clause */
/* hydra_join.h - who is where under hydra, and where an agent's parent is: names at the launcher's name service.
 *
 * Only the process that starts a node's agent speaks, and only before its program may start MPI on the same wire. What
 * it owes the launcher at its end, pmi_relay.h says. Main thread, before main(). All functions change errno. */
#ifndef MIOC_HYDRA_JOIN_H
#define MIOC_HYDRA_JOIN_H

#include "job/pmi_names.h"
#include "job/task.h"
#include "node/process.h"
#include <stdint.h>

struct mioc_hydra_join {
    struct mioc_pmi_names names;
    struct mioc_pmi_place place;
    char problem[256];
    int has_failed; /* to publish */
};

/* Learns where this process is. 0, or -1 and the reason in j->problem. */
int mioc_hydra_join_begin(struct mioc_hydra_join *j, const struct mioc_task *me, char *const *env, int timeout_ms);
/* Publishes what this node's children need: its host, and on the root the job's key. */
void mioc_hydra_join_publish(struct mioc_hydra_join *j);
/* Asks once for what this node needs, its parent's host and the key. 1: it is in *parent; 0: not yet; -1 and the
 * reason. */
int mioc_hydra_join_look(struct mioc_hydra_join *j, struct mioc_agent_parent *parent);
/* Asks until it is there, or CLOCK_MONOTONIC is at `until` (ns). 0, or -1 and the reason: *parent says so, too. */
int mioc_hydra_join_await(struct mioc_hydra_join *j, uint64_t until, struct mioc_agent_parent *parent);

#endif
