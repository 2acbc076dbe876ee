/* SPDX-License-Identifier: BSD-3-Clause */
/* find_x86_64.c - what a system call looks like in x86-64 code, and whether a branch leads into the bytes after it. */
#ifdef __x86_64__

#include "decode_x86_64.h"
#include "find.h"

/* Bytes of a function. libc's functions around one system call are smaller. Larger ones may use vectors, whose upper
 * halves the stubs do not keep. */
#define LARGEST 256u

#define CALL "\x0f\x05" /* syscall */
#define CALL_LENGTH 2u
#define SHORT_REACH 130u /* bytes that a short branch spans at most, in either direction */

/* Sixteen bytes at a time: each process searches all of ld.so's text before main, so this has to be fast. */
typedef uint8_t bytes16 __attribute__((vector_size(16)));
typedef uint32_t words4 __attribute__((vector_size(16)));
#define BLOCK 16u

static inline bytes16 load(uintptr_t at)
{
    bytes16 value;

    memcpy(&value, mioc_bytes(at), sizeof value);
    return value;
}

/* Whether a comparison is true for any of the bytes. */
static inline int is_any(bytes16 mask)
{
    uint64_t half[2];

    memcpy(half, &mask, sizeof half);
    return (half[0] | half[1]) != 0;
}

uintptr_t mioc_callsite_next(const struct mioc_ldso *ld, uintptr_t from)
{
    const bytes16 none = { 0 }, first = none + (uint8_t)CALL[0], second = none + (uint8_t)CALL[1];

    for (; from + BLOCK + 1 <= ld->text_end; from += BLOCK)
        if (is_any((bytes16)(load(from) == first) & (bytes16)(load(from + 1) == second)))
            break;
    while (from + CALL_LENGTH <= ld->text_end && memcmp(mioc_bytes(from), CALL, CALL_LENGTH) != 0)
        from++;
    return from + CALL_LENGTH <= ld->text_end ? from : ld->text_end;
}

/* Looks for `mov $number, %eax`. */
int mioc_callsite_resembles(const struct mioc_ldso *ld, uintptr_t at, unsigned kinds)
{
    for (uintptr_t a = at - 5; a >= ld->text && a + 48 > at; a--)
        if (*mioc_bytes(a) == 0xb8 && (kinds & 1u << mioc_callsite_kind(mioc_get32(a + 1))))
            return 1;
    return 0;
}

/* --- A function, decoded from its start -------------------------------------------------------------------------- */

/* For each offset in the function: whether an instruction starts there, and whether a branch leads there. */
struct sweep {
    unsigned char is_start[LARGEST], is_target[LARGEST];
};

/* Finds every instruction of the function and every branch within it. Returns 0, or -1: an instruction is not known, or
 * a jump may lead anywhere. */
static int sweep(const struct mioc_function *f, struct sweep *s)
{
    struct mioc_instruction in;

    memset(s, 0, sizeof *s);
    if (f->end - f->start > LARGEST)
        return -1;
    for (uintptr_t at = f->start; at < f->end; at += in.length) {
        if (mioc_decode(at, f->end, &in) != 0 || in.flow == MIOC_FLOW_UNKNOWN)
            return -1;
        s->is_start[at - f->start] = 1;
        if ((in.flow == MIOC_FLOW_BRANCH || in.flow == MIOC_FLOW_JUMP) && in.target - f->start < f->end - f->start)
            s->is_target[in.target - f->start] = 1;
    }
    /* A branch into the middle of an instruction gives the bytes another meaning. One past a prefix does not: old
     * glibcs jump past `lock`. */
    for (unsigned i = 0; i < f->end - f->start; i++)
        if (s->is_target[i] && !s->is_start[i] && !(s->is_start[i - 1] && *mioc_bytes(f->start + i - 1) == 0xf0))
            return -1;
    return 0;
}

/* Whether the instruction keeps rax. Knows those that compilers put between the setting of rax and the call. */
static int keeps_number(const struct mioc_instruction *in)
{
    const unsigned has_r = in->rex >> 2 & 1, has_b = in->rex & 1, mod = in->modrm >> 6;
    const int is_reg_rax = (in->modrm >> 3 & 7) == 0 && !has_r, is_rm_rax = mod == 3 && (in->modrm & 7) == 0 && !has_b;

    switch (in->opcode) {
    /* mov and xor to r/m; mov and arithmetic of an immediate. */
    case 0x89:
    case 0x31:
    case 0xc7:
    case 0x81:
    case 0x83: return !is_rm_rax;
    /* mov, lea and movslq to a register. */
    case 0x8b:
    case 0x8d:
    case 0x63: return !is_reg_rax;
    /* mov of an immediate to another register, and push. */
    default:
        return (in->opcode >= 0xb8 && in->opcode <= 0xbf && (in->opcode != 0xb8 || has_b)) ||
               (in->opcode >= 0x50 && in->opcode <= 0x57);
    }
}

/* The number of the system call, or -1: not known. `mov $number, %eax` sets it; a branch target forgets it. */
static long number_at(const struct mioc_function *f, const struct sweep *s, uintptr_t call)
{
    struct mioc_instruction in;
    long number = -1;

    for (uintptr_t at = f->start; at < call; at += in.length) {
        if (mioc_decode(at, f->end, &in) != 0)
            return -1;
        if (s->is_target[at - f->start])
            number = -1;
        if (in.opcode == 0xb8 && !(in.rex & 1))
            number = in.immediate >= 0 && in.immediate < 1024 ? in.immediate : -1;
        else if (!keeps_number(&in))
            number = -1;
    }
    return s->is_target[call - f->start] ? -1 : number;
}

