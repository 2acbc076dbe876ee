/* SPDX-License-Identifier: BSD-3-Clause */
/* test_ring.c - requests reach the agent and answers their askers, whoever dies, gives up or lies meanwhile. */
#include "ring_fixture.h"

#include <errno.h>
#include <sched.h>
#include <sys/resource.h>

/* One ask in a thread of its own. */
struct asker {
    pthread_t thread;
    const char *path;
    uint64_t wait_ns;
    int alive;
    enum mioc_ask_status status;
    int err;
};

static int is_alive(void *ctx) { return __atomic_load_n(&((struct asker *)ctx)->alive, __ATOMIC_RELAXED); }

static void *ask(void *arg)
{
    struct asker *a = arg;

    errno = 77;
    a->status = mioc_ring_ask(ring, MIOC_ASK_RECORD, MIOC_ITEM_STAT, a->path, (uint32_t)strlen(a->path),
                              now_ns() + a->wait_ns, is_alive, a);
    a->err = errno;
    return NULL;
}

static void start(struct asker *a, const char *path, uint64_t wait_ns)
{
    *a = (struct asker){ .path = path, .wait_ns = wait_ns, .alive = 1 };
    assert_int_equal(pthread_create(&a->thread, NULL, ask, a), 0);
}

static enum mioc_ask_status end(struct asker *a)
{
    pthread_join(a->thread, NULL);
    assert_int_equal(a->err, 77);
    return a->status;
}

/* The agent's wait for a request. */
static void take(void)
{
    uint64_t deadline = now_ns() + 10 * SECOND;

    while (!mioc_ring_take(ring, &request)) {
        assert_true(now_ns() < deadline);
        mioc_ring_sleep(ring, 10 * SECOND);
    }
}

/* --- Asking ------------------------------------------------------------------------------------------------------ */

static void check_refuses_other_size_magic_namespace(void **state)
{
    (void)state;
    assert_int_equal(mioc_ring_check(ring, mioc_ring_size() - 1), -1);
    assert_int_equal(errno, EPROTO);
    ring->pid_namespace++;
    assert_int_equal(mioc_ring_check(ring, mioc_ring_size()), -1);
    assert_int_equal(errno, EXDEV);
    ring->pid_namespace--;
    ring->magic++;
    assert_int_equal(mioc_ring_check(ring, mioc_ring_size()), -1);
}

static void ask_gets_the_agents_answer(void **state)
{
    static const enum mioc_ask_status answers[] = { MIOC_ASK_ANSWERED, MIOC_ASK_REAL };
    struct asker a;

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        start(&a, "/lib/a.py", 10 * SECOND);
        take();
        assert_int_equal(request.what, MIOC_ASK_RECORD);
        assert_int_equal(request.kind, MIOC_ITEM_STAT);
        assert_int_equal(request.len, 9);
        assert_string_equal(request.path, "/lib/a.py");
        assert_int_equal(mioc_ring_take(ring, &(struct mioc_ask_request){ 0 }), 0); /* it is taken once */
        mioc_ring_answer(ring, request.slot, answers[i]);
        assert_int_equal(end(&a), answers[i]);
        assert_int_equal(slots_in_use(), 0);
    }
}

static void ask_without_answer_times_out(void **state)
{
    uint64_t begin = now_ns();
    struct asker a;

    (void)state;
    start(&a, "/lib/a.py", SECOND / 20);
    assert_int_equal(end(&a), MIOC_ASK_TIMEOUT);
    assert_true(now_ns() - begin >= SECOND / 20);
    assert_int_equal(slots_in_use(), 0); /* nobody had taken it */
    assert_int_equal(mioc_ring_take(ring, &request), 0);
}

static void ask_of_dead_agent_is_a_real_call(void **state)
{
    uint64_t begin = now_ns();
    struct asker a;

    (void)state;
    start(&a, "/lib/a.py", 100 * SECOND);
    __atomic_store_n(&a.alive, 0, __ATOMIC_RELAXED);
    assert_int_equal(end(&a), MIOC_ASK_REAL);
    assert_true(now_ns() - begin < 20 * SECOND);
}

