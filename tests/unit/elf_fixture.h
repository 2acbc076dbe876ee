/* SPDX-License-Identifier: BSD-3-Clause */
/* elf_fixture.h - writes a small ELF file that asks for given libraries, in given directories. */
#ifndef MIOC_ELF_FIXTURE_H
#define MIOC_ELF_FIXTURE_H

#include <elf.h>
#include <link.h>
#include <stdio.h>
#include <string.h>

#define ELF_TEXTS 8

struct elf_fixture {
    ElfW(Ehdr) head;
    ElfW(Phdr) segment[2];
    ElfW(Dyn) dynamic[ELF_TEXTS + 2];
    char strings[512];
    int texts;
    size_t used; /* of strings */
};

/* At most ELF_TEXTS of them; DT_NEEDED, DT_RPATH, … */
static inline void elf_add(struct elf_fixture *elf, int64_t tag, const char *text)
{
    elf->dynamic[elf->texts + 1] = elf->dynamic[elf->texts]; /* DT_STRTAB */
    elf->dynamic[elf->texts].d_tag = tag;
    elf->dynamic[elf->texts++].d_un.d_val = elf->used;
    strcpy(elf->strings + elf->used, text);
    elf->used += strlen(text) + 1;
}

/* `needed` is NULL-terminated. */
static inline void elf_fill(struct elf_fixture *elf, const char *const *needed)
{
    memset(elf, 0, sizeof *elf);
    memcpy(elf->head.e_ident, ELFMAG, SELFMAG);
    elf->head.e_ident[EI_CLASS] = sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32;
    elf->head.e_phoff = offsetof(struct elf_fixture, segment);
    elf->head.e_phentsize = sizeof elf->segment[0];
    elf->head.e_phnum = 2;
    elf->segment[0] = (ElfW(Phdr)){ .p_type = PT_LOAD, .p_vaddr = 0x1000, .p_filesz = sizeof *elf };
    elf->segment[1] = (ElfW(Phdr)){ .p_type = PT_DYNAMIC,
                                    .p_offset = offsetof(struct elf_fixture, dynamic),
                                    .p_filesz = sizeof elf->dynamic };
    elf->dynamic[0].d_tag = DT_STRTAB;
    elf->dynamic[0].d_un.d_ptr = 0x1000 + offsetof(struct elf_fixture, strings);
    elf->used = 1;
    for (int n = 0; needed[n] != NULL; n++)
        elf_add(elf, DT_NEEDED, needed[n]);
}

static inline int elf_write(const char *path, const void *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");
    int rc = file != NULL && fwrite(bytes, 1, size, file) == size ? 0 : -1;

    return file != NULL && fclose(file) == 0 ? rc : -1;
}

#endif
