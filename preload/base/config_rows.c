/* SPDX-License-Identifier: BSD-3-Clause */
/* config_rows.c - the table of environment variables, and which parser reads the value of which row. */
#include "config_internal.h"

#include <stddef.h>
#include <string.h>

#define PREFIX MIOC_CONFIG_PREFIX
#define SECONDS_NS(s) ((uint64_t)((s)*1e9 + 0.5))

enum kind {
    FLAG,
    LEVEL,
    DIRECTORY,
    PREFIXES,
    SECONDS,
    AUTO_SECONDS,
    BYTES,
    LOADER,
    MANIFEST,
    STATS,
    FOLDER,
    RANKS,
    MPI,
    TRANSPORT,
    PORTS,
    INTERFACE,
    KEYFILE,
    HOSTS,
    NUMBER
};

/* Each row: name, kind, field, least, most, type, default, help. The unit of least and most is nanoseconds or bytes. */
/* clang-format off */
#define ROWS(X) \
    X("DISABLE", FLAG, disable, 0, 0, "0 or 1", "0", \
      "1 turns everything off, but for the timers if statistics are wanted") \
    X("LOG", LEVEL, log, 0, 0, "error, warn, info or debug", "warn", \
      "what is said on standard error; info says whether the cache is active, or why not") \
    X("DIR", DIRECTORY, dir, 0, 0, "an absolute path of at most 200 bytes", "/dev/shm", \
      "node-local directory in memory that holds the node's store") \
    X("PATHS", PREFIXES, paths, 0, 0, "absolute paths separated by colons", "", \
      "more prefixes to cache, whatever filesystem they are on") \
    X("EXCLUDE", PREFIXES, exclude, 0, 0, "absolute paths separated by colons", "", "prefixes never to cache") \
    X("TTL", SECONDS, ttl_ms, 0, SECONDS_NS(86400), "seconds from 0 to 86400", "2", \
      "how long a name found missing outside the library directories stays missing") \
    X("ACTIMEO", AUTO_SECONDS, actimeo_ms, 0, SECONDS_NS(86400), "auto or seconds from 0 to 86400", "auto", \
      "how long a node's kernel may show what was there before another node's write: " \
      "auto takes it from the mount, and 60 where it does not say") \
    X("TIMEOUT", SECONDS, timeout_ms, SECONDS_NS(0.001), SECONDS_NS(3600), "seconds from 0.001 to 3600", "10", \
      "longest wait of one call for the cache before it goes to the filesystem; and, before main, for the node's " \
      "agent (TCP), or for ranks that come late (MPI, at least 4)") \
    X("LINGER", SECONDS, linger_ms, 0, SECONDS_NS(3600), "seconds from 0 to 3600", "30", \
      "over MPI: longest that an ending rank goes on serving the others") \
    X("MAX_FILE", BYTES, max_file, 0, INT64_MAX, "bytes, with K, M, G or T for powers of 1024", "256M", \
      "larger files keep their metadata cached and are read from the filesystem") \
    X("MAX_BYTES", BYTES, max_bytes, 0, INT64_MAX, "bytes, with K, M, G or T for powers of 1024", "0", \
      "bound of a node's store; 0 takes it from the cgroup's limit and the size of DIR") \
    X("LOADER", LOADER, loader_plain, 0, 0, "patch or plain", "patch", \
      "how the dynamic loader reads: through the cache, by patches of its code in memory, or as it does by itself") \
    X("TRANSPORT", TRANSPORT, transport, 0, 0, "auto, tcp or mpi", "auto", \
      "what carries it between nodes: auto takes TCP, and MPI under Open MPI's mpiexec without HOSTS") \
    X("PORTS", PORTS, port_first, 1024, 65535, "FIRST-LAST, at least 8 ports from 1024 to 65535", "21000-28999", \
      "TCP ports that nodes listen on: each takes one of 8 that follow from the job step and the node") \
    X("INTERFACE", INTERFACE, interface, 0, 0, "the name or an address of a network interface", "", \
      "which of a node's networks TCP takes; without it whatever the hosts' names lead to") \
    X("KEYFILE", KEYFILE, keyfile, 0, 0, "an absolute path", "", \
      "file of the user's, mode 0600, whose bytes prove to other nodes that this one is of the same user; " \
      "without it the launcher's secret does, or MUNGE") \
    X("ENCRYPT", FLAG, encrypt, 0, 0, "0 or 1", "0", \
      "1 encrypts what goes over TCP; without it each message is only signed") \
    X("HOSTS", HOSTS, hosts, 0, 0, "hosts, such as n[1-4],login, or an absolute path of a file that names them", "", \
      "the job's nodes, rank 0's first, where the launcher does not say; each node finds its own name among them") \
    X("RANK", NUMBER, rank, 0, INT32_MAX, "a number from 0", "", \
      "this task's number in the job of HOSTS, where no launcher numbers it") \
    X("MPI", MPI, mpi, 0, 0, "auto, mpich, openmpi or the name of another plug-in", "auto", \
      "over MPI: which one carries it; " \
      "auto takes the one whose process manager the launcher speaks to (PMI: MPICH, PMIx: Open MPI)") \
    X("MANIFEST", MANIFEST, manifest, 0, 0, "auto, off or an absolute path", "auto", \
      "where a run notes what it asked, for the next one to read ahead: auto is below $XDG_CACHE_HOME or ~/.cache") \
    X("STATS", STATS, stats, 0, 0, "0, 1 or a file name (./yes for a file of such a name)", "0", \
      "1 prints a table at exit, a file name writes it there as JSON") \
    X("TRACE", FOLDER, trace, 0, 0, "an absolute path, %r for the rank, %j the job, %h the host", "", \
      "folder where ranks (rank-NNNNN.json), and nodes' agents that are processes of their own (node-NNNNN.json), " \
      "write what they did, for Perfetto and mpiio-cache report; for the agent of node N %r is node-N") \
    X("TRACE_RANKS", RANKS, trace_ranks, 0, 0, "numbers and ranges such as 0,4-7, or all", "0-15", \
      "which ranks do; the agent of node 0, the root, does if rank 0 does, those of other nodes with all only") \
    X("TRACE_MAX", BYTES, trace_max, 4096, INT64_MAX, "bytes from 4096, with K, M, G or T for powers of 1024", "256M", \
      "bound of one such file; further events are counted and dropped")
