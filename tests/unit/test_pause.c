/* SPDX-License-Identifier: BSD-3-Clause */
/* test_pause.c - how long an agent's thread sleeps between looks at MPI. */
#include "transport/pause.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define MS 1000000ull

static void pause_after_news_is_short_whether_an_answer_is_due_or_not(void **state)
{
    (void)state;
    for (int is_busy = 0; is_busy < 2; is_busy++) {
        assert_int_equal(mioc_pause(is_busy, 0), 20000);
        assert_int_equal(mioc_pause(is_busy, 400000), 120000);
        assert_int_equal(mioc_pause(is_busy, 5 * MS), 200000); /* one hop of the next question's way up */
    }
}

static void pause_when_idle_grows_to_ten_milliseconds(void **state)
{
    (void)state;
    assert_int_equal(mioc_pause(0, 20 * MS), 20000 + 5 * MS);
    assert_int_equal(mioc_pause(0, 100 * MS), 10 * MS);
    assert_int_equal(mioc_pause(1, 20 * MS), 200000);
}

static void pause_never_shrinks_with_silence_and_is_at_most_fifty_milliseconds(void **state)
{
    (void)state;
    for (int is_busy = 0; is_busy < 2; is_busy++) {
        uint64_t last = 0;

        for (uint64_t silence = 0; silence < 3600 * 1000 * MS; silence += silence / 64 + 1000) {
            uint64_t pause = mioc_pause(is_busy, silence);

            assert_true(pause >= last && pause <= 50 * MS);
            assert_true(pause <= 200000 || pause <= 20000 + silence / 4);
            last = pause;
        }
        assert_int_equal(last, 50 * MS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pause_after_news_is_short_whether_an_answer_is_due_or_not),
        cmocka_unit_test(pause_when_idle_grows_to_ten_milliseconds),
        cmocka_unit_test(pause_never_shrinks_with_silence_and_is_at_most_fifty_milliseconds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
