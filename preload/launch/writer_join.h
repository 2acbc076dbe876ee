/* SPDX-License-Identifier: BSD-3-Clause */
/* writer_join.h - lets a program that is served nothing (tar, cp, a compiler) tell its writes to the node's store.
 *
 * The program looks for its job step's store at a write, so that its start costs nothing. README.md says how. */
#ifndef MIOC_WRITER_JOIN_H
#define MIOC_WRITER_JOIN_H

/* Lets this process's writes look for the store from now on. Call it in a process that has no store, before main(). */
void mioc_writer_join_allow(void);

/* Looks for the store, if that is allowed and none is known. The client calls this before it tells a write. Any thread,
 * a signal handler, a child of vfork: it does not allocate from the heap, is no cancellation point, and keeps errno. It
 * waits only while a store is being made (100 ms), or while the system has no descriptor or no memory left (10 s). */
void mioc_writer_join(void);

#endif
