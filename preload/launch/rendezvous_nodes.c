/* SPDX-License-Identifier: BSD-3-Clause */
/* rendezvous_nodes.c - the leaders of a job's nodes agree by names in the launcher's name service (MPI.md). */
#include "rendezvous.h"
#include "pmi_relay.h"
#include "job/pmi.h"
#include "job/pmi_names.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A node has at most so many children, and looks for their names. */
#define FANOUT 8
/* A node sleeps between two looks, longer each time. The name service is one process and takes some 50 us for a
 * question: it stays half idle even when all nodes ask. */
#define NAP_US_PER_NODE 200
#define FIRST_NAP_US 500
/* The longest sleep grows with the number of nodes, between these. */
#define LEAST_NAP_US 5000
#define MOST_NAP_US 1000000
/* How much longer than the deadlines a leader waits for the others' decisions. */
#define PATIENCE_MS 5000

struct talk {
    const struct mioc_rendezvous *rendezvous;
    struct mioc_pmi_names *names;
    struct mioc_pmi_place place;
    char layout[32];
    int64_t since;  /* when this process began */
    int64_t seen;   /* when it saw the root's name; 0: not yet */
    int64_t nap_us; /* the next sleep */
    int has_said_no;
    char *reason;
    size_t size;
};

static int has_spoken;              /* this process has spoken with the launcher */
static struct mioc_pmi_names names; /* how */

/* --- Questions to the launcher ----------------------------------------------------------------------------------- */

static int publish(struct talk *t, const char *name, const char *value)
{
    return mioc_pmi_publish(t->names, name, value);
}

static int lookup(struct talk *t, const char *name, char *value, size_t size)
{
    return mioc_pmi_lookup(t->names, name, value, size);
}

/* Starts to speak with the launcher, and learns where this process is. 0, or -1 and the reason. Without a relay nothing
 * is said. */
static int begin(struct talk *t, const struct mioc_rendezvous *rendezvous, char *reason, size_t size)
{
    const struct mioc_task *me = rendezvous->me;

    *t = (struct talk){
        .rendezvous = rendezvous, .since = mioc_pmi_now_ms(), .nap_us = FIRST_NAP_US, .reason = reason, .size = size
    };
    if (has_spoken || mioc_pmi_relay_prepare(rendezvous->env) != 0) {
        snprintf(reason, size, "cannot speak with the launcher: %s", strerror(errno));
        return -1;
    }
    has_spoken = 1;
    t->names = &names;
    /* Without the launcher MPI cannot start either, so there is no hurry to take it for dead. */
    names = (struct mioc_pmi_names){ .fd = mioc_pmi_relay_up(),
                                     .timeout_ms = (int)(2 * rendezvous->timeout_ms + PATIENCE_MS),
                                     .reason = reason,
                                     .size = size };
    return mioc_pmi_names_begin(&names, me->launcher == MIOC_LAUNCHER_SLURM, me->size, me->rank, &t->place);
}

/* --- Steps ------------------------------------------------------------------------------------------------------- */

static void nap(struct talk *t)
{
    int64_t most = (int64_t)t->place.nodes * NAP_US_PER_NODE;

    most = most < LEAST_NAP_US ? LEAST_NAP_US : most > MOST_NAP_US ? MOST_NAP_US : most;
    nanosleep(&(struct timespec){ t->nap_us / 1000000, t->nap_us % 1000000 * 1000 }, NULL);
    t->nap_us = t->nap_us * 3 / 2 > most ? most : t->nap_us * 3 / 2;
}

/* Tells the root that not all will come, once. Always -1; t->reason stays, but where the launcher does not answer. */
static int say_no(struct talk *t)
{
    char reason[256];

    if (t->has_said_no)
        return -1;
    t->has_said_no = 1;
    snprintf(reason, sizeof reason, "%s", t->reason);
    if (publish(t, "no", reason) >= 0)
        snprintf(t->reason, t->size, "%s", reason);
    return -1;
}

/* 0: the verdict is go; -1 and the reason. */
static int obey(struct talk *t, const char *verdict)
{
    if (strcmp(verdict, "go") == 0)
        return 0;
    snprintf(t->reason, t->size, "%s", verdict);
    return -1;
}

/* Publishes a verdict, unless there is one already, and obeys the one that counts. 0: go; -1 and the reason. */
static int decide(struct talk *t, const char *proposal)
{
    char verdict[300];
    int rc = lookup(t, "verdict", verdict, sizeof verdict);

    if (rc == 0 && publish(t, "verdict", proposal) >= 0)
        rc = lookup(t, "verdict", verdict, sizeof verdict);
    return rc == 1 ? obey(t, verdict) : -1;
}

/* Looks for the children's names from *next on, up to the first that is missing. 1: all are there; 0: *next is missing;
 * -1 and the reason. */
static int look_for_children(struct talk *t, int *next)
{
    char name[32], value[32];

    while (*next <= t->place.index * FANOUT + FANOUT && *next < t->place.nodes) {
        int rc;

        snprintf(name, sizeof name, "N-%d", *next);
        rc = lookup(t, name, value, sizeof value);
        if (rc <= 0)
            return rc;
        ++*next;
    }
    return 1;
}

/* --- The root ---------------------------------------------------------------------------------------------------- */

