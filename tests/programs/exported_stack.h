/* SPDX-License-Identifier: BSD-3-Clause */
/* exported_stack.h - makes a call in a signal's handler on an alternate stack, and says how much of that it took. */
#ifndef EXPORTED_STACK_H
#define EXPORTED_STACK_H

#include <stddef.h>

struct exported_task {
    long (*function)(long, long, long, long, long, long);
    const long *argument;    /* six */
    int error_before, error; /* errno */
    long rc;
};

/* Once: makes the stack, which forked children share. It is said to have that many bytes, or "least":
 * sysconf(_SC_MINSIGSTKSZ), or "all": more than any call needs. Behind them is memory yet, so that what a call takes
 * too many is seen and not felt. 0 or -1. */
int exported_stack_start(const char *size);
void exported_stack_run(struct exported_task *task);
void exported_task_run(struct exported_task *task); /* the same without another stack */
/* The bytes that the last call took, also one of a child that did not come back. */
size_t exported_stack_used(void);

#endif
