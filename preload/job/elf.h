/* SPDX-License-Identifier: BSD-3-Clause */
/* elf.h - what an ELF file says of the libraries that it needs.
 *
 * The files may hold any bytes: every offset is checked. Nothing is allocated. All functions keep errno and are
 * async-signal-safe, if `visit` and `read` are. */
#ifndef MIOC_ELF_H
#define MIOC_ELF_H

#include <stddef.h>
#include <stdint.h>

/* Where the bytes come from. read() fills in up to `size` bytes from `offset` on, and returns how many: fewer than
 * `size` only at the end, -1 on failure. */
struct mioc_elf_source {
    long (*read)(void *ctx, void *buf, size_t size, uint64_t offset);
    void *ctx;
};

/* The longest text that visit() gets, without its NUL: of DT_RPATH and DT_RUNPATH. A name has at most 255 bytes. */
#define MIOC_ELF_TEXT_MAX 4095u

/* Calls visit() with the text of each DT_NEEDED, DT_SONAME, DT_RPATH and DT_RUNPATH, in the file's order; the text
 * lives until visit() returns. 0, or -1: this is no ELF file of this machine's class, it is damaged, or the source
 * failed. On failure visit() may have been called, too. */
int mioc_elf_texts(const struct mioc_elf_source *source, void (*visit)(void *ctx, int64_t tag, const char *text),
                   void *ctx);

/* Calls visit() with each DT_NEEDED name of a file, read by raw system calls. 0 or -1, as above. */
int mioc_elf_needed(const char *path, void (*visit)(void *ctx, const char *name), void *ctx);
/* Whether the file is a static ELF program, which has no dynamic loader and so no preloads. */
int mioc_elf_is_static(const char *path);

#endif
