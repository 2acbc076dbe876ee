/* SPDX-License-Identifier: BSD-3-Clause */
/* config.h - every environment variable: one table in config.c with name, type, default and help.
 *
 * Read once, before anything else: the defaults, over them the site's file (site.h), over that the environment; the
 * result is immutable, so any thread may read it. A bad value keeps what was in force before it and leaves one
 * complaint, which the job says once (rank 0 or a dormant process with a log level that shows warnings). */
#ifndef MIOC_CONFIG_H
#define MIOC_CONFIG_H

#include "site.h"
#include <stddef.h>
#include <stdint.h>

enum mioc_log_level { MIOC_LOG_NONE, MIOC_LOG_ERROR, MIOC_LOG_WARN, MIOC_LOG_INFO, MIOC_LOG_DEBUG };

/* Where a value came from, and its text: of the table, of the buffer that the site's file was read into, or of the
 * environment. */
enum mioc_config_source { MIOC_CONFIG_DEFAULT, MIOC_CONFIG_SITE, MIOC_CONFIG_ENVIRONMENT };
struct mioc_config_origin {
    enum mioc_config_source source;
    const char *text;
};
#define MIOC_CONFIG_ROWS_MAX 32u

/* Cached prefixes that a policy holds at most, and excluded ones. */
#define MIOC_MAX_PREFIXES 64u

struct mioc_config {
    int disable;             /* MPIIO_CACHE_DISABLE     0|1 */
    enum mioc_log_level log; /* MPIIO_CACHE_LOG         error|warn|info|debug, default warn */
    char dir[1024];          /* MPIIO_CACHE_DIR         absolute, default /dev/shm */
    char paths[4096];        /* MPIIO_CACHE_PATHS       colon-separated absolute prefixes */
    char exclude[4096];      /* MPIIO_CACHE_EXCLUDE     the same */
    uint64_t ttl_ms;         /* MPIIO_CACHE_TTL         seconds, may have a fraction; default 2 */
    uint64_t actimeo_ms;     /* MPIIO_CACHE_ACTIMEO     auto, or seconds */
#define MIOC_ACTIMEO_AUTO UINT64_MAX
    uint64_t timeout_ms; /* MPIIO_CACHE_TIMEOUT     seconds, > 0; default 10: longest wait of one call for the cache */
    uint64_t
        linger_ms; /* MPIIO_CACHE_LINGER      seconds; default 30: longest that an ending leader serves the others */
    uint64_t max_file;     /* MPIIO_CACHE_MAX_FILE    bytes with K, M, G, T suffix; default 256M */
    uint64_t max_bytes;    /* MPIIO_CACHE_MAX_BYTES   the same; 0 = from the cgroup's limit and the tmpfs */
    char mpi[32];          /* MPIIO_CACHE_MPI         auto, or the name of a plug-in: mpich, openmpi, … */
    int loader_plain;      /* MPIIO_CACHE_LOADER      patch|plain, default patch */
    char manifest[1024];   /* MPIIO_CACHE_MANIFEST    auto|off|absolute path, default auto */
    int stats;             /* MPIIO_CACHE_STATS       0|1|FILE: 1 and FILE set this */
    char stats_file[1024]; /*                         FILE, or empty */
    char trace[1024];      /* MPIIO_CACHE_TRACE       absolute folder, or empty: no traces */
    char trace_ranks[256]; /* MPIIO_CACHE_TRACE_RANKS numbers and ranges, or all */
    uint64_t trace_max;    /* MPIIO_CACHE_TRACE_MAX   bytes of one rank's file */
    struct mioc_site site; /* what only the site's file says */
    struct mioc_config_origin origin[MIOC_CONFIG_ROWS_MAX]; /* in the table's order */
    unsigned complaints;                                    /* how many values were bad */
    char complaint[512];                                    /* the first complaint, one line without newline */
};

/* One row of the table, for tests, the man page check and `mpiio-cache config`. */
struct mioc_config_row {
    const char *name, *type, *default_text, *help;
};
const struct mioc_config_row *mioc_config_rows(size_t *n);

/* Parses `env` (NULL: environ) into *config; always leaves a usable configuration. Returns the number of complaints.
 * Unknown MPIIO_CACHE_* names are complained of too (a misspelt variable is a bad value). */
int mioc_config_parse(struct mioc_config *config, char *const *env);
/* The same with a site's file before it: its text, which is changed and must live as long as *config, or NULL; `file`
 * names it in complaints. */
int mioc_config_parse_all(struct mioc_config *config, const char *file, char *text, char *const *env);

/* The process's configuration, with the site's file, parsed on first use. */
const struct mioc_config *mioc_config(void);

#endif
