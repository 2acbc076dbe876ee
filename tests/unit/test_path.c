/* SPDX-License-Identifier: BSD-3-Clause */
/* test_path.c - which key a spelling becomes, and the lexical questions about paths. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct mioc_path key;

/* A copy at the end of a heap block, so that a sanitizer sees every byte that is read behind it. */
static char *exact(const char *text)
{
    char *copy = strdup(text);

    assert_non_null(copy);
    return copy;
}

static void key_of_absolute_path_is_folded(void **state)
{
    static const struct {
        const char *path, *expected;
    } table[] = {
        { "/", "/" },
        { "//", "/" },
        { "///", "/" },
        { "/.", "/" },
        { "/./", "/" },
        { "/./.", "/" },
        { "/..", "/.." },
        { "/a", "/a" },
        { "/a/", "/a/" },
        { "/a//", "/a/" },
        { "/a/.", "/a/" },
        { "/a/./", "/a/" },
        { "//a", "/a" },
        { "/a/b/c.py", "/a/b/c.py" },
        { "/a//b", "/a/b" },
        { "/a/./b", "/a/b" },
        { "/a/././/./b", "/a/b" },
        { "/a/../b", "/a/../b" },
        { "/a/..", "/a/.." },
        { "/a/.b", "/a/.b" },
        { "/a/..b", "/a/..b" },
        { "/a/...", "/a/..." },
        { "/a/.b/./c", "/a/.b/c" },
        { "/a./b", "/a./b" },
        { "/a/b.", "/a/b." },
        { "/1234567//", "/1234567/" },
        { "/123456/./x", "/123456/x" },
        { "/12345/678//x", "/12345/678/x" },
        { "/1234567/12345678/.", "/1234567/12345678/" },
        { "/\x2e\xaf/\xae\xaf", "/\x2e\xaf/\xae\xaf" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char *path = exact(table[i].path);

        errno = 99;
        assert_int_equal(mioc_path_key(&key, AT_FDCWD, path), 0);
        assert_string_equal(key.text, table[i].expected);
        assert_int_equal(key.len, strlen(table[i].expected));
        assert_int_equal(errno, 99);
        free(path);
    }
}

static void key_of_plain_path_is_the_callers_string(void **state)
{
    const char *path = "/usr/lib/python3/os.py";

    (void)state;
    assert_int_equal(mioc_path_key(&key, 12345, path), 0);
    assert_ptr_equal(key.text, path);
}

/* Every position of an odd pair relative to the words that the scan reads. */
static void key_of_odd_pair_anywhere_is_found(void **state)
{
    char path[64], expected[64];

    (void)state;
    for (size_t len = 4; len < 40; len++)
        for (size_t at = 1; at + 2 < len; at++) {
            memset(path, 'x', len);
            path[0] = path[at] = path[at + 1] = '/';
            path[len] = '\0';
            char *copy = exact(path);
            memcpy(expected, path, at + 1);
            strcpy(expected + at + 1, path + at + 2);
            assert_int_equal(mioc_path_key(&key, AT_FDCWD, copy), 0);
            assert_string_equal(key.text, at == 1 ? expected + 1 : expected);
            free(copy);
        }
}

static void key_of_relative_path_starts_at_cwd(void **state)
{
    static const struct {
        const char *path, *rest;
    } table[] = {
        { "a.py", "/a.py" }, { "./a.py", "/a.py" }, { "a//b/", "/a/b/" },      { ".", "/" },     { "./", "/" },
        { "..", "/.." },     { "../x", "/../x" },   { ".hidden", "/.hidden" }, { "a/.", "/a/" },
    };
    char cwd[4096], expected[8192];

    (void)state;
    assert_non_null(getcwd(cwd, sizeof cwd));
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        snprintf(expected, sizeof expected, "%s%s", cwd, table[i].rest);
        assert_int_equal(mioc_path_key(&key, AT_FDCWD, table[i].path), 0);
        assert_string_equal(key.text, expected);
        assert_int_equal(key.len, strlen(expected));
    }
    assert_int_equal(chdir("/"), 0);
    assert_int_equal(mioc_path_key(&key, AT_FDCWD, "etc"), 0);
    assert_string_equal(key.text, "/etc");
    assert_int_equal(mioc_path_key(&key, AT_FDCWD, "."), 0);
    assert_string_equal(key.text, "/");
    assert_int_equal(chdir(cwd), 0);
}

static void key_relative_to_descriptor_starts_there(void **state)
{
    int fd = open("/usr/lib", O_RDONLY | O_DIRECTORY), high;

    (void)state;
    high = fcntl(fd, F_DUPFD, 517);
    errno = 99;
    assert_int_equal(mioc_path_key(&key, fd, "python3/os.py"), 0);
    assert_string_equal(key.text, "/usr/lib/python3/os.py");
    assert_int_equal(mioc_path_key(&key, high, "x"), 0);
    assert_string_equal(key.text, "/usr/lib/x");
    close(fd);
    close(high);
}

