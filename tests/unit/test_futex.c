/* SPDX-License-Identifier: BSD-3-Clause */
/* test_futex.c - clocks go forward; waits end in time, and a wake ends them across threads and processes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/futex.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define MS ((uint64_t)MIOC_NS_PER_MS)

/* --- Clocks ------------------------------------------------------------------------------------------------------ */

static void clocks_agree_with_the_system_and_go_forward(void **state)
{
    struct timespec now;
    uint64_t first, coarse, last;

    (void)state;
    first = mioc_clock_ns();
    clock_gettime(CLOCK_MONOTONIC, &now);
    last = mioc_clock_ns();
    assert_in_range((uint64_t)now.tv_sec * MIOC_NS_PER_S + (uint64_t)now.tv_nsec, first, last);
    coarse = mioc_clock_coarse_ms();
    assert_true(coarse <= mioc_clock_ns() / MIOC_NS_PER_MS);
    assert_true(coarse + 1000 > first / MIOC_NS_PER_MS);
}

static void timespec_of_ns_is_split_at_the_second(void **state)
{
    struct timespec time = mioc_clock_timespec(3 * (uint64_t)MIOC_NS_PER_S + 7);

    (void)state;
    assert_int_equal(time.tv_sec, 3);
    assert_int_equal(time.tv_nsec, 7);
    time = mioc_clock_timespec(999999999);
    assert_int_equal(time.tv_sec, 0);
    assert_int_equal(time.tv_nsec, 999999999);
}

static void age_of_past_is_positive_and_of_future_negative(void **state)
{
    uint64_t now = mioc_clock_real_ns();
    struct timespec past = mioc_clock_timespec(now - 1000 * MS), future = mioc_clock_timespec(now + 100000 * MS);

    (void)state;
    assert_true(mioc_clock_age_ns(&past) >= (int64_t)(1000 * MS));
    assert_true(mioc_clock_age_ns(&future) < 0);
}

/* --- Waits ------------------------------------------------------------------------------------------------------- */

static void wait_without_wake_ends_in_time(void **state)
{
    uint32_t word = 5;

    (void)state;
    for (int is_private = 0; is_private < 2; is_private++) {
        uint64_t start = mioc_clock_ns();

        assert_int_equal(mioc_futex_wait(&word, 5, 20 * MS, is_private), -1);
        assert_true(mioc_clock_ns() - start >= 20 * MS);
    }
}

/* Would hang if it slept: nobody wakes it. */
static void wait_for_another_value_returns_at_once(void **state)
{
    uint32_t word = 5;

    (void)state;
    assert_int_equal(mioc_futex_wait(&word, 6, MIOC_FUTEX_FOREVER, 0), 0);
    assert_int_equal(mioc_futex_wait(&word, 6, MIOC_FUTEX_FOREVER, 1), 0);
}

/* Waits until the word is not 0 any more. Without a wake this hangs, and the test's timeout ends it. */
static void sleep_while_zero(uint32_t *word, uint32_t *sleepers, int is_private)
{
    __atomic_add_fetch(sleepers, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(word, __ATOMIC_ACQUIRE) == 0)
        assert_int_equal(mioc_futex_wait(word, 0, MIOC_FUTEX_FOREVER, is_private), 0);
}

/* Whether a thread sleeps, by its state in /proc; it is in the futex then, as it waits for nothing else. */
static int is_asleep(pid_t pid)
{
    char path[64], text[512] = "";
    FILE *file;
    char *end;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    file = fopen(path, "r");
    assert_non_null(file);
    assert_true(fread(text, 1, sizeof text - 1, file) > 0);
    fclose(file);
    end = strrchr(text, ')');
    return end != NULL && end[2] == 'S';
}

static void await_sleep(pid_t pid, const uint32_t *sleepers)
{
    while (__atomic_load_n(sleepers, __ATOMIC_SEQ_CST) == 0 || !is_asleep(pid))
        sched_yield();
}

static void wake_reaches_another_process(void **state)
{
    uint32_t *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int status;
    pid_t pid;

    (void)state;
    assert_true(shared != MAP_FAILED);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        sleep_while_zero(&shared[0], &shared[1], 0);
        _exit(7);
    }
    await_sleep(pid, &shared[1]);
    __atomic_store_n(&shared[0], 1, __ATOMIC_RELEASE);
    mioc_futex_wake(&shared[0], 1, 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    munmap(shared, 4096);
}

struct sleeper {
    uint32_t word, sleepers;
    pid_t tid;
};

static void *sleep_in_thread(void *arg)
{
    struct sleeper *sleeper = arg;

    __atomic_store_n(&sleeper->tid, (pid_t)syscall(SYS_gettid), __ATOMIC_RELEASE);
    sleep_while_zero(&sleeper->word, &sleeper->sleepers, 1);
    return arg;
}

static void private_wake_reaches_another_thread(void **state)
{
    struct sleeper sleeper = { 0 };
    pthread_t thread;
    void *result;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, sleep_in_thread, &sleeper), 0);
    while (__atomic_load_n(&sleeper.tid, __ATOMIC_ACQUIRE) == 0)
        sched_yield();
    await_sleep(sleeper.tid, &sleeper.sleepers);
    __atomic_store_n(&sleeper.word, 1, __ATOMIC_RELEASE);
    mioc_futex_wake(&sleeper.word, INT_MAX, 1);
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_ptr_equal(result, &sleeper);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clocks_agree_with_the_system_and_go_forward),
        cmocka_unit_test(timespec_of_ns_is_split_at_the_second),
        cmocka_unit_test(age_of_past_is_positive_and_of_future_negative),
        cmocka_unit_test(wait_without_wake_ends_in_time),
        cmocka_unit_test(wait_for_another_value_returns_at_once),
        cmocka_unit_test(wake_reaches_another_process),
        cmocka_unit_test(private_wake_reaches_another_thread),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
