/* SPDX-License-Identifier: BSD-3-Clause */
/* find_aarch64.c - what a system call looks like in aarch64 code. One instruction replaces one, so a branch to it does
 * no harm. */
#ifdef __aarch64__

#include "find.h"

/* Bytes of a function. Larger ones may use vectors, whose upper parts the stubs do not keep. */
#define LARGEST 256u
/* Instructions between the one that sets the number and the call. */
#define FARTHEST 12u
/* svc #0 */
#define CALL 0xd4000001u

static uint32_t instruction(uintptr_t at) { return (uint32_t)mioc_get32(at); }

/* The number in `mov x8, #number` or `mov w8, #number`; -1 for any other instruction. */
static long number_set_by(uint32_t word)
{
    return (word & 0x7fe0001fu) == 0x52800008u ? (long)(word >> 5 & 0xffff) : -1;
}

static int is_branch(uint32_t word) { return (word & 0x1c000000u) == 0x14000000u; }

/* Whether register 8 stands where most instructions name their result, or where a load of a pair names the second. */
static int may_write_x8(uint32_t word) { return (word & 0x1fu) == 8 || (word >> 10 & 0x1fu) == 8; }

uintptr_t mioc_callsite_next(const struct mioc_ldso *ld, uintptr_t from)
{
    for (uintptr_t at = (from + 3) & ~(uintptr_t)3; at + 4 <= ld->text_end; at += 4)
        if (instruction(at) == CALL)
            return at;
    return ld->text_end;
}

int mioc_callsite_resembles(const struct mioc_ldso *ld, uintptr_t at, unsigned kinds)
{
    for (unsigned i = 1; i <= FARTHEST && at - 4 * i >= ld->text; i++) {
        const long number = number_set_by(instruction(at - 4 * i));

        if (number >= 0)
            return (kinds & 1u << mioc_callsite_kind(number)) != 0;
    }
    return 0;
}

int mioc_callsite_read(const struct mioc_function *f, uintptr_t at, struct mioc_callsite *site)
{
    if (f->end - f->start > LARGEST)
        return 0;
    for (unsigned i = 1; i <= FARTHEST && at - 4 * i >= f->start; i++) {
        const uint32_t word = instruction(at - 4 * i);
        const long number = number_set_by(word);

        if (number >= 0) {
            *site = (struct mioc_callsite){ .at = at, .resume = at + 4, .number = number };
            return 1;
        }
        if (is_branch(word) || may_write_x8(word))
            return 0;
    }
    return 0;
}

void mioc_callsites_shorten(const struct mioc_ldso *ld, struct mioc_callsite *sites, unsigned count)
{
    (void)ld, (void)sites, (void)count;
}

#endif
