/* SPDX-License-Identifier: BSD-3-Clause */
/* pmi.h - a word with the launcher over its PMI-1 wire (PMI_FD), beside the MPI library.
 *
 * One question and one answer, each a line, on a socket that belongs to the MPI library: only while that library is not
 * talking there itself, that is before it starts and after it has no business there any more. */
#ifndef MIOC_PMI_H
#define MIOC_PMI_H

#include <stddef.h>
#include <stdint.h>

/* Of the monotonic clock. */
int64_t mioc_pmi_now_ms(void);
/* The descriptor that PMI_FD names in env, or -1. */
int mioc_pmi_fd(char *const *env);
/* Whether hydra's proxy is this process's parent: then it is a task of mpiexec's, and PMI_FD is its own. */
int mioc_pmi_is_hydra_task(void);
/* Sends "cmd=COMMAND\n" and reads the answer up to its newline (cut off, NUL-terminated). 0, or -1 with errno:
 * ETIMEDOUT after timeout_ms, EPIPE, EPROTO (longer than size). Raises no SIGPIPE; carries on after EINTR. */
int mioc_pmi_ask(int fd, const char *command, char *answer, size_t size, int timeout_ms);
/* The number that "KEY=" stands before in an answer, or `otherwise`. */
int mioc_pmi_number(const char *answer, const char *key, int otherwise);

#endif
