/* SPDX-License-Identifier: BSD-3-Clause */
/* test_config.c - every variable's good and bad values, and what is said about the bad ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/config.h"
#include "store/store.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct mioc_config config;

static int parse_one(const char *variable)
{
    char *env[] = { (char *)"PATH=/bin", (char *)variable, NULL };
    memset(&config, 0xaa, sizeof config); /* whatever was there must not shine through */
    return mioc_config_parse(&config, env);
}

static void parse_empty_environment_gives_defaults(void **state)
{
    (void)state;
    char *env[] = { NULL };
    assert_int_equal(mioc_config_parse(&config, env), 0);
    assert_int_equal(config.disable, 0);
    assert_int_equal(config.log, MIOC_LOG_WARN);
    assert_string_equal(config.dir, "/dev/shm");
    assert_string_equal(config.paths, "");
    assert_string_equal(config.exclude, "");
    assert_int_equal(config.ttl_ms, 2000);
    assert_int_equal(config.actimeo_ms, MIOC_ACTIMEO_AUTO);
    assert_int_equal(config.timeout_ms, 10000);
    assert_int_equal(config.linger_ms, 30000);
    assert_int_equal(config.max_file, 256ull << 20);
    assert_int_equal(config.max_bytes, 0);
    assert_int_equal(config.transport, MIOC_TRANSPORT_AUTO);
    assert_int_equal(config.port_first, 21000);
    assert_int_equal(config.port_last, 28999);
    assert_string_equal(config.interface, "");
    assert_string_equal(config.keyfile, "");
    assert_int_equal(config.encrypt, 0);
    assert_int_equal(config.stats, 0);
    assert_string_equal(config.stats_file, "");
    assert_int_equal(config.complaints, 0);
    assert_string_equal(config.complaint, "");
}

static void parse_number_reads_seconds_and_bytes(void **state)
{
    static const struct {
        const char *variable;
        uint64_t *field, expected;
    } cases[] = {
        { "MPIIO_CACHE_TTL=0", &config.ttl_ms, 0 },
        { "MPIIO_CACHE_TTL=0.25", &config.ttl_ms, 250 },
        { "MPIIO_CACHE_TTL=.5", &config.ttl_ms, 500 },
        { "MPIIO_CACHE_TTL=3.", &config.ttl_ms, 3000 },
        { "MPIIO_CACHE_TTL=86400", &config.ttl_ms, 86400000 },
        { "MPIIO_CACHE_TTL=0.0001", &config.ttl_ms, 1 }, /* not nothing */
        { "MPIIO_CACHE_TTL=007", &config.ttl_ms, 7000 },
        { "MPIIO_CACHE_TTL=1.00000000000000000000000000000", &config.ttl_ms, 1000 },
        { "MPIIO_CACHE_ACTIMEO=auto", &config.actimeo_ms, MIOC_ACTIMEO_AUTO },
        { "MPIIO_CACHE_ACTIMEO=0", &config.actimeo_ms, 0 },
        { "MPIIO_CACHE_ACTIMEO=3.5", &config.actimeo_ms, 3500 },
        { "MPIIO_CACHE_TIMEOUT=0.001", &config.timeout_ms, 1 },
        { "MPIIO_CACHE_TIMEOUT=3600", &config.timeout_ms, 3600000 },
        { "MPIIO_CACHE_LINGER=0", &config.linger_ms, 0 },
        { "MPIIO_CACHE_MAX_FILE=0", &config.max_file, 0 },
        { "MPIIO_CACHE_MAX_FILE=4096", &config.max_file, 4096 },
        { "MPIIO_CACHE_MAX_FILE=1K", &config.max_file, 1024 },
        { "MPIIO_CACHE_MAX_FILE=2m", &config.max_file, 2ull << 20 },
        { "MPIIO_CACHE_MAX_BYTES=3G", &config.max_bytes, 3ull << 30 },
        { "MPIIO_CACHE_MAX_BYTES=1T", &config.max_bytes, 1ull << 40 },
        { "MPIIO_CACHE_MAX_BYTES=9223372036854775807", &config.max_bytes, INT64_MAX },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (parse_one(cases[i].variable) != 0)
            fail_msg("%s: %s", cases[i].variable, config.complaint);
        if (*cases[i].field != cases[i].expected)
            fail_msg("%s gave %llu", cases[i].variable, (unsigned long long)*cases[i].field);
    }
}

