/* SPDX-License-Identifier: BSD-3-Clause */
/* test_resolver_manifest.c - the last run's questions are read ahead, behind what is asked now and within the policy.
 */
#include "folder_fixture.h"

#include "resolver/jobs.h"

static struct mioc_manifest manifest;

static void ready(void *ctx) { (void)ctx; }

static int is_known(void *ctx, unsigned kind, const char *path, uint32_t len)
{
    (void)ctx, (void)kind;
    return len > 6 && memcmp(path + len - 6, "/known", 6) == 0;
}

static int reserve(void *ctx, uint64_t bytes, int may_evict)
{
    (void)may_evict;
    (void)ctx, (void)bytes;
    return 0;
}

static int is_library(void *ctx, const char *path, uint32_t len)
{
    (void)ctx, (void)path, (void)len;
    return 1;
}

/* Nothing below private/ is served. */
static int may_serve(void *ctx, unsigned kind, const char *path, uint32_t len)
{
    (void)ctx, (void)kind;
    return memmem(path, len, "/private/", 9) == NULL;
}

static struct mioc_resolver *new_resolver(unsigned threads, const char *lines, unsigned count)
{
    struct mioc_resolver_config config = { .threads = threads,
                                           .max_file = 4u << 20,
                                           .ready = ready,
                                           .is_known = is_known,
                                           .reserve = reserve,
                                           .may_speculate = is_library,
                                           .manifest = &manifest,
                                           .may_serve = may_serve };
    struct mioc_resolver *r;
    char path[512];
    FILE *f;

    memset(&manifest, 0, sizeof manifest);
    strcpy(manifest.dir, top);
    strcpy(manifest.name, "manifest");
    snprintf(path, sizeof path, "%s/manifest", top);
    f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f, "mpiio_cache manifest 1\n%send %u\n", lines, count);
    fclose(f);
    r = mioc_resolver_new(&config);
    assert_non_null(r);
    return r;
}

static int is_through(struct mioc_resolver *r)
{
    return __atomic_load_n(&manifest.read, __ATOMIC_ACQUIRE) != 0 && !mioc_resolver_is_busy(r);
}

/* All items until nothing is under way, as "kind[e] name" lines, sorted. */
static int compare(const void *a, const void *b) { return strcmp(a, b); }

static void check_items(struct mioc_resolver *r, const char *expected)
{
    static char line[64][256], all[64 * 256];
    struct mioc_resolved out;
    unsigned n = 0;

    for (int i = 0; i < 20000 && !is_through(r); i++) {
        while (mioc_resolver_take(r, &out)) {
            if (mioc_item_path(out.item) != NULL)
                snprintf(line[n++], sizeof line[0], "%u%s %s\n", (unsigned)out.item->kind,
                         out.item->flags & MIOC_FLAG_EARLY ? "e" : "", mioc_item_path(out.item) + strlen(top));
            assert_int_equal(mioc_item_check(out.item, out.item->size), 0);
            mioc_resolved_free(&out);
            assert_true(n < 64);
        }
        nanosleep(&(struct timespec){ 0, 500000 }, NULL);
    }
    qsort(line, n, sizeof line[0], compare);
    all[0] = '\0';
    for (unsigned i = 0; i < n; i++)
        strcat(all, line[i]);
    assert_string_equal(all, expected);
}

static const char *lines(const char *format)
{
    static char text[4096];
    size_t n = 0;

    for (; *format; format++)
        n += (size_t)snprintf(text + n, sizeof text - n, *format == '$' ? "%s" : "%.1s", *format == '$' ? top : format);
    return text;
}

static void questions_are_read_ahead_from_the_filesystem(void **state)
{
    struct mioc_resolver *r = new_resolver(3, lines("C $/a.py\nL $/dir\nS $/gone\nC $/gone2\n"), 4);

    (void)state;
    check_items(r, "1e /a.py\n1e /gone\n1e /gone2\n2e /dir\n3e /a.py\n3e /gone2\n");
    mioc_resolver_free(r, 1000000000);
}

static void what_the_policy_would_not_serve_is_not_read(void **state)
{
    struct mioc_resolver *r = new_resolver(3, lines("C $/private/secret.py\nC $/a.py\nS $/private/x\nS $/known\n"), 4);

    (void)state;
    check_items(r, "1e /a.py\n3e /a.py\n");
    mioc_resolver_free(r, 1000000000);
}

static int has_met_reader;

static void *write_to(void *path)
{
    int fd = open(path, O_WRONLY);

    __atomic_store_n(&has_met_reader, 1, __ATOMIC_RELEASE);
    close(fd);
    return NULL;
}

/* Not even opened: its writer, who waits for a reader, goes on waiting. */
static void what_is_no_regular_file_is_not_opened(void **state)
{
    struct mioc_resolver *r;
    struct mioc_resolved out;
    pthread_t writer;
    char path[512];
    int fd;

    (void)state;
    snprintf(path, sizeof path, "%s/fifo", top);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(pthread_create(&writer, NULL, write_to, path), 0);
    r = new_resolver(2, lines("C $/fifo\nC $/dir\n"), 2);
    for (int i = 0; i < 20000 && !is_through(r); i++) {
        while (mioc_resolver_take(r, &out)) {
            assert_true(out.item->kind == MIOC_ITEM_STAT || (out.item->flags & MIOC_FLAG_UNCACHED));
            mioc_resolved_free(&out);
        }
        nanosleep(&(struct timespec){ 0, 500000 }, NULL);
    }
    assert_false(__atomic_load_n(&has_met_reader, __ATOMIC_ACQUIRE));
    fd = open(path, O_RDONLY);
    assert_int_equal(pthread_join(writer, NULL), 0);
    close(fd);
    mioc_resolver_free(r, 1000000000);
}

