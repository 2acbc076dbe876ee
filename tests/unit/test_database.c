/* SPDX-License-Identifier: BSD-3-Clause */
/* test_database.c - data bases by their first bytes, and what is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "resolver/database.h"

#include <string.h>

static int is_marked(size_t at, const char *bytes, size_t length, size_t size)
{
    char file[64] = "";

    memcpy(file + at, bytes, length);
    return mioc_database_is(file, size);
}

static void marks_are_found_in_their_places_only(void **state)
{
    static const struct {
        size_t at, length;
        const char *bytes;
    } table[] = {
        { 16, 4, "\xde\xc0\xef\xbe" }, { 21, 7, "\x11\x4c\xef\xbd\x9d\x65\x59" },
        { 12, 4, "\x62\x31\x05\x00" }, { 12, 4, "\x00\x06\x15\x61" },
        { 12, 4, "\x53\x22\x04\x00" }, { 0, 8, "\x89HDF\r\n\x1a\n" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        const size_t end = table[i].at + table[i].length;

        assert_true(is_marked(table[i].at, table[i].bytes, table[i].length, 64));
        assert_true(is_marked(table[i].at, table[i].bytes, table[i].length, end));
        assert_false(is_marked(table[i].at, table[i].bytes, table[i].length, end - 1));
        assert_false(is_marked(table[i].at + 1, table[i].bytes, table[i].length, 64));
    }
}

static void what_imports_read_is_no_database(void **state)
{
    static const char *const others[] = { "",
                                          "#!/usr/bin/python3\nimport os\n",
                                          "\x7f"
                                          "ELF\2\1\1",
                                          "SQLite format 3",
                                          "PK\3\4",
                                          "\xa7\r\r\n\0\0\0\0\x12\x34\x56\x78" };

    (void)state;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        assert_false(is_marked(0, others[i], strlen(others[i]), 64));
    assert_false(mioc_database_is("", 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(marks_are_found_in_their_places_only),
        cmocka_unit_test(what_imports_read_is_no_database),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
