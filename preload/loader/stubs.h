/* SPDX-License-Identifier: BSD-3-Clause */
/* stubs.h - the stubs, in assembler, that patched call sites jump to. A stub keeps all registers that a system call
 * keeps, and calls mioc_loader_handle(). */
#ifndef MIOC_LOADER_STUBS_H
#define MIOC_LOADER_STUBS_H

#include "find.h"

#define MIOC_STUB_SIZE 32u

#define MIOC_HIDDEN __attribute__((visibility("hidden")))

/* MIOC_MOST_CALLSITES stubs. On aarch64 they have pages of their own, if pages have 4 KiB. */
extern const char mioc_loader_stubs[] MIOC_HIDDEN;
/* For each stub: the address at which the loader's code goes on, and (x86-64) what the result is compared with
 * before. */
extern uintptr_t mioc_loader_resume[MIOC_MOST_CALLSITES] MIOC_HIDDEN;
extern long mioc_loader_limit[MIOC_MOST_CALLSITES] MIOC_HIDDEN;

/* The address of stub number `i`. */
static inline uintptr_t mioc_stub_at(unsigned i) { return (uintptr_t)mioc_loader_stubs + MIOC_STUB_SIZE * i; }

#endif
