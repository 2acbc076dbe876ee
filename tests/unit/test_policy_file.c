/* SPDX-License-Identifier: BSD-3-Clause */
/* test_policy_file.c - a policy that is left in a store's directory comes back; foreign and unsound files do not. */
#include "folder_fixture.h"

#include "policy/policy.h"

#include <errno.h>
#include <sys/mman.h>

static struct mioc_policy policy;

static int make_folder(void **state)
{
    (void)state;
    policy.count = 1;
    strcpy(policy.prefix[0].path, "/shared/env/lib");
    policy.prefix[0].len = (uint32_t)strlen(policy.prefix[0].path);
    policy.prefix[0].kind = MIOC_POLICY_LIBRARY;
    return mkdtemp(top) != NULL ? 0 : -1;
}

static int remove_policy(void **state)
{
    (void)state;
    return unlink(at("policy")) == 0 || errno == ENOENT || rmdir(at("policy")) == 0 ? 0 : -1;
}

static int can_map(void)
{
    const struct mioc_policy *mapped = mioc_policy_map(top);

    if (mapped != NULL)
        munmap((void *)(uintptr_t)mapped, sizeof *mapped);
    return mapped != NULL;
}

static void save_then_map_gives_the_same(void **state)
{
    const struct mioc_policy *mapped;
    struct stat st;

    (void)state;
    errno = 99;
    assert_int_equal(mioc_policy_save(&policy, top), 0);
    assert_int_equal(errno, 99);
    assert_int_equal(stat(at("policy"), &st), 0);
    assert_int_equal(st.st_mode & 077, 0);
    mapped = mioc_policy_map(top);
    assert_non_null(mapped);
    assert_memory_equal(mapped, &policy, sizeof policy);
    munmap((void *)(uintptr_t)mapped, sizeof policy);
}

static void save_over_a_file_or_a_link_fails(void **state)
{
    struct stat st;

    (void)state;
    assert_int_equal(symlink("target", at("policy")), 0);
    assert_int_equal(mioc_policy_save(&policy, top), -1);
    assert_int_equal(stat(at("target"), &st), -1);
    assert_int_equal(unlink(at("policy")), 0);
    assert_int_equal(mioc_policy_save(&policy, top), 0);
    assert_int_equal(mioc_policy_save(&policy, top), -1);
}

static void map_without_a_file_fails(void **state)
{
    (void)state;
    assert_false(can_map());
}

static void map_of_another_size_fails(void **state)
{
    (void)state;
    put("policy", (const char *)&policy, sizeof policy - 1);
    assert_false(can_map());
    assert_int_equal(truncate(at("policy"), sizeof policy), 0);
    assert_true(can_map());
    assert_int_equal(truncate(at("policy"), sizeof policy + 1), 0);
    assert_false(can_map());
}

static void map_of_no_regular_file_fails(void **state)
{
    (void)state;
    assert_int_equal(mkdir(at("policy"), 0700), 0);
    assert_false(can_map());
    assert_int_equal(rmdir(at("policy")), 0);
    assert_int_equal(mkfifo(at("policy"), 0600), 0);
    assert_false(can_map());
    assert_int_equal(unlink(at("policy")), 0);
    put("elsewhere", (const char *)&policy, sizeof policy);
    assert_int_equal(symlink("elsewhere", at("policy")), 0);
    assert_false(can_map());
}

static void map_of_another_users_file_fails(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        print_message("needs root\n");
        skip();
    }
    put("policy", (const char *)&policy, sizeof policy);
    assert_true(can_map());
    assert_int_equal(chown(at("policy"), 65534, 65534), 0);
    assert_false(can_map());
}

static void map_of_an_unsound_policy_fails(void **state)
{
    static struct mioc_policy bad;

    (void)state;
#define REFUSES(field, value) \
    bad = policy; \
    bad.field = (value); \
    put("policy", (const char *)&bad, sizeof bad); \
    if (can_map()) \
    fail_msg("%s = %s is taken", #field, #value)
    REFUSES(count, MIOC_MAX_PREFIXES + 1);
    REFUSES(excludes, MIOC_MAX_PREFIXES + 1);
    REFUSES(heads, MIOC_MAX_PREFIXES + 1);
    REFUSES(prefix[0].len, 0);
    REFUSES(prefix[0].len, policy.prefix[0].len - 1);
    REFUSES(prefix[0].len, sizeof policy.prefix[0].path);
    REFUSES(prefix[0].real_len, 1);
    REFUSES(prefix[0].kind, MIOC_POLICY_LIBRARY + 1);
    REFUSES(count, 2); /* the second prefix is empty */
#undef REFUSES
    put("policy", (const char *)&policy, sizeof policy);
    assert_true(can_map());
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, remove_policy)
    const struct CMUnitTest tests[] = {
        TEST(save_then_map_gives_the_same),   TEST(save_over_a_file_or_a_link_fails),
        TEST(map_without_a_file_fails),       TEST(map_of_another_size_fails),
        TEST(map_of_no_regular_file_fails),   TEST(map_of_another_users_file_fails),
        TEST(map_of_an_unsound_policy_fails),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
