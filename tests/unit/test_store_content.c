/* SPDX-License-Identifier: BSD-3-Clause */
/* test_store_content.c - content files: chunks arrive, are sealed, opened, and found again from a descriptor's struct
 * stat. */
#include "store_fixture.h"

#include "store/store_internal.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>

#define BIG (300u * 1024u + 5)

static char big[BIG];

static struct mioc_chunk_record *chunk(uint32_t content, uint64_t offset, uint32_t length, uint64_t total)
{
    static _Alignas(8) char buf[128];
    struct mioc_chunk_record *r = (void *)buf;
    char *end = mioc_item_begin(buf, MIOC_ITEM_CHUNK, 0, NULL, 0);

    r->content = content;
    r->offset = offset;
    r->length = length;
    r->total = total;
    mioc_item_finish(buf, end);
    assert_int_equal(mioc_item_check(buf, sizeof(buf)), 0);
    return r;
}

static int write_chunk(struct mioc_store *s, uint32_t content, uint64_t offset, uint32_t length, uint64_t total)
{
    struct mioc_chunk_record *r = chunk(content, offset, length, total);

    assert_true(mioc_store_append(s, &r->item) >= 0);
    return mioc_store_write_chunk(s, r, big + offset);
}

static const struct mioc_content_record *publish(struct mioc_store *s, const char *path, uint32_t content,
                                                 uint64_t size)
{
    struct mioc_item *item = record(MIOC_ITEM_CONTENT, 0, path, 0);
    struct mioc_content_record *r = (void *)item;

    r->open_errno = 0;
    r->content = content;
    r->size = size;
    assert_true(mioc_store_append(s, item) >= 0);
    return (const void *)lookup(s, MIOC_ITEM_CONTENT, path);
}

static void fill_big(void)
{
    for (unsigned i = 0; i < BIG; i++)
        big[i] = (char)(i * 7 + i / 251);
}

static int make_filled(void **state)
{
    fill_big();
    return make_store(state);
}

/* Writes and publishes the whole of `big`. */
static const struct mioc_content_record *publish_big(struct mioc_store *s, const char *path, uint32_t content)
{
    for (uint32_t at = 0; at < BIG; at += MIOC_CHUNK_MAX)
        assert_int_equal(write_chunk(s, content, at, BIG - at < MIOC_CHUNK_MAX ? BIG - at : MIOC_CHUNK_MAX, BIG), 0);
    return publish(s, path, content, BIG);
}

static uint64_t content_bytes(const struct mioc_store *s)
{
    uint64_t arena, bytes, contents;

    mioc_store_usage(s, &arena, &bytes, &contents);
    return bytes;
}

static void assert_holds_big(int fd)
{
    static char copy[BIG + 1];

    assert_true(fd >= 0);
    assert_int_equal(read(fd, copy, sizeof(copy)), BIG);
    assert_memory_equal(copy, big, BIG);
}

static void content_in_chunks_is_opened_with_its_bytes(void **state)
{
    struct mioc_store *s = *state;
    const struct mioc_content_record *r = publish_big(s, "/lib/a.so", 4000000000u);
    struct mioc_store *view = mioc_store_attach(mioc_store_path(s));
    struct stat st;
    int fd;

    assert_non_null(r);
    assert_non_null(view);
    errno = 77;
    fd = mioc_store_open_content(view, (const void *)lookup(view, MIOC_ITEM_CONTENT, "/lib/a.so"), O_CLOEXEC);
    assert_holds_big(fd);
    assert_int_equal(errno, 77);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_mode, S_IFREG | 0400);
    assert_ptr_equal(mioc_store_record_of(s, &st), r);
    assert_string_equal(mioc_store_record_of(view, &st)->path, "/lib/a.so");
    mioc_store_append(s, invalidation(0, "/lib/a.so", 1, 1));
    assert_ptr_equal(mioc_store_record_of(s, &st), r); /* who has it open has that file still */
    mioc_store_remove(s);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_nlink, 0);
    assert_ptr_equal(mioc_store_record_of(s, &st), r);
    assert_int_equal(mioc_store_open_content(view, r, 0), -1);
    assert_int_equal(errno, ENOENT);
    close(fd);
    mioc_store_detach(view);
}

