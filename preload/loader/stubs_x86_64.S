/* SPDX-License-Identifier: BSD-3-Clause */
/* stubs_x86_64.S - from a call site of ld.so to mioc_loader_handle() and back.
 *
 * A jump in the place of `syscall` comes here. All registers but rcx and r11 must be kept, and the red zone below the
 * stack pointer too. The address at which the loader goes on is pushed like a return address, so that unwinders and
 * debuggers see the loader's function as the caller. There is no `ret` and no indirect `call`, so that shadow stacks
 * stay in step. `notrack` lets the jump back pass if branches are tracked. */
#ifdef __x86_64__

#define SITES 16      /* MIOC_MOST_CALLSITES */
#define RED_ZONE 128
#define BACK 136      /* the red zone and the address */
#define FRAME 336     /* struct mioc_loader_call of 56 bytes, r11, sixteen vectors of 16, and room to align them */

    .text
    .p2align 5
    .globl mioc_loader_stubs
    .hidden mioc_loader_stubs
    .type mioc_loader_stubs, @function
mioc_loader_stubs:
    .set i, 0
    .rept SITES
    .p2align 5
    .cfi_startproc
    .cfi_undefined rip
    lea -RED_ZONE(%rsp), %rsp
    .cfi_def_cfa rsp, RED_ZONE
    push mioc_loader_resume + 8 * i(%rip)
    .cfi_def_cfa rsp, BACK
    .cfi_offset rip, -BACK
    mov mioc_loader_limit + 8 * i(%rip), %r11
    jmp common
    .cfi_endproc
    .set i, i + 1
    .endr

    .p2align 5
common:
    .cfi_startproc
    .cfi_def_cfa rsp, BACK
    .cfi_offset rip, -BACK
    push %rbp
    .cfi_def_cfa rsp, BACK + 8
    .cfi_offset rbp, -(BACK + 8)
    mov %rsp, %rbp
    .cfi_def_cfa_register rbp
    sub $FRAME, %rsp
    and $-16, %rsp
    mov %rax, (%rsp)
    mov %rdi, 8(%rsp)
    mov %rsi, 16(%rsp)
    mov %rdx, 24(%rsp)
    mov %r10, 32(%rsp)
    mov %r8, 40(%rsp)
    mov %r9, 48(%rsp)
    mov %r11, 56(%rsp)
    .irp r, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    movaps %xmm\r, 64 + 16 * \r(%rsp)
    .endr
    mov %rsp, %rdi
    cld
    call mioc_loader_handle
    .irp r, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    movaps 64 + 16 * \r(%rsp), %xmm\r
    .endr
    mov 56(%rsp), %r11
    mov 48(%rsp), %r9
    mov 40(%rsp), %r8
    mov 32(%rsp), %r10
    mov 24(%rsp), %rdx
    mov 16(%rsp), %rsi
    mov 8(%rsp), %rdi
    mov %rbp, %rsp
    pop %rbp
    .cfi_def_cfa rsp, BACK
    .cfi_restore rbp
    mov (%rsp), %rcx
    lea BACK(%rsp), %rsp
    .cfi_def_cfa rsp, 0
    .cfi_register rip, rcx
    cmp %r11, %rax
    notrack jmp *%rcx
    .cfi_endproc
    .size mioc_loader_stubs, . - mioc_loader_stubs

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

#ifdef __CET__
#include <cet.h>
#endif
#endif
    .section .note.GNU-stack, "", @progbits
