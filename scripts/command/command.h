/* SPDX-License-Identifier: BSD-3-Clause */
/* command.h - the parts of mpiio-cache(1), one file each.
 *
 * Each takes the arguments behind its own name and returns the exit status: 0, 1 (no, or it failed), 2 (usage, after
 * one line on standard error). The process has one thread and is not preloaded with the library, or if it is, dormant.
 */
#ifndef MIOC_COMMAND_H
#define MIOC_COMMAND_H

#include <stddef.h>

int mioc_command_run(int argc, char **argv);
int mioc_command_check(int argc, char **argv);
int mioc_command_config(int argc, char **argv);
/* Programs of their own, in Python: stats, report. */
int mioc_command_helper(const char *name, int argc, char **argv);

/* "mpiio-cache: …" on standard error; returns 2. */
int mioc_command_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* A file that was installed (or built) with this program, below libdir or libexecdir: 0, or -1: it is not there. */
int mioc_command_find_library(const char *name, char *path, size_t size);
int mioc_command_find_helper(const char *name, char *path, size_t size);

#endif
