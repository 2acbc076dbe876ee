/* SPDX-License-Identifier: BSD-3-Clause */
/* elf_fixture.h - writes a small ELF file that asks for given libraries. */
#ifndef MIOC_ELF_FIXTURE_H
#define MIOC_ELF_FIXTURE_H

#include <elf.h>
#include <link.h>
#include <stdio.h>
#include <string.h>

#define ELF_NEEDED 4

struct elf_fixture {
    ElfW(Ehdr) head;
    ElfW(Phdr) segment[2];
    ElfW(Dyn) dynamic[ELF_NEEDED + 2];
    char strings[256];
};

/* `needed` is NULL-terminated, at most ELF_NEEDED names. */
static inline void elf_fill(struct elf_fixture *elf, const char *const *needed)
{
    size_t at = 1;
    int n = 0;

    memset(elf, 0, sizeof *elf);
    memcpy(elf->head.e_ident, ELFMAG, SELFMAG);
    elf->head.e_ident[EI_CLASS] = sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32;
    elf->head.e_phoff = offsetof(struct elf_fixture, segment);
    elf->head.e_phentsize = sizeof elf->segment[0];
    elf->head.e_phnum = 2;
    elf->segment[0] = (ElfW(Phdr)){ .p_type = PT_LOAD, .p_vaddr = 0x1000, .p_filesz = sizeof *elf };
    elf->segment[1] = (ElfW(Phdr)){ .p_type = PT_DYNAMIC, .p_offset = offsetof(struct elf_fixture, dynamic),
                                    .p_filesz = sizeof elf->dynamic };
    for (; needed[n] != NULL; n++) {
        elf->dynamic[n].d_tag = DT_NEEDED;
        elf->dynamic[n].d_un.d_val = at;
        strcpy(elf->strings + at, needed[n]);
        at += strlen(needed[n]) + 1;
    }
    elf->dynamic[n].d_tag = DT_STRTAB;
    elf->dynamic[n].d_un.d_ptr = 0x1000 + offsetof(struct elf_fixture, strings);
}

static inline int elf_write(const char *path, const void *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");
    int rc = file != NULL && fwrite(bytes, 1, size, file) == size ? 0 : -1;

    return file != NULL && fclose(file) == 0 ? rc : -1;
}

#endif
