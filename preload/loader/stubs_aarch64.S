/* SPDX-License-Identifier: BSD-3-Clause */
/* stubs_aarch64.S - from a call site of ld.so to mioc_loader_handle() and back.
 *
 * A branch in the place of `svc` comes here. All registers but x0, and the flags, must be kept. So no register is
 * free to hold the address to return to: the branch back is written into the stub (in the place of `brk`). An unwind
 * table cannot say where that branch leads, because x30 is still the loader's own. Unwinders stop here; debuggers
 * follow the chain of x29. */
#ifdef __aarch64__

#define SITES 16  /* MIOC_MOST_CALLSITES */
/* x29, x30; the stub at 16; struct mioc_loader_call at 32; x6 to x18 and the flags from 88; vectors from 208. */
#define FRAME 736

    .text
    .p2align 12
    .globl mioc_loader_stubs
    .hidden mioc_loader_stubs
    .type mioc_loader_stubs, @function
mioc_loader_stubs:
    .rept SITES
    .p2align 5
    sub sp, sp, #FRAME
    stp x29, x30, [sp]
    bl common
    ldp x29, x30, [sp]
    add sp, sp, #FRAME
    brk #1
    .endr

    .macro each two, one, vector
    \two x2, x3, [sp, #56]
    \two x4, x5, [sp, #72]
    \two x6, x7, [sp, #88]
    \two x9, x10, [sp, #104]
    \two x11, x12, [sp, #120]
    \two x13, x14, [sp, #136]
    \two x15, x16, [sp, #152]
    \two x17, x18, [sp, #168]
    \one x8, [sp, #32]
    .irp r, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    \vector q\r, [sp, #208 + 16 * \r]
    .endr
    .endm

    .p2align 5
common:
    mov x29, sp
    str x30, [sp, #16]
    str x0, [sp, #40]
    str x1, [sp, #48]
    each stp, str, str
    mrs x1, nzcv
    str x1, [sp, #184]
    add x0, sp, #32
    bl mioc_loader_handle
    ldr x1, [sp, #184]
    msr nzcv, x1
    each ldp, ldr, ldr
    ldr x30, [sp, #16]
    ldr x1, [sp, #48]
    ret
    .size mioc_loader_stubs, . - mioc_loader_stubs
    .p2align 12

    .bss
    .globl mioc_loader_resume, mioc_loader_limit
    .hidden mioc_loader_resume, mioc_loader_limit
    .type mioc_loader_resume, @object
    .type mioc_loader_limit, @object
    .p2align 6
mioc_loader_resume:
    .zero 8 * SITES
    .size mioc_loader_resume, . - mioc_loader_resume
mioc_loader_limit:
    .zero 8 * SITES
    .size mioc_loader_limit, . - mioc_loader_limit
#endif
    .section .note.GNU-stack, "", @progbits
