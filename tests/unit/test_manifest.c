/* SPDX-License-Identifier: BSD-3-Clause */
/* test_manifest.c - the manifest's text and file: what is damaged, hostile or somebody else's is as good as none. */
#include "store_fixture.h"

#include "resolver/manifest.h"

#include <sys/resource.h>
#include <sys/stat.h>

static char home[64];
static char seen[8192];
static struct mioc_config config;
static struct mioc_policy policy;
static struct mioc_manifest manifest;

static void note(void *ctx, unsigned kind, const char *path, uint32_t len)
{
    size_t used = strlen(seen);

    (void)ctx;
    snprintf(seen + used, sizeof seen - used, "%u %.*s\n", kind, (int)len, path);
}

static int parse(const char *bytes, size_t size)
{
    struct mioc_manifest_text text = { .bytes = (char *)(uintptr_t)bytes, .size = size };

    seen[0] = '\0';
    return mioc_manifest_parse(&text, note, NULL) == 0 ? (int)text.count : -1;
}

#define HEAD "mpiio_cache manifest 1\n"
#define GOOD HEAD "C /sw/os.pyc\nL /sw\nS /sw/a b\nend 3\n"

static void text_that_is_whole_is_walked_in_order(void **state)
{
    (void)state;
    assert_int_equal(parse(GOOD, sizeof GOOD - 1), 3);
    assert_string_equal(seen, "3 /sw/os.pyc\n2 /sw\n1 /sw/a b\n");
}

static void text_cut_anywhere_is_none(void **state)
{
    (void)state;
    for (size_t size = 0; size < sizeof GOOD - 1; size++) {
        assert_int_equal(parse(GOOD, size), -1);
        assert_string_equal(seen, "");
    }
}

static void text_with_any_byte_changed_is_none_or_another_one(void **state)
{
    char text[sizeof GOOD];

    (void)state;
    for (size_t i = 0; i < sizeof GOOD - 1; i++)
        for (int byte = 0; byte < 256; byte++) {
            memcpy(text, GOOD, sizeof GOOD);
            text[i] = (char)byte;
            if (parse(text, sizeof GOOD - 1) < 0)
                assert_string_equal(seen, ""); /* nothing was taken of what is damaged */
        }
}

static void text_that_is_malformed_is_none(void **state)
{
    static const char *const bad[] = {
        "",
        "\n",
        "end 0\n",
        "mpiio_cache manifest 2\nend 0\n",
        HEAD,
        HEAD "end 1\n",
        HEAD "end 0",
        HEAD "end 0\n\n",
        HEAD "end 00\n",
        HEAD "end 0\nS /a\nend 1\n",
        HEAD "S a\nend 1\n",
        HEAD "S  /a\nend 1\n",
        HEAD "X /a\nend 1\n",
        HEAD "S/a\nend 1\n",
        HEAD "S \nend 1\n",
        HEAD "\nend 0\n",
        HEAD "S /a\nend 2\n",
        HEAD "S /a\nend -1\n",
        HEAD "s /a\nend 1\n",
    };
    static char long_path[8192];

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (parse(bad[i], strlen(bad[i])) != -1)
            fail_msg("taken: %s", bad[i]);
    assert_int_equal(parse(HEAD "S /a\0b\nend 1\n", sizeof HEAD "S /a\0b\nend 1\n" - 1), -1);
    strcpy(long_path, HEAD "S ");
    memset(long_path + strlen(long_path), '/', 4096);
    strcat(long_path, "\nend 1\n");
    assert_int_equal(parse(long_path, strlen(long_path)), -1);
}

/* --- Files ------------------------------------------------------------------------------------------------------- */

static void find(const char *setting)
{
    char xdg[128], *env[] = { xdg, NULL };

    snprintf(xdg, sizeof xdg, "XDG_CACHE_HOME=%s/cache", home);
    strcpy(config.manifest, setting);
    mioc_manifest_find(&manifest, &config, &policy, env);
}

static const char *file(void)
{
    static char path[2 * PATH_MAX];

    snprintf(path, sizeof path, "%s/%s", manifest.dir, manifest.name);
    return path;
}

