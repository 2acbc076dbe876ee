/* SPDX-License-Identifier: BSD-3-Clause */
/* test_policy_places.c - what mounts, links and bounds make of the prefixes, and how a program is named. */
#include "policy_fixture.h"

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
        cmocka_unit_test(build_on_local_filesystem_gives_forced_prefixes_only),
        cmocka_unit_test(build_without_mountinfo_gives_forced_prefixes_only),
        cmocka_unit_test(build_with_too_many_prefixes_keeps_library_ones),
        cmocka_unit_test(build_through_symbolic_link_knows_the_real_place),
        cmocka_unit_test(build_self_looks_at_this_process),
        cmocka_unit_test(build_knows_each_prefixs_client_time_and_the_longest),
    };

    return cmocka_run_group_tests(tests, make_tree, remove_tree);
}
