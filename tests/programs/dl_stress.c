/* SPDX-License-Identifier: BSD-3-Clause */
/* dl_stress.c - a thousand loads in eight threads among signals: a profiler's, and queued ones of which none may be
 * lost. */
#include "dl_cases.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#define THREADS 8
#define LOADS 125 /* a thread */
#define QUEUED 1000

static int ticks, handled, loaders_left = THREADS;
static long sum;
static sem_t all_handled;

static void on_tick(int sig)
{
    (void)sig;
    __atomic_fetch_add(&ticks, 1, __ATOMIC_RELAXED);
}

static void on_queued(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)context;
    __atomic_fetch_add(&sum, info->si_value.sival_int, __ATOMIC_RELAXED);
    if (__atomic_add_fetch(&handled, 1, __ATOMIC_ACQ_REL) == QUEUED)
        sem_post(&all_handled);
}

static void *load_and_unload(void *first)
{
    static const char *const shapes[] = { "many/m%02d.so", "needs_origin.so", "missing%d.so", "tls/t%02d.so",
                                          "broken/text.so" };
    static const char *const symbols[] = { "simple_value", "needs_origin_value", NULL, "tls_value", NULL };
    static const int values[] = { 1, 11, -1, 7, -1 };
    long good = 0;
    char name[64];

    for (int i = 0; i < LOADS; i++) {
        int shape = (i + (int)(long)first) % 5;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        (void)snprintf(name, sizeof name, shapes[shape], (i + (int)(long)first) % 20 + 1);
#pragma GCC diagnostic pop
        void *handle = dlopen(at(name), i % 2 == 0 ? RTLD_NOW : RTLD_LAZY);
        if (symbols[shape] == NULL)
            good += handle == NULL && dlerror() != NULL;
        else
            good += value_quietly(handle, symbols[shape]) == values[shape] && dlclose(handle) == 0;
    }
    __atomic_fetch_sub(&loaders_left, 1, __ATOMIC_RELEASE);
    return (void *)good;
}

/* Spread over the time that the loads take: as long as they last, one more whenever the last one has been handled. */
static void *queue_signals(void *unused)
{
    for (int i = 1; i <= QUEUED; i++) {
        while (sigqueue(getpid(), SIGRTMIN + 3, (union sigval){ .sival_int = i }) != 0)
            must(errno == EAGAIN, "sigqueue");
        while (__atomic_load_n(&handled, __ATOMIC_ACQUIRE) < i - 10 &&
               __atomic_load_n(&loaders_left, __ATOMIC_ACQUIRE) > 0)
            sched_yield();
    }
    return unused;
}

static void stress(void)
{
    struct sigaction tick = { .sa_handler = on_tick, .sa_flags = SA_RESTART },
                     queued = { .sa_sigaction = on_queued, .sa_flags = SA_RESTART | SA_SIGINFO };
    struct itimerval profile = { { 0, 1000 }, { 0, 1000 } }, off = { { 0, 0 }, { 0, 0 } };
    pthread_t loader[THREADS], sender;
    long good = 0;
    void *result;

    sigfillset(&tick.sa_mask);
    sem_init(&all_handled, 0, 0);
    must(sigaction(SIGPROF, &tick, NULL) == 0 && sigaction(SIGRTMIN + 3, &queued, NULL) == 0, "sigaction");
    must(setitimer(ITIMER_PROF, &profile, NULL) == 0, "setitimer");
    for (long i = 0; i < THREADS; i++)
        must(pthread_create(&loader[i], NULL, load_and_unload, (void *)i) == 0, "pthread_create");
    must(pthread_create(&sender, NULL, queue_signals, NULL) == 0, "pthread_create");
    for (int i = 0; i < THREADS; i++) {
        pthread_join(loader[i], &result);
        good += (long)result;
    }
    pthread_join(sender, NULL);
    while (sem_wait(&all_handled) != 0)
        must(errno == EINTR, "sem_wait");
    must(setitimer(ITIMER_PROF, &off, NULL) == 0, "setitimer");
    say("%ld of %d loads, %d signals, sum %ld, %s", good, THREADS * LOADS, handled, sum,
        ticks > 0 ? "ticked" : "never ticked");
}

const struct dl_case dl_stress_cases[] = { { "stress", stress }, { NULL, NULL } };
