/* SPDX-License-Identifier: BSD-3-Clause */
/* fuzz.h - what the fuzz targets share: an input that is consumed piece by piece, and promises that end the run when
 * broken. */
#ifndef MIOC_FUZZ_H
#define MIOC_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PROMISE(condition) \
    do { \
        if (!(condition)) { \
            fprintf(stderr, "%s:%d: broken promise: %s\n", __FILE__, __LINE__, #condition); \
            abort(); \
        } \
    } while (0)

struct fuzz_input {
    const uint8_t *at;
    size_t left;
};

/* Past the end there are zeros. */
static inline uint64_t fuzz_number(struct fuzz_input *in, unsigned bytes)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < bytes && in->left > 0; i++, in->left--)
        value |= (uint64_t)*in->at++ << (8 * i);
    return value;
}
static inline uint8_t fuzz_byte(struct fuzz_input *in) { return (uint8_t)fuzz_number(in, 1); }

/* At most `want` bytes, where they stand. */
static inline size_t fuzz_bytes(struct fuzz_input *in, size_t want, const uint8_t **bytes)
{
    size_t n = want < in->left ? want : in->left;

    *bytes = in->at;
    in->at += n;
    in->left -= n;
    return n;
}

/* A number that is odd in the ways that matter: small, at a limit, or anything. */
static inline uint64_t fuzz_odd_number(struct fuzz_input *in, uint64_t limit)
{
    switch (fuzz_byte(in) % 8) {
    case 0: return limit;
    case 1: return limit - 1;
    case 2: return limit + 1;
    case 3: return UINT64_MAX - fuzz_byte(in);
    case 4: return fuzz_number(in, 8);
    case 5: return (uint64_t)1 << (fuzz_byte(in) % 64);
    default: return fuzz_byte(in);
    }
}

#endif
