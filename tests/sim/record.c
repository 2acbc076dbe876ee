/* SPDX-License-Identifier: BSD-3-Clause */
/* record.c - makes a preload of the library that writes down what rank 0's first thread looks up and what the root's
 * resolver answers; record-trace turns that into the trace that mioc_scale replays.
 *
 * Linked with --wrap, so the library itself knows nothing of it. MIOC_RECORD=FILE: where; nothing is recorded without.
 * Lines, in order of their end; times are nanoseconds of the thread's CPU, which other ranks' load does not change:
 *     L THINK KIND PATH [ABSENT]        a look-up, THINK after the last; ABSENT: errno that a listing gave
 *     Q KIND PATH                       the agent asks the resolver
 *     S KIND PATH OF-KIND OF-PATH       a job speculates: that is under way with it
 *     B KIND PATH OF-KIND OF-PATH       a job brings another, which is answered before it
 *     J KIND PATH CALLS                 a job, with its real calls, and
 *     I KIND SIZE CONTENT-BYTES         its items, each with its path's record only */
#include "resolver/jobs.h"
#include "resolver/resolve.h"
#include "client/client.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define ROOM (64u << 20)

/* Of the wrapped function's own type, so that one that changes it is an error here. */
/* clang-format off */
#define WRAP(name) extern __typeof__(mioc_##name) __real_mioc_##name, __wrap_mioc_##name;
WRAP(client_record) WRAP(client_stat) WRAP(resolver_ask) WRAP(resolver_speculate) WRAP(resolver_bring)
WRAP(resolver_count) WRAP(resolve)
    /* clang-format on */

    static char *page; /* the file, mapped: whole lines are in it whatever way the process ends */
static uint64_t used;
static __thread const struct mioc_job *current;
static __thread unsigned calls_made;
static uint64_t last_cpu; /* first thread's */

static char *get_page(void)
{
    char *seen = __atomic_load_n(&page, __ATOMIC_ACQUIRE);
    const char *name = getenv("MIOC_RECORD");
    long fd;
    void *map;

    if (seen != NULL || name == NULL || mioc_client_rank() > 0)
        return seen;
    fd = syscall(SYS_openat, AT_FDCWD, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || syscall(SYS_ftruncate, fd, (long)ROOM) != 0)
        return NULL;
    map = mmap(NULL, ROOM, PROT_READ | PROT_WRITE, MAP_SHARED, (int)fd, 0);
    syscall(SYS_close, fd);
    if (map == MAP_FAILED)
        return NULL;
    __atomic_compare_exchange_n(&page, &seen, map, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
    return __atomic_load_n(&page, __ATOMIC_ACQUIRE);
}

__attribute__((format(printf, 1, 2))) static void note(const char *format, ...)
{
    char line[2 * 4096 + 128], *to = get_page();
    va_list args;
    int length;
    uint64_t at;

    va_start(args, format);
    length = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (to == NULL || length < 0 || length >= (int)sizeof line)
        return;
    at = __atomic_fetch_add(&used, (uint64_t)length, __ATOMIC_RELAXED);
    if (at + (uint64_t)length < ROOM)
        memcpy(to + at, line, (size_t)length);
}

/* --- Look-ups ---------------------------------------------------------------------------------------------------- */

static uint64_t cpu_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int is_wanted(const struct mioc_query *q)
{
    return q->kind != MIOC_POLICY_NONE && mioc_client_rank() == 0 && syscall(SYS_gettid) == getpid();
}

static void note_lookup(const struct mioc_query *q, unsigned kind, uint64_t began, int absent)
{
    note("L %llu %u %s %d\n", (unsigned long long)(began - last_cpu), kind, q->key.text, absent);
    last_cpu = cpu_now();
}

const struct mioc_item *__wrap_mioc_client_record(struct mioc_query *q, unsigned kind)
{
    uint64_t began = cpu_now();
    const struct mioc_item *item = __real_mioc_client_record(q, kind);

    if (is_wanted(q))
        note_lookup(q, kind, began, 0);
    return item;
}

const struct mioc_stat_record *__wrap_mioc_client_stat(struct mioc_query *q, int *absent)
{
    uint64_t began = cpu_now();
    const struct mioc_stat_record *record = __real_mioc_client_stat(q, absent);

    if (is_wanted(q))
        note_lookup(q, MIOC_ITEM_STAT, began, *absent);
    return record;
}

/* --- The resolver ------------------------------------------------------------------------------------------------ */

int __wrap_mioc_resolver_ask(struct mioc_resolver *r, unsigned kind, const char *path, uint32_t len)
{
    note("Q %u %.*s\n", kind, (int)len, path);
    return __real_mioc_resolver_ask(r, kind, path, len);
}

void __wrap_mioc_resolver_speculate(struct mioc_resolver *r, const struct mioc_job *job, unsigned kind,
                                    const char *path, uint32_t len)
{
    if (current != NULL)
        note("S %u %.*s %u %s\n", kind, (int)len, path, current->kind, current->path);
    __real_mioc_resolver_speculate(r, job, kind, path, len);
}

void __wrap_mioc_resolver_bring(struct mioc_resolver *r, const struct mioc_job *job, unsigned kind, const char *path,
                                uint32_t len)
{
    if (current != NULL)
        note("B %u %.*s %u %s\n", kind, (int)len, path, current->kind, current->path);
    __real_mioc_resolver_bring(r, job, kind, path, len);
}

void __wrap_mioc_resolver_count(struct mioc_resolver *r, unsigned calls)
{
    calls_made += calls;
    __real_mioc_resolver_count(r, calls);
}

/* One note: threads must not come between a job and its items. */
static void note_job(const struct mioc_job *job, const struct mioc_answer *answer)
{
    char items[1024];
    int at = 0;

    for (const struct mioc_result *result = answer->results.head; result != NULL; result = result->next) {
        const struct mioc_item *item = (const void *)result->item;
        const struct mioc_content_record *content = (const void *)result->item;
        int has_bytes = item->kind == MIOC_ITEM_CONTENT && !(item->flags & MIOC_FLAG_UNCACHED);

        if (item->kind == MIOC_ITEM_CHUNK) /* its bytes are those of the CONTENT */
            continue;
        at += snprintf(items + at, sizeof items - (size_t)at, "I %u %u %llu\n", item->kind, item->size,
                       has_bytes ? (unsigned long long)content->size : 0ull);
        if (at >= (int)sizeof items - 64)
            break;
    }
    note("J %u %s %u\n%.*s", job->kind, job->path, calls_made, at, items);
}

void __wrap_mioc_resolve(struct mioc_resolver *r, struct mioc_job *job, struct mioc_answer *answer)
{
    const struct mioc_job *outer = current; /* which brings this one */
    unsigned outer_calls = calls_made;

    current = job;
    calls_made = 0;
    __real_mioc_resolve(r, job, answer);
    note_job(job, answer);
    current = outer;
    calls_made = outer_calls;
}
