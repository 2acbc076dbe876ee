/* SPDX-License-Identifier: BSD-3-Clause */
/* test_resolver_abandon.c - contents that will not be complete: what was handed out and reserved comes back. */
#include "folder_fixture.h"

#include "resolver/jobs.h"

#include <errno.h>

#define ROOM (256u << 20)
#define PAGES(bytes) (((bytes) + 4095) / 4096 * 4096)
/* More than may wait for the agent: its reading stands still in the middle until somebody takes. */
#define LONG (3u * MIOC_RESOLVER_QUEUE_MAX / 2)
#define FEW (5u * MIOC_CHUNK_MAX)

static uint64_t room; /* atomic */
static struct mioc_resolver *r;
static char path[512];

/* What was taken. */
static struct {
    unsigned chunks, uncached, given_up;
    uint32_t content, gone, pages;
    uint64_t bytes;
} seen;

static void ready(void *ctx) { (void)ctx; }

static int is_known(void *ctx, unsigned kind, const char *name, uint32_t len)
{
    (void)ctx, (void)kind, (void)name, (void)len;
    return 0;
}

static int never(void *ctx, const char *name, uint32_t len)
{
    (void)ctx, (void)name, (void)len;
    return 0;
}

static int reserve(void *ctx, uint64_t bytes, int may_evict)
{
    (void)ctx, (void)may_evict;
    __atomic_fetch_sub(&room, PAGES(bytes), __ATOMIC_RELAXED);
    return 0;
}

static void release(void *ctx, uint64_t bytes)
{
    (void)ctx;
    __atomic_fetch_add(&room, PAGES(bytes), __ATOMIC_RELAXED);
}

/* Clients of a device that nothing here is on keep nothing; those of all others keep it for long. */
static uint64_t client_ns(void *ctx, const char *name, uint32_t len, uint64_t *dev)
{
    (void)ctx, (void)name, (void)len;
    *dev = UINT64_MAX;
    return 0;
}

static int set_up(void **state)
{
    const struct mioc_resolver_config config = { .threads = 2,
                                                 .max_file = 64u << 20,
                                                 .ready = ready,
                                                 .is_known = is_known,
                                                 .reserve = reserve,
                                                 .release = release,
                                                 .may_speculate = never,
                                                 .client_ns = client_ns,
                                                 .client_most_ns = 1ull << 40 };

    (void)state;
    memset(&seen, 0, sizeof seen);
    room = ROOM;
    strcpy(top, "/tmp/mioc-test.XXXXXX");
    if (mkdtemp(top) == NULL)
        return -1;
    snprintf(path, sizeof path, "%s", at("file.txt"));
    r = mioc_resolver_new(&config);
    return r != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
    mioc_resolver_free(r, 1000000000);
    return remove_folder(state);
}

static void make_file(off_t size)
{
    put("file.txt", "", 0);
    assert_int_equal(truncate(path, size), 0);
}

static void nap(void) { nanosleep(&(struct timespec){ 0, 500000 }, NULL); }

/* Whether no more will wait until somebody takes: the reading stands still, or has come to its end. */
static int is_still(void)
{
    int is_full;

    pthread_mutex_lock(&r->lock);
    is_full = r->queued_bytes > MIOC_RESOLVER_QUEUE_MAX || (r->asked.first == NULL && r->active == NULL);
    pthread_mutex_unlock(&r->lock);
    return is_full;
}

static void ask_and_wait(void)
{
    assert_int_equal(mioc_resolver_ask(r, MIOC_ITEM_CONTENT, path, (uint32_t)strlen(path)), 0);
    for (int i = 0; !is_still(); i++) {
        assert_true(i < 20000);
        nap();
    }
}

static void look_at(const struct mioc_item *item)
{
    const struct mioc_content_record *content = (const void *)item;
    const struct mioc_chunk_record *chunk = (const void *)item;
    const struct mioc_invalidate_record *given_up = (const void *)item;

    assert_int_equal(mioc_item_check(item, item->size), 0);
    switch (item->kind) {
    case MIOC_ITEM_CHUNK:
        assert_int_not_equal(chunk->content, seen.gone); /* nothing of it comes behind its end */
        seen.chunks++;
        break;
    case MIOC_ITEM_CONTENT:
        seen.uncached += (item->flags & MIOC_FLAG_UNCACHED) != 0;
        seen.content = content->content;
        seen.bytes = content->size;
        break;
    case MIOC_ITEM_INVALIDATE:
        assert_int_equal(item->flags, MIOC_FLAG_EVICT);
        assert_string_equal(given_up->path, path);
        seen.given_up++;
        seen.gone = (uint32_t)given_up->token;
        seen.pages += given_up->pages;
        break;
    default: break;
    }
}

static int take_one(void)
{
    struct mioc_resolved out;

    if (!mioc_resolver_take(r, &out))
        return 0;
    look_at(out.item);
    mioc_resolved_free(&out);
    return 1;
}

/* Takes all that comes, until there is no more to come. */
static void take_all(void)
{
    for (int i = 0; mioc_resolver_is_busy(r); i++) {
        assert_true(i < 20000);
        if (!take_one())
            nap();
    }
}