static void parse_malformed_value_keeps_default_and_complains_once(void **state)
{
    static const char *const cases[] = {
        "MPIIO_CACHE_DISABLE=yes",
        "MPIIO_CACHE_DISABLE=2",
        "MPIIO_CACHE_DISABLE=01",
        "MPIIO_CACHE_LOG=verbose",
        "MPIIO_CACHE_LOG=WARN",
        "MPIIO_CACHE_LOG=1",
        "MPIIO_CACHE_DIR=shm",
        "MPIIO_CACHE_DIR=./shm",
        "MPIIO_CACHE_TTL=-1",
        "MPIIO_CACHE_TTL=+1",
        "MPIIO_CACHE_TTL=1s",
        "MPIIO_CACHE_TTL= 1",
        "MPIIO_CACHE_TTL=1 ",
        "MPIIO_CACHE_TTL=1e3",
        "MPIIO_CACHE_TTL=0x10",
        "MPIIO_CACHE_TTL=1,5",
        "MPIIO_CACHE_TTL=.",
        "MPIIO_CACHE_TTL=1.2.3",
        "MPIIO_CACHE_TTL=nan",
        "MPIIO_CACHE_TTL=86400.001",
        "MPIIO_CACHE_TTL=18446744073709551616",
        "MPIIO_CACHE_TTL=18446744073.8",
        "MPIIO_CACHE_TIMEOUT=0",
        "MPIIO_CACHE_TIMEOUT=0.0009",
        "MPIIO_CACHE_TIMEOUT=3601",
        "MPIIO_CACHE_TIMEOUT=ten",
        "MPIIO_CACHE_LINGER=inf",
        "MPIIO_CACHE_LINGER=3600.1",
        "MPIIO_CACHE_MAX_FILE=-1",
        "MPIIO_CACHE_MAX_FILE=1.5G",
        "MPIIO_CACHE_MAX_FILE=K",
        "MPIIO_CACHE_MAX_FILE=1KB",
        "MPIIO_CACHE_MAX_FILE=1 K",
        "MPIIO_CACHE_MAX_FILE=1X",
        "MPIIO_CACHE_MAX_BYTES=8388608T",
        "MPIIO_CACHE_MAX_BYTES=99999999999999999999",
        "MPIIO_CACHE_MAX_BYTES=9223372036854775808",
        "MPIIO_CACHE_TRANSPORT=udp",
        "MPIIO_CACHE_TRANSPORT=TCP",
        "MPIIO_CACHE_TRANSPORT=tcp ",
        "MPIIO_CACHE_PORTS=21000",
        "MPIIO_CACHE_PORTS=21000-",
        "MPIIO_CACHE_PORTS=-28999",
        "MPIIO_CACHE_PORTS=21000:28999",
        "MPIIO_CACHE_PORTS=21000--28999",
        "MPIIO_CACHE_PORTS=21000-28999-",
        "MPIIO_CACHE_PORTS= 21000-28999",
        "MPIIO_CACHE_PORTS=21000 - 28999",
        "MPIIO_CACHE_PORTS=0-28999",
        "MPIIO_CACHE_PORTS=1023-28999",
        "MPIIO_CACHE_PORTS=21000-65536",
        "MPIIO_CACHE_PORTS=28999-21000",
        "MPIIO_CACHE_PORTS=21000-21006",
        "MPIIO_CACHE_PORTS=21000-18446744073709551616",
        "MPIIO_CACHE_PORTS=18446744073709572616-28999",
        "MPIIO_CACHE_INTERFACE=eth0/24",
        "MPIIO_CACHE_INTERFACE=eth0 eth1",
        "MPIIO_CACHE_INTERFACE=eth0\n",
        "MPIIO_CACHE_INTERFACE=0123456789012345678901234567890123456789012345678901234567890123",
        "MPIIO_CACHE_KEYFILE=key",
        "MPIIO_CACHE_KEYFILE=~/key",
        "MPIIO_CACHE_KEYFILE=/",
        "MPIIO_CACHE_KEYFILE=/home/me/",
        "MPIIO_CACHE_HOSTS=./hosts",
        "MPIIO_CACHE_HOSTS=jobs/hosts",
        "MPIIO_CACHE_RANK=-1",
        "MPIIO_CACHE_RANK=1 ",
        "MPIIO_CACHE_RANK=2147483648",
        "MPIIO_CACHE_ENCRYPT=yes",
        "MPIIO_CACHE_ENCRYPT=2",
        "MPIIO_CACHE_STATS=yes",
        "MPIIO_CACHE_STATS=TRUE",
        "MPIIO_CACHE_STATS=on",
        "MPIIO_CACHE_STATS=no",
        "MPIIO_CACHE_STATS=2",
        "MPIIO_CACHE_STATS=-1",
        "MPIIO_CACHE_STATS=/tmp/",
        "MPIIO_CACHE_ACTIMEO=AUTO",
        "MPIIO_CACHE_ACTIMEO=-1",
        "MPIIO_CACHE_ACTIMEO=86401",
    };
    struct mioc_config defaults;
    char *none[] = { NULL };
    (void)state;
    mioc_config_parse(&defaults, none);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char name[64];
        snprintf(name, sizeof name, "%.*s=\"", (int)strcspn(cases[i], "="), cases[i]);
        if (parse_one(cases[i]) != 1)
            fail_msg("%s: %u complaints", cases[i], config.complaints);
        if (strncmp(config.complaint, name, strlen(name)) != 0 ||
            strstr(config.complaint, "using the default, ") == NULL)
            fail_msg("%s: complaint %s", cases[i], config.complaint);
        config.complaints = 0;
        memset(config.complaint, 0, sizeof config.complaint);
        if (memcmp(&config, &defaults, sizeof config) != 0)
            fail_msg("%s: a default was changed", cases[i]);
    }
}

