/* SPDX-License-Identifier: BSD-3-Clause */
/* test_loader_find.c - which call sites are found, which of them keep the comparison, and what is refused. */
#include "ldso_fixture.h"

#ifdef __x86_64__

/* --- Code -------------------------------------------------------------------------------------------------------- */

CODE(plain_open, CALL(257) CHECK);
CODE(plain_fstat, CALL(5) CHECK);
CODE(fstat_at, "mov %ecx, %r10d\n" CALL(262) "cmp $-4096, %eax\nja 1f\nxor %eax, %eax\nret\n1: or $-1, %eax\nret\n");
CODE(other_call, CALL(3) CHECK);
CODE(moves_before, "mov $257, %eax\nmov %rdi, %rsi\nmov $-100, %edi\nxor %r10d, %r10d\nlea 8(%rsp), %rdx\n"
                   "syscall\n" CHECK);
CODE(number_is_lost, "mov $257, %eax\nmov %edi, %eax\nsyscall\n" CHECK);
CODE(number_is_old, "mov $257, %eax\ncall 1f\nsyscall\n" CHECK);
CODE(led_into_comparison, "test %edi, %edi\nje 2f\nmov $257, %eax\nsyscall\n2: " CHECK);
CODE(led_before_call, "test %edi, %edi\nje 2f\nnop\n2: mov $257, %eax\nsyscall\n" CHECK);
CODE(no_comparison, CALL(257) "test %eax, %eax\njs 1f\nret\n1: or $-1, %rax\nret\n");
CODE(signed_branch, CALL(257) "cmp $-4096, %rax\njg 1f\nret\n1: or $-1, %rax\nret\n");
CODE(other_limit, CALL(257) "cmp $-4000, %rax\nja 1f\nret\n1: or $-1, %rax\nret\n");
CODE(jump_by_table, "jmp *%rcx\n" CALL(257) CHECK);
CODE(look_by_table, "jmp *%rcx\n" CALL(5) CHECK);
CODE(vectors, ".byte 0xc5, 0xf8, 0x77\n" CALL(5) CHECK);
CODE(large_open, CALL(257) CHECK ".skip 300, 0x90");
CODE(large_look, CALL(262) CHECK ".skip 300, 0x90");

/* --- Finding ----------------------------------------------------------------------------------------------------- */

static struct image image;
static struct mioc_ldso ld;
static struct mioc_callsite sites[MIOC_MOST_CALLSITES];
static const char *why;

static int find(void)
{
    image_end(&image);
    assert_int_equal(mioc_ldso_read(&ld, (uintptr_t)image.base), 0);
    why = NULL;
    return mioc_callsites_find(&ld, sites, &why);
}

/* An image of these two, and a look; the sites' number, and whether the first one keeps its comparison. */
static int find_in(const char *code, const char *end, int *is_whole)
{
    int n;

    image_begin(&image);
    (void)image_add(&image, code, (unsigned)(end - code), 16);
    ADD(&image, plain_fstat);
    n = find();
    *is_whole = n > 0 && sites[0].resume - sites[0].at == 8;
    image_free(&image);
    return n;
}
#define FIND(name) find_in(name, name##_end, &is_whole)

static void calls_of_all_forms_are_found(void **state)
{
    static const long numbers[] = { 257, 5, 262, 257 };
    static const unsigned lengths[] = { 8, 8, 7, 8 };

    (void)state;
    image_begin(&image);
    ADD(&image, other_call);
    ADD(&image, plain_open);
    ADD(&image, plain_fstat);
    ADD(&image, fstat_at);
    ADD(&image, moves_before);
    assert_int_equal(find(), 4);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(sites[i].number, numbers[i]);
        assert_int_equal(sites[i].resume - sites[i].at, lengths[i]);
        assert_int_equal(sites[i].limit, -4096);
        assert_memory_equal((const void *)sites[i].at, "\x0f\x05", 2);
    }
    image_free(&image);
}

static void comparison_into_which_a_branch_leads_is_left_alone(void **state)
{
    int is_whole;

    (void)state;
    assert_int_equal(FIND(led_before_call), 2);
    assert_true(is_whole);
    assert_int_equal(FIND(led_into_comparison), 2);
    assert_false(is_whole);
    assert_int_equal(FIND(no_comparison), 2);
    assert_false(is_whole);
    assert_int_equal(FIND(signed_branch), 2);
    assert_false(is_whole);
    assert_int_equal(FIND(other_limit), 2);
    assert_false(is_whole);
}

/* A branch of another function to the site's byte number `offset`; whether it keeps the comparison. */
static int is_whole_with_branch(const char *opcode, unsigned opcode_size, unsigned size, unsigned offset, int is_behind)
{
    unsigned char code[16] = { 0 };
    unsigned site, from;
    int32_t far;

    image_begin(&image);
    if (!is_behind)
        image_fill(&image, 1);
    from = is_behind ? 0 : image_add(&image, code, size + 1, 16);
    site = ADD(&image, plain_open) + 5;
    if (is_behind)
        from = image_add(&image, code, size + 1, 16);
    far = (int32_t)(site + offset - (from + size));
    memcpy(code, opcode, opcode_size);
    memcpy(code + opcode_size, &far, size - opcode_size);
    code[size] = 0xc3;
    memcpy(image.base + from, code, size + 1);
    ADD(&image, plain_fstat);
    assert_int_equal(find(), 2);
    image_free(&image);
    return sites[0].resume - sites[0].at == 8;
}

