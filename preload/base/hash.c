/* SPDX-License-Identifier: BSD-3-Clause */
/* hash.c - one hash of bytes for all modules. */
#include "hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t mioc_hash(const void *bytes, size_t len)
{
    uint64_t hash = XXH3_64bits(bytes, len);

    return hash != 0 ? hash : 1;
}
