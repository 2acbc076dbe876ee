/* SPDX-License-Identifier: BSD-3-Clause */
/* test_plugin.c - what a process looks like after a library that takes liberties was started in it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "node/guard.h"
#include "node/plugin.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static void some_handler(int signal) { (void)signal; }

static void other_handler(int signal) { (void)signal; }

static int lowest_fd(void)
{
    int fd = open("/dev/null", O_RDONLY);

    close(fd);
    return fd;
}

/* --- Guard ------------------------------------------------------------------------------------------------------- */

static void guard_signal_actions_come_back(void **state)
{
#ifdef __SANITIZE_THREAD__
    skip(); /* it keeps handlers of its own behind sigaction() */
#endif
    static char hidden[] = "MIOC_TEST_HIDDEN=";
    struct sigaction action = { .sa_handler = some_handler, .sa_flags = SA_RESTART }, now;

    (void)state;
    sigaddset(&action.sa_mask, SIGUSR2);
    assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
    mioc_guard_enter(hidden, 50);
    signal(SIGUSR1, other_handler);
    signal(SIGHUP, other_handler);
    signal(SIGRTMAX, other_handler);
    mioc_guard_restore();
    mioc_guard_leave();
    assert_int_equal(sigaction(SIGUSR1, NULL, &now), 0);
    assert_ptr_equal(now.sa_handler, some_handler);
    assert_true(now.sa_flags & SA_RESTART);
    assert_true(sigismember(&now.sa_mask, SIGUSR2));
    assert_int_equal(sigaction(SIGHUP, NULL, &now), 0);
    assert_ptr_equal(now.sa_handler, SIG_DFL);
    assert_int_equal(sigaction(SIGRTMAX, NULL, &now), 0);
    assert_ptr_equal(now.sa_handler, SIG_DFL);
}

static void guard_signals_wait_until_leave(void **state)
{
    static char hidden[] = "MIOC_TEST_HIDDEN=";
    sigset_t mask, pending;

    (void)state;
    signal(SIGTERM, some_handler);
    mioc_guard_enter(hidden, 50);
    assert_int_equal(sigprocmask(SIG_BLOCK, NULL, &mask), 0);
    assert_true(sigismember(&mask, SIGTERM));
    assert_false(sigismember(&mask, SIGSEGV)); /* a crash is the program's to handle */
    kill(getpid(), SIGTERM);
    assert_int_equal(sigpending(&pending), 0);
    assert_true(sigismember(&pending, SIGTERM));
    mioc_guard_restore();
    mioc_guard_leave();
    assert_int_equal(sigpending(&pending), 0);
    assert_false(sigismember(&pending, SIGTERM));
    assert_int_equal(sigprocmask(SIG_BLOCK, NULL, &mask), 0);
    assert_false(sigismember(&mask, SIGTERM));
    signal(SIGTERM, SIG_DFL);
}

/* What MPI might do to an environment, and what is expected of it then. */
static void check_environment(void)
{
    static char hidden[] = "MIOC_TEST_HIDDEN=new";
    char *before[1024], in_place[] = "MIOC_TEST_IN_PLACE=abc";
    size_t n = 0;

    putenv(in_place);
    for (; environ[n] != NULL; n++)
        before[n] = environ[n];
    mioc_guard_enter(hidden, 50);
    assert_string_equal(getenv("MIOC_TEST_HIDDEN"), "new");
    assert_string_equal(hidden, "MIOC_TEST_HIDDEN=new");
    unsetenv("MIOC_TEST_REMOVED");
    for (int i = 0; i < 50; i++) {
        char name[32];

        snprintf(name, sizeof name, "MIOC_TEST_ADDED%d", i);
        setenv(name, "1", 1);
    }
    in_place[strlen(in_place) - 1] = 'X';
    mioc_guard_restore();
    mioc_guard_leave();
    for (size_t i = 0; i < n; i++)
        assert_ptr_equal(environ[i], before[i]);
    assert_null(environ[n]);
    assert_string_equal(getenv("MIOC_TEST_IN_PLACE"), "abc");
    assert_string_equal(getenv("MIOC_TEST_REMOVED"), "1");
    unsetenv("MIOC_TEST_IN_PLACE");
}

static void guard_environment_made_by_setenv_comes_back(void **state)
{
    (void)state;
    setenv("MIOC_TEST_HIDDEN", "old", 1);
    setenv("MIOC_TEST_REMOVED", "1", 1);
    check_environment();
    assert_string_equal(getenv("MIOC_TEST_HIDDEN"), "old");
}

/* The vector above all frames, as the kernel makes it, is still the environment afterwards. */
static void guard_environment_of_the_kernel_comes_back(void **state)
{
    char removed[] = "MIOC_TEST_REMOVED=1", other[] = "A=b", *vector[8] = { removed, other, NULL }, **saved = environ;
    static char hidden[] = "MIOC_TEST_HIDDEN=new";

    (void)state;
    environ = vector;
    mioc_guard_enter(hidden, 50);
    unsetenv("MIOC_TEST_REMOVED");
    setenv("MIOC_TEST_ADDED", "1", 1);
    mioc_guard_restore();
    mioc_guard_leave();
    assert_ptr_equal(environ, vector);
    assert_ptr_equal(vector[0], removed);
    assert_ptr_equal(vector[1], other);
    assert_null(vector[2]);
    environ = saved;
}

static int new_fds[8], new_count;

static void note(int fd)
{
    if (new_count < 8)
        new_fds[new_count++] = fd;
}

