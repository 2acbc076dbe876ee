/* SPDX-License-Identifier: BSD-3-Clause */
/* test_elf.c - what ELF files say of the libraries that they need, and what damaged ones do. */
#include "folder_fixture.h"

#include "job/elf.h"
#include "elf_fixture.h"

static void collect(void *ctx, const char *name)
{
    strcat(ctx, name);
    strcat(ctx, " ");
}

static void collect_text(void *ctx, int64_t tag, const char *text)
{
    static const struct {
        int64_t tag;
        const char *name;
    } names[] = {
        { DT_NEEDED, "needed=" },
        { DT_SONAME, "soname=" },
        { DT_RPATH, "rpath=" },
        { DT_RUNPATH, "runpath=" },
    };

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].tag == tag)
            strcat(strcat(strcat(ctx, names[i].name), text), " ");
}

struct bytes {
    const unsigned char *at;
    size_t size;
};

static long read_bytes(void *ctx, void *buf, size_t size, uint64_t offset)
{
    const struct bytes *bytes = ctx;
    size_t n;

    if (offset >= bytes->size)
        return 0;
    n = bytes->size - offset < size ? bytes->size - offset : size;
    memcpy(buf, bytes->at + offset, n);
    return (long)n;
}

static void needed_wellformed_names(void **state)
{
    const char *const needed[] = { "libc.so.6", "libmpich.so.12", NULL };
    struct elf_fixture elf;
    char names[256] = "";

    (void)state;
    elf_fill(&elf, needed);
    put("x.so", (const char *)&elf, sizeof elf);
    assert_int_equal(mioc_elf_needed(at("x.so"), collect, names), 0);
    assert_string_equal(names, "libc.so.6 libmpich.so.12 ");
}

static void needed_program_itself_is_read(void **state)
{
    char names[4096] = "";

    (void)state;
    assert_int_equal(mioc_elf_needed("/proc/self/exe", collect, names), 0);
    assert_non_null(strstr(names, "libc.so"));
}

static void needed_no_elf_fails(void **state)
{
    char names[256] = "";

    (void)state;
    assert_int_equal(mioc_elf_needed("/nonexistent", collect, names), -1);
    assert_int_equal(mioc_elf_needed("/", collect, names), -1);
    put("text", "#!/bin/sh\n", 10);
    assert_int_equal(mioc_elf_needed(at("text"), collect, names), -1);
    assert_string_equal(names, "");
}

static void texts_of_all_kinds_come_in_order(void **state)
{
    const char *const needed[] = { "libone.so", NULL };
    struct elf_fixture elf;
    struct bytes bytes = { (const void *)&elf, sizeof elf };
    char all[1024] = "";

    (void)state;
    elf_fill(&elf, needed);
    elf_add(&elf, DT_SONAME, "libself.so");
    elf_add(&elf, DT_RPATH, "$ORIGIN/a:/b");
    elf_add(&elf, DT_NEEDED, "libtwo.so");
    elf_add(&elf, DT_RUNPATH, "");
    assert_int_equal(mioc_elf_texts(&(struct mioc_elf_source){ read_bytes, &bytes }, collect_text, all), 0);
    assert_string_equal(all, "needed=libone.so soname=libself.so rpath=$ORIGIN/a:/b needed=libtwo.so runpath= ");
}

/* As wheels and conda's padded prefixes have it; a name of that length can be no file's. */
static void texts_path_may_be_long_a_name_may_not(void **state)
{
    struct {
        struct elf_fixture elf;
        char more[8192];
    } file;
    struct bytes bytes = { (const void *)&file, sizeof file };
    char all[16384] = "";

    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        memset(&file, 0, sizeof file);
        elf_fill(&file.elf, (const char *const[]){ NULL });
        file.elf.segment[0].p_filesz = sizeof file;
        elf_add(&file.elf, kind == 0 ? DT_RUNPATH : DT_NEEDED, "x");
        file.elf.dynamic[0].d_un.d_val = offsetof(__typeof__(file), more) - offsetof(struct elf_fixture, strings);
        memset(file.more, 'x', MIOC_ELF_TEXT_MAX);
        assert_int_equal(mioc_elf_texts(&(struct mioc_elf_source){ read_bytes, &bytes }, collect_text, all),
                         kind == 0 ? 0 : -1);
        file.more[MIOC_ELF_TEXT_MAX] = 'x';
        assert_int_equal(mioc_elf_texts(&(struct mioc_elf_source){ read_bytes, &bytes }, collect_text, all), -1);
    }
    assert_int_equal(strlen(all), strlen("runpath= ") + MIOC_ELF_TEXT_MAX);
}

static void ignore(void *ctx, const char *name)
{
    (void)ctx;
    assert_true(strlen(name) < 256);
}

/* Every length, and every byte set to something else: whatever comes out, nothing is read beyond its bounds. */
static void needed_damaged_survives(void **state)
{
    const char *const names[] = { "libc.so.6", "libmpi.so.40", NULL };
    struct elf_fixture whole, damaged;

    (void)state;
    elf_fill(&whole, names);
    for (size_t size = 0; size < sizeof whole; size += 7) {
        put("damaged", (const char *)&whole, size);
        (void)mioc_elf_needed(at("damaged"), ignore, NULL);
    }
    for (size_t i = 0; i < offsetof(struct elf_fixture, strings) + 32; i++) {
        damaged = whole;
        ((unsigned char *)&damaged)[i] ^= 0xff;
        put("damaged", (const char *)&damaged, sizeof damaged);
        (void)mioc_elf_needed(at("damaged"), ignore, NULL);
    }
}

static void static_program_without_loader_is_told(void **state)
{
    const char *const needed[] = { "libc.so.6", NULL };
    struct elf_fixture elf;

    (void)state;
    elf_fill(&elf, needed);
    put("x.so", (const char *)&elf, sizeof elf);
    assert_true(mioc_elf_is_static(at("x.so"))); /* no PT_INTERP */
    assert_false(mioc_elf_is_static("/proc/self/exe"));
    put("script", "#!/bin/sh\n", 10);
    assert_false(mioc_elf_is_static(at("script")));
    assert_false(mioc_elf_is_static("/nonexistent"));
}

static int set_up(void **state)
{
    (void)state;
    return mkdtemp(top) == NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(needed_wellformed_names),
        cmocka_unit_test(needed_program_itself_is_read),
        cmocka_unit_test(needed_no_elf_fails),
        cmocka_unit_test(texts_of_all_kinds_come_in_order),
        cmocka_unit_test(texts_path_may_be_long_a_name_may_not),
        cmocka_unit_test(needed_damaged_survives),
        cmocka_unit_test(static_program_without_loader_is_told),
    };

    return cmocka_run_group_tests_name("elf", tests, set_up, remove_folder);
}
