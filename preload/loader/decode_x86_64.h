/* SPDX-License-Identifier: BSD-3-Clause */
/* decode_x86_64.h - how long an instruction is and where the processor may go on after it.
 *
 * Knows the instructions that compilers make of C without vectors, and refuses all others. Both functions only read. */
#ifndef MIOC_DECODE_X86_64_H
#define MIOC_DECODE_X86_64_H

#include <stdint.h>

enum mioc_flow {
    MIOC_FLOW_ON,      /* goes on with the next instruction */
    MIOC_FLOW_BRANCH,  /* with the next one or at `target`: a conditional branch, a call */
    MIOC_FLOW_JUMP,    /* at `target` */
    MIOC_FLOW_UNKNOWN, /* at an address from a register or memory */
    MIOC_FLOW_END      /* nowhere in this function: a return, a trap */
};

struct mioc_instruction {
    unsigned length;
    enum mioc_flow flow;
    uintptr_t target;
    unsigned opcode;   /* 0x0f00 is added if it has two bytes */
    unsigned modrm;    /* 0 if there is none */
    unsigned rex;      /* 0 if there is none */
    unsigned prefixes; /* number of bytes of other prefixes */
    int64_t immediate; /* sign-extended; 0 if there is none */
};

/* Decodes the instruction at `at`, which has to end by `end`. Returns 0, or -1: it is not known. */
int mioc_decode(uintptr_t at, uintptr_t end, struct mioc_instruction *out);
/* Whether it is filling: what compilers and assemblers put between functions. */
int mioc_is_filling(const struct mioc_instruction *in);

#endif
