/* SPDX-License-Identifier: BSD-3-Clause */
/* bytecode.h - which modules a .pyc file imports when it is imported itself.
 *
 * Read are the import instructions of the module's own code, not those in its functions, nor those behind `if
 * TYPE_CHECKING` or in an exception's handler (a fallback for what is not there). The result is a guess, and good for
 * reading ahead only. Any bytes may be given: nothing is read outside of them, no memory is allocated, and the work is
 * bounded by their number. */
#ifndef MIOC_BYTECODE_H
#define MIOC_BYTECODE_H

#include <stddef.h>
#include <stdint.h>

/* One import: `from ..name import item` has level 2; without `from`, item_len is 0. name may have dots, or be empty
 * where level > 0. The texts are not NUL-terminated. */
struct mioc_import {
    unsigned level;
    const char *name, *item;
    uint32_t name_len, item_len;
};

/* Calls visit() for each import in the code's order: first without an item, then once for each of its items. 0, or -1:
 * this is no bytecode of a Python that is known here (3.11); visit() was not called then. */
int mioc_bytecode_imports(const unsigned char *bytes, size_t size,
                          void (*visit)(void *ctx, const struct mioc_import *import), void *ctx);

#endif
