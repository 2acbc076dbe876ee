/* SPDX-License-Identifier: BSD-3-Clause */
/* test_site.c - the site's file: what is read, what is refused, whom it forbids the cache. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/config.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct mioc_config config;
static char text[MIOC_SITE_FILE_MAX], folder[] = "/tmp/mioc-site.XXXXXX", path[64], problem[160];

/* `file` as the site's file, then the variables of env. */
static int parse(const char *file, char *const *env)
{
    static char *none[] = { NULL };

    memset(&config, 0xaa, sizeof config);
    strcpy(text, file);
    return mioc_config_parse_all(&config, "/etc/x.conf", text, env != NULL ? env : none);
}

static void lines_blanks_and_comments_are_understood(void **state)
{
    (void)state;
    assert_int_equal(
        parse("# a comment\n\n  MPIIO_CACHE_TTL = 5 \t\n\tRECORDS=/a b/c\r\n#KILL_SWITCH=1\nMPIIO_CACHE_DIR=/local",
              NULL),
        0);
    assert_int_equal(config.ttl_ms, 5000);
    assert_string_equal(config.site.records, "/a b/c");
    assert_string_equal(config.dir, "/local");
    assert_int_equal(config.site.is_killed, 0);
}

static void environment_wins_over_the_file_and_the_file_over_defaults(void **state)
{
    char *env[] = { (char *)"MPIIO_CACHE_TTL=7", (char *)"MPIIO_CACHE_LOG=", NULL };

    (void)state;
    assert_int_equal(parse("MPIIO_CACHE_TTL=5\nMPIIO_CACHE_LOG=info\n", env), 0);
    assert_int_equal(config.ttl_ms, 7000);
    assert_int_equal(config.log, MIOC_LOG_INFO); /* an empty variable is an unset one */
    size_t n;
    const struct mioc_config_row *rows = mioc_config_rows(&n);
    for (size_t i = 0; i < n; i++) {
        enum mioc_config_source expected = strcmp(rows[i].name, "MPIIO_CACHE_TTL") == 0   ? MIOC_CONFIG_ENVIRONMENT
                                           : strcmp(rows[i].name, "MPIIO_CACHE_LOG") == 0 ? MIOC_CONFIG_SITE
                                                                                          : MIOC_CONFIG_DEFAULT;
        assert_int_equal(config.origin[i].source, expected);
        if (expected == MIOC_CONFIG_DEFAULT)
            assert_string_equal(config.origin[i].text, rows[i].default_text);
    }
}

static void bad_variable_falls_back_to_the_sites_value_and_says_so(void **state)
{
    char *env[] = { (char *)"MPIIO_CACHE_TTL=soon", NULL };

    (void)state;
    assert_int_equal(parse("MPIIO_CACHE_TTL=5\n", env), 1);
    assert_int_equal(config.ttl_ms, 5000);
    assert_non_null(strstr(config.complaint, "using the site's value, 5"));
}

static void bad_lines_are_complained_of_with_their_place(void **state)
{
    static const struct {
        const char *file, *expected;
    } cases[] = { { "\nMPIIO_CACHE_TTL=x\n", "/etc/x.conf:2: MPIIO_CACHE_TTL=\"x\": expected seconds" },
                  { "MPIIO_CACHE_TTTL=1\n", "/etc/x.conf:1: unknown variable MPIIO_CACHE_TTTL" },
                  { "KILLSWITCH=1\n", "/etc/x.conf:1: KILLSWITCH=1: unknown name; the line is ignored" },
                  { "what\n", "/etc/x.conf:1: what: expected NAME=VALUE" },
                  { "DENY_USERS=alice\n", "expected numbers of users" },
                  { "DENY_USERS=5-\n", "expected numbers of users" },
                  { "DENY_USERS=9-5\n", "expected numbers of users" },
                  { "ALLOW_USERS=@\n", "expected numbers of users" },
                  { "RECORDS=records\n", "expected an absolute path" } };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(parse(cases[i].file, NULL), 1);
        if (strstr(config.complaint, cases[i].expected) == NULL)
            fail_msg("%s gave: %s", cases[i].file, config.complaint);
    }
}

