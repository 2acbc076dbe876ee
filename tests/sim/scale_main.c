/* SPDX-License-Identifier: BSD-3-Clause */
/* scale_main.c - one run of an import at a scale; prints one line of JSON. */
#include "scale.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

static int usage(FILE *to)
{
    fputs(
        "usage: mioc_scale [--nodes N] [--manifest] [--latency-ns L] [--bytes-per-us B] [--service-us U] [--servers K] "
        "[--lead-ms M]\n"
        "                  [--seed S] TRACE\n"
        "Replays a real import on N nodes (10) with cables of L ns (2000), link cards of B bytes per us (10000), and U "
        "us (500) for a\n"
        "call of the filesystem, K of which are served at once (0: all). The last node's rank starts M ms (0) before\n"
        "the others: no question of its has been asked, and each goes all the way to the root.\n",
        to);
    return to == stdout ? 0 : 2;
}

static int parse(const char *text, long least, long *out)
{
    char *end;

    *out = strtol(text, &end, 10);
    return *text && *end == '\0' && *out >= least && *out <= 1000000000 ? 0 : -1;
}

static void tell(const struct scale *s, const struct scale_options *o, const struct scale_result *r, double cpu)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    printf("{\"nodes\": %d, \"mode\": \"%s%s\", \"seconds\": %.6f, \"mean_seconds\": %.6f, \"root_messages\": %lu, "
           "\"root_bytes\": %lu, "
           "\"node_messages\": %lu, \"node_bytes\": %lu, \"requests_at_root\": %lu, \"events\": %lu, \"cpu_seconds\": "
           "%.1f, "
           "\"memory_mib\": %ld}\n",
           o->nodes, o->is_manifest ? "manifest" : "first run", o->lead_ns ? ", last node first" : "", r->seconds,
           r->mean_seconds, (unsigned long)r->root_messages, (unsigned long)r->root_bytes,
           (unsigned long)r->node_messages, (unsigned long)r->node_bytes, (unsigned long)r->requests_at_root,
           (unsigned long)s->events, cpu, usage.ru_maxrss / 1024);
}

int main(int argc, char **argv)
{
    static const struct option names[] = { { "nodes", 1, NULL, 'n' },      { "manifest", 0, NULL, 'm' },
                                           { "latency-ns", 1, NULL, 'l' }, { "bytes-per-us", 1, NULL, 'b' },
                                           { "service-us", 1, NULL, 'u' }, { "servers", 1, NULL, 'k' },
                                           { "seed", 1, NULL, 's' },       { "lead-ms", 1, NULL, 'w' },
                                           { "help", 0, NULL, 'h' },       { NULL, 0, NULL, 0 } };
    struct scale_options options = {
        .nodes = 10, .latency_ns = 2000, .bytes_per_us = 10000, .service_ns = 500 * US, .seed = 1
    };
    struct scale_result result;
    static struct scale scale;
    int c, rc;
    long value;

    while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
        if (c == 'h')
            return usage(stdout);
        if (c != 'm' && (c == '?' || parse(optarg, c == 'n' || c == 'b', &value) != 0))
            return usage(stderr);
        switch (c) {
        case 'm': options.is_manifest = 1; break;
        case 'n': options.nodes = value > 10000000 ? 10000000 : (int)value; break;
        case 'l': options.latency_ns = (uint64_t)value; break;
        case 'b': options.bytes_per_us = (uint64_t)value; break;
        case 'u': options.service_ns = (uint64_t)value * US; break;
        case 'w': options.lead_ns = (uint64_t)value * MS; break;
        case 'k': options.servers = value > 1000 ? 1000 : (int)value; break;
        default: options.seed = (uint64_t)value; break;
        }
    }
    if (optind + 1 != argc)
        return usage(stderr);
    if (scale_trace_read(&scale.trace, argv[optind]) != 0)
        return 2;
    rc = scale_run(&scale, &options, &result);
    if (rc != 0)
        fprintf(stderr, "mioc_scale: %s\n", scale.failure);
    else
        tell(&scale, &options, &result, (double)clock() / CLOCKS_PER_SEC);
    scale_trace_free(&scale.trace);
    return rc == 0 ? 0 : 1;
}
