/* SPDX-License-Identifier: BSD-3-Clause */
/* test_store_files.c - stores are made privately, found while their owner lives. */
#include "store_owner_fixture.h"

#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>

static char *in_store(const struct mioc_store *s, const char *name)
{
    static char path[1300];

    snprintf(path, sizeof(path), "%s/%s", mioc_store_path(s), name);
    return path;
}

/* --- Making ------------------------------------------------------------------------------------------------------ */

static void create_makes_private_files(void **state)
{
    struct mioc_store *s = *state;
    static const struct {
        const char *name;
        mode_t mode;
    } files[] = { { ".", S_IFDIR | 0700 },    { "owner", S_IFREG | 0600 }, { "index", S_IFREG | 0600 },
                  { "ring", S_IFREG | 0600 }, { "c", S_IFDIR | 0700 },     { "m", S_IFDIR | 0700 } };
    struct stat st;
    char shape[256];

    for (unsigned i = 0; i < 6; i++) {
        assert_int_equal(lstat(in_store(s, files[i].name), &st), 0);
        assert_int_equal(st.st_mode, files[i].mode);
        assert_int_equal(st.st_uid, geteuid());
    }
    assert_int_equal(count_names(mioc_store_path(s)), 5);
    snprintf(shape, sizeof(shape), "%s/mpiio_cache-%u-0123456789abcdef-", store_dir, (unsigned)geteuid());
    assert_memory_equal(mioc_store_path(s), shape, strlen(shape));
    assert_int_equal(strlen(mioc_store_path(s)), strlen(shape) + 16);
    assert_non_null(mioc_store_ring(s));
}

static void create_ignores_umask_and_trailing_slash(void **state)
{
    mode_t old = umask(0377);
    char dir[80];
    struct mioc_store *s, *view;

    (void)state;
    snprintf(dir, sizeof(dir), "%s//", store_dir);
    s = mioc_store_create(dir, KEY, &limits);
    umask(old);
    assert_non_null(s);
    assert_null(strstr(mioc_store_path(s), "//"));
    view = mioc_store_attach(mioc_store_path(s));
    assert_non_null(view);
    mioc_store_detach(view);
    mioc_store_remove(s);
    mioc_store_detach(s);
}

static void create_in_bad_place_fails_and_leaves_nothing(void **state)
{
    char file[80], missing[80];
    const struct {
        const char *dir;
        int err;
    } rows[] = { { "relative", EINVAL }, { "", EINVAL }, { missing, ENOENT }, { file, ENOTDIR } };
    int fd;

    (void)state;
    snprintf(file, sizeof(file), "%s/file", store_dir);
    snprintf(missing, sizeof(missing), "%s/missing", store_dir);
    fd = open(file, O_CREAT | O_WRONLY, 0600);
    close(fd);
    for (unsigned i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        errno = 0;
        assert_null(mioc_store_create(rows[i].dir, KEY, &limits));
        assert_int_equal(errno, rows[i].err);
    }
    chmod(store_dir, 0777); /* without the sticky bit anybody may rename ours */
    assert_null(mioc_store_create(store_dir, KEY, &limits));
    assert_int_equal(errno, EPERM);
    chmod(store_dir, 0700);
    unlink(file);
    assert_int_equal(count_names(store_dir), 0);
}

static int unprivileged_create(void *arg)
{
    (void)arg;
    if (geteuid() == 0 && setuid(65534) != 0)
        return 99;
    return mioc_store_create(store_dir, KEY, &limits) == NULL && (errno == EACCES || errno == EPERM) ? 0 : 1;
}

static void create_without_permission_fails(void **state)
{
    int result;

    (void)state;
    chmod(store_dir, 0555);
    result = in_child(unprivileged_create, NULL);
    chmod(store_dir, 0700);
    if (result == 99)
        skip();
    assert_int_equal(result, 0);
}

static int removes(void *s)
{
    mioc_store_remove(s);
    return 0;
}

static void remove_by_forked_child_does_nothing(void **state)
{
    assert_int_equal(in_child(removes, *state), 0);
    assert_int_equal(count_names(mioc_store_path(*state)), 5);
}

