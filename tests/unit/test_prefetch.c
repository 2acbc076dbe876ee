/* SPDX-License-Identifier: BSD-3-Clause */
/* test_prefetch.c - contents that are read while MPI starts: whole or not at all, within bounds, and void after a
 * write. */
#include "folder_fixture.h"

#include "resolver/prefetch.h"
#include "resolver/jobs.h"

#include <dirent.h>
#include <pthread.h>

#define WAIT 10000000000ull

static struct mioc_manifest manifest;

static void fill(const char *name, size_t size, char byte)
{
    char *bytes = malloc(size + 1);

    assert_non_null(bytes);
    memset(bytes, byte, size);
    put(name, bytes, size);
    free(bytes);
}

static void put_manifest(const char *const *names)
{
    FILE *f = fopen(at("manifest"), "w");
    unsigned n = 0;

    assert_non_null(f);
    fputs("mpiio_cache manifest 1\n", f);
    for (; names[n]; n++)
        fprintf(f, "C %s\n", at(names[n]));
    fprintf(f, "end %u\n", n);
    fclose(f);
    memset(&manifest, 0, sizeof manifest);
    strcpy(manifest.dir, top);
    strcpy(manifest.name, "manifest");
}

static int may_serve(void *ctx, unsigned kind, const char *path, uint32_t len)
{
    (void)ctx, (void)kind;
    return memmem(path, len, "private", 7) == NULL; /* no NUL behind it */
}

static struct mioc_prefetch *start(uint64_t max_bytes, const char *const *names)
{
    struct mioc_prefetch *a;

    put_manifest(names);
    a = mioc_prefetch_start(&manifest, max_bytes, 1u << 20, may_serve, NULL);
    assert_non_null(a);
    return a;
}

static const struct mioc_prefetch_file *find(const struct mioc_prefetch *a, const char *name)
{
    return mioc_prefetch_find(a, at(name), (uint32_t)strlen(at(name)));
}

static unsigned sanitizers;

static unsigned threads(void)
{
    DIR *dir = opendir("/proc/self/task");
    unsigned n = 0;

    assert_non_null(dir);
    while (readdir(dir))
        n++;
    closedir(dir);
    return n - 2 - sanitizers;
}

static void *do_nothing(void *unused) { return unused; }

/* ThreadSanitizer has a thread of its own from the first one of ours on. */
static int count_sanitizers(void **state)
{
    pthread_t thread;

    (void)state;
    if (pthread_create(&thread, NULL, do_nothing, NULL) != 0 || pthread_join(thread, NULL) != 0)
        return -1;
    for (int i = 0; i < 1000 && threads() > 2; i++)
        nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
    nanosleep(&(struct timespec){ 0, 20000000 }, NULL); /* a thread that was joined may be there for a moment */
    sanitizers = threads() - 1;
    return 0;
}

static void wait_for_threads(unsigned n)
{
    for (int i = 0; i < 10000 && threads() > n; i++)
        nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
    assert_int_equal(threads(), n);
}

#define NAMES(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void files_are_read_whole(void **state)
{
    struct mioc_prefetch *a = start(8u << 20, NAMES("small", "large", "empty", "small"));
    const struct mioc_prefetch_file *file;
    struct stat st;

    (void)state;
    mioc_prefetch_release(a);
    assert_int_equal(mioc_prefetch_wait(a, WAIT), 0);
    file = find(a, "large");
    assert_non_null(file);
    assert_int_equal(file->st.size, 700000);
    for (unsigned i = 0; i < 700000; i++)
        assert_int_equal(file->bytes[i], 'l');
    assert_int_equal(stat(at("large"), &st), 0);
    assert_int_equal(file->st.ino, st.st_ino);
    assert_int_equal(find(a, "small")->st.size, 5);
    assert_int_equal(find(a, "empty")->st.size, 0);
    assert_null(find(a, "unknown"));
    assert_true(mioc_prefetch_calls(a) >= 3 * 3);
    mioc_prefetch_void(a);
    assert_null(find(a, "small"));
    mioc_prefetch_free(a);
}

static int await(struct mioc_prefetch *a, const char *name, uint64_t until)
{
    return mioc_prefetch_await(a, at(name), (uint32_t)strlen(at(name)), until);
}