static void contents_side_by_side_are_complete_when_all_came(void **state)
{
    struct mioc_store *s = *state;
    int fd;

    assert_int_equal(write_chunk(s, 1, 0, 100000, BIG), 0);
    assert_int_equal(write_chunk(s, 2, 0, 10, 10), 0); /* another one between */
    assert_int_equal(write_chunk(s, 1, 100000, 100000, BIG), 0);
    assert_int_equal(write_chunk(s, 1, 200000, BIG - 200000, BIG), 0);
    assert_non_null(publish(s, "/lib/b", 2, 10));
    fd = mioc_store_open_content(s, publish(s, "/lib/a", 1, BIG), 0);
    assert_holds_big(fd);
    close(fd);
}

/* As many bytes as it has, but some of them twice: the rest would be zeros. */
static void content_with_a_gap_is_none(void **state)
{
    struct mioc_store *s = *state;

    assert_int_equal(write_chunk(s, 1, 0, 100, 300), 0);
    assert_int_equal(write_chunk(s, 1, 0, 100, 300), -1);
    assert_int_equal(errno, EPROTO);
    assert_int_equal(write_chunk(s, 1, 200, 100, 300), -1);
    assert_null(publish(s, "/lib/a", 1, 300));
    assert_int_equal(write_chunk(s, 2, 100, 100, 200), -1);
    assert_int_equal(write_chunk(s, 2, 0, 100, 200), -1);
    assert_null(publish(s, "/lib/b", 2, 200));
}

static void content_empty_is_an_empty_file(void **state)
{
    struct mioc_store *s = *state;
    const struct mioc_content_record *r = publish(s, "/lib/__init__.py", 0, 0);
    struct stat st;
    int fd;

    assert_non_null(r);
    fd = mioc_store_open_content(s, r, 0);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, 0);
    assert_ptr_equal(mioc_store_record_of(s, &st), r);
    close(fd);
}

static void content_not_complete_is_not_reachable(void **state)
{
    struct mioc_store *s = *state;

    assert_null(publish(s, "/lib/no-chunk", 1, 10));
    assert_int_equal(write_chunk(s, 2, 0, 9, 10), 0);
    assert_null(publish(s, "/lib/short", 2, 10));
    assert_int_equal(write_chunk(s, 3, 0, 10, 10), 0);
    assert_null(publish(s, "/lib/other-size", 3, 11));
    assert_int_equal(write_chunk(s, 4, 0, 10, 20), 0);
    assert_int_equal(write_chunk(s, 4, 0, 10, 21), -1); /* another total */
    assert_int_equal(write_chunk(s, 4, 10, 10, 20), -1);
    assert_null(publish(s, "/lib/contradiction", 4, 20));
    assert_int_equal(write_chunk(s, 5, 0, 10, 10), 0);
    assert_int_equal(write_chunk(s, 5, 0, 10, 10), -1); /* more than all */
    assert_null(publish(s, "/lib/twice", 5, 10));
    assert_int_equal(content_bytes(s), 0); /* and takes no room */
    assert_int_equal(mioc_store_get_state(s), MIOC_STORE_STARTING);
}

static void content_number_reused_leaves_the_first_intact(void **state)
{
    struct mioc_store *s = *state;
    const struct mioc_content_record *r = publish_big(s, "/lib/a", 1);
    int fd;

    assert_int_equal(write_chunk(s, 1, 0, 10, 10), -1);
    assert_null(publish(s, "/lib/b", 1, 10));
    assert_null(publish(s, "/lib/c", 1, 0));
    fd = mioc_store_open_content(s, r, 0);
    assert_holds_big(fd);
    close(fd);
}

