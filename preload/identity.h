/* SPDX-License-Identifier: BSD-3-Clause */
/* identity.h - by which file ld.so knows a library that it has loaded from a copy.
 *
 * Whatever its name, ld.so takes a library for one that is loaded already if device and inode are the same, which it asks of the open
 * descriptor. For a copy it has to be told the original's. Either its fstat traps and is answered, which costs as much as ten
 * system calls; or it sees the copy's, which is nobody else's, and before it compares again what it keeps is set right: the copy's
 * identity is *lent*. It keeps it in the part of struct link_map that no header shows, so where is found out by what is known of
 * two libraries; if that is not plain, or glibc is newer than 2.41, nothing is lent, ever.
 *
 * What is loaded is compared at each open that succeeds, and those come to us as long as a thread is under dispatch; all that was
 * lent is set right at the next one, of whatever thread, or at the load's end, just after ld.so gave its lock back. A load that goes past us
 * could fall in between: nothing is lent any more once there was one beside another thread's. Nor where the original is loaded already, or
 * once there are namespaces (dlmopen) other than the first.
 *
 * lend and settle are for the handler of ld.so's own calls, which has ld.so's lock; end and stop are for any thread, and keep errno. */
#ifndef MIOC_IDENTITY_H
#define MIOC_IDENTITY_H

#include <stdint.h>

/* Once, before there are threads. 0, or -1: nothing will be lent. */
int mioc_identity_prepare(void);
/* A descriptor that ld.so gets is of a copy; all as fstat says, of the original by what is known of it. 1: it may see the copy's. 0: its
 * fstat has to be answered. */
int mioc_identity_lend(uint64_t dev, uint64_t ino, uint64_t original_dev, uint64_t original_ino);
/* It gets one that is none. */
void mioc_identity_settle(void);
/* After a load in this thread, without ld.so's lock. */
void mioc_identity_end(void);
/* Before a load that goes past us while others do not, or that makes a namespace: what was lent is set right, and from here on nothing is. */
void mioc_identity_stop(void);

#endif
