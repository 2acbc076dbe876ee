/* SPDX-License-Identifier: BSD-3-Clause */
/* ldso_fixture.h - an image that looks like a dynamic loader's: headers, code, and the unwind table of its functions;
 * mapped within the reach of a jump from this program, so that it can be patched and run. */
#ifndef LDSO_FIXTURE_H
#define LDSO_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "loader/find.h"

#include <elf.h>
#include <string.h>
#include <sys/mman.h>

#define IMAGE_TEXT 0x1000u
#define IMAGE_TABLE 0x5000u
#define IMAGE_ENTRIES 0x6000u
#define IMAGE_SIZE 0x9000u
#define IMAGE_FILLERS 60u

struct image {
    unsigned char *base;
    unsigned used, count; /* bytes of text; functions */
    struct {
        unsigned start, size;
    } function[256];
};

/* Other functions of the kind that a loader has: some are behind, some before those of a test. */
static inline unsigned image_add(struct image *image, const void *code, unsigned size, unsigned alignment)
{
    static const unsigned char nop[] = { 0x90 };

    while (image->used % alignment != 0)
        image->base[IMAGE_TEXT + image->used++] = nop[0];
    const unsigned start = IMAGE_TEXT + image->used;
    memcpy(image->base + start, code, size);
    image->function[image->count].start = start;
    image->function[image->count++].size = size;
    image->used += size;
    return start;
}

static inline void image_fill(struct image *image, unsigned count)
{
    static const unsigned char filler[] = { 0x31, 0xc0, 0xc3 }; /* xor %eax, %eax; ret */

    for (unsigned i = 0; i < count; i++)
        (void)image_add(image, filler, sizeof filler, 16);
}

static inline void image_begin(struct image *image)
{
    memset(image, 0, sizeof *image);
    for (uintptr_t hint = ((uintptr_t)image_begin & ~0xfffful) + (64u << 20);; hint += 1u << 20) {
        image->base = mmap((void *)hint, IMAGE_SIZE, PROT_READ | PROT_WRITE, /* NOLINT */
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
        if (image->base != MAP_FAILED)
            break;
    }
    image_fill(image, IMAGE_FILLERS / 2);
}

static inline void image_put32(struct image *image, unsigned at, uint32_t value)
{
    memcpy(image->base + at, &value, sizeof value);
}

static inline void image_write_table(struct image *image)
{
    const unsigned char format[4] = { 1, 0x1b, 3, 0x3b };

    memcpy(image->base + IMAGE_TABLE, format, sizeof format);
    image_put32(image, IMAGE_TABLE + 8, image->count);
    for (unsigned i = 0; i < image->count; i++) {
        const unsigned entry = IMAGE_ENTRIES + 24 * i;

        image_put32(image, IMAGE_TABLE + 12 + 8 * i, image->function[i].start - IMAGE_TABLE);
        image_put32(image, IMAGE_TABLE + 16 + 8 * i, entry - IMAGE_TABLE);
        image_put32(image, entry, 20);
        image_put32(image, entry + 8, image->function[i].start - (entry + 8));
        image_put32(image, entry + 12, image->function[i].size);
    }
}

/* Writes headers and table, and makes it executable. */
static inline void image_end(struct image *image)
{
    Elf64_Ehdr header = { .e_type = ET_DYN,
                          .e_machine = EM_X86_64,
                          .e_phoff = sizeof header,
                          .e_phentsize = sizeof(Elf64_Phdr),
                          .e_phnum = 3 };
    Elf64_Phdr segment[3] = {
        { .p_type = PT_LOAD, .p_flags = PF_R, .p_filesz = IMAGE_SIZE, .p_memsz = IMAGE_SIZE },
        { .p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_vaddr = IMAGE_TEXT },
        { .p_type = PT_GNU_EH_FRAME, .p_vaddr = IMAGE_TABLE, .p_memsz = IMAGE_ENTRIES - IMAGE_TABLE },
    };

    image_fill(image, IMAGE_FILLERS / 2);
    memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    segment[1].p_filesz = segment[1].p_memsz = image->used;
    memcpy(image->base, &header, sizeof header);
    memcpy(image->base + sizeof header, segment, sizeof segment);
    image_write_table(image);
    assert_int_equal(mprotect(image->base, IMAGE_SIZE, PROT_READ | PROT_EXEC), 0);
}

static inline void image_free(struct image *image) { assert_int_equal(munmap(image->base, IMAGE_SIZE), 0); }

/* --- Code -------------------------------------------------------------------------------------------------------- */

/* name: its bytes are between name and name_end. */
#define CODE(name, text) \
    extern const char name[], name##_end[]; \
    __asm__(".section .rodata\n" #name ":\n" text "\n" #name "_end:\n.byte 0\n.text")
#define ADD(image, name) image_add(image, name, (unsigned)(name##_end - name), 16)

#define CALL(number) "mov $" #number ", %eax\nsyscall\n"
#define CHECK "cmp $-4096, %rax\nja 1f\nret\n1: or $-1, %rax\nret\n"

#endif
