/* SPDX-License-Identifier: BSD-3-Clause */
/* test_lookup_agent.c - what a call does where the agent is silent, stands still or is dead. */
#include "base/clock.h"
#include "client_fixture.h"

#include <sys/resource.h>

/* Nobody here hears any more what other nodes write. */
static void store_without_agent_is_not_served(void **state)
{
    static const enum mioc_store_state states[] = { MIOC_STORE_FULL, MIOC_STORE_LEFT };

    (void)state;
    assert_int_equal(stat_of("/lib_prefix/a"), 0);
    for (size_t i = 0; i < 2; i++) {
        mioc_store_set_state(agent.store, states[i]);
        assert_int_equal(stat_of("/lib_prefix/a"), -1);
        assert_int_equal(stat_of("/lib_prefix/b"), -1);
        mioc_client_wrote(AT_FDCWD, "/lib_prefix/a", 0); /* waits for nobody */
    }
    assert_int_equal(asked(), 1);
}

static void silence_opens_the_breaker_once(void **state)
{
    int errors[2], saved = dup(2);
    char said[4096];
    ssize_t n;

    (void)state;
    assert_int_equal(stat_of("/lib_prefix/known"), 0);
    assert_int_equal(pipe(errors), 0);
    mioc_log_set_level(MIOC_LOG_WARN);
    set(&agent.is_silent, 1);
    mioc_client.timeout_ns = SECOND / 50;
    assert_int_equal(stat_of("/lib_prefix/1"), -1);
    assert_int_equal(stat_of("/lib_prefix/2"), -1);
    set(&agent.is_silent, 0); /* an answer in between starts the count again */
    mioc_client.timeout_ns = 5 * SECOND;
    assert_int_equal(stat_of("/lib_prefix/3"), 0);
    set(&agent.is_silent, 1);
    mioc_client.timeout_ns = SECOND / 50;
    dup2(errors[1], 2);
    for (int i = 0; i < 6; i++)
        assert_int_equal(stat_of("/lib_prefix/4"), -1);
    dup2(saved, 2);
    close(saved);
    close(errors[1]);
    n = read(errors[0], said, sizeof said - 1);
    close(errors[0]);
    assert_true(n > 0);
    said[n] = '\0';
    assert_non_null(strstr(said, "asks no more"));
    assert_ptr_equal(strchr(said, '\n'), said + n - 1); /* one line */
    expect_counts(MIOC_CALL_STAT, 0, 2, 3, 5);
    assert_int_equal(stat_of("/lib_prefix/known"), 0);
}

/* Seen: after a SIGSTOP of the leader each process waited for three deadlines, and what other nodes wrote was never
 * seen. */
static void store_of_agent_that_stands_still_is_not_served(void **state)
{
    const struct mioc_ring *ring = mioc_store_ring(agent.store);

    (void)state;
    /* Its neighbours wait longer before they go on without it, even if its last heartbeat is a second older. */
    assert_true(mioc_client.trust_ns + SECOND < mioc_config_silence_ns(mioc_config()));
    assert_true(mioc_client.trust_ns < mioc_config()->timeout_ms * 1000000);
    assert_int_equal(stat_of("/lib_prefix/a"), 0);
    assert_false(mioc_ring_is_silent(ring, 0)); /* it never beat */
    assert_false(mioc_ring_is_beating(ring, SECOND));
    mioc_client.trust_ns = SECOND / 10;
    mioc_ring_beat(mioc_store_ring(agent.store));
    assert_true(mioc_ring_is_beating(ring, 60 * SECOND));
    assert_int_equal(stat_of("/lib_prefix/a"), 0);
    while (!mioc_ring_is_silent(ring, mioc_client.trust_ns))
        nanosleep(&(struct timespec){ 0, 10000000 }, NULL);
    assert_false(mioc_ring_is_beating(ring, mioc_client.trust_ns));
    assert_int_equal(stat_of("/lib_prefix/a"), -1);
    assert_int_equal(stat_of("/lib_prefix/b"), -1);
    assert_int_equal(asked(), 1);
    mioc_client.trust_ns = 5 * SECOND;
    mioc_ring_beat(mioc_store_ring(agent.store));
    assert_int_equal(stat_of("/lib_prefix/a"), 0); /* it goes on */
    assert_int_equal(stat_of("/lib_prefix/b"), 0);
}

static void store_is_served_while_its_lease_lasts(void **state)
{
    struct mioc_ring *ring = mioc_store_ring(agent.store);

    (void)state;
    assert_true(mioc_ring_is_leased(ring)); /* it needs none */
    assert_int_equal(stat_of("/lib_prefix/a"), 0);
    mioc_ring_set_lease(ring, 0);
    assert_int_equal(stat_of("/lib_prefix/a"), -1);
    mioc_ring_set_lease(ring, mioc_clock_ns() + 3600 * (uint64_t)SECOND);
    assert_int_equal(stat_of("/lib_prefix/a"), 0);
    mioc_ring_set_lease(ring, mioc_clock_ns() + SECOND / 20);
    while (mioc_ring_is_leased(ring))
        nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
    assert_int_equal(stat_of("/lib_prefix/a"), -1);
    mioc_ring_set_lease(ring, UINT64_MAX);
    assert_int_equal(stat_of("/lib_prefix/a"), 0);
    assert_int_equal(asked(), 1);
}

static int look_when_agent_is_dead(void)
{
    const struct mioc_ring *ring = mioc_store_ring(agent.store);
    const struct rlimit none = { 0, 0 };

    mioc_client.timeout_ns = 5 * SECOND;
    if (stat_of("/lib_prefix/a") != 0 || stat_of("/lib_prefix/new") != -1 || !mioc_ring_is_tainted(ring))
        return 1;
    if (stat_of("/lib_prefix/a") != -1 || stat_of("/lib_prefix/other") != -1)
        return 2;
    if (mioc_store_is_owner_alive(agent.store))
        return 3;
    /* Without descriptors nobody can tell; then it is not dead yet. */
    return setrlimit(RLIMIT_NOFILE, &none) == 0 && mioc_store_is_owner_alive(agent.store) ? 0 : 4;
}

/* Seen: each question waited 100 ms before it found that the leader had been killed, 2000 of them in one import. */
static void death_of_agent_is_found_once(void **state)
{
    int status;
    pid_t pid;

    (void)state;
    assert_int_equal(stat_of("/lib_prefix/a"), 0);
    assert_int_equal(close(mioc_store_lock_fd(agent.store)), 0); /* as the kernel does for the dead */
    set(&agent.is_silent, 1);
    mioc_ring_beat(mioc_store_ring(agent.store));
    nanosleep(&(struct timespec){ 0, 600000000 }, NULL);
    pid = fork();
    if (pid == 0)
        _exit(look_when_agent_is_dead());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_CLIENT(store_without_agent_is_not_served),
        WITH_CLIENT(silence_opens_the_breaker_once),
        WITH_CLIENT(store_of_agent_that_stands_still_is_not_served),
        WITH_CLIENT(store_is_served_while_its_lease_lasts),
        WITH_CLIENT(death_of_agent_is_found_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