static void parse_bad_value_says_variable_value_expectation_and_default(void **state)
{
    (void)state;
    assert_int_equal(parse_one("MPIIO_CACHE_TIMEOUT=soon"), 1);
    assert_string_equal(config.complaint,
                        "MPIIO_CACHE_TIMEOUT=\"soon\": expected seconds from 0.001 to 3600; using the default, 10");
}

static void parse_hostile_value_gives_a_short_clean_line(void **state)
{
    char variable[20000] = "MPIIO_CACHE_DIR=\n\x1b[31mö";
    size_t used = strlen(variable);
    (void)state;
    for (; used + 3 < sizeof variable; used += 2)
        memcpy(variable + used, "ö", 3);
    assert_int_equal(parse_one(variable), 1);
    assert_true(strlen(config.complaint) < 256);
    assert_non_null(strstr(config.complaint, "??[31mö"));
    assert_non_null(strstr(config.complaint, "ö…\""));
    for (const char *c = config.complaint; *c != '\0'; c++)
        assert_true((unsigned char)*c >= 0x20);
}

static void parse_empty_value_counts_as_unset(void **state)
{
    size_t n;
    const struct mioc_config_row *rows = mioc_config_rows(&n);
    (void)state;
    for (size_t i = 0; i < n; i++) {
        char variable[64];
        snprintf(variable, sizeof variable, "%s=", rows[i].name);
        assert_int_equal(parse_one(variable), 0);
    }
}

static void parse_unknown_name_complains(void **state)
{
    (void)state;
    assert_int_equal(parse_one("MPIIO_CACHE_TIMOUT=3"), 1);
    assert_string_equal(config.complaint, "unknown variable MPIIO_CACHE_TIMOUT, ignored. mpiio-cache config names all");
    assert_int_equal(parse_one("MPIIO_CACHE_=3"), 1);
    assert_int_equal(parse_one("MPIIO_CACHE_DIRECTORY=/x"), 1);
    assert_int_equal(parse_one("MPIIO_CACHE_CLAIMED=17"), 0);
    assert_int_equal(parse_one("MPIIO_CACHE=1"), 0);
    assert_int_equal(parse_one("mpiio_cache_ttl=1"), 0);
    assert_int_equal(parse_one("MPIIO_CACHE_DISABLE"), 0); /* no '=': as good as empty */
}

static void parse_several_bad_values_keeps_first_complaint_and_counts(void **state)
{
    char *env[] = { (char *)"MPIIO_CACHE_LOG=loud", (char *)"MPIIO_CACHE_TTL=x", (char *)"MPIIO_CACHE_LINGER=5",
                    (char *)"MPIIO_CACHE_NONSENSE=", NULL };
    (void)state;
    assert_int_equal(mioc_config_parse(&config, env), 3);
    assert_non_null(strstr(config.complaint, "MPIIO_CACHE_LOG=\"loud\""));
    assert_int_equal(config.linger_ms, 5000);
}

