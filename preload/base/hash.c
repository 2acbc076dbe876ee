/* SPDX-License-Identifier: BSD-3-Clause */
/* hash.c - the one hash of bytes that all modules use. */
#include "hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t mioc_hash(const void *bytes, size_t len)
{
    uint64_t hash = XXH3_64bits(bytes, len);

    return hash != 0 ? hash : 1;
}
