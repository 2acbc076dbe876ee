/* SPDX-License-Identifier: BSD-3-Clause */
/* test_policy_mount.c - what mountinfo says of the mount that a file is on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "policy/policy_internal.h"

#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

static void mount_prefers_device_over_id(void **state)
{
    static const char text[] =
        "20 1 0:5 / /a rw - ext4 x rw\n21 1 0:6 / /b rw shared:1 - fuse.my\\040fs x rw\n"
        "22 1 0:6 / /c rw - nfs4 x rw\ngarbage\n23 1 0:x\n24 1 0:9 / /d rw\n\n25 1 0:7 / /e rw - tmpfs x rw";
    static const struct {
        long id;
        unsigned dev_minor;
        int found;
        const char *type;
    } table[] = {
        { 20, 5, 0, "ext4" },  { 21, 6, 0, "fuse.my fs" }, { 22, 6, 0, "nfs4" }, { -1, 5, 0, "ext4" },
        { 20, 7, 0, "tmpfs" }, { 20, 99, 0, "ext4" },      { 24, 9, -1, "" },    { 23, 99, -1, "" },
        { -1, 99, -1, "" },    { 25, 99, 0, "tmpfs" },
    };
    /* Found by fuzzing: the number that a line lacks was taken from the next line, and the search for options ran from
     * there to nowhere. */
    static const char cut[] = "20 1 0:\n5 / /a rw - ext4 x rw\n20 1\n0:5 / /a rw - nfs x rw";

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct mioc_mount mount = { .type = "" };

        assert_int_equal(mioc_policy_find_mount(text, table[i].id, makedev(0, table[i].dev_minor), &mount),
                         table[i].found);
        assert_string_equal(mount.type, table[i].type);
    }
    struct mioc_mount mount;
    assert_int_equal(mioc_policy_find_mount("", 1, 1, &mount), -1);
    assert_int_equal(mioc_policy_find_mount(cut, 20, makedev(0, 5), &mount), -1);
}

/* Found by fuzzing: a better line whose type is none, or too long, left the type of the line before half overwritten
 * and without its end. */
static void mount_type_that_does_not_fit_spoils_nothing(void **state)
{
    static const char *const types[] = { "", "fuse.a23456789b23456789c23456789d23456789e23456789f23456789g23456789",
                                         "x\\400\n" };
    char text[400];

    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        struct mioc_mount mount = { .type = "" };

        snprintf(text, sizeof text, "21 1 0:6 / /b rw - nfs4 x rw\n22 1 0:5 / /a rw - %s", types[i]);
        assert_int_equal(mioc_policy_find_mount(text, 21, makedev(0, 5), &mount), 0);
        assert_string_equal(mount.type, i < 2 ? "nfs4" : "x\\400");
    }
}

