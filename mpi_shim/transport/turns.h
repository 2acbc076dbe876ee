/* SPDX-License-Identifier: BSD-3-Clause */
/* turns.h - lets the ranks of a node take turns while MPI starts in more of them than there are processors.
 *
 * MPI's start waits for the node's other ranks in bare loops (MPICH's barriers in shared memory look at a word until it
 * changes), and the kernel leaves a processor to such a loop for whole ticks, 4 ms where HZ is 250, while those that
 * are waited for want it. Between start and end a timer of this thread's own makes it yield after each 200 us of
 * running.
 *
 * Main thread, before main(), while mioc_guard_enter()'s mask is in force: the timer's signal is one that stays open in
 * it, SIGFPE, so that threads which MPI makes have no other mask than theirs. A SIGFPE that is none of the timer's ends
 * the turns, and goes where it would have gone. Interrupted system calls are begun again (SA_RESTART). Not under a
 * debugger, which would stop at each. */
#ifndef MIOC_TURNS_H
#define MIOC_TURNS_H

/* `ranks`: of this node, 0: not known. */
void mioc_turns_start(int ranks);
void mioc_turns_end(void);

#endif
