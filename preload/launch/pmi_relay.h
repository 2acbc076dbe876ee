/* SPDX-License-Identifier: BSD-3-Clause */
/* pmi_relay.h - the launcher's process manager, from us, who have spoken with it, to a program that may want to do so
 * as well.
 *
 * A rank of ours has spoken PMI's "init". A program that takes its place by exec may start MPI itself and say it again:
 * Slurm answers nothing to a second one, so MPI_Init would hang; and if the program does not, hydra kills the job at
 * its end, for want of a "finalize". So the new program, which is preloaded too, finds a relay behind PMI_FD that
 * answers the first "init" itself and passes on everything else, and that says "finalize" at the end if MPI was never
 * started.
 *
 * The same goes for a process that has spoken with the launcher so that the job's ranks agree (rendezvous.h), and stays
 * dormant then; and, under Slurm, for our own start of MPI. All calls but end() are the main thread's, before main().
 */
#ifndef MIOC_PMI_RELAY_H
#define MIOC_PMI_RELAY_H

/* Whether a program started with this environment from this file (NULL: unknown) can take over: it is preloaded and not
 * static. */
int mioc_pmi_relay_is_possible(const char *path, char *const *env);
/* In the new program, before main(): takes over what PMI_FD names. 0, or -1: PMI_FD is as it was. */
int mioc_pmi_relay_take(char *const *env);
/* The same in two steps: after prepare() nothing is relayed yet, and mioc_pmi_relay_up() is ours to speak with the
 * launcher. All that can fail is in the first. is_answer_due: we gave up waiting for an answer, which the program is
 * not to see. */
int mioc_pmi_relay_prepare(char *const *env);
int mioc_pmi_relay_up(void);
void mioc_pmi_relay_open(int is_answer_due);
/* The end of it, while nobody speaks: PMI_FD is the launcher's own again. Does nothing where nothing was prepared. */
void mioc_pmi_relay_release(void);
/* At its end, and when it does exec in its turn to a program that cannot take over: the farewell. Any thread; not in a
 * forked child; idempotent. */
void mioc_pmi_relay_end(void);
/* Before it does exec to one that can: PMI_FD is the launcher's own again. */
void mioc_pmi_relay_give(void);
/* Whether this is the process (not a forked child of it) that took over. */
int mioc_pmi_relay_is_owner(void);

#endif
