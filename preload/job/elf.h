/* SPDX-License-Identifier: BSD-3-Clause */
/* elf.h - what an ELF file says of the libraries that it needs. Any bytes may be given: every offset is checked. */
#ifndef MIOC_ELF_H
#define MIOC_ELF_H

#include <stddef.h>
#include <stdint.h>

/* Where the bytes come from. read() gives up to `size` bytes from `offset` on: how many, fewer only at the end; -1. */
struct mioc_elf_source {
    long (*read)(void *ctx, void *buf, size_t size, uint64_t offset);
    void *ctx;
};

/* The longest text that is handed out: DT_RPATH's and DT_RUNPATH's; of names 255. */
#define MIOC_ELF_TEXT_MAX 4095u

/* Calls visit() with the text of each DT_NEEDED, DT_SONAME, DT_RPATH and DT_RUNPATH, in the file's order. 0, or -1: no
 * ELF file of this machine's class, damaged, or the source failed; visit() may have been called then. Allocates
 * nothing, keeps errno. */
int mioc_elf_texts(const struct mioc_elf_source *source, void (*visit)(void *ctx, int64_t tag, const char *text),
                   void *ctx);

/* Calls visit() with each DT_NEEDED name of a file; 0 or -1. Raw system calls only; keeps errno. */
int mioc_elf_needed(const char *path, void (*visit)(void *ctx, const char *name), void *ctx);
/* Whether it is an ELF program without the dynamic loader, which nothing can be preloaded into. */
int mioc_elf_is_static(const char *path);

#endif
