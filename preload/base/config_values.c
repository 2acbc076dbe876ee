/* SPDX-License-Identifier: BSD-3-Clause */
/* config_values.c - the table of environment variables, and one parser for each kind of value. */
#include "config_internal.h"

#include <limits.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define PREFIX MIOC_CONFIG_PREFIX
/* Leaves room for the store's own names in any buffer of PATH_MAX bytes, and of a socket address. */
#define DIR_LENGTH_MAX 200u
#define NS 1000000000ull
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
    MPI
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
      "longest wait of one call for the cache before it goes to the filesystem") \
    X("LINGER", SECONDS, linger_ms, 0, SECONDS_NS(3600), "seconds from 0 to 3600", "30", \
      "longest that an ending rank goes on serving the others") \
    X("MAX_FILE", BYTES, max_file, 0, INT64_MAX, "bytes, with K, M, G or T for powers of 1024", "256M", \
      "larger files keep their metadata cached and are read from the filesystem") \
    X("MAX_BYTES", BYTES, max_bytes, 0, INT64_MAX, "bytes, with K, M, G or T for powers of 1024", "0", \
      "bound of a node's store; 0 takes it from the cgroup's limit and the size of DIR") \
    X("LOADER", LOADER, loader_plain, 0, 0, "patch or plain", "patch", \
      "how the dynamic loader reads: through the cache, by patches of its code in memory, or as it does by itself") \
    X("MPI", MPI, mpi, 0, 0, "auto, mpich, openmpi or the name of another plug-in", "auto", \
      "which MPI carries it: " \
      "auto takes the one whose process manager the launcher speaks to (PMI: MPICH, PMIx: Open MPI)") \
    X("MANIFEST", MANIFEST, manifest, 0, 0, "auto, off or an absolute path", "auto", \
      "where a run notes what it asked, for the next one to read ahead: auto is below $XDG_CACHE_HOME or ~/.cache") \
    X("STATS", STATS, stats, 0, 0, "0, 1 or a file name (./yes for a file of such a name)", "0", \
      "1 prints a table at exit, a file name writes it there as JSON") \
    X("TRACE", FOLDER, trace, 0, 0, "an absolute path, %r for the rank, %j the job, %h the host", "", \
      "folder where ranks write what they did, for Perfetto and mpiio-cache report") \
    X("TRACE_RANKS", RANKS, trace_ranks, 0, 0, "numbers and ranges such as 0,4-7, or all", "0-15", "which ranks do") \
    X("TRACE_MAX", BYTES, trace_max, 4096, INT64_MAX, "bytes from 4096, with K, M, G or T for powers of 1024", "256M", \
      "bound of one rank's trace; further events are counted and dropped")
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

/* --- Complaints -------------------------------------------------------------------------------------------------- */

struct mioc_quoted mioc_config_quote(const char *value, size_t len)
{
    struct mioc_quoted q;
    size_t n = len < 64 ? len : 64;
    while (n < len && n > 0 && ((unsigned char)value[n] & 0xc0) == 0x80)
        n--; /* never cuts a UTF-8 character in two */
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)value[i];
        q.text[i] = c < 0x20 || c == 0x7f ? '?' : (char)c;
    }
    memcpy(q.text + n, n < len ? "…" : "", n < len ? sizeof "…" : 1);
    return q;
}

void mioc_config_complain(struct mioc_config *config, const char *format, ...)
{
    if (config->complaints++ > 0)
        return;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(config->complaint, sizeof config->complaint, format, arguments);
    va_end(arguments);
}

/* --- Parsers: each returns 0, or -1 with the field as before ----------------------------------------------------- */

static int is_digit(char c) { return c >= '0' && c <= '9'; }

/* Reads the digits at *at into *value, and moves *at behind them. Returns how many digits, or -1 on overflow. It does
 * not use strtoull(), which takes signs, blanks, and what the locale adds. */
static int parse_digits(const char **at, uint64_t *value)
{
    int n = 0;
    for (*value = 0; is_digit(**at); (*at)++, n++)
        if (__builtin_mul_overflow(*value, 10u, value) || __builtin_add_overflow(*value, (uint64_t)(**at - '0'), value))
            return -1;
    return n;
}

