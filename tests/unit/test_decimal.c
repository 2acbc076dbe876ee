/* SPDX-License-Identifier: BSD-3-Clause */
/* test_decimal.c - numbers become the digits that printf() writes. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/decimal.h"

#include <inttypes.h>
#include <stdio.h>

static void number_becomes_its_digits(void **state)
{
    static const uint64_t numbers[] = { 0, 9, 10, 99, 100, 4294967295u, 10000000000u, UINT64_MAX };

    (void)state;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        char expected[32], text[MIOC_DECIMAL_MAX + 1];
        int n = snprintf(expected, sizeof expected, "%" PRIu64, numbers[i]);

        memset(text, '#', sizeof text);
        assert_ptr_equal(mioc_decimal(text, numbers[i]), text + n);
        assert_string_equal(text, expected);
        assert_int_equal(text[MIOC_DECIMAL_MAX], '#');
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = { cmocka_unit_test(number_becomes_its_digits) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