static void content_larger_than_room_fails_alone(void **state)
{
    struct mioc_store *s = *state;
    struct mioc_chunk_record *r = chunk(1, 0, 10, 1ull << 40);

    assert_int_equal(mioc_store_write_chunk(s, r, big), -1);
    assert_int_equal(errno, ENOSPC);
    r = chunk(1, 10, 10, 1ull << 40);
    assert_int_equal(mioc_store_write_chunk(s, r, big), -1);
    assert_null(publish(s, "/lib/large", 1, 1ull << 40));
    assert_non_null(publish_big(s, "/lib/a", 2));
    assert_int_equal(content_bytes(s), (BIG + 4095) / 4096 * 4096);
}

static void evict(struct mioc_store *s, const char *path, uint32_t content)
{
    struct mioc_item *item = invalidation(0, path, UINT32_MAX, content);

    item->flags = MIOC_FLAG_EVICT;
    ((struct mioc_invalidate_record *)item)->pages = (BIG + 4095) / 4096;
    assert_int_equal(mioc_item_check(item, MIOC_ITEM_MAX), 0);
    assert_true(mioc_store_append(s, item) >= 0);
}

static void content_given_up_makes_room_and_stays_open(void **state)
{
    struct mioc_store *s = *state;
    const struct mioc_content_record *r = publish_big(s, "/p/a.py", 1);
    uint64_t arena, before, after, contents;
    struct stat st;
    int fd = mioc_store_open_content(s, r, 0);
    char byte;

    assert_true(mioc_store_append(s, record(MIOC_ITEM_STAT, 0, "/p/a.py", 1)) >= 0);
    mioc_store_usage(s, &arena, &before, &contents);
    assert_true(fd >= 0);
    evict(s, "/p/a.py", 1);
    assert_null(lookup(s, MIOC_ITEM_CONTENT, "/p/a.py"));
    assert_non_null(lookup(s, MIOC_ITEM_STAT, "/p/a.py"));
    mioc_store_usage(s, &arena, &after, &contents);
    assert_int_equal(before - after, (BIG + 4095) / 4096 * 4096);
    /* Open, it is there, and known for what it is; to be opened it is no more. */
    assert_int_equal(pread(fd, &byte, 1, BIG - 1), 1);
    assert_int_equal(byte, big[BIG - 1]);
    assert_int_equal(fstat(fd, &st), 0);
    assert_ptr_equal(mioc_store_record_of(s, &st), r);
    assert_int_equal(mioc_store_open_content(s, r, 0), -1);
    /* Asked for again it comes again, and what is given up then is the old one only. */
    assert_non_null(publish_big(s, "/p/a.py", 2));
    evict(s, "/p/a.py", 1);
    assert_non_null(lookup(s, MIOC_ITEM_CONTENT, "/p/a.py"));
    close(fd);
}

/* Each leaves nothing behind: neither bytes, nor a file, nor the memory of what was to come. */
static void content_that_will_not_be_complete_is_given_up(void **state)
{
    struct mioc_store *s = *state;
    struct stat st;
    char path[1300];

    for (uint32_t content = 1; content < 2000; content++) {
        assert_int_equal(write_chunk(s, content, 0, MIOC_CHUNK_MAX, BIG), 0);
        evict(s, "/p/a.py", content);
        assert_int_equal(content_bytes(s), 0);
    }
    assert_int_equal(s->writer->arrivals, 0);
    snprintf(path, sizeof path, "%s/c/1999", mioc_store_path(s));
    assert_int_equal(stat(path, &st), -1);
    evict(s, "/p/a.py", 7);                                                            /* no part of it came */
    assert_int_equal(mioc_store_write_chunk(s, chunk(8, 0, 10, 1ull << 40), big), -1); /* nor had it any place */
    evict(s, "/p/a.py", 8);
    assert_int_equal(content_bytes(s), 0);
    assert_int_equal(s->writer->arrivals, 0);
    assert_non_null(publish_big(s, "/p/a.py", 3000));
}

