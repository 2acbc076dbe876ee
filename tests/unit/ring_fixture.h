/* SPDX-License-Identifier: BSD-3-Clause */
/* ring_fixture.h - a ring in memory that forked children share; for test_ring*.c. */
#ifndef MIOC_TEST_RING_FIXTURE_H
#define MIOC_TEST_RING_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/item.h"
#include "store/ring_internal.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000ull

static struct mioc_ring *ring;
static struct mioc_ask_request request;

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec;
}

static int make_ring(void **state)
{
    (void)state;
    ring = mmap(NULL, mioc_ring_size(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (ring == MAP_FAILED)
        return -1;
    mioc_ring_init(ring, getpid());
    return mioc_ring_check(ring, mioc_ring_size());
}

static int remove_ring(void **state)
{
    (void)state;
    return munmap(ring, mioc_ring_size());
}

static unsigned slots_in_use(void)
{
    unsigned n = 0;

    for (unsigned i = 0; i < MIOC_RING_SLOTS; i++)
        n += (__atomic_load_n(&ring->state[i], __ATOMIC_ACQUIRE) & 7u) != 0;
    return n;
}

#endif