/* The root's part: announces itself, waits for its children, and decides. 0: go; -1 and the reason. */
static int rule(struct talk *t, int (*is_complete)(void *ctx), void *ctx)
{
    int64_t until = mioc_pmi_now_ms() + t->rendezvous->timeout_ms;
    int next = 1, rc = publish(t, "root", t->layout);
    char no[300], span[32];

    if (rc == 0) {
        snprintf(t->reason, t->size, "another rank 0 has been here");
        return -1;
    }
    while (rc >= 0) {
        int is_there = look_for_children(t, &next), has_no = lookup(t, "no", no, sizeof no);

        rc = is_there < 0 || has_no < 0 ? -1 : 0;
        if (rc != 0)
            break;
        if (has_no)
            return decide(t, no);
        if (!is_complete(ctx))
            break; /* is_complete() wrote the reason */
        if (mioc_pmi_now_ms() > until) {
            snprintf(t->reason, t->size,
                     "not all ranks of %d nodes came within %s (the first missing: node %d or one below it)",
                     t->place.nodes, mioc_rendezvous_span(t->rendezvous->timeout_ms, span), next);
            break;
        }
        if (is_there)
            return decide(t, "go");
        nap(t);
    }
    snprintf(no, sizeof no, "%s", t->reason);
    return rc < 0 ? -1 : decide(t, no);
}

/* --- The others -------------------------------------------------------------------------------------------------- */

/* Waits for the root and for all nodes below this one; then publishes this node's name. 0, or -1 and the reason: nobody
 * starts MPI. */
static int announce(struct talk *t, int (*is_complete)(void *ctx), void *ctx)
{
    int next = t->place.index * FANOUT + 1, rc;
    char value[300], name[32], span[32];

    for (;; nap(t)) {
        int64_t now = mioc_pmi_now_ms();

        if (!is_complete(ctx))
            return say_no(t);
        if (t->seen == 0 && (rc = lookup(t, "root", value, sizeof value)) != 0) {
            if (rc < 0)
                return -1;
            t->seen = now;
            if (strcmp(value, t->layout) != 0) {
                snprintf(t->reason, t->size, "the nodes have different versions of libmpiio_cache.so");
                return say_no(t);
            }
        }
        rc = t->seen != 0 ? look_for_children(t, &next) : 0;
        if (rc != 0)
            break;
        rc = lookup(t, t->seen != 0 ? "verdict" : "no", value, sizeof value);
        if (rc > 0)
            snprintf(t->reason, t->size, "%s", value); /* a verdict is "stay", as this node is not announced */
        if (rc != 0)
            return -1;
        if (now > (t->seen != 0 ? t->seen + PATIENCE_MS : t->since) + t->rendezvous->timeout_ms) {
            snprintf(t->reason, t->size, "%s did not come within %s", t->seen != 0 ? "a node" : "rank 0's node",
                     mioc_rendezvous_span(t->rendezvous->timeout_ms, span));
            return say_no(t);
        }
    }
    snprintf(name, sizeof name, "N-%d", t->place.index);
    return rc < 0 || publish(t, name, "here") < 0 ? -1 : 0;
}

/* Waits for the verdict, and obeys it; decides itself if there is none for too long. 0: go; -1 and the reason. */
static int await_verdict(struct talk *t, int (*is_complete)(void *ctx), void *ctx)
{
    int64_t until = mioc_pmi_now_ms() + 2 * t->rendezvous->timeout_ms + PATIENCE_MS;
    char verdict[300];

    for (t->nap_us = FIRST_NAP_US;; nap(t)) {
        int rc = lookup(t, "verdict", verdict, sizeof verdict);

        if (rc != 0)
            return rc < 0 ? -1 : obey(t, verdict);
        if (!t->has_said_no && !is_complete(ctx))
            (void)say_no(t);
        if (mioc_pmi_now_ms() > until)
            return decide(t, "rank 0 did not say whether all ranks have come");
    }
}

/* --- All --------------------------------------------------------------------------------------------------------- */

static void fill_layout(struct talk *t)
{
    snprintf(t->layout, sizeof t->layout, "%016llx", (unsigned long long)mioc_rendezvous_layout());
}

int mioc_rendezvous_nodes(const struct mioc_rendezvous *rendezvous, int (*is_complete)(void *ctx), void *ctx,
                          char *reason, size_t size)
{
    struct talk talk;

    if (begin(&talk, rendezvous, reason, size) != 0)
        return -1;
    fill_layout(&talk);
    if (!talk.place.is_leader) {
        snprintf(reason, size, "the launcher numbers the ranks of a node in two ways");
        return say_no(&talk);
    }
    if (talk.place.index == 0)
        return rule(&talk, is_complete, ctx);
    if (announce(&talk, is_complete, ctx) != 0)
        return -1;
    return await_verdict(&talk, is_complete, ctx);
}

void mioc_rendezvous_nodes_decline(const struct mioc_rendezvous *rendezvous, const char *why)
{
    struct talk talk;
    char reason[256], unused[256];

    snprintf(reason, sizeof reason, "%s", why);
    if (begin(&talk, rendezvous, unused, sizeof unused) == 0)
        (void)publish(&talk, "no", reason);
}

/* --- The process manager, afterwards ----------------------------------------------------------------------------- */

/* MPI says "init" again. Hydra answers that; under Slurm the relay does. */
void mioc_rendezvous_before_mpi(const struct mioc_task *me)
{
    if (!has_spoken)
        return;
    if (me->launcher == MIOC_LAUNCHER_SLURM)
        mioc_pmi_relay_open(names.is_answer_due);
    else
        mioc_pmi_relay_release();
}

void mioc_rendezvous_after_mpi(void) { mioc_pmi_relay_release(); }

int mioc_rendezvous_open_relay(void)
{
    if (has_spoken)
        mioc_pmi_relay_open(names.is_answer_due);
    return has_spoken;
}
