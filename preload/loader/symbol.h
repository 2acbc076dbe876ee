/* SPDX-License-Identifier: BSD-3-Clause */
/* symbol.h - finds what one loaded object defines, whatever else defines the same name: ld.so's own functions to look
 * up with know only scopes, and an object that was there at the start has none of its own. */
#ifndef MIOC_LOADER_SYMBOL_H
#define MIOC_LOADER_SYMBOL_H

#include <link.h>

/* Its address, or NULL. *size, unless NULL, is what the symbol says. With one thread: nothing may come or go
 * meanwhile. */
void *mioc_symbol_find(const struct link_map *map, const char *name, size_t *size);
/* The object whose file has this name ("libc.so.6"), of the first namespace; or NULL. */
const struct link_map *mioc_symbol_object(const char *file);

#endif