static void mount_options_say_what_may_not_be_executed(void **state)
{
    static const struct {
        const char *line;
        int is_noexec;
    } table[] = {
        { "20 1 0:5 / /a rw - nfs x rw", 0 },
        { "20 1 0:5 / /a rw,noexec,nosuid - nfs x rw", 1 },
        { "20 1 0:5 / /a noexec - nfs x rw", 1 },
        { "20 1 0:5 / /a rw,noexec shared:1 master:2 - nfs x rw", 1 },
        { "20 1 0:5 /noexec /noexec rw shared:1 - nfs noexec rw,noexec", 0 },
        { "20 1 0:5 / /a rw,noexecs - nfs x rw", 0 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct mioc_mount mount = { .is_noexec = -1 };

        assert_int_equal(mioc_policy_find_mount(table[i].line, 20, makedev(0, 5), &mount), 0);
        assert_int_equal(mount.is_noexec, table[i].is_noexec);
    }
}

static void mount_says_how_long_its_client_keeps_what_it_knows(void **state)
{
    static const struct {
        const char *mount;
        uint32_t ms;
    } table[] = {
        { "lustre mgs:/x rw", 0 },
        { "gpfs x rw", 0 },
        { "ceph x rw", 0 },
        { "afs x rw", 0 },
        { "ocfs2 x rw", 0 },
        { "ext4 x rw", 0 },
        { "tmpfs x rw", 0 },
        { "fuse.squashfuse x rw", 0 },
        { "fuse.sshfs x rw,acregmax=1", 60000 },
        { "beegfs x rw", 60000 },
        { "somefs x rw", 60000 },
        { "9p x rw", 60000 },
        { "nfs x rw", 60000 },
        { "nfs4 s:/x rw,vers=4.2,hard", 60000 },
        { "nfs4 s:/x rw,acregmin=1,acregmax=5,acdirmin=1,acdirmax=7", 7000 },
        { "nfs s:/x rw,acregmax=600", 600000 },
        { "nfs s:/x rw,acdirmax=3", 60000 },
        { "nfs s:/x rw,acregmin=0,acregmax=0,acdirmin=0,acdirmax=0", 0 },
        { "nfs4 s:/x rw,sync,noac,vers=4.1", 0 },
        { "nfs4 s:/noac rw,noacl", 60000 },
        { "nfs4 noac rw", 60000 },
        { "nfs4 s:/a\\040b rw,acregmax=2,acdirmax=2", 2000 },
        { "nfs s:/x rw,acregmax=99999999999,acdirmax=1", 86400000 },
        { "nfs  rw,actimeo=4", 4000 },
        { "cifs //s/x rw,cache=strict", 1000 },
        { "cifs //s/x rw,actimeo=30", 30000 },
        { "smb3 //s/x rw,acdirmax=60,acregmax=1", 60000 },
        { "dvs /x ro,attrcache_timeout=14400", 14400000 },
        { "dvs /x ro", 60000 },
        { "nfs", 60000 },
        { "nfs ", 60000 },
        { "nfs x", 60000 },
    };
    char line[256], two[600];

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct mioc_mount mount = { .client_ms = 77 };

        snprintf(line, sizeof line, "20 1 0:5 / /a rw,acregmax=3,noac shared:1 - %s", table[i].mount);
        snprintf(two, sizeof two, "%s\n21 1 0:6 / /b rw - nfs x rw,acregmax=33,noac\n", line);
        assert_int_equal(mioc_policy_find_mount(line, 20, makedev(0, 5), &mount), 0);
        if (mount.client_ms != table[i].ms)
            fail_msg("%s: %u ms", table[i].mount, mount.client_ms);
        assert_int_equal(mioc_policy_find_mount(two, 20, makedev(0, 5), &mount), 0);
        if (mount.client_ms != table[i].ms)
            fail_msg("%s, and another line behind it: %u ms", table[i].mount, mount.client_ms);
    }
}

static void mount_says_whether_files_have_names_that_are_not_listed(void **state)
{
    static const struct {
        const char *type;
        int maps_names;
    } table[] = {
        { "cifs", 1 },    { "smb3", 1 },    { "vfat", 1 },       { "exfat", 1 }, { "ntfs3", 1 },
        { "fuseblk", 1 }, { "hfsplus", 1 }, { "9p", 1 },         { "nfs4", 0 },  { "lustre", 0 },
        { "ext4", 0 },    { "xfs", 0 },     { "fuse.sshfs", 0 }, { "fuse", 0 },  { "beegfs", 0 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct mioc_mount mount = { .maps_names = -1 };
        char line[128];

        snprintf(line, sizeof line, "20 1 0:5 / /a rw - %s x rw", table[i].type);
        assert_int_equal(mioc_policy_find_mount(line, 20, makedev(0, 5), &mount), 0);
        if (mount.maps_names != table[i].maps_names)
            fail_msg("%s", table[i].type);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(mount_prefers_device_over_id),
        cmocka_unit_test(mount_type_that_does_not_fit_spoils_nothing),
        cmocka_unit_test(mount_options_say_what_may_not_be_executed),
        cmocka_unit_test(mount_says_how_long_its_client_keeps_what_it_knows),
        cmocka_unit_test(mount_says_whether_files_have_names_that_are_not_listed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
