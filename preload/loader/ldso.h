/* SPDX-License-Identifier: BSD-3-Clause */
/* ldso.h - the dynamic loader's image in memory: its code, and its functions, which the unwind table bounds.
 *
 * The image may be this process's ld.so. It may also be another build's file for the same processor, mapped by its
 * program headers: nothing in it is relocated or run. All functions only read; any thread may call them. Addresses are
 * those of this process. */
#ifndef MIOC_LDSO_H
#define MIOC_LDSO_H

#include <stdint.h>
#include <string.h>

struct mioc_function {
    uintptr_t start, end;
};

struct mioc_ldso {
    uintptr_t base;           /* of the image's address 0 */
    uintptr_t text, text_end; /* its one executable segment */
    uintptr_t table;          /* .eh_frame_hdr; its rows are sorted by function */
    unsigned functions;       /* the number of rows */
    int has_bti;              /* aarch64: built with branch targets, as its note says */
};

/* Reads the headers of the image at `base` and checks the whole unwind table. Returns 0, or -1: the image is not as
 * expected. */
int mioc_ldso_read(struct mioc_ldso *ld, uintptr_t base);
/* The function of row `i` of the table. */
struct mioc_function mioc_ldso_function(const struct mioc_ldso *ld, unsigned i);
/* The row of the function that contains `address`, or -1. */
int mioc_ldso_find_function(const struct mioc_ldso *ld, uintptr_t address);

static inline const unsigned char *mioc_bytes(uintptr_t at)
{
    return (const unsigned char *)at; /* NOLINT: an address of code */
}

static inline int32_t mioc_get32(uintptr_t at)
{
    int32_t value;

    memcpy(&value, mioc_bytes(at), sizeof value);
    return value;
}

#endif
