/* SPDX-License-Identifier: BSD-3-Clause */
/* test_policy_build.c - which prefixes an interpreter, its command line and its environment give. */
#include "policy_fixture.h"

static void build_from_command_line_gives_prefixes(void **state)
{
    static const struct example table[] = {
        /* a script, by every way to name the interpreter */
        { "$/env/bin/python3",
          "$/env/bin/python3",
          "$/run",
          { "python3", "../src/app.py" },
          { 0 },
          0,
          0,
          ENV " I:/src" },
        { "../env/bin/python3",
          "$/env/bin/python3",
          "$/run",
          { "python3", "$/src/app.py" },
          { 0 },
          0,
          0,
          ENV " I:/src" },
        { "python3",
          "$/env/bin/python3",
          "$/run",
          {
              "python3",
              "-W",
              "error",
              "-X",
              "dev",
          },
          { 0 },
          0,
          0,
          ENV " I:/run" },
        /* "#!": AT_EXECFN is the script and not an interpreter */
        { "$/src/app.py",
          "$/env/bin/python3",
          "$/run",
          { "$/venv/bin/python", "$/src/app.py" },
          { 0 },
          0,
          0,
          "L:/venv/lib64 L:/env/lib64 L:/venv/lib L:/env/lib N:/venv N:/env I:/src" },
        /* a virtual environment and its base */
        { "$/venv/bin/python",
          "$/env/bin/python3",
          "$/run",
          { "python", "-c", "x" },
          { 0 },
          0,
          0,
          "L:/venv/lib64 L:/env/lib64 L:/venv/lib L:/env/lib N:/venv N:/env I:/run" },
        { "$/copies/bin/python",
          "$/copies/bin/python",
          "$/run",
          { "python", "-P", "-c", "x" },
          { 0 },
          0,
          0,
          "L:/copies/lib64 L:/copies/lib N:/copies L:/mods/lib64 L:/mods/lib N:/mods" },
        { "$/copies/bin/python",
          "$/copies/bin/python",
          "$/run",
          { "python", "-P", "-c", "x" },
          { "PYTHONHOME=$/env" },
          0,
          0,
          "L:/copies/lib64 L:/copies/lib N:/copies L:/env/lib64 L:/env/lib N:/env" },
        /* a symbolic link's directory and its target's */
        { "$/env/bin/python3",
          "$/env/bin/python3",
          "$/src",
          { "p", "$/run/link.py" },
          { 0 },
          0,
          0,
          ENV " I:/src I:/run" },
        /* a directory with a __main__.py */
        { "$/env/bin/python3",
          "$/env/bin/python3",
          "$/src",
          { "p", "-sB", "$/zipapp" },
          { 0 },
          0,
          0,
          "L:/env/lib64 L:/env/lib I:/zipapp N:/env" },
        /* -m and what such a module runs */
        { "$/env/bin/python3",
          "$/env/bin/python3",
          "$/run",
          { "p", "-m", "mpi4py", "$/src/app.py" },
          { 0 },
          0,
          0,
          ENV " I:/run I:/src" },
        { "$/env/bin/python3", "$/env/bin/python3", "$/run", { "p", "-Bmtimeit" }, { 0 }, 0, 0, ENV " I:/run" },
        /* no sys.path[0] */
        { "$/env/bin/python3",
          "$/env/bin/python3",
          "$/run",
          { "p", "-I", "$/src/app.py" },
          { "HOME=$/home" },
          0,
          0,
          ENV },
        { "$/env/bin/python3", "$/env/bin/python3", "$/run", { "p", "-P", "-c", "x" }, { 0 }, 0, 0, ENV },
        { "$/env/bin/python3",
          "$/env/bin/python3",
          "$/run",
          { "p", "$/src/app.py" },
          { "PYTHONSAFEPATH=1" },
          0,
          0,
          ENV },
        { "$/env/bin/python3", "$/env/bin/python3", "$/run", { "p", "$/none/app.py" }, { 0 }, 0, 0, ENV },
        { "$/env/bin/python3", "$/env/bin/python3", "$/run", { "p", "-" }, { 0 }, 0, 0, ENV " I:/run" },
        { "$/env/bin/python3",
          "$/env/bin/python3",
          "$/run",
          { "p", "--", "$/src/app.py" },
          { 0 },
          0,
          0,
          ENV " I:/src" },
        { "$/env/bin/python3", "$/env/bin/python3", "$/run", { "p", "-c" }, { 0 }, 0, 0, ENV " I:/run" },
        { "$/env/bin/python3", "$/env/bin/python3", "$/run", { "p", "-m" }, { 0 }, 0, 0, ENV " I:/run" },
        { "$/env/bin/python3", "$/env/bin/python3", "$/run", { 0 }, { 0 }, 0, 0, ENV " I:/run" },
        { "", "$/env/bin/python3 (deleted)", "$/run", { "p", "$/src/app.py" }, { 0 }, 0, 0, "I:/src" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        check(&table[i]);
}

static void build_from_environment_gives_prefixes(void **state)
{
    static const struct example table[] = {
        { RUN, { "HOME=$/home" }, 0, 0, "L:/home/.local/lib L:/env/lib64 L:/env/lib N:/env" },
        { RUN, { "HOME=$/home", "PYTHONUSERBASE=$/mods" }, 0, 0, "L:/env/lib64 L:/mods/lib L:/env/lib N:/env" },
        { RUN, { "HOME=$/home", "PYTHONNOUSERSITE=1" }, 0, 0, ENV },
        { RUN, { "HOME=$/nobody" }, 0, 0, ENV },
        { RUN, { "HOME=nobody" }, 0, 0, ENV },
        { RUN,
          { "PYTHONHOME=$/venv:$/mods" },
          0,
          0,
          "L:/venv/lib64 L:/mods/lib64 L:/env/lib64 L:/venv/lib L:/mods/lib L:/env/lib N:/venv N:/mods N:/env" },
        /* the empty part is the working directory; one that is missing, or library already, is none */
        { RUN,
          { "PYTHONPATH=$/mods//::$/none:$/env/lib/python3.11/x:/:/proc" },
          0,
          0,
          "L:/env/lib64 L:/env/lib I:/mods N:/env I:/src" },
        { RUN, { "PYTHONPATH=../mods" }, 0, 0, "L:/env/lib64 L:/env/lib I:/mods N:/env" },
        { RUN, { "PYTHONPATH=" }, 0, 0, ENV },
        { "$/env/bin/python3",
          "$/env/bin/python3",
          "$/src",
          { "p", "-EP" },
          { "PYTHONPATH=$/mods", "PYTHONHOME=$/venv" },
          0,
          0,
          ENV },
        /* the same directory as an interpreter's place and as the script's */
        { "$/env/bin/python3",
          "$/env/bin/python3",
          "$/env",
          { "p" },
          { 0 },
          0,
          0,
          "L:/env/lib64 L:/env/lib I:/env N:/env" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        check(&table[i]);
}

static void build_from_configuration_gives_prefixes(void **state)
{
    static const struct example table[] = {
        { RUN, { 0 }, "$/mods:/proc/self", 0, "L:/env/lib64 L:/env/lib L:/mods N:/env L:/proc/self" },
        { RUN, { 0 }, "/:$/none", 0, "L:/env/lib64 L:/none L:/env/lib N:/env" },
        { RUN, { "PYTHONPATH=$/mods" }, "$/mods", 0, "L:/env/lib64 L:/env/lib L:/mods N:/env" },
    };
    struct example excluding = { RUN, { 0 }, 0, "$/env/lib/x:$/env/bin/", ENV };
    char path[1024];

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        check(&table[i]);
    check(&excluding);
    assert_int_equal(policy.excludes, 2);
    expand("$/env/lib/x/y", path);
    assert_int_equal(mioc_policy_classify(&policy, path, (uint32_t)strlen(path)), MIOC_POLICY_NONE);
    expand("$/env/bin/python3", path);
    assert_int_equal(mioc_policy_classify(&policy, path, (uint32_t)strlen(path)), MIOC_POLICY_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(build_from_command_line_gives_prefixes),
        cmocka_unit_test(build_from_environment_gives_prefixes),
        cmocka_unit_test(build_from_configuration_gives_prefixes),
    };

    return cmocka_run_group_tests(tests, make_tree, remove_tree);
}
