/* SPDX-License-Identifier: BSD-3-Clause */
/* decode_x86_64.h - how long an instruction is and where the processor may go on behind it: as much of x86-64 as
 * compilers make of C without vectors. What it does not know it refuses. */
#ifndef MIOC_DECODE_X86_64_H
#define MIOC_DECODE_X86_64_H

#include <stdint.h>

enum mioc_flow {
    MIOC_FLOW_ON,      /* with the next one */
    MIOC_FLOW_BRANCH,  /* with the next one or at `target`: a conditional branch, a call */
    MIOC_FLOW_JUMP,    /* at `target` */
    MIOC_FLOW_UNKNOWN, /* wherever a register or memory says */
    MIOC_FLOW_END      /* not here: a return, a trap */
};

struct mioc_instruction {
    unsigned length;
    enum mioc_flow flow;
    uintptr_t target;
    unsigned opcode;   /* with 0x0f00 where it is of two bytes */
    unsigned modrm;    /* 0 if it has none */
    unsigned rex;      /* 0 if it has none */
    unsigned prefixes; /* how many bytes of others */
    int64_t immediate; /* sign-extended; 0 if it has none */
};

/* The instruction at `at`, which has to end by `end`. 0, or -1: not known. */
int mioc_decode(uintptr_t at, uintptr_t end, struct mioc_instruction *out);
/* Whether it does nothing: what compilers and assemblers fill with. */
int mioc_is_filling(const struct mioc_instruction *in);

#endif
