/* SPDX-License-Identifier: BSD-3-Clause */
/* role_elf.c - which libraries an ELF file asks for, read with a handful of preads and no trust. */
#include "role.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MOST_SEGMENTS 64
#define MOST_DYNAMIC 512

/* All of it or nothing. */
static int read_at(int fd, void *buf, size_t size, uint64_t offset)
{
    char *at = buf;

    while (size > 0) {
        long n = syscall(SYS_pread64, fd, at, size, offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1;
        at += n;
        size -= (size_t)n;
        offset += (uint64_t)n;
    }
    return 0;
}

/* File offset of a virtual address. */
static int find_offset(const ElfW(Phdr) *segment, unsigned n, uint64_t address, uint64_t *offset)
{
    for (unsigned i = 0; i < n; i++)
        if (segment[i].p_type == PT_LOAD && address >= segment[i].p_vaddr &&
            address - segment[i].p_vaddr < segment[i].p_filesz) {
            *offset = segment[i].p_offset + (address - segment[i].p_vaddr);
            return 0;
        }
    return -1;
}

static int read_segments(int fd, ElfW(Phdr) *segment, unsigned *n)
{
    ElfW(Ehdr) head;

    if (read_at(fd, &head, sizeof head, 0) != 0 || memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 ||
        head.e_ident[EI_CLASS] != (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32) ||
        head.e_phentsize != sizeof *segment || head.e_phnum > MOST_SEGMENTS)
        return -1;
    *n = head.e_phnum;
    return read_at(fd, segment, *n * sizeof *segment, head.e_phoff);
}

static int read_dynamic(int fd, const ElfW(Phdr) *segment, unsigned n, ElfW(Dyn) *dynamic, unsigned *entries)
{
    for (unsigned i = 0; i < n; i++)
        if (segment[i].p_type == PT_DYNAMIC) {
            uint64_t count = segment[i].p_filesz / sizeof *dynamic;

            *entries = (unsigned)(count < MOST_DYNAMIC ? count : MOST_DYNAMIC);
            return read_at(fd, dynamic, *entries * sizeof *dynamic, segment[i].p_offset);
        }
    return -1;
}

int mioc_role_needed(const char *path, void (*visit)(void *ctx, const char *name), void *ctx)
{
    ElfW(Phdr) segment[MOST_SEGMENTS];
    ElfW(Dyn) dynamic[MOST_DYNAMIC];
    unsigned segments, entries = 0, used = 0;
    uint64_t strings = 0;
    int rc = -1, saved = errno, fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);

    if (fd < 0 || read_segments(fd, segment, &segments) != 0 || read_dynamic(fd, segment, segments, dynamic, &entries) != 0)
        goto done;
    for (; used < entries && dynamic[used].d_tag != DT_NULL; used++)
        if (dynamic[used].d_tag == DT_STRTAB && find_offset(segment, segments, dynamic[used].d_un.d_ptr, &strings) != 0)
            goto done;
    if (strings == 0)
        goto done;
    for (unsigned i = 0; i < used; i++) {
        char name[256] = "";
        long n;

        if (dynamic[i].d_tag != DT_NEEDED)
            continue;
        /* The name may be the file's last bytes, so less than the buffer may come. */
        n = syscall(SYS_pread64, fd, name, sizeof name - 1, strings + dynamic[i].d_un.d_val);
        if (n <= 0 || memchr(name, '\0', (size_t)n) == NULL)
            goto done;
        visit(ctx, name);
    }
    rc = 0;
done:
    if (fd >= 0)
        syscall(SYS_close, fd);
    errno = saved;
    return rc;
}

int mioc_role_is_static(const char *path)
{
    ElfW(Phdr) segment[MOST_SEGMENTS];
    unsigned segments = 0;
    int saved = errno, is_static = 0, fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);

    if (fd >= 0 && read_segments(fd, segment, &segments) == 0) {
        is_static = 1;
        for (unsigned i = 0; i < segments; i++)
            is_static &= segment[i].p_type != PT_INTERP;
    }
    if (fd >= 0)
        syscall(SYS_close, fd);
    errno = saved;
    return is_static;
}