static int parse_seconds(const char *text, uint64_t least_ns, uint64_t most_ns, uint64_t *ms)
{
    uint64_t ns, fraction = 0;
    int digits = parse_digits(&text, &ns);
    if (digits < 0 || __builtin_mul_overflow(ns, NS, &ns))
        return -1;
    if (*text == '.') {
        text++;
        for (uint64_t unit = NS / 10; is_digit(*text); text++, digits++, unit /= 10)
            fraction += unit * (uint64_t)(*text - '0');
    }
    if (digits == 0 || *text != '\0' || __builtin_add_overflow(ns, fraction, &ns))
        return -1;
    if (ns < least_ns || ns > most_ns)
        return -1;
    *ms = ns / 1000000u + (ns % 1000000u != 0); /* rounds up: a time above 0 stays above 0 */
    return 0;
}

static int parse_auto_seconds(const char *text, uint64_t least_ns, uint64_t most_ns, uint64_t *ms)
{
    if (strcmp(text, "auto") != 0)
        return parse_seconds(text, least_ns, most_ns, ms);
    *ms = MIOC_ACTIMEO_AUTO;
    return 0;
}

static int parse_bytes(const char *text, uint64_t least, uint64_t most, uint64_t *bytes)
{
    static const char suffixes[] = "KMGT", small[] = "kmgt";
    uint64_t value;
    if (parse_digits(&text, &value) <= 0)
        return -1;
    if (*text != '\0') {
        const char *found = strchr(suffixes, *text);
        size_t power = found != NULL ? (size_t)(found - suffixes) : (size_t)-1;
        if (found == NULL && (found = strchr(small, *text)) != NULL)
            power = (size_t)(found - small);
        if (found == NULL || text[1] != '\0' || __builtin_mul_overflow(value, 1ull << (10 * (power + 1)), &value))
            return -1;
    }
    if (value < least || value > most)
        return -1;
    *bytes = value;
    return 0;
}

static int parse_flag(const char *text, int *flag)
{
    if ((text[0] != '0' && text[0] != '1') || text[1] != '\0')
        return -1;
    *flag = text[0] - '0';
    return 0;
}

static int parse_loader(const char *text, int *is_plain)
{
    if (strcmp(text, "patch") != 0 && strcmp(text, "plain") != 0)
        return -1;
    *is_plain = strcmp(text, "plain") == 0;
    return 0;
}

static int parse_manifest(const char *text, char *manifest)
{
    size_t len = strlen(text);
    if (text[0] == '/') {
        if (len >= sizeof((struct mioc_config *)0)->manifest || text[len - 1] == '/' ||
            strlen(strrchr(text, '/') + 1) > NAME_MAX)
            return -1;
    } else if (strcmp(text, "auto") != 0 && strcmp(text, "off") != 0) {
        return -1;
    }
    memcpy(manifest, text, len + 1);
    return 0;
}

static int parse_level(const char *text, enum mioc_log_level *level)
{
    static const struct {
        const char *name;
        enum mioc_log_level level;
    } levels[] = {
        { "error", MIOC_LOG_ERROR }, { "warn", MIOC_LOG_WARN }, { "info", MIOC_LOG_INFO }, { "debug", MIOC_LOG_DEBUG }
    };
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++)
        if (strcmp(text, levels[i].name) == 0) {
            *level = levels[i].level;
            return 0;
        }
    return -1;
}

static int parse_directory(const char *text, char *dir)
{
    size_t len = strlen(text);
    if (text[0] != '/' || len > DIR_LENGTH_MAX)
        return -1;
    memcpy(dir, text, len + 1);
    return 0;
}

static int parse_folder(const char *text, char *folder, size_t size)
{
    size_t len = strlen(text);
    if (text[0] != '/' || len >= size)
        return -1;
    for (const char *at = text; (at = strchr(at, '%')) != NULL; at += 2)
        if (at[1] == '\0' || strchr("rjh%", at[1]) == NULL)
            return -1;
    memcpy(folder, text, len + 1);
    return 0;
}

static int parse_mpi(const char *text, char *name, size_t size)
{
    size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_");
    if (text[len] != '\0' || len >= size)
        return -1;
    memcpy(name, text, len + 1);
    return 0;
}

