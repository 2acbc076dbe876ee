/* SPDX-License-Identifier: BSD-3-Clause */
/* thread.h - starts our own threads inside of a program: with a small stack, and with all signals blocked, so that they
 * stay with the program's threads. */
#ifndef MIOC_THREAD_H
#define MIOC_THREAD_H

#include <pthread.h>
#include <stddef.h>

/* 0, or an errno number. Without `joinable`, detached, `thread` may be NULL. Any thread; the caller's signal mask is as
 * before. */
int mioc_thread_start(pthread_t *thread, int joinable, size_t stack, void *(*run)(void *arg), void *arg);

#endif
