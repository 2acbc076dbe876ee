/* SPDX-License-Identifier: BSD-3-Clause */
/* rendezvous_nodes.c - the leaders of a job's nodes agree by names in the launcher's name service. */
#include "rendezvous.h"
#include "pmi_relay.h"
#include "job/pmi.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

/* Each node looks for the names of at most so many others. */
#define FANOUT 8
#define MOST_NODES (1 << 20)
#define LINE 1024
/* The name service is one process, which takes some 50 us for a question: it is to be half idle when all nodes ask. */
#define NAP_US_PER_NODE 200
#define FIRST_NAP_US 500
#define LEAST_NAP_US 5000
#define MOST_NAP_US 1000000
#define PATIENCE_MS 5000

struct talk {
    const struct mioc_rendezvous *rendezvous;
    struct mioc_rendezvous_place place;
    char suffix[320]; /* of all names: ours, of this job */
    char layout[32];
    int64_t since, seen, nap_us;
    int has_said_no;
    char *reason;
    size_t size;
};

static int has_spoken, is_answer_due;

int mioc_rendezvous_nodes_has_spoken(int *is_due)
{
    *is_due = is_answer_due;
    return has_spoken;
}

/* --- Where this process is --------------------------------------------------------------------------------------- */

static const char *read_block(const char *at, long block[3])
{
    char *end;

    if (*at != '(')
        return NULL;
    for (int i = 0; i < 3; i++) {
        block[i] = strtol(at + 1, &end, 10);
        if (end == at + 1 || *end != (i < 2 ? ',' : ')'))
            return NULL;
        at = end;
    }
    if (block[0] < 0 || block[1] < 1 || block[2] < 1 || block[0] >= MOST_NODES || block[1] > MOST_NODES - block[0])
        return NULL;
    return at + 1;
}

/* number: of each node's id, from 1. */
static int walk(const char *blocks, int size, int rank, int *number, struct mioc_rendezvous_place *place)
{
    const char *at = blocks;
    int next = 0;

    while (next < size) {
        long block[3];

        at = read_block(at, block);
        if (at == NULL)
            return -1;
        for (long node = block[0]; node < block[0] + block[1]; node++)
            for (long i = 0; i < block[2] && next < size; i++, next++) {
                int is_first = number[node] == 0;

                if (is_first)
                    number[node] = ++place->nodes;
                if (next == rank)
                    *place = (struct mioc_rendezvous_place){ place->nodes, number[node] - 1, is_first };
            }
        at = *at == ',' ? at + 1 : blocks;
    }
    return 0;
}

int mioc_rendezvous_parse_mapping(const char *text, int size, int rank, struct mioc_rendezvous_place *place)
{
    static const char head[] = "(vector,";
    size_t bytes = MOST_NODES * sizeof(int);
    int *number, rc;

    *place = (struct mioc_rendezvous_place){ 0, -1, 0 };
    if (strncmp(text, head, sizeof head - 1) != 0)
        return -1;
    /* Not from malloc(): having freed so much it would give the program's large blocks from the heap from then on, and
     * return less. */
    number = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (number == MAP_FAILED)
        return -1;
    rc = walk(text + sizeof head - 1, size, rank, number, place);
    (void)munmap(number, bytes);
    return rc == 0 && place->index >= 0 ? 0 : -1;
}

/* --- Questions to the launcher ----------------------------------------------------------------------------------- */

__attribute__((format(printf, 3, 4))) static int ask(struct talk *t, char *answer, const char *format, ...)
{
    /* Without the launcher's answer MPI could not start anyway, so there is no hurry to think it dead. */
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

/* Values have no blanks and no '='. */
static void encode(char *to, size_t size, const char *text)
{
    size_t i = 0;

    for (; text[i] != '\0' && i + 1 < size; i++) {
        unsigned char c = (unsigned char)text[i];

        to[i] = (char)(c == ' ' ? '~' : c <= ' ' || c >= 0x7f || strchr("=~;", c) != NULL ? '?' : c);
    }
    to[i] = '\0';
}

/* Fills `to` with what stands behind " KEY=" up to a blank, blanks in it put back. 1, or 0 if it is not there. */
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

/* 1: published; 0: the name is taken; -1. */
static int publish(struct talk *t, const char *name, const char *value)
{
    char answer[LINE], text[300];
    int rc;

    encode(text, sizeof text, value);
    if (ask(t, answer, "publish_name service=%s%s port=%s", name, t->suffix, text) != 0)
        return -1;
    rc = mioc_pmi_number(answer, "rc", -1); /* Slurm and old hydras say info alone, MPICH 4.2's rc alone */
    return rc == 0 || (rc == -1 && strstr(answer, "info=ok") != NULL);
}

/* 1: found; 0: nobody has published it; -1. */
static int lookup(struct talk *t, const char *name, char *value, size_t size)
{
    char answer[LINE];

    if (ask(t, answer, "lookup_name service=%s%s", name, t->suffix) != 0)
        return -1;
    return get_value(answer, " port=", value, size);
}

/* The first words. Nothing has been said where this fails for want of means. */
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

static int say_no(struct talk *t)
{
    char reason[256];

    if (t->has_said_no)
        return -1;
    t->has_said_no = 1;
    snprintf(reason, sizeof reason, "%s", t->reason); /* which a failure would overwrite */
    if (publish(t, "no", reason) >= 0)
        snprintf(t->reason, t->size, "%s", reason);
    return -1;
}

/* 0 for go; -1 and why. */
static int obey(struct talk *t, const char *verdict)
{
    if (strcmp(verdict, "go") == 0)
        return 0;
    snprintf(t->reason, t->size, "%s", verdict);
    return -1;
}

/* There is one verdict, whoever wants to publish it. */
static int decide(struct talk *t, const char *wish)
{
    char verdict[300];
    int rc = lookup(t, "verdict", verdict, sizeof verdict);

    if (rc == 0 && publish(t, "verdict", wish) >= 0)
        rc = lookup(t, "verdict", verdict, sizeof verdict);
    return rc == 1 ? obey(t, verdict) : -1;
}

/* The children that are not there yet, from *next on. 1: all are there; 0; -1. */
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
            break; /* and it said why */
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

/* Until the root is there, and all nodes below: then it is announced. 0, or -1 and why: nobody goes. */
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
            snprintf(t->reason, t->size, "%s", value); /* without us it cannot be go */
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

#ifdef MIOC_MPICH_SPEAKS_PMI2
    if (rendezvous->me->launcher == MIOC_LAUNCHER_SLURM)
        return 0; /* srun speaks one dialect of PMI with a step, and the name service is not asked in that one */
#endif
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

#ifdef MIOC_MPICH_SPEAKS_PMI2
    if (rendezvous->me->launcher == MIOC_LAUNCHER_SLURM)
        return;
#endif
    snprintf(reason, sizeof reason, "%s", why);
    if (begin(&talk, rendezvous, unused, sizeof unused) == 0)
        (void)publish(&talk, "no", reason);
}
