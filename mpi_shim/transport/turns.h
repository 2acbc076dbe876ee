/* SPDX-License-Identifier: BSD-3-Clause */
/* turns.h - lets the ranks of a node take turns while MPI starts, if there are more ranks than processors.
 *
 * mpi_shim/README.md, "Turns", has the reasons. Between start and end a timer makes this thread yield after each 200 us
 * of running. Main thread, before main(), while mioc_guard_enter()'s mask is in force. The timer's signal is SIGFPE,
 * which is open in that mask, so that MPI's threads inherit no other mask. A SIGFPE that is not the timer's ends the
 * turns and goes where it would have gone. Interrupted system calls are restarted (SA_RESTART). Both keep errno. */
#ifndef MIOC_TURNS_H
#define MIOC_TURNS_H

/* `ranks`: how many this node has; 0: unknown. Does nothing if they are not more than processors, or under a debugger,
 * which would stop at each signal. */
void mioc_turns_start(int ranks);
/* The timer and the handler are gone. */
void mioc_turns_end(void);

#endif
