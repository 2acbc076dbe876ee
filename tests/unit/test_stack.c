/* SPDX-License-Identifier: BSD-3-Clause */
/* test_stack.c - what a small alternate stack has no room for is done on another one, and signals wait for it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/stack.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096u
#define ROOM (2 * PAGE)

static char *memory; /* a page that is none, then the stack */

/* What was found in a handler. */
static struct found {
    int has_little, has_much, result, error, was_here, was_interrupted, is_blocked, comes_after;
} found;
static volatile sig_atomic_t interruptions;

static void on_interruption(int number)
{
    (void)number;
    interruptions++;
}

static int is_here(const void *at) { return (const char *)at >= memory && (const char *)at < memory + PAGE + ROOM; }

/* Takes more than there is. */
static int work(void *arg)
{
    char large[2 * ROOM];
    sigset_t blocked;

    memset(large, *(const char *)arg, sizeof large);
    found.was_here = is_here(large);
    (void)raise(SIGUSR2);
    found.was_interrupted = interruptions != 0;
    sigfillset(&blocked);
    mioc_stack_see_blocked(&blocked);
    found.is_blocked = sigismember(&blocked, SIGUSR1) == 1 && sigismember(&blocked, SIGUSR2) == 0;
    errno = EPROTO;
    return large[sizeof large - 1];
}

static void on_signal(int number)
{
    char byte = 42;

    (void)number;
    found.has_little = mioc_stack_has_room(256);
    found.has_much = mioc_stack_has_room(MIOC_STACK_SERVED);
    found.result = mioc_stack_run(MIOC_STACK_SERVED, work, &byte);
    found.error = errno;
    found.comes_after = (int)interruptions;
}

static void handle(void (*handler)(int), size_t size)
{
    stack_t stack = { .ss_sp = memory + PAGE, .ss_size = size }, before;
    struct sigaction action = { .sa_handler = handler, .sa_flags = SA_ONSTACK };
    struct sigaction interruption = { .sa_handler = on_interruption };

    assert_int_equal(sigaltstack(&stack, &before), 0);
    mioc_stack_note(&stack);
    assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
    assert_int_equal(sigaction(SIGUSR2, &interruption, NULL), 0);
    assert_int_equal(raise(SIGUSR1), 0);
    assert_int_equal(sigaltstack(&before, NULL), 0);
    mioc_stack_note(&before);
}

static int setup(void **state)
{
    (void)state;
    memset(&found, 0, sizeof found);
    interruptions = 0;
    memory = mmap(NULL, PAGE + ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? -1 : mprotect(memory, PAGE, PROT_NONE);
}

static int teardown(void **state)
{
    (void)state;
    return munmap(memory, PAGE + ROOM);
}

static void without_an_alternate_stack_there_is_room(void **state)
{
    char byte = 1;

    (void)state;
    assert_true(mioc_stack_has_room(MIOC_STACK_TOLD));
    assert_int_equal(mioc_stack_run(MIOC_STACK_TOLD, work, &byte), 1);
    assert_int_equal(interruptions, 0); /* SIGUSR2 is ignored here */
}

static void on_a_small_stack_work_runs_elsewhere(void **state)
{
    (void)state;
    handle(on_signal, ROOM);
    assert_true(found.has_little);
    assert_false(found.has_much);
    assert_false(found.was_here);
    assert_int_equal(found.result, 42);
    assert_int_equal(found.error, EPROTO);
}

static void a_signal_waits_for_the_work_and_comes_behind_it(void **state)
{
    (void)state;
    handle(on_signal, ROOM);
    assert_false(found.was_interrupted);
    assert_true(found.is_blocked); /* as in the handler */
    assert_int_equal(found.comes_after, 1);
}

static void beside_the_alternate_stack_there_is_room(void **state)
{
    stack_t stack = { .ss_sp = memory + PAGE, .ss_size = ROOM }, none = { .ss_flags = SS_DISABLE };

    (void)state;
    mioc_stack_note(&stack);
    assert_true(mioc_stack_has_room(MIOC_STACK_TOLD));
    mioc_stack_note(&none);
    assert_int_equal(mioc_stack_alternate.size, 0);
}

static void on_signal_without_memory(int number)
{
    char byte = 42;

    (void)number;
    errno = 0;
    found.result = mioc_stack_run(MIOC_STACK_SERVED, work, &byte);
    found.error = errno;
}

static void without_memory_work_does_not_run(void **state)
{
    int status = 0;
    pid_t child;

    (void)state;
    child = fork();
    if (child == 0) {
        struct rlimit none = { 0, 0 };

        (void)setrlimit(RLIMIT_AS, &none);
        handle(on_signal_without_memory, ROOM);
        _exit(found.result == -1 && found.error == ENOMEM ? 7 : 1);
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(without_an_alternate_stack_there_is_room, setup, teardown),
        cmocka_unit_test_setup_teardown(on_a_small_stack_work_runs_elsewhere, setup, teardown),
        cmocka_unit_test_setup_teardown(a_signal_waits_for_the_work_and_comes_behind_it, setup, teardown),
        cmocka_unit_test_setup_teardown(beside_the_alternate_stack_there_is_room, setup, teardown),
        cmocka_unit_test_setup_teardown(without_memory_work_does_not_run, setup, teardown),
    };

    (void)signal(SIGUSR2, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