/* All slots as if others had just claimed them, but for the last `rest` of reads. */
static void take_slots(unsigned rest)
{
    const uint64_t taken = (uint64_t)getpid() << 32 | MIOC_SLOT_CLAIMED;

    for (unsigned i = 0; i < MIOC_RING_SLOTS; i++)
        ring->state[i] = i < MIOC_RING_READS - rest || i >= MIOC_RING_READS ? taken : 0;
}

static enum mioc_ask_status write_within(uint64_t ns)
{
    return mioc_ring_ask(ring, MIOC_ASK_INVALIDATE, 0, "/a", 2, now_ns() + ns, NULL, NULL);
}

static enum mioc_ask_status read_at_once(void)
{
    return mioc_ring_ask(ring, MIOC_ASK_RECORD, MIOC_ITEM_STAT, "/a", 2, now_ns(), NULL, NULL);
}

static void ask_with_all_slots_taken_waits_asleep_until_its_deadline(void **state)
{
    uint64_t begin = now_ns();
    struct rusage before, after;

    (void)state;
    take_slots(0);
    getrusage(RUSAGE_THREAD, &before);
    assert_int_equal(write_within(SECOND / 2), MIOC_ASK_TIMEOUT);
    getrusage(RUSAGE_THREAD, &after);
    assert_true(now_ns() - begin >= SECOND / 2);
    assert_in_range(after.ru_nvcsw - before.ru_nvcsw, 1, 10); /* it looks at the agent ten times a second, and sleeps */
    assert_int_equal(slots_in_use(), MIOC_RING_SLOTS);
}

static void ask_with_all_slots_taken_of_dead_agent_is_a_real_call(void **state)
{
    uint64_t begin = now_ns();
    struct asker a;

    (void)state;
    take_slots(0);
    start(&a, "/lib/a.py", 100 * SECOND);
    __atomic_store_n(&a.alive, 0, __ATOMIC_RELAXED);
    assert_int_equal(end(&a), MIOC_ASK_REAL);
    assert_true(now_ns() - begin < 20 * SECOND);
}

static void ask_for_a_write_has_slots_that_no_read_takes(void **state)
{
    (void)state;
    take_slots(0);
    ring->state[MIOC_RING_SLOTS - 1] = 0;
    assert_int_equal(read_at_once(), MIOC_ASK_TIMEOUT);
    assert_int_equal(mioc_ring_take(ring, &request), 0);
    assert_int_equal(slots_in_use(), MIOC_RING_SLOTS - 1);
    assert_int_equal(write_within(0), MIOC_ASK_TIMEOUT);
    ring->state[0] = 0;
    assert_int_equal(read_at_once(), MIOC_ASK_TIMEOUT);
}

#define WAITERS 64u

/* Those who wait are asleep, and one after the other gets the one slot, long before the next look at the agent. */
static void ask_gets_the_slot_that_comes_free(void **state)
{
    static struct asker a[WAITERS];
    uint64_t begin;

    (void)state;
    take_slots(1);
    for (unsigned i = 0; i < WAITERS; i++)
        start(&a[i], "/lib/a.py", 100 * SECOND);
    begin = now_ns();
    for (unsigned i = 0; i < WAITERS; i++) {
        take();
        mioc_ring_answer(ring, request.slot, MIOC_ASK_ANSWERED);
    }
    for (unsigned i = 0; i < WAITERS; i++)
        assert_int_equal(end(&a[i]), MIOC_ASK_ANSWERED);
    assert_true(now_ns() - begin < WAITERS * SECOND / 20); /* half of what WAITERS slices would take */
    assert_int_equal(slots_in_use(), MIOC_RING_SLOTS - 1);
}