static void comparison_into_which_another_function_leads_is_left_alone(void **state)
{
    static const struct {
        const char *opcode;
        unsigned opcode_size, size;
    } branches[] = {
        { "\xe9", 1, 5 }, { "\xe8", 1, 5 }, { "\x0f\x87", 2, 6 }, { "\xeb", 1, 2 }, { "\x77", 1, 2 },
    };

    (void)state;
    for (unsigned i = 0; i < sizeof branches / sizeof branches[0]; i++)
        for (int is_behind = 0; is_behind < 2; is_behind++)
            for (unsigned offset = 0; offset <= 8; offset++)
                assert_int_equal(is_whole_with_branch(branches[i].opcode, branches[i].opcode_size, branches[i].size,
                                                      offset, is_behind),
                                 offset == 0 || offset == 8);
}

static void what_is_not_understood_is_no_site(void **state)
{
    int is_whole;

    (void)state;
    assert_int_equal(FIND(number_is_lost), -1);
    assert_int_equal(FIND(number_is_old), -1);
    assert_int_equal(FIND(jump_by_table), -1);
    assert_int_equal(FIND(large_open), -1);
    assert_string_equal(why, "ld.so's calls have no known form");
}

/* A copy would be opened and not be known. */
static void look_that_cannot_be_answered_refuses_all(void **state)
{
    static const struct {
        const char *code, *end;
    } looks[] = {
        { look_by_table, look_by_table_end },
        { vectors, vectors_end },
        { large_look, large_look_end },
    };

    (void)state;
    for (unsigned i = 0; i < sizeof looks / sizeof looks[0]; i++) {
        image_begin(&image);
        ADD(&image, plain_open);
        ADD(&image, plain_fstat);
        (void)image_add(&image, looks[i].code, (unsigned)(looks[i].end - looks[i].code), 16);
        assert_int_equal(find(), -1);
        assert_string_equal(why, "a look of ld.so at files has no known form");
        image_free(&image);
    }
}

static void open_alone_is_not_enough(void **state)
{
    (void)state;
    image_begin(&image);
    ADD(&image, plain_open);
    assert_int_equal(find(), -1);
    image_free(&image);
}

static void more_sites_than_there_are_stubs_are_refused(void **state)
{
    (void)state;
    image_begin(&image);
    for (unsigned i = 0; i < MIOC_MOST_CALLSITES; i++)
        ADD(&image, plain_open);
    ADD(&image, plain_fstat);
    assert_int_equal(find(), -1);
    assert_string_equal(why, "ld.so has more calls than expected");
    image_free(&image);
}

static void image_that_is_damaged_is_refused(void **state)
{
    static const struct {
        unsigned at;
        unsigned char byte;
    } damages[] = {
        { 0, 0 },
        { 4, ELFCLASS32 },
        { 16, ET_EXEC },
        { 18, EM_386 },
        { 54, 55 },
        { 33, 0xff } /* program headers beyond the page */,
        { IMAGE_TABLE, 2 },
        { IMAGE_TABLE + 3, 0 },
        { IMAGE_TABLE + 8, 1 },
        { IMAGE_TABLE + 10, 0xff },
        { IMAGE_TABLE + 12, 0x77 },
        { IMAGE_TABLE + 18, 0xff },
        { IMAGE_ENTRIES + 13, 0xff },
        { IMAGE_ENTRIES + 8, 0 },
    };

    (void)state;
    for (unsigned i = 0; i < sizeof damages / sizeof damages[0]; i++) {
        image_begin(&image);
        ADD(&image, plain_open);
        ADD(&image, plain_fstat);
        image_end(&image);
        assert_int_equal(mprotect(image.base, IMAGE_SIZE, PROT_READ | PROT_WRITE), 0);
        image.base[damages[i].at] = damages[i].byte;
        if (mioc_ldso_read(&ld, (uintptr_t)image.base) == 0)
            fail_msg("damage %u is not seen", i);
        image_free(&image);
    }
}

static void functions_are_found_by_address(void **state)
{
    unsigned at;

    (void)state;
    image_begin(&image);
    at = ADD(&image, plain_open);
    ADD(&image, plain_fstat);
    (void)find();
    const uintptr_t address = ld.base + at;
    const int row = mioc_ldso_find_function(&ld, address);
    assert_true(row > 0 && mioc_ldso_function(&ld, (unsigned)row).start == address);
    assert_int_equal(mioc_ldso_find_function(&ld, mioc_ldso_function(&ld, (unsigned)row).end - 1), row);
    assert_int_equal(mioc_ldso_find_function(&ld, mioc_ldso_function(&ld, (unsigned)row).end), -1); /* padding */
    assert_int_equal(mioc_ldso_find_function(&ld, ld.text - 1), -1);
    assert_int_equal(mioc_ldso_find_function(&ld, ld.text_end), -1);
    assert_int_equal(mioc_ldso_find_function(&ld, ld.text), 0);
    image_free(&image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_of_all_forms_are_found),
        cmocka_unit_test(comparison_into_which_a_branch_leads_is_left_alone),
        cmocka_unit_test(comparison_into_which_another_function_leads_is_left_alone),
        cmocka_unit_test(what_is_not_understood_is_no_site),
        cmocka_unit_test(look_that_cannot_be_answered_refuses_all),
        cmocka_unit_test(open_alone_is_not_enough),
        cmocka_unit_test(more_sites_than_there_are_stubs_are_refused),
        cmocka_unit_test(image_that_is_damaged_is_refused),
        cmocka_unit_test(functions_are_found_by_address),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else
int main(void) { return 0; }
#endif
