/* SPDX-License-Identifier: BSD-3-Clause */
/* agent_spawn.h - starts the agent program as nobody's child.
 *
 * Main thread, before main(), while there is one thread. */
#ifndef MIOC_AGENT_SPAWN_H
#define MIOC_AGENT_SPAWN_H

#include <limits.h>
#include <stdint.h>
#include <sys/types.h>

/* What its children use while this process goes on: it must stay where it is until mioc_agent_spawn_end(). */
struct mioc_agent_spawn {
    char path[PATH_MAX];
    int starter;
    char **env;
    char *stacks;
    pid_t child; /* of this process, without an exit signal; -1: none */
    int is_subreaper;
    int is_copying; /* the children work in copies of this process's memory */
    int error;      /* (atomic) errno: the program cannot be executed */
};

/* Starts `path`, with the socket `starter` as MIOC_AGENT_FD (node/process.h), and no other descriptors but /dev/null as
 * 0, 1 and 2. It is in a session of its own, and its parent is not this process, which gets no SIGCHLD for it. The
 * socket may be closed here at once. 0, or -1 with errno. */
int mioc_agent_spawn_begin(struct mioc_agent_spawn *spawn, const char *path, int starter);
/* Waits until the program is executed, until CLOCK_MONOTONIC is at `until` (ns) at most. 0, or -1 with errno: it cannot
 * be started (ETIMEDOUT: it takes too long). Leaves no child, but where the time is over. */
int mioc_agent_spawn_end(struct mioc_agent_spawn *spawn, uint64_t until);

#endif