static void guard_new_descriptors_lie_high_and_are_found(void **state)
{
    static char hidden[] = "MIOC_TEST_HIDDEN=";
    int low = lowest_fd(), fd, second[2];

    (void)state;
    mioc_guard_enter(hidden, 100);
    fd = open("/dev/null", O_RDONLY);
    assert_int_equal(pipe(second), 0);
    new_count = 0;
    mioc_guard_visit_new(note);
    mioc_guard_restore();
    mioc_guard_leave();
    assert_true(fd >= 100 && second[0] > 100 && second[1] > 100);
    assert_int_equal(new_count, 3);
    assert_true(new_fds[0] == fd || new_fds[1] == fd || new_fds[2] == fd);
    assert_int_equal(lowest_fd(), low);
    close(fd);
    close(second[0]);
    close(second[1]);
    mioc_guard_visit_new(note); /* outside: nothing, what is new now is the program's */
    assert_int_equal(new_count, 3);
}

static void guard_low_limit_leaves_room(void **state)
{
    static char hidden[] = "MIOC_TEST_HIDDEN=";
    struct rlimit before, few;
    int fds[64], n = 0;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = before;
    for (rlim_t limit = 40; limit <= 300; limit += 130) {
        few.rlim_cur = limit;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
        mioc_guard_enter(hidden, 200);
        for (n = 0; n < 20; n++)
            assert_true((fds[n] = open("/dev/null", O_RDONLY)) >= 0);
        mioc_guard_restore();
        mioc_guard_leave();
        while (n > 0)
            close(fds[--n]);
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

/* --- Plug-in ----------------------------------------------------------------------------------------------------- */

static void plugin_missing_file_says_so_and_leaves_nothing(void **state)
{
    const struct mioc_transport_ops *ops = NULL;
    struct mioc_transport *instance = NULL;
    struct mioc_world world;
    char reason[256] = "";
    int low = lowest_fd();
    sigset_t mask;

    (void)state;
    assert_int_equal(mioc_plugin_start("/nonexistent/plugin.so", &ops, &instance, &world, reason, sizeof reason), -1);
    assert_non_null(strstr(reason, "/nonexistent/plugin.so"));
    mioc_plugin_settle();
    assert_null(ops);
    assert_int_equal(lowest_fd(), low);
    assert_int_equal(sigprocmask(SIG_BLOCK, NULL, &mask), 0);
    assert_false(sigismember(&mask, SIGTERM));
    mioc_plugin_settle(); /* once more does nothing */
}

static void plugin_other_library_is_refused(void **state)
{
    const struct mioc_transport_ops *ops = NULL;
    struct mioc_transport *instance = NULL;
    struct mioc_world world;
    char reason[256] = "";

    (void)state;
    assert_int_equal(mioc_plugin_start("libm.so.6", &ops, &instance, &world, reason, sizeof reason), -1);
    assert_non_null(strstr(reason, "not a plug-in"));
    mioc_plugin_settle();
    assert_false(mioc_plugin_is_own_code((const void *)(uintptr_t)some_handler));
}

static void protected_fd_until_the_number_is_another_file(void **state)
{
    int pipes[2], other, saved;

    (void)state;
    assert_int_equal(pipe(pipes), 0);
    other = open("/dev/null", O_RDONLY);
    assert_false(mioc_plugin_is_protected_fd(pipes[0]));
    mioc_plugin_protect_fd(pipes[0]);
    errno = 77;
    assert_true(mioc_plugin_is_protected_fd(pipes[0]));
    assert_int_equal(mioc_plugin_next_protected_fd(0), pipes[0]);
    assert_int_equal(mioc_plugin_next_protected_fd(pipes[0] + 1), -1);
    assert_false(mioc_plugin_is_protected_fd(pipes[1]));
    assert_int_equal(dup2(other, pipes[0]), pipes[0]);
    assert_false(mioc_plugin_is_protected_fd(pipes[0]));
    mioc_plugin_protect_fd(pipes[1]);
    close(pipes[1]);
    assert_false(mioc_plugin_is_protected_fd(pipes[1]));
    saved = errno;
    assert_int_equal(saved, 77);
    close(pipes[0]);
    close(other);
}

static void protected_fd_odd_numbers_are_not(void **state)
{
    static const int row[] = { -1, INT32_MIN, INT32_MAX, 65536, 65535 };

    (void)state;
    for (unsigned i = 0; i < sizeof row / sizeof *row; i++) {
        mioc_plugin_protect_fd(row[i]);
        assert_false(mioc_plugin_is_protected_fd(row[i]));
        mioc_plugin_release_fd(row[i]);
        assert_int_equal(mioc_plugin_next_protected_fd(row[i] < 0 ? 65536 : row[i]), -1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(guard_signal_actions_come_back),
        cmocka_unit_test(guard_signals_wait_until_leave),
        cmocka_unit_test(guard_environment_of_the_kernel_comes_back),
        cmocka_unit_test(guard_environment_made_by_setenv_comes_back),
        cmocka_unit_test(guard_new_descriptors_lie_high_and_are_found),
        cmocka_unit_test(guard_low_limit_leaves_room),
        cmocka_unit_test(plugin_missing_file_says_so_and_leaves_nothing),
        cmocka_unit_test(plugin_other_library_is_refused),
        cmocka_unit_test(protected_fd_until_the_number_is_another_file),
        cmocka_unit_test(protected_fd_odd_numbers_are_not),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