/* --- The comparison after the call ------------------------------------------------------------------------------- */

/* Whether it is a branch by "above" or "below". The stub sets the flags that such a branch reads. */
static int is_unsigned_condition(unsigned opcode)
{
    const unsigned code = opcode & 15;

    return ((opcode & ~15u) == 0x70 || (opcode & ~15u) == 0x0f80) && (code == 2 || code == 3 || code == 6 || code == 7);
}

/* If `cmp $-4096` or `cmp $-4095` of rax or eax follows the call, and a branch that reads it: returns the address of
 * that branch, and *limit. Otherwise returns the address after the call, and *limit is 0. */
static uintptr_t behind_comparison(const struct mioc_function *f, const struct sweep *s, uintptr_t call, long *limit)
{
    const uintptr_t behind = call + CALL_LENGTH;
    struct mioc_instruction compare, next;

    *limit = 0;
    if (mioc_decode(behind, f->end, &compare) != 0 || compare.opcode != 0x3d || compare.prefixes != 0 ||
        (compare.immediate != -4096 && compare.immediate != -4095))
        return behind;
    if (mioc_decode(behind + compare.length, f->end, &next) != 0 || !is_unsigned_condition(next.opcode))
        return behind;
    for (uintptr_t at = call + 1; at < behind + compare.length; at++)
        if (s->is_target[at - f->start])
            return behind;
    *limit = (long)compare.immediate;
    return behind + compare.length;
}

int mioc_callsite_read(const struct mioc_function *f, uintptr_t at, struct mioc_callsite *site)
{
    struct sweep s;

    if (at + CALL_LENGTH >= f->end || sweep(f, &s) != 0 || !s.is_start[at - f->start])
        return 0;
    site->at = at;
    site->number = number_at(f, &s, at);
    site->resume = behind_comparison(f, &s, at, &site->limit);
    return site->number >= 0;
}

/* --- Branches from elsewhere ------------------------------------------------------------------------------------- */

/* Leaves the comparison after the call as it is: only the call is replaced. */
static void shorten(struct mioc_callsite *site)
{
    site->resume = site->at + CALL_LENGTH;
    site->limit = 0;
}

static void shorten_where_led(const struct mioc_ldso *ld, struct mioc_callsite *sites, unsigned count, uintptr_t from,
                              uintptr_t to)
{
    for (unsigned i = 0; i < count; i++) {
        struct mioc_function f = { 0, 0 };

        if (sites[i].row != MIOC_NO_ROW)
            f = mioc_ldso_function(ld, sites[i].row);
        /* behind_comparison() has checked the function's own branches. */
        if (to > sites[i].at && to < sites[i].resume && (from < f.start || from >= f.end))
            shorten(&sites[i]);
    }
}

static int is_long_branch(const unsigned char *p) { return (*p | 1) == 0xe9 || ((*p & 0xf0) == 0x80 && p[-1] == 0x0f); }

static int is_short_branch(unsigned char byte)
{
    return (byte & 0xf0) == 0x70 || byte == 0xeb || (byte & 0xfc) == 0xe0;
}

/* Takes the four bytes at `at`, at + 1, … at + 15 for distances of sixteen branches. Whether one of them leads into
 * [low, low + span). */
static int may_lead(uintptr_t at, uintptr_t low, uint32_t span)
{
    bytes16 mask = { 0 };

    for (unsigned phase = 0; phase < 4; phase++) {
        const uint32_t behind = (uint32_t)(at + phase + 4 - low);
        const words4 to = (words4)load(at + phase) + (words4){ behind, behind + 4, behind + 8, behind + 12 };

        mask |= (bytes16)(to < (words4){ span, span, span, span });
    }
    return is_any(mask);
}

/* Takes any bytes that could be a branch for one, wherever instructions begin. So it misses no branch. */
void mioc_callsites_shorten(const struct mioc_ldso *ld, struct mioc_callsite *sites, unsigned count)
{
    const uintptr_t low = sites[0].at, span = sites[count - 1].resume - low;

    for (uintptr_t block = ld->text + 2; block + 4 <= ld->text_end; block += BLOCK) {
        if (block + BLOCK + 3 <= ld->text_end && !may_lead(block, low, (uint32_t)span))
            continue;
        for (uintptr_t at = block; at < block + BLOCK && at + 4 <= ld->text_end; at++)
            if (is_long_branch(mioc_bytes(at - 1)))
                shorten_where_led(ld, sites, count, at - 1, at + 4 + (uintptr_t)(intptr_t)mioc_get32(at));
    }
    for (unsigned i = 0; i < count; i++) {
        const uintptr_t from = sites[i].at - SHORT_REACH > ld->text ? sites[i].at - SHORT_REACH : ld->text;

        for (uintptr_t at = from; at < sites[i].resume + SHORT_REACH && at + 2 <= ld->text_end; at++)
            if (is_short_branch(*mioc_bytes(at)))
                shorten_where_led(ld, &sites[i], 1, at, at + 2 + (uintptr_t)(intptr_t)(signed char)mioc_bytes(at)[1]);
    }
}

#endif
