/* SPDX-License-Identifier: BSD-3-Clause */
/* node.h - a rank's life in the cache: start with the others, run the node's agent if leader, end. */
#ifndef MIOC_NODE_H
#define MIOC_NODE_H

#include "base/config.h"
#include "policy/policy.h"
#include "job/task.h"
#include "policy/policy.h"
#include <stddef.h>

/* Main thread, before main(), collective over the job: loads the plug-in, joins, agrees, creates or attaches the store,
 * starts the agent's thread on leaders. Returns 0 with *store, and the one line for people in `line`; or -1, with the
 * reason there, and then the process goes on without cache (MPI may stay loaded, mioc_node_end is still to be called).
 */
int mioc_node_start(const struct mioc_task *me, const struct mioc_config *config, const struct mioc_policy *policy,
                    struct mioc_store **store, char *line, size_t size);
/* The owning process is about to end with `status` (exit code, or -1: exec). Waits only as the exit protocol
 * says: a leader with status 0 serves its node and subtree until they ended, at most MPIIO_CACHE_LINGER, ending early
 * on any signal; prints or sends the statistics. Callable from any thread of the owner; a call while another waits, or
 * after it, waits for nobody and makes that one wait no more; a forked child's call does nothing. */
void mioc_node_end(int status);
/* The same for exit(), which then goes on with what is left of it. */
void mioc_node_exit(int status);
/* Before this whole process gets another root or other rights, and its agent's and resolver's threads with it: if it is
 * a leader, it leaves; of a root that ends the cache for the job. Elsewhere nothing. */
void mioc_node_retire(void);
/* Whether the calling process is the one that mioc_node_start ran in (not a forked child of it). */
int mioc_node_is_owner(void);
/* Somebody calls abort(). If that is MPI in the agent's thread (UCX does when a node that it exchanges something with
 * is gone) it does not return: the node goes on without cache, the thread stands still for good, and the program lives.
 * Unless the program runs MPI itself: then it may wait for what that thread holds, and MPI's end is its own. */
void mioc_node_abort(void);

#endif