/* clang-format on */

static const struct mioc_config_row public_rows[] = {
#define X(name, kind, field, least, most, type, def, help) { PREFIX name, type, def, help },
    ROWS(X)
#undef X
};

#define ROW_COUNT (sizeof public_rows / sizeof public_rows[0])

static const struct {
    enum kind kind;
    size_t offset;
    uint64_t least, most;
} row_rules[ROW_COUNT] = {
#define X(name, kind, field, least, most, type, def, help) { kind, offsetof(struct mioc_config, field), least, most },
    ROWS(X)
#undef X
};

/* The library itself sets these, for a program that replaces a rank by exec (role.h). */
static const char *const internal_names[] = { PREFIX "CLAIMED" };

const struct mioc_config_row *mioc_config_rows(size_t *n)
{
    if (n != NULL)
        *n = ROW_COUNT;
    return public_rows;
}

_Static_assert(ROW_COUNT <= MIOC_CONFIG_ROWS_MAX, "a row has an origin and a bit");

/* --- Rows -------------------------------------------------------------------------------------------------------- */

int mioc_config_parse_row(struct mioc_config *config, size_t row, const char *text)
{
    void *field = (char *)config + row_rules[row].offset;
    uint64_t least = row_rules[row].least, most = row_rules[row].most;
    switch (row_rules[row].kind) {
    case FLAG: return mioc_config_parse_flag(text, field);
    case LEVEL: return mioc_config_parse_level(text, field);
    case DIRECTORY: return mioc_config_parse_directory(text, field);
    case PREFIXES: mioc_config_parse_prefixes(config, public_rows[row].name, text, field); return 0;
    case SECONDS: return mioc_config_parse_seconds(text, least, most, field);
    case AUTO_SECONDS: return mioc_config_parse_auto_seconds(text, least, most, field);
    case BYTES: return mioc_config_parse_bytes(text, least, most, field);
    case LOADER: return mioc_config_parse_loader(text, field);
    case MANIFEST: return mioc_config_parse_manifest(text, field);
    case STATS: return mioc_config_parse_stats(text, config);
    case FOLDER: return mioc_config_parse_folder(text, field, sizeof config->trace);
    case MPI: return mioc_config_parse_mpi(text, field, sizeof config->mpi);
    case TRANSPORT: return mioc_config_parse_transport(text, field);
    case PORTS: return mioc_config_parse_ports(text, least, most, config);
    case INTERFACE: return mioc_config_parse_interface(text, field, sizeof config->interface);
    case KEYFILE: return mioc_config_parse_file(text, field, sizeof config->keyfile);
    case HOSTS: return mioc_config_parse_hosts(text, field);
    case NUMBER: return mioc_config_parse_number(text, least, most, field);
    case RANKS: return mioc_config_parse_ranks(text, field, sizeof config->trace_ranks);
    }
    return -1;
}

int mioc_config_find_row(const char *name, size_t len)
{
    for (size_t i = 0; i < ROW_COUNT; i++)
        if (strlen(public_rows[i].name) == len && memcmp(public_rows[i].name, name, len) == 0)
            return (int)i;
    for (size_t i = 0; i < sizeof internal_names / sizeof internal_names[0]; i++)
        if (strlen(internal_names[i]) == len && memcmp(internal_names[i], name, len) == 0)
            return MIOC_CONFIG_OF_THE_LIBRARY;
    return MIOC_CONFIG_UNKNOWN;
}