static void file_of_any_bytes_leaves_a_usable_configuration(void **state)
{
    static char file[MIOC_SITE_FILE_MAX];
    unsigned seed = 1;

    (void)state;
    for (int round = 0; round < 2000; round++) {
        static const char some[] = "\n\n= #:,@-0129AKMPIO_CHETLDRS/\t\r\xff";
        size_t n = (size_t)rand_r(&seed) % 400;
        for (size_t i = 0; i < n; i++)
            file[i] = some[(size_t)rand_r(&seed) % (sizeof some - 1)];
        file[n] = '\0';
        (void)parse(file, NULL);
        assert_string_equal(config.dir, "/dev/shm");
        (void)mioc_site_forbids(&config.site, "/usr/bin/python3", NULL, problem, sizeof problem);
    }
}

static int forbids(const char *file, const char *script)
{
    assert_int_equal(parse(file, NULL), 0);
    return mioc_site_forbids(&config.site, "/opt/conda/bin/python3.11", script, problem, sizeof problem);
}

static void verdict_follows_switch_users_and_programs(void **state)
{
    char line[128];

    (void)state;
    assert_false(forbids("", "app.py"));
    assert_false(forbids("KILL_SWITCH=0\n", "app.py"));
    assert_true(forbids("KILL_SWITCH=1\n", "app.py"));
    assert_true(forbids("KILL_SWITCH=yes, ticket 12\n", "app.py"));
    assert_true(forbids("DENY_PROGRAMS=/usr/*:*.bad:app.py\n", "/home/me/app.py"));
    assert_false(forbids("DENY_PROGRAMS=/usr/*:*.bad:app\n", "/home/me/app.py"));
    assert_true(forbids("DENY_PROGRAMS=/opt/conda/*\n", NULL));
    assert_false(forbids("ALLOW_PROGRAMS=python3.*\n", NULL));
    assert_true(forbids("ALLOW_PROGRAMS=python2.*\n", NULL));
    assert_true(forbids("ALLOW_PROGRAMS=python3.*\nDENY_PROGRAMS=app.py\n", "app.py"));
    assert_string_equal(problem, "the site's configuration says so: DENY_PROGRAMS names this program");
    snprintf(line, sizeof line, "DENY_USERS=4000000000, %u-%u\n", geteuid(), geteuid() + 1);
    assert_true(forbids(line, NULL));
    snprintf(line, sizeof line, "DENY_USERS=%u\n", geteuid() + 1);
    assert_false(forbids(line, NULL));
    snprintf(line, sizeof line, "ALLOW_USERS=@%u\n", getegid());
    assert_false(forbids(line, NULL));
    snprintf(line, sizeof line, "ALLOW_USERS=%u\n", geteuid() + 1);
    assert_true(forbids(line, NULL));
}

static void write_file(mode_t mode, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    for (size_t i = 0; i < size; i++)
        assert_int_equal(write(fd, "#", 1), 1);
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static void only_a_file_that_nobody_else_can_write_is_read(void **state)
{
    (void)state;
    unlink(path);
    assert_int_equal(mioc_site_read(path, text, sizeof text, problem, sizeof problem), 0);
    write_file(0644, 10);
    assert_int_equal(mioc_site_read(path, text, sizeof text, problem, sizeof problem), 1);
    assert_string_equal(text, "##########");
    write_file(0664, 10);
    assert_int_equal(mioc_site_read(path, text, sizeof text, problem, sizeof problem), -1);
    assert_non_null(strstr(problem, "others than its owner"));
    write_file(0646, 10);
    assert_int_equal(mioc_site_read(path, text, sizeof text, problem, sizeof problem), -1);
    write_file(0644, MIOC_SITE_FILE_MAX);
    assert_int_equal(mioc_site_read(path, text, sizeof text, problem, sizeof problem), -1);
    assert_non_null(strstr(problem, "larger"));
    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(mioc_site_read(path, text, sizeof text, problem, sizeof problem), -1); /* and does not hang */
    unlink(path);
    if (geteuid() == 0) {
        write_file(0644, 1);
        assert_int_equal(chown(path, 65534, 65534), 0);
        assert_int_equal(mioc_site_read(path, text, sizeof text, problem, sizeof problem), -1);
        assert_non_null(strstr(problem, "belongs neither"));
        unlink(path);
    }
}

static int make_folder(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(path, sizeof path, "%s/conf", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_blanks_and_comments_are_understood),
        cmocka_unit_test(environment_wins_over_the_file_and_the_file_over_defaults),
        cmocka_unit_test(bad_variable_falls_back_to_the_sites_value_and_says_so),
        cmocka_unit_test(bad_lines_are_complained_of_with_their_place),
        cmocka_unit_test(file_of_any_bytes_leaves_a_usable_configuration),
        cmocka_unit_test(verdict_follows_switch_users_and_programs),
        cmocka_unit_test(only_a_file_that_nobody_else_can_write_is_read),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
