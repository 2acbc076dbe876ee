/* SPDX-License-Identifier: BSD-3-Clause */
/* test_node_evict.c - the root's room: what is reserved, what is given up for it, and what is not. */
#include "node_fixture.h"

#include "base/clock.h"
#include "resolver/jobs.h"

#include <pthread.h>
#include <sys/mman.h>

#define PAGE 4096u
#define MIB (1u << 20)

static uint32_t contents; /* that were published */

/* Publishes a file of that many bytes, as the agent's thread does. The number of the content. */
static uint32_t publish(const char *path, uint32_t size)
{
    static unsigned char bytes[MIOC_CHUNK_MAX];
    struct mioc_item *item = record(MIOC_ITEM_CONTENT, 0, path, 0);
    struct mioc_content_record *content = (void *)item;
    _Alignas(8) struct mioc_chunk_record chunk;
    uint64_t offset;

    content->open_errno = 0;
    content->content = ++contents;
    content->size = size;
    mioc_item_finish(&chunk, mioc_item_begin(&chunk, MIOC_ITEM_CHUNK, 0, "", 0));
    chunk.content = contents;
    chunk.length = size;
    chunk.offset = 0;
    chunk.total = size;
    memset(bytes, 'a', size);
    assert_int_equal(mioc_agent_publish(node.agent, &chunk.item, bytes, mioc_clock_ns()), 0);
    offset = mioc_store_end(node.store);
    assert_int_equal(mioc_agent_publish(node.agent, item, NULL, mioc_clock_ns()), 0);
    mioc_node_note_published(&node, item, offset);
    return contents;
}

/* Reserves room for it before, as a resolver's thread does. */
static void reserve_and_publish(const char *path, uint32_t size)
{
    assert_int_equal(mioc_node_reserve(&node, size, 0), 0);
    publish(path, size);
}

/* The contents' part of a bound for so many bytes of them. */
static void leave_room(uint64_t bytes)
{
    mioc_node_set_bound(&node, 64u * MIB);
    __atomic_store_n(&node.room, bytes, __ATOMIC_RELAXED);
}

static const struct mioc_content_record *content_of(const char *path)
{
    return (const void *)lookup(node.store, MIOC_ITEM_CONTENT, path);
}

/* What a resolver's thread wants, without the thread: it waits for that many bytes. */
static unsigned make_room_for(uint64_t bytes)
{
    __atomic_store_n(&node.wanted, bytes, __ATOMIC_RELEASE);
    return mioc_node_make_room(&node);
}

static void bound_of_a_large_store_leaves_an_eighth_to_the_stream(void **state)
{
    (void)state;
    mioc_node_set_bound(&node, 80u * MIB);
    assert_int_equal(node.bound, 80u * MIB);
    assert_int_equal(node.arena_bound, 10u * MIB);
    assert_int_equal(node.room, 70u * MIB);
}

static void bound_of_a_huge_store_leaves_64_mib_to_the_stream(void **state)
{
    (void)state;
    mioc_node_set_bound(&node, 1ull << 40);
    assert_int_equal(node.arena_bound, 64u * MIB);
    assert_int_equal(node.room, (1ull << 40) - 64u * MIB);
}

static void bound_of_a_small_store_leaves_512_kib_but_no_more_than_half(void **state)
{
    (void)state;
    mioc_node_set_bound(&node, 2u * MIB);
    assert_int_equal(node.arena_bound, MIB / 2);
    mioc_node_set_bound(&node, MIB / 2);
    assert_int_equal(node.arena_bound, MIB / 4);
    assert_int_equal(node.room, MIB / 4);
    mioc_node_set_bound(&node, 0);
    assert_int_equal(node.room, 0);
}

static void reserve_takes_whole_pages_and_release_gives_them_back(void **state)
{
    (void)state;
    leave_room(3 * PAGE);
    assert_int_equal(mioc_node_reserve(&node, 1, 0), 0);
    assert_int_equal(node.room, 2 * PAGE);
    assert_int_equal(mioc_node_reserve(&node, PAGE + 1, 0), 0);
    assert_int_equal(node.room, 0);
    mioc_node_release(&node, PAGE + 1);
    mioc_node_release(&node, 1);
    assert_int_equal(node.room, 3 * PAGE);
}

static void reserve_without_room_fails_and_takes_nothing(void **state)
{
    (void)state;
    leave_room(2 * PAGE);
    assert_int_equal(mioc_node_reserve(&node, 2 * PAGE + 1, 0), -1);
    assert_int_equal(node.room, 2 * PAGE);
    assert_int_equal(node.wanted, 0); /* nothing is given up for it */
}

static void reserve_of_more_than_a_quarter_of_the_bound_gives_nothing_up(void **state)
{
    (void)state;
    leave_room(PAGE);
    assert_int_equal(mioc_node_reserve(&node, 16u * MIB + 1, 1), -1);
    assert_int_equal(node.wanted, 0);
}

