/* SPDX-License-Identifier: BSD-3-Clause */
/* log.h - messages for people on standard error, "mpiio_cache: …", one write(2) for each line.
 *
 * A message never harms its process: a closed pipe raises no SIGPIPE, a limit on file size raises no SIGXFSZ, and a
 * reader that does not read costs one second, after which the message is dropped. All functions keep errno unless they
 * say otherwise, allocate nothing, and may be called from any thread, from signal handlers and from our interposers. */
#ifndef MIOC_LOG_H
#define MIOC_LOG_H

#include "config.h"
#include <stddef.h>

/* The longest line in bytes, newline included. A longer message is cut and ends in "…". */
#define MIOC_LOG_LINE_MAX 1024u

/* Prints one line if the threshold lets `level` through. `format` must not print floating point, whose decimal point is
 * the locale's. Control characters become '?'. */
void mioc_log(enum mioc_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Returns what an errno number means, in English. Unlike strerror() it takes no lock, which a thread that is gone at
 * the end of a process may still hold. */
const char *mioc_log_error(int error);
/* Sets the threshold, which is MPIIO_CACHE_LOG's until then: ranks other than 0 and guests print warnings and errors
 * only. */
void mioc_log_set_level(enum mioc_log_level level);

/* From now on `take` gets each line, with its newline, and nothing is printed: for a process without standard error. */
void mioc_log_set_sink(void (*take)(enum mioc_log_level level, const char *line, size_t size));

/* Writes all bytes with the kernel's write(2), past our interposers, without SIGPIPE and SIGXFSZ. One write(2) unless
 * the kernel takes less. Returns 0, or -1 with errno (ETIMEDOUT: the kernel took nothing for a second). */
int mioc_log_write(int fd, const void *bytes, size_t size);

#endif
