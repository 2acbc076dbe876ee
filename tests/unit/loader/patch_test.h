/* SPDX-License-Identifier: BSD-3-Clause */
/* patch_test.h - what the program and its library have of each other. */
#ifndef PATCH_TEST_H
#define PATCH_TEST_H

#define EXPORT __attribute__((visibility("default")))

/* All tests, in one process whose loader is patched. */
EXPORT int patch_tests(void);
/* In a process of its own, to which something is forbidden before: says what became of it, and whether loads go on. */
EXPORT int try_where(const char *what);
/* Runs this program again for that: the line that it says, without newline. */
const char *answer_where(const char *what);
extern EXPORT const char *patch_program;

#endif
