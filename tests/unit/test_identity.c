/* SPDX-License-Identifier: BSD-3-Clause */
/* test_identity.c - what is loaded from a copy is known as the original, by all its names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../preload/dispatch.h"
#include "../../preload/identity.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define SONAME "libutil.so.1" /* with no code to speak of, and loaded by nobody here */

static char folder[] = "/tmp/mioc-identity-XXXXXX", original[64], copy[64], other_name[64], no_library[64], other[64], other_copy[64];
static unsigned lent; /* by all threads, with the loader's lock */

static void must(int is_true, const char *what)
{
    if (!is_true) {
        (void)fprintf(stderr, "%s: %s\n", what, strerror(errno));
        exit(1);
    }
}

static void copy_file(const char *from, const char *to)
{
    static char bytes[1 << 20];
    int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_EXCL, 0600);
    ssize_t n = read(in, bytes, sizeof bytes);

    must(in >= 0 && out >= 0 && n > 0 && write(out, bytes, (size_t)n) == n, to);
    (void)close(in);
    (void)close(out);
}

/* original.so and a copy of it, other.so and a copy of it, a second name of the first, and a copy that is no library. */
static int make_files(void **state)
{
    void *library = dlopen(SONAME, RTLD_NOW);
    struct link_map *map;
    FILE *text;

    (void)state;
    must(library != NULL && dlinfo(library, RTLD_DI_LINKMAP, &map) == 0, SONAME);
    must(mkdtemp(folder) != NULL, folder);
    (void)snprintf(original, sizeof original, "%s/original.so", folder);
    (void)snprintf(copy, sizeof copy, "%s/copy", folder);
    (void)snprintf(other_name, sizeof other_name, "%s/name.so", folder);
    (void)snprintf(other, sizeof other, "%s/other.so", folder);
    (void)snprintf(other_copy, sizeof other_copy, "%s/other", folder);
    (void)snprintf(no_library, sizeof no_library, "%s/none.so", folder);
    copy_file(map->l_name, original);
    copy_file(map->l_name, copy);
    copy_file(map->l_name, other);
    copy_file(map->l_name, other_copy);
    text = fopen(no_library, "w");
    must(text != NULL && fputs("no library", text) >= 0 && fclose(text) == 0, no_library);
    must(symlink("original.so", other_name) == 0, other_name);
    dlclose(library);
    return 0;
}

static int remove_files(void **state)
{
    const char *const all[] = { original, copy, other_name, no_library, other, other_copy };

    (void)state;
    for (unsigned i = 0; i < sizeof all / sizeof all[0]; i++)
        (void)unlink(all[i]);
    return rmdir(folder);
}

static long raw(long number, const long a[6])
{
    long rc = syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);

    return rc == -1 ? -errno : rc;
}

static void look(int fd, const char *path, struct stat *st)
{
    must((fd >= 0 ? syscall(SYS_fstat, fd, st) : syscall(SYS_newfstatat, AT_FDCWD, path, st, 0)) == 0, path);
}

/* As wrap_dl.c's: opens of our folder get the copy, and if need be the original's looks. */
static long answer(long number, const long a[6], int *is_copy)
{
    static __thread struct stat shown;
    const char *path = (const char *)a[1];
    struct stat st;
    long fd;

    if (number != SYS_openat || strncmp(path, folder, strlen(folder)) != 0) {
        fd = raw(number, a);
        if (number == SYS_openat && fd >= 0)
            mioc_identity_settle();
        if (number == SYS_newfstatat && (a[3] & AT_EMPTY_PATH) && shown.st_ino != 0)
            *(struct stat *)a[2] = shown;
        shown.st_ino = 0;
        return fd;
    }
    fd = syscall(SYS_openat, AT_FDCWD, strcmp(path, no_library) == 0 ? no_library : strcmp(path, other) == 0 ? other_copy : copy, O_RDONLY | O_CLOEXEC);
    look((int)fd, path, &st);
    look(-1, path, &shown);
    *is_copy = !mioc_identity_lend(st.st_dev, st.st_ino, shown.st_dev, shown.st_ino);
    if (!*is_copy) {
        shown.st_ino = 0;
        (void)__atomic_fetch_add(&lent, 1, __ATOMIC_RELAXED);
    }
    return fd;
}

static void *load(const char *path)
{
    void *library;

    must(mioc_dispatch_begin(answer) == 0, "begin");
    library = dlopen(path, RTLD_NOW);
    mioc_dispatch_end();
    mioc_identity_end();
    return library;
}

static int begin(void **state)
{
    (void)state;
    lent = 0;
    return 0;
}

static void place_is_found_in_this_libc(void **state)
{
    const char *why;

    (void)state;
    assert_int_equal(mioc_dispatch_prepare(&why), 0);
    assert_int_equal(mioc_identity_prepare(), 0);
}

