/* SPDX-License-Identifier: BSD-3-Clause */
/* test_real.c - the real functions are all bound, and are libc's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/real.h"
#include "base/symbol.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>

#pragma GCC diagnostic ignored "-Wdeprecated-declarations" /* readdir_r */

static void *bind_too(void *arg)
{
    mioc_real_bind();
    return mioc_real(open) != NULL ? arg : NULL;
}

/* Runs first: nothing is bound yet. */
static void bind_from_many_threads_is_the_same(void **state)
{
    pthread_t thread[8];
    void *result;
    char *error;

    (void)state;
    for (int i = 0; i < 8; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, bind_too, thread), 0);
    for (int i = 0; i < 8; i++) {
        pthread_join(thread[i], &result);
        assert_ptr_equal(result, thread);
    }
    errno = 99;
    mioc_real_bind();
    assert_int_equal(errno, 99);
    error = dlerror();
    assert_null(error);
}

static void bind_finds_every_required_name(void **state)
{
    (void)state;
#define X(name) \
    if (mioc_real(name) == NULL) \
        fail_msg("%s is missing", #name);
    MIOC_REAL_NAMES_REQUIRED(X)
    X(stat) X(lstat) X(fstat) X(fstatat) X(stat64) X(lstat64) X(fstat64) X(fstatat64) X(mknod) X(mknodat)
#undef X
}

static void stat_and_its_old_name_agree(void **state)
{
    struct stat now, old;

    (void)state;
    assert_int_equal(mioc_real(stat)("/etc/passwd", &now), 0);
    assert_true(S_ISREG(now.st_mode));
#if defined(__x86_64__)
    assert_non_null(mioc_real(__xstat));
    assert_int_equal(mioc_real(__xstat)(1, "/etc/passwd", &old), 0);
    assert_int_equal(now.st_ino, old.st_ino);
#else
    (void)old;
#endif
}

/* Only names of which libc has a default version are in every libc's tables in this way. */
static void symbol_next_finds_what_dlsym_finds(void **state)
{
    (void)state;
#define X(name) \
    if (mioc_symbol_next(#name) != dlsym(RTLD_NEXT, #name)) \
        fail_msg("%s is another function", #name);
    MIOC_REAL_NAMES_REQUIRED(X)
#undef X
}

static void symbol_next_without_the_name_says_nothing(void **state)
{
    (void)state;
    assert_null(dlerror());
    assert_null(mioc_symbol_next("mioc_no_such_function"));
    assert_null(mioc_symbol_next(""));
    assert_null(mioc_symbol_next("__xstat_of_no_version"));
    assert_null(mioc_symbol_next("stdout")); /* no function */
    assert_null(dlerror());
}

/* By a look into the object alone: data, and other objects' names, too. */
static void symbol_find_gives_what_one_object_defines(void **state)
{
    const struct link_map *libc = mioc_symbol_object("libc.so.6");
    size_t size = 0;

    (void)state;
    assert_non_null(libc);
    errno = 99;
    assert_ptr_equal(mioc_symbol_find(libc, "getpid", &size), dlsym(RTLD_NEXT, "getpid"));
    assert_true(size > 0);
    assert_ptr_equal(mioc_symbol_find(libc, "getpid", NULL), dlsym(RTLD_NEXT, "getpid"));
    assert_non_null(mioc_symbol_find(libc, "stdout", &size));
    assert_int_equal(size, sizeof stdout);
    assert_null(mioc_symbol_find(libc, "mioc_symbol_find", &size));
    assert_null(mioc_symbol_find(libc, "", NULL));
    assert_int_equal(errno, 99);
    assert_null(mioc_symbol_object("libmioc_no_such.so"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bind_from_many_threads_is_the_same),
        cmocka_unit_test(bind_finds_every_required_name),
        cmocka_unit_test(stat_and_its_old_name_agree),
        cmocka_unit_test(symbol_next_finds_what_dlsym_finds),
        cmocka_unit_test(symbol_next_without_the_name_says_nothing),
        cmocka_unit_test(symbol_find_gives_what_one_object_defines),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
