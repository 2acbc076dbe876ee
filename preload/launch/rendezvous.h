/* SPDX-License-Identifier: BSD-3-Clause */
/* rendezvous.h - either all ranks of a job start MPI, or none does; they agree before any of them touches MPI.
 *
 * MPI's start waits for all ranks, for ever, and a task may never become a rank. MPI.md has the protocol, and why no
 * rank starts MPI alone. The rendezvous itself waits for at most a few deadlines.
 *
 * Only the main thread may call these functions, before main(). */
#ifndef MIOC_RENDEZVOUS_H
#define MIOC_RENDEZVOUS_H

#include "role.h"

/* What a task brings to the rendezvous. The caller owns all of it. */
struct mioc_rendezvous {
    const struct mioc_task *me;
    char *const *env;
    /* The deadline: how much later than the first rank the last one may come. */
    int64_t timeout_ms;
    /* The last check, which only the node's leader makes: 0, or -1 and the reason. */
    int (*look)(void *ctx, char *reason, size_t size);
    void *ctx;
};

/* Waits until it is known whether all ranks come. 0: all start MPI now. -1: none does; `reason` says why, for people.
 * Keeps errno. */
int mioc_rendezvous(const struct mioc_rendezvous *rendezvous, char *reason, size_t size);
/* Tells the other tasks that this one stays dormant, and why. Waits for no other task. Keeps errno. */
void mioc_rendezvous_decline(const struct mioc_rendezvous *rendezvous, const char *reason);
/* --- rendezvous_nodes.c ------------------------------------------------------------------------------------------ */

/* A rank calls these right before it starts MPI and right after: they give MPI the launcher's process manager. */
void mioc_rendezvous_before_mpi(const struct mioc_task *me);
void mioc_rendezvous_after_mpi(void);
/* A dormant process calls this to give its program the launcher's process manager. 1: a relay (pmi_relay.h) does that
 * from now on, and mioc_pmi_relay_end() is due at the end. 0: this process has not spoken with the launcher. */
int mioc_rendezvous_open_relay(void);

/* For rendezvous.c. The leader of a node calls this when all tasks of its node have come: agrees with the leaders of
 * the other nodes. is_complete(ctx) tells whether the tasks are still there; if not, it has written the reason. Returns
 * as mioc_rendezvous() does; changes errno. */
int mioc_rendezvous_nodes(const struct mioc_rendezvous *rendezvous, int (*is_complete)(void *ctx), void *ctx,
                          char *reason, size_t size);
/* For rendezvous.c. Publishes the name "no" with the reason. Changes errno. */
void mioc_rendezvous_nodes_decline(const struct mioc_rendezvous *rendezvous, const char *reason);

/* --- rendezvous_terms.c: for the above, and for tests ------------------------------------------------------------- */

#define MIOC_RENDEZVOUS_MAGIC 0x4d494841u /* "MIHA" */
/* A hash of what must be the same in all processes of a job: versions, byte order, sizes. */
uint64_t mioc_rendezvous_layout(void);
/* Writes a time for people: "10 s" or "50 ms". Returns buf. */
const char *mioc_rendezvous_span(int64_t ms, char buf[32]);

#endif