static void loaded_copy_is_known_by_the_originals_other_names(void **state)
{
    void *library = load(original), *second, *third;

    (void)state;
    assert_non_null(library);
    assert_int_equal(lent, 1);
    second = dlopen(other_name, RTLD_NOW);
    assert_ptr_equal(second, library);
    dlclose(second);
    third = load(other_name);
    assert_ptr_equal(third, library);
    assert_int_equal(lent, 1);
    dlclose(third);
    dlclose(library);
    library = load(other_name);
    assert_non_null(library);
    assert_int_equal(lent, 2);
    second = dlopen(original, RTLD_NOW);
    assert_ptr_equal(second, library);
    dlclose(second);
    dlclose(library);
}

static void library_that_the_loader_opened_itself_is_found(void **state)
{
    void *library = dlopen(original, RTLD_NOW), *second;

    (void)state;
    assert_non_null(library);
    second = load(other_name);
    assert_ptr_equal(second, library);
    assert_int_equal(lent, 0);
    dlclose(second);
    dlclose(library);
}

/* As a load's dependencies are, and what constructors load. */
static void next_open_settles_what_was_lent_before(void **state)
{
    void *library, *second, *third;

    (void)state;
    assert_int_equal(mioc_dispatch_begin(answer), 0);
    library = dlopen(original, RTLD_NOW);
    second = dlopen(other_name, RTLD_NOW);
    third = dlopen(other, RTLD_NOW);
    mioc_dispatch_end();
    mioc_identity_end();
    assert_non_null(library);
    assert_ptr_equal(second, library);
    assert_non_null(third);
    assert_ptr_not_equal(third, library);
    assert_int_equal(lent, 2);
    assert_ptr_equal(dlopen(other_name, RTLD_NOW), library);
    assert_ptr_equal(dlopen(other, RTLD_NOW), third);
    for (int i = 0; i < 3; i++)
        dlclose(library);
    dlclose(third);
    dlclose(third);
}

static void load_that_fails_leaves_nothing_behind(void **state)
{
    (void)state;
    assert_null(load(no_library));
    assert_int_equal(lent, 1);
    lent = 0;
    loaded_copy_is_known_by_the_originals_other_names(state);
}

/* A constructor forks, and its load ends in the child. */
static void child_of_a_fork_settles_what_its_parent_lent(void **state)
{
    void *library;
    pid_t child;
    int status;

    (void)state;
    assert_int_equal(mioc_dispatch_begin(answer), 0);
    library = dlopen(original, RTLD_NOW);
    child = fork();
    if (child == 0) {
        mioc_dispatch_end();
        mioc_identity_end();
        _exit(library != NULL && dlopen(other_name, RTLD_NOW) == library && load(other) != NULL ? 0 : 1);
    }
    mioc_dispatch_end();
    mioc_identity_end();
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    dlclose(library);
}

static void *load_by_all_names(void *failures)
{
    for (int i = 0; i < 200; i++) {
        void *first = load(i % 2 ? original : other_name), *second = load(i % 2 ? other_name : original), *third = load(other);

        *(int *)failures += first == NULL || first != second || third == NULL || third == first;
        if (first)
            dlclose(first);
        if (second)
            dlclose(second);
        if (third)
            dlclose(third);
    }
    return NULL;
}

static void threads_settle_what_others_lent(void **state)
{
    pthread_t threads[8];
    int failures[8] = { 0 };

    (void)state;
    for (int i = 0; i < 8; i++)
        must(pthread_create(&threads[i], NULL, load_by_all_names, &failures[i]) == 0, "pthread_create");
    for (int i = 0; i < 8; i++)
        must(pthread_join(threads[i], NULL) == 0, "pthread_join");
    for (int i = 0; i < 8; i++)
        assert_int_equal(failures[i], 0);
    assert_true(lent > 0);
}

/* Last: it is for good. As if the other were loaded by another thread, whose load goes past us. */
static void nothing_is_lent_once_a_load_went_past_us(void **state)
{
    void *library, *second;

    (void)state;
    assert_int_equal(mioc_dispatch_begin(answer), 0);
    library = dlopen(original, RTLD_NOW);
    mioc_dispatch_end();
    assert_non_null(library);
    assert_int_equal(lent, 1);
    mioc_identity_stop();
    second = dlopen(other_name, RTLD_NOW);
    assert_ptr_equal(second, library);
    mioc_identity_end();
    dlclose(library);
    dlclose(library);
    library = load(original);
    assert_non_null(library);
    assert_int_equal(lent, 1);
    assert_ptr_equal(dlopen(other_name, RTLD_NOW), library);
    dlclose(library);
    dlclose(library);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(place_is_found_in_this_libc, begin),
        cmocka_unit_test_setup(loaded_copy_is_known_by_the_originals_other_names, begin),
        cmocka_unit_test_setup(library_that_the_loader_opened_itself_is_found, begin),
        cmocka_unit_test_setup(next_open_settles_what_was_lent_before, begin),
        cmocka_unit_test_setup(load_that_fails_leaves_nothing_behind, begin),
        cmocka_unit_test_setup(child_of_a_fork_settles_what_its_parent_lent, begin),
        cmocka_unit_test_setup(threads_settle_what_others_lent, begin),
        cmocka_unit_test_setup(nothing_is_lent_once_a_load_went_past_us, begin),
    };

    return cmocka_run_group_tests(tests, make_files, remove_files);
}
