/* SPDX-License-Identifier: BSD-3-Clause */
/* test_dispatch.c - what traps under dispatch, what does not, and what of SIGSYS a program can see meanwhile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../preload/dispatch.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIBRARY "/lib/x86_64-linux-gnu/libutil.so.1" /* with no code to speak of, and loaded by nobody here */

static unsigned opens, others;
static sig_atomic_t handled;
static const char *why;

static long count(long number, const long a[6])
{
    long rc;

    *(number == SYS_openat ? &opens : &others) += 1;
    rc = syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    return rc == -1 ? -errno : rc;
}

static long deny(long number, const long a[6])
{
    return number == SYS_openat ? -ENOTBLK : count(number, a);
}

static void handler(int number)
{
    handled += number == SIGSYS;
}

static int setup(void **state)
{
    (void)state;
    return mioc_dispatch_prepare(&why) == 0 ? 0 : -1;
}

static int reset(void **state)
{
    (void)state;
    opens = others = 0;
    handled = 0;
    return 0;
}

static struct sigaction current_action(void)
{
    struct sigaction action;

    assert_int_equal(sigaction(SIGSYS, NULL, &action), 0);
    return action;
}

static int is_blocked(void)
{
    sigset_t now;

    assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &now), 0);
    return sigismember(&now, SIGSYS);
}

static void load_and_unload(void)
{
    void *library;

    assert_int_equal(mioc_dispatch_begin(count), 0);
    library = dlopen(LIBRARY, RTLD_NOW);
    mioc_dispatch_end();
    assert_non_null(library);
    dlclose(library);
}

static void load_traps_the_loaders_calls_and_no_others(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        opens = others = 0;
        load_and_unload();
        assert_int_equal(opens, 1);
        assert_true(others > 0);
        /* From the second one on, only what has to be answered traps. */
        assert_true(i == 0 || others < 6);
    }
    opens = others = 0;
    assert_int_equal(mioc_dispatch_begin(count), 0);
    assert_int_equal(close(dup(0)), 0);
    assert_int_equal(getppid(), syscall(SYS_getppid));
    mioc_dispatch_end();
    assert_int_equal(opens + others, 0);
}

static void answer_is_what_the_loader_gets(void **state)
{
    (void)state;
    errno = EXFULL;
    assert_int_equal(mioc_dispatch_begin(deny), 0);
    assert_int_equal(errno, EXFULL);
    assert_null(dlopen(LIBRARY, RTLD_NOW));
    errno = EXFULL;
    mioc_dispatch_end();
    assert_int_equal(errno, EXFULL);
    assert_non_null(strstr(dlerror(), strerror(ENOTBLK)));
    load_and_unload();
}

static void nothing_traps_after_the_end(void **state)
{
    void *library;

    (void)state;
    load_and_unload();
    opens = 0;
    library = dlopen(LIBRARY, RTLD_NOW);
    assert_non_null(library);
    dlclose(library);
    assert_int_equal(opens, 0);
}

static void action_of_the_program_is_shown_kept_and_changed(void **state)
{
    struct sigaction mine, seen;

    (void)state;
    memset(&mine, 0, sizeof mine);
    mine.sa_handler = handler;
    assert_int_equal(sigaction(SIGSYS, &mine, NULL), 0);
    assert_int_equal(mioc_dispatch_begin(count), 0);
    assert_true(current_action().sa_handler != handler);
    assert_int_equal(mioc_dispatch_sigaction(NULL, &seen), 0);
    assert_true(seen.sa_handler == handler);
    assert_int_equal(raise(SIGSYS), 0);
    assert_int_equal(handled, 1);
    mine.sa_handler = SIG_IGN;
    mine.sa_flags = SA_RESTART;
    assert_int_equal(mioc_dispatch_sigaction(&mine, NULL), 0);
    assert_int_equal(raise(SIGSYS), 0);
    mioc_dispatch_end();
    assert_true(current_action().sa_handler == SIG_IGN);
    assert_int_equal(current_action().sa_flags & SA_RESTART, SA_RESTART);
    assert_int_equal(handled, 1);
    mine.sa_handler = SIG_DFL;
    assert_int_equal(mioc_dispatch_sigaction(&mine, &seen), 0);
    assert_true(seen.sa_handler == SIG_IGN);
    assert_true(current_action().sa_handler == SIG_DFL);
}

/* What a constructor that blocks all signals does; the library is loaded all the same. */
static void blocked_signal_stays_blocked_in_the_programs_eyes(void **state)
{
    sigset_t all, old;
    struct sigaction mine;

    (void)state;
    memset(&mine, 0, sizeof mine);
    mine.sa_handler = handler;
    assert_int_equal(sigaction(SIGSYS, &mine, NULL), 0);
    assert_int_equal(mioc_dispatch_begin(count), 0);
    sigfillset(&all);
    assert_int_equal(mioc_dispatch_sigmask(SIG_BLOCK, &all, &old), 0);
    assert_int_equal(sigismember(&old, SIGSYS), 0);
    assert_int_equal(mioc_dispatch_sigmask(SIG_BLOCK, NULL, &old), 0);
    assert_int_equal(sigismember(&old, SIGSYS), 1);
    load_and_unload();
    assert_int_equal(opens, 1);
    assert_int_equal(raise(SIGSYS), 0);
    assert_int_equal(handled, 0);
    mioc_dispatch_end();
    assert_true(is_blocked());
    assert_int_equal(handled, 0);
    sigemptyset(&all);
    assert_int_equal(pthread_sigmask(SIG_SETMASK, &all, NULL), 0);
    assert_int_equal(handled, 1);
    mine.sa_handler = SIG_DFL;
    assert_int_equal(sigaction(SIGSYS, &mine, NULL), 0);
}

