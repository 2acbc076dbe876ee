/* SPDX-License-Identifier: BSD-3-Clause */
/* test_turns.c - processes that wait for each other in bare loops on one processor, with and without turns; and whose SIGFPE it is. */
#include "../../mpi_shim/turns.h"

#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define PROCESSES 4
#define ROUNDS 60
#define CROWD 100000 /* ranks of a node with fewer processors */

/* --- Turns ---------------------------------------------------------------------------------------------------------------- */

struct barrier { int come, sense; };

/* As MPICH's. */
static void wait_at(struct barrier *barrier, int *sense)
{
    *sense = !*sense;
    if (__atomic_add_fetch(&barrier->come, 1, __ATOMIC_SEQ_CST) == PROCESSES) {
        __atomic_store_n(&barrier->come, 0, __ATOMIC_SEQ_CST);
        __atomic_store_n(&barrier->sense, *sense, __ATOMIC_SEQ_CST);
    }
    while (__atomic_load_n(&barrier->sense, __ATOMIC_SEQ_CST) != *sense)
        ;
}

static double meet(struct barrier *barrier, int ranks)
{
    struct timespec from, to;
    int status;

    memset(barrier, 0, sizeof *barrier);
    clock_gettime(CLOCK_MONOTONIC, &from);
    for (int i = 0; i < PROCESSES; i++)
        if (fork() == 0) {
            int sense = 0;

            mioc_turns_start(ranks);
            for (int round = 0; round < ROUNDS; round++)
                wait_at(barrier, &sense);
            mioc_turns_end();
            _exit(0);
        }
    for (int i = 0; i < PROCESSES; i++) {
        assert_true(wait(&status) > 0);
        assert_int_equal(status, 0);
    }
    clock_gettime(CLOCK_MONOTONIC, &to);
    return (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9;
}

/* The kernel's ticks are 1 to 4 ms. */
static void ranks_that_spin_for_each_other_take_turns(void **state)
{
    struct barrier *barrier = mmap(NULL, sizeof *barrier, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    double without = 1e9, with = 1e9, one;
    cpu_set_t old, single;
    int cpu = 0;

    (void)state;
    assert_true(barrier != MAP_FAILED);
    assert_int_equal(sched_getaffinity(0, sizeof old, &old), 0);
    while (!CPU_ISSET(cpu, &old))
        cpu++;
    CPU_ZERO(&single);
    CPU_SET(cpu, &single);
    assert_int_equal(sched_setaffinity(0, sizeof single, &single), 0);
    for (int i = 0; i < 3; i++) { /* others may use the processor */
        without = (one = meet(barrier, 1)) < without ? one : without;
        with = (one = meet(barrier, CROWD)) < with ? one : with;
    }
    assert_int_equal(sched_setaffinity(0, sizeof old, &old), 0);
    printf("# %d processes, %d rounds: %.1f ms without turns, %.1f ms with\n", PROCESSES, ROUNDS, without * 1e3, with * 1e3);
    assert_true(with * 2 < without);
    munmap(barrier, sizeof *barrier);
}

/* --- SIGFPE --------------------------------------------------------------------------------------------------------------- */

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
        cmocka_unit_test(ranks_that_spin_for_each_other_take_turns),
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
