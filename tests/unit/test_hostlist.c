/* SPDX-License-Identifier: BSD-3-Clause */
/* test_hostlist.c - Slurm's host lists: what they name, what is malformed, and that scontrol says the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "job/hostlist.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* All names with blanks between; "malformed" if it is. */
static void expand(const char *list, char *text, size_t size)
{
    int count = mioc_hostlist_count(list);
    size_t used = 0;

    snprintf(text, size, "malformed");
    for (int k = 0; k < count; k++) {
        char name[MIOC_HOST_NAME_MAX + 1];

        assert_int_equal(mioc_hostlist_name(list, k, name, sizeof name), 0);
        used += (size_t)snprintf(text + used, size - used, "%s%s", k > 0 ? " " : "", name);
        assert_true(used < size);
    }
}

static void expand_list_gives_the_names_in_slurms_order(void **state)
{
    static const char *const rows[][2] = {
        { "n0", "n0" },
        { "n[01-03,7],b2", "n01 n02 n03 n7 b2" },
        { "n[9-11]", "n9 n10 n11" },
        { "n[09-11]", "n09 n10 n11" },
        { "n[099-101]", "n099 n100 n101" },
        { "n[1-010]", "n1 n2 n3 n4 n5 n6 n7 n8 n9 n10" },
        { "n[0-0]", "n0" },
        { "n[00]", "n00" },
        { "n[1,1],n1", "n1 n1 n1" },
        { "rack[1-2]n[01-02]", "rack1n01 rack1n02 rack2n01 rack2n02" },
        { "n[1-2][3-4]", "n13 n14 n23 n24" },
        { "a[1-2]b[3-4]c[5-6]", "a1b3c5 a1b3c6 a2b3c5 a2b3c6 a1b4c5 a1b4c6 a2b4c5 a2b4c6" },
        { "[1-2]", "1 2" },
        { ",n1,,n[2],", "n1 n2" },
        { "nid000001.example.org,10.0.0.1,fe80::1", "nid000001.example.org 10.0.0.1 fe80::1" },
        { "n999999999999999999", "n999999999999999999" },
        { "n[999999999999999998-999999999999999999]", "n999999999999999998 n999999999999999999" },
    };
    char text[1024];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        expand(rows[i][0], text, sizeof text);
        assert_string_equal(text, rows[i][1]);
    }
}

