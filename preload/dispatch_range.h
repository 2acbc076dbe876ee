/* SPDX-License-Identifier: BSD-3-Clause */
/* dispatch_range.h - which instructions of ld.so trap: the kernel's side of dispatch.c.
 *
 * A trap costs as much as ten system calls, and most of a load's are reads and mappings, which are not ours to answer. So once a
 * load has shown where the calls that matter are made, only those stretches of ld.so trap, and of these only what may come
 * next: an open; or, behind one that failed or gave a copy, a look too. What the loader does elsewhere is carried out as ever.
 * Kernels before 6.17 can only spare one range, so there all of ld.so traps.
 *
 * All functions but prepare are for any thread and any signal handler. */
#ifndef MIOC_DISPATCH_RANGE_H
#define MIOC_DISPATCH_RANGE_H

enum mioc_range {
    MIOC_RANGE_NONE,
    MIOC_RANGE_OPENS,
    MIOC_RANGE_LOOKS, /* opens too, and whatever ld.so's text has between them */
    MIOC_RANGE_ALL,
};

/* As mioc_dispatch_prepare(). */
int mioc_range_prepare(const char **why);
/* Makes `want` trap in this thread, or all while it is not known where that is; *now is what traps, before and after. 0, or -1 and
 * nothing changed. */
int mioc_range_arm(enum mioc_range *now, enum mioc_range want);
void mioc_range_disarm(enum mioc_range *now);
/* A trapped call and the address behind its instruction. */
void mioc_range_learn(long number, unsigned long address);

/* Whether the call opens; whether it looks at something. */
int mioc_range_is_open(long number);
int mioc_range_is_look(long number);

#endif
