/* SPDX-License-Identifier: BSD-3-Clause */
/* test_hash.c - the hash of bytes is XXH3 and never 0, and depends on the bytes and their number alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/hash.h"

#include <string.h>

/* Other nodes hold such hashes: the values are part of the protocol. */
static void hash_of_known_bytes_is_xxh3(void **state)
{
    static const struct {
        const char *text;
        uint64_t hash;
    } table[] = {
        { "", 0x2d06800538d394c2ull },
        { "a", 0xe6c632b61e964e1full },
        { "abc", 0x78af5f94892f3950ull },
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        assert_int_equal(mioc_hash(table[i].text, strlen(table[i].text)), table[i].hash);
}

static void hash_at_any_alignment_is_the_same(void **state)
{
    char bytes[600 + 8];

    (void)state;
    for (size_t len = 0; len <= 600; len += len < 32 ? 1 : 71)
        for (size_t at = 0; at < 8; at++) {
            uint64_t first;

            for (size_t i = 0; i < len; i++)
                bytes[i] = (char)(i * 7);
            first = mioc_hash(bytes, len);
            memmove(bytes + at, bytes, len);
            assert_int_equal(mioc_hash(bytes + at, len), first);
        }
}

static void hash_of_each_prefix_differs(void **state)
{
    static const char zeros[300];
    uint64_t seen[sizeof zeros];

    (void)state;
    for (size_t len = 0; len < sizeof zeros; len++) {
        seen[len] = mioc_hash(zeros, len);
        assert_int_not_equal(seen[len], 0);
        for (size_t other = 0; other < len; other++)
            assert_int_not_equal(seen[len], seen[other]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hash_of_known_bytes_is_xxh3),
        cmocka_unit_test(hash_at_any_alignment_is_the_same),
        cmocka_unit_test(hash_of_each_prefix_differs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