static void key_without_directory_is_refused(void **state)
{
    int pipes[2];
    char gone[] = "/tmp/mioc_path_XXXXXX", cwd[4096];

    (void)state;
    assert_int_equal(pipe(pipes), 0);
    assert_non_null(getcwd(cwd, sizeof cwd));
    assert_non_null(mkdtemp(gone));
    assert_int_equal(chdir(gone), 0);
    assert_int_equal(rmdir(gone), 0);
    errno = 99;
    assert_int_equal(mioc_path_key(&key, AT_FDCWD, "x"), -1);
    assert_int_equal(mioc_path_key(&key, pipes[0], "x"), -1);
    assert_int_equal(mioc_path_key(&key, 9999, "x"), -1);
    assert_int_equal(mioc_path_key(&key, -1, "x"), -1);
    assert_int_equal(errno, 99);
    assert_int_equal(chdir(cwd), 0);
    close(pipes[0]);
    close(pipes[1]);
}

static void key_of_bad_path_is_refused(void **state)
{
    char path[5000], name[300];

    (void)state;
    assert_int_equal(mioc_path_key(&key, AT_FDCWD, NULL), -1);
    assert_int_equal(mioc_path_key(&key, AT_FDCWD, ""), -1);
    for (size_t i = 0; i < sizeof path; i++)
        path[i] = i % 2 ? 'x' : '/';
    path[4096] = '\0';
    assert_int_equal(mioc_path_key(&key, AT_FDCWD, path), -1);
    path[4095] = '\0';
    assert_int_equal(mioc_path_key(&key, AT_FDCWD, path), 0);
    assert_int_equal(key.len, 4095);
    path[1] = '.'; /* needs folding, and fits then */
    assert_int_equal(mioc_path_key(&key, AT_FDCWD, path), 0);
    assert_int_equal(key.len, 4093);
    assert_int_equal(mioc_path_key(&key, AT_FDCWD, path + 1), -1); /* relative: does not fit behind the cwd */

    memset(name, 'n', sizeof name);
    name[0] = '/';
    name[257] = '\0';
    assert_int_equal(mioc_path_key(&key, AT_FDCWD, name), -1);
    name[256] = '\0';
    assert_int_equal(mioc_path_key(&key, AT_FDCWD, name), 0);
    strcpy(name + 256, "/a/b");
    assert_int_equal(mioc_path_key(&key, AT_FDCWD, name), 0);
}

static void dotdot_is_found_as_component_only(void **state)
{
    static const struct {
        const char *path;
        int expected;
    } table[] = {
        { "/a/../b", 1 }, { "/a/..", 1 },  { "/..", 1 },    { "/../a", 1 },          { "..", 1 },
        { "../a", 1 },    { "/a/..b", 0 }, { "/a../b", 0 }, { "/a/...", 0 },         { "/a/./b", 0 },
        { "/", 0 },       { "/a//b", 0 },  { "...", 0 },    { "/1234567890/..", 1 }, { "/12345/./..x/..", 1 },
        { "", 0 },        { ".", 0 },      { "/.", 0 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char *path = exact(table[i].path);
        assert_int_equal(mioc_path_has_dotdot(path, (uint32_t)strlen(path)), table[i].expected);
        free(path);
    }
    assert_int_equal(mioc_path_has_dotdot("/a/..", 4), 0); /* bytes behind the length do not count */
    assert_int_equal(mioc_path_has_dotdot("/a/..b", 5), 1);
}

static void normalize_gives_lexical_normal_form(void **state)
{
    static const struct {
        const char *path, *expected;
    } table[] = {
        { "/", "/" },
        { "//", "/" },
        { "/..", "/" },
        { "/../..", "/" },
        { "/a/..", "/" },
        { "/a/../b", "/b" },
        { "/a/b/../../c/", "/c" },
        { "/a/./b//c/.", "/a/b/c" },
        { "/a/..b/..", "/a" },
        { "/a/b/..", "/a" },
    };
    char out[16];

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        assert_int_equal(mioc_path_normalize(table[i].path, out, sizeof out), strlen(table[i].expected));
        assert_string_equal(out, table[i].expected);
    }
    errno = 0;
    assert_int_equal(mioc_path_normalize("/abc", out, 4), -1);
    assert_int_equal(errno, ENAMETOOLONG);
    assert_int_equal(mioc_path_normalize("/abc", out, 5), 4);
    assert_int_equal(mioc_path_normalize("/", out, 1), -1);
}

static void normalize_in_place_is_the_same(void **state)
{
    char path[64] = "/a/./b//c/../../dd/e/";

    (void)state;
    assert_int_equal(mioc_path_normalize(path, path, sizeof path), 7);
    assert_string_equal(path, "/a/dd/e");
}

