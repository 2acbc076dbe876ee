/* SPDX-License-Identifier: BSD-3-Clause */
/* test_policy.c - how a path is classified under a policy made by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "policy/policy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NONE MIOC_POLICY_NONE
#define LIBRARY MIOC_POLICY_LIBRARY
#define IMPORT MIOC_POLICY_IMPORT

static struct mioc_policy policy;

static void add(const char *path, enum mioc_policy_class kind, uint32_t names_only, const char *real)
{
    struct mioc_policy_prefix *prefix = &policy.prefix[policy.count++];

    strcpy(prefix->path, path);
    strcpy(prefix->real, real);
    prefix->len = (uint32_t)strlen(path);
    prefix->real_len = (uint32_t)strlen(real);
    prefix->kind = kind;
    prefix->interpreter_names_only = names_only;
}

/* An environment in a directory with a script and data; longest first, as policy_build.c sorts. */
static int make_policy(void **state)
{
    (void)state;
    memset(&policy, 0, sizeof policy);
    add("/shared/home/u/env/lib64", LIBRARY, 0, "/shared/home/u/env/lib");
    add("/shared/home/u/env/lib", LIBRARY, 0, "/lustre/u/env/lib");
    add("/shared/home/u/env", LIBRARY, 1, "/lustre/u/env");
    add("/shared/home/u", IMPORT, 0, "/lustre/u");
    add("/opt/x", LIBRARY, 0, "");
    strcpy(policy.exclude[0].path, "/shared/home/u/env/lib/not");
    policy.exclude[0].len = (uint32_t)strlen(policy.exclude[0].path);
    policy.excludes = 1;
    return 0;
}

static enum mioc_policy_class classify(const char *path)
{
    char *copy = strdup(path); /* a sanitizer sees what is read behind it */
    enum mioc_policy_class kind;

    errno = 99;
    kind = mioc_policy_classify(&policy, copy, (uint32_t)strlen(copy));
    assert_int_equal(errno, 99);
    free(copy);
    return kind;
}

static void classify_path_gives_class(void **state)
{
    static const struct {
        const char *path;
        enum mioc_policy_class expected;
    } table[] = {
        { "/shared/home/u/env/lib", LIBRARY },
        { "/shared/home/u/env/lib/", LIBRARY },
        { "/shared/home/u/env/lib/python3.11/os.py", LIBRARY },
        { "/shared/home/u/env/lib/any.data", LIBRARY },
        { "/shared/home/u/env/lib64/x", LIBRARY },
        { "/shared/home/u/env/lib32/x", NONE },
        { "/shared/home/u/env/libx", NONE },
        /* an interpreter's place: getpath's names */
        { "/shared/home/u/env", LIBRARY },
        { "/shared/home/u/env/", LIBRARY },
        { "/shared/home/u/env/bin", LIBRARY },
        { "/shared/home/u/env/bin/python3.11", LIBRARY },
        { "/shared/home/u/env/pyvenv.cfg", LIBRARY },
        { "/shared/home/u/env/bin/pyvenv.cfg", LIBRARY },
        { "/shared/home/u/env/bin/pybuilddir.txt", LIBRARY },
        { "/shared/home/u/env/bin/python3._pth", LIBRARY },
        { "/shared/home/u/env/bin/Modules/Setup.local", LIBRARY },
        { "/shared/home/u/env/bin/lib/python3.11/os.py", LIBRARY },
        { "/shared/home/u/env/local/lib/python3.11/dist-packages", LIBRARY },
        { "/shared/home/u/env/python-results", NONE },
        { "/shared/home/u/env/python3._pth", LIBRARY },
        { "/shared/home/u/env/done.flag", NONE },
        { "/shared/home/u/env/bin/tool", NONE },
        { "/shared/home/u/env/local/data", NONE },
        { "/shared/home/u/env/python/data.npy", NONE },
        { "/shared/home/u/env/pyvenv.cfg/x", NONE },
        /* what is no name of an interpreter's may still be a script's */
        { "/shared/home/u/env/app.py", IMPORT },
        { "/shared/home/u/env/pkg/__init__.py", IMPORT },
        /* a script's directory: import-shaped names at any depth */
        { "/shared/home/u/app.py", IMPORT },
        { "/shared/home/u/a/b/c.pyc", IMPORT },
        { "/shared/home/u/x.cpython-311.so", IMPORT },
        { "/shared/home/u/lib/liba.so.1.2", IMPORT },
        { "/shared/home/u/liba.so.1/x.npy", NONE },
        { "/shared/home/u/__pycache__", IMPORT },
        { "/shared/home/u/__pycache__/m.cpython-311.pyc.140212345", IMPORT },
        { "/shared/home/u", NONE },
        { "/shared/home/u/", NONE },
        { "/shared/home/u/pkg", NONE },
        { "/shared/home/u/app.py/", NONE },
        { "/shared/home/u/done.flag", NONE },
        { "/shared/home/u/x.npy", NONE },
        { "/shared/home/u/x.pth", NONE },
        { "/shared/home/u/.py", NONE },
        { "/shared/home/u2/app.py", NONE },
        /* a prefix by whole components */
        { "/opt/x", LIBRARY },
        { "/opt/x/y", LIBRARY },
        { "/opt/xy", NONE },
        { "/opt", NONE },
        { "/", NONE },
        { "/o", NONE },
        { "", NONE },
        { "opt/x/y", NONE },
        /* excluded */
        { "/shared/home/u/env/lib/not", NONE },
        { "/shared/home/u/env/lib/not/a.py", NONE },
        { "/shared/home/u/env/lib/nothing", LIBRARY },
    };

    (void)state;
    for (int quick = 0; quick < 2; quick++) {
        policy.heads = quick ? 2 : 0;
        memcpy(&policy.head[0], "/shared/", 8);
        memcpy(&policy.head[1], "/opt/x\0", 8);
        policy.mask[0] = ~0ull;
        memcpy(&policy.mask[1], "\xff\xff\xff\xff\xff\xff\0", 8);
        for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
            if (classify(table[i].path) != table[i].expected)
                fail_msg("%s is %d", table[i].path, classify(table[i].path));
    }
}

