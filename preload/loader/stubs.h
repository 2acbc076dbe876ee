/* SPDX-License-Identifier: BSD-3-Clause */
/* stubs.h - what a patched call site jumps to: keeps all registers that a system call keeps, and calls
 * mioc_loader_handle(). */
#ifndef MIOC_LOADER_STUBS_H
#define MIOC_LOADER_STUBS_H

#include "find.h"

#define MIOC_STUB_SIZE 32u

#define MIOC_HIDDEN __attribute__((visibility("hidden")))

/* MIOC_MOST_CALLSITES of them; on aarch64 on pages of their own, if pages are of 4 KiB. */
extern const char mioc_loader_stubs[] MIOC_HIDDEN;
/* By the stub's number: where the loader's code goes on; what the result is compared with before (x86-64). */
extern uintptr_t mioc_loader_resume[MIOC_MOST_CALLSITES] MIOC_HIDDEN;
extern long mioc_loader_limit[MIOC_MOST_CALLSITES] MIOC_HIDDEN;

static inline uintptr_t mioc_stub_at(unsigned i) { return (uintptr_t)mioc_loader_stubs + MIOC_STUB_SIZE * i; }

#endif