static void chunk_is_read_out_again(void **state)
{
    static char copy[MIOC_CHUNK_MAX];
    struct mioc_store *s = *state;

    publish_big(s, "/lib/a", 1);
    write_chunk(s, 2, 0, 1000, 2000);
    assert_int_equal(mioc_store_read_chunk(s, chunk(1, MIOC_CHUNK_MAX, MIOC_CHUNK_MAX, BIG), copy), 0);
    assert_memory_equal(copy, big + MIOC_CHUNK_MAX, MIOC_CHUNK_MAX);
    assert_int_equal(mioc_store_read_chunk(s, chunk(2, 0, 1000, 2000), copy), 0); /* also while it arrives */
    assert_memory_equal(copy, big, 1000);
    assert_int_equal(mioc_store_read_chunk(s, chunk(1, BIG - 1, 2, BIG + 1), copy), -1);
    assert_int_equal(errno, EIO);
    assert_int_equal(mioc_store_read_chunk(s, chunk(9, 0, 2, 2), copy), -1);
    assert_int_equal(errno, ENOENT);
}

static void record_of_knows_only_our_copies(void **state)
{
    struct mioc_store *s = *state;
    int fd = mioc_store_open_content(s, publish_big(s, "/lib/a", 1), 0);
    struct stat st, other;

    assert_int_equal(fstat(fd, &st), 0);
    close(fd);
    assert_non_null(mioc_store_record_of(s, &st));
#define REFUSED(change) (other = st, change, assert_null(mioc_store_record_of(s, &other)))
    REFUSED(other.st_dev++);
    REFUSED(other.st_uid++);
    REFUSED(other.st_mode = S_IFREG | 0600);
    REFUSED(other.st_mode = S_IFLNK | 0400);
    REFUSED(other.st_size++);
    REFUSED(other.st_mtim.tv_nsec++);
    REFUSED(other.st_mtim.tv_nsec = 0);
    REFUSED(other.st_mtim.tv_sec = -1);
    REFUSED(other.st_mtim.tv_sec = INT64_MAX);
    REFUSED(other.st_mtim.tv_sec = 1700000000);
    for (int64_t at = -64; at < 64; at++)
        if (at != 0)
            REFUSED(other.st_mtim.tv_sec += at);
}

static unsigned count_descriptors(int *lowest_new)
{
    unsigned n = 0;

    *lowest_new = 0;
    for (int fd = 3; fd < 1024; fd++)
        if (fcntl(fd, F_GETFD) >= 0) {
            n++;
            *lowest_new = fd;
        }
    return n;
}

static void agent_keeps_no_descriptor_but_the_lock(void **state)
{
    struct mioc_store *s = *state;
    struct mioc_store *second;
    int highest;
    unsigned before = count_descriptors(&highest);

    second = mioc_store_create(store_dir, KEY + 1, &limits);
    publish_big(second, "/lib/a", 1);
    write_chunk(second, 2, 0, 10, 20);
    assert_int_equal(count_descriptors(&highest), before + 1);
    assert_true(mioc_store_lock_fd(s) >= 200);
    assert_int_equal(fcntl(mioc_store_lock_fd(s), F_GETFD), FD_CLOEXEC);
    mioc_store_remove(second);
    mioc_store_detach(second);
    assert_int_equal(count_descriptors(&highest), before);
}

