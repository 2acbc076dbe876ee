/* SPDX-License-Identifier: BSD-3-Clause */
/* hash.h - the one hash of bytes that all modules use. */
#ifndef MIOC_HASH_H
#define MIOC_HASH_H

#include <stddef.h>
#include <stdint.h>

/* Returns the 64-bit XXH3 (xxhash.h, BSD-2-Clause, Yann Collet) of the bytes, and 1 where that is 0, so never 0. Equal
 * on all nodes of a job. Not for secrets. Async-signal-safe. */
uint64_t mioc_hash(const void *bytes, size_t len);

#endif
