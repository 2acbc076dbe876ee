/* SPDX-License-Identifier: BSD-3-Clause */
/* pmi.h - speaks with the launcher over its PMI-1 wire (PMI_FD), beside the MPI library.
 *
 * A question is one line, and so is its answer. The socket belongs to the MPI library, so only ask while that library
 * is silent: before it starts, or after its end. Any thread, but one at a time. */
#ifndef MIOC_PMI_H
#define MIOC_PMI_H

#include <stddef.h>
#include <stdint.h>

/* CLOCK_MONOTONIC in ms. */
int64_t mioc_pmi_now_ms(void);
/* The descriptor that PMI_FD names in env, or -1. */
int mioc_pmi_fd(char *const *env);
/* Whether this process's parent is hydra's proxy: then it is a task of mpiexec, and PMI_FD is its own. */
int mioc_pmi_is_hydra_task(void);
/* Sends "cmd=COMMAND\n" and reads the answer into answer[size], up to its newline, which becomes a NUL. 0, or -1 with
 * errno: ETIMEDOUT after timeout_ms; EPIPE: the launcher has hung up; EPROTO: command or answer is too long. Raises no
 * SIGPIPE, and goes on after EINTR. */
int mioc_pmi_ask(int fd, const char *command, char *answer, size_t size, int timeout_ms);
/* The number N of "KEY=N" in an answer, or `otherwise` if there is none. */
int mioc_pmi_number(const char *answer, const char *key, int otherwise);

#endif
