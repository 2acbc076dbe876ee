/* SPDX-License-Identifier: BSD-3-Clause */
/* writer_join.h - programs below a rank that are no interpreters (tar, cp, a compiler): they are served nothing, so
 * their start costs nothing, but what they write below a cached prefix must be told like everybody's.
 *
 * The store of their job step is looked for at a write, and the ranks' policy, which says what is cached, lies in
 * the store's directory. There is no state "joining": threads, handlers, children of fork and of vfork that come
 * together each look for themselves, and the first to find the store publishes it for all who share its memory. So
 * nobody waits for another, who may have been cancelled, or is another process's. Where there is no store, each
 * write looks at the directory of stores, and reads it if it has changed. */
#ifndef MIOC_WRITER_JOIN_H
#define MIOC_WRITER_JOIN_H

/* In a process that has no store, once it has started: its writes look for one. */
void mioc_writer_join_allow(void);
/* Before a write is told: finds the store if that is allowed. Allocates nothing from the heap, keeps errno and is no
 * point of cancellation, so it may be called where writes may: in vfork children and signal handlers. With all
 * descriptors used up it finds the store too; only where the system has no more of them, or no memory, it waits, no
 * longer than any call does. */
void mioc_writer_join(void);


#endif