/* What is reserved still is that of `size` bytes, and what the stores give back. */
static void assert_reserved(uint64_t size)
{
    assert_int_equal(ROOM - __atomic_load_n(&room, __ATOMIC_RELAXED), PAGES(size) + seen.pages * 4096ull);
}

/* --- Files that change while they are read ----------------------------------------------------------------------- */

static void file_that_grows_is_given_up_wherever_its_chunks_are(void **state)
{
    (void)state;
    make_file(LONG);
    ask_and_wait();
    assert_int_equal(truncate(path, LONG + 1), 0);
    take_all();
    assert_int_equal(seen.uncached, 1);
    assert_int_equal(seen.given_up, 1);
    assert_int_equal(seen.pages, LONG / 4096);
    assert_reserved(0);
}

static void file_that_shrinks_is_given_up(void **state)
{
    (void)state;
    make_file(LONG);
    ask_and_wait();
    assert_int_equal(truncate(path, LONG - MIOC_CHUNK_MAX), 0);
    take_all();
    assert_int_equal(seen.uncached, 1);
    assert_int_equal(seen.given_up, 1);
    assert_reserved(0);
}

/* Files of sysfs say that they have a page, and have less. */
static void file_that_is_shorter_than_it_says_leaves_nothing(void **state)
{
    static const char odd[] = "/sys/kernel/mm/transparent_hugepage/enabled", other[] = "/sys/kernel/uevent_seqnum";
    struct stat st;

    (void)state;
    snprintf(path, sizeof path, "%s", access(odd, R_OK) == 0 ? odd : other);
    if (stat(path, &st) != 0 || st.st_size != 4096)
        skip(); /* no sysfs here */
    ask_and_wait();
    take_all();
    assert_int_equal(seen.uncached, 1);
    assert_int_equal(seen.chunks, 0);
    assert_int_equal(seen.given_up, 0);
    assert_reserved(0);
}

/* --- Writes that are told ---------------------------------------------------------------------------------------- */

static void invalidate(int is_foreign) { mioc_resolver_invalidate(r, path, (uint32_t)strlen(path), 0, is_foreign); }

static void content_that_is_written_while_it_is_read_comes_anew(void **state)
{
    (void)state;
    make_file(LONG);
    ask_and_wait();
    make_file(FEW);
    invalidate(0);
    take_all();
    assert_int_equal(seen.given_up, 1);
    assert_int_equal(seen.bytes, FEW);
    assert_int_not_equal(seen.content, seen.gone);
    assert_reserved(FEW);
}

/* Of which nobody has taken anything: then nobody has to be told. */
static void content_that_waits_when_a_write_comes_leaves_nothing(void **state)
{
    static const off_t sizes[] = { 1, MIOC_CHUNK_MAX, FEW };

    (void)state;
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        make_file(sizes[i]);
        ask_and_wait();
        make_file(7);
        seen.chunks = 0;
        invalidate(0);
        take_all();
        assert_int_equal(seen.given_up, 0);
        assert_int_equal(seen.chunks, 1); /* the new one's */
        assert_int_equal(seen.bytes, 7);
        assert_reserved(7);
        release(NULL, 7);
    }
}

static void content_of_which_a_part_was_taken_when_a_write_comes_is_given_up(void **state)
{
    (void)state;
    make_file(FEW);
    ask_and_wait();
    while (seen.chunks < 2)
        assert_true(take_one());
    make_file(7);
    invalidate(0);
    take_all();
    assert_int_equal(seen.given_up, 1);
    assert_int_equal(seen.chunks, 3);
    assert_int_equal(seen.bytes, 7);
    assert_reserved(7);
}

/* Read where the root's kernel may say what was before another node's write: it is not shared. */
static void content_that_is_in_doubt_leaves_nothing(void **state)
{
    static const off_t sizes[] = { 7, FEW };

    (void)state;
    invalidate(1);
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        make_file(sizes[i]);
        ask_and_wait();
        take_all();
        assert_int_equal(seen.uncached, i + 1);
        assert_int_equal(seen.bytes, 0);
        assert_reserved(0);
    }
    assert_int_equal(seen.chunks, 0);
}

/* What others commit is to be seen by who has it open: everybody reads it for himself. */
static void database_is_not_shared_and_leaves_nothing(void **state)
{
    static const off_t sizes[] = { 4096, FEW };
    static const char head[] = "0123456789abcdef\xde\xc0\xef\xbe";

    (void)state;
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        put("file.txt", head, sizeof head - 1);
        assert_int_equal(truncate(path, sizes[i]), 0);
        ask_and_wait();
        take_all();
        assert_int_equal(seen.uncached, i + 1);
        assert_int_equal(seen.given_up, 0);
        assert_reserved(0);
    }
    assert_int_equal(seen.chunks, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(file_that_grows_is_given_up_wherever_its_chunks_are),
        TEST(file_that_shrinks_is_given_up),
        TEST(file_that_is_shorter_than_it_says_leaves_nothing),
        TEST(content_that_is_written_while_it_is_read_comes_anew),
        TEST(content_that_waits_when_a_write_comes_leaves_nothing),
        TEST(content_of_which_a_part_was_taken_when_a_write_comes_is_given_up),
        TEST(content_that_is_in_doubt_leaves_nothing),
        TEST(database_is_not_shared_and_leaves_nothing),
    };
#undef TEST

    return cmocka_run_group_tests(tests, NULL, NULL);
}