/* --- Finding ----------------------------------------------------------------------------------------------------- */

static void find_skips_dead_and_foreign_stores(void **state)
{
    struct owner dead, live, other;
    char path[1024];

    (void)state;
    errno = 0;
    assert_int_equal(mioc_store_find(store_dir, KEY, path, sizeof(path)), -1);
    assert_int_equal(errno, ENOENT);
    start_owner(&live, KEY);
    start_owner(&other, KEY + 1);
    assert_int_equal(mioc_store_find(store_dir, KEY, path, sizeof(path)), 0);
    assert_string_equal(path, live.path);
    assert_int_equal(mioc_store_find(store_dir, KEY + 1, path, sizeof(path)), 0);
    assert_string_equal(path, other.path);
    start_owner(&dead, KEY + 2);
    end_owner(&dead, SIGKILL);
    assert_int_equal(mioc_store_find(store_dir, KEY + 2, path, sizeof(path)), -1);
    start_owner(&dead, KEY + 2); /* reclaims the first */
    assert_int_equal(mioc_store_find(store_dir, KEY + 2, path, sizeof(path)), 0);
    assert_string_equal(path, dead.path);
    assert_int_equal(mioc_store_find(store_dir, KEY, path, 40), -1);
    assert_int_equal(errno, ENAMETOOLONG);
    end_owner(&dead, 0);
    end_owner(&live, 0);
    end_owner(&other, 0);
}

/* Its directory is there, its lock is not: for a moment that is no dead one. */
static void find_says_that_a_store_is_just_being_made(void **state)
{
    char name[200], path[1024];
    unsigned naps = 0;

    (void)state;
    snprintf(name, sizeof name, "%s/mpiio_cache-%u-%016llx-0123456789abcdef", store_dir, (unsigned)geteuid(),
             (unsigned long long)KEY);
    assert_int_equal(mkdir(name, 0700), 0);
    assert_int_equal(mioc_store_find(store_dir, KEY, path, sizeof path), -1);
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(mioc_store_find(store_dir, KEY + 1, path, sizeof path), -1);
    assert_int_equal(errno, ENOENT);
    do
        usleep(20000);
    while (mioc_store_find(store_dir, KEY, path, sizeof path) != 0 && errno == EAGAIN && naps++ < 500);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(rmdir(name), 0);
}

static void owner_is_alive_until_its_process_ends(void **state)
{
    struct owner owner;
    struct mioc_store *view;

    (void)state;
    start_owner(&owner, KEY);
    view = mioc_store_attach(owner.path);
    assert_non_null(view);
    assert_int_equal(mioc_store_lock_fd(view), -1);
    errno = 77;
    assert_int_equal(mioc_store_is_owner_alive(view), 1);
    end_owner(&owner, SIGKILL);
    assert_int_equal(mioc_store_is_owner_alive(view), 0);
    assert_int_equal(mioc_store_reclaim(store_dir), 1);
    assert_int_equal(mioc_store_is_owner_alive(view), 0);
    assert_int_equal(errno, 77);
    mioc_store_detach(view);
}

static uint64_t seconds_from_now(unsigned seconds)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return ((uint64_t)now.tv_sec + seconds) * 1000000000u + (uint64_t)now.tv_nsec;
}

static int sees_it_active(void *path)
{
    const struct mioc_store *view = mioc_store_attach(path);

    return view != NULL && mioc_store_await(view, seconds_from_now(60)) == MIOC_STORE_ACTIVE ? 0 : 1;
}

static void awaited_start_ends_by_itself_by_death_or_in_time(void **state)
{
    struct owner owner;
    struct mioc_store *s, *view;
    int status;
    pid_t pid;

    (void)state;
    start_owner(&owner, KEY);
    view = mioc_store_attach(owner.path);
    assert_int_equal(mioc_store_await(view, seconds_from_now(0)), MIOC_STORE_STARTING);
    pid = fork();
    if (pid == 0) {
        usleep(50000);
        kill(owner.pid, SIGKILL);
        _exit(0);
    }
    assert_int_equal(mioc_store_await(view, seconds_from_now(60)), MIOC_STORE_STARTING);
    assert_int_equal(mioc_store_is_owner_alive(view), 0);
    waitpid(pid, NULL, 0);
    end_owner(&owner, SIGKILL);
    mioc_store_detach(view);
    s = mioc_store_create(store_dir, KEY, &limits);
    pid = fork();
    if (pid == 0)
        _exit(sees_it_active((void *)(uintptr_t)mioc_store_path(s)));
    usleep(50000);
    mioc_store_set_state(s, MIOC_STORE_ACTIVE);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    mioc_store_remove(s);
    mioc_store_detach(s);
}

