/* SPDX-License-Identifier: BSD-3-Clause */
/* tcp_worker.c - work that may block, in a thread for each piece. */
#include "tcp_worker.h"
#include "base/real.h"
#include "base/thread.h"

#include <errno.h>
#include <sodium.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* The modules of NSS and libmunge run on it. */
#define STACK (512u * 1024u)

struct mioc_tcp_bell *mioc_tcp_bell_new(void)
{
    struct mioc_tcp_bell *bell = calloc(1, sizeof *bell);

    if (bell == NULL)
        return NULL;
    bell->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (bell->fd < 0) {
        free(bell);
        return NULL;
    }
    atomic_store(&bell->owners, 1);
    return bell;
}

void mioc_tcp_bell_ring(struct mioc_tcp_bell *bell)
{
    uint64_t one = 1;

    /* It fails only if the counter is full, and then the descriptor is readable. */
    if (mioc_real(write)(bell->fd, &one, sizeof one) < 0)
        return;
}

void mioc_tcp_bell_clear(struct mioc_tcp_bell *bell)
{
    uint64_t count;

    if (mioc_real(read)(bell->fd, &count, sizeof count) < 0)
        return; /* nobody has rung */
}

void mioc_tcp_bell_drop(struct mioc_tcp_bell *bell)
{
    if (bell == NULL || atomic_fetch_sub(&bell->owners, 1) > 1)
        return;
    mioc_real(close)(bell->fd);
    free(bell);
}

void mioc_tcp_job_drop(struct mioc_tcp_job *job)
{
    if (job == NULL || atomic_fetch_sub(&job->owners, 1) > 1)
        return;
    sodium_memzero(job, job->size);
    free(job);
}

static void *work(void *arg)
{
    struct mioc_tcp_job *job = arg;
    struct mioc_tcp_bell *bell = job->bell;

    job->run(job);
    atomic_store(&job->is_done, 1);
    mioc_tcp_job_drop(job);
    atomic_fetch_sub(&bell->workers, 1);
    mioc_tcp_bell_ring(bell);
    mioc_tcp_bell_drop(bell);
    return NULL;
}

int mioc_tcp_job_start(struct mioc_tcp_job *job, struct mioc_tcp_bell *bell)
{
    int rc;

    atomic_store(&job->owners, 2);
    job->bell = bell;
    atomic_fetch_add(&bell->owners, 1);
    rc = atomic_fetch_add(&bell->workers, 1) < MIOC_TCP_WORKERS ? mioc_thread_start(NULL, 0, STACK, work, job) : EAGAIN;
    if (rc == 0)
        return 0;
    atomic_fetch_sub(&bell->workers, 1);
    mioc_tcp_bell_drop(bell);
    mioc_tcp_job_drop(job);
    mioc_tcp_job_drop(job);
    errno = rc;
    return -1;
}

int mioc_tcp_job_is_done(struct mioc_tcp_job *job) { return atomic_load(&job->is_done); }