static void turns_are_the_directories_that_are_left(void **state)
{
    static const struct {
        const char *path, *turns;
    } table[] = {
        { "/a/b", "" },
        { "/", "" },
        { "/a/../b", " /a" },
        { "/a/b/../../c", " /a/b /a" },
        { "/a//b/./../c/..", " /a/b /a/c" },
        { "/../x", " /" },
        { "/../x/../y", " / /x" },
        { "/a/..", " /a" },
        { "/a/../", " /a" },
        { "/a/...", "" },
        { "/a/..b/../c", " /a/..b" },
    };
    char turn[MIOC_PATH_MAX], all[128];
    uint32_t n;

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        all[0] = '\0';
        for (unsigned k = 0; (n = mioc_path_turn(table[i].path, (uint32_t)strlen(table[i].path), k, turn)) > 0; k++) {
            assert_int_equal(strlen(turn), n);
            strcat(strcat(all, " "), turn);
        }
        assert_string_equal(all, table[i].turns);
    }
}

static void below_needs_whole_components(void **state)
{
    static const struct {
        const char *path, *prefix;
        int expected;
    } table[] = {
        { "/a/b", "/a", 1 }, { "/a", "/a", 1 }, { "/ab", "/a", 0 }, { "/a", "/a/b", 0 }, { "/", "/", 1 },
        { "/x", "/", 1 },    { "x", "/", 0 },   { "/a/", "/a", 1 }, { "", "/", 0 },      { "/b/c", "/a", 0 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        assert_int_equal(mioc_path_is_below(table[i].path, (uint32_t)strlen(table[i].path), table[i].prefix,
                                            (uint32_t)strlen(table[i].prefix)),
                         table[i].expected);
}

static void parent_of_path_is_a_length(void **state)
{
    static const struct {
        const char *path;
        uint32_t expected;
    } table[] = {
        { "/a/b", 2 },   { "/a", 1 }, { "/", 0 }, { "/a/", 0 }, { "/a/.", 0 }, { "/a/..", 0 },  { "/a/.b", 2 },
        { "/a/..b", 2 }, { "", 0 },   { "a", 0 }, { "/..", 0 }, { "/.", 0 },   { "/a/...", 2 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        assert_int_equal(mioc_path_parent(table[i].path, (uint32_t)strlen(table[i].path)), table[i].expected);
}

static void object_name_has_no_more_than_a_version_behind_so(void **state)
{
    static const struct {
        const char *name;
        int expected;
    } table[] = {
        { "a.so", 1 },
        { "x.cpython-311-x86_64-linux-gnu.so", 1 },
        { "a.so.1", 1 },
        { "libm.so.6", 1 },
        { "libfoo.so.1.2.3", 1 },
        { "libcrypto.so.1.0.0k", 1 },
        { "libz.so.1.so.2", 1 },
        { "a.so.x.so.1", 1 },
        { "lib-2.31.so", 1 },
        { "a.so.0RC1", 1 },
        { "libm.so.", 0 },
        { ".so", 0 },
        { ".so.1", 0 },
        { "so", 0 },
        { "", 0 },
        { "aso", 0 },
        { "a.sox", 0 },
        { "a.so.x", 0 },
        { "a.so.x1", 0 },
        { "a.so.1~", 0 },
        { "libstdc++.so.6.0.30-gdb.py", 0 },
        { "a.so.1_", 0 },
        { "a.so.1 ", 0 },
        { "a.so.1@", 0 },
        { "a.so.1\300", 0 },
        { "a.SO.1", 0 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (mioc_path_is_object_name(table[i].name, (uint32_t)strlen(table[i].name)) != table[i].expected)
            fail_msg("%s", table[i].name);
    assert_true(mioc_path_is_object_name("a.so.1~", 6)); /* what stands behind the length is not looked at */
    assert_false(mioc_path_is_object_name("a.so", 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(key_of_absolute_path_is_folded),
        cmocka_unit_test(key_of_plain_path_is_the_callers_string),
        cmocka_unit_test(key_of_odd_pair_anywhere_is_found),
        cmocka_unit_test(key_of_relative_path_starts_at_cwd),
        cmocka_unit_test(key_relative_to_descriptor_starts_there),
        cmocka_unit_test(key_without_directory_is_refused),
        cmocka_unit_test(key_of_bad_path_is_refused),
        cmocka_unit_test(dotdot_is_found_as_component_only),
        cmocka_unit_test(normalize_gives_lexical_normal_form),
        cmocka_unit_test(normalize_in_place_is_the_same),
        cmocka_unit_test(turns_are_the_directories_that_are_left),
        cmocka_unit_test(below_needs_whole_components),
        cmocka_unit_test(parent_of_path_is_a_length),
        cmocka_unit_test(object_name_has_no_more_than_a_version_behind_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
