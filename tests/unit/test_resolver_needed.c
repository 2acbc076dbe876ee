/* SPDX-License-Identifier: BSD-3-Clause */
/* test_resolver_needed.c - what an object needs is read with it: which files, in which order, and which are not even
 * looked for. */
#include "folder_fixture.h"

#include "resolver/jobs.h"
#include "elf_fixture.h"

#include <pthread.h>

#define FAR (3u * 1024u * 1024u)

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

/* --- Tests ------------------------------------------------------------------------------------------------------- */

static void needed_come_breadth_first_and_once(void **state)
{
    struct mioc_resolver *r = new_resolver(1);

    (void)state;
    folder("m");
    library("m/a.so", "libb.so libc.so.6 libc-1.so", DT_RUNPATH, "$ORIGIN");
    library("m/libb.so", "libd.so libc-1.so", DT_RUNPATH, "$ORIGIN");
    library("m/libc-1.so", "libe.so libb.so", DT_RUNPATH, "$ORIGIN");
    library("m/libd.so", "libe.so", DT_RUNPATH, "$ORIGIN/.");
    library("m/libe.so", "a.so", DT_RUNPATH, "$ORIGIN");
    library("m/libc.so.6", "", 0, NULL); /* this process has one already */
    library("m/libother.so", "", 0, NULL);
    ask(r, "m/a.so");
    settle(r);
    assert_string_equal(taken(MIOC_ITEM_CONTENT), "m/a.so m/libb.so m/libc-1.so m/libd.so m/libe.so ");
    assert_string_equal(taken(MIOC_ITEM_LIST), "m ");
    end(r);
}

static void needed_absent_by_listing_is_not_looked_for(void **state)
{
    struct mioc_resolver *r = new_resolver(1);

    (void)state;
    folder("m");
    folder("one");
    folder("two");
    library("m/a.so", "libb.so libnone.so libc-1.so", DT_RUNPATH, "$ORIGIN/../one:$ORIGIN/../missing:$ORIGIN/../two");
    library("one/libc-1.so", "", 0, NULL);
    library("two/libb.so", "", 0, NULL);
    library("two/libc-1.so", "", 0, NULL);
    ask(r, "m/a.so");
    settle(r);
    assert_string_equal(taken(MIOC_ITEM_CONTENT), "m/a.so m/../two/libb.so m/../one/libc-1.so ");
    assert_string_equal(taken(MIOC_ITEM_LIST), "m m/../one m/../missing m/.. m/../two ");
    end(r);
}

/* The directory may not be listed by guess; names in it may be asked for. */
static void needed_without_listing_is_looked_for_as_the_loader_does(void **state)
{
    struct mioc_resolver *r;
    char one[512];

    (void)state;
    folder("m");
    folder("one");
    folder("two");
    snprintf(one, sizeof one, "%s", at("one"));
    forbidden = one;
    setenv("LD_LIBRARY_PATH", one, 1);
    library("m/a.so", "libb.so", DT_RUNPATH, "$ORIGIN/../two");
    library("two/libb.so", "", 0, NULL);
    r = new_resolver(1);
    ask(r, "m/a.so");
    settle(r);
    assert_string_equal(taken(MIOC_ITEM_CONTENT), "m/a.so one/libb.so! m/../two/libb.so ");
    end(r);
}

static void needed_by_rpath_of_who_loaded_it(void **state)
{
    struct mioc_resolver *r = new_resolver(1);

    (void)state;
    folder("m");
    folder("m/libs");
    folder("m/more");
    library("m/a.so", "libb.so libc-1.so", DT_RPATH, "$ORIGIN/libs");
    library("m/libs/libb.so", "libd.so", 0, NULL);
    library("m/libs/libc-1.so", "libe.so", DT_RUNPATH, "$ORIGIN/../more");
    library("m/libs/libd.so", "", 0, NULL);
    library("m/libs/libe.so", "", 0, NULL); /* not by DT_RPATH: who needs it has DT_RUNPATH */
    ask(r, "m/a.so");
    settle(r);
    assert_string_equal(taken(MIOC_ITEM_CONTENT), "m/a.so m/libs/libb.so m/libs/libc-1.so m/libs/libd.so ");
    end(r);
}

