/* SPDX-License-Identifier: BSD-3-Clause */
/* io_thread.h - a thread with a table of descriptors of its own, for files that we open for a moment inside of a
 * program.
 *
 * A program may count on the lowest free number, and on how many it can have. A descriptor that another thread of its
 * process opens for a moment takes one away: what should be standard input gets another number, a table that was full
 * has room again. MPI's are kept out of the way once (guard.h); files of a moment are opened in here. They can be had,
 * too, when the program has used up all of its own. Memory, limits, user, root and working directory are the process's.
 */
#ifndef MIOC_IO_THREAD_H
#define MIOC_IO_THREAD_H

#include <stdint.h>

/* The calling thread, one of ours, has no descriptors from now on, and what it opens is its own. Where neither
 * close_range() nor unshare() can be had (a container's filter on an old kernel) it goes on sharing them. Keeps errno.
 */
void mioc_io_thread_part_from_descriptors(void);

struct mioc_io_thread;

/* Starts the thread; all signals stay with the program's threads. NULL with errno. */
struct mioc_io_thread *mioc_io_thread_new(void);
/* Ends it. NULL is allowed; a forked child, which has no such thread, gives back the memory. */
void mioc_io_thread_free(struct mioc_io_thread *io_thread);
/* Runs work(arg) in that thread and waits for its result, which is 0, or -1 with errno. Any thread may call; work runs
 * in the calling thread itself where another's is under way, in a forked child, and without an `io_thread` (NULL). */
int mioc_io_thread_run(struct mioc_io_thread *io_thread, int (*work)(void *arg), void *arg);
/* Has work(arg) run in that thread and does not wait: 0; or -1 where another's is under way, in a forked child, and
 * without an `io_thread`. Its result is lost. Async-signal-safe, as run() is. */
int mioc_io_thread_begin(struct mioc_io_thread *io_thread, int (*work)(void *arg), void *arg);

/* Sleeps until nothing is under way there, at most `ns`: so that a run() that follows runs in that thread.
 * Async-signal-safe. */
void mioc_io_thread_wait(struct mioc_io_thread *io_thread, uint64_t ns);

/* Runs work(arg) in a thread that is made for it, has no descriptors, and is gone when this returns; meanwhile the
 * calling thread sleeps, whose stack and errno it has in all but name. For where a process has used up its
 * descriptors. Async-signal-safe, also in a child of vfork. What work returns, or -1 with errno: there is no such
 * thread to be had (a filter, a limit on threads). */
int mioc_io_thread_run_once(int (*work)(void *arg), void *arg);

#endif
