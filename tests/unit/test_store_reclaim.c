/* SPDX-License-Identifier: BSD-3-Clause */
/* test_store_reclaim.c - stores of dead owners are reclaimed, and no others. */
#include "store_owner_fixture.h"

#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>

static void reclaim_removes_dead_stores_only(void **state)
{
    struct owner dead, live, foreign;
    char name[6][256], half[256], owner[300];
    static const char text[] = "0123456789abcdef-0123456789abcdef";

    (void)state;
    start_owner(&live, KEY);
    start_owner(&dead, KEY + 1);
    start_owner(&foreign, KEY + 2);
    end_owner(&dead, SIGKILL);
    end_owner(&foreign, SIGKILL);
    if (geteuid() == 0)
        assert_int_equal(chown(foreign.path, 65534, 0), 0);
    /* Names that are not quite right, a link, a file, and one that somebody is just making. */
    snprintf(name[0], 256, "%s/mpiio_cache-%u-%sx", store_dir, (unsigned)geteuid(), text);
    snprintf(name[1], 256, "%s/mpiio_cache-0%u-%s", store_dir, (unsigned)geteuid(), text);
    snprintf(name[2], 256, "%s/mpiio_cache-%u-%s", store_dir, (unsigned)geteuid() + 1, text);
    snprintf(name[3], 256, "%s/mpiio_cache-%u-2%s", store_dir, (unsigned)geteuid(), text + 1);
    snprintf(name[4], 256, "%s/mpiio_cache-%u-%s", store_dir, (unsigned)geteuid(), text);
    snprintf(name[5], 256, "%s/mpiio_cache-%u-1%s", store_dir, (unsigned)geteuid(), text + 1);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(mkdir(name[i], 0700), 0);
    assert_int_equal(symlink(live.path, name[3]), 0);
    assert_int_equal(close(open(name[4], O_CREAT | O_WRONLY, 0600)), 0);
    assert_int_equal(mkdir(name[5], 0700), 0);
    /* Its maker was killed between `owner` and the index, just now. */
    snprintf(half, sizeof half, "%s/mpiio_cache-%u-3%s", store_dir, (unsigned)geteuid(), text + 1);
    snprintf(owner, sizeof owner, "%s/owner", half);
    assert_int_equal(mkdir(half, 0700), 0);
    assert_int_equal(close(open(owner, O_CREAT | O_WRONLY, 0600)), 0);

    assert_int_equal(mioc_store_reclaim(store_dir), geteuid() == 0 ? 2 : 3);
    assert_int_equal(access(half, F_OK), -1);
    assert_int_equal(access(dead.path, F_OK), -1);
    assert_int_equal(count_names(live.path), 5);
    for (unsigned i = 0; i < 6; i++) {
        struct stat st;

        assert_int_equal(lstat(name[i], &st), 0);
        assert_int_equal(remove(name[i]), 0);
    }
    if (geteuid() == 0) {
        assert_int_equal(chown(foreign.path, 0, 0), 0);
        assert_int_equal(mioc_store_reclaim(store_dir), 1);
    }
    end_owner(&live, 0);
}

static int reclaims(void *arg)
{
    int n = mioc_store_reclaim(store_dir);

    (void)arg;
    return n < 0 || n > 100 ? 101 : n;
}

static void reclaim_by_many_at_once_removes_each_once(void **state)
{
    struct owner owner[12];
    pid_t pid[4];
    int removed = 0, status;

    (void)state;
    for (unsigned i = 0; i < 12; i++)
        start_owner(&owner[i], i);
    for (unsigned i = 0; i < 12; i++)
        end_owner(&owner[i], SIGKILL);
    for (unsigned i = 0; i < 4; i++) {
        pid[i] = fork();
        if (pid[i] == 0)
            _exit(reclaims(NULL));
    }
    for (unsigned i = 0; i < 4; i++) {
        waitpid(pid[i], &status, 0);
        assert_true(WIFEXITED(status));
        removed += WEXITSTATUS(status);
    }
    assert_int_equal(removed, 12);
    assert_int_equal(count_names(store_dir), 0);
}

/* Leaders of one directory start at the same moment, and each reclaims: a store may be taken for a dead one while it is
 * being made. */
static void create_beside_those_that_reclaim_succeeds(void **state)
{
    enum { MAKERS = 3, CLEANERS = 2, ROUNDS = 80 };
    pid_t pid[MAKERS + CLEANERS];
    int status;

    (void)state;
    for (unsigned i = 0; i < MAKERS + CLEANERS; i++) {
        pid[i] = fork();
        if (pid[i] == 0)
            prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (unsigned k = 0; pid[i] == 0 && (i >= MAKERS || k < ROUNDS); k++) {
            struct mioc_store *s = NULL;

            if (i >= MAKERS) {
                (void)mioc_store_reclaim(store_dir);
            } else if ((s = mioc_store_create(store_dir, KEY + i, &limits)) == NULL) {
                fprintf(stderr, "round %u: %s\n", k, strerror(errno));
                _exit(1);
            } else {
                mioc_store_remove(s);
                mioc_store_detach(s);
            }
        }
        if (pid[i] == 0)
            _exit(0);
    }
    for (unsigned i = 0; i < MAKERS; i++) {
        assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
    for (unsigned i = MAKERS; i < MAKERS + CLEANERS; i++) {
        kill(pid[i], SIGKILL);
        waitpid(pid[i], &status, 0);
    }
}

static void create_reclaims_what_a_killed_job_left(void **state)
{
    struct owner killed;
    struct mioc_store *s;

    (void)state;
    start_owner(&killed, KEY);
    end_owner(&killed, SIGKILL);
    assert_int_equal(close(open(strcat(strcpy((char[1100]){ 0 }, killed.path), "/c/17"), O_CREAT | O_WRONLY, 0400)), 0);
    s = mioc_store_create(store_dir, KEY, &limits);
    assert_non_null(s);
    assert_int_equal(access(killed.path, F_OK), -1);
    mioc_store_remove(s);
    mioc_store_detach(s);
}

#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, make_store, remove_store)
#define WITH_DIR(test) cmocka_unit_test_setup_teardown(test, make_dir, remove_dir)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        WITH_DIR(reclaim_removes_dead_stores_only),
        WITH_DIR(reclaim_by_many_at_once_removes_each_once),
        WITH_DIR(create_beside_those_that_reclaim_succeeds),
        WITH_DIR(create_reclaims_what_a_killed_job_left),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
