/* SPDX-License-Identifier: BSD-3-Clause */
/* prefetch.c - threads that read the contents that a manifest names, into one mapping. */
#include "prefetch.h"
#include "base/futex.h"
#include "base/clock.h"
#include "base/io_thread.h"
#include "base/real.h"
#include "base/thread.h"
#include "resolve.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define THREADS 8
#define STACK (256u * 1024u)
#define TEXT_MAX (8u << 20)
#define FILES_MAX (1u << 15)
#define SLOTS (2 * FILES_MAX)

struct entry {
    uint64_t hash;
    const char *path; /* in the manifest's text */
    uint32_t len;
    int state; /* futex, atomic */
    struct mioc_prefetch_file file;
};

enum { STATE_WAITS, STATE_READ /* `file` is filled in */, STATE_ODD };

struct mioc_prefetch {
    const struct mioc_manifest *manifest;
    uint64_t max_bytes, max_file;
    int (*may_serve)(void *ctx, unsigned kind, const char *path, uint32_t len);
    void *ctx;
    int is_loaded, is_released, is_through; /* futexes, atomic */
    int is_void;                            /* atomic */
    unsigned threads, running;              /* atomic: that live; that have begun */
    unsigned next;                          /* the entry to be read next, atomic */
    uint64_t used, calls;                   /* bytes of `data`, atomic */
    unsigned files;                         /* fixed once is_loaded */
    size_t size;                            /* of the mapping */
    uint32_t slot[SLOTS];                   /* entry + 1 by hash; open addressing */
    struct entry entry[FILES_MAX];
    char text[TEXT_MAX];
    unsigned char data[];
};

static void set(int *futex, int value)
{
    __atomic_store_n(futex, value, __ATOMIC_RELEASE);
    mioc_futex_wake(futex, INT_MAX, 1);
}

static void wake(int *futex) { set(futex, 1); }

static void wait_for(int *futex)
{
    while (!__atomic_load_n(futex, __ATOMIC_ACQUIRE))
        (void)mioc_futex_wait(futex, 0, MIOC_FUTEX_FOREVER, 1);
}

/* --- The manifest ------------------------------------------------------------------------------------------------ */

static uint32_t *slot_of(const struct mioc_prefetch *a, uint64_t hash)
{
    uint32_t at = (uint32_t)hash & (SLOTS - 1);

    while (a->slot[at] != 0 && a->entry[a->slot[at] - 1].hash != hash)
        at = (at + 1) & (SLOTS - 1);
    return (uint32_t *)(uintptr_t)&a->slot[at];
}

static void take(void *ctx, unsigned kind, const char *path, uint32_t len)
{
    struct mioc_prefetch *a = ctx;
    uint64_t hash = mioc_item_hash(kind, path, len);
    uint32_t *slot = slot_of(a, hash);

    if (kind != MIOC_ITEM_CONTENT || *slot != 0 || a->files == FILES_MAX || !a->may_serve(a->ctx, kind, path, len))
        return;
    a->entry[a->files] = (struct entry){ .hash = hash, .path = path, .len = len };
    *slot = ++a->files;
}

/* --- Files ------------------------------------------------------------------------------------------------------- */

