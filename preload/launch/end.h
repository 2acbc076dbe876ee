/* SPDX-License-Identifier: BSD-3-Clause */
/* end.h - what is done when the program ends.
 *
 * on_exit() tells us of it. start.c registers after MPI has started and before the program registers anything. So our
 * function runs after the program's own and before libraries (UCX) shut themselves down. It gets the true status,
 * whoever called exit(): main's return, a library, err(). wrap_process.c sees _exit() and exec.
 *
 * A forked child shares its rank's counters and is served from the same store. It is no rank: what is for the rank
 * alone compares the process id first.
 *
 * Main thread, before main(). */
#ifndef MIOC_END_H
#define MIOC_END_H

/* What statistics say of this process, "active: …" or "inactive: …". Not copied; it is read at the end. */
void mioc_end_set_line(const char *text);
/* A rank by MPI leaves the job. */
void mioc_end_as_rank(void);
/* Rank `number`, whose agent is a process of its own, reports and says what the agent had to say. */
void mioc_end_as_rank_beside_agent(int number);
/* The same for a rank that ends by _exit(), with `status`. Any thread; async-signal-safe. */
void mioc_end_quickly_beside_agent(int status);
/* A program that replaced a rank, or a dormant process that has spoken with the launcher, says farewell to that. */
void mioc_end_as_heir(void);
/* A dormant process that was asked for statistics reports counts and times of its real calls, to compare with. */
void mioc_end_with_report(void);

#endif
