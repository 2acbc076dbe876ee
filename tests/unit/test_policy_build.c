/* SPDX-License-Identifier: BSD-3-Clause */
/* test_policy_build.c - which prefixes an interpreter, its command line and its environment give. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "policy/policy_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static struct mioc_policy policy;
static struct mioc_config config;
static char root[64], mounts[1024];

/* $ stands for the directory of this test, which mountinfo says is on a shared filesystem. */
static const char *expand(const char *text, char out[1024])
{
    size_t n = 0;

    for (; *text; text++)
        n += (size_t)snprintf(out + n, 1024 - n, *text == '$' ? "%s" : "%.1s", *text == '$' ? root : text);
    out[n] = '\0';
    return out;
}

static void make(const char *path, int is_directory)
{
    char name[1024];
    FILE *f;

    expand(path, name);
    if (is_directory) {
        assert_int_equal(mkdir(name, 0700), 0);
        return;
    }
    f = fopen(name, "w");
    assert_non_null(f);
    fclose(f);
}

/* $/copies/bin/python is no link, and its base is $/mods; $/env has the library itself. */
static void make_venv_of_copies(void)
{
    static const char *const directories[] = { "$/copies",  "$/copies/bin",         "$/copies/lib",
                                               "$/env/lib", "$/env/lib/python3.11", "$/env/lib/python3.11/encodings" };
    char name[1024];
    FILE *f;

    for (size_t i = 0; i < sizeof directories / sizeof directories[0]; i++)
        make(directories[i], 1);
    f = fopen(expand("$/copies/pyvenv.cfg", name), "w");
    assert_non_null(f);
    fprintf(f, "homes = /nowhere/bin\n \tHome\t=  %s/mods/./bin  \r\nhome = /other/bin\n", root);
    fclose(f);
    f = fopen(expand("$/env/pyvenv.cfg", name), "w"); /* not read */
    assert_non_null(f);
    fprintf(f, "home = %s/mods/bin\n", root);
    fclose(f);
}

static void write_mounts(const char *type)
{
    struct stat st;
    FILE *f = fopen(mounts, "w");

    assert_non_null(f);
    assert_int_equal(stat(root, &st), 0);
    fprintf(f,
            "1 0 0:1 / /proc rw - proc proc rw\n2 1 %u:%u / /with\\040blank rw,relatime shared:1 master:2 - %s fs rw\n",
            major(st.st_dev), minor(st.st_dev), type);
    fclose(f);
}

static int make_tree(void **state)
{
    char target[1024], link[1024];

    (void)state;
    strcpy(root, "/tmp/mioc_policy_XXXXXX");
    assert_non_null(mkdtemp(root));
    static const char *const directories[] = {
        "$/env", "$/env/bin", "$/venv",    "$/venv/bin", "$/home",  "$/home/.local", "$/home/.local/lib",
        "$/run", "$/src",     "$/src/pkg", "$/mods",     "$/zipapp"
    };
    for (size_t i = 0; i < sizeof directories / sizeof directories[0]; i++)
        make(directories[i], 1);
    make("$/env/bin/python3", 0);
    make("$/src/app.py", 0);
    make_venv_of_copies();
    assert_int_equal(symlink(expand("$/env/bin/python3", target), expand("$/venv/bin/python", link)), 0);
    assert_int_equal(symlink(expand("$/src/app.py", target), expand("$/run/link.py", link)), 0);
    assert_int_equal(symlink(expand("$/env", target), expand("$/envlink", link)), 0);
    expand("$/mountinfo", mounts);
    write_mounts("lustre");
    return 0;
}

static int remove_tree(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof command, "rm -r '%s'", root);
    return system(command);
}

