/* SPDX-License-Identifier: BSD-3-Clause */
/* bench_patch.c - what it costs to patch the loader: preloaded into a program it does so, once, and prints nanoseconds
 * and bytes of memory that have become the process's own. */
#include "loader/loader.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static char text[4096];

/* Not "Private_Dirty": pages of a library that has just been built count there, too. */
static long private_bytes(void)
{
    int fd = (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC);
    long n = syscall(SYS_read, fd, text, sizeof text - 1);
    const char *found;

    syscall(SYS_close, fd);
    text[n > 0 ? n : 0] = '\0';
    found = strstr(text, "Anonymous:");
    return found == NULL ? -1 : strtol(found + strlen("Anonymous:"), NULL, 10) * 1024;
}

static long now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000l + t.tv_nsec;
}

/* What each program uses soon: the heap's first page, and some of the stack. */
static void use_memory(void)
{
    volatile char stack[64 << 10];
    void *volatile heap = malloc(1000);

    for (size_t i = 0; i < sizeof stack; i += 4096)
        stack[i] = 1;
    free(heap);
}

__attribute__((constructor)) static void measure(void)
{
    enum mioc_loader_way way;
    const char *why;
    long before, start, end;

    use_memory();
    (void)private_bytes(); /* touches what it needs itself */
    before = private_bytes();
    start = now();
    why = mioc_loader_try(&way);
    end = now();
    printf("%ld %ld %s\n", end - start, private_bytes() - before, why == NULL ? "patched" : why);
    (void)fflush(stdout);
    _exit(why == NULL ? 0 : 1);
}
