/* SPDX-License-Identifier: BSD-3-Clause */
/* hash.h - one hash of bytes for all modules. */
#ifndef MIOC_HASH_H
#define MIOC_HASH_H

#include <stddef.h>
#include <stdint.h>

/* XXH3, 64 bits (xxhash.h, BSD-2-Clause, Yann Collet). Not for secrets. Never 0. Async-signal-safe. */
uint64_t mioc_hash(const void *bytes, size_t len);

#endif
