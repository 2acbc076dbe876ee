/* SPDX-License-Identifier: BSD-3-Clause */
/* ldso.h - the dynamic loader's image in memory: its code, and where its functions begin and end by its unwind table.
 *
 * The image may be this process's ld.so, or another build's file of the same processor, mapped by its program
 * headers: nothing of it is relocated or run here. All functions are pure reads, for any thread. */
#ifndef MIOC_LDSO_H
#define MIOC_LDSO_H

#include <stdint.h>
#include <string.h>

struct mioc_function {
    uintptr_t start, end;
};

struct mioc_ldso {
    uintptr_t base;           /* where the image's address 0 is */
    uintptr_t text, text_end; /* its one executable segment */
    uintptr_t table;          /* of .eh_frame_hdr, sorted by function */
    unsigned functions;       /* its rows */
    int has_bti;              /* aarch64: its note says that it was built with branch targets */
};

/* Reads the headers and checks the whole unwind table. 0, or -1: it is not as expected. */
int mioc_ldso_read(struct mioc_ldso *ld, uintptr_t base);
/* Row `i` of the table. */
struct mioc_function mioc_ldso_function(const struct mioc_ldso *ld, unsigned i);
/* The row of the function that holds `address`, or -1. */
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
