/* SPDX-License-Identifier: BSD-3-Clause */
/* rendezvous.h - all ranks of a job start MPI, or none does: agreed before any of them touches MPI, without a
 * collective call.
 *
 * MPI's start waits for all ranks for ever. But a task may be no Python, or a shell that never becomes one; a node
 * may lack the plug-in or the filesystem; a rank may be killed. So every task that could be a rank comes here first.
 *
 *   within a node    a rank connects to the leader (local rank 0) at an abstract socket and says what it is. The
 *                    leader waits until all tasks of its node have come, and answers with the verdict. An end of a
 *                    process ends its connection, so a death is seen at once, whatever its kind.
 *   between nodes    by names in the launcher's name service (PMI-1 publish_name and lookup_name, served by mpiexec
 *                    and by srun for single tasks at any time), in a tree of nodes, each name looked for by one parent:
 *                    root      the root (leader of rank 0's node) has all its tasks; with the library's layout, to
 *                              compare
 *                    N-k       node k and all nodes below it have all their tasks
 *                    no        somebody is certain that not all will come, and why: published by anybody, at any time
 *                    verdict   go, or stay and why
 *   a job of one node speaks with no launcher.
 *
 * Why nobody starts MPI alone, however late the ranks are:
 *   - Only the root says go, once it has seen all N-k: all leaders have announced themselves, and each only with all
 *   its tasks. - Who has not announced himself may stay at any time: without him there is no go. A leader announces
 *   itself only after
 *     it has seen the root's name, that is when there is somebody to decide; the root decides within one deadline of
 *     that name. So where rank 0 never comes nobody is bound to wait for it.
 *   - Who has announced himself does what the verdict says, and asks until it is there.
 *   - Only after two deadlines and 5 s without one does a leader take the root for dead (under hydra the job is
 *   being killed
 *     then) or stopped, and publishes the verdict stay itself. Whoever publishes a verdict reads it back and obeys
 *     what it reads. hydra takes a name only once, so there is one verdict. srun takes the last; but the root
 *     publishes go only within its deadline and after it found no verdict. It would have to be stopped between these
 *     two calls, for more than a deadline.
 *   - Within the node the leader is the only one to ask, and it cannot vanish without the others seeing their
 *   connections end.
 * The names of the sockets can be guessed. Who takes them first, as another user, keeps a job from the cache, no more.
 *
 * What this cannot help: a leader that is stopped (SIGSTOP) holds up its node, as it would in MPI's start; a rank
 * that is killed after the verdict, before MPI has started in it; and under Slurm the only rank of a node, killed
 * while it waits for other nodes (hydra then kills the job).
 *
 * The ranks of a node compare their rights (credentials.h) here; those of different nodes do so in MPI
 * (mpi_shim/node/node.c), where it does no harm.
 *
 * A node where nothing is on a shared filesystem does not come here: that is most often so on all nodes, and such
 * processes are to cost nothing. Where it is not so everywhere, the others wait one deadline for it.
 *
 * A task that has spoken with the launcher and then stays has pmi_relay.h's relay between itself and the launcher, a
 * thread. Of a node that is its leader at most, or one that found out about the others first.
 *
 * Main thread, before main(). errno is kept. */
#ifndef MIOC_RENDEZVOUS_H
#define MIOC_RENDEZVOUS_H

#include "role.h"

struct mioc_rendezvous {
    const struct mioc_task *me; /* of the launcher's own task */
    char *const *env;
    int64_t timeout_ms; /* the deadline: how much later than the first the last rank may come */
    int (*look)(void *ctx, char *reason,
                size_t size); /* the last condition, looked at by leaders only: 0, or -1 and why */
    void *ctx;
};

/* 0: all ranks start MPI now. -1: none does, and why. */
int mioc_rendezvous(const struct mioc_rendezvous *rendezvous, char *reason, size_t size);
/* This task stays dormant for a reason that the others may not have: tells them, waits for nobody. */
void mioc_rendezvous_decline(const struct mioc_rendezvous *rendezvous, const char *reason);
/* Before a rank starts MPI, and after. */
void mioc_rendezvous_before_mpi(const struct mioc_task *me);
void mioc_rendezvous_after_mpi(void);
/* A dormant process: whether it has spoken with the launcher, so that mioc_pmi_relay_end() is due at its end. */
int mioc_rendezvous_settle(void);

/* --- rendezvous_nodes.c ------------------------------------------------------------------------------------------ */

/* Leaders of a job of several nodes, when all tasks of this node are there. `is_complete` says whether they still are.
 */
int mioc_rendezvous_nodes(const struct mioc_rendezvous *rendezvous, int (*is_complete)(void *ctx), void *ctx,
                          char *reason, size_t size);
/* Publishes a "no". */
void mioc_rendezvous_nodes_decline(const struct mioc_rendezvous *rendezvous, const char *reason);
/* Whether this process has spoken with the launcher, and whether an answer is still to come. */
int mioc_rendezvous_nodes_has_spoken(int *is_answer_due);

/* --- pieces, for tests ------------------------------------------------------------------------------------------- */

struct mioc_rendezvous_place {
    int nodes, index, is_leader;
}; /* index: in the order of the nodes' lowest ranks; 0 is the root */
/* PMI_process_mapping, "(vector,(first node,nodes,ranks on each),…)", again from its start until all ranks have a node.
 * 0 or -1. */
int mioc_rendezvous_parse_mapping(const char *text, int size, int rank, struct mioc_rendezvous_place *place);
/* What must be the same in all processes of a job: versions, byte order, sizes. */
#define MIOC_RENDEZVOUS_MAGIC 0x4d494841u /* "MIHA" */
uint64_t mioc_rendezvous_layout(void);
/* "10 s" or "50 ms". */
const char *mioc_rendezvous_span(int64_t ms, char buf[32]);

#endif
