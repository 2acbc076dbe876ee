/* SPDX-License-Identifier: BSD-3-Clause */
/* config_internal.h - what config.c (reads the sources) and config_values.c (table and parsers) share; nobody else
 * includes it. */
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

#endif
