/* SPDX-License-Identifier: BSD-3-Clause */
/* test_store_turn.c - one process at a time has the turn; those that wait are woken, and take it from a dead one. */
#include "store_fixture.h"

#include "base/clock.h"
#include "store/store_turn.h"

#include <sys/mman.h>
#include <sys/stat.h>

#define MS 1000000ull

/* What a child tells this process. */
static struct {
    uint32_t has_begun, waits; /* atomic */
    uint32_t is_there;         /* atomic: what the child looks for */
} * shared;

static int make_shared(void **state)
{
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return shared == MAP_FAILED ? -1 : make_dir(state);
}

static int remove_shared(void **state)
{
    munmap(shared, sizeof *shared);
    return remove_dir(state);
}

static uint32_t get(uint32_t *at) { return __atomic_load_n(at, __ATOMIC_ACQUIRE); }

static void await(uint32_t *at, uint32_t least)
{
    while (get(at) < least)
        (void)usleep(100);
}

/* Looks as a rank does. Returns 0 when what it looks for is there, 1 when it has got the turn. */
static int look_until(struct mioc_store_turn *turn)
{
    for (;;) {
        mioc_store_turn_note(turn);
        if (get(&shared->is_there))
            return 0;
        if (mioc_store_turn_take(turn) == 0)
            return 1;
        if (errno != EAGAIN)
            _exit(2);
        (void)__atomic_add_fetch(&shared->waits, 1, __ATOMIC_RELEASE);
        mioc_store_turn_wait(turn);
    }
}

static pid_t start_waiter(void)
{
    pid_t pid = fork();

    if (pid == 0) {
        struct mioc_store_turn turn;
        int rc;

        if (mioc_store_turn_begin(&turn, store_dir, KEY) != 0)
            _exit(3);
        __atomic_store_n(&shared->has_begun, 1, __ATOMIC_RELEASE);
        rc = look_until(&turn);
        mioc_store_turn_end(&turn);
        _exit(rc);
    }
    assert_true(pid > 0);
    return pid;
}

static int status_of(pid_t pid)
{
    int status;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void the_agent_wakes_those_that_wait(void **state)
{
    struct mioc_store_turn turn;
    pid_t pid[3];

    (void)state;
    assert_int_equal(mioc_store_turn_begin(&turn, store_dir, KEY), 0);
    assert_int_equal(mioc_store_turn_take(&turn), 0);
    for (int i = 0; i < 3; i++)
        pid[i] = start_waiter();
    await(&shared->waits, 9); /* they also look now and then by themselves */
    __atomic_store_n(&shared->is_there, 1, __ATOMIC_RELEASE);
    mioc_store_turn_tell(store_dir, KEY);
    for (int i = 0; i < 3; i++)
        assert_int_equal(status_of(pid[i]), 0);
    mioc_store_turn_end(&turn); /* and the folder is empty */
}

/* Each news ends the wait at once: without it a wait takes 10 ms. */
static void news_that_came_before_the_wait_end_it(void **state)
{
    struct mioc_store_turn turn, other;
    uint64_t begun;

    (void)state;
    assert_int_equal(mioc_store_turn_begin(&turn, store_dir, KEY), 0);
    assert_int_equal(mioc_store_turn_take(&turn), 0);
    assert_int_equal(mioc_store_turn_begin(&other, store_dir, KEY), 0);
    other.fd = open(other.path, O_RDWR);
    other.news = turn.news; /* a lock does not part two users in one process */
    begun = mioc_clock_ns();
    for (int i = 0; i < 1000; i++) {
        mioc_store_turn_note(&other);
        mioc_store_turn_tell(store_dir, KEY);
        mioc_store_turn_wait(&other);
    }
    assert_in_range(mioc_clock_ns() - begun, 0, 5000 * MS);
    close(other.fd);
    mioc_store_turn_end(&turn);
}

static void a_dead_ones_turn_is_taken(void **state)
{
    pid_t dies = fork(), heir;
    int status;

    (void)state;
    if (dies == 0) {
        struct mioc_store_turn turn;

        if (mioc_store_turn_begin(&turn, store_dir, KEY) != 0 || mioc_store_turn_take(&turn) != 0)
            _exit(1);
        __atomic_store_n(&shared->has_begun, 1, __ATOMIC_RELEASE);
        for (;;)
            pause();
    }
    await(&shared->has_begun, 1);
    heir = start_waiter();
    await(&shared->waits, 3);
    assert_int_equal(kill(dies, SIGKILL), 0);
    assert_int_equal(waitpid(dies, &status, 0), dies);
    assert_int_equal(status_of(heir), 1);
}

static void who_comes_after_the_end_begins_anew(void **state)
{
    struct mioc_store_turn turn;

    (void)state;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(mioc_store_turn_begin(&turn, store_dir, KEY), 0);
        assert_int_equal(mioc_store_turn_take(&turn), 0);
        mioc_store_turn_end(&turn);
        assert_int_equal(access(turn.path, F_OK), -1);
    }
    mioc_store_turn_tell(store_dir, KEY); /* nobody waits */
    assert_int_equal(access(turn.path, F_OK), -1);
}

/* Where the file cannot be written (a full filesystem, a limit of 0) there is no futex: who waits naps. */
static void without_a_futex_they_nap(void **state)
{
    struct mioc_store_turn turn;
    struct stat st;
    pid_t pid;

    (void)state;
    assert_int_equal(mioc_store_turn_begin(&turn, store_dir, KEY), 0);
    assert_int_equal(mioc_store_turn_take(&turn), 0);
    assert_int_equal(truncate(turn.path, 0), 0);
    pid = start_waiter();
    await(&shared->waits, 5);
    __atomic_store_n(&shared->is_there, 1, __ATOMIC_RELEASE);
    assert_int_equal(status_of(pid), 0);
    assert_int_equal(stat(turn.path, &st), 0);
    assert_int_equal(st.st_size, 0);
    (void)munmap(turn.news, sizeof *turn.news);
    turn.news = NULL;
    mioc_store_turn_end(&turn);
}

static void what_is_no_file_of_ours_is_refused(void **state)
{
    struct mioc_store_turn turn;

    (void)state;
    assert_int_equal(mioc_store_turn_begin(&turn, store_dir, KEY), 0);
    assert_int_equal(symlink("/dev/null", turn.path), 0);
    assert_int_equal(mioc_store_turn_take(&turn), -1);
    assert_int_equal(errno, ELOOP);
    mioc_store_turn_tell(store_dir, KEY);
    assert_int_equal(unlink(turn.path), 0);
    assert_int_equal(mkfifo(turn.path, 0600), 0);
    assert_int_equal(mioc_store_turn_take(&turn), -1);
    assert_int_equal(errno, EPERM);
    mioc_store_turn_tell(store_dir, KEY);
    assert_int_equal(unlink(turn.path), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_shared, remove_shared)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_agent_wakes_those_that_wait), TEST(news_that_came_before_the_wait_end_it),
        TEST(a_dead_ones_turn_is_taken),       TEST(who_comes_after_the_end_begins_anew),
        TEST(without_a_futex_they_nap),        TEST(what_is_no_file_of_ours_is_refused),
    };

    return cmocka_run_group_tests_name("store_turn", tests, NULL, NULL);
}
