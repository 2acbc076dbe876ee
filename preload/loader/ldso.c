/* SPDX-License-Identifier: BSD-3-Clause */
/* ldso.c - reads the dynamic loader's program headers and unwind table from its image in memory. */
#include "ldso.h"

#include <elf.h>
#include <link.h>

#if defined __x86_64__
#define MACHINE EM_X86_64
#elif defined __aarch64__
#define MACHINE EM_AARCH64
#else
#define MACHINE EM_NONE
#endif

#define GNU_PROPERTY_SEGMENT 0x6474e553
#define AARCH64_FEATURES 0xc0000000u
#define AARCH64_BTI 1

/* The head of .eh_frame_hdr: version 1, then three encodings. The address of .eh_frame is relative to itself, the count
 * is plain, rows are relative to the header; all have 32 bits. All linkers of GNU systems write this head. */
static const unsigned char table_format[4] = { 1, 0x1b, 0x03, 0x3b };
#define TABLE_HEAD 12u
#define ROW 8u
#define FEWEST_FUNCTIONS 50u
#define MOST_FUNCTIONS 8192u

/* Offsets in an entry of .eh_frame, which has four fields: its length, its CIE, where the function begins (relative to
 * this field), and the function's size. */
#define ENTRY_START 8u
#define ENTRY_SIZE 12u

static uintptr_t row_start(const struct mioc_ldso *ld, unsigned i)
{
    return ld->table + (uintptr_t)(intptr_t)mioc_get32(ld->table + TABLE_HEAD + ROW * i);
}

static uintptr_t row_entry(const struct mioc_ldso *ld, unsigned i)
{
    return ld->table + (uintptr_t)(intptr_t)mioc_get32(ld->table + TABLE_HEAD + ROW * i + 4);
}

struct mioc_function mioc_ldso_function(const struct mioc_ldso *ld, unsigned i)
{
    const uintptr_t start = row_start(ld, i);

    return (struct mioc_function){ start, start + (uint32_t)mioc_get32(row_entry(ld, i) + ENTRY_SIZE) };
}

int mioc_ldso_find_function(const struct mioc_ldso *ld, uintptr_t address)
{
    unsigned low = 0, high = ld->functions; /* the last row that starts at or before `address` is in [low, high) */

    while (high - low > 1) {
        const unsigned middle = low + (high - low) / 2;

        if (row_start(ld, middle) <= address)
            low = middle;
        else
            high = middle;
    }
    const struct mioc_function f = mioc_ldso_function(ld, low);
    return address >= f.start && address < f.end ? (int)low : -1;
}

/* --- The table --------------------------------------------------------------------------------------------------- */

static int is_table_sound(struct mioc_ldso *ld, uintptr_t table_end, uintptr_t image_end)
{
    uintptr_t last = ld->text;

    if (table_end - ld->table < TABLE_HEAD || memcmp(mioc_bytes(ld->table), table_format, sizeof table_format) != 0)
        return 0;
    ld->functions = (unsigned)mioc_get32(ld->table + 8);
    if (ld->functions < FEWEST_FUNCTIONS || ld->functions > MOST_FUNCTIONS ||
        table_end - ld->table < TABLE_HEAD + ROW * (uintptr_t)ld->functions)
        return 0;
    for (unsigned i = 0; i < ld->functions; i++) {
        const uintptr_t start = row_start(ld, i), entry = row_entry(ld, i);

        if (entry < ld->base || entry + ENTRY_SIZE + 4 > image_end)
            return 0;
        if (entry + ENTRY_START + (uintptr_t)(intptr_t)mioc_get32(entry + ENTRY_START) != start)
            return 0;
        if (start < last || mioc_ldso_function(ld, i).end > ld->text_end)
            return 0;
        last = mioc_ldso_function(ld, i).end;
    }
    return 1;
}

/* --- The headers ------------------------------------------------------------------------------------------------- */

static int is_elf_of_ours(const ElfW(Ehdr) * header)
{
    return memcmp(header->e_ident, ELFMAG, SELFMAG) == 0 && header->e_ident[EI_CLASS] == ELFCLASS64 &&
           header->e_type == ET_DYN && header->e_machine == MACHINE && header->e_phentsize == sizeof(ElfW(Phdr)) &&
           header->e_phoff + header->e_phnum * sizeof(ElfW(Phdr)) <= 4096;
}

/* Reads .note.gnu.property: a note's head of 12 bytes, "GNU", then properties of type, size and value. The processor's
 * features come first. */
static int has_branch_targets(uintptr_t note, uintptr_t size)
{
    return MACHINE == EM_AARCH64 && size >= 28 && (uint32_t)mioc_get32(note + 16) == AARCH64_FEATURES &&
           (mioc_get32(note + 24) & AARCH64_BTI) != 0;
}

int mioc_ldso_read(struct mioc_ldso *ld, uintptr_t base)
{
    const ElfW(Ehdr) *header = (const void *)mioc_bytes(base);
    uintptr_t table_end = 0, image_end = base;

    *ld = (struct mioc_ldso){ .base = base };
    if (base == 0 || !is_elf_of_ours(header))
        return -1;
    const ElfW(Phdr) *segment = (const void *)mioc_bytes(base + header->e_phoff);
    for (const ElfW(Phdr) *last = segment + header->e_phnum; segment < last; segment++) {
        const uintptr_t start = base + segment->p_vaddr, end = start + segment->p_memsz;

        if (segment->p_type == PT_LOAD && end > image_end)
            image_end = end;
        if (segment->p_type == PT_LOAD && (segment->p_flags & PF_X)) {
            if (ld->text != 0)
                return -1;
            ld->text = start;
            ld->text_end = start + segment->p_filesz;
        } else if (segment->p_type == PT_GNU_EH_FRAME) {
            ld->table = start;
            table_end = end;
        } else if (segment->p_type == GNU_PROPERTY_SEGMENT) {
            ld->has_bti = has_branch_targets(start, segment->p_memsz);
        }
    }
    return ld->text != 0 && ld->table != 0 && is_table_sound(ld, table_end, image_end) ? 0 : -1;
}
