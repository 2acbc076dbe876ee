/* SPDX-License-Identifier: BSD-3-Clause */
/* config_internal.h - what config.c (reads the sources), config_rows.c (the table) and config_values.c (the
 * parsers) share; nobody else includes it. */
#ifndef MIOC_CONFIG_INTERNAL_H
#define MIOC_CONFIG_INTERNAL_H

#include "config.h"
#include <stddef.h>

#define MIOC_CONFIG_PREFIX "MPIIO_CACHE_"

/* A value as a message can show it: short, and without control characters. */
struct mioc_quoted {
    char text[80];
};
struct mioc_quoted mioc_config_quote(const char *value, size_t len);

/* Counts a complaint, and keeps the text of the first one. */
__attribute__((format(printf, 2, 3))) void mioc_config_complain(struct mioc_config *config, const char *format, ...);

/* Returns the row of a variable's full name, or one of these. */
#define MIOC_CONFIG_UNKNOWN (-1)
#define MIOC_CONFIG_OF_THE_LIBRARY (-2)
int mioc_config_find_row(const char *name, size_t len);

/* Parses a value into the field of a row. Returns 0; or -1: the value is bad, and the field is as before. A list of
 * prefixes is never bad: each bad entry is a complaint of its own. */
int mioc_config_parse_row(struct mioc_config *config, size_t row, const char *text);

/* The parsers: each returns 0; or -1: the value is bad, and the field is as before. */
int mioc_config_parse_seconds(const char *text, uint64_t least_ns, uint64_t most_ns, uint64_t *ms);
int mioc_config_parse_auto_seconds(const char *text, uint64_t least_ns, uint64_t most_ns, uint64_t *ms);
int mioc_config_parse_bytes(const char *text, uint64_t least, uint64_t most, uint64_t *bytes);
int mioc_config_parse_flag(const char *text, int *flag);
int mioc_config_parse_loader(const char *text, int *is_plain);
int mioc_config_parse_file(const char *text, char *file, size_t size);
int mioc_config_parse_manifest(const char *text, char *manifest);
int mioc_config_parse_level(const char *text, enum mioc_log_level *level);
int mioc_config_parse_directory(const char *text, char *dir);
int mioc_config_parse_folder(const char *text, char *folder, size_t size);
int mioc_config_parse_mpi(const char *text, char *name, size_t size);
int mioc_config_parse_transport(const char *text, enum mioc_transport_choice *choice);
int mioc_config_parse_ports(const char *text, uint64_t least, uint64_t most, struct mioc_config *config);
int mioc_config_parse_interface(const char *text, char *interface, size_t size);
/* No text is 0. */
int mioc_config_parse_number(const char *text, uint64_t least, uint64_t most, uint64_t *number);
int mioc_config_parse_hosts(const char *text, const char **hosts);
int mioc_config_parse_ranks(const char *text, char *ranks, size_t size);
int mioc_config_parse_stats(const char *text, struct mioc_config *config);
/* The good entries become the list; `name` is the variable's, for the complaints. */
void mioc_config_parse_prefixes(struct mioc_config *config, const char *name, const char *text, char *list);

#endif
