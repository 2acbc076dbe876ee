/* SPDX-License-Identifier: BSD-3-Clause */
/* node_watch.h - an agent process watches the node's ranks, and is woken by descriptors.
 *
 * The agent's thread sleeps in the ring. A thread beside it, the waker, sleeps in epoll: when a watched process has
 * ended, or the transport's descriptor is readable, it rings. One watch for each process. */
#ifndef MIOC_NODE_WATCH_H
#define MIOC_NODE_WATCH_H

#include "store/ring.h"

/* Starts the waker, and watches `starter`, a process that may have no block in the ring yet. 0, or -1 with errno. */
int mioc_watch_start(struct mioc_ring *ring, pid_t starter);
/* The waker rings when this descriptor is readable. 0, or -1 with errno. Agent's thread. */
int mioc_watch_fd(int fd);
/* Watches the ranks that have come, and forgets those that have ended. How many still run, with the starter. Agent's
 * thread, in each turn of its loop. */
unsigned mioc_watch_look(void);
/* Whether this process is watched, and had not ended at the last look. Agent's thread. */
int mioc_watch_has(pid_t pid);
/* The agent has looked at everything: the waker may sleep again. Agent's thread, at the end of each turn. */
void mioc_watch_done(void);
/* Whether the ends of processes are seen only by looking (before Linux 5.3). */
int mioc_watch_is_polling(void);

#endif
