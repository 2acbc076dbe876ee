/* SPDX-License-Identifier: BSD-3-Clause */
/* test_role_mpi4py.c - which mpi4py an interpreter would import. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "launch/role.h"
#include "elf_fixture.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64];

static const char *in_dir(const char *name)
{
    static char path[16][512];
    static unsigned next;

    next = (next + 1) % 16;
    snprintf(path[next], sizeof path[0], "%s/%s", dir, name);
    return path[next];
}

static void make_parents(const char *path)
{
    char copy[512];

    snprintf(copy, sizeof copy, "%s", path);
    for (char *slash = copy + 1; (slash = strchr(slash, '/')) != NULL; *slash++ = '/') {
        *slash = '\0';
        (void)mkdir(copy, 0700);
    }
}

static void write_elf(const char *name, const char *needed)
{
    const char *names[] = { "libc.so.6", needed, NULL };
    struct elf_fixture elf;

    make_parents(in_dir(name));
    elf_fill(&elf, names);
    assert_int_equal(elf_write(in_dir(name), &elf, sizeof elf), 0);
}

static int setup(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/mioc-test-mpi4py.XXXXXX");
    return mkdtemp(dir) == NULL;
}

static int teardown(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command);
}

/* --- mpi4py ------------------------------------------------------------------------------------------------------ */

#define EXTENSION "mpi4py/MPI.cpython-311-x86_64-linux-gnu.so"

static int check(char *const *env, char *reason)
{
    struct mioc_role_python python = {
        .version = "3.11", .exec_fn = in_dir("env/bin/python3"), .exe = in_dir("base/bin/python3.11"), .env = env
    };

    write_elf("plugin.so", "libmpich.so.12");
    reason[0] = '\0';
    return mioc_role_check_mpi4py(&python, in_dir("plugin.so"), reason, 256);
}

static void check_mpi4py_none_is_good(void **state)
{
    char *env[] = { NULL }, reason[256];

    (void)state;
    assert_int_equal(check(env, reason), 0);
    assert_string_equal(reason, "");
}

static void check_mpi4py_linked_library_decides(void **state)
{
    static const struct {
        const char *needed;
        int rc;
    } row[] = {
        { "libmpich.so.12", 0 },                         /* the plug-in's */
        { "libmpi.so.40", -1 },                          /* Open MPI */
        { "libmpi.so.12", -1 },                          /* another MPICH */
        { "libmpi_cray.so.12", -1 }, { "libm.so.6", 0 }, /* found at run time */
    };
    char *env[] = { NULL }, reason[256];

    (void)state;
    assert_int_equal(mkdir(in_dir("base"), 0700), 0);
    for (unsigned i = 0; i < sizeof row / sizeof *row; i++) {
        write_elf("base/lib/python3.11/site-packages/" EXTENSION, row[i].needed);
        assert_int_equal(check(env, reason), row[i].rc);
        if (row[i].rc != 0)
            assert_non_null(strstr(reason, row[i].needed));
    }
}

static void check_mpi4py_several_variants_one_good_is_good(void **state)
{
    char *env[] = { NULL }, reason[256];

    (void)state;
    write_elf("base/lib/python3.11/site-packages/mpi4py/MPI.openmpi.cpython-311-x86_64-linux-gnu.so", "libmpi.so.40");
    assert_int_equal(check(env, reason), -1);
    write_elf("base/lib/python3.11/site-packages/mpi4py/MPI.mpich.cpython-311-x86_64-linux-gnu.so", "libmpich.so.12");
    assert_int_equal(check(env, reason), 0);
}

static void check_mpi4py_python_path_comes_first(void **state)
{
    char variable[600], *env[] = { variable, NULL }, reason[256];

    (void)state;
    write_elf("base/lib/python3.11/site-packages/" EXTENSION, "libmpi.so.40");
    write_elf("first/" EXTENSION, "libmpich.so.12");
    snprintf(variable, sizeof variable, "PYTHONPATH=:/nonexistent:%s", in_dir("first"));
    assert_int_equal(check(env, reason), 0);
}

static void check_mpi4py_venv_hides_its_base(void **state)
{
    static const char closed[] = "home = /usr/bin\ninclude-system-site-packages = false\n";
    static const char open[] = "home = /usr/bin\ninclude-system-site-packages = true\n";
    char *env[] = { NULL }, reason[256];

    (void)state;
    write_elf("base/lib/python3.11/site-packages/" EXTENSION, "libmpi.so.40");
    make_parents(in_dir("env/pyvenv.cfg"));
    assert_int_equal(elf_write(in_dir("env/pyvenv.cfg"), closed, sizeof closed - 1), 0);
    assert_int_equal(check(env, reason), 0);
    assert_int_equal(elf_write(in_dir("env/pyvenv.cfg"), open, sizeof open - 1), 0);
    assert_int_equal(check(env, reason), -1);
    write_elf("env/lib/python3.11/site-packages/" EXTENSION, "libmpich.so.12");
    assert_int_equal(check(env, reason), 0);
}

static void check_mpi4py_user_site_unless_refused(void **state)
{
    char home[600], *env[] = { home, NULL, NULL }, reason[256];

    (void)state;
    write_elf("home/.local/lib/python3.11/site-packages/" EXTENSION, "libmpi.so.40");
    snprintf(home, sizeof home, "HOME=%s", in_dir("home"));
    assert_int_equal(check(env, reason), -1);
    env[1] = (char *)(uintptr_t) "PYTHONNOUSERSITE=1";
    assert_int_equal(check(env, reason), 0);
}

static void check_mpi4py_plugin_without_mpi_is_refused(void **state)
{
    struct mioc_role_python python = { .version = "3.11", .exec_fn = "/x/bin/y", .exe = "/x/bin/y", .env = NULL };
    char reason[256];

    (void)state;
    write_elf("plugin.so", "libm.so.6");
    assert_int_equal(mioc_role_check_mpi4py(&python, in_dir("plugin.so"), reason, sizeof reason), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(check_mpi4py_none_is_good, setup, teardown),
        cmocka_unit_test_setup_teardown(check_mpi4py_linked_library_decides, setup, teardown),
        cmocka_unit_test_setup_teardown(check_mpi4py_several_variants_one_good_is_good, setup, teardown),
        cmocka_unit_test_setup_teardown(check_mpi4py_python_path_comes_first, setup, teardown),
        cmocka_unit_test_setup_teardown(check_mpi4py_venv_hides_its_base, setup, teardown),
        cmocka_unit_test_setup_teardown(check_mpi4py_user_site_unless_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(check_mpi4py_plugin_without_mpi_is_refused, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
