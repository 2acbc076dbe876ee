/* SPDX-License-Identifier: BSD-3-Clause */
/* test_library_path.c - the loader's search path of one object: DT_RPATH, DT_RUNPATH, LD_LIBRARY_PATH and their tokens.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "resolver/library_path.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct mioc_library_path *make(const struct mioc_library_path *loader, const char *object, const char *rpath,
                                      const char *runpath, const char *environment)
{
    const struct mioc_library_world world = { environment, "lib/x86_64-linux-gnu", "haswell" };
    struct mioc_library_path *path =
        mioc_library_path_new(&world, loader, object, (uint32_t)strlen(object), rpath, runpath);

    assert_non_null(path);
    return path;
}

/* The directories themselves, `:` behind each. */
static const char *dirs_of(const struct mioc_library_path *path)
{
    static char all[65536];
    char dir[PATH_MAX];
    uint32_t len, above;

    all[0] = '\0';
    for (unsigned turn = 0; (len = mioc_library_path_dir(path, turn, dir, &above)) > 0; turn++) {
        assert_int_equal(strlen(dir), len);
        assert_true(above <= len && dir[0] == '/');
        if (above == len)
            strcat(strcat(all, dir), ":");
    }
    return all;
}

static void path_of_one_object_is_the_loaders(void **state)
{
    static const struct {
        const char *rpath, *runpath, *environment, *expected;
    } row[] = {
        { NULL, NULL, NULL, "" },
        { "/a:/b", NULL, NULL, "/a:/b:" },
        { NULL, "/a:/b", NULL, "/a:/b:" },
        { "/a", NULL, "/e:/f", "/a:/e:/f:" },
        { NULL, "/a", "/e;/f", "/e:/f:/a:" },
        { "/a", "/b", NULL, "/b:" }, /* DT_RPATH counts only without DT_RUNPATH */
        { "/a", "", NULL, "" },
        { "$ORIGIN:${ORIGIN}/x:$ORIGIN/../y", NULL, NULL, "/env/pkg:/env/pkg/x:/env/pkg/../y:" },
        { NULL, "/$LIB:/${LIB}s:/$PLATFORM/x", NULL, "/lib/x86_64-linux-gnu:/lib/x86_64-linux-gnus:/haswell/x:" },
        { NULL, "$ORIGIN/$LIB/${PLATFORM}", NULL, "/env/pkg/lib/x86_64-linux-gnu/haswell:" },
        { NULL, "/a/$NOTHING:/b$:/c/${ORIGIN:/d", NULL, "/d:" },
        { NULL, "/a//b/:/c/./d:/e/.:/f///", NULL, "/a/b:/c/d:/e:/f:" }, /* as the loader's questions are keys */
        { NULL, ":relative:./x::/a:", NULL, "/a:" },
        { NULL, "/", NULL, "" },
        { "/a:/b:/a/", NULL, "/b:/c", "/a:/b:/c:" },
        { NULL, NULL, "$ORIGIN/x:/a", "/a:" }, /* of the program */
    };

    (void)state;
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct mioc_library_path *path = make(NULL, "/env/pkg/m.so", row[i].rpath, row[i].runpath, row[i].environment);

        assert_string_equal(dirs_of(path), row[i].expected);
        mioc_library_path_unref(path);
    }
}

static void path_inherits_rpath_of_those_that_loaded_it(void **state)
{
    struct mioc_library_path *top = make(NULL, "/env/a/top.so", "$ORIGIN/t", NULL, "/e"), *middle, *with_rpath,
                             *without, *with_runpath;

    (void)state;
    middle = make(top, "/env/b/middle.so", NULL, "$ORIGIN/m", "/e");
    with_rpath = make(middle, "/env/c/x.so", "$ORIGIN/x", NULL, "/e");
    without = make(middle, "/env/c/y.so", NULL, NULL, "/e");
    with_runpath = make(top, "/env/c/z.so", NULL, "/r", "/env/a/t");
    assert_string_equal(dirs_of(top), "/env/a/t:/e:");
    assert_string_equal(dirs_of(middle), "/e:/env/b/m:");
    mioc_library_path_unref(top);
    assert_string_equal(dirs_of(with_rpath), "/env/c/x:/env/a/t:/e:"); /* not the DT_RUNPATH in between */
    assert_string_equal(dirs_of(without), "/env/a/t:/e:");
    assert_string_equal(dirs_of(with_runpath), "/env/a/t:/r:"); /* from LD_LIBRARY_PATH */
    mioc_library_path_unref(with_rpath);
    mioc_library_path_unref(without);
    mioc_library_path_unref(with_runpath);
    mioc_library_path_unref(middle);
}

static void path_hwcaps_come_before_their_directory(void **state)
{
    struct mioc_library_path *path = make(NULL, "/m.so", NULL, "/a:/b", NULL);
    char dir[PATH_MAX];
    uint32_t above = 0, len = 0;
    unsigned subdirs = 0;

    (void)state;
    for (unsigned turn = 0; (len = mioc_library_path_dir(path, turn, dir, &above)) > 0 && len > above; turn++) {
        assert_memory_equal(dir, "/a/glibc-hwcaps/", 16);
        assert_int_equal(above, 2);
        subdirs++;
    }
    assert_string_equal(dir, "/a");
    assert_true(subdirs <= 3);
    if (subdirs < 2)
        print_message("this processor has %u of glibc's levels\n", subdirs);
    mioc_library_path_unref(path);
}

static void path_of_a_hostile_object_is_bounded(void **state)
{
    struct mioc_library_path *path, *next;
    char *list = malloc(65536), *at = list;
    char dir[PATH_MAX];
    uint32_t above;

    (void)state;
    for (int i = 0; i < 4000; i++)
        at += sprintf(at, "/%d:", i);
    path = make(NULL, "/m.so", list, NULL, list);
    assert_int_equal(path->count, MIOC_LIBRARY_DIRS);
    mioc_library_path_unref(path);
    /* Each $ORIGIN of the chain grows until nothing fits. */
    at = list;
    for (int i = 0; i < 30; i++)
        at += sprintf(at, "$ORIGIN/");
    sprintf(at, ":$ORIGIN/%04000d", 0);
    path = make(NULL, "/env/pkg/libraries/m.so", list, NULL, NULL);
    for (int i = 0; i < 100; i++) {
        next = make(path, "/env/pkg/libraries/m.so", list, NULL, NULL);
        mioc_library_path_unref(path);
        path = next;
        for (unsigned turn = 0; mioc_library_path_dir(path, turn, dir, &above) > 0; turn++)
            assert_true(strlen(dir) < PATH_MAX);
    }
    mioc_library_path_unref(path);
    free(list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(path_of_one_object_is_the_loaders),
        cmocka_unit_test(path_inherits_rpath_of_those_that_loaded_it),
        cmocka_unit_test(path_hwcaps_come_before_their_directory),
        cmocka_unit_test(path_of_a_hostile_object_is_bounded),
    };

    return cmocka_run_group_tests_name("library_path", tests, NULL, NULL);
}
