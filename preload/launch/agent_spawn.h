/* SPDX-License-Identifier: BSD-3-Clause */
/* agent_spawn.h - starts the agent program as nobody's child. */
#ifndef MIOC_AGENT_SPAWN_H
#define MIOC_AGENT_SPAWN_H

/* Starts `path`, with the socket `starter` as MIOC_AGENT_FD (node/process.h), and no other descriptors but /dev/null as
 * 0, 1 and 2. It is in a session of its own, and its parent is not this process, which gets no SIGCHLD for it. If it
 * cannot be executed the reason is written to the socket. Returns 0, or -1 with errno: it cannot be started. Main
 * thread, before main(), while there is one thread. */
int mioc_agent_spawn(const char *path, int starter);

#endif
