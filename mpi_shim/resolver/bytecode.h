/* SPDX-License-Identifier: BSD-3-Clause */
/* bytecode.h - which modules a .pyc file imports when it is imported itself: a guess, for reading ahead.
 *
 * Only the import instructions of the module's own code count: not those in its functions, behind `if TYPE_CHECKING`,
 * or in an exception's handler, which are fallbacks. The bytes may be anything: nothing is read outside of them, no
 * memory is allocated, and their number bounds the work. Any thread. */
#ifndef MIOC_BYTECODE_H
#define MIOC_BYTECODE_H

#include <stddef.h>
#include <stdint.h>

/* One import: `from ..name import item` has level 2. Without `from`, item_len is 0. `name` may have dots; with level >
 * 0 it may be empty. The texts point into the bytes and have no NUL. */
struct mioc_import {
    unsigned level;
    const char *name, *item;
    uint32_t name_len, item_len;
};

/* Calls visit() for each import in the code's order: first without an item, then once for each of its items. 0; or -1,
 * and no call: these are not bytecode of Python 3.11. */
int mioc_bytecode_imports(const unsigned char *bytes, size_t size,
                          void (*visit)(void *ctx, const struct mioc_import *import), void *ctx);

#endif