static void parse_name_given_twice_takes_the_first(void **state)
{
    char *env[] = { (char *)"MPIIO_CACHE_TTL=1", (char *)"MPIIO_CACHE_TTL=5", NULL };
    (void)state;
    assert_int_equal(mioc_config_parse(&config, env), 0);
    assert_int_equal(config.ttl_ms, 1000);
}

static void parse_directory_is_bounded(void **state)
{
    char variable[400] = "MPIIO_CACHE_DIR=/";
    size_t name = strlen("MPIIO_CACHE_DIR=");
    (void)state;
    assert_int_equal(parse_one("MPIIO_CACHE_DIR=/local/scratch"), 0);
    assert_string_equal(config.dir, "/local/scratch");
    memset(variable + name + 1, 'a', 199);
    assert_int_equal(parse_one(variable), 0);
    assert_int_equal(strlen(config.dir), 200);
    variable[name + 200] = 'a';
    assert_int_equal(parse_one(variable), 1);
    assert_string_equal(config.dir, "/dev/shm");
}

static void parse_list_drops_only_its_bad_entries(void **state)
{
    (void)state;
    assert_int_equal(parse_one("MPIIO_CACHE_PATHS=/a:b/c:/d:~/e"), 2);
    assert_string_equal(config.paths, "/a:/d");
    assert_string_equal(config.complaint,
                        "MPIIO_CACHE_PATHS: entry \"b/c\": expected an absolute path; the entry is ignored");
    assert_int_equal(parse_one("MPIIO_CACHE_EXCLUDE=:/a::/b:"), 0);
    assert_string_equal(config.exclude, "/a:/b");
    assert_string_equal(config.paths, "");
}

static void parse_list_too_long_keeps_what_fits(void **state)
{
    static char variable[64 * 1024];
    (void)state;
    /* Five entries of 1000 bytes: four fit. */
    strcpy(variable, "MPIIO_CACHE_PATHS=");
    for (int i = 0; i < 5; i++) {
        char *at = variable + strlen(variable);
        memset(at, 'x', 1001);
        at[0] = '/';
        strcpy(at + 1000, ":");
    }
    assert_int_equal(parse_one(variable), 1);
    assert_int_equal(strlen(config.paths), 4 * 1000 + 3);
    /* One entry longer than any prefix. */
    memset(variable + 18, 'y', 2000);
    strcpy(variable + 18 + 2000, ":/z");
    variable[18] = '/';
    assert_int_equal(parse_one(variable), 1);
    assert_string_equal(config.paths, "/z");
    /* More entries than there are places. */
    strcpy(variable, "MPIIO_CACHE_EXCLUDE=");
    for (unsigned i = 0; i < MIOC_MAX_PREFIXES + 8; i++)
        sprintf(variable + strlen(variable), "/%u:", i + 100);
    assert_int_equal(parse_one(variable), 8);
    sprintf(variable, ":/%u", MIOC_MAX_PREFIXES - 1 + 100);
    assert_string_equal(strrchr(config.exclude, ':'), variable);
}