static void a_question_that_is_named_often_is_read_once(void **state)
{
    struct mioc_resolver *r = new_resolver(2, lines("S $/a.py\nS $/a.py\nS $/a.py\nS $/a.py\n"), 4);
    uint64_t calls;

    (void)state;
    for (int i = 0; i < 20000 && __atomic_load_n(&manifest.read, __ATOMIC_ACQUIRE) == 0; i++)
        nanosleep(&(struct timespec){ 0, 500000 }, NULL);
    calls = mioc_resolver_calls(r);
    assert_true(calls <= 1);
    check_items(r, "1e /a.py\n");
    mioc_resolver_free(r, 1000000000);
}

/* One thread stands in a FIFO's place: a reader of a large content that the agent does not take. What is asked still
 * comes. */
static void what_is_asked_goes_before_what_is_read_ahead(void **state)
{
    static char text[200 * 64];
    struct mioc_resolver *r;
    struct mioc_resolved out;
    size_t n = 0;
    int is_found = 0;

    (void)state;
    for (int i = 0; i < 5; i++) { /* more than the queue holds, for two of three threads */
        char path[512];
        int fd;

        snprintf(path, sizeof path, "%s/big%d", top, i);
        fd = open(path, O_WRONLY | O_CREAT, 0644);
        assert_int_equal(ftruncate(fd, 4 << 20), 0);
        close(fd);
        n += (size_t)snprintf(text + n, sizeof text - n, "C %s\n", path);
    }
    r = new_resolver(3, text, 5);
    for (int i = 0; i < 20000 && mioc_resolver_is_busy(r) == 0; i++)
        nanosleep(&(struct timespec){ 0, 500000 }, NULL);
    assert_false(mioc_resolver_take_small(r, &out));
    nanosleep(&(struct timespec){ 0, 50000000 },
              NULL); /* for the queue to fill; too short only makes the test easier */
    snprintf(text, sizeof text, "%s/a.py", top);
    assert_int_equal(mioc_resolver_ask(r, MIOC_ITEM_STAT, text, (uint32_t)strlen(text)), 0);
    for (int i = 0; i < 4000 && !is_found; i++) {
        pthread_mutex_lock(&r->lock);
        is_found = r->small.head != NULL;
        pthread_mutex_unlock(&r->lock);
        nanosleep(&(struct timespec){ 0, 500000 }, NULL);
    }
    assert_true(is_found); /* though nothing was taken */
    assert_true(mioc_resolver_take_small(r, &out));
    assert_true(out.item->kind == MIOC_ITEM_STAT ||
                out.item->kind == MIOC_ITEM_LIST); /* the directory's, which it brings */
    mioc_resolved_free(&out);
    while (!is_through(r))
        if (mioc_resolver_take(r, &out))
            mioc_resolved_free(&out);
    mioc_resolver_free(r, 1000000000);
}

/* No thread is there for the manifest alone: what is asked by name comes at once, as if it had not been in it. */
static void a_question_that_waits_is_hurried_when_it_is_asked(void **state)
{
    struct mioc_resolver *r = new_resolver(1, "", 0);
    struct mioc_job *job;
    char path[512];

    (void)state;
    snprintf(path, sizeof path, "%s/a.py", top);
    pthread_mutex_lock(&r->lock);
    for (int i = 0; i < 3; i++) {
        char other[520];

        snprintf(other, sizeof other, "%s%d", path, i);
        assert_int_equal(mioc_resolver_enqueue_early(r, MIOC_ITEM_STAT, i == 1 ? path : other,
                                                     (uint32_t)strlen(i == 1 ? path : other)),
                         0);
    }
    pthread_mutex_unlock(&r->lock);
    (void)mioc_resolver_ask(r, MIOC_ITEM_STAT, path, (uint32_t)strlen(path));
    pthread_mutex_lock(&r->lock);
    for (job = r->early.first; job != NULL; job = job->next)
        assert_string_not_equal(job->path, path);
    pthread_mutex_unlock(&r->lock);
    mioc_resolver_free(r, 1000000000);
}

static int set_up(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(top));
    for (const char *const *dir = (const char *const[]){ "dir", "private", NULL }; *dir != NULL; dir++) {
        assert_int_equal(mkdir(at(*dir), 0755), 0);
    }
    put("a.py", "pass\n", 5);
    put("private/secret.py", "pass\n", 5);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(questions_are_read_ahead_from_the_filesystem),
        cmocka_unit_test(what_the_policy_would_not_serve_is_not_read),
        cmocka_unit_test(what_is_no_regular_file_is_not_opened),
        cmocka_unit_test(a_question_that_is_named_often_is_read_once),
        cmocka_unit_test(what_is_asked_goes_before_what_is_read_ahead),
        cmocka_unit_test(a_question_that_waits_is_hurried_when_it_is_asked),
    };

    return cmocka_run_group_tests_name("resolver's manifest", tests, set_up, remove_folder);
}
