/* SPDX-License-Identifier: BSD-3-Clause */
/* breaker.c - how long a call waits for the agent, and when this process stops asking it. */
#include "base/clock.h"
#include "client_internal.h"
#include "base/log.h"
#include <unistd.h>

/* A living agent beats five times a second. */
#define DEAD_NS 500000000

uint64_t mioc_client_deadline(void) { return mioc_clock_ns() + mioc_client.timeout_ns; }

int mioc_client_is_agent_alive(void *store)
{
    /* The agent has ended, although its process may go on: nobody takes what was asked after its last look. */
    if (mioc_store_get_state(store) == MIOC_STORE_LEFT)
        return 0;
    /* The beat first: a look at the agent's lock takes a descriptor for a moment, which the program could miss. */
    if (mioc_ring_is_beating(mioc_store_ring(store), DEAD_NS) || mioc_store_is_owner_alive(store))
        return 1;
    /* A dead agent never comes back, and nobody else on this node needs to wait to find that out. But only silence
     * proves it: a process with another root cannot find the lock. */
    if (mioc_ring_is_silent(mioc_store_ring(store), DEAD_NS))
        mioc_ring_taint(mioc_store_ring(store));
    return 0;
}

void mioc_client_note_status(enum mioc_ask_status status)
{
    struct mioc_client *c = &mioc_client;

    if ((status == MIOC_ASK_ANSWERED || status == MIOC_ASK_UNSYNCED) &&
        __atomic_load_n(&c->missed, __ATOMIC_RELAXED) != 0)
        __atomic_store_n(&c->missed, 0, __ATOMIC_RELAXED);
    if (status != MIOC_ASK_TIMEOUT || __atomic_add_fetch(&c->missed, 1, __ATOMIC_RELAXED) < MIOC_BREAKER_LIMIT)
        return;
    if (!__atomic_exchange_n(&c->is_broken, 1, __ATOMIC_RELAXED))
        mioc_log(MIOC_LOG_WARN,
                 "the cache did not answer %d times in a row within %llu ms; this process (pid %d) asks no more, "
                 "running uncached where it has no answer yet. MPIIO_CACHE_TIMEOUT gives slow nodes more time",
                 MIOC_BREAKER_LIMIT, (unsigned long long)(c->timeout_ns / 1000000), (int)getpid());
}
