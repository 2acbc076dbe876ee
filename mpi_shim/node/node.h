/* SPDX-License-Identifier: BSD-3-Clause */
/* node.h - a rank's life in the cache: it starts with the others, runs the node's agent if it is the leader, ends. */
#ifndef MIOC_NODE_H
#define MIOC_NODE_H

#include "base/config.h"
#include "job/task.h"
#include "policy/policy.h"
#include <stddef.h>

/* Starts the cache in this rank: loads the plug-in, joins the job, agrees with the others, makes or maps the node's
 * store, and on leaders starts the agent's thread. Main thread, before main(), collective over the job. All arguments
 * but `line` must live as long as the process.
 * 0 with *store, and one line for people in `line`; or -1 with the reason in `line`: the process goes on without the
 * cache. MPI may stay loaded then, and mioc_node_end() is still to be called. */
int mioc_node_start(const struct mioc_task *me, const struct mioc_config *config, const struct mioc_policy *policy,
                    struct mioc_store **store, char *line, size_t size);
/* This process is about to end with `status`: an exit code, or -1 for exec. A leader with status 0 first serves its
 * node and subtree until they have ended, for MPIIO_CACHE_LINGER at most, or until a signal comes. The root prints the
 * statistics, other leaders send theirs.
 * Any thread, and a signal's handler on a small stack; keeps errno. A second call waits for nobody, and makes the first
 * one wait no more. In a forked child it does nothing. */
void mioc_node_end(int status);
/* The same for exit(), which then goes on. Destructors of MPI's libraries are left out (plugin.h). */
void mioc_node_exit(int status);
/* The whole process is about to get another root directory or other rights, and the agent's and resolver's threads with
 * it. A leader leaves the job's cache; if it is the root, that ends the cache for the job. Other ranks do nothing.
 * Keeps errno. */
void mioc_node_retire(void);
/* Whether mioc_node_start() ran in this very process, and not in one that forked it. Any thread, signal handlers. */
int mioc_node_is_owner(void);
/* Somebody calls abort(). In the agent's thread that is MPI: UCX aborts when a node that it talks to is gone. Then this
 * does not return: the node goes on without the cache, the thread stands still for good, and the program lives. If the
 * program itself runs MPI, or in any other thread, it returns at once. */
void mioc_node_abort(void);

#endif