static void needed_in_library_path_of_the_environment(void **state)
{
    struct mioc_resolver *r;
    char list[1024];

    (void)state;
    folder("env");
    library("a.so", "libb.so libc-1.so", DT_RUNPATH, "$ORIGIN");
    library("libb.so", "", 0, NULL);
    library("libc-1.so", "", 0, NULL);
    library("env/libb.so", "", 0, NULL);
    snprintf(list, sizeof list, "/nowhere:%s", at("env"));
    setenv("LD_LIBRARY_PATH", list, 1);
    r = new_resolver(1);
    ask(r, "a.so");
    settle(r);
    /* The listing of top itself is none that may be asked for. */
    assert_string_equal(taken(MIOC_ITEM_CONTENT), "a.so env/libb.so libc-1.so ");
    end(r);
}

static void needed_in_hwcaps_only_where_they_are(void **state)
{
#ifdef __x86_64__
    struct mioc_resolver *r = new_resolver(1);

    (void)state;
    if (!__builtin_cpu_supports("sse4.2") || !__builtin_cpu_supports("popcnt"))
        skip();
    folder("m");
    folder("m/glibc-hwcaps");
    folder("m/glibc-hwcaps/x86-64-v2");
    folder("plain");
    library("m/a.so", "libb.so libc-1.so libd.so", DT_RUNPATH, "$ORIGIN/../plain:$ORIGIN");
    library("m/libb.so", "", 0, NULL);
    library("m/libc-1.so", "", 0, NULL);
    library("m/glibc-hwcaps/x86-64-v2/libb.so", "", 0, NULL);
    library("plain/libd.so", "", 0, NULL);
    ask(r, "m/a.so");
    settle(r);
    assert_string_equal(taken(MIOC_ITEM_CONTENT),
                        "m/a.so m/glibc-hwcaps/x86-64-v2/libb.so m/libc-1.so m/../plain/libd.so ");
    end(r);
#else
    (void)state;
    skip();
#endif
}

static void needed_elsewhere_and_of_other_files_is_left_alone(void **state)
{
    struct mioc_resolver *r = new_resolver(2);

    (void)state;
    folder("m");
    library("m/a.so", "libb.so sub/libc-1.so $ORIGIN/libd.so", DT_RUNPATH, "/tmp:$ORIGIN/../../..:.");
    library("m/data", "libe.so", DT_RUNPATH, "$ORIGIN");
    library("m/libb.so", "", 0, NULL);
    library("m/libe.so", "", 0, NULL);
    ask(r, "m/a.so");
    ask(r, "m/data");
    settle(r);
    assert_null(strstr(taken(MIOC_ITEM_CONTENT), "lib"));
    end(r);
}

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

static int clean(void **state) { return remove_folder(state); }

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, clean)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(needed_come_breadth_first_and_once),
        TEST(needed_absent_by_listing_is_not_looked_for),
        TEST(needed_without_listing_is_looked_for_as_the_loader_does),
        TEST(needed_by_rpath_of_who_loaded_it),
        TEST(needed_in_library_path_of_the_environment),
        TEST(needed_in_hwcaps_only_where_they_are),
        TEST(needed_elsewhere_and_of_other_files_is_left_alone),
        TEST(needed_lets_pass_what_is_asked_for),
        TEST(needed_of_a_long_object_costs_no_read_more),
        TEST(needed_of_damaged_objects_does_no_harm),
        TEST(needed_of_a_guessed_module_waits_until_one_is_asked_for),
        TEST(needed_web_is_read_whole_by_many_threads),
    };

    return cmocka_run_group_tests_name("resolver_needed", tests, NULL, NULL);
}