static void classify_dotdot_needs_both_forms_below_prefixes(void **state)
{
    static const struct {
        const char *path;
        enum mioc_policy_class expected;
    } table[] = {
        { "/shared/home/u/env/lib/../../../../../etc/passwd", NONE },
        { "/opt/x/../y", NONE },
        { "/opt/x/..", NONE },
        { "/opt/y/../x/z", NONE }, /* y may be a link to anywhere */
        { "/opt/x/y/../z", LIBRARY },
        { "/shared/home/u/env/bin/../lib/python3.11/os.py", LIBRARY },
        { "/shared/home/u/env/lib/python3.11/site-packages/numpy/core/../../numpy.libs/x.so", LIBRARY },
        { "/shared/home/u/env/lib/../done.flag", NONE },
        { "/shared/home/u/env/lib/../app.py", IMPORT },
        { "/shared/home/u/env/lib/a/../not/x", NONE },
        { "/shared/home/u/env/lib/not/../x", NONE },
        { "/shared/home/u/data/../app.py", IMPORT },
        { "/shared/home/u/app.py/..", NONE },
    };
    char path[5000];

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (classify(table[i].path) != table[i].expected)
            fail_msg("%s is %d", table[i].path, classify(table[i].path));
    memset(path, 'a', sizeof path);
    memcpy(path, "/opt/x/../", 10);
    path[4999] = '\0';
    assert_int_equal(classify(path), NONE);
}

static void classify_under_empty_policy_is_none(void **state)
{
    (void)state;
    memset(&policy, 0, sizeof policy);
    assert_int_equal(classify("/usr/lib/python3/os.py"), NONE);
    assert_int_equal(mioc_policy_covers_cwd(&policy, "/usr"), NONE);
}

