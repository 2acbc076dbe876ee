/* SPDX-License-Identifier: BSD-3-Clause */
/* library_lookup.h - the names of libraries that an object needs, and how far the search for them has come. One thread
 * at a time has a lookup. */
#ifndef MIOC_LIBRARY_LOOKUP_H
#define MIOC_LIBRARY_LOOKUP_H

#include "library_path.h"
#include <stdint.h>

struct mioc_lookup {
    struct mioc_lookup *next;
    struct mioc_library_path *path; /* of the object that needs the names; the lookup holds a reference */
    uint64_t listing;               /* hash of the LIST that it waits for, or last waited for */
    unsigned turn;                  /* of mioc_library_path_dir(): where to look for the first name next */
    uint32_t at, size;              /* names[at..size) are still to be found, each NUL-terminated */
    char names[];
};

/* Copies names[0..size), takes a reference to `path`. NULL: no memory. */
struct mioc_lookup *mioc_lookup_new(struct mioc_library_path *path, unsigned turn, const char *names, uint32_t size);
/* Frees a list; NULL is an empty one. */
void mioc_lookup_free(struct mioc_lookup *lookup);
int mioc_lookup_has_name(const struct mioc_lookup *lookup, const char *name);

#endif
