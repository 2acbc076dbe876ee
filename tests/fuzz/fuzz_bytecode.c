/* SPDX-License-Identifier: BSD-3-Clause */
/* fuzz_bytecode.c - files that may be bytecode. Promises: what is handed out lies within the file, and ends. */
#include "resolver/bytecode.h"
#include "fuzz.h"

struct seen {
    const uint8_t *data;
    size_t size;
    unsigned imports;
};

static void check(const struct seen *seen, const char *text, uint32_t len)
{
    const uint8_t *at = (const uint8_t *)text;

    PROMISE(len == 0 ||
            (at >= seen->data && at <= seen->data + seen->size && len <= (size_t)(seen->data + seen->size - at)));
}

static void note(void *ctx, const struct mioc_import *import)
{
    struct seen *seen = ctx;

    check(seen, import->name, import->name_len);
    check(seen, import->item, import->item_len);
    PROMISE(++seen->imports <= 4096);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct seen seen = { data, size, 0 };

    (void)mioc_bytecode_imports(data, size, note, &seen);
    return 0;
}
