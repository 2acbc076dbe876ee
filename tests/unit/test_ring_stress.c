/* SPDX-License-Identifier: BSD-3-Clause */
/* test_ring_stress.c - many clients ask at once while some are killed: no answer is lost or crossed, no slot leaks. */
#include "ring_fixture.h"

#include <stdio.h>
#include <stdlib.h>

#define CLIENTS 8
#define ASKS 1500u
#define KILLS 40u
#define PENDING 8u

/* What the agent answers to a path, so that a client knows whether the answer is its own. */
static enum mioc_ask_status answer_to(const char *path)
{
    return mioc_name_hash(path, (uint32_t)strlen(path)) & 1 ? MIOC_ASK_ANSWERED : MIOC_ASK_REAL;
}

static void *client_thread(void *arg)
{
    uintptr_t bad = 0;
    char path[200];

    for (unsigned i = 0; i < ASKS; i++) {
        int is_hasty = i % 16 == 0;
        enum mioc_ask_status status;

        snprintf(
            path, sizeof(path), "/lib/%d/%p/%u/%.*s", (int)getpid(), arg, i, (int)(i % 100),
            "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
        status = mioc_ring_ask(ring, MIOC_ASK_RECORD, MIOC_ITEM_STAT, path, (uint32_t)strlen(path),
                               now_ns() + (is_hasty ? 20000 : 60 * SECOND), NULL, NULL);
        if (status != answer_to(path) && !(is_hasty && status == MIOC_ASK_TIMEOUT))
            bad++;
    }
    return (void *)bad;
}

static int client(void)
{
    static char path_mark[1];
    pthread_t other;
    void *bad;

    if (pthread_create(&other, NULL, client_thread, path_mark) != 0)
        return 1;
    if (client_thread(NULL) != NULL)
        return 2;
    pthread_join(other, &bad);
    return bad ? 3 : 0;
}

/* Keeps CLIENTS processes running and kills KILLS of them at random; how many of the others did not end well. */
static int herd(void)
{
    unsigned seed = 7, kills = 0;
    pid_t pid[CLIENTS];
    int bad = 0, status;

    for (unsigned i = 0; i < CLIENTS; i++)
        if ((pid[i] = fork()) == 0)
            _exit(client());
    while (kills < KILLS) {
        unsigned i = (unsigned)rand_r(&seed) % CLIENTS;

        usleep((unsigned)rand_r(&seed) % 10000);
        kill(pid[i], SIGKILL);
        waitpid(pid[i], &status, 0);
        bad += WIFEXITED(status) && WEXITSTATUS(status) != 0;
        kills++;
        if ((pid[i] = fork()) == 0)
            _exit(client());
    }
    for (unsigned i = 0; i < CLIENTS; i++) {
        waitpid(pid[i], &status, 0);
        bad += !WIFEXITED(status) || WEXITSTATUS(status) != 0;
    }
    return bad;
}

static int should_end;

/* Answers late and out of order: PENDING requests wait while more come. */
static void *agent(void *arg)
{
    struct {
        uint32_t slot;
        enum mioc_ask_status status;
    } pending[PENDING];
    unsigned n = 0, taken = 0;
    uint64_t swept = now_ns();

    (void)arg;
    while (!__atomic_load_n(&should_end, __ATOMIC_ACQUIRE)) {
        while (n < PENDING && mioc_ring_take(ring, &request)) {
            pending[n].slot = request.slot;
            pending[n++].status = answer_to(request.path);
            taken++;
        }
        if (n == PENDING || taken % 3 != 0)
            while (n > 0) {
                n--;
                mioc_ring_answer(ring, pending[n].slot, pending[n].status);
            }
        if (now_ns() - swept > SECOND / 20) {
            mioc_ring_sweep(ring);
            swept = now_ns();
        }
        mioc_ring_sleep(ring, n > 0 ? SECOND / 5000 : 5 * SECOND); /* a lost wake-up would show as seconds */
        if (n > 0)
            taken = 1;
    }
    return (void *)(uintptr_t)taken;
}

static void stress_no_answer_is_lost_and_no_slot_leaks(void **state)
{
    uint64_t begin = now_ns();
    pthread_t thread;
    int status;
    pid_t pid = fork();

    (void)state;
    if (pid == 0)
        _exit(herd());
    assert_int_equal(pthread_create(&thread, NULL, agent, NULL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    __atomic_store_n(&should_end, 1, __ATOMIC_RELEASE);
    mioc_ring_wake(ring);
    pthread_join(thread, NULL);
    assert_int_equal(status, 0);
    while (mioc_ring_take(ring, &request))
        ;
    mioc_ring_sweep(ring);
    assert_int_equal(slots_in_use(), 0);
    print_message("%.1f s\n", (double)(now_ns() - begin) / 1e9);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(stress_no_answer_is_lost_and_no_slot_leaks, make_ring, remove_ring),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