static void count_malformed_list_is_refused(void **state)
{
    static const char *const rows[] = {
        "",
        ",",
        "n[",
        "n[1",
        "n[1-2",
        "n[]",
        "n[,]",
        "n[1,]",
        "n[-]",
        "n[1-]",
        "n[-1]",
        "n[2-1]",
        "n[1--2]",
        "n[1-2-3]",
        "n[a-b]",
        "n[1-2]x",
        "n[1-2]-ib",
        "n]",
        "n1]",
        "n[[1]]",
        "n[1]]",
        "n 1",
        "n1 n2",
        "n[1- 2]",
        "n/1",
        "n1\n",
        "n[1;2]",
        "n[+1]",
        "n[0x1-0x2]",
        "n[0-65536]",
        "n[0-65535],m",
        "n[0-32767,1-32768,7]",
        "n[0-999]m[0-999]",
        "n[0-65535]m[0-65535]",
        "x,n[0-65535]m[0-65535]",
        "n[1000000000000000000]",
        "n[18446744073709551615-18446744073709551616]",
        "n[1][1][1][1][1][1][1][1][1]",
        "n\x7f",
        "m,n[1",
        "n[1],m[",
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (mioc_hostlist_count(rows[i]) != -1)
            fail_msg("%s gave %d", rows[i], mioc_hostlist_count(rows[i]));
}

static void count_bounds_are_reached_but_not_passed(void **state)
{
    static char list[8 * 65537];
    char name[MIOC_HOST_NAME_MAX + 2];
    size_t used = 0;

    (void)state;
    assert_int_equal(mioc_hostlist_count("n[0-65535]"), 65536);
    assert_int_equal(mioc_hostlist_name("n[0-65535]", 65535, name, sizeof name), 0);
    assert_string_equal(name, "n65535");
    assert_int_equal(mioc_hostlist_name("n[0-65535]", 65536, name, sizeof name), -1);
    assert_int_equal(mioc_hostlist_name("n[0-65535]", -1, name, sizeof name), -1);
    assert_int_equal(mioc_hostlist_count("n[0-255]m[0-255]"), 65536);
    for (int k = 0; k < 65536; k++)
        used += (size_t)sprintf(list + used, "n%d,", k);
    assert_int_equal(mioc_hostlist_count(list), 65536);
    strcpy(list + used, "m");
    assert_int_equal(mioc_hostlist_count(list), -1);
    memset(list, 'n', MIOC_HOST_NAME_MAX);
    list[MIOC_HOST_NAME_MAX] = '\0';
    assert_int_equal(mioc_hostlist_count(list), 1);
    assert_true(mioc_hostlist_is_name(list));
    strcpy(list + MIOC_HOST_NAME_MAX - 3, "[1]");
    assert_int_equal(mioc_hostlist_count(list), 1);
    strcpy(list + MIOC_HOST_NAME_MAX - 3, "nnnn");
    assert_int_equal(mioc_hostlist_count(list), -1);
    assert_false(mioc_hostlist_is_name(list));
    assert_false(mioc_hostlist_is_name(""));
}

static void name_buffer_is_filled_but_not_passed(void **state)
{
    char name[8];

    (void)state;
    memset(name, 'x', sizeof name);
    assert_int_equal(mioc_hostlist_name("node[08-11]", 2, name, 6), -1);
    assert_int_equal(name[6], 'x');
    errno = EDOM;
    assert_int_equal(mioc_hostlist_name("node[08-11]", 2, name, 7), 0);
    assert_int_equal(errno, EDOM);
    assert_string_equal(name, "node10");
    assert_int_equal(name[7], 'x');
    assert_int_equal(mioc_hostlist_name("n1", 0, name, 0), -1);
}

/* --- Slurm's own word -------------------------------------------------------------------------------------------- */

static unsigned seed = 13;

static unsigned pick(unsigned below) { return (unsigned)rand_r(&seed) % below; }

/* Puts "[01-03,7]", sometimes what scontrol refuses, too. (It takes "[1-]", which Slurm never writes.) */
static char *put_range(char *at)
{
    static const char *const bad[] = { "", "3-1", "a", "b-c", "-1", "1-2-3" };

    at += sprintf(at, "[");
    for (unsigned i = 0, n = 1 + pick(3); i < n; i++) {
        unsigned first = pick(2) ? pick(12) : 95 + pick(10), last = first + pick(8);

        if (pick(40) == 0)
            at += sprintf(at, "%s%s", i > 0 ? "," : "", bad[pick(6)]);
        else if (pick(2))
            at += sprintf(at, "%s%0*u", i > 0 ? "," : "", (int)pick(5), first);
        else
            at += sprintf(at, "%s%0*u-%0*u", i > 0 ? "," : "", (int)pick(5), first, (int)pick(5), last);
    }
    return at + sprintf(at, "]");
}

static void put_list(char *at)
{
    static const char *const words[] = { "n", "rack", "x-", "a1b", "gpu.z" };

    for (unsigned i = 0, n = 1 + pick(4); i < n; i++) {
        unsigned ranges = pick(4);

        at += sprintf(at, "%s", i > 0 ? "," : "");
        for (unsigned k = 0; k < ranges; k++)
            at = put_range(at + sprintf(at, "%s", words[pick(5)]));
        if (ranges == 0)
            at += sprintf(at, "%s%u", words[pick(5)], pick(100));
        else if (pick(30) == 0)
            at += sprintf(at, "-ib");
    }
}

/* What scontrol makes of a list, in expand()'s form. */
static int ask_scontrol(const char *list, char *text, size_t size)
{
    char command[2048];
    size_t got;
    FILE *from;

    snprintf(command, sizeof command, "scontrol show hostnames '%s' 2>&1", list);
    from = popen(command, "r");
    assert_non_null(from);
    got = fread(text, 1, size - 1, from);
    text[got] = '\0';
    if (strstr(text, "Invalid hostlist") != NULL || strstr(text, "error:") != NULL)
        snprintf(text, size, "malformed");
    for (char *at = text; (at = strchr(at, '\n')) != NULL;)
        *at = at[1] == '\0' ? '\0' : ' ';
    return pclose(from);
}

static void expand_generated_lists_agrees_with_scontrol(void **state)
{
    static char ours[1 << 20], slurms[1 << 20];
    char list[1024], path[] = "/tmp/mioc-slurm-conf.XXXXXX";
    int fd = mkstemp(path), malformed = 0;

    (void)state;
    assert_true(fd >= 0);
    dprintf(fd, "ClusterName=c\nSlurmctldHost=localhost\nNodeName=n0\nPartitionName=p Nodes=ALL\n");
    close(fd);
    setenv("SLURM_CONF", path, 1);
    if (ask_scontrol("n[1-2]", slurms, sizeof slurms) != 0 || strcmp(slurms, "n1 n2") != 0) {
        unlink(path);
        print_message("scontrol is missing, or has no use for a configuration of ours\n");
        skip();
    }
    for (int i = 0; i < 300; i++) {
        put_list(list);
        expand(list, ours, sizeof ours);
        (void)ask_scontrol(list, slurms, sizeof slurms);
        if (strcmp(ours, slurms) != 0) {
            unlink(path);
            fail_msg("%s is \"%.200s\" and not \"%.200s\"", list, slurms, ours);
        }
        malformed += strcmp(ours, "malformed") == 0;
    }
    unlink(path);
    assert_true(malformed > 10 && malformed < 150);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(expand_list_gives_the_names_in_slurms_order),
        cmocka_unit_test(count_malformed_list_is_refused),
        cmocka_unit_test(count_bounds_are_reached_but_not_passed),
        cmocka_unit_test(name_buffer_is_filled_but_not_passed),
        cmocka_unit_test(expand_generated_lists_agrees_with_scontrol),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
