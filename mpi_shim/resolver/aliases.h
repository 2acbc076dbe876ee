/* SPDX-License-Identifier: BSD-3-Clause */
/* aliases.h - other names of what a write concerns: what the root knows of symbolic links among the cached paths.
 *
 * Records are kept by the name that was asked for. A write to lib/x.py concerns what is known of lib64/x.py, if lib64
 * leads to lib, and only the root has seen all that was asked. It learns links from the records that it publishes: a
 * STAT's target, and a REALPATH, which the resolver puts before the LIST of a directory that is reached through a link.
 * Paths are in normal form ("..",
 * "//" folded). One thread. */
#ifndef MIOC_ALIASES_H
#define MIOC_ALIASES_H

#include "store/item.h"
#include "store/ring.h"

struct mioc_aliases;

struct mioc_aliases *mioc_aliases_new(void); /* NULL: ENOMEM */
void mioc_aliases_free(struct mioc_aliases *a);

/* From an item that is about to be published. 1: it says of a name, which was not known to, that it leads elsewhere:
 * what was published below *name (*len bytes, valid until the next call) may have missed a write. 0: nothing new. */
int mioc_aliases_learn(struct mioc_aliases *a, const struct mioc_item *item, const char **name, uint32_t *len);

/* The i-th other name (i = 0, 1, …) that a write to `path` with these flags (MIOC_FLAG_SUBTREE) concerns: its length,
 * 0: there are no more. `path` is NUL-terminated. Names that come from names are found too, up to MIOC_ALIASES_MOST of
 * them: links can go round in circles. */
#define MIOC_ALIASES_MOST 64u
uint32_t mioc_aliases_next(struct mioc_aliases *a, unsigned i, const char *path, uint32_t flags,
                           char out[MIOC_PATH_MAX]);

#endif
