/* SPDX-License-Identifier: BSD-3-Clause */
/* rendezvous_nodes.c - the leaders of a job's nodes agree by names in the launcher's name service (README.md). */
#include "rendezvous.h"
#include "pmi_relay.h"
#include "job/pmi.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A node has at most so many children, and looks for their names. */
#define FANOUT 8
#define LINE 1024
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
    struct mioc_rendezvous_place place;
    char suffix[320]; /* of all names: they are this library's, in this job */
    char layout[32];
    int64_t since;  /* when this process began */
    int64_t seen;   /* when it saw the root's name; 0: not yet */
    int64_t nap_us; /* the next sleep */
    int has_said_no;
    char *reason;
    size_t size;
};

static int has_spoken;    /* this process has spoken with the launcher */
static int is_answer_due; /* … and did not wait for the last answer */

/* --- Questions to the launcher ----------------------------------------------------------------------------------- */

/* Asks the launcher; the answer is one line of at most LINE bytes. 0, or -1 and the reason. After a failure it asks no
 * more, as the answer that is still due would be taken for another one. */
__attribute__((format(printf, 3, 4))) static int ask(struct talk *t, char *answer, const char *format, ...)
{
    /* Without the launcher MPI cannot start either, so there is no hurry to take it for dead. */
    int timeout = (int)(2 * t->rendezvous->timeout_ms + PATIENCE_MS);
    char command[LINE - 8];
    va_list list;
    int length;

    va_start(list, format);
    length = vsnprintf(command, sizeof command, format, list);
    va_end(list);
    if (length > 0 && (size_t)length < sizeof command && !is_answer_due &&
        mioc_pmi_ask(mioc_pmi_relay_up(), command, answer, LINE, timeout) == 0)
        return 0;
    is_answer_due = 1;
    snprintf(t->reason, t->size, "the launcher's name service does not answer: %s", strerror(errno));
    return -1;
}

/* A value on the wire has no blank, '=' or ';': "~" stands for a blank, "?" for what else it cannot have. */
static void encode(char *to, size_t size, const char *text)
{
    size_t i = 0;

    for (; text[i] != '\0' && i + 1 < size; i++) {
        unsigned char c = (unsigned char)text[i];

        to[i] = (char)(c == ' ' ? '~' : c <= ' ' || c >= 0x7f || strchr("=~;", c) != NULL ? '?' : c);
    }
    to[i] = '\0';
}

/* Copies what stands behind `key` up to a blank, and puts blanks back. `key` is " NAME=". 1, or 0: it is not there. */
static int get_value(const char *answer, const char *key, char *to, size_t size)
{
    const char *at = strstr(answer, key);
    size_t i = 0;

    if (at == NULL)
        return 0;
    for (at += strlen(key); at[i] != '\0' && at[i] != ' ' && i + 1 < size; i++)
        to[i] = at[i] == '~' ? ' ' : at[i];
    to[i] = '\0';
    return 1;
}

/* 1: published; 0: the name is taken; -1 and the reason. */
static int publish(struct talk *t, const char *name, const char *value)
{
    char answer[LINE], text[300];
    int rc;

    encode(text, sizeof text, value);
    if (ask(t, answer, "publish_name service=%s%s port=%s", name, t->suffix, text) != 0)
        return -1;
    /* Slurm and older hydras answer with "info" only, MPICH 4.2's hydra with "rc" only. */
    rc = mioc_pmi_number(answer, "rc", -1);
    return rc == 0 || (rc == -1 && strstr(answer, "info=ok") != NULL);
}

/* 1: found; 0: nobody has published it; -1 and the reason. */
static int lookup(struct talk *t, const char *name, char *value, size_t size)
{
    char answer[LINE];

    if (ask(t, answer, "lookup_name service=%s%s", name, t->suffix) != 0)
        return -1;
    return get_value(answer, " port=", value, size);
}

/* Starts to speak with the launcher, and learns where this process is. 0, or -1 and the reason. Without a relay nothing
 * is said. */
static int begin(struct talk *t, const struct mioc_rendezvous *rendezvous, char *reason, size_t size)
{
    char answer[LINE], kvs[256] = "";

    *t = (struct talk){
        .rendezvous = rendezvous, .since = mioc_pmi_now_ms(), .nap_us = FIRST_NAP_US, .reason = reason, .size = size
    };
    if (has_spoken || mioc_pmi_relay_prepare(rendezvous->env) != 0) {
        snprintf(reason, size, "cannot speak with the launcher: %s", strerror(errno));
        return -1;
    }
    has_spoken = 1;
    if (rendezvous->me->launcher == MIOC_LAUNCHER_SLURM && ask(t, answer, "init pmi_version=1 pmi_subversion=1") != 0)
        return -1;
    if (ask(t, answer, "get_my_kvsname") != 0)
        return -1;
    (void)get_value(answer, " kvsname=", kvs, sizeof kvs);
    snprintf(t->suffix, sizeof t->suffix, "-mpiio_cache-%s", kvs);
    if (ask(t, answer, "get kvsname=%s key=PMI_process_mapping", kvs) != 0)
        return -1;
    if (!get_value(answer, " value=", answer, sizeof answer) ||
        mioc_rendezvous_parse_mapping(answer, rendezvous->me->size, rendezvous->me->rank, &t->place) != 0) {
        snprintf(reason, size, "the launcher does not say which ranks are on which node");
        return -1;
    }
    return 0;
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
        mioc_pmi_relay_open(is_answer_due);
    else
        mioc_pmi_relay_release();
}

void mioc_rendezvous_after_mpi(void) { mioc_pmi_relay_release(); }

int mioc_rendezvous_open_relay(void)
{
    if (has_spoken)
        mioc_pmi_relay_open(is_answer_due);
    return has_spoken;
}
