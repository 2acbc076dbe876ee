/* SPDX-License-Identifier: BSD-3-Clause */
/* symbol.h - finds symbols in the hash tables (DT_GNU_HASH) of loaded objects, without ld.so.
 *
 * dlsym() takes ld.so's lock, may free the message of an earlier failed call, and needs one or two KiB of stack. These
 * functions take no lock, allocate nothing, need some 200 bytes of stack, and keep errno and dlerror()'s message. */
#ifndef MIOC_SYMBOL_H
#define MIOC_SYMBOL_H

#include <link.h>
#include <stddef.h>

/* Finds what dlsym(RTLD_NEXT, name) finds from this library, as long as it is a function of libc or of an object before
 * libc. NULL: ask dlsym(). Any thread; async-signal-safe, also while this or another thread is in dlopen(): the objects
 * up to libc never go, and their order never changes. */
void *mioc_symbol_next(const char *name);

/* Finds the symbol that the object `map` itself defines, whatever other objects define the same name, and whatever its
 * version. Returns its address, or NULL. Stores the symbol's size in bytes in *size, unless size is NULL. The object
 * must stay loaded during the call. */
void *mioc_symbol_find(const struct link_map *map, const char *name, size_t *size);

/* Returns the object of the first namespace whose file has the name `file` ("libc.so.6"), or NULL. Only while no other
 * thread can load or unload an object. */
const struct link_map *mioc_symbol_object(const char *file);

#endif
