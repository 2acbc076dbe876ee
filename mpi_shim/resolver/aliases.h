/* SPDX-License-Identifier: BSD-3-Clause */
/* aliases.h - the symbolic links that the root knows of: under which other names a write concerns records.
 *
 * Records are kept by the name that was asked for. If lib64 leads to lib, a write to lib/x.py concerns the records of
 * lib64/x.py, too. The root learns links from the records that it publishes: from a STAT's target, and from a REALPATH,
 * which the resolver publishes before the LIST of a directory that is reached through a link. Names that come back are
 * in normal form ("..", "//" folded). Agent's thread only. */
#ifndef MIOC_ALIASES_H
#define MIOC_ALIASES_H

#include "store/item.h"
#include "store/ring.h"

struct mioc_aliases;

struct mioc_aliases *mioc_aliases_new(void); /* NULL: ENOMEM */
void mioc_aliases_free(struct mioc_aliases *a);

/* Looks at an item that is about to be published. 1: it says that *name (*len bytes, valid until the next call)
 * leads elsewhere, which was not known: what was published below that name may have missed a write. 0: nothing new. */
int mioc_aliases_learn(struct mioc_aliases *a, const struct mioc_item *item, const char **name, uint32_t *len);

/* The i-th other name that a write to `path` concerns, with these flags (MIOC_FLAG_SUBTREE). Call it for i = 0, 1, …:
 * i = 0 searches, the others go on. The length, with a NUL behind it in `out`; 0: there are no more. Other names of
 * other names are found, too, up to MIOC_ALIASES_MOST, because links can form circles. `path` is NUL-terminated. */
#define MIOC_ALIASES_MOST 64u
uint32_t mioc_aliases_next(struct mioc_aliases *a, unsigned i, const char *path, uint32_t flags,
                           char out[MIOC_PATH_MAX]);

#endif
