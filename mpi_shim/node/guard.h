/* SPDX-License-Identifier: BSD-3-Clause */
/* guard.h - keeps a process as it was while a library that takes liberties starts in it: signals, environment,
 * descriptors.
 *
 * Main thread, before main(). Seen of MPICH 4.0.2 with UCX 1.13 (session, 4 and 32 ranks): handlers for HUP ILL BUS FPE
 * USR1 SEGV (USR1 even with UCX_ERROR_SIGNALS empty: MPICH's own), one or two threads, 11 to 15 descriptors, none of
 * them close-on-exec. Seen unchanged, so not guarded: the bytes of malloc, mmap, munmap, brk, close (no UCM patches),
 * umask, working directory, limits, MXCSR and rounding mode, CPU affinity, sequences of rand and lrand48. */
#ifndef MIOC_GUARD_H
#define MIOC_GUARD_H

/* Saves signal actions and environment, blocks signals, hides `hidden` = value ("NAME=value" stands in the environment
 * for the time being; static storage), raises soft limits of descriptors and files' sizes and occupies the free
 * descriptors below `first`. */
void mioc_guard_enter(char *assignment, int first);
/* Signal actions, environment and the limit of files' sizes are as they were at enter. */
void mioc_guard_restore(void);
/* Calls visit() for each descriptor that appeared since enter and is none of the guard's own. */
void mioc_guard_visit_new(void (*visit)(int fd));
/* Frees the occupied descriptors; their limit and the signal mask are as they were at enter. */
void mioc_guard_leave(void);

#endif
