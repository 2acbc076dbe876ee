/* SPDX-License-Identifier: BSD-3-Clause */
/* test_limits.c - a store's bound from made-up cgroups, of both versions, and a real filesystem. */
#include "node/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cmocka.h>

static char root[] = "/tmp/mioc_limits_XXXXXX";

/* Writes a file below the made-up root, and the folders on its way. */
static void put(const char *name, const char *text)
{
    char path[512];
    FILE *file;

    snprintf(path, sizeof path, "%s%s", root, name);
    for (char *slash = strchr(path + strlen(root) + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(path, 0755);
        *slash = '/';
    }
    file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static uint64_t half_of_what_is_free(void)
{
    struct statvfs fs;

    assert_int_equal(statvfs("/dev/shm", &fs), 0);
    return (uint64_t)fs.f_bavail * fs.f_frsize / 2;
}

static int set_up(void **state)
{
    (void)state;
    strcpy(strrchr(root, '_') + 1, "XXXXXX");
    return mkdtemp(root) == NULL;
}

static int tear_down(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    return system(command);
}

static void limit_without_cgroup_is_half_of_the_free_space(void **state)
{
    uint64_t before = half_of_what_is_free(), limit = mioc_limits_default(root, "/dev/shm");

    (void)state;
    assert_in_range(limit, before / 2, before + before / 2); /* others write there at the same time */
}

static void limit_of_version_2_is_a_quarter_of_the_tightest_ancestors_rest(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "0::/job/step/task\n");
    put("/sys/fs/cgroup/job/memory.max", "5000000\n");
    put("/sys/fs/cgroup/job/memory.current", "1000000\n");
    put("/sys/fs/cgroup/job/step/memory.max", "max\n");
    put("/sys/fs/cgroup/job/step/memory.current", "1000000\n");
    put("/sys/fs/cgroup/job/step/task/memory.max", "9000000\n");
    put("/sys/fs/cgroup/job/step/task/memory.current", "1000\n");
    assert_int_equal(mioc_limits_default(root, "/dev/shm"), 1000000);
}

static void limit_of_version_1_counts_the_memory_hierarchy_only(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "9:cpu,cpuacct:/other\n4:memory:/slurm/job\n");
    put("/sys/fs/cgroup/memory/slurm/memory.limit_in_bytes", "9223372036854771712\n");
    put("/sys/fs/cgroup/memory/slurm/memory.usage_in_bytes", "100\n");
    put("/sys/fs/cgroup/memory/slurm/job/memory.limit_in_bytes", "8000000\n");
    put("/sys/fs/cgroup/memory/slurm/job/memory.usage_in_bytes", "4000000\n");
    put("/sys/fs/cgroup/memory/other/memory.limit_in_bytes", "1\n");
    assert_int_equal(mioc_limits_default(root, "/dev/shm"), 1000000);
}

static void limit_of_a_full_cgroup_is_nothing(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "0::/full\n");
    put("/sys/fs/cgroup/full/memory.max", "1000\n");
    put("/sys/fs/cgroup/full/memory.current", "2000\n");
    assert_int_equal(mioc_limits_default(root, "/dev/shm"), 0);
}

static void limit_with_nonsense_in_the_files_ignores_them(void **state)
{
    uint64_t before = half_of_what_is_free(), limit;

    (void)state;
    put("/proc/self/cgroup", "nonsense\n0:\n::::\n0::/g\n");
    put("/sys/fs/cgroup/g/memory.max", "a lot\n");
    put("/sys/fs/cgroup/g/memory.current", "");
    limit = mioc_limits_default(root, "/dev/shm");
    assert_in_range(limit, before / 2, before + before / 2);
}

/* Seen: a group full of page cache, as any that has read much, left the store no room. */
static void limit_counts_page_cache_as_free(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "0::/job\n4:memory:/old\n");
    put("/sys/fs/cgroup/job/memory.max", "8000000\n");
    put("/sys/fs/cgroup/job/memory.current", "8000000\n");
    put("/sys/fs/cgroup/job/memory.stat",
        "anon 1000000\nfile 7000000\ninactive_file 3000000\nactive_file 1000000\nslab 5\n");
    assert_int_equal(mioc_limits_default(root, "/dev/shm"), 1000000);
    assert_int_equal(mioc_limits_are_near(root), 0);
    put("/sys/fs/cgroup/memory/old/memory.limit_in_bytes", "8000000\n");
    put("/sys/fs/cgroup/memory/old/memory.usage_in_bytes", "7900000\n");
    put("/sys/fs/cgroup/memory/old/memory.stat", "inactive_file 9\ntotal_inactive_file 300000\ntotal_active_file 0\n");
    assert_int_equal(mioc_limits_default(root, "/dev/shm"), 100000);
    assert_int_equal(mioc_limits_are_near(root), 1);
}

static void limits_are_near_on_any_level(void **state)
{
    (void)state;
    assert_int_equal(mioc_limits_are_near(root), -1);
    put("/proc/self/cgroup", "0::/job/task\n");
    assert_int_equal(mioc_limits_are_near(root), -1);
    put("/sys/fs/cgroup/job/task/memory.max", "1000\n");
    put("/sys/fs/cgroup/job/task/memory.current", "800\n");
    put("/sys/fs/cgroup/job/memory.max", "100000\n");
    put("/sys/fs/cgroup/job/memory.current", "87000\n");
    assert_int_equal(mioc_limits_are_near(root), 0);
    put("/sys/fs/cgroup/job/memory.current", "88000\n");
    assert_int_equal(mioc_limits_are_near(root), 1); /* though in the task less is left in bytes */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(limit_without_cgroup_is_half_of_the_free_space, set_up, tear_down),
        cmocka_unit_test_setup_teardown(limit_of_version_2_is_a_quarter_of_the_tightest_ancestors_rest, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(limit_of_version_1_counts_the_memory_hierarchy_only, set_up, tear_down),
        cmocka_unit_test_setup_teardown(limit_of_a_full_cgroup_is_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(limit_with_nonsense_in_the_files_ignores_them, set_up, tear_down),
        cmocka_unit_test_setup_teardown(limit_counts_page_cache_as_free, set_up, tear_down),
        cmocka_unit_test_setup_teardown(limits_are_near_on_any_level, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("limits", tests, NULL, NULL);
}