static void a_file_can_be_used_as_soon_as_it_is_read(void **state)
{
    struct mioc_prefetch *a = start(8u << 20, NAMES("small", "fifo", "missing", "large"));

    (void)state;
    assert_int_equal(await(a, "small", UINT64_MAX), 0);
    assert_int_equal(find(a, "small")->st.size, 5);
    assert_int_equal(await(a, "large", UINT64_MAX), 0);
    assert_int_equal(find(a, "large")->st.size, 700000);
    /* Nor is what is odd waited for, or what nobody reads; and not at all where all is known. */
    assert_int_equal(await(a, "fifo", UINT64_MAX), 0);
    assert_int_equal(await(a, "missing", UINT64_MAX), 0);
    assert_int_equal(await(a, "unknown", 0), 0);
    assert_int_equal(await(a, "large", 0), 0);
    assert_null(find(a, "fifo"));
    mioc_prefetch_release(a);
    assert_int_equal(mioc_prefetch_wait(a, WAIT), 0);
    mioc_prefetch_free(a);
}

static void what_is_odd_too_large_or_not_served_is_left(void **state)
{
    struct mioc_prefetch *a =
        start(16384, NAMES("link", "fifo", "dir", "missing", "private", "huge", "large", "small"));

    (void)state;
    mioc_prefetch_release(a);
    assert_int_equal(mioc_prefetch_wait(a, WAIT), 0);
    for (const char *const *name = NAMES("link", "fifo", "dir", "missing", "private", "huge", "large"); *name; name++)
        if (find(a, *name) != NULL)
            fail_msg("%s was taken", *name);
    assert_non_null(find(a, "small"));
    mioc_prefetch_free(a);
}

static void without_a_whole_manifest_nothing_is_read(void **state)
{
    struct mioc_prefetch *a = start(16384, NAMES("small"));

    (void)state;
    mioc_prefetch_release(a);
    assert_int_equal(mioc_prefetch_wait(a, WAIT), 0);
    mioc_prefetch_free(a);
    assert_int_equal(truncate(at("manifest"), 40), 0);
    a = mioc_prefetch_start(&manifest, 16384, 16384, may_serve, NULL);
    assert_non_null(a);
    mioc_prefetch_release(a);
    assert_int_equal(mioc_prefetch_wait(a, WAIT), 0);
    assert_null(find(a, "small"));
    mioc_prefetch_free(a);
    manifest.dir[0] = '\0';
    assert_null(mioc_prefetch_start(&manifest, 16384, 16384, may_serve, NULL));
}

/* Their stacks would go back by munmap or madvise, which MPI's libraries may be rewriting. */
static void threads_do_not_end_before_they_may(void **state)
{
    struct mioc_prefetch *a;
    unsigned before = 1;

    (void)state;
    wait_for_threads(before); /* of the tests before */
    a = start(16384, NAMES("small"));
    assert_int_equal(mioc_prefetch_wait(a, 100000000), -1);
    assert_int_equal(threads(), before + 8);
    mioc_prefetch_release(a);
    assert_int_equal(mioc_prefetch_wait(a, WAIT), 0);
    mioc_prefetch_free(a);
    wait_for_threads(before);
}

/* --- With the resolver ------------------------------------------------------------------------------------------- */

static void ready(void *ctx) { (void)ctx; }

static int is_known(void *ctx, unsigned kind, const char *path, uint32_t len)
{
    (void)ctx, (void)kind, (void)path, (void)len;
    return 0;
}

static int reserve(void *ctx, uint64_t bytes, int may_evict)
{
    (void)may_evict;
    (void)ctx, (void)bytes;
    return 0;
}

static int may_speculate(void *ctx, const char *path, uint32_t len)
{
    (void)ctx, (void)path, (void)len;
    return 0;
}

/* Bytes of the content that the resolver gives for `name`: all equal to `byte`; or -1: there is no such file. Chunks of
 * one that a write has overtaken may come before: no record speaks of them. */