static void make_room_without_a_wish_gives_nothing_up(void **state)
{
    (void)state;
    leave_room(PAGE);
    reserve_and_publish("/lib/a.py", 100);
    assert_int_equal(mioc_node_make_room(&node), 0);
    assert_non_null(content_of("/lib/a.py"));
}

static void make_room_gives_the_oldest_up_and_no_more_than_needed(void **state)
{
    uint64_t end;

    (void)state;
    leave_room(3 * PAGE);
    reserve_and_publish("/lib/a.py", 100);
    reserve_and_publish("/lib/b.py", 100);
    reserve_and_publish("/lib/c.py", 100);
    assert_int_equal(make_room_for(2 * PAGE), 2);
    assert_null(content_of("/lib/a.py"));
    assert_null(content_of("/lib/b.py"));
    assert_non_null(content_of("/lib/c.py"));
    assert_int_equal(node.room, 2 * PAGE);
    assert_int_equal(node.wanted, 0);
    assert_int_equal(node.refusals, 0);
    end = mioc_store_end(node.store);
    assert_int_equal(mioc_node_make_room(&node), 0); /* it was met */
    assert_int_equal(mioc_store_end(node.store), end);
}

static void make_room_tells_every_node_by_the_stream(void **state)
{
    const struct mioc_invalidate_record *item;
    uint64_t end;
    uint32_t number;

    (void)state;
    leave_room(2 * PAGE);
    assert_int_equal(mioc_node_reserve(&node, PAGE + 1, 0), 0);
    number = publish("/lib/a.py", PAGE + 1);
    end = mioc_store_end(node.store);
    assert_int_equal(make_room_for(PAGE), 1);
    item = (const void *)mioc_store_item_at(node.store, end);
    assert_non_null(item);
    assert_int_equal(item->item.kind, MIOC_ITEM_INVALIDATE);
    assert_true(item->item.flags & MIOC_FLAG_EVICT);
    assert_int_equal(item->token, number);
    assert_int_equal(item->pages, 2);
    assert_string_equal(item->path, "/lib/a.py");
}

static void make_room_leaves_shared_objects_where_they_are(void **state)
{
    (void)state;
    leave_room(3 * PAGE);
    reserve_and_publish("/lib/a.so", 100);
    reserve_and_publish("/lib/libb.so.6", 100);
    reserve_and_publish("/lib/c.py", 100);
    assert_int_equal(make_room_for(PAGE), 1);
    assert_null(content_of("/lib/c.py"));
    assert_int_equal(make_room_for(2 * PAGE), 0);
    assert_non_null(content_of("/lib/a.so"));
    assert_non_null(content_of("/lib/libb.so.6"));
    assert_int_equal(node.refusals, 1); /* nothing is left: nobody waits in vain */
    assert_int_equal(node.wanted, 0);
}

static void make_room_of_what_is_mapped_keeps_its_bytes(void **state)
{
    const struct mioc_content_record *content;
    const char *bytes;
    int fd;

    (void)state;
    leave_room(PAGE);
    reserve_and_publish("/lib/a.py", 100);
    content = content_of("/lib/a.py");
    assert_non_null(content);
    fd = mioc_store_open_content(node.store, content, O_CLOEXEC);
    assert_true(fd >= 0);
    bytes = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
    assert_ptr_not_equal(bytes, MAP_FAILED);
    assert_int_equal(make_room_for(PAGE), 1);
    assert_null(content_of("/lib/a.py"));
    assert_int_equal(bytes[0], 'a');
    assert_int_equal(bytes[99], 'a');
    assert_int_equal(mioc_store_open_content(node.store, content, O_CLOEXEC), -1);
    munmap((void *)(uintptr_t)bytes, PAGE);
    close(fd);
}

static void make_room_with_a_stream_that_is_nearly_full_refuses(void **state)
{
    (void)state;
    leave_room(PAGE);
    reserve_and_publish("/lib/a.py", 100);
    node.arena_bound = mioc_store_end(node.store);
    assert_int_equal(make_room_for(PAGE), 0);
    assert_non_null(content_of("/lib/a.py"));
    assert_int_equal(node.refusals, 1);
    assert_int_equal(node.wanted, 0);
}

static void make_room_of_an_agent_that_has_left_refuses(void **state)
{
    (void)state;
    leave_room(PAGE);
    reserve_and_publish("/lib/a.py", 100);
    node.has_left = 1;
    assert_int_equal(make_room_for(PAGE), 0);
    assert_int_equal(node.refusals, 1);
}

/* What the resolver hands out behind the chunks of a content that will not be complete. */
static struct mioc_resolved abandoned(const char *path, uint32_t content, uint32_t pages)
{
    struct mioc_invalidate_record *gone;
    struct mioc_result *result = mioc_result_new(sizeof *gone + 64);

