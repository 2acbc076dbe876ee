/* SPDX-License-Identifier: BSD-3-Clause */
/* library_lookup.c - the names of libraries that an object needs, and how far the search for them has come. */
#include "library_lookup.h"

#include <stdlib.h>
#include <string.h>

struct mioc_lookup *mioc_lookup_new(struct mioc_library_path *path, unsigned turn, const char *names, uint32_t size)
{
    struct mioc_lookup *lookup = malloc(sizeof *lookup + size);

    if (lookup == NULL)
        return NULL;
    *lookup = (struct mioc_lookup){ .path = mioc_library_path_ref(path), .turn = turn, .size = size };
    memcpy(lookup->names, names, size);
    return lookup;
}

void mioc_lookup_free(struct mioc_lookup *lookup)
{
    for (struct mioc_lookup *next; lookup != NULL; lookup = next) {
        next = lookup->next;
        mioc_library_path_unref(lookup->path);
        free(lookup);
    }
}

int mioc_lookup_has_name(const struct mioc_lookup *lookup, const char *name)
{
    for (uint32_t at = 0; at < lookup->size; at += (uint32_t)strlen(lookup->names + at) + 1)
        if (strcmp(lookup->names + at, name) == 0)
            return 1;
    return 0;
}