static int parse_ranks(const char *text, char *ranks, size_t size)
{
    size_t len = strlen(text);
    uint64_t first, last;
    if (len >= size)
        return -1;
    for (const char *at = text; strcmp(text, "all") != 0;) {
        if (parse_digits(&at, &first) <= 0 || first > INT32_MAX)
            return -1;
        if (*at == '-' && (at++, parse_digits(&at, &last) <= 0 || last > INT32_MAX || last < first))
            return -1;
        if (*at == '\0')
            break;
        if (*at++ != ',')
            return -1;
    }
    memcpy(ranks, text, len + 1);
    return 0;
}

/* A word that reads as a switch is no file name, nor is a number, which reads as a level. */
static int is_file_name(const char *text)
{
    static const char *const switches[] = { "yes", "no", "true", "false", "on", "off", "y", "n" };
    if (strchr(text, '/') != NULL)
        return 1;
    for (size_t i = 0; i < sizeof switches / sizeof switches[0]; i++)
        if (strcasecmp(text, switches[i]) == 0)
            return 0;
    return text[strspn(text, "0123456789+-. ")] != '\0';
}

static int parse_stats(const char *text, struct mioc_config *config)
{
    size_t len = strlen(text);
    if (parse_flag(text, &config->stats) == 0) {
        config->stats_file[0] = '\0';
        return 0;
    }
    if (len >= sizeof config->stats_file || text[len - 1] == '/' || !is_file_name(text))
        return -1;
    memcpy(config->stats_file, text, len + 1);
    config->stats = 1;
    return 0;
}

/* Keeps the good entries of a list. Each bad entry is a complaint; an empty entry is only a colon
 * too many, and none. */
static void parse_prefixes(struct mioc_config *config, const char *name, const char *text, char *list)
{
    size_t used = 0;
    unsigned count = 0;
    for (const char *entry = text; *entry != '\0';) {
        size_t len = strcspn(entry, ":");
        const char *problem = NULL;
        if (len == 0)
            ;
        else if (entry[0] != '/')
            problem = "expected an absolute path; the entry is ignored";
        else if (len > 1023)
            problem = "expected at most 1023 bytes; the entry is ignored";
        else if (count == MIOC_MAX_PREFIXES)
            problem = "one entry too many; the entry is ignored";
        else if (used + len + 2 > sizeof config->paths)
            problem = "the list is too long; the entry is ignored";
        if (problem != NULL) {
            mioc_config_complain(config, "%s: entry \"%s\": %s", name, mioc_config_quote(entry, len).text, problem);
        } else if (len > 0) {
            if (used > 0)
                list[used++] = ':';
            memcpy(list + used, entry, len);
            used += len;
            count++;
        }
        entry += len + (entry[len] == ':');
    }
    list[used] = '\0';
}

_Static_assert(ROW_COUNT <= MIOC_CONFIG_ROWS_MAX, "a row has an origin and a bit");
_Static_assert(sizeof(((struct mioc_config *)0)->paths) == sizeof(((struct mioc_config *)0)->exclude), "one bound");

/* --- Rows -------------------------------------------------------------------------------------------------------- */

int mioc_config_parse_row(struct mioc_config *config, size_t row, const char *text)
{
    void *field = (char *)config + row_rules[row].offset;
    uint64_t least = row_rules[row].least, most = row_rules[row].most;
    switch (row_rules[row].kind) {
    case FLAG: return parse_flag(text, field);
    case LEVEL: return parse_level(text, field);
    case DIRECTORY: return parse_directory(text, field);
    case PREFIXES: parse_prefixes(config, public_rows[row].name, text, field); return 0;
    case SECONDS: return parse_seconds(text, least, most, field);
    case AUTO_SECONDS: return parse_auto_seconds(text, least, most, field);
    case BYTES: return parse_bytes(text, least, most, field);
    case LOADER: return parse_loader(text, field);
    case MANIFEST: return parse_manifest(text, field);
    case STATS: return parse_stats(text, config);
    case FOLDER: return parse_folder(text, field, sizeof config->trace);
    case MPI: return parse_mpi(text, field, sizeof config->mpi);
    case RANKS: return parse_ranks(text, field, sizeof config->trace_ranks);
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
