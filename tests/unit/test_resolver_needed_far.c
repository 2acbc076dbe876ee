/* SPDX-License-Identifier: BSD-3-Clause */
/* test_resolver_needed_far.c - what libraries need is looked for without harm where they are long, damaged, guessed or
 * many. */
#include "needed_fixture.h"

#define FAR (3u * 1024u * 1024u)

static uint64_t queued_bytes(struct mioc_resolver *r)
{
    uint64_t bytes;

    pthread_mutex_lock(&r->lock);
    bytes = r->queued_bytes;
    pthread_mutex_unlock(&r->lock);
    return bytes;
}

static void wait_for_bytes(struct mioc_resolver *r, uint64_t more_than)
{
    for (int i = 0; queued_bytes(r) <= more_than; i++) {
        assert_true(i < 100000);
        nanosleep(&(struct timespec){ 0, 100000 }, NULL);
    }
}

/* Five long libraries that nobody has asked for yet, and one that is asked for, while the agent takes nothing. */
static void needed_lets_pass_what_is_asked_for(void **state)
{
    struct mioc_resolver *r = new_resolver(8);
    uint64_t asked = 0, needed = 0;
    struct mioc_resolved out;
    char name[32];

    (void)state;
    folder("m");
    library("m/a.so", "lib0.so lib1.so lib2.so lib3.so lib4.so", DT_RUNPATH, "$ORIGIN");
    put("m/asked.so", "", 0);
    assert_int_equal(truncate(at("m/asked.so"), 2 * MIOC_RESOLVER_QUEUE_MAX), 0);
    for (int i = 0; i < 5; i++) {
        snprintf(name, sizeof name, "m/lib%d.so", i);
        put(name, "", 0);
        assert_int_equal(truncate(at(name), 2 * MIOC_RESOLVER_QUEUE_MAX - MIOC_CHUNK_MAX), 0);
    }
    ask(r, "m/a.so");
    wait_for_bytes(r, MIOC_RESOLVER_QUEUE_MAX / 2);
    ask(r, "m/asked.so");
    wait_for_bytes(r, MIOC_RESOLVER_QUEUE_MAX);
    pthread_mutex_lock(&r->lock);
    for (const struct mioc_result *result = r->bulk.head; result != NULL; result = result->next) {
        const struct mioc_chunk_record *chunk = (const void *)result->item;

        *(chunk->total == 2 * MIOC_RESOLVER_QUEUE_MAX ? &asked : &needed) += chunk->length;
    }
    pthread_mutex_unlock(&r->lock);
    assert_true(needed <= MIOC_RESOLVER_QUEUE_MAX / 2 + MIOC_CHUNK_MAX &&
                asked >= MIOC_RESOLVER_QUEUE_MAX / 2 - MIOC_CHUNK_MAX);
    /* One of them is asked for now. */
    ask(r, "m/lib3.so");
    while (mioc_resolver_is_busy(r))
        if (mioc_resolver_take(r, &out))
            mioc_resolved_free(&out);
    end(r);
}

/* The file: an ELF head, FAR bytes of something, then the dynamic section and its texts. */
static void put_far(const char *name, int is_elf)
{
    struct elf_fixture elf;
    char *bytes = malloc(FAR + sizeof elf);

    assert_non_null(bytes);
    for (size_t i = 0; i < FAR + sizeof elf; i++)
        bytes[i] = (char)(i * 2654435761u >> 13);
    elf_fill(&elf, (const char *const[]){ "libb.so", NULL });
    elf_add(&elf, DT_RUNPATH, "$ORIGIN");
    elf.segment[0].p_filesz = FAR + sizeof elf;
    elf.segment[1].p_offset += FAR;
    elf.dynamic[elf.texts].d_un.d_ptr += FAR;
    memcpy(bytes + FAR, &elf, sizeof elf);
    memcpy(bytes, &elf, offsetof(struct elf_fixture, dynamic));
    if (!is_elf)
        bytes[0] = 'x';
    put(name, bytes, FAR + sizeof elf);
    free(bytes);
}

static uint64_t chunks_are_the_file(const char *name)
{
    char *bytes = malloc(FAR + sizeof(struct elf_fixture));
    uint64_t have = 0;
    int fd = open(at(name), O_RDONLY);
    uint32_t content = 0;

    assert_int_equal(read(fd, bytes, FAR + sizeof(struct elf_fixture)), FAR + sizeof(struct elf_fixture));
    close(fd);
    for (unsigned i = 0; i < store.count; i++)
        if (store.item[i].item->kind == MIOC_ITEM_CONTENT && strcmp(mioc_item_path(store.item[i].item), at(name)) == 0)
            content = ((const struct mioc_content_record *)(const void *)store.item[i].item)->content;
    for (unsigned i = 0; i < store.count; i++) {
        const struct mioc_chunk_record *chunk = (const void *)store.item[i].item;

        if (chunk->item.kind != MIOC_ITEM_CHUNK || chunk->content != content)
            continue;
        assert_int_equal(chunk->offset, have); /* none is missing, none comes early */
        assert_memory_equal(store.item[i].bytes, bytes + have, chunk->length);
        have += chunk->length;
    }
    free(bytes);
    return have;
}