/* Writes the policy down: one word a prefix, "L" library, "N" interpreter's names, "I" import. */
static const char *describe(char out[4096])
{
    size_t n = 0, skip = strlen(root);

    out[0] = '\0';
    for (unsigned i = 0; i < policy.count; i++) {
        const struct mioc_policy_prefix *p = &policy.prefix[i];
        const char *letter = p->kind == MIOC_POLICY_IMPORT ? "I" : p->interpreter_names_only ? "N" : "L";

        assert_int_equal(p->len, strlen(p->path));
        assert_true(i == 0 || p->len <= policy.prefix[i - 1].len);
        n += (size_t)snprintf(out + n, 4096 - n, " %s:%s", letter,
                              strncmp(p->path, root, skip) == 0 ? p->path + skip : p->path);
    }
    return out;
}

/* The same words, whatever their order. */
static int has_same_words(const char *described, const char *expected)
{
    char copy[1024], word[1026], padded[4098], *rest = copy;
    size_t total = 0;

    strcpy(copy, expected);
    snprintf(padded, sizeof padded, "%s ", described);
    for (char *at; (at = strsep(&rest, " ")) != NULL;) {
        snprintf(word, sizeof word, " %s ", at);
        if (at[0] && strstr(padded, word) == NULL)
            return 0;
        total += at[0] ? strlen(at) + 1 : 0;
    }
    return total == strlen(described);
}

struct example {
    const char *exec_fn, *exe, *cwd, *argv[5], *env[4], *paths, *exclude, *expected;
};

static void check(const struct example *e)
{
    char text[12][1024], described[4096];
    char *argv[6] = { NULL }, *env[5] = { NULL };
    struct mioc_policy_source source = { .exec_fn = expand(e->exec_fn, text[0]),
                                         .exe = expand(e->exe, text[1]),
                                         .cwd = expand(e->cwd, text[2]),
                                         .version = "3.11",
                                         .argv = argv,
                                         .env = env,
                                         .mountinfo = mounts };

    for (int i = 0; i < 5 && e->argv[i]; i++)
        argv[i] = (char *)(uintptr_t)expand(e->argv[i], text[3 + i]);
    for (int i = 0; i < 4 && e->env[i]; i++)
        env[i] = (char *)(uintptr_t)expand(e->env[i], text[8 + i]);
    memset(&config, 0, sizeof config);
    if (e->paths)
        expand(e->paths, config.paths);
    if (e->exclude)
        expand(e->exclude, config.exclude);
    assert_int_equal(mioc_policy_build(&policy, &source, &config), 0);
    if (!has_same_words(describe(described), e->expected))
        fail_msg("argv %s %s: %s instead of %s", e->argv[0], e->argv[1], described, e->expected);
    assert_int_equal(policy.heads > 0, policy.count > 0);
    for (unsigned i = 0; i < policy.count; i++)
        assert_true(mioc_policy_is_candidate(&policy, policy.prefix[i].path, policy.prefix[i].len));
}

#define ENV "L:/env/lib64 L:/env/lib N:/env"

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
#define RUN \
    "$/env/bin/python3", "$/env/bin/python3", "$/src", { "p", "-P" }
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

static void build_on_local_filesystem_gives_forced_prefixes_only(void **state)
{
    static const struct example table[] = {
        { RUN, { "HOME=$/home", "PYTHONPATH=$/mods", "PYTHONHOME=$/venv" }, 0, 0, "" },
        { RUN, { "HOME=$/home" }, "$/env", 0, "L:/env" },
    };

    (void)state;
    write_mounts("ext4");
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        check(&table[i]);
    write_mounts("lustre");
}

static void build_without_mountinfo_gives_forced_prefixes_only(void **state)
{
    static const struct example e = { RUN, { 0 }, "$/env", 0, "L:/env" };

    (void)state;
    strcat(mounts, ".none");
    check(&e);
    mounts[strlen(mounts) - 5] = '\0';
}

