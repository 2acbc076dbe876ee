/* SPDX-License-Identifier: BSD-3-Clause */
/* guard.h - keeps signals, environment and descriptors of a process as they were while MPI starts in it.
 *
 * Main thread, before main(), in the order enter, restore, leave; calls without enter do nothing.
 *
 * MPICH 4.0.2 with UCX 1.13 (session, 4 and 32 ranks) changes: handlers for HUP ILL BUS FPE USR1 SEGV (USR1 is MPICH's
 * own), one or two more threads, 11 to 15 descriptors without close-on-exec. It was seen to keep, so this guards not:
 * the code of malloc, mmap, munmap, brk, close; umask, working directory, limits, MXCSR, affinity, rand, lrand48. */
#ifndef MIOC_GUARD_H
#define MIOC_GUARD_H

/* Saves signal actions and environment, and blocks signals. Sets the environment variable of `assignment`, "NAME=value"
 * in writable static storage, until restore. Raises the soft limits of descriptors and of files' sizes. Occupies the
 * free descriptors below `first`, so that MPI's are above. */
void mioc_guard_enter(char *assignment, int first);
/* Puts back signal actions, environment and the limit of files' sizes. */
void mioc_guard_restore(void);
/* Calls visit() for each descriptor that has appeared since enter, but for those that the guard occupies. */
void mioc_guard_visit_new(void (*visit)(int fd));
/* Frees the occupied descriptors. Puts back their limit and the signal mask. */
void mioc_guard_leave(void);

#endif