static int finds_alive(void *path)
{
    struct mioc_store *view = mioc_store_attach(path);
    char found_path[1024];

    return view && mioc_store_is_owner_alive(view) && mioc_store_reclaim(store_dir) == 0 &&
                   mioc_store_find(store_dir, KEY, found_path, sizeof(found_path)) == 0 && strcmp(found_path, path) == 0
               ? 0
               : 1;
}

/* Closing any descriptor of `owner` in the agent's process would end the lock. */
static void owner_keeps_its_lock_through_its_own_calls(void **state)
{
    struct mioc_store *s = *state;
    char path[1024];

    assert_int_equal(mioc_store_reclaim(store_dir), 0);
    assert_int_equal(mioc_store_find(store_dir, KEY, path, sizeof(path)), 0);
    assert_string_equal(path, mioc_store_path(s));
    assert_int_equal(mioc_store_is_owner_alive(s), 1);
    assert_int_equal(in_child(finds_alive, path), 0);
}

static void attach_refuses_what_is_not_a_store_of_ours(void **state)
{
    struct mioc_store *s = *state;
    char link[1100];
    const uint64_t zero = 0;
    int fd;

    assert_null(mioc_store_attach("relative"));
    assert_null(mioc_store_attach(store_dir));
    snprintf(link, sizeof(link), "%s/link", store_dir);
    assert_int_equal(symlink(mioc_store_path(s), link), 0);
    assert_null(mioc_store_attach(link));
    unlink(link);
    chmod(mioc_store_path(s), 0755);
    assert_null(mioc_store_attach(mioc_store_path(s)));
    assert_int_equal(errno, EACCES);
    chmod(mioc_store_path(s), 0700);
    chmod(in_store(s, "index"), 0644);
    assert_null(mioc_store_attach(mioc_store_path(s)));
    chmod(in_store(s, "index"), 0600);
    if (geteuid() == 0) {
        assert_int_equal(chown(in_store(s, "ring"), 65534, 0), 0);
        assert_null(mioc_store_attach(mioc_store_path(s)));
        assert_int_equal(chown(in_store(s, "ring"), 0, 0), 0);
    }
    fd = open(in_store(s, "ring"), O_RDWR);
    assert_int_equal(pwrite(fd, &zero, 8, 0), 8);
    close(fd);
    assert_null(mioc_store_attach(mioc_store_path(s)));
    assert_int_equal(errno, EPROTO);
    fd = open(in_store(s, "index"), O_RDWR);
    assert_int_equal(ftruncate(fd, 1000), 0);
    assert_null(mioc_store_attach(mioc_store_path(s)));
    close(fd);
}

#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, make_store, remove_store)
#define WITH_DIR(test) cmocka_unit_test_setup_teardown(test, make_dir, remove_dir)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        WITH_STORE(create_makes_private_files),
        WITH_DIR(create_ignores_umask_and_trailing_slash),
        WITH_DIR(create_in_bad_place_fails_and_leaves_nothing),
        WITH_DIR(create_without_permission_fails),
        WITH_STORE(remove_by_forked_child_does_nothing),
        WITH_DIR(find_skips_dead_and_foreign_stores),
        WITH_DIR(find_says_that_a_store_is_just_being_made),
        WITH_DIR(owner_is_alive_until_its_process_ends),
        WITH_DIR(awaited_start_ends_by_itself_by_death_or_in_time),
        WITH_STORE(owner_keeps_its_lock_through_its_own_calls),
        WITH_STORE(attach_refuses_what_is_not_a_store_of_ours),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
