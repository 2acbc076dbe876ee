/* SPDX-License-Identifier: BSD-3-Clause */
/* test_turns.c - a process that spins beside another one on one processor, with and without turns; and whose SIGFPE it
 * is. */
#include "transport/turns.h"

#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define CROWD 100000 /* ranks of a node with fewer processors */
#define SPIN_MS 100

/* --- Turns ------------------------------------------------------------------------------------------------------- */

static double used_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* How often a process gives its processor to others within SPIN_MS of running. */
static long count_switches(int ranks)
{
    struct rusage from, to;
    double until;

    mioc_turns_start(ranks);
    getrusage(RUSAGE_SELF, &from);
    for (until = used_ms() + SPIN_MS; used_ms() < until;)
        ;
    getrusage(RUSAGE_SELF, &to);
    mioc_turns_end();
    return to.ru_nivcsw - from.ru_nivcsw;
}

/* The kernel's ticks are 1 to 4 ms. Others that use this machine make it switch more often, never less. */
static void a_rank_that_spins_gives_way_to_others_of_its_processor(void **state)
{
    cpu_set_t old, single;
    long without, with;
    pid_t other;
    int cpu = 0;

    (void)state;
    assert_int_equal(sched_getaffinity(0, sizeof old, &old), 0);
    while (!CPU_ISSET(cpu, &old))
        cpu++;
    CPU_ZERO(&single);
    CPU_SET(cpu, &single);
    assert_int_equal(sched_setaffinity(0, sizeof single, &single), 0);
    other = fork();
    if (other == 0)
        for (;;)
            ;
    assert_true(other > 0);
    without = count_switches(1);
    with = 0;
    for (int i = 0; i < 5 && with < 150; i++)
        with = count_switches(CROWD);
    assert_int_equal(kill(other, SIGKILL), 0);
    assert_int_equal(waitpid(other, NULL, 0), other);
    assert_int_equal(sched_setaffinity(0, sizeof old, &old), 0);
    printf("# in %d ms of running: %ld switches without turns, %ld with\n", SPIN_MS, without, with);
    assert_true(with >= 150); /* of 500 turns: after some the kernel has nobody better */
}

/* What sleeps is not to be woken for each turn. */
static void a_rank_that_sleeps_is_woken_rarely(void **state)
{
    struct timespec until;
    int wakes = 0;

    (void)state;
    mioc_turns_start(CROWD);
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (until.tv_nsec + 200000000) / 1000000000;
    until.tv_nsec = (until.tv_nsec + 200000000) % 1000000000;
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
        wakes++;
    mioc_turns_end();
    printf("# in 200 ms of sleeping: woken %d times\n", wakes);
    assert_in_range(wakes, 1, 100);
}

/* --- SIGFPE ------------------------------------------------------------------------------------------------------ */

static volatile sig_atomic_t seen;
static sigjmp_buf out;

static void count(int signal)
{
    (void)signal;
    seen++;
}

static void leave(int signal)
{
    (void)signal;
    seen++;
    siglongjmp(out, 1);
}

static void run_for_ms(long ms)
{
    struct timespec from, now;

    clock_gettime(CLOCK_MONOTONIC, &from);
    do
        clock_gettime(CLOCK_MONOTONIC, &now);
    while ((now.tv_sec - from.tv_sec) * 1000 + (now.tv_nsec - from.tv_nsec) / 1000000 < ms);
}

static void expect_handler(void (*handler)(int))
{
    struct sigaction action;

    assert_int_equal(sigaction(SIGFPE, NULL, &action), 0);
    assert_ptr_equal(action.sa_handler, handler);
}

static void nothing_is_left_of_it(void **state)
{
    struct sigaction action = { .sa_handler = count };
    sigset_t mask, pending;

    (void)state;
    seen = 0;
    assert_int_equal(sigaction(SIGFPE, &action, NULL), 0);
    for (int i = 0; i < 200; i++) {
        errno = 7;
        mioc_turns_start(CROWD);
        if (i % 10 == 0)
            run_for_ms(2);
        mioc_turns_end();
        assert_int_equal(errno, 7);
        expect_handler(count);
    }
    run_for_ms(5);
    assert_int_equal(seen, 0);
    assert_int_equal(sigpending(&pending), 0);
    assert_false(sigismember(&pending, SIGFPE));
    pthread_sigmask(SIG_BLOCK, NULL, &mask);
    assert_false(sigismember(&mask, SIGFPE));
}

static void somebody_elses_signal_goes_where_it_would_have_gone(void **state)
{
    struct sigaction action = { .sa_handler = count };

    (void)state;
    seen = 0;
    assert_int_equal(sigaction(SIGFPE, &action, NULL), 0);
    mioc_turns_start(CROWD);
    run_for_ms(1);
    assert_int_equal(kill(getpid(), SIGFPE), 0);
    run_for_ms(3);
    assert_int_equal(seen, 1);
    expect_handler(count); /* no more turns */
    mioc_turns_end();
    assert_int_equal(seen, 1);
    expect_handler(count);
}

static void a_fault_goes_where_it_would_have_gone(void **state)
{
    struct sigaction action = { .sa_handler = leave };

    (void)state;
    seen = 0;
    assert_int_equal(sigaction(SIGFPE, &action, NULL), 0);
    mioc_turns_start(CROWD);
    run_for_ms(1);
#if defined __x86_64__
    if (sigsetjmp(out, 1) == 0)
        __asm__ volatile("xorl %%edx, %%edx\n\tmovl $1, %%eax\n\tdivl %0" : : "r"(0) : "eax", "edx", "cc");
    assert_int_equal(seen, 1);
#endif
    mioc_turns_end();
    expect_handler(leave);
}

static void where_it_is_blocked_there_are_no_turns(void **state)
{
    struct sigaction action = { .sa_handler = count };
    sigset_t only, old;

    (void)state;
    assert_int_equal(sigaction(SIGFPE, &action, NULL), 0);
    sigemptyset(&only);
    sigaddset(&only, SIGFPE);
    pthread_sigmask(SIG_BLOCK, &only, &old);
    mioc_turns_start(CROWD);
    expect_handler(count);
    mioc_turns_end();
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    mioc_turns_start(1); /* nor where there are processors enough */
    expect_handler(count);
    mioc_turns_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rank_that_spins_gives_way_to_others_of_its_processor),
        cmocka_unit_test(a_rank_that_sleeps_is_woken_rarely),
        cmocka_unit_test(nothing_is_left_of_it),
        cmocka_unit_test(somebody_elses_signal_goes_where_it_would_have_gone),
        cmocka_unit_test(a_fault_goes_where_it_would_have_gone),
        cmocka_unit_test(where_it_is_blocked_there_are_no_turns),
    };

#ifdef __SANITIZE_THREAD__
    (void)tests;
    puts("1..0 # SKIP ThreadSanitizer delivers signals when it likes");
    return 0;
#else
    return cmocka_run_group_tests_name("turns", tests, NULL, NULL);
#endif
}
