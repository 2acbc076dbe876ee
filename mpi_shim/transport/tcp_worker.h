/* SPDX-License-Identifier: BSD-3-Clause */
/* tcp_worker.h - work that may block (name lookup, MUNGE) in a thread for each piece, and the bell that says it is
 * done.
 *
 * The agent's thread owns both. A piece of work that nobody wants any more goes on in its thread, and is freed at its
 * end: nobody waits for a name server. */
#ifndef MIOC_TCP_WORKER_H
#define MIOC_TCP_WORKER_H

#include <stdatomic.h>
#include <stddef.h>

/* The most pieces of work at a time. */
#define MIOC_TCP_WORKERS 40

/* An eventfd; any thread may ring. */
struct mioc_tcp_bell {
    int fd;
    atomic_int owners;
    atomic_int workers;
};

/* NULL with errno. */
struct mioc_tcp_bell *mioc_tcp_bell_new(void);
void mioc_tcp_bell_ring(struct mioc_tcp_bell *bell);
/* Makes its descriptor unreadable again. */
void mioc_tcp_bell_clear(struct mioc_tcp_bell *bell);
void mioc_tcp_bell_drop(struct mioc_tcp_bell *bell);

/* The first member of a larger structure from malloc(), which has all that run() needs and stores its results there. */
struct mioc_tcp_job {
    void (*run)(struct mioc_tcp_job *job);
    size_t size; /* of the larger structure, which is cleared before it is freed */
    atomic_int owners;
    atomic_int is_done;
    struct mioc_tcp_bell *bell;
};

/* Starts run(job) in a thread. On failure it is freed: -1 (EAGAIN: too many). */
int mioc_tcp_job_start(struct mioc_tcp_job *job, struct mioc_tcp_bell *bell);
/* Whether run() is over, and its results can be read. */
int mioc_tcp_job_is_done(struct mioc_tcp_job *job);
/* The caller needs it no more. NULL is allowed. */
void mioc_tcp_job_drop(struct mioc_tcp_job *job);

#endif