static long content_of(struct mioc_resolver *r, const char *name, char byte)
{
    struct mioc_resolved out;
    uint32_t content = 0;
    long bytes = 0, others = 0;

    for (int i = 0; i < 20000; i++) {
        while (mioc_resolver_take(r, &out)) {
            const struct mioc_content_record *record = (const void *)out.item;
            int is_it = out.item->kind == MIOC_ITEM_CONTENT && strcmp(mioc_item_path(out.item), at(name)) == 0;
            int error = is_it ? record->open_errno : 0;

            if (out.bytes != NULL && ((const struct mioc_chunk_record *)(const void *)out.item)->content != content) {
                content = ((const struct mioc_chunk_record *)(const void *)out.item)->content;
                bytes = others = 0;
            }
            for (uint32_t k = 0;
                 out.bytes != NULL && k < ((const struct mioc_chunk_record *)(const void *)out.item)->length;
                 k++, bytes++)
                others += ((const char *)out.bytes)[k] != byte;
            if (is_it && error == 0)
                assert_int_equal(record->content, content);
            mioc_resolved_free(&out);
            if (is_it) {
                assert_int_equal(others, 0);
                return error != 0 ? -1 : bytes;
            }
        }
        nanosleep(&(struct timespec){ 0, 500000 }, NULL);
    }
    fail_msg("no answer for %s", name);
    return -1;
}

static struct mioc_resolver *new_resolver(struct mioc_prefetch *a)
{
    const struct mioc_resolver_config config = { .threads = 3,
                                                 .max_file = 4u << 20,
                                                 .ready = ready,
                                                 .is_known = is_known,
                                                 .reserve = reserve,
                                                 .may_speculate = may_speculate,
                                                 .manifest = &manifest,
                                                 .may_serve = may_serve,
                                                 .prefetch = a };
    struct mioc_resolver *r = mioc_resolver_new(&config);

    assert_non_null(r);
    return r;
}

/* The file is gone when the resolver starts: what was read before is what it gives. */
static void resolver_gives_what_was_read_before(void **state)
{
    struct mioc_prefetch *a;
    struct mioc_resolver *r;

    (void)state;
    fill("passing", 300000, 'p');
    a = start(8u << 20, NAMES("passing"));
    mioc_prefetch_release(a);
    assert_int_equal(mioc_prefetch_wait(a, WAIT), 0);
    unlink(at("passing"));
    r = new_resolver(a);
    assert_int_equal(content_of(r, "passing", 'p'), 300000);
    mioc_resolver_free(r, WAIT);
}

static void a_write_makes_what_was_read_before_void(void **state)
{
    struct mioc_prefetch *a;
    struct mioc_resolver *r;

    (void)state;
    fill("written", 300000, 'o');
    a = start(8u << 20, NAMES("written"));
    assert_int_equal(mioc_prefetch_wait(a, 50000000),
                     -1); /* not through, so the write comes while the resolver takes it */
    r = new_resolver(a);
    fill("written", 200000, 'n');
    mioc_resolver_invalidate(r, at("written"), (uint32_t)strlen(at("written")), 0, 0);
    mioc_prefetch_release(a);
    assert_int_equal(content_of(r, "written", 'n'), 200000);
    mioc_resolver_free(r, WAIT);
}

static int set_up(void **state)
{
    if (count_sanitizers(state) != 0)
        return -1;
    assert_non_null(mkdtemp(top));
    fill("small", 5, 's');
    fill("large", 700000, 'l');
    fill("huge", 2u << 20, 'h');
    fill("empty", 0, 0);
    fill("private", 5, 'x');
    assert_int_equal(symlink("small", at("link")), 0);
    assert_int_equal(mkfifo(at("fifo"), 0600), 0);
    assert_int_equal(mkdir(at("dir"), 0700), 0);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_can_be_used_as_soon_as_it_is_read),
        cmocka_unit_test(files_are_read_whole),
        cmocka_unit_test(what_is_odd_too_large_or_not_served_is_left),
        cmocka_unit_test(without_a_whole_manifest_nothing_is_read),
        cmocka_unit_test(threads_do_not_end_before_they_may),
        cmocka_unit_test(resolver_gives_what_was_read_before),
        cmocka_unit_test(a_write_makes_what_was_read_before_void),
    };

    return cmocka_run_group_tests_name("ahead", tests, set_up, remove_folder);
}