static void parse_stats_tells_switch_from_file(void **state)
{
    static const struct {
        const char *value;
        int stats;
        const char *file;
    } cases[] = {
        { "0", 0, "" },
        { "1", 1, "" },
        { "stats.json", 1, "stats.json" },
        { "/tmp/s.json", 1, "/tmp/s.json" },
        { "./yes", 1, "./yes" },
        { "./1", 1, "./1" },
        { "yes.json", 1, "yes.json" },
        { "1.json", 1, "1.json" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char variable[128];
        snprintf(variable, sizeof variable, "MPIIO_CACHE_STATS=%s", cases[i].value);
        assert_int_equal(parse_one(variable), 0);
        assert_int_equal(config.stats, cases[i].stats);
        assert_string_equal(config.stats_file, cases[i].file);
    }
    char *long_variable = malloc(3000);
    memset(long_variable, 'f', 2999);
    memcpy(long_variable, "MPIIO_CACHE_STATS=/", 19);
    long_variable[2999] = '\0';
    assert_int_equal(parse_one(long_variable), 1);
    assert_int_equal(config.stats, 0);
    free(long_variable);
}

static void parse_null_reads_the_environment_and_keeps_it(void **state)
{
    (void)state;
    assert_int_equal(setenv("MPIIO_CACHE_TTL", "7", 1), 0);
    assert_int_equal(mioc_config_parse(&config, NULL), 0);
    assert_int_equal(config.ttl_ms, 7000);
    assert_string_equal(getenv("MPIIO_CACHE_TTL"), "7");
    char **saved = environ;
    environ = NULL; /* clearenv() */
    assert_int_equal(mioc_config_parse(&config, NULL), 0);
    assert_int_equal(config.ttl_ms, 2000);
    environ = saved;
}

static void config_is_parsed_once(void **state)
{
    (void)state;
    assert_int_equal(setenv("MPIIO_CACHE_TTL", "9", 1), 0);
    const struct mioc_config *first = mioc_config();
    assert_int_equal(first->ttl_ms, 9000);
    assert_int_equal(setenv("MPIIO_CACHE_TTL", "11", 1), 0);
    assert_ptr_equal(mioc_config(), first);
    assert_int_equal(first->ttl_ms, 9000);
}

static void loader_is_patch_or_plain(void **state)
{
    (void)state;
    assert_int_equal(parse_one("MPIIO_CACHE_LOADER=plain"), 0);
    assert_true(config.loader_plain);
    assert_int_equal(parse_one("MPIIO_CACHE_LOADER=patch"), 0);
    assert_false(config.loader_plain);
    assert_int_equal(parse_one("MPIIO_CACHE_LOADER=audit"), 1);
    assert_false(config.loader_plain);
    assert_non_null(strstr(config.complaint, "patch or plain"));
}

static void transport_is_auto_tcp_or_mpi(void **state)
{
    static const struct {
        const char *variable;
        enum mioc_transport_choice expected;
    } cases[] = { { "MPIIO_CACHE_TRANSPORT=auto", MIOC_TRANSPORT_AUTO },
                  { "MPIIO_CACHE_TRANSPORT=tcp", MIOC_TRANSPORT_TCP },
                  { "MPIIO_CACHE_TRANSPORT=mpi", MIOC_TRANSPORT_MPI } };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(parse_one(cases[i].variable), 0);
        assert_int_equal(config.transport, cases[i].expected);
    }
}

static void ports_are_a_range(void **state)
{
    static const struct {
        const char *variable;
        unsigned first, last;
    } cases[] = { { "MPIIO_CACHE_PORTS=1024-65535", 1024, 65535 },
                  { "MPIIO_CACHE_PORTS=1024-1031", 1024, 1031 },
                  { "MPIIO_CACHE_PORTS=65528-65535", 65528, 65535 },
                  { "MPIIO_CACHE_PORTS=030000-030100", 30000, 30100 } };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(parse_one(cases[i].variable), 0);
        assert_int_equal(config.port_first, cases[i].first);
        assert_int_equal(config.port_last, cases[i].last);
    }
}

static void network_and_key_are_taken_as_they_are(void **state)
{
    static const char *const interfaces[] = { "eth0", "ib0.8001@if7", "10.1.2.3", "fe80::1%eth0", "bond-0_x" };
    static char variable[1100] = "MPIIO_CACHE_KEYFILE=";
    size_t name = strlen(variable);
    (void)state;
    for (size_t i = 0; i < sizeof interfaces / sizeof interfaces[0]; i++) {
        char one[100];
        snprintf(one, sizeof one, "MPIIO_CACHE_INTERFACE=%s", interfaces[i]);
        assert_int_equal(parse_one(one), 0);
        assert_string_equal(config.interface, interfaces[i]);
    }
    assert_int_equal(parse_one("MPIIO_CACHE_KEYFILE=/home/me/a key"), 0);
    assert_string_equal(config.keyfile, "/home/me/a key");
    assert_int_equal(parse_one("MPIIO_CACHE_ENCRYPT=1"), 0);
    assert_int_equal(config.encrypt, 1);
    memset(variable + name, '/', 1023);
    variable[name + 1022] = 'k';
    assert_int_equal(parse_one(variable), 0);
    assert_int_equal(strlen(config.keyfile), 1023);
    variable[name + 1023] = 'k';
    assert_int_equal(parse_one(variable), 1);
    assert_string_equal(config.keyfile, "");
}

