/* SPDX-License-Identifier: BSD-3-Clause */
/* thread.c - starts our own threads. */
#include "thread.h"

#include <signal.h>

int mioc_thread_start(pthread_t *thread, int joinable, size_t stack, void *(*run)(void *arg), void *arg)
{
    pthread_attr_t attr;
    pthread_t any;
    sigset_t all, old;
    int rc;

    sigfillset(&all);
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, joinable ? PTHREAD_CREATE_JOINABLE : PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, stack);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    rc = pthread_create(thread != NULL ? thread : &any, &attr, run, arg);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    return rc;
}
