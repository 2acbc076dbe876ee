/* SPDX-License-Identifier: BSD-3-Clause */
/* elf.c - reads which libraries an ELF file needs, in a few reads, and believes no number in it. */
#include "elf.h"
#include "base/proc.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A file with more segments is refused; entries beyond this many are not looked at. */
#define MOST_SEGMENTS 64
#define MOST_DYNAMIC 512
#define NAME_BYTES 256

struct file {
    const struct mioc_elf_source *source;
    unsigned segments;
    ElfW(Phdr) segment[MOST_SEGMENTS];
};

/* Reads all of it. 0, or -1: it cannot, or the file ends before. */
static int read_at(const struct file *file, void *buf, size_t size, uint64_t offset)
{
    return file->source->read(file->source->ctx, buf, size, offset) == (long)size ? 0 : -1;
}

/* Finds the file offset of a virtual address. 0, or -1: no segment has it. */
static int find_offset(const struct file *file, uint64_t address, uint64_t *offset)
{
    for (unsigned i = 0; i < file->segments; i++) {
        const ElfW(Phdr) *segment = &file->segment[i];

        if (segment->p_type == PT_LOAD && address >= segment->p_vaddr &&
            address - segment->p_vaddr < segment->p_filesz) {
            *offset = segment->p_offset + (address - segment->p_vaddr);
            return 0;
        }
    }
    return -1;
}

static int read_segments(struct file *file)
{
    ElfW(Ehdr) head;

    if (read_at(file, &head, sizeof head, 0) != 0 || memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 ||
        head.e_ident[EI_CLASS] != (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32) ||
        head.e_phentsize != sizeof file->segment[0] || head.e_phnum > MOST_SEGMENTS)
        return -1;
    file->segments = head.e_phnum;
    return read_at(file, file->segment, file->segments * sizeof file->segment[0], head.e_phoff);
}

/* Reads the dynamic section. Returns how many entries it has before DT_NULL, or -1. */
static long read_dynamic(const struct file *file, ElfW(Dyn) dynamic[MOST_DYNAMIC])
{
    for (unsigned i = 0; i < file->segments; i++)
        if (file->segment[i].p_type == PT_DYNAMIC) {
            uint64_t count = file->segment[i].p_filesz / sizeof *dynamic;
            long used = 0;

            if (count > MOST_DYNAMIC)
                count = MOST_DYNAMIC;
            if (read_at(file, dynamic, count * sizeof *dynamic, file->segment[i].p_offset) != 0)
                return -1;
            while (used < (long)count && dynamic[used].d_tag != DT_NULL)
                used++;
            return used;
        }
    return -1;
}

/* Finds the string table's file offset. 0 or -1. */
static int find_strings(const struct file *file, const ElfW(Dyn) * dynamic, long entries, uint64_t *strings)
{
    int rc = -1;

    for (long i = 0; i < entries; i++)
        if (dynamic[i].d_tag == DT_STRTAB && (rc = find_offset(file, dynamic[i].d_un.d_ptr, strings)) != 0)
            return -1;
    return rc;
}

/* Returns how many bytes the text behind such an entry can have, NUL included; 0: the entry has no text for visit(). */
static size_t most_of(int64_t tag)
{
    if (tag == DT_NEEDED || tag == DT_SONAME)
        return NAME_BYTES;
    return tag == DT_RPATH || tag == DT_RUNPATH ? MIOC_ELF_TEXT_MAX + 1u : 0;
}

int mioc_elf_texts(const struct mioc_elf_source *source, void (*visit)(void *ctx, int64_t tag, const char *text),
                   void *ctx)
{
    struct file file;
    ElfW(Dyn) dynamic[MOST_DYNAMIC];
    uint64_t strings = 0;
    long entries;

    file.source = source;
    if (read_segments(&file) != 0 || (entries = read_dynamic(&file, dynamic)) < 0 ||
        find_strings(&file, dynamic, entries, &strings) != 0)
        return -1;
    for (long i = 0; i < entries; i++) {
        const size_t most = most_of(dynamic[i].d_tag);
        char text[MIOC_ELF_TEXT_MAX + 1];
        long n;

        if (most == 0)
            continue;
        /* The text may be at the end of the file: fewer bytes than asked for are no error. */
        n = source->read(source->ctx, text, most, strings + dynamic[i].d_un.d_val);
        if (n <= 0 || memchr(text, '\0', (size_t)n) == NULL)
            return -1;
        visit(ctx, dynamic[i].d_tag, text);
    }
    return 0;
}

/* --- Files ------------------------------------------------------------------------------------------------------- */

/* By raw system calls: exec looks at files by this, also in a child of vfork, and is no cancellation point. */
static long read_file(void *ctx, void *buf, size_t size, uint64_t offset)
{
    return mioc_proc_read_at(*(const int *)ctx, buf, size, offset);
}

struct visiting {
    void (*visit)(void *ctx, const char *name);
    void *ctx;
};

static void visit_needed(void *ctx, int64_t tag, const char *text)
{
    const struct visiting *visiting = ctx;

    if (tag == DT_NEEDED)
        visiting->visit(visiting->ctx, text);
}

int mioc_elf_needed(const char *path, void (*visit)(void *ctx, const char *name), void *ctx)
{
    int saved = errno, fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC), rc = -1;
    const struct mioc_elf_source source = { read_file, &fd };

    if (fd >= 0) {
        rc = mioc_elf_texts(&source, visit_needed, &(struct visiting){ visit, ctx });
        syscall(SYS_close, fd);
    }
    errno = saved;
    return rc;
}

int mioc_elf_is_static(const char *path)
{
    int saved = errno, is_static = 0, fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    const struct mioc_elf_source source = { read_file, &fd };
    struct file file;

    file.source = &source;
    if (fd >= 0 && read_segments(&file) == 0) {
        is_static = 1;
        for (unsigned i = 0; i < file.segments; i++)
            is_static &= file.segment[i].p_type != PT_INTERP;
    }
    if (fd >= 0)
        syscall(SYS_close, fd);
    errno = saved;
    return is_static;
}
