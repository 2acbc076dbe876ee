/* SPDX-License-Identifier: BSD-3-Clause */
/* fuzz_elf.c - files that may be ELF. Promises: texts that are handed out end; a file is read the same twice, from
 * memory or by its descriptor. */
#include "job/elf.h"
#include "fuzz.h"

#include <elf.h>
#include <sys/mman.h>
#include <unistd.h>

struct bytes {
    const uint8_t *at;
    size_t size;
};
struct seen {
    unsigned names;
    size_t bytes;
};

static long read_bytes(void *ctx, void *buf, size_t size, uint64_t offset)
{
    const struct bytes *bytes = ctx;
    size_t n;

    if (offset >= bytes->size)
        return 0;
    n = bytes->size - offset < size ? bytes->size - offset : size;
    memcpy(buf, bytes->at + offset, n);
    return (long)n;
}

static void note(void *ctx, const char *name)
{
    struct seen *seen = ctx;

    seen->names++;
    seen->bytes += strlen(name);
    PROMISE(strlen(name) < 256);
}

static void note_text(void *ctx, int64_t tag, const char *text)
{
    PROMISE(strlen(text) <= MIOC_ELF_TEXT_MAX);
    if (tag == DT_NEEDED)
        note(ctx, text);
    else if (tag == DT_SONAME)
        PROMISE(strlen(text) < 256);
    else
        PROMISE(tag == DT_RPATH || tag == DT_RUNPATH);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int file = -1;
    struct seen first = { 0, 0 }, second = { 0, 0 };
    struct bytes bytes = { data, size };
    char path[64];
    int rc;

    if (file < 0)
        file = memfd_create("elf", 0);
    PROMISE(file >= 0 && ftruncate(file, 0) == 0 && pwrite(file, data, size, 0) == (ssize_t)size);
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    rc = mioc_elf_needed(path, note, &first);
    PROMISE(mioc_elf_texts(&(struct mioc_elf_source){ read_bytes, &bytes }, note_text, &second) == rc);
    PROMISE(first.names == second.names && first.bytes == second.bytes && first.names <= 512);
    (void)mioc_elf_is_static(path);
    return 0;
}
