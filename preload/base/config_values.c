/* SPDX-License-Identifier: BSD-3-Clause */
/* config_values.c - one parser for each kind of value, and what is said about bad ones. */
#include "config_internal.h"

#include <limits.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Leaves room for the store's own names in any buffer of PATH_MAX bytes, and of a socket address. */
#define DIR_LENGTH_MAX 200u
#define NS 1000000000ull

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

int mioc_config_parse_seconds(const char *text, uint64_t least_ns, uint64_t most_ns, uint64_t *ms)
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

int mioc_config_parse_auto_seconds(const char *text, uint64_t least_ns, uint64_t most_ns, uint64_t *ms)
{
    if (strcmp(text, "auto") != 0)
        return mioc_config_parse_seconds(text, least_ns, most_ns, ms);
    *ms = MIOC_ACTIMEO_AUTO;
    return 0;
}

int mioc_config_parse_bytes(const char *text, uint64_t least, uint64_t most, uint64_t *bytes)
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

int mioc_config_parse_flag(const char *text, int *flag)
{
    if ((text[0] != '0' && text[0] != '1') || text[1] != '\0')
        return -1;
    *flag = text[0] - '0';
    return 0;
}

int mioc_config_parse_loader(const char *text, int *is_plain)
{
    if (strcmp(text, "patch") != 0 && strcmp(text, "plain") != 0)
        return -1;
    *is_plain = strcmp(text, "plain") == 0;
    return 0;
}

/* A file's absolute path: its last component is a name that a file can have. */
int mioc_config_parse_file(const char *text, char *file, size_t size)
{
    size_t len = strlen(text);
    if (text[0] != '/' || len >= size || text[len - 1] == '/' || strlen(strrchr(text, '/') + 1) > NAME_MAX)
        return -1;
    memcpy(file, text, len + 1);
    return 0;
}

int mioc_config_parse_manifest(const char *text, char *manifest)
{
    if (strcmp(text, "auto") != 0 && strcmp(text, "off") != 0)
        return mioc_config_parse_file(text, manifest, sizeof((struct mioc_config *)0)->manifest);
    memcpy(manifest, text, strlen(text) + 1);
    return 0;
}

int mioc_config_parse_level(const char *text, enum mioc_log_level *level)
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

int mioc_config_parse_directory(const char *text, char *dir)
{
    size_t len = strlen(text);
    if (text[0] != '/' || len > DIR_LENGTH_MAX)
        return -1;
    memcpy(dir, text, len + 1);
    return 0;
}

int mioc_config_parse_folder(const char *text, char *folder, size_t size)
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

int mioc_config_parse_mpi(const char *text, char *name, size_t size)
{
    size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_");
    if (text[len] != '\0' || len >= size)
        return -1;
    memcpy(name, text, len + 1);
    return 0;
}

int mioc_config_parse_transport(const char *text, enum mioc_transport_choice *choice)
{
    static const char *const names[] = {
        [MIOC_TRANSPORT_AUTO] = "auto", [MIOC_TRANSPORT_TCP] = "tcp", [MIOC_TRANSPORT_MPI] = "mpi"
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(text, names[i]) == 0) {
            *choice = (enum mioc_transport_choice)i;
            return 0;
        }
    return -1;
}

int mioc_config_parse_ports(const char *text, uint64_t least, uint64_t most, struct mioc_config *config)
{
    uint64_t first, last;
    if (parse_digits(&text, &first) <= 0 || *text++ != '-' || parse_digits(&text, &last) <= 0 || *text != '\0')
        return -1;
    if (first < least || last > most || last < first || last - first + 1 < MIOC_PORTS_LEAST)
        return -1;
    config->port_first = (unsigned)first;
    config->port_last = (unsigned)last;
    return 0;
}

/* No name of an interface and no address has a blank, a slash or a control character. */
int mioc_config_parse_interface(const char *text, char *interface, size_t size)
{
    size_t len = strlen(text);
    if (len >= size)
        return -1;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] <= ' ' || text[i] == 0x7f || text[i] == '/')
            return -1;
    memcpy(interface, text, len + 1);
    return 0;
}

int mioc_config_parse_number(const char *text, uint64_t least, uint64_t most, uint64_t *number)
{
    uint64_t value;
    if (parse_digits(&text, &value) < 0 || *text != '\0' || value < least || value > most)
        return -1;
    *number = value;
    return 0;
}

/* A host has no slash, so anything else with one is a relative path, which means another file in each folder. */
int mioc_config_parse_hosts(const char *text, const char **hosts)
{
    if (text[0] != '/' && strchr(text, '/') != NULL)
        return -1;
    *hosts = text;
    return 0;
}

int mioc_config_parse_ranks(const char *text, char *ranks, size_t size)
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

int mioc_config_parse_stats(const char *text, struct mioc_config *config)
{
    size_t len = strlen(text);
    if (mioc_config_parse_flag(text, &config->stats) == 0) {
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
void mioc_config_parse_prefixes(struct mioc_config *config, const char *name, const char *text, char *list)
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

_Static_assert(sizeof(((struct mioc_config *)0)->paths) == sizeof(((struct mioc_config *)0)->exclude), "one bound");