static void manifest_is_auto_off_or_an_absolute_path(void **state)
{
    static const char *const bad[] = { "MPIIO_CACHE_MANIFEST=on", "MPIIO_CACHE_MANIFEST=1", "MPIIO_CACHE_MANIFEST=file",
                                       "MPIIO_CACHE_MANIFEST=/tmp/", "MPIIO_CACHE_MANIFEST=/" };
    static char long_name[400], long_path[1100];
    (void)state;
    assert_int_equal(parse_one("MPIIO_CACHE_MANIFEST=off"), 0);
    assert_string_equal(config.manifest, "off");
    assert_int_equal(parse_one("MPIIO_CACHE_MANIFEST=/a/file"), 0);
    assert_string_equal(config.manifest, "/a/file");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(parse_one(bad[i]), 1);
        assert_string_equal(config.manifest, "auto");
    }
    strcpy(long_name, "MPIIO_CACHE_MANIFEST=/");
    memset(long_name + 22, 'a', 256);
    assert_int_equal(parse_one(long_name), 1);
    long_name[22 + 255] = '\0';
    assert_int_equal(parse_one(long_name), 0);
    strcpy(long_path, "MPIIO_CACHE_MANIFEST=");
    memset(long_path + 21, '/', 1023);
    strcpy(long_path + 21 + 1022, "a");
    assert_int_equal(parse_one(long_path), 0);
    strcpy(long_path + 21 + 1022, "aa");
    assert_int_equal(parse_one(long_path), 1);
}

static void rows_are_complete_and_their_defaults_are_good_values(void **state)
{
    size_t n;
    const struct mioc_config_row *rows = mioc_config_rows(&n);
    (void)state;
    assert_int_equal(n, 25);
    for (size_t i = 0; i < n; i++) {
        char variable[128];
        assert_true(strncmp(rows[i].name, "MPIIO_CACHE_", 12) == 0);
        assert_true(strlen(rows[i].type) > 0 && strlen(rows[i].help) > 0);
        snprintf(variable, sizeof variable, "%s=%s", rows[i].name, rows[i].default_text);
        assert_int_equal(parse_one(variable), 0);
    }
}

/* The man page has each variable with the table's type, default and help, and no other. */
static void rows_are_those_of_the_man_page(void **state)
{
    static char page[65536], expected[1024];
    size_t n, used = 0, found = 0;
    const struct mioc_config_row *rows = mioc_config_rows(&n);
    FILE *file = fopen(MIOC_MAN_PAGE, "r");
    (void)state;
    assert_non_null(file);
    for (int c; (c = fgetc(file)) != EOF;)
        if (c != '\\') { /* \- is - */
            assert_true(used + 1 < sizeof page);
            page[used++] = (char)c;
        }
    fclose(file);
    for (size_t i = 0; i < n; i++) {
        snprintf(expected, sizeof expected, ".BR %s \" (%s; default %s)\"\n%c%s.\n", rows[i].name, rows[i].type,
                 rows[i].default_text[0] != '\0' ? rows[i].default_text : "none",
                 toupper((unsigned char)rows[i].help[0]), rows[i].help + 1);
        if (strstr(page, expected) == NULL)
            fail_msg("the man page lacks:\n%s", expected);
    }
    for (const char *at = page; (at = strstr(at, ".BR MPIIO_CACHE_")) != NULL; at++)
        found += strncmp(at - 4, ".TP\n", 4) == 0;
    assert_int_equal(found, n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parse_empty_environment_gives_defaults),
        cmocka_unit_test(parse_number_reads_seconds_and_bytes),
        cmocka_unit_test(parse_malformed_value_keeps_default_and_complains_once),
        cmocka_unit_test(parse_bad_value_says_variable_value_expectation_and_default),
        cmocka_unit_test(parse_hostile_value_gives_a_short_clean_line),
        cmocka_unit_test(parse_empty_value_counts_as_unset),
        cmocka_unit_test(parse_unknown_name_complains),
        cmocka_unit_test(parse_several_bad_values_keeps_first_complaint_and_counts),
        cmocka_unit_test(parse_name_given_twice_takes_the_first),
        cmocka_unit_test(parse_directory_is_bounded),
        cmocka_unit_test(parse_list_drops_only_its_bad_entries),
        cmocka_unit_test(parse_list_too_long_keeps_what_fits),
        cmocka_unit_test(parse_stats_tells_switch_from_file),
        cmocka_unit_test(parse_null_reads_the_environment_and_keeps_it),
        cmocka_unit_test(config_is_parsed_once),
        cmocka_unit_test(loader_is_patch_or_plain),
        cmocka_unit_test(transport_is_auto_tcp_or_mpi),
        cmocka_unit_test(ports_are_a_range),
        cmocka_unit_test(network_and_key_are_taken_as_they_are),
        cmocka_unit_test(manifest_is_auto_off_or_an_absolute_path),
        cmocka_unit_test(rows_are_complete_and_their_defaults_are_good_values),
        cmocka_unit_test(rows_are_those_of_the_man_page),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
