/* SPDX-License-Identifier: BSD-3-Clause */
/* io_thread.h - a thread with a descriptor table of its own, for files that we open only for a moment.
 *
 * A program may count on the lowest free descriptor, and on how many it can have. A file that we open for a moment in
 * the program's table takes one of them: what should become standard input gets another number, or a program whose
 * table is full finds room. MPI's descriptors are moved out of the way once (mpi_shim/node/guard.h); files that are
 * open for a moment are opened here. It works even if the program has used up its descriptors. Memory, limits, user,
 * root and working directory are those of the process. */
#ifndef MIOC_IO_THREAD_H
#define MIOC_IO_THREAD_H

#include <stdint.h>

/* Gives the calling thread, one of ours, an empty descriptor table of its own. Where neither close_range() nor
 * unshare() works (a container's filter on an old kernel) the thread keeps the process's table. Keeps errno. */
void mioc_io_thread_part_from_descriptors(void);

struct mioc_io_thread;

/* Starts the thread, with all signals blocked. Returns it, or NULL with errno. */
struct mioc_io_thread *mioc_io_thread_new(void);
/* Waits until its work is done, ends the thread and frees it. In a forked child, which has no such thread, it only
 * frees the memory. NULL is allowed. */
void mioc_io_thread_free(struct mioc_io_thread *io_thread);

/* Runs work(arg) in that thread, waits, and returns its result: 0, or -1 with errno. The calling thread runs work(arg)
 * itself if the I/O thread is busy, in a forked child, and if io_thread is NULL. Any thread; async-signal-safe. */
int mioc_io_thread_run(struct mioc_io_thread *io_thread, int (*work)(void *arg), void *arg);
/* Starts work(arg) in that thread and does not wait; the result of work is lost. Returns 0; or -1 if the I/O thread is
 * busy, in a forked child, and if io_thread is NULL. Keeps errno. Any thread; async-signal-safe. */
int mioc_io_thread_begin(struct mioc_io_thread *io_thread, int (*work)(void *arg), void *arg);
/* Sleeps until the I/O thread is idle, for at most `ns`, so that the mioc_io_thread_run() that follows runs in it.
 * Async-signal-safe. */
void mioc_io_thread_wait(struct mioc_io_thread *io_thread, uint64_t ns);

/* Runs work(arg) in a new thread without descriptors, which is gone on return. Meanwhile the calling thread sleeps, as
 * in vfork(); the two share errno and thread-local storage. For a process that has used up its descriptors. Returns
 * what work returns, with its errno; or -1 with errno: no such thread can be had (a system call filter, a limit on
 * threads). Async-signal-safe, also in a child of vfork. */
int mioc_io_thread_run_once(int (*work)(void *arg), void *arg);

#endif
