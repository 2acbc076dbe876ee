/* SPDX-License-Identifier: BSD-3-Clause */
/* differential.h - what the parts of the differential test share: how a result is told.
 *
 * The program makes a long table of calls and prints what each gave, one line a call. Run twice, plain and preloaded,
 * it must print the same. */
#ifndef DIFFERENTIAL_H
#define DIFFERENTIAL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#define ERRNO_UNTOUCHED 777

/* The call under test: errno is ERRNO_UNTOUCHED before it. */
#define CALL(expression) (errno = ERRNO_UNTOUCHED, (expression))

/* "what path → rc errno", then what tell_more() adds, up to tell_end(). Keeps errno. */
void tell(const char *what, const char *path, long rc);
void tell_more(const char *format, ...) __attribute__((format(printf, 1, 2)));
void tell_end(void);
/* Of a stat: all that two runs must agree on. With `is_same_tree` also what names this very inode. */
void tell_stat(const struct stat *st, int is_same_tree);
/* Hash and length of what a descriptor still gives, by read and by pread. */
void tell_content(int fd);

/* All that reads, on (dirfd, path); dirfd is AT_FDCWD for calls that take none. */
void probe_metadata(int dirfd, const char *path);
void probe_links(int dirfd, const char *path);
void probe_open(int dirfd, const char *path);
void probe_stdio(const char *path);
void probe_directory(int dirfd, const char *path);

/* Writing and reading again, below the working directory, which is empty. */
void run_writes(void);
/* The same through descriptors that are shared. */
void run_descriptors(void);
/* Every function that takes a descriptor, on one of a file in the working directory; and their names. */
void run_calls(void);
void tell_calls(void);
/* What importlib and py_compile do with a .pyc (bytecode.c): prints what a rank other than 0 must differ in. */
void run_bytecode(void);

#endif