    assert_non_null(result);
    result->bytes_len = 0;
    gone = (void *)result->item;
    mioc_item_finish(gone, mioc_item_begin(gone, MIOC_ITEM_INVALIDATE, MIOC_FLAG_EVICT, path, (uint32_t)strlen(path)));
    gone->node = UINT32_MAX;
    gone->token = content;
    gone->pages = pages;
    return (struct mioc_resolved){ .resolver = node.resolver, .memory = result, .item = &gone->item };
}

static void take_abandoned_of_a_record_leaves_it_to_the_caller(void **state)
{
    const struct mioc_resolved resolved = { .item = record(MIOC_ITEM_STAT, 0, "/lib/a.py", 1) };

    (void)state;
    assert_int_equal(mioc_node_take_abandoned(&node, &resolved), 0);
    assert_null(node.abandoned);
}

static void take_abandoned_keeps_it_until_room_is_made_and_its_room_comes_back(void **state)
{
    struct mioc_resolved first = abandoned("/lib/a.py", 7, 3), second = abandoned("/lib/b.py", 8, 1);
    uint64_t end = mioc_store_end(node.store);
    const struct mioc_invalidate_record *item;

    (void)state;
    leave_room(0);
    assert_int_equal(mioc_node_take_abandoned(&node, &first), 1);
    assert_int_equal(mioc_node_take_abandoned(&node, &second), 1);
    assert_int_equal(mioc_store_end(node.store), end);
    assert_int_equal(node.room, 0);
    assert_int_equal(mioc_node_make_room(&node), 2);
    assert_null(node.abandoned);
    assert_int_equal(node.room, 4 * PAGE);
    item = (const void *)mioc_store_item_at(node.store, end);
    assert_string_equal(item->path, "/lib/a.py"); /* in the order in which they came */
    assert_int_equal(item->token, 7);
}

static void *reserve_a_page(void *arg)
{
    *(int *)arg = mioc_node_reserve(&node, PAGE, 1);
    return NULL;
}

/* A resolver's thread waits, and this one is the agent's. The result of its reserve. */
static int reserve_beside_the_agent(void)
{
    uint64_t until = mioc_clock_ns() + 10 * SECOND;
    pthread_t thread;
    int result = 1;

    assert_int_equal(pthread_create(&thread, NULL, reserve_a_page, &result), 0);
    while (__atomic_load_n(&node.wanted, __ATOMIC_ACQUIRE) == 0 && mioc_clock_ns() < until)
        mioc_ring_sleep(mioc_store_ring(node.store), SECOND);
    assert_int_not_equal(__atomic_load_n(&node.wanted, __ATOMIC_ACQUIRE), 0);
    (void)mioc_node_make_room(&node);
    assert_int_equal(pthread_join(thread, NULL), 0);
    return result;
}

static void reserve_that_may_evict_gets_what_the_agent_gives_up(void **state)
{
    (void)state;
    leave_room(PAGE);
    reserve_and_publish("/lib/a.py", 100);
    assert_int_equal(reserve_beside_the_agent(), 0);
    assert_null(content_of("/lib/a.py"));
    assert_int_equal(node.room, 0);
}

static void reserve_that_may_evict_ends_when_the_agent_refuses(void **state)
{
    uint64_t before = mioc_clock_ns();

    (void)state;
    leave_room(0);
    assert_int_equal(reserve_beside_the_agent(), -1);
    assert_int_equal(node.refusals, 1);
    assert_true(mioc_clock_ns() - before < 10 * SECOND);
}

#define NODE_TEST(name) cmocka_unit_test_setup_teardown(name, make_node, remove_node)

int main(void)
{
    const struct CMUnitTest tests[] = {
        NODE_TEST(bound_of_a_large_store_leaves_an_eighth_to_the_stream),
        NODE_TEST(bound_of_a_huge_store_leaves_64_mib_to_the_stream),
        NODE_TEST(bound_of_a_small_store_leaves_512_kib_but_no_more_than_half),
        NODE_TEST(reserve_takes_whole_pages_and_release_gives_them_back),
        NODE_TEST(reserve_without_room_fails_and_takes_nothing),
        NODE_TEST(reserve_of_more_than_a_quarter_of_the_bound_gives_nothing_up),
        NODE_TEST(make_room_without_a_wish_gives_nothing_up),
        NODE_TEST(make_room_gives_the_oldest_up_and_no_more_than_needed),
        NODE_TEST(make_room_tells_every_node_by_the_stream),
        NODE_TEST(make_room_leaves_shared_objects_where_they_are),
        NODE_TEST(make_room_of_what_is_mapped_keeps_its_bytes),
        NODE_TEST(make_room_with_a_stream_that_is_nearly_full_refuses),
        NODE_TEST(make_room_of_an_agent_that_has_left_refuses),
        NODE_TEST(take_abandoned_of_a_record_leaves_it_to_the_caller),
        NODE_TEST(take_abandoned_keeps_it_until_room_is_made_and_its_room_comes_back),
        NODE_TEST(reserve_that_may_evict_gets_what_the_agent_gives_up),
        NODE_TEST(reserve_that_may_evict_ends_when_the_agent_refuses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