static void *free_all(void *arg)
{
    (void)arg;
    while (!__atomic_load_n(&ring->lane[0].is_awaited, __ATOMIC_ACQUIRE))
        sched_yield();
    for (unsigned i = 0; i < MIOC_RING_READS; i++) /* their askers have given up */
        ring->state[i] = (ring->state[i] & ~7ull) | MIOC_SLOT_DROPPED;
    mioc_ring_sweep(ring);
    return NULL;
}

static void slots_that_come_free_at_once_wake_all_who_can_have_them(void **state)
{
    static struct asker a[WAITERS];
    uint64_t begin = now_ns();
    pthread_t thread;

    (void)state;
    take_slots(0);
    for (unsigned i = 0; i < WAITERS; i++)
        start(&a[i], "/lib/a.py", 100 * SECOND);
    assert_int_equal(pthread_create(&thread, NULL, free_all, NULL), 0);
    pthread_join(thread, NULL);
    while (slots_in_use() < MIOC_RING_SLOTS - MIOC_RING_READS + WAITERS && now_ns() - begin < 10 * SECOND)
        mioc_ring_sleep(ring, SECOND); /* all have asked before one is answered */
    assert_int_equal(slots_in_use(), MIOC_RING_SLOTS - MIOC_RING_READS + WAITERS);
    for (unsigned i = 0; i < WAITERS; i++) {
        take();
        mioc_ring_answer(ring, request.slot, MIOC_ASK_ANSWERED);
    }
    for (unsigned i = 0; i < WAITERS; i++)
        assert_int_equal(end(&a[i]), MIOC_ASK_ANSWERED);
}

static void ask_of_impossible_path_is_a_real_call(void **state)
{
    (void)state;
    assert_int_equal(mioc_ring_ask(ring, MIOC_ASK_RECORD, MIOC_ITEM_STAT, "", 0, now_ns() + SECOND, NULL, NULL),
                     MIOC_ASK_REAL);
    assert_int_equal(
        mioc_ring_ask(ring, MIOC_ASK_RECORD, MIOC_ITEM_STAT, "/", MIOC_PATH_MAX, now_ns() + SECOND, NULL, NULL),
        MIOC_ASK_REAL);
    assert_int_equal(slots_in_use(), 0);
}

static void late_answer_does_not_reach_the_slots_next_request(void **state)
{
    struct asker first, second;
    uint32_t late;

    (void)state;
    take_slots(1);
    start(&first, "/lib/first.py", SECOND / 20);
    take();
    late = request.slot;
    assert_int_equal(end(&first), MIOC_ASK_TIMEOUT);
    assert_int_equal(slots_in_use(), MIOC_RING_SLOTS); /* the agent's until it notices */
    assert_int_equal(mioc_ring_take(ring, &request), 0);
    assert_int_equal(slots_in_use(), MIOC_RING_SLOTS - 1);
    start(&second, "/lib/second.py", 10 * SECOND);
    take();
    assert_string_equal(request.path, "/lib/second.py");
    assert_true(request.slot != late);
    mioc_ring_answer(ring, late, MIOC_ASK_REAL);
    assert_int_equal(ring->state[MIOC_RING_READS - 1] & 7u, MIOC_SLOT_TAKEN); /* still */
    mioc_ring_answer(ring, request.slot, MIOC_ASK_ANSWERED);
    assert_int_equal(end(&second), MIOC_ASK_ANSWERED);
}

/* --- What the agent must not believe ----------------------------------------------------------------------------- */

