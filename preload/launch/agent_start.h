/* SPDX-License-Identifier: BSD-3-Clause */
/* agent_start.h - finds the agent of this node, or starts it: a process of its own (README.md). */
#ifndef MIOC_AGENT_START_H
#define MIOC_AGENT_START_H

#include "base/config.h"
#include "job/task.h"
#include "policy/policy.h"
#include "store/store.h"
#include <stddef.h>

/* Looks for the store of this job step on this node, and starts the agent that makes it if nobody else is about to.
 * Does not wait, so that the caller can work while the agent's program is loaded. mioc_agent_await() follows; what is
 * given here lives until then. Main thread, before main(), while there is one thread. Keeps errno. */
void mioc_agent_begin(const struct mioc_task *me, const struct mioc_config *config, const struct mioc_policy *policy,
                      char *reason, size_t size);
/* Waits for the store, for MPIIO_CACHE_TIMEOUT at most; for another node only under hydra, and there only where this
 * process starts the agent. Returns the store, mapped; or NULL with the reason, for people. Leaves no child, no
 * descriptor and no signal behind. The same thread, once. Keeps errno. */
struct mioc_store *mioc_agent_await(void);

#endif