/* What lies far behind is read once, and goes out in its place. */
static void needed_of_a_long_object_costs_no_read_more(void **state)
{
    uint64_t calls[2];

    (void)state;
    folder("m");
    library("m/libb.so", "", 0, NULL);
    for (int is_elf = 0; is_elf < 2; is_elf++) {
        struct mioc_resolver *r = new_resolver(1);

        put_far("m/a.so", is_elf);
        ask(r, "m/a.so");
        if (!is_elf)
            ask(r, "m/libb.so");
        settle(r);
        assert_non_null(find(NULL, MIOC_ITEM_CONTENT, at("m/libb.so"), (uint32_t)strlen(at("m/libb.so"))));
        assert_int_equal(chunks_are_the_file("m/a.so"), FAR + sizeof(struct elf_fixture));
        calls[is_elf] = mioc_resolver_calls(r);
        end(r);
    }
    assert_int_equal(calls[0], calls[1]);
}

static void needed_of_damaged_objects_does_no_harm(void **state)
{
    struct elf_fixture whole, damaged;

    (void)state;
    folder("m");
    elf_fill(&whole, (const char *const[]){ "libb.so", "libc-1.so", NULL });
    elf_add(&whole, DT_RUNPATH, "$ORIGIN:$ORIGIN/x");
    for (size_t i = 0; i < offsetof(struct elf_fixture, strings) + 64; i += 3) {
        struct mioc_resolver *r = new_resolver(2);
        const struct mioc_content_record *record;

        damaged = whole;
        ((unsigned char *)&damaged)[i] ^= 0xff;
        put("m/a.so", (const char *)&damaged, sizeof damaged);
        ask(r, "m/a.so");
        settle(r);
        record = (const void *)find(NULL, MIOC_ITEM_CONTENT, at("m/a.so"), (uint32_t)strlen(at("m/a.so")));
        assert_non_null(record);
        assert_int_equal(record->item.flags | (uint32_t)record->open_errno, 0);
        assert_int_equal(record->size, sizeof damaged);
        end(r);
    }
}

static void guess(struct mioc_resolver *r, const char *name)
{
    mioc_resolver_enqueue_guesses(r, mioc_resolver_new_guess(r, MIOC_ITEM_STAT, at(name), (uint32_t)strlen(at(name))));
}

/* Nobody may ever import it: what it needs could be read in vain, or by another name than the loader's. */
static void needed_of_a_guessed_module_waits_until_one_is_asked_for(void **state)
{
    struct mioc_resolver *r = new_resolver(1);

    (void)state;
    folder("m");
    folder("m/libs");
    library("m/a.cpython-311.so", "libb.so libc-1.so libd.so", DT_RPATH, "$ORIGIN/libs");
    library("m/b.cpython-311.so", "libc-1.so libe.so", DT_RPATH, "$ORIGIN/libs");
    library("m/c.cpython-311.so", "libf.so", DT_RPATH, "$ORIGIN/libs");
    library("m/libs/libb.so", "", 0, NULL);
    library("m/libs/libc-1.so", "libg.so", 0, NULL);
    library("m/libs/libd.so", "", 0, NULL);
    library("m/libs/libe.so", "", 0, NULL);
    library("m/libs/libf.so", "", 0, NULL);
    library("m/libs/libg.so", "", 0, NULL);
    guess(r, "m/a.cpython-311.so");
    guess(r, "m/b.cpython-311.so");
    guess(r, "m/c.cpython-311.so");
    settle(r);
    assert_null(strstr(taken(MIOC_ITEM_CONTENT), "m/libs"));
    ask(r, "m/libs/libb.so");
    settle(r);
    assert_string_equal(strstr(taken(MIOC_ITEM_CONTENT), "m/libs"),
                        "m/libs/libb.so m/libs/libc-1.so m/libs/libd.so m/libs/libg.so ");
    ask(r, "m/libs/libc-1.so"); /* again: by it, b is known to be loaded, too */
    settle(r);
    assert_non_null(strstr(taken(MIOC_ITEM_CONTENT), "m/libs/libe.so"));
    assert_null(strstr(taken(MIOC_ITEM_CONTENT), "m/libs/libf.so"));
    end(r);
}

static void needed_web_is_read_whole_by_many_threads(void **state)
{
    unsigned count = 0;

    (void)state;
    folder("m");
    for (int i = 0; i < 100; i++) {
        char name[32], needs[64];

        snprintf(name, sizeof name, "m/lib%d.so", i);
        snprintf(needs, sizeof needs, "lib%d.so lib%d.so", (2 * i + 1) % 100, (2 * i + 2) % 100);
        library(name, needs, DT_RUNPATH, "$ORIGIN");
    }
    for (int round = 0; round < 20; round++) {
        struct mioc_resolver *r = new_resolver(8);

        ask(r, "m/lib0.so");
        ask(r, "m/lib50.so"); /* asked, guessed, or both at once */
        settle(r);
        count = 0;
        for (const char *name = taken(MIOC_ITEM_CONTENT); (name = strstr(name, ".so ")) != NULL; name++)
            count++;
        assert_int_equal(count, 100);
        end(r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(needed_lets_pass_what_is_asked_for),       TEST(needed_of_a_long_object_costs_no_read_more),
        TEST(needed_of_damaged_objects_does_no_harm),   TEST(needed_of_a_guessed_module_waits_until_one_is_asked_for),
        TEST(needed_web_is_read_whole_by_many_threads),
    };

    return cmocka_run_group_tests_name("resolver_needed", tests, NULL, NULL);
}