static const struct {
    uint32_t what, kind, len;
    char path[5];
} lies[] = {
    { 0, MIOC_ITEM_STAT, 2, "/a" },
    { 3, MIOC_ITEM_STAT, 2, "/a" },
    { MIOC_ASK_RECORD, 0, 2, "/a" },
    { MIOC_ASK_RECORD, MIOC_ITEM_CHUNK, 2, "/a" },
    { MIOC_ASK_RECORD, MIOC_ITEM_STAT, 0, "/a" },
    { MIOC_ASK_RECORD, MIOC_ITEM_STAT, MIOC_PATH_MAX, "/a" },
    { MIOC_ASK_RECORD, MIOC_ITEM_STAT, UINT32_MAX, "/a" },
    { MIOC_ASK_RECORD, MIOC_ITEM_STAT, 1, "a" },
    { MIOC_ASK_RECORD, MIOC_ITEM_STAT, 4, "/a\0b" },
    { MIOC_ASK_INVALIDATE, MIOC_FLAG_UNCACHED, 2, "/a" },
    { MIOC_ASK_INVALIDATE, 0x100, 2, "/a" },
};

static void take_answers_malformed_requests_itself(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof(lies) / sizeof(*lies); i++) {
        struct mioc_slot *slot = &ring->slot[i];

        *slot = (struct mioc_slot){ .what = lies[i].what, .kind = lies[i].kind, .len = lies[i].len };
        memcpy(slot->path, lies[i].path, 4);
        ring->state[i] = (uint64_t)getpid() << 32 | 2;
    }
    for (unsigned i = 100; i < 108; i++) /* every phase, also those that do not exist */
        if (i != 102)
            ring->state[i] = (uint64_t)getpid() << 32 | (i - 100);
    assert_int_equal(mioc_ring_take(ring, &request), 0);
    for (unsigned i = 0; i < sizeof(lies) / sizeof(*lies); i++)
        assert_int_equal(ring->state[i] & 0xff, MIOC_ASK_REAL << 3 | 4);
    mioc_ring_answer(ring, UINT32_MAX, MIOC_ASK_ANSWERED); /* no such ticket */
}

/* --- Sweeping ---------------------------------------------------------------------------------------------------- */

static void sweep_frees_what_dead_processes_hold(void **state)
{
    pid_t pid = fork();

    (void)state;
    if (pid == 0) {
        mioc_ring_ask(ring, MIOC_ASK_RECORD, MIOC_ITEM_STAT, "/a", 2, now_ns() + 100 * SECOND, NULL, NULL);
        _exit(0);
    }
    take();
    for (unsigned i = 0; i < 5; i++) /* one in each state besides */
        ring->state[200 + i] = (uint64_t)pid << 32 | (i + 1);
    ring->state[210] = (uint64_t)getpid() << 32 | 3;
    ring->state[211] = 3; /* nobody's */
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    errno = 77;
    mioc_ring_sweep(ring);
    assert_int_equal(errno, 77);
    assert_int_equal(slots_in_use(), 1);
    mioc_ring_answer(ring, request.slot, MIOC_ASK_ANSWERED); /* harmless */
    assert_int_equal(slots_in_use(), 1);
}

static void sweep_frees_answers_that_nobody_fetches(void **state)
{
    uint64_t begin = now_ns();

    (void)state;
    ring->state[3] = (uint64_t)getpid() << 32 | 4;
    mioc_ring_sweep(ring);
    mioc_ring_sweep(ring);
    assert_int_equal(slots_in_use(), 1); /* its thread may only be slow */
    while (slots_in_use() && now_ns() - begin < 10 * SECOND) {
        mioc_ring_sleep(ring, SECOND / 10);
        mioc_ring_sweep(ring);
    }
    assert_int_equal(slots_in_use(), 0);
    assert_true(now_ns() - begin >= SECOND);
}

/* --- The doorbell ------------------------------------------------------------------------------------------------ */

static void *wake_later(void *arg)
{
    (void)arg;
    usleep(20000);
    mioc_ring_wake(ring);
    return NULL;
}

