/* SPDX-License-Identifier: BSD-3-Clause */
/* resolver_fixture.h - a resolver over a folder of files, and what comes out of it; for test_resolver*.c. */
#ifndef MIOC_RESOLVER_FIXTURE_H
#define MIOC_RESOLVER_FIXTURE_H

#include "folder_fixture.h"

#include "resolver/resolver.h"

static uint64_t room;
static int ready_count;

static void ready(void *ctx)
{
    (void)ctx;
    __atomic_fetch_add(&ready_count, 1, __ATOMIC_RELAXED);
}

static int is_known(void *ctx, unsigned kind, const char *path, uint32_t len)
{
    (void)ctx, (void)kind, (void)path, (void)len;
    return 0;
}

static int reserve(void *ctx, uint64_t bytes, int may_evict)
{
    (void)may_evict;
    (void)ctx;
    if (bytes > room)
        return -1;
    room -= bytes;
    return 0;
}

static int speculates; /* what may_speculate() says */

static int may_speculate(void *ctx, const char *path, uint32_t len)
{
    (void)ctx, (void)path, (void)len;
    return speculates;
}

static __attribute__((unused)) struct mioc_resolver *new_resolver(void)
{
    const struct mioc_resolver_config config = { .threads = 3,
                                                 .max_file = 4u << 20,
                                                 .ready = ready,
                                                 .is_known = is_known,
                                                 .reserve = reserve,
                                                 .may_speculate = may_speculate };
    struct mioc_resolver *r;

    room = 64u << 20;
    r = mioc_resolver_new(&config);
    assert_non_null(r);
    return r;
}

static void ask(struct mioc_resolver *r, unsigned kind, const char *path)
{
    assert_int_equal(mioc_resolver_ask(r, kind, path, (uint32_t)strlen(path)), 0);
}

/* The next finished item, checked; the caller frees. */
static struct mioc_resolved next(struct mioc_resolver *r)
{
    struct mioc_resolved out;

    for (int i = 0; i < 20000; i++) {
        if (mioc_resolver_take(r, &out)) {
            assert_int_equal(mioc_item_check(out.item, out.item->size), 0);
            return out;
        }
        nanosleep(&(struct timespec){ 0, 500000 }, NULL);
    }
    fail_msg("no answer");
    abort();
}

/* The next item of that kind for that path; others are dropped. */
static struct mioc_resolved next_of(struct mioc_resolver *r, unsigned kind, const char *path)
{
    for (;;) {
        struct mioc_resolved out = next(r);
        const char *found = mioc_item_path(out.item);

        if (out.item->kind == kind && found != NULL && strcmp(found, path) == 0)
            return out;
        mioc_resolved_free(&out);
    }
}

static __attribute__((unused)) uint32_t flags_of(struct mioc_resolver *r, unsigned kind, const char *path)
{
    struct mioc_resolved out;
    uint32_t flags;

    ask(r, kind, path);
    out = next_of(r, kind, path);
    flags = out.item->flags;
    mioc_resolved_free(&out);
    return flags;
}

static uint64_t client_time, own_dev;

static uint64_t client_ns(void *ctx, const char *path, uint32_t len, uint64_t *dev)
{
    (void)ctx, (void)path, (void)len;
    *dev = own_dev;
    return client_time;
}

/* With a client that keeps what it knows for `time` ns, and another mount's for `most`. */
static __attribute__((unused)) struct mioc_resolver *new_doubting_resolver(uint64_t time, uint64_t most)
{
    const struct mioc_resolver_config config = { .threads = 3,
                                                 .max_file = 4u << 20,
                                                 .ready = ready,
                                                 .is_known = is_known,
                                                 .reserve = reserve,
                                                 .may_speculate = may_speculate,
                                                 .client_ns = client_ns,
                                                 .client_most_ns = most,
                                                 .notice_ns = 60000000000 };
    struct mioc_resolver *r = mioc_resolver_new(&config);

    room = 64u << 20;
    client_time = time;
    own_dev = 0;
    assert_non_null(r);
    return r;
}

static __attribute__((unused)) int is_brief(uint32_t flags)
{
    return (flags & MIOC_FLAG_BRIEF) && (flags & MIOC_FLAG_UNCACHED) && (flags >> MIOC_BRIEF_SHIFT) > 50000 &&
           (flags >> MIOC_BRIEF_SHIFT) < 60100;
}

static int set_up(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(top));
    mkdir(at("dir"), 0755);
    mkdir(at("__pycache__"), 0755);
    put("file.py", "pass\n", 5);
    put("__pycache__/file.cpython-311.pyc", "bytecode", 8);
    put("__pycache__/other.cpython-311.pyc", "other", 5);
    assert_int_equal(symlink("file.py", at("link")), 0);
    assert_int_equal(symlink("nowhere", at("dangling")), 0);
    assert_int_equal(symlink("loop", at("loop")), 0);
    return 0;
}

#endif