static void signal_blocked_before_is_blocked_after(void **state)
{
    sigset_t one;

    (void)state;
    sigemptyset(&one);
    sigaddset(&one, SIGSYS);
    assert_int_equal(pthread_sigmask(SIG_BLOCK, &one, NULL), 0);
    load_and_unload();
    assert_int_equal(opens, 1);
    assert_true(is_blocked());
    assert_int_equal(mioc_dispatch_begin(count), 0);
    assert_int_equal(mioc_dispatch_sigmask(SIG_UNBLOCK, &one, NULL), 0);
    mioc_dispatch_end();
    assert_false(is_blocked());
}

static void signal_that_is_pending_is_left_alone(void **state)
{
    sigset_t one, pending;

    (void)state;
    sigemptyset(&one);
    sigaddset(&one, SIGSYS);
    assert_int_equal(pthread_sigmask(SIG_BLOCK, &one, NULL), 0);
    assert_int_equal(raise(SIGSYS), 0);
    assert_int_equal(mioc_dispatch_begin(count), -1);
    assert_true(is_blocked());
    assert_int_equal(sigpending(&pending), 0);
    assert_true(sigismember(&pending, SIGSYS));
    assert_int_equal(sigtimedwait(&one, NULL, &(struct timespec){ 0, 0 }), SIGSYS);
    assert_int_equal(mioc_dispatch_begin(count), 0);
    mioc_dispatch_end();
    assert_int_equal(pthread_sigmask(SIG_UNBLOCK, &one, NULL), 0);
}

static int status_of(pid_t child)
{
    int status;

    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

/* cmocka catches SIGSYS around each test. */
static void forget_cmockas_handler(void)
{
    struct sigaction action;

    memset(&action, 0, sizeof action);
    assert_int_equal(sigaction(SIGSYS, &action, NULL), 0);
}

static void default_action_kills_as_ever(void **state)
{
    pid_t child;

    (void)state;
    forget_cmockas_handler();
    child = fork();
    if (child == 0) {
        (void)mioc_dispatch_begin(count);
        raise(SIGSYS);
        _exit(0);
    }
    assert_true(WIFSIGNALED(status_of(child)));
    child = fork();
    if (child == 0) {
        (void)mioc_dispatch_begin(count);
        kill(getpid(), SIGSYS);
        _exit(0);
    }
    int status = status_of(child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
}

/* A constructor may fork; the child has no dispatch and ends the load by itself. */
static void child_of_a_fork_goes_on_without_and_can_begin_again(void **state)
{
    pid_t child;

    (void)state;
    forget_cmockas_handler();
    assert_int_equal(mioc_dispatch_begin(count), 0);
    child = fork();
    if (child == 0) {
        void *library = dlopen(LIBRARY, RTLD_NOW);
        int is_plain = library != NULL && opens == 0;

        mioc_dispatch_end();
        if (library)
            dlclose(library);
        load_and_unload();
        _exit(is_plain && opens == 1 && current_action().sa_handler == SIG_DFL ? 0 : 1);
    }
    mioc_dispatch_end();
    assert_int_equal(status_of(child), 0);
    assert_true(current_action().sa_handler == SIG_DFL);
}

static void *load_often(void *failures)
{
    for (int i = 0; i < 200; i++) {
        void *library;

        if (mioc_dispatch_begin(count) != 0) {
            *(int *)failures += 1;
            continue;
        }
        library = dlopen(LIBRARY, RTLD_NOW);
        mioc_dispatch_end();
        if (library == NULL || dlclose(library) != 0)
            *(int *)failures += 1;
    }
    return NULL;
}

static void threads_share_the_handler(void **state)
{
    pthread_t threads[8];
    int failures[8] = { 0 };

    (void)state;
    forget_cmockas_handler();
    for (int i = 0; i < 8; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, load_often, &failures[i]), 0);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(failures[i], 0);
    }
    assert_true(current_action().sa_handler == SIG_DFL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(load_traps_the_loaders_calls_and_no_others, reset),
        cmocka_unit_test_setup(answer_is_what_the_loader_gets, reset),
        cmocka_unit_test_setup(nothing_traps_after_the_end, reset),
        cmocka_unit_test_setup(action_of_the_program_is_shown_kept_and_changed, reset),
        cmocka_unit_test_setup(blocked_signal_stays_blocked_in_the_programs_eyes, reset),
        cmocka_unit_test_setup(signal_blocked_before_is_blocked_after, reset),
        cmocka_unit_test_setup(signal_that_is_pending_is_left_alone, reset),
        cmocka_unit_test_setup(default_action_kills_as_ever, reset),
        cmocka_unit_test_setup(child_of_a_fork_goes_on_without_and_can_begin_again, reset),
        cmocka_unit_test_setup(threads_share_the_handler, reset),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
