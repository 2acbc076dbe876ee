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
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* From <linux/prctl.h>, which may be older than the kernel. */
#define PR_SET_SYSCALL_USER_DISPATCH 59
#define PR_SYS_DISPATCH_INCLUSIVE_ON 2

#define SONAME "libutil.so.1" /* with no code to speak of, and loaded by nobody here */

static char library_path[4096]; /* where this machine has it */
static unsigned opens, looks, others, denied;
static sig_atomic_t handled;
static const char *why;

static long count(long number, const long a[6], int *is_copy)
{
    long rc;

    (void)is_copy;
    /* By threads that have ld.so's lock; ThreadSanitizer does not see that. */
    (void)__atomic_fetch_add(number == SYS_openat ? &opens : number == SYS_newfstatat || number == SYS_fstat ? &looks : &others, 1, __ATOMIC_RELAXED);
    rc = syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    return rc == -1 ? -errno : rc;
}

static long count_copies(long number, const long a[6], int *is_copy)
{
    *is_copy = number == SYS_openat;
    return count(number, a, is_copy);
}

static long deny(long number, const long a[6], int *is_copy)
{
    return number == SYS_openat ? -ENOTBLK : count(number, a, is_copy);
}

/* Finds nothing, in any directory. */
static long deny_and_count(long number, const long a[6], int *is_copy)
{
    if (number != SYS_openat)
        return count(number, a, is_copy);
    denied++;
    return -ENOENT;
}

static void handler(int number)
{
    handled += number == SIGSYS;
}

static int setup(void **state)
{
    void *library = dlopen(SONAME, RTLD_NOW);
    struct link_map *map;

    (void)state;
    if (library == NULL || dlinfo(library, RTLD_DI_LINKMAP, &map) != 0)
        return -1;
    (void)snprintf(library_path, sizeof library_path, "%s", map->l_name);
    dlclose(library);
    return mioc_dispatch_prepare(&why);
}

static int reset(void **state)
{
    (void)state;
    opens = looks = others = denied = 0;
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
    library = dlopen(library_path, RTLD_NOW);
    mioc_dispatch_end();
    assert_non_null(library);
    dlclose(library);
}

static void load_traps_the_loaders_calls_and_no_others(void **state)
{
    (void)state;
    load_and_unload();
    assert_int_equal(opens, 1);
    opens = looks = others = 0;
    assert_int_equal(mioc_dispatch_begin(count), 0);
    assert_int_equal(close(dup(0)), 0);
    assert_int_equal(getppid(), syscall(SYS_getppid));
    mioc_dispatch_end();
    assert_int_equal(opens + looks + others, 0);
}

/* Kernels before 6.17 can only spare a range. */
static int is_narrow(void)
{
    return syscall(SYS_prctl, PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_INCLUSIVE_ON, 1, 1, NULL) == 0 &&
           syscall(SYS_prctl, PR_SET_SYSCALL_USER_DISPATCH, 0, 0, 0, NULL) == 0;
}

static void only_what_has_to_be_answered_traps(void **state)
{
    (void)state;
    if (!is_narrow())
        skip();
    load_and_unload(); /* shows where the calls are made */
    opens = looks = others = 0;
    load_and_unload();
    assert_int_equal(opens, 1);
    assert_int_equal(looks + others, 0);
    for (int i = 1; i <= 2; i++) {
        void *library;

        assert_int_equal(mioc_dispatch_begin(count_copies), 0);
        library = dlopen(library_path, RTLD_NOW);
        mioc_dispatch_end();
        assert_int_equal(dlclose(library), 0);
        assert_int_equal(opens, 1 + i);
        assert_int_equal(looks, i);
        assert_int_equal(others, 0);
    }
}

/* Behind an open that failed the loader looks whether the directory is there; both are the answer's to say. */
static void searched_directories_trap(void **state)
{
    void *library;

    (void)state;
    load_and_unload();
    opens = looks = 0;
    assert_int_equal(mioc_dispatch_begin(deny_and_count), 0);
    library = dlopen("libmioc_none.so.1", RTLD_NOW);
    mioc_dispatch_end();
    assert_null(library);
    assert_true(denied > 2); /* ld.so.cache, and directories */
    if (is_narrow())
        assert_true(looks > 0);
}

static void answer_is_what_the_loader_gets(void **state)
{
    (void)state;
    errno = EXFULL;
    assert_int_equal(mioc_dispatch_begin(deny), 0);
    assert_int_equal(errno, EXFULL);
    assert_null(dlopen(library_path, RTLD_NOW));
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
    library = dlopen(library_path, RTLD_NOW);
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
        void *library = dlopen(library_path, RTLD_NOW);
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
        library = dlopen(library_path, RTLD_NOW);
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

static void *ask_from_elsewhere(void *answer)
{
    *(int *)answer = mioc_dispatch_is_elsewhere();
    return NULL;
}

static int seen_from_elsewhere(void)
{
    pthread_t thread;
    int answer = -1;

    assert_int_equal(pthread_create(&thread, NULL, ask_from_elsewhere, &answer), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    return answer;
}

static void load_is_seen_by_other_threads_and_not_by_its_own(void **state)
{
    (void)state;
    assert_false(seen_from_elsewhere());
    assert_int_equal(mioc_dispatch_begin(count), 0);
    assert_false(mioc_dispatch_is_elsewhere());
    assert_true(seen_from_elsewhere());
    mioc_dispatch_end();
    assert_false(mioc_dispatch_is_elsewhere());
    assert_false(seen_from_elsewhere());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(load_traps_the_loaders_calls_and_no_others, reset),
        cmocka_unit_test_setup(only_what_has_to_be_answered_traps, reset),
        cmocka_unit_test_setup(searched_directories_trap, reset),
        cmocka_unit_test_setup(answer_is_what_the_loader_gets, reset),
        cmocka_unit_test_setup(nothing_traps_after_the_end, reset),
        cmocka_unit_test_setup(action_of_the_program_is_shown_kept_and_changed, reset),
        cmocka_unit_test_setup(blocked_signal_stays_blocked_in_the_programs_eyes, reset),
        cmocka_unit_test_setup(signal_blocked_before_is_blocked_after, reset),
        cmocka_unit_test_setup(signal_that_is_pending_is_left_alone, reset),
        cmocka_unit_test_setup(default_action_kills_as_ever, reset),
        cmocka_unit_test_setup(child_of_a_fork_goes_on_without_and_can_begin_again, reset),
        cmocka_unit_test_setup(threads_share_the_handler, reset),
        cmocka_unit_test_setup(load_is_seen_by_other_threads_and_not_by_its_own, reset),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
