/* SPDX-License-Identifier: BSD-3-Clause */
/* needed_fixture.h - libraries in a folder, and a store that takes what a resolver reads of them; for
 * test_resolver_needed*.c. */
#ifndef NEEDED_FIXTURE_H
#define NEEDED_FIXTURE_H

#include "folder_fixture.h"

#include "resolver/jobs.h"
#include "elf_fixture.h"

#include <pthread.h>

/* --- A store: what was taken, in order --------------------------------------------------------------------------- */

static struct {
    pthread_mutex_t lock;
    unsigned count;
    struct kept {
        struct mioc_item *item;
        void *bytes;
    } item[512];
} store = { .lock = PTHREAD_MUTEX_INITIALIZER };
static const char *forbidden; /* speculation may not touch this path */

static const struct mioc_item *find(void *ctx, unsigned kind, const char *path, uint32_t len)
{
    const struct mioc_item *found = NULL;

    (void)ctx;
    pthread_mutex_lock(&store.lock);
    for (unsigned i = 0; i < store.count; i++) {
        const struct mioc_item *item = store.item[i].item;

        if (item->kind == kind && item->path_len == len && memcmp(mioc_item_path(item), path, len) == 0)
            found = item;
    }
    pthread_mutex_unlock(&store.lock);
    return found;
}

static int is_known(void *ctx, unsigned kind, const char *path, uint32_t len)
{
    return find(ctx, kind, path, len) != NULL;
}

static void ready(void *ctx) { (void)ctx; }

static int reserve(void *ctx, uint64_t bytes, int may_evict)
{
    (void)ctx, (void)bytes, (void)may_evict;
    return 0;
}

static int may_speculate(void *ctx, const char *path, uint32_t len)
{
    (void)ctx;
    return len > strlen(top) && memcmp(path, top, strlen(top)) == 0 &&
           (forbidden == NULL || strlen(forbidden) != len || memcmp(path, forbidden, len) != 0);
}

static struct mioc_resolver *new_resolver(unsigned threads)
{
    const struct mioc_resolver_config config = { .threads = threads,
                                                 .max_file = 64u << 20,
                                                 .ready = ready,
                                                 .is_known = is_known,
                                                 .find = find,
                                                 .reserve = reserve,
                                                 .may_speculate = may_speculate };
    struct mioc_resolver *r = mioc_resolver_new(&config);

    assert_non_null(r);
    return r;
}

static void end(struct mioc_resolver *r)
{
    mioc_resolver_free(r, 1000000000);
    for (unsigned i = 0; i < store.count; i++)
        free(store.item[i].item), free(store.item[i].bytes);
    store.count = 0;
}

static void ask(struct mioc_resolver *r, const char *name)
{
    assert_int_equal(mioc_resolver_ask(r, MIOC_ITEM_CONTENT, at(name), (uint32_t)strlen(at(name))), 0);
}

static size_t bytes_of(const struct mioc_item *item)
{
    return item->kind == MIOC_ITEM_CHUNK ? ((const struct mioc_chunk_record *)(const void *)item)->length : 0;
}

static void *copy_of(const void *bytes, size_t size)
{
    void *copy = malloc(size + 1);

    assert_non_null(copy);
    return size > 0 ? memcpy(copy, bytes, size) : copy;
}

/* Takes all until nothing is left to do. */
static void settle(struct mioc_resolver *r)
{
    for (int i = 0; mioc_resolver_is_busy(r); i++) {
        struct mioc_resolved out;

        assert_true(i < 100000);
        if (!mioc_resolver_take(r, &out)) {
            nanosleep(&(struct timespec){ 0, 100000 }, NULL);
            continue;
        }
        assert_int_equal(mioc_item_check(out.item, out.item->size), 0);
        pthread_mutex_lock(&store.lock);
        assert_true(store.count < sizeof store.item / sizeof *store.item);
        store.item[store.count++] =
            (struct kept){ copy_of(out.item, out.item->size), copy_of(out.bytes, bytes_of(out.item)) };
        pthread_mutex_unlock(&store.lock);
        mioc_resolved_free(&out);
    }
}

/* Paths below top of all records of that kind, in order; a `!` behind those that say that there is none. */
static const char *taken(unsigned kind)
{
    static char all[8192];

    all[0] = '\0';
    for (unsigned i = 0; i < store.count; i++) {
        const struct mioc_item *item = store.item[i].item;

        if (item->kind != kind)
            continue;
        assert_int_equal(item->flags & ~MIOC_FLAG_BY_LINK, 0);
        strcat(strcat(all, mioc_item_path(item) + strlen(top) + 1), "");
        if (kind == MIOC_ITEM_CONTENT && ((const struct mioc_content_record *)(const void *)item)->open_errno != 0)
            strcat(all, "!");
        strcat(all, " ");
    }
    return all;
}

/* --- Libraries --------------------------------------------------------------------------------------------------- */

/* needs: names with spaces between; tag 0: none. */
static void library(const char *name, const char *needs, int64_t tag, const char *path)
{
    struct elf_fixture elf;
    char copy[256], *save = NULL;

    snprintf(copy, sizeof copy, "%s", needs);
    elf_fill(&elf, (const char *const[]){ NULL });
    for (char *need = strtok_r(copy, " ", &save); need != NULL; need = strtok_r(NULL, " ", &save))
        elf_add(&elf, DT_NEEDED, need);
    if (tag != 0)
        elf_add(&elf, tag, path);
    put(name, (const char *)&elf, sizeof elf);
}

static void folder(const char *name) { (void)mkdir(at(name), 0755); }

/* A new folder for each test. */
static int set_up(void **state)
{
    (void)state;
    strcpy(top + strlen(top) - 6, "XXXXXX");
    forbidden = NULL;
    store.count = 0; /* of a test that failed */
    unsetenv("LD_LIBRARY_PATH");
    return mkdtemp(top) == NULL;
}

static int clean(void **state) { return remove_folder(state); }

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, clean)

#endif