static void whole_is_a_library_prefix_only(void **state)
{
    static const struct {
        const char *path;
        int expected;
    } table[] = {
        { "/shared/home/u/env/lib/python3.11", 1 },
        { "/shared/home/u/env/lib", 1 },
        { "/shared/home/u/env/bin/../lib", 1 },
        { "/shared/home/u/env", 0 },
        { "/shared/home/u/env/bin", 0 },
        { "/shared/home/u/__pycache__", 0 },
        { "/shared/home/u/env/lib/not", 0 },
        { "/shared/home/u/env/lib/..", 0 },
        { "/etc", 0 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        assert_int_equal(mioc_policy_is_whole(&policy, table[i].path, (uint32_t)strlen(table[i].path)),
                         table[i].expected);
}

static void concerned_by_change_if_ours_or_something_below(void **state)
{
    static const struct {
        const char *path;
        int subtree, expected;
    } table[] = {
        { "/opt/x/y", 0, 1 },
        { "/opt", 0, 0 },
        { "/opt", 1, 1 },
        { "/opt/", 1, 1 },
        { "/", 1, 1 },
        { "/op", 1, 0 },
        { "/opt/../opt", 1, 1 },
        { "/shared/home/u/pkg", 0, 0 },
        { "/shared/home/u/pkg", 1, 1 },
        { "/shared/home/u/a-1.0.egg", 1, 1 },
        { "/shared/home/u/ckpt.h5", 1, 0 },
        { "/shared/home/u/ckpt.tmp", 1, 0 },
        { "/shared/home/u/app.py", 1, 1 },
        { "/shared/home/u/env/lib/not/x", 1, 0 },
        { "/tmp/x", 1, 0 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (mioc_policy_is_concerned(&policy, table[i].path, (uint32_t)strlen(table[i].path), table[i].subtree) !=
            table[i].expected)
            fail_msg("%s, %d is not %d", table[i].path, table[i].subtree, table[i].expected);
}

static void alias_replaces_what_the_prefix_links_to(void **state)
{
    char out[64];

    (void)state;
    assert_int_equal(mioc_policy_alias(&policy, 1, "/lustre/u/env/lib/x.py", 22, out, sizeof out), 27);
    assert_string_equal(out, "/shared/home/u/env/lib/x.py");
    assert_int_equal(mioc_policy_alias(&policy, 1, "/lustre/u/env/lib", 17, out, sizeof out), 22);
    assert_int_equal(mioc_policy_alias(&policy, 1, "/lustre/u/env/libx", 18, out, sizeof out), 0);
    assert_int_equal(mioc_policy_alias(&policy, 1, "/lustre/u/env/lib/x.py", 22, out, 27), 0); /* no room for the NUL */
    assert_int_equal(mioc_policy_alias(&policy, 4, "/opt/x/y", 8, out, sizeof out), 0);
}

static void cwd_on_or_below_prefix_is_covered(void **state)
{
    static const struct {
        const char *cwd;
        enum mioc_policy_class expected;
    } table[] = {
        { "/opt/x", LIBRARY },
        { "/opt/x/y/z", LIBRARY },
        { "/opt", NONE },
        { "/opt/xy", NONE },
        { "/", NONE },
        { "/shared/home/u", IMPORT },
        { "/shared/home/u/run/1", IMPORT },
        { "/shared/home/u/env", LIBRARY },
        { "/shared/home/u/env/bin", LIBRARY },
        { "/shared/home/u/env/run", IMPORT },
        { "/shared/home/u/env/lib/a", LIBRARY },
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        assert_int_equal(mioc_policy_covers_cwd(&policy, table[i].cwd), table[i].expected);
}

static void import_name_is_told_by_its_end(void **state)
{
    static const struct {
        const char *name;
        int expected;
    } table[] = {
        { "a.py", 1 },
        { "a.pyc", 1 },
        { "a.so", 1 },
        { "__pycache__", 1 },
        { "a.cpython-311-x86_64-linux-gnu.so", 1 },
        { "liba.so.1", 1 },
        { "liba.so.1.2.3", 1 },
        { "a.cpython-311.pyc.1402", 1 },
        { ".py", 0 },
        { ".pyc.1", 0 },
        { "a.pyc.", 0 },
        { "a.pyc.1x", 0 },
        { "a.py.1", 0 },
        { "1", 0 },
        { "a.pth", 0 },
        { "a.pyx", 0 },
        { "a.so.", 0 },
        { "a.so.x", 0 },
        { "a.so.1-old", 0 },
        { ".so", 0 },
        { "", 0 },
        { "py", 0 },
        { "xpy", 0 },
        { "a.PY", 0 },
        { "__pycache__2", 0 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (mioc_policy_is_import_name(table[i].name, (uint32_t)strlen(table[i].name)) != table[i].expected)
            fail_msg("%s is not %d", table[i].name, table[i].expected);
}

static void type_of_shared_filesystem_is_known(void **state)
{
    static const char *const shared[] = {
        "lustre", "nfs",  "nfs4",   "gpfs",  "fuse", "fuse.sshfs", "fuse.metadata_server",
        "beegfs", "ceph", "wekafs", "panfs", "cifs", "9p"
    };
    static const char *const local[] = { "ext4",
                                         "xfs",
                                         "tmpfs",
                                         "overlay",
                                         "squashfs",
                                         "fuseblk",
                                         "btrfs",
                                         "proc",
                                         "",
                                         "nfsd",
                                         "autofs",
                                         "fuse.squashfuse_ll",
                                         "fuse.fuse-overlayfs",
                                         "ramfs" };

    (void)state;
    for (size_t i = 0; i < sizeof shared / sizeof shared[0]; i++)
        assert_int_equal(mioc_policy_is_shared_type(shared[i]), 1);
    for (size_t i = 0; i < sizeof local / sizeof local[0]; i++)
        assert_int_equal(mioc_policy_is_shared_type(local[i]), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(classify_path_gives_class, make_policy),
        cmocka_unit_test_setup(classify_dotdot_needs_both_forms_below_prefixes, make_policy),
        cmocka_unit_test(classify_under_empty_policy_is_none),
        cmocka_unit_test_setup(whole_is_a_library_prefix_only, make_policy),
        cmocka_unit_test_setup(concerned_by_change_if_ours_or_something_below, make_policy),
        cmocka_unit_test_setup(alias_replaces_what_the_prefix_links_to, make_policy),
        cmocka_unit_test_setup(cwd_on_or_below_prefix_is_covered, make_policy),
        cmocka_unit_test(import_name_is_told_by_its_end),
        cmocka_unit_test(type_of_shared_filesystem_is_known),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
