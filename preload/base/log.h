/* SPDX-License-Identifier: BSD-3-Clause */
/* log.h - messages for people on standard error: one write(2) a line, "mpiio_cache: …", fixed buffer, no allocation,
 * errno kept, safe from any thread and from our own interposers.
 *
 * A message never harms its process: a closed pipe raises no SIGPIPE, a file's limit no SIGXFSZ, and a reader that
 * reads no more costs a second, not a hang (the message is dropped). */
#ifndef MIOC_LOG_H
#define MIOC_LOG_H

#include "config.h"
#include <stddef.h>

/* The longest line, its newline included; what does not fit is cut and ends in "…". */
#define MIOC_LOG_LINE_MAX 1024u

/* `format` knows no floating point (its decimal point is the locale's). Control characters become '?'. */
void mioc_log(enum mioc_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* What an errno number means, in English. As strerror() for threads that may hold the locale's lock, at the end of a
 * process. */
const char *mioc_log_error(int error);
/* Raises or lowers the threshold (ranks other than 0 speak only of their own breaker). Before: MPIIO_CACHE_LOG's. */
void mioc_log_set_level(enum mioc_log_level level);

/* Writes all bytes with the kernel's write(2), past our own interposers, without SIGPIPE or SIGXFSZ. 0, or -1 with
 * errno (ETIMEDOUT: nothing could be written for a second). Each call is one write(2) unless the kernel takes less. */
int mioc_log_write(int fd, const void *bytes, size_t size);

#endif