static void put(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static char problem[512];

static int read_it(void)
{
    int count;

    seen[0] = '\0';
    count = mioc_manifest_read(&manifest, note, NULL);
    strcpy(problem, manifest.problem);
    return count;
}

static int write_it(struct mioc_store *s)
{
    problem[0] = '\0';
    return mioc_manifest_write(&manifest, s, problem, sizeof problem);
}

static unsigned files_in(const char *dir)
{
    char command[256];
    FILE *f;
    unsigned n = 0;

    snprintf(command, sizeof command, "find '%s' -type f | wc -l", dir);
    f = popen(command, "r");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%u", &n), 1);
    pclose(f);
    return n;
}

static int set_up(void **state)
{
    strcpy(home, "/tmp/mioc-manifest.XXXXXX");
    memset(&manifest, 0, sizeof manifest);
    policy.program = 7;
    return mkdtemp(home) && make_store(state) == 0 ? 0 : -1;
}

static int tear_down(void **state)
{
    char command[128];

    snprintf(command, sizeof command, "rm -rf '%s'", home);
    return system(command) == 0 && remove_store(state) == 0 ? 0 : -1;
}

static void what_a_store_holds_is_written_and_read_again(void **state)
{
    struct mioc_store *s = *state;
    struct stat st;

    find("auto");
    assert_int_equal(read_it(), 0);
    append_all(s, "/sw/one");
    mioc_store_append(s, record(MIOC_ITEM_STAT, 0, "/sw/only stat", 1));
    mioc_store_append(s, record(MIOC_ITEM_STAT, 0, "/sw/line\nend", 1));
    mioc_store_append(s, record(MIOC_ITEM_STAT, MIOC_FLAG_UNCACHED, "/sw/not shared", 1));
    mioc_store_append(s, record(MIOC_ITEM_STAT, 0, "/sw/written", 1));
    mioc_store_append(s, invalidation(0, "/sw/written", 0, 0));
    mioc_store_append(s, record(MIOC_ITEM_CONTENT, MIOC_FLAG_EARLY, "/sw/gone since the last run", 1));
    mioc_store_append(s, record(MIOC_ITEM_STAT, MIOC_FLAG_EARLY, "/sw/still there", 1));
    assert_int_equal(write_it(s), 0);
    assert_int_equal(stat(file(), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(stat(manifest.dir, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_int_equal(read_it(), 6);
    /* Its stat comes with the content. */
    assert_string_equal(seen, "2 /sw/one\n3 /sw/one\n4 /sw/one\n5 /sw/one\n1 /sw/only stat\n1 /sw/still there\n");
    assert_int_equal(files_in(home), 1);
}

static void a_file_that_says_the_same_is_not_written_again(void **state)
{
    struct mioc_store *s = *state;
    struct stat before, after;

    find("auto");
    append_all(s, "/sw/one");
    append_all(s, "/sw/two");
    assert_int_equal(write_it(s), 0);
    assert_int_equal(read_it(), 8);
    assert_int_equal(stat(file(), &before), 0);
    assert_int_equal(write_it(s), 0);
    assert_int_equal(stat(file(), &after), 0);
    assert_int_equal(before.st_ino, after.st_ino);
    append_all(s, "/sw/three");
    assert_int_equal(write_it(s), 0);
    assert_int_equal(read_it(), 12);
}

static void a_run_that_asked_nothing_writes_nothing(void **state)
{
    find("auto");
    assert_int_equal(write_it(*state), 0);
    assert_int_equal(files_in(home), 0);
}

static void off_and_no_home_are_no_manifest(void **state)
{
    char *env[] = { (char[]){ "HOME=relative" }, (char[]){ "XDG_CACHE_HOME=" }, NULL };

    find("off");
    append_all(*state, "/sw/one");
    assert_int_equal(read_it(), 0);
    assert_int_equal(write_it(*state), 0);
    strcpy(config.manifest, "auto");
    mioc_manifest_find(&manifest, &config, &policy, env);
    assert_string_equal(manifest.dir, "");
    mioc_manifest_find(&manifest, &config, &policy, NULL);
    assert_string_equal(manifest.dir, "");
    assert_int_equal(files_in(home), 0);
}

static void the_name_follows_program_and_prefixes(void **state)
{
    char first[NAME_MAX + 1];

    (void)state;
    find("auto");
    strcpy(first, manifest.name);
    policy.program = 8;
    find("auto");
    assert_string_not_equal(manifest.name, first);
    policy.program = 7;
    policy.count = 1;
    policy.prefix[0] = (struct mioc_policy_prefix){ .len = 3, .kind = MIOC_POLICY_LIBRARY, .path = "/sw" };
    find("auto");
    assert_string_not_equal(manifest.name, first);
    policy.count = 0;
    find("auto");
    assert_string_equal(manifest.name, first);
}

static void a_file_that_is_not_ours_or_no_file_is_neither_read_nor_replaced(void **state)
{
    struct mioc_store *s = *state;
    char target[128];
    struct stat st;

    append_all(s, "/sw/one");
    find("auto");
    assert_int_equal(write_it(s), 0);
    /* a link */
    snprintf(target, sizeof target, "%s/target", home);
    put(target, GOOD);
    unlink(file());
    assert_int_equal(symlink(target, file()), 0);
    assert_int_equal(read_it(), -1);
    assert_string_equal(seen, "");
    assert_int_equal(write_it(s), -1);
    assert_int_equal(lstat(file(), &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    /* a FIFO, whose opening would wait */
    unlink(file());
    assert_int_equal(mkfifo(file(), 0600), 0);
    assert_int_equal(read_it(), -1);
    assert_int_equal(write_it(s), -1);
    /* a directory */
    unlink(file());
    assert_int_equal(mkdir(file(), 0700), 0);
    assert_int_equal(read_it(), -1);
    assert_int_equal(write_it(s), -1);
    rmdir(file());
    if (geteuid() != 0)
        return;
    put(file(), GOOD);
    assert_int_equal(chown(file(), 12345, 12345), 0);
    assert_int_equal(read_it(), -1);
    assert_non_null(strstr(problem, "somebody else"));
    assert_int_equal(write_it(s), -1);
    assert_int_equal(stat(file(), &st), 0);
    assert_int_equal(st.st_uid, 12345);
}

static void a_cache_directory_that_others_may_change_is_not_used(void **state)
{
    append_all(*state, "/sw/one");
    find("auto");
    assert_int_equal(write_it(*state), 0);
    unlink(file());
    assert_int_equal(chmod(manifest.dir, 0777), 0);
    assert_int_equal(write_it(*state), -1);
    assert_int_equal(files_in(home), 0);
}

static void a_file_too_large_is_not_read(void **state)
{
    append_all(*state, "/sw/one");
    find("auto");
    assert_int_equal(write_it(*state), 0);
    assert_int_equal(truncate(file(), (off_t)MIOC_MANIFEST_BYTES_MAX + 1), 0);
    assert_int_equal(read_it(), -1);
    assert_non_null(strstr(problem, "too large"));
}

static void a_damaged_file_is_said_and_replaced(void **state)
{
    append_all(*state, "/sw/one");
    find("auto");
    assert_int_equal(write_it(*state), 0);
    put(file(), HEAD "S /a\n");
    assert_int_equal(read_it(), -1);
    assert_non_null(strstr(problem, manifest.name));
    assert_int_equal(write_it(*state), 0);
    assert_int_equal(read_it(), 4);
}

/* The root's program can write over its own mapping of the store. */
static void a_store_that_was_written_over_leaves_the_old_file(void **state)
{
    static const uint32_t sizes[] = { 0, 4, sizeof(struct mioc_item) - 8, sizeof(struct mioc_item) + 4, 1u << 31 };
    struct mioc_store *s = *state;
    struct mioc_item *item;
    uint32_t size;

    append_all(s, "/sw/one");
    append_all(s, "/sw/two");
    find("auto");
    assert_int_equal(write_it(s), 0);
    item = (struct mioc_item *)mioc_store_item_at(s, mioc_store_item_at(s, 0)->size);
    size = item->size;
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        item->size = sizes[i];
        assert_int_equal(write_it(s), -1);
        assert_non_null(strstr(problem, "damaged"));
        assert_int_equal(read_it(), 8);
    }
    item->size = size;
    item->path_len = UINT16_MAX; /* out of the item: that one is left out */
    assert_int_equal(write_it(s), 0);
    assert_int_equal(read_it(), 7);
}

/* A full disk, as far as a process can have one: the old file stays, and nothing else. */
static void a_write_that_fails_leaves_the_old_file(void **state)
{
    struct rlimit old, small = { 10, 10 };

    append_all(*state, "/sw/one");
    find("auto");
    assert_int_equal(write_it(*state), 0);
    append_all(*state, "/sw/two");
    getrlimit(RLIMIT_FSIZE, &old);
    small.rlim_max = old.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    assert_int_equal(write_it(*state), -1);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    signal(SIGXFSZ, SIG_DFL);
    assert_int_equal(read_it(), 4);
    assert_int_equal(files_in(home), 1);
}

static void the_oldest_go_when_there_are_too_many(void **state)
{
    char first[2 * PATH_MAX], other[2 * PATH_MAX], temporary[2 * PATH_MAX];

    append_all(*state, "/sw/one");
    find("auto");
    assert_int_equal(write_it(*state), 0);
    strcpy(first, file());
    snprintf(other, sizeof other, "%s/unrelated", manifest.dir);
    put(other, "");
    snprintf(temporary, sizeof temporary, "%s/.writing-1", manifest.dir);
    put(temporary, "");
    for (unsigned i = 0; i < MIOC_MANIFEST_FILES_MAX + 5; i++) {
        struct timespec times[2] = { { 1000 + i, 0 }, { 1000 + i, 0 } };

        policy.program = 100 + i;
        find("auto");
        put(file(), GOOD);
        assert_int_equal(utimensat(AT_FDCWD, file(), times, 0), 0);
    }
    assert_int_equal(utimensat(AT_FDCWD, temporary, (struct timespec[2]){ { 1, 0 }, { 1, 0 } }, 0), 0);
    assert_int_equal(utimensat(AT_FDCWD, other, (struct timespec[2]){ { 1, 0 }, { 1, 0 } }, 0), 0);
    policy.program = 99;
    find("auto");
    assert_int_equal(write_it(*state), 0);
    assert_int_equal(files_in(manifest.dir), MIOC_MANIFEST_FILES_MAX + 1);
    assert_int_equal(access(file(), F_OK), 0);
    assert_int_equal(access(first, F_OK), 0);
    assert_int_equal(access(other, F_OK), 0);
    assert_int_not_equal(access(temporary, F_OK), 0);
    policy.program = 7;
}

static void a_file_of_the_users_choice_is_used_where_it_is(void **state)
{
    char setting[128];

    append_all(*state, "/sw/one");
    snprintf(setting, sizeof setting, "%s/mine", home);
    find(setting);
    assert_int_equal(read_it(), 0);
    assert_int_equal(write_it(*state), 0);
    assert_int_equal(access(setting, F_OK), 0);
    assert_int_equal(read_it(), 4);
    snprintf(setting, sizeof setting, "%s/missing/mine", home);
    find(setting);
    assert_int_equal(read_it(), 0);
    assert_int_equal(write_it(*state), -1); /* directories are not made there */
    assert_non_null(strstr(problem, setting));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_that_is_whole_is_walked_in_order),
        cmocka_unit_test(text_cut_anywhere_is_none),
        cmocka_unit_test(text_with_any_byte_changed_is_none_or_another_one),
        cmocka_unit_test(text_that_is_malformed_is_none),
        cmocka_unit_test_setup_teardown(what_a_store_holds_is_written_and_read_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_file_that_says_the_same_is_not_written_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_run_that_asked_nothing_writes_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(off_and_no_home_are_no_manifest, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_name_follows_program_and_prefixes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_file_that_is_not_ours_or_no_file_is_neither_read_nor_replaced, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_cache_directory_that_others_may_change_is_not_used, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_file_too_large_is_not_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_damaged_file_is_said_and_replaced, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_store_that_was_written_over_leaves_the_old_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_write_that_fails_leaves_the_old_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_oldest_go_when_there_are_too_many, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_file_of_the_users_choice_is_used_where_it_is, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("manifest", tests, NULL, NULL);
}
