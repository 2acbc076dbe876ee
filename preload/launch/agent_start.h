/* SPDX-License-Identifier: BSD-3-Clause */
/* agent_start.h - finds the agent of this node, or starts it: a process of its own (README.md). */
#ifndef MIOC_AGENT_START_H
#define MIOC_AGENT_START_H

#include "base/config.h"
#include "job/task.h"
#include "policy/policy.h"
#include "store/store.h"
#include <stddef.h>

/* Finds the store of this job step on this node, or starts the agent that makes it, and maps it. Waits for
 * MPIIO_CACHE_TIMEOUT at most; for another node only under hydra, and there only where it starts the agent. Returns the
 * store; or NULL with the reason, for people. Leaves no child, no descriptor and no signal behind. Main thread, before
 * main(), while there is one thread. Keeps errno. */
struct mioc_store *mioc_agent_start(const struct mioc_task *me, const struct mioc_config *config,
                                    const struct mioc_policy *policy, char *reason, size_t size);

#endif
