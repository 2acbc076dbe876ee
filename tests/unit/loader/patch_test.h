/* SPDX-License-Identifier: BSD-3-Clause */
/* patch_test.h - what the program and its library have of each other. */
#ifndef PATCH_TEST_H
#define PATCH_TEST_H

#define EXPORT __attribute__((visibility("default")))

/* All tests, in one process whose loader is patched. */
EXPORT int patch_tests(void);
/* In a process of its own, to which something is forbidden before: says what became of it, and whether loads go on. */
EXPORT int try_where(const char *what);
/* Tests of refusals.c; the second one runs this program again, for each policy. */
void text_is_one_mapping_and_mostly_shared(void **state);
void policies_that_forbid_it_are_respected(void **state);
extern EXPORT const char *patch_program;

#endif