static void sleep_ends_by_ring_or_time(void **state)
{
    uint64_t begin = now_ns();
    pthread_t thread;

    (void)state;
    mioc_ring_sleep(ring, SECOND / 20);
    assert_true(now_ns() - begin >= SECOND / 20);
    begin = now_ns();
    mioc_ring_wake(ring);
    mioc_ring_sleep(ring, 100 * SECOND); /* rang before */
    pthread_create(&thread, NULL, wake_later, NULL);
    mioc_ring_sleep(ring, 100 * SECOND);
    pthread_join(thread, NULL);
    assert_true(now_ns() - begin < 50 * SECOND);
}

/* --- Statistics -------------------------------------------------------------------------------------------------- */

struct seen {
    unsigned n, ranks;
    uint64_t sum;
};

static void visit(void *ctx, pid_t pid, int rank, const struct mioc_stats *stats)
{
    struct seen *seen = ctx;

    assert_true(pid > 0);
    seen->n++;
    seen->ranks += rank >= 0;
    seen->sum += stats->row[MIOC_CALL_STAT].outcome[MIOC_HIT];
}

static void stats_of_all_processes_are_visited(void **state)
{
    struct mioc_stats *own = mioc_ring_stats_claim(ring, getpid(), 0);
    struct mioc_stats *guest = mioc_ring_stats_claim(ring, getppid(), -1);
    struct seen seen = { 0 };
    pid_t dead = fork();

    (void)state;
    if (dead == 0)
        _exit(0);
    waitpid(dead, NULL, 0);
    assert_ptr_equal(mioc_ring_stats_claim(ring, getpid(), 0), own); /* after an exec */
    assert_non_null(mioc_ring_stats_claim(ring, dead, 1));
    assert_non_null(mioc_ring_stats_claim(ring, 1, 2));
    own->row[MIOC_CALL_STAT].outcome[MIOC_HIT] = 3;
    guest->row[MIOC_CALL_STAT].outcome[MIOC_HIT] = 4;
    mioc_ring_stats_visit(ring, visit, &seen);
    assert_int_equal(seen.n, 4);
    assert_int_equal(seen.ranks, 3);
    assert_int_equal(seen.sum, 7);
    assert_int_equal(mioc_ring_ranks_running(ring, 0), 2); /* this one and init, of ranks 0 and 2 */
    assert_int_equal(mioc_ring_ranks_running(ring, getpid()), 1);
    mioc_ring_process_ends(ring, 1);
    assert_int_equal(mioc_ring_ranks_running(ring, getpid()), 0);
}

static void stats_blocks_run_out_with_null(void **state)
{
    (void)state;
    for (unsigned i = 0; i < MIOC_RING_PROCESSES; i++)
        assert_non_null(mioc_ring_stats_claim(ring, (pid_t)i + 1, -1));
    assert_null(mioc_ring_stats_claim(ring, 100000, -1));
}

#define WITH_RING(test) cmocka_unit_test_setup_teardown(test, make_ring, remove_ring)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        WITH_RING(check_refuses_other_size_magic_namespace),
        WITH_RING(ask_gets_the_agents_answer),
        WITH_RING(ask_without_answer_times_out),
        WITH_RING(ask_of_dead_agent_is_a_real_call),
        WITH_RING(ask_with_all_slots_taken_waits_asleep_until_its_deadline),
        WITH_RING(ask_with_all_slots_taken_of_dead_agent_is_a_real_call),
        WITH_RING(ask_for_a_write_has_slots_that_no_read_takes),
        WITH_RING(ask_gets_the_slot_that_comes_free),
        WITH_RING(slots_that_come_free_at_once_wake_all_who_can_have_them),
        WITH_RING(ask_of_impossible_path_is_a_real_call),
        WITH_RING(late_answer_does_not_reach_the_slots_next_request),
        WITH_RING(take_answers_malformed_requests_itself),
        WITH_RING(sweep_frees_what_dead_processes_hold),
        WITH_RING(sweep_frees_answers_that_nobody_fetches),
        WITH_RING(sleep_ends_by_ring_or_time),
        WITH_RING(stats_of_all_processes_are_visited),
        WITH_RING(stats_blocks_run_out_with_null),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
