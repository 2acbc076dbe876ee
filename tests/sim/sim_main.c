/* SPDX-License-Identifier: BSD-3-Clause */
/* sim_main.c - runs seeds one after the other; at the first violated invariant says how to run that seed again. */
#include "sim.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int usage(FILE *to)
{
    fputs("usage: mioc_sim [--seeds A..B] [--nodes N] [--arity K] [--faults 0|1] [--joins] [--verbose]\n"
          "Runs the agents' protocol on virtual time; with --joins nodes come, go and come back. Without N, K and "
          "faults each seed chooses its own.\n",
          to);
    return to == stdout ? 0 : 2;
}

static int parse_seeds(const char *text, unsigned long long *first, unsigned long long *last)
{
    char *end;

    if (*text < '0' || *text > '9')
        return -1;
    *first = *last = strtoull(text, &end, 10);
    if (strncmp(end, "..", 2) == 0 && end[2] >= '0' && end[2] <= '9')
        *last = strtoull(end + 2, &end, 10);
    return *end == '\0' && *first <= *last ? 0 : -1;
}

/* A whole number from `least` on. */
static int parse_number(const char *text, int least, int *out)
{
    char *end;
    long value = strtol(text, &end, 10);

    *out = (int)value;
    return *text && *end == '\0' && value >= least && value <= 1000000 ? 0 : -1;
}

static void tell(const struct sim *s)
{
    printf("seed %llu: %d nodes, arity %d%s: %llu asks, %llu hits, %llu answered, %llu real, %llu timeouts, %u writes, "
           "%llu messages\n",
           (unsigned long long)s->seed, s->config.nodes, s->config.arity, s->has_faults ? ", faults" : "",
           (unsigned long long)s->asks, (unsigned long long)s->hits, (unsigned long long)s->answered,
           (unsigned long long)s->real, (unsigned long long)s->timeouts, s->writes, (unsigned long long)s->messages);
}

static void tell_failure(const struct sim *s, const char *program)
{
    printf("seed %llu (%d nodes, arity %d%s), at %llu us: %s\nreplay: %s --seeds %llu..%llu",
           (unsigned long long)s->seed, s->config.nodes, s->config.arity, s->has_faults ? ", faults" : "",
           (unsigned long long)(s->now / US), s->failure, program, (unsigned long long)s->seed,
           (unsigned long long)s->seed);
    /* Only what was given: what the seed chose itself it would choose otherwise if told. */
    if (s->options.nodes > 0)
        printf(" --nodes %d", s->options.nodes);
    if (s->options.arity > 0)
        printf(" --arity %d", s->options.arity);
    if (s->options.faults >= 0)
        printf(" --faults %d", s->options.faults);
    if (s->options.joins)
        printf(" --joins");
    putchar('\n');
}

int main(int argc, char **argv)
{
    static const struct option names[] = { { "seeds", 1, NULL, 's' },   { "nodes", 1, NULL, 'n' },
                                           { "arity", 1, NULL, 'k' },   { "faults", 1, NULL, 'f' },
                                           { "verbose", 0, NULL, 'v' }, { "help", 0, NULL, 'h' },
                                           { "joins", 0, NULL, 'j' },   { NULL, 0, NULL, 0 } };
    struct sim_options options = { 0, 0, -1, 0 };
    unsigned long long first = 1, last = 100, asks = 0;
    static struct sim sim;
    int c, verbose = 0;

    while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
        if (c == 'h')
            return usage(stdout);
        if (c == 'v')
            verbose = 1;
        else if (c == 'j')
            options.joins = 1;
        else if (!((c == 's' && parse_seeds(optarg, &first, &last) == 0) ||
                   (c == 'n' && parse_number(optarg, 1, &options.nodes) == 0) ||
                   (c == 'k' && parse_number(optarg, 1, &options.arity) == 0) ||
                   (c == 'f' && parse_number(optarg, 0, &options.faults) == 0 && options.faults <= 1)))
            return usage(stderr);
    }
    if (optind != argc)
        return usage(stderr);
    for (unsigned long long seed = first; seed <= last; seed++) {
        if (sim_run(&sim, seed, &options) != 0) {
            tell_failure(&sim, argv[0]);
            return 1;
        }
        asks += sim.asks;
        if (verbose)
            tell(&sim);
    }
    printf("%llu seeds, %llu questions: all invariants held\n", last - first + 1, asks);
    return 0;
}
