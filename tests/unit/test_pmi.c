/* SPDX-License-Identifier: BSD-3-Clause */
/* test_pmi.c - the word with the launcher, and the relay that a program finds which replaced a rank. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "launch/pmi_relay.h"
#include "job/pmi.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static int pair[2];

static int setup(void **state)
{
    (void)state;
    return socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
}

static int teardown(void **state)
{
    (void)state;
    close(pair[0]);
    close(pair[1]);
    return 0;
}

static void fd_only_whole_numbers_count(void **state)
{
    static const struct {
        const char *variable;
        int fd;
    } row[] = {
        { "PMI_FD=6", 6 },   { "PMI_FD=0", 0 },   { "PMI_FD=", -1 },
        { "PMI_FD=-1", -1 }, { "PMI_FD=6x", -1 }, { "PMI_FD=99999999999999999999", -1 },
        { "PMI_FDX=6", -1 }, { "PMI_F=6", -1 },
    };

    (void)state;
    for (unsigned i = 0; i < sizeof row / sizeof *row; i++) {
        char *env[] = { (char *)(uintptr_t) "A=1", (char *)(uintptr_t)row[i].variable, NULL };

        assert_int_equal(mioc_pmi_fd(env), row[i].fd);
    }
    assert_int_equal(mioc_pmi_fd(NULL), -1);
}

static void ask_answer_is_one_line(void **state)
{
    char answer[64], asked[64] = "";

    (void)state;
    assert_int_equal(write(pair[1], "cmd=finalize_ack\ncmd=more\n", 26), 26);
    assert_int_equal(mioc_pmi_ask(pair[0], "finalize", answer, sizeof answer, 1000), 0);
    assert_string_equal(answer, "cmd=finalize_ack");
    assert_int_equal(read(pair[1], asked, sizeof asked - 1), 13);
    assert_string_equal(asked, "cmd=finalize\n");
    assert_int_equal(read(pair[0], answer, sizeof answer), 9); /* what follows is not ours */
}

static void ask_silence_times_out(void **state)
{
    char answer[64];

    (void)state;
    assert_int_equal(mioc_pmi_ask(pair[0], "finalize", answer, sizeof answer, 20), -1);
    assert_int_equal(errno, ETIMEDOUT);
}

static void ask_hang_up_fails_without_a_signal(void **state)
{
    char answer[64];

    (void)state;
    assert_int_equal(shutdown(pair[1], SHUT_RDWR), 0);
    assert_int_equal(mioc_pmi_ask(pair[0], "finalize", answer, sizeof answer, 1000), -1);
    assert_int_equal(errno, EPIPE);
}

static void ask_endless_line_fails(void **state)
{
    char answer[8], command[200];

    (void)state;
    assert_int_equal(write(pair[1], "cmd=finalize_ack", 16), 16);
    assert_int_equal(mioc_pmi_ask(pair[0], "finalize", answer, sizeof answer, 1000), -1);
    assert_int_equal(errno, EPROTO);
    memset(command, 'x', sizeof command - 1);
    command[sizeof command - 1] = '\0';
    assert_int_equal(mioc_pmi_ask(pair[0], command, answer, sizeof answer, 1000), -1);
    assert_int_equal(errno, EPROTO);
}

/* --- Handover ---------------------------------------------------------------------------------------------------- */

static void say(int fd, const char *line) { assert_int_equal(write(fd, line, strlen(line)), strlen(line)); }

static void hear(int fd, const char *expected)
{
    char line[256] = "";
    ssize_t n = read(fd, line, sizeof line - 1);

    assert_int_equal(n, strlen(expected));
    assert_string_equal(line, expected);
}

