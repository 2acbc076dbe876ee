/* SPDX-License-Identifier: BSD-3-Clause */
/* malloc_pipe.c - a preloaded malloc with descriptors of its own, as tcmalloc's libunwind has: a pipe, which it tries
 * every few calls, and makes anew when a byte does not come through. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#pragma GCC visibility push(default)

extern void *__libc_malloc(size_t size);

static int ends[2] = { -1, -1 }, is_busy;
static unsigned calls;

static void try_pipe(void)
{
    char byte = 0;

    if (__atomic_exchange_n(&is_busy, 1, __ATOMIC_ACQUIRE))
        return;
    if (ends[0] < 0 || syscall(SYS_write, ends[1], &byte, 1) != 1 || syscall(SYS_read, ends[0], &byte, 1) != 1) {
        if (ends[0] >= 0) {
            syscall(SYS_close, ends[0]);
            syscall(SYS_close, ends[1]);
        }
        syscall(SYS_pipe2, ends, O_CLOEXEC | O_NONBLOCK);
    }
    __atomic_store_n(&is_busy, 0, __ATOMIC_RELEASE);
}

void *malloc(size_t size)
{
    if (__atomic_fetch_add(&calls, 1, __ATOMIC_RELAXED) % 16 == 0)
        try_pipe();
    return __libc_malloc(size);
}