/* A place for `size` bytes and one more, which shows that a file has grown. NULL: there is no room. */
static unsigned char *place_for(struct mioc_prefetch *a, uint64_t size)
{
    uint64_t need = (size + 1 + 63) & ~63ull, used = __atomic_load_n(&a->used, __ATOMIC_RELAXED);

    do {
        if (need > a->max_bytes || used > a->max_bytes - need)
            return NULL;
    } while (!__atomic_compare_exchange_n(&a->used, &used, used + need, 1, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    return a->data + used;
}

static int read_whole(struct mioc_prefetch *a, int fd, unsigned char *to, uint64_t size)
{
    uint64_t have = 0;

    while (have <= size) {
        ssize_t n = mioc_real(read)(fd, to + have, size + 1 - have);

        __atomic_fetch_add(&a->calls, 1, __ATOMIC_RELAXED);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n == 0 && have == size ? 0 : -1;
        have += (uint64_t)n;
    }
    return -1;
}

/* A file that is odd in any way is read when somebody asks for it. */
static void read_file(struct mioc_prefetch *a, struct entry *entry)
{
    char path[PATH_MAX];
    unsigned char *bytes;
    int fd, state = STATE_ODD;
    struct statx st;
    mode_t mode;

    memcpy(path, entry->path, entry->len);
    path[entry->len] = '\0';
    fd = mioc_resolve_open_regular(path, &mode);
    __atomic_fetch_add(&a->calls, 3, __ATOMIC_RELAXED);
    if (fd >= 0 && mioc_real(statx)(fd, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT, MIOC_STATX_SHARED, &st) == 0 &&
        S_ISREG(st.stx_mode) && st.stx_size <= a->max_file && (bytes = place_for(a, st.stx_size)) != NULL &&
        read_whole(a, fd, bytes, st.stx_size) == 0) {
        mioc_resolve_copy_stat(&entry->file.st, &st);
        entry->file.bytes = bytes;
        __atomic_fetch_add(&a->calls, 1, __ATOMIC_RELAXED);
        state = mioc_resolve_has_changed(fd, &entry->file.st) ? STATE_ODD : STATE_READ;
    }
    if (fd >= 0)
        mioc_real(close)(fd);
    set(&entry->state, state);
}

static void load(struct mioc_prefetch *a)
{
    struct mioc_manifest_text text = { .bytes = a->text };

    if (mioc_manifest_load(a->manifest, a->text, sizeof a->text, &text.size) == 0)
        (void)mioc_manifest_parse(&text, take, a);
    wake(&a->is_loaded);
}

static void *thread_main(void *arg)
{
    struct mioc_prefetch *a = arg;
    unsigned i;

    mioc_io_thread_part_from_descriptors();
    if (__atomic_fetch_add(&a->running, 1, __ATOMIC_ACQ_REL) == 0)
        load(a);
    wait_for(&a->is_loaded);
    while ((i = __atomic_fetch_add(&a->next, 1, __ATOMIC_ACQ_REL)) < a->files)
        read_file(a, &a->entry[i]);
    wait_for(&a->is_released);
    if (__atomic_sub_fetch(&a->threads, 1, __ATOMIC_ACQ_REL) == 0)
        wake(&a->is_through); /* from here on the mapping may be gone */
    return NULL;
}

/* --- Life -------------------------------------------------------------------------------------------------------- */

static unsigned start_threads(struct mioc_prefetch *a)
{
    unsigned started = 0;

    while (started < THREADS && mioc_thread_start(NULL, 0, STACK, thread_main, a) == 0)
        started++;
    return started;
}

struct mioc_prefetch *mioc_prefetch_start(const struct mioc_manifest *m, uint64_t max_bytes, uint64_t max_file,
                                          int (*may_serve)(void *ctx, unsigned kind, const char *path, uint32_t len),
                                          void *ctx)
{
    size_t size = sizeof(struct mioc_prefetch) + max_bytes;
    struct mioc_prefetch *a;
    unsigned started;

    if (m->dir[0] == '\0')
        return NULL;
    a = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (a == MAP_FAILED)
        return NULL;
    a->manifest = m;
    a->max_bytes = max_bytes;
    a->max_file = max_file;
    a->may_serve = may_serve;
    a->ctx = ctx;
    a->size = size;
    a->threads = THREADS;
    started = start_threads(a);
    if (started == 0) {
        munmap(a, size);
        return NULL;
    }
    if (started < THREADS) /* none has ended: that needs the release, which comes later */
        __atomic_sub_fetch(&a->threads, THREADS - started, __ATOMIC_ACQ_REL);
    return a;
}

void mioc_prefetch_release(struct mioc_prefetch *a) { wake(&a->is_released); }

int mioc_prefetch_wait(struct mioc_prefetch *a, uint64_t wait_ns)
{
    while (!__atomic_load_n(&a->is_through, __ATOMIC_ACQUIRE))
        if (mioc_futex_wait(&a->is_through, 0, wait_ns, 1) != 0)
            return -1;
    return 0;
}

/* The path's entry; NULL: it is not in the manifest, or the manifest is not read yet. */
static const struct entry *entry_of(const struct mioc_prefetch *a, const char *path, uint32_t len)
{
    const struct entry *entry;
    uint32_t slot;

    if (!__atomic_load_n(&a->is_loaded, __ATOMIC_ACQUIRE) ||
        (slot = *slot_of(a, mioc_item_hash(MIOC_ITEM_CONTENT, path, len))) == 0)
        return NULL;
    entry = &a->entry[slot - 1];
    return entry->len == len && memcmp(entry->path, path, len) == 0 ? entry : NULL;
}

const struct mioc_prefetch_file *mioc_prefetch_find(const struct mioc_prefetch *a, const char *path, uint32_t len)
{
    const struct entry *entry = __atomic_load_n(&a->is_void, __ATOMIC_ACQUIRE) ? NULL : entry_of(a, path, len);

    return entry != NULL && __atomic_load_n(&entry->state, __ATOMIC_ACQUIRE) == STATE_READ ? &entry->file : NULL;
}

/* Waits until the futex is not 0. 0: the time is over. */
static int wait_until(int *futex, uint64_t until)
{
    while (!__atomic_load_n(futex, __ATOMIC_ACQUIRE)) {
        uint64_t now = mioc_clock_ns();

        if (now >= until)
            return 0;
        (void)mioc_futex_wait(futex, 0, until - now, 1);
    }
    return 1;
}

int mioc_prefetch_await(struct mioc_prefetch *a, const char *path, uint32_t len, uint64_t until)
{
    const struct entry *entry;

    if (!wait_until(&a->is_loaded, until))
        return -1;
    entry = entry_of(a, path, len);
    return entry == NULL || wait_until((int *)(uintptr_t)&entry->state, until) ? 0 : -1;
}

void mioc_prefetch_void(struct mioc_prefetch *a) { __atomic_store_n(&a->is_void, 1, __ATOMIC_RELEASE); }

uint64_t mioc_prefetch_calls(const struct mioc_prefetch *a) { return __atomic_load_n(&a->calls, __ATOMIC_RELAXED); }

void mioc_prefetch_free(struct mioc_prefetch *a) { munmap(a, a->size); }