static void handover_is_possible_only_where_we_are_preloaded(void **state)
{
    static char preload[] = "LD_PRELOAD=/opt/lib/libmpiio_cache.so:/x.so", other[] = "LD_PRELOAD=/x.so",
                pmi[] = "PMI_FD=6";

    (void)state;
    assert_true(mioc_pmi_relay_is_possible("/proc/self/exe", (char *[]){ preload, pmi, NULL }));
    assert_true(mioc_pmi_relay_is_possible(NULL, (char *[]){ preload, pmi, NULL }));
    assert_false(mioc_pmi_relay_is_possible(NULL, (char *[]){ preload, NULL }));
    assert_false(mioc_pmi_relay_is_possible(NULL, (char *[]){ other, pmi, NULL }));
    assert_false(mioc_pmi_relay_is_possible(NULL, (char *[]){ pmi, NULL }));
    assert_false(mioc_pmi_relay_is_possible(NULL, NULL));
}

/* In a child: the relay stays. */
static void check_relay(void)
{
    char variable[32], *env[] = { variable, NULL };
    int launcher = pair[1], program = pair[0];

    snprintf(variable, sizeof variable, "PMI_FD=%d", program);
    assert_int_equal(mioc_pmi_relay_take(env), 0);
    assert_true(mioc_pmi_relay_is_owner());
    say(program, "cmd=init pmi_version=1 pmi_subversion=1\n");
    hear(program, "cmd=response_to_init rc=0 pmi_version=1 pmi_subversion=1\n");
    say(program, "cmd=get_maxes\n");
    hear(launcher, "cmd=get_maxes\n"); /* and no init before it */
    say(launcher, "cmd=maxes rc=0\n");
    hear(program, "cmd=maxes rc=0\n");
    say(program, "cmd=init pmi_version=1 pmi_subversion=1\n"); /* a second one is the program's mistake */
    hear(launcher, "cmd=init pmi_version=1 pmi_subversion=1\n");
    mioc_pmi_relay_end();                               /* it speaks for itself */
    assert_int_equal(shutdown(launcher, SHUT_RDWR), 0); /* the parent holds it too */
    hear(program, "");                                  /* hung up */
}

static void check_given_back(void)
{
    char variable[32], *env[] = { variable, NULL };

    snprintf(variable, sizeof variable, "PMI_FD=%d", pair[0]);
    assert_int_equal(mioc_pmi_relay_take(env), 0);
    mioc_pmi_relay_give();
    say(pair[0], "cmd=init\n");
    hear(pair[1], "cmd=init\n");
}

static void in_child(void (*check)(void))
{
    int status;
    pid_t child = fork();

    if (child == 0) {
        alarm(10);
        check();
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void handover_relay_answers_the_first_init(void **state)
{
    (void)state;
    in_child(check_relay);
}

static void handover_given_back_is_the_launchers_own(void **state)
{
    (void)state;
    in_child(check_given_back);
}

static void handover_without_socket_leaves_things_alone(void **state)
{
    char *none[] = { NULL }, *closed[] = { (char *)(uintptr_t) "PMI_FD=999", NULL };

    (void)state;
    assert_int_equal(mioc_pmi_relay_take(none), -1);
    assert_int_equal(mioc_pmi_relay_take(closed), -1);
    assert_false(mioc_pmi_relay_is_owner());
    mioc_pmi_relay_end();
    mioc_pmi_relay_give();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fd_only_whole_numbers_count),
        cmocka_unit_test_setup_teardown(ask_answer_is_one_line, setup, teardown),
        cmocka_unit_test_setup_teardown(ask_silence_times_out, setup, teardown),
        cmocka_unit_test_setup_teardown(ask_hang_up_fails_without_a_signal, setup, teardown),
        cmocka_unit_test_setup_teardown(ask_endless_line_fails, setup, teardown),
        cmocka_unit_test(handover_is_possible_only_where_we_are_preloaded),
        cmocka_unit_test_setup_teardown(handover_relay_answers_the_first_init, setup, teardown),
        cmocka_unit_test_setup_teardown(handover_given_back_is_the_launchers_own, setup, teardown),
        cmocka_unit_test(handover_without_socket_leaves_things_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
