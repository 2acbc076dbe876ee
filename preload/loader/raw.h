/* SPDX-License-Identifier: BSD-3-Clause */
/* raw.h - a system call without libc. A call into libc may have to ask ld.so first where the function is. */
#ifndef MIOC_LOADER_RAW_H
#define MIOC_LOADER_RAW_H

#include <errno.h>
#include <unistd.h>

/* Returns the kernel's result: -errno on failure. errno stays as it is. */
static inline __attribute__((always_inline)) long mioc_raw(long number, long a, long b, long c, long d)
{
#if defined __x86_64__
    register long r10 __asm__("r10") = d;
    long rc;

    __asm__ volatile("syscall" : "=a"(rc) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
    return rc;
#elif defined __aarch64__
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;

    __asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
    return x0;
#else
    long rc = syscall(number, a, b, c, d);

    return rc < 0 ? -errno : rc;
#endif
}

#endif
