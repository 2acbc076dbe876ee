/* SPDX-License-Identifier: BSD-3-Clause */
/* policy_fixture.h - interpreters, environments and mounts below a folder; for test_policy_*.c. */
#ifndef POLICY_FIXTURE_H
#define POLICY_FIXTURE_H

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

/* What $/env is by itself, and how most examples start its interpreter. */
#define ENV "L:/env/lib64 L:/env/lib N:/env"
#define RUN \
    "$/env/bin/python3", "$/env/bin/python3", "$/src", { "p", "-P" }

#endif