static void build_with_too_many_prefixes_keeps_library_ones(void **state)
{
    char path[1024], list[32768] = "PYTHONPATH=";
    char *env[] = { list, NULL }, *argv[] = { path, NULL }, exe[1024];
    struct mioc_policy_source source = {
        .exe = expand("$/env/bin/python3", exe), .cwd = "/", .argv = argv, .env = env, .mountinfo = mounts
    };

    (void)state;
    for (unsigned i = 0; i < MIOC_MAX_PREFIXES + 18; i++) {
        snprintf(path, sizeof path, "$/src/pkg/%u", i);
        make(path, 1);
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s/src/pkg/%u:", root, i);
    }
    strcpy(path, "p");
    memset(&config, 0, sizeof config);
    assert_int_equal(mioc_policy_build(&policy, &source, &config), 0);
    assert_int_equal(policy.count, MIOC_MAX_PREFIXES);
    expand("$/env/lib/x", path);
    assert_int_equal(mioc_policy_classify(&policy, path, (uint32_t)strlen(path)), MIOC_POLICY_LIBRARY);
}

static void build_through_symbolic_link_knows_the_real_place(void **state)
{
    static const struct example e = { "$/envlink/bin/python3",
                                      "$/env/bin/python3",
                                      "$/src",
                                      { "p", "-P" },
                                      { 0 },
                                      0,
                                      0,
                                      "L:/envlink/lib64 L:/envlink/lib L:/env/lib64 N:/envlink L:/env/lib N:/env" };
    char expected[1024];
    struct stat st;

    (void)state;
    check(&e);
    assert_string_equal(policy.prefix[1].real, expand("$/env/lib", expected)); /* of envlink/lib */
    assert_int_equal(policy.prefix[2].real_len, 0);                            /* of env/lib64 */
    assert_int_equal(stat(root, &st), 0);
    assert_int_equal(policy.prefix[2].local_dev, st.st_dev);
}

static void build_self_looks_at_this_process(void **state)
{
    char arg[] = "python3", *argv[] = { arg, NULL };

    (void)state;
    memset(&config, 0, sizeof config);
    strcpy(config.paths, "/usr/lib/python3");
    assert_int_equal(mioc_policy_build_self(&policy, 1, argv, &config), 0);
    assert_int_equal(mioc_policy_classify(&policy, "/usr/lib/python3/x", 18), MIOC_POLICY_LIBRARY);
}

static void build_knows_each_prefixs_client_time_and_the_longest(void **state)
{
    static const struct {
        const char *type;
        uint64_t actimeo;
        uint32_t ms, most;
    } table[] = {
        { "lustre", MIOC_ACTIMEO_AUTO, 0, 0 },
        { "nfs", MIOC_ACTIMEO_AUTO, 60000, 60000 },
        { "cifs", MIOC_ACTIMEO_AUTO, 1000, 1000 },
        { "lustre fs rw\n9 1 0:99 / /home rw - nfs4", MIOC_ACTIMEO_AUTO, 0, 60000 },
        { "nfs", 0, 0, 0 },
        { "lustre", 2500, 2500, 2500 },
        { "lustre fs rw\n9 1 0:99 / /data rw - xfs", MIOC_ACTIMEO_AUTO, 0, 0 },
        { "lustre fs rw\n9 1 0:99 / /home rw,relatime shared:9 - autofs", MIOC_ACTIMEO_AUTO, 0, 60000 },
        { "lustre fs rw\n9 1 0:99 / /proc/sys/fs/binfmt_misc rw - autofs", MIOC_ACTIMEO_AUTO, 0, 0 },
    };
    char *argv[] = { (char *)(uintptr_t) "p", NULL }, exe[1024], path[1024];
    struct mioc_policy_source source = {
        .exe = expand("$/env/bin/python3", exe), .cwd = "/", .argv = argv, .mountinfo = mounts
    };
    struct stat st;
    uint64_t dev;

    (void)state;
    assert_int_equal(stat(root, &st), 0);
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        write_mounts(table[i].type);
        memset(&config, 0, sizeof config);
        config.actimeo_ms = table[i].actimeo;
        strcpy(config.paths, "/nowhere/at/all");
        assert_int_equal(mioc_policy_build(&policy, &source, &config), 0);
        expand("$/env/lib/x", path);
        assert_int_equal(mioc_policy_client_ms(&policy, path, (uint32_t)strlen(path), &dev), table[i].ms);
        assert_int_equal(dev, st.st_dev);
        /* What is not there, or nothing is known of, may be on anything. */
        assert_int_equal(mioc_policy_client_ms(&policy, "/nowhere/at/all/x", 17, &dev),
                         table[i].actimeo != MIOC_ACTIMEO_AUTO ? table[i].ms : 60000);
        config.paths[0] = '\0';
        assert_int_equal(mioc_policy_build(&policy, &source, &config), 0);
        assert_int_equal(policy.client_most_ms, table[i].most);
        expand("$/env/lib/../y", path);
        assert_int_equal(mioc_policy_client_ms(&policy, path, (uint32_t)strlen(path), &dev), table[i].most);
        assert_int_equal(dev, 0);
    }
    write_mounts("lustre");
}

