/* SPDX-License-Identifier: BSD-3-Clause */
/* config.h - the process's configuration: every variable MPIIO_CACHE_*, from one table in config_rows.c.
 *
 * The configuration is read once, before anything else: the defaults, over them the site's file (site.h), over that the
 * environment. After that it never changes, so any thread may read it. A bad value is a complaint, and what was in
 * force before stays in force. The job prints the first complaint once: on rank 0, or in a dormant process whose log
 * level shows warnings. */
#ifndef MIOC_CONFIG_H
#define MIOC_CONFIG_H

#include "site.h"
#include <stddef.h>
#include <stdint.h>

enum mioc_log_level { MIOC_LOG_NONE, MIOC_LOG_ERROR, MIOC_LOG_WARN, MIOC_LOG_INFO, MIOC_LOG_DEBUG };

/* What carries messages between nodes. */
enum mioc_transport_choice { MIOC_TRANSPORT_AUTO, MIOC_TRANSPORT_TCP, MIOC_TRANSPORT_MPI };
/* A node tries so many ports until one is free, so PORTS has at least so many. */
#define MIOC_PORTS_LEAST 8u

/* Where a value came from, and its text. The text lies in the table, in the buffer with the site's file, or in the
 * environment. */
enum mioc_config_source { MIOC_CONFIG_DEFAULT, MIOC_CONFIG_SITE, MIOC_CONFIG_ENVIRONMENT };
struct mioc_config_origin {
    enum mioc_config_source source;
    const char *text;
};
#define MIOC_CONFIG_ROWS_MAX 32u

/* The most cached prefixes that a policy holds, and the most excluded ones. */
#define MIOC_MAX_PREFIXES 64u
#define MIOC_ACTIMEO_AUTO UINT64_MAX

/* The comments name the variable that a field comes from, without MPIIO_CACHE_. */
struct mioc_config {
    int disable;             /* DISABLE: 0 or 1 */
    enum mioc_log_level log; /* LOG: error, warn, info or debug */
    char dir[1024];          /* DIR: an absolute path */
    char paths[4096];        /* PATHS: absolute prefixes, ":" between */
    char exclude[4096];      /* EXCLUDE: the same */
    uint64_t ttl_ms;         /* TTL */
    uint64_t actimeo_ms;     /* ACTIMEO, or MIOC_ACTIMEO_AUTO */
    uint64_t timeout_ms;     /* TIMEOUT: the longest wait of one call for the cache; above 0 */
    uint64_t linger_ms;      /* LINGER: the longest time that an ending leader goes on serving the others */
    uint64_t max_file;       /* MAX_FILE, bytes */
    uint64_t max_bytes;      /* MAX_BYTES, bytes; 0: taken from the cgroup's limit and the tmpfs */
    enum mioc_transport_choice transport; /* TRANSPORT */
    unsigned port_first, port_last;       /* PORTS: both are in the range */
    char interface[64];                   /* INTERFACE: a name or an address; empty: any */
    char keyfile[1024];                   /* KEYFILE: an absolute path, or empty */
    int encrypt;                          /* ENCRYPT: 0 or 1 */
    const char *hosts;                    /* HOSTS: a list, or a file's absolute path; as an origin's text */
    uint64_t rank;                        /* RANK; see job/launcher.h */
    char mpi[32];                         /* MPI: auto, or the name of a plug-in (mpich, openmpi, …) */
    int loader_plain;                     /* LOADER: 1 plain, 0 patch */
    char manifest[1024];                  /* MANIFEST: auto, off or an absolute path */
    int stats;                            /* STATS: 1 for the value 1, and for a file */
    char stats_file[1024];                /* STATS: the file, or empty */
    char trace[1024];                     /* TRACE: an absolute folder; empty: no traces */
    char trace_ranks[256];                /* TRACE_RANKS: numbers and ranges, or all */
    uint64_t trace_max;                   /* TRACE_MAX: bytes of one file */
    struct mioc_site site;                /* what only the site's file says */
    struct mioc_config_origin origin[MIOC_CONFIG_ROWS_MAX]; /* in the table's order */
    unsigned complaints;                                    /* how many values were bad */
    char complaint[512];                                    /* the first complaint, one line without newline */
};

/* One row of the table: for tests, the check of the man page, and `mpiio-cache config`. */
struct mioc_config_row {
    const char *name, *type, *default_text, *help;
};
/* Returns the table, which has *n rows (n may be NULL). Any thread. */
const struct mioc_config_row *mioc_config_rows(size_t *n);

/* Parses the variables of `env` (NULL: environ) into *config. *config is usable in any case. Returns the number of
 * complaints; an unknown name MPIIO_CACHE_* is a complaint too, as it may be a misspelt one. */
int mioc_config_parse(struct mioc_config *config, char *const *env);
/* The same with the site's file before the environment. `file` names it in complaints; `text` is what it holds, or
 * NULL. The parser changes `text`, and *config points into it: `text` must live as long as *config. */
int mioc_config_parse_all(struct mioc_config *config, const char *file, char *text, char *const *env);

/* Returns this process's configuration; the first call reads it. Never NULL. Any thread, also in signal handlers and
 * children of vfork. */
const struct mioc_config *mioc_config(void);

/* How long another node may be silent until the job goes on without it. Nanoseconds. */
static inline uint64_t mioc_config_silence_ns(const struct mioc_config *config)
{
    const uint64_t least = 3000000000u, timeout = config->timeout_ms * 1000000u;

    return timeout < least ? least : timeout;
}

/* How long a store is served that hears nothing: after its agent's last beat, and after the agent's last word to its
 * parent that was answered. A write returns without this node when the node above has heard nothing for the time of
 * silence, or when the writer's own deadline is over. Whichever comes first, this node's processes must have stopped to
 * believe the store before. An agent's last heartbeat can be a second older than its beat, and some more late. */
static inline uint64_t mioc_config_trust_ns(const struct mioc_config *config)
{
    uint64_t unheard = mioc_config_silence_ns(config) - 1500000000u, untold = config->timeout_ms * 1000000u / 10 * 9;

    return unheard < untold ? unheard : untold;
}

#endif
