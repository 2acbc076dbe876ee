/* SPDX-License-Identifier: BSD-3-Clause */
/* fuzz_elf.c - files that may be ELF. Promises: names that are handed out end; a file that names libraries is read the same twice. */
#include "../../preload/role.h"
#include "fuzz.h"

#include <sys/mman.h>
#include <unistd.h>

struct seen { unsigned names; size_t bytes; };

static void note(void *ctx, const char *name)
{
    struct seen *seen = ctx;

    seen->names++;
    seen->bytes += strlen(name);
    PROMISE(strlen(name) < 256);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int file = -1;
    struct seen first = {0, 0}, second = {0, 0};
    char path[64];
    int rc;

    if (file < 0)
        file = memfd_create("elf", 0);
    PROMISE(file >= 0 && ftruncate(file, 0) == 0 && pwrite(file, data, size, 0) == (ssize_t)size);
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    rc = mioc_role_needed(path, note, &first);
    PROMISE(mioc_role_needed(path, note, &second) == rc);
    PROMISE(first.names == second.names && first.bytes == second.bytes && first.names <= 512);
    (void)mioc_role_is_static(path);
    return 0;
}
