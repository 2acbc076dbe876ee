/* SPDX-License-Identifier: BSD-3-Clause */
/* exported_stack.c - makes a call in a signal's handler on an alternate stack, and says how much of that it took. */
#include "exported_stack.h"

#include <alloca.h>
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096u
#define SIZE (512u * 1024u)
#define PAINT 0xa5c3a5c3a5c3a5c3u

/* Shared with children: how far a call got is written on the stack itself. */
static struct shared {
    uint64_t *low;
} * shared;
static char *memory; /* a page that is none, then the stack */
static size_t room = SIZE;
static struct exported_task *current;

inline __attribute__((always_inline)) void exported_task_run(struct exported_task *task)
{
    const long *a = task->argument;

    errno = task->error_before;
    task->rc = task->function(a[0], a[1], a[2], a[3], a[4], a[5]);
    task->error = errno;
}

static void on_signal(int number)
{
    uint64_t *low = alloca(16), *at;

    (void)number;
    low = (uint64_t *)((uintptr_t)low & ~(uintptr_t)15);
    for (at = (uint64_t *)(void *)(memory + PAGE); at < low; at++)
        *(volatile uint64_t *)at = PAINT;
    shared->low = low;
    exported_task_run(current);
}

void exported_stack_run(struct exported_task *task)
{
    stack_t stack = { .ss_sp = memory + PAGE + SIZE - room, .ss_size = room }, before;
    struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_ONSTACK | SA_NODEFER }, old;

    current = task;
    sigaltstack(&stack, &before);
    sigaction(SIGUSR1, &action, &old);
    raise(SIGUSR1);
    sigaction(SIGUSR1, &old, NULL);
    sigaltstack(&before, NULL);
}

size_t exported_stack_used(void)
{
    uint64_t *at = (uint64_t *)(void *)(memory + PAGE);

    while (at < shared->low && *at == PAINT)
        at++;
    return (size_t)((char *)shared->low - (char *)at);
}

/* What the kernel's frame needs at most. */
static long least_room(void)
{
#ifdef _SC_MINSIGSTKSZ
    return sysconf(_SC_MINSIGSTKSZ);
#else
    return MINSIGSTKSZ;
#endif
}

int exported_stack_start(const char *size)
{
    if (size != NULL)
        room = strcmp(size, "all") == 0 ? SIZE : (size_t)(strcmp(size, "least") == 0 ? least_room() : atol(size));
    if (room == 0 || room > SIZE)
        return -1;
    if (memory != NULL)
        return 0;
    memory = mmap(NULL, PAGE + SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED || shared == MAP_FAILED ? -1 : mprotect(memory, PAGE, PROT_NONE);
}