static uint64_t program_of(const char *cwd, const char *const *words)
{
    char *argv[8] = { NULL };
    struct mioc_policy_source source = {
        .exec_fn = "/usr/bin/python3", .exe = "/usr/bin/python3.11", .cwd = cwd, .argv = argv, .mountinfo = mounts
    };

    for (size_t i = 0; words[i]; i++)
        argv[i] = (char *)(uintptr_t)words[i];
    assert_int_equal(mioc_policy_build(&policy, &source, &config), 0);
    return policy.program;
}

#define WORDS(...) ((const char *const[]){ "python3", __VA_ARGS__, NULL })

static void program_is_named_by_what_decides_what_it_imports(void **state)
{
    (void)state;
    /* its own arguments do not count */
    assert_int_equal(program_of("/a", WORDS("/app.py", "1")), program_of("/b", WORDS("/app.py", "2", "-x")));
    assert_int_equal(program_of("/a", WORDS("-c", "pass", "1")), program_of("/a", WORDS("-c", "pass")));
    assert_int_equal(program_of("/a", WORDS("-m", "pkg", "1")), program_of("/a", WORDS("-m", "pkg")));
    /* script, code, module and options do, and the directory where it gives names */
    assert_int_not_equal(program_of("/a", WORDS("/app.py")), program_of("/a", WORDS("/other.py")));
    assert_int_not_equal(program_of("/a", WORDS("app.py")), program_of("/b", WORDS("app.py")));
    assert_int_not_equal(program_of("/a", WORDS("-c", "pass")), program_of("/a", WORDS("-c", "import os")));
    assert_int_not_equal(program_of("/a", WORDS("-c", "pass")), program_of("/b", WORDS("-c", "pass")));
    assert_int_not_equal(program_of("/a", WORDS("-cpass")), program_of("/a", WORDS("-cimport os")));
    assert_int_not_equal(program_of("/a", WORDS("-m", "pkg")), program_of("/a", WORDS("-m", "other")));
    assert_int_not_equal(program_of("/a", WORDS("-mpkg")), program_of("/a", WORDS("-mother")));
    assert_int_not_equal(program_of("/a", WORDS("-O", "/app.py")), program_of("/a", WORDS("/app.py")));
    (void)program_of("/a", WORDS("-W"));
    (void)program_of("/a", WORDS("-c"));
    (void)program_of("/a", WORDS("--"));
    assert_int_not_equal(program_of("/a", (const char *const[]){ "python3", NULL }), 0);
    assert_int_not_equal(program_of("/a", (const char *const[]){ NULL }), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(program_is_named_by_what_decides_what_it_imports),
        cmocka_unit_test(build_from_command_line_gives_prefixes),
        cmocka_unit_test(build_from_environment_gives_prefixes),
        cmocka_unit_test(build_from_configuration_gives_prefixes),
        cmocka_unit_test(build_on_local_filesystem_gives_forced_prefixes_only),
        cmocka_unit_test(build_without_mountinfo_gives_forced_prefixes_only),
        cmocka_unit_test(build_with_too_many_prefixes_keeps_library_ones),
        cmocka_unit_test(build_through_symbolic_link_knows_the_real_place),
        cmocka_unit_test(build_self_looks_at_this_process),
        cmocka_unit_test(build_knows_each_prefixs_client_time_and_the_longest),
    };

    return cmocka_run_group_tests(tests, make_tree, remove_tree);
}
