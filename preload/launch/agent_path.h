/* SPDX-License-Identifier: BSD-3-Clause */
/* agent_path.h - finds the agent program that belongs to this library. */
#ifndef MIOC_AGENT_PATH_H
#define MIOC_AGENT_PATH_H

#include <stddef.h>

/* Writes the path of libexec/mpiio_cache/agent: below the library's own prefix, the library's symbolic links followed.
 * Returns 0, or -1: there is none, and `path` is where it should be. Keeps errno. Main thread. */
int mioc_agent_path(char *path, size_t size);

#endif
