/* SPDX-License-Identifier: BSD-3-Clause */
/* thread.h - starts our own threads inside of a program. All signals are blocked in them, so that the program's threads
 * get them. */
#ifndef MIOC_THREAD_H
#define MIOC_THREAD_H

#include <pthread.h>
#include <stddef.h>

/* Starts a thread that runs run(arg), on a stack of `stack` bytes. Without `joinable` the thread is detached, and
 * `thread` may be NULL. Returns 0, or an errno number. Any thread may call; its signal mask stays. */
int mioc_thread_start(pthread_t *thread, int joinable, size_t stack, void *(*run)(void *arg), void *arg);

#endif
