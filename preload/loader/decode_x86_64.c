/* SPDX-License-Identifier: BSD-3-Clause */
/* decode_x86_64.c - how long an x86-64 instruction is and where the processor may go on after it. */
#ifdef __x86_64__

#include "decode_x86_64.h"
#include "ldso.h"

#define LONGEST 15u
#define REX_W 8u

/* What follows an opcode: a letter for each opcode, sixteen opcodes a row.
 *   .  nothing              m  ModR/M                b  an immediate byte    z  an immediate of 4 bytes, 2 with a 66
 *   B  ModR/M and a byte    Z  ModR/M and z          v  as z, 8 bytes with REX.W
 *   s  a branch's byte      l  a branch's 4 bytes    w  an immediate of 2 bytes
 *   -  no instruction, or not known here; prefixes and the escape to two bytes are handled before the look-up */
static const char one_byte[] =
    "mmmmbz--mmmmbz--" /* 00 */ "mmmmbz--mmmmbz--" /* 10 */ "mmmmbz--mmmmbz--" /* 20 */ "mmmmbz--mmmmbz--" /* 30 */
    "----------------" /* 40 */ "................" /* 50 */ "---m----zZbB----" /* 60 */ "ssssssssssssssss" /* 70 */
    "BZ-Bmmmmmmmmmmmm" /* 80 */ "..........-....." /* 90 */ "----....bz......" /* a0 */ "bbbbbbbbvvvvvvvv" /* b0 */
    "BBw.--BZ-.--.b--" /* c0 */ "mmmm---.mmmmmmmm" /* d0 */ "ssss----ll-s----" /* e0 */ "----..mm......mm" /* f0 */;
static const char two_bytes[] =
    "mmmm-.--..-.-m--" /* 00 */ "mmmmmmmmmmmmmmmm" /* 10 */ "--------mmmmmmmm" /* 20 */ "....------------" /* 30 */
    "mmmmmmmmmmmmmmmm" /* 40 */ "mmmmmmmmmmmmmmmm" /* 50 */ "mmmmmmmmmmmmmmmm" /* 60 */ "BBBBmmm.----mmmm" /* 70 */
    "llllllllllllllll" /* 80 */ "mmmmmmmmmmmmmmmm" /* 90 */ "...mBm--..-mBmmm" /* a0 */ "mmmmmmmmmmBmmmmm" /* b0 */
    "mmBmBBBm........" /* c0 */ "mmmmmmmmmmmmmmmm" /* d0 */ "mmmmmmmmmmmmmmmm" /* e0 */ "mmmmmmmmmmmmmmmm" /* f0 */;
_Static_assert(sizeof one_byte == 257 && sizeof two_bytes == 257, "a letter for each opcode");

static int is_prefix(unsigned char byte)
{
    switch (byte) {
    case 0x26:
    case 0x2e:
    case 0x36:
    case 0x3e:
    case 0x64:
    case 0x65: /* the six segments */
    case 0x66:
    case 0x67:
    case 0xf0:
    case 0xf2:
    case 0xf3: return 1;
    default: return 0;
    }
}

/* The length of ModR/M with its SIB byte and displacement. */
static unsigned modrm_length(const unsigned char *p)
{
    const unsigned mod = p[0] >> 6, rm = p[0] & 7;

    if (mod == 3)
        return 1;
    if (rm == 4)
        return 2 + (mod == 1 ? 1 : mod == 2 || (p[1] & 7) == 5 ? 4 : 0);
    return 1 + (mod == 1 ? 1 : mod == 2 || rm == 5 ? 4 : 0);
}

static unsigned immediate_length(char form, const struct mioc_instruction *in, int is_short)
{
    switch (form) {
    case 'b':
    case 'B':
    case 's': return 1;
    case 'w': return 2;
    case 'z':
    case 'Z': return is_short ? 2 : 4;
    case 'v': return in->rex & REX_W ? 8 : is_short ? 2 : 4;
    case 'l': return 4;
    default:
        /* In the group f6, f7 only `test` has an immediate. */
        return (in->opcode | 1) == 0xf7 && (in->modrm >> 3 & 7) < 2 ? (in->opcode == 0xf6 ? 1 : is_short ? 2 : 4) : 0;
    }
}

static int64_t get_immediate(const unsigned char *p, unsigned length)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < length; i++)
        value |= (uint64_t)p[i] << (8 * i);
    return length == 0 || length == 8 ? (int64_t)value : (int64_t)(value << (64 - 8 * length)) >> (64 - 8 * length);
}

/* ret, int3, hlt, ud2 */
static int is_end(unsigned opcode)
{
    return opcode == 0xc2 || opcode == 0xc3 || opcode == 0xcc || opcode == 0xf4 || opcode == 0x0f0b;
}

/* Fills flow and target. Returns 0, or -1: the instruction leaves the code segment, or is not known. */
static int set_flow(struct mioc_instruction *in, char form, uintptr_t behind)
{
    const unsigned group = in->modrm >> 3 & 7;

    in->flow = MIOC_FLOW_ON;
    if (form == 's' || form == 'l') {
        in->flow = in->opcode == 0xe9 || in->opcode == 0xeb ? MIOC_FLOW_JUMP : MIOC_FLOW_BRANCH;
        in->target = behind + (uintptr_t)in->immediate;
    } else if (in->opcode == 0xff && (group == 3 || group == 5 || group == 7)) {
        return -1;
    } else if (in->opcode == 0xff && group == 4) {
        in->flow = MIOC_FLOW_UNKNOWN;
    } else if (is_end(in->opcode)) {
        in->flow = MIOC_FLOW_END;
    }
    return 0;
}

int mioc_decode(uintptr_t at, uintptr_t end, struct mioc_instruction *out)
{
    unsigned char bytes[LONGEST + 8] = { 0 };
    const unsigned room = end - at < LONGEST ? (unsigned)(end - at) : LONGEST;
    const unsigned char *p = bytes;
    int is_short = 0;
    char form;

    *out = (struct mioc_instruction){ 0 };
    memcpy(bytes, mioc_bytes(at), room);
    for (; out->prefixes < room && is_prefix(*p); p++, out->prefixes++)
        is_short |= *p == 0x66;
    if ((*p & 0xf0) == 0x40)
        out->rex = *p++;
    if (*p == 0x0f) {
        p++;
        out->opcode = 0x0f00u | *p;
        form = two_bytes[*p++];
    } else {
        out->opcode = *p;
        form = one_byte[*p++];
    }
    if (form == '-' || (size_t)(p - bytes) > room || ((form == 's' || form == 'l') && is_short))
        return -1;
    if (strchr("mBZ", form) != NULL) {
        out->modrm = *p;
        p += modrm_length(p);
        /* XOP and xbegin */
        if ((out->opcode == 0x8f && (out->modrm & 0x38) != 0) || (out->opcode == 0xc7 && out->modrm == 0xf8))
            return -1;
    }
    const unsigned length = immediate_length(form, out, is_short);
    if ((size_t)(p - bytes) + length > room)
        return -1;
    out->immediate = get_immediate(p, length);
    out->length = (unsigned)(p - bytes) + length;
    return set_flow(out, form, at + out->length);
}

int mioc_is_filling(const struct mioc_instruction *in)
{
    /* nop with or without prefixes (xchg %ax, %ax is one), but not pause; nop of memory; int3. */
    return (in->opcode == 0x90 && (in->rex & 1) == 0) || (in->opcode == 0x0f1f && (in->modrm & 0x38) == 0) ||
           in->opcode == 0xcc;
}

#endif