static int without_descriptors(void *arg)
{
    const struct rlimit limit = { .rlim_cur = 40, .rlim_max = 40 };
    struct mioc_store *s = mioc_store_create(store_dir, KEY, &limits);
    char bytes[100], path[64];

    (void)arg;
    if (s == NULL || setrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 1;
    while (open("/dev/null", O_RDONLY) >= 0)
        ;
    fill_big();
    if (publish_big(s, "/lib/a", 1) == NULL || publish(s, "/lib/empty", 2, 0) == NULL)
        return 2;
    if (mioc_store_read_chunk(s, chunk(1, 100, sizeof(bytes), BIG), bytes) != 0 ||
        memcmp(bytes, big + 100, sizeof(bytes)) != 0)
        return 3;
    for (unsigned i = 0; i < 20000; i++) { /* the index grows */
        snprintf(path, sizeof(path), "/lib/%u", i);
        if (mioc_store_append(s, record(MIOC_ITEM_STAT, 0, path, i)) < 0)
            return 4;
    }
    mioc_store_remove(s);
    return rmdir(store_dir) == 0 && mkdir(store_dir, 0700) == 0 ? 0 : 5; /* all of it is gone */
}

static void agent_takes_none_of_the_program_s_descriptors(void **state)
{
    (void)state;
    assert_int_equal(in_child(without_descriptors, NULL), 0);
}

/* --- Where there is no room -------------------------------------------------------------------------------------- */

static int under_file_size_limit(void *arg)
{
    const struct rlimit limit = { .rlim_cur = 3u << 20, .rlim_max = 3u << 20 };
    struct mioc_store *s;
    char path[64];
    unsigned n = 0;

    (void)arg;
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0)
        return 1;
    s = mioc_store_create(store_dir, KEY, &limits);
    if (s == NULL || mioc_store_write_chunk(s, chunk(1, 0, 10, 4u << 20), big) != -1 || errno != EFBIG)
        return 2;
    do
        snprintf(path, sizeof(path), "/%u", n++);
    while (mioc_store_append(s, record(MIOC_ITEM_STAT, 0, path, n)) >= 0);
    if (n < 1000 || mioc_store_get_state(s) != MIOC_STORE_FULL)
        return 3;
    mioc_store_remove(s);
    return 0;
}

static void file_size_limit_gives_errors_not_signals(void **state)
{
    (void)state;
    assert_int_equal(in_child(under_file_size_limit, NULL), 0);
}

static int on_small_filesystem(void *arg)
{
    struct mioc_store *s;
    uint32_t n = 0;
    char path[64];

    (void)arg;
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", store_dir, "tmpfs", 0, "size=6m,mode=0700") != 0)
        return 99;
    s = mioc_store_create(store_dir, KEY, &limits);
    if (s == NULL)
        return 1;
    while (publish_big(s, "/lib/a", n))
        if (++n == 2)
            break;
    if (mioc_store_write_chunk(s, chunk(77, 0, 10, 8u << 20), big) != -1 || errno != ENOSPC)
        return 2;
    do
        snprintf(path, sizeof(path), "/%u", n++);
    while (mioc_store_append(s, record(MIOC_ITEM_STAT, 0, path, n)) >= 0);
    if (n < 3000 || errno != ENOSPC || mioc_store_get_state(s) != MIOC_STORE_FULL)
        return 3;
    if (mioc_store_create(store_dir, KEY, &limits) != NULL || errno != ENOSPC)
        return 4;
    mioc_store_remove(s);
    return rmdir(store_dir) == 0 || errno == EBUSY ? 0 : 5; /* empty again but for being a mount */
}

static void full_filesystem_is_enospc_and_no_bus_error(void **state)
{
    int result = in_child(on_small_filesystem, NULL);

    (void)state;
    if (result == 99) {
        print_message("needs the right to mount a tmpfs\n");
        skip();
    }
    assert_int_equal(result, 0);
}

#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, make_filled, remove_store)
#define WITH_DIR(test) cmocka_unit_test_setup_teardown(test, make_dir, remove_dir)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        WITH_STORE(content_in_chunks_is_opened_with_its_bytes),
        WITH_STORE(contents_side_by_side_are_complete_when_all_came),
        WITH_STORE(content_with_a_gap_is_none),
        WITH_STORE(content_empty_is_an_empty_file),
        WITH_STORE(content_not_complete_is_not_reachable),
        WITH_STORE(content_number_reused_leaves_the_first_intact),
        WITH_STORE(content_larger_than_room_fails_alone),
        WITH_STORE(content_given_up_makes_room_and_stays_open),
        WITH_STORE(content_that_will_not_be_complete_is_given_up),
        WITH_STORE(chunk_is_read_out_again),
        WITH_STORE(record_of_knows_only_our_copies),
        WITH_STORE(agent_keeps_no_descriptor_but_the_lock),
        WITH_DIR(agent_takes_none_of_the_program_s_descriptors),
        WITH_DIR(file_size_limit_gives_errors_not_signals),
        WITH_DIR(full_filesystem_is_enospc_and_no_bus_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
