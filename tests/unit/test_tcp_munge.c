/* SPDX-License-Identifier: BSD-3-Clause */
/* test_tcp_munge.c - nodes whose secret is MUNGE: they join, other users do not, and munged's slowness is nobody's. */
#include "munge_fixture.h"
#include "tcp_fixture.h"

#include "transport/munge.h"

#define OTHER_USER 65534

static int start(void **state)
{
    (void)state;
    return munged_start();
}

static int stop(void **state)
{
    (void)state;
    munged_stop();
    return 0;
}

static void use_munge(int nodes, int is_encrypted)
{
    char reason[256] = "";

    tcp_begin(nodes, is_encrypted);
    if (mioc_secret_from_munge(&tcp.config.secret, reason, sizeof reason) != 0)
        fail_msg("%s", reason);
    assert_int_equal(tcp.config.secret.has_key, 0);
}

static void nodes_of_one_user_join(void **state)
{
    (void)state;
    MUNGED_NEEDED();
    for (int is_encrypted = 0; is_encrypted <= 1; is_encrypted++) {
        use_munge(6, is_encrypted);
        for (int i = 5; i >= 0; i--)
            tcp_open_node(i);
        TCP_UNTIL(tcp_is_complete());
        tcp_end();
    }
}

/* Runs check() as another user. */
static void as_other_user(int (*check)(int fd), int fd)
{
    pid_t child = fork();
    int status;

    assert_true(child >= 0);
    if (child == 0) {
        if (setgid(OTHER_USER) != 0 || setuid(OTHER_USER) != 0)
            _exit(99);
        _exit(check(fd));
    }
    while (waitpid(child, &status, WNOHANG) == 0)
        tcp_turn(mioc_clock_ns() + 2000000);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* It has all of the step's variables, and MUNGE, too. */
static int try_to_join(int fd)
{
    struct mioc_transport *t;
    struct mioc_event event;
    char reason[256];

    (void)fd;
    tcp.config.node = 1;
    if (mioc_secret_from_munge(&tcp.config.secret, reason, sizeof reason) != 0 ||
        mioc_tcp_open(&t, &tcp.config, reason, sizeof reason) != 0)
        return 98;
    for (uint64_t until = mioc_clock_ns() + TCP_PATIENCE_NS; mioc_tcp_refused(t) < 3;) {
        ops->poll(t, &event);
        if (event.kind == MIOC_EVENT_JOINED)
            return 97;
        if (mioc_clock_ns() > until)
            return 96;
        usleep(1000);
    }
    return 0;
}

static void other_user_does_not_join(void **state)
{
    (void)state;
    MUNGED_NEEDED();
    use_munge(2, 0);
    tcp_open_node(0);
    as_other_user(try_to_join, -1);
    assert_int_equal(tcp.node[0].joins, 0);
    tcp_open_node(1);
    TCP_UNTIL(tcp_is_complete());
    tcp_end();
}

/* A credential of another user that root may decode: libmunge's own call, as ours would restrict it to that user. */
static int forge(int fd)
{
    char command[256], credential[2048];
    FILE *pipe;
    size_t n;

    snprintf(command, sizeof command, "munge --socket='%s' --restrict-uid=0 --string=01234567890123456789012345678901",
             munged.socket);
    pipe = popen(command, "r");
    n = pipe != NULL ? fread(credential, 1, sizeof credential - 1, pipe) : 0;
    if (pipe == NULL || pclose(pipe) != 0 || n < 2)
        return 95;
    credential[n - 1] = '\0'; /* the newline */
    return write(fd, credential, n) == (ssize_t)n ? 0 : 94;
}

static void credential_of_another_user_is_refused(void **state)
{
    char credential[MIOC_SECRET_PROOF_MAX] = "", payload[32], reason[256] = "";
    int pipes[2];

    (void)state;
    MUNGED_NEEDED();
    tcp_begin(1, 0);
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    as_other_user(forge, pipes[1]);
    assert_true(read(pipes[0], credential, sizeof credential) > 0);
    assert_int_equal(mioc_munge_decode(credential, payload, sizeof payload, reason, sizeof reason), -1);
    assert_non_null(strstr(reason, "belongs to user 65534"));
    close(pipes[0]);
    close(pipes[1]);
}

/* What this user makes, another one cannot read. */
static int read_ours(int fd)
{
    char credential[MIOC_SECRET_PROOF_MAX] = "", payload[32], reason[256];

    if (read(fd, credential, sizeof credential) <= 0)
        return 93;
    if (mioc_munge_decode(credential, payload, sizeof payload, reason, sizeof reason) == 0)
        return 92;
    return strstr(reason, "nauthorized") != NULL ? 0 : 91; /* munged's own word: it does not even tell what is in it */
}

static void credential_is_for_this_user_once(void **state)
{
    char credential[MIOC_SECRET_PROOF_MAX], payload[32] = "what is carried", got[32], reason[256] = "";
    int pipes[2];

    (void)state;
    MUNGED_NEEDED();
    tcp_begin(1, 0);
    assert_int_equal(mioc_munge_encode(credential, sizeof credential, payload, sizeof payload, reason, sizeof reason),
                     0);
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    assert_true(write(pipes[1], credential, strlen(credential) + 1) > 0);
    as_other_user(read_ours, pipes[0]);
    close(pipes[0]);
    close(pipes[1]);
    assert_int_equal(mioc_munge_decode(credential, got, sizeof got - 1, reason, sizeof reason), -1);
    assert_int_equal(mioc_munge_encode(credential, sizeof credential, payload, sizeof payload, reason, sizeof reason),
                     0);
    assert_int_equal(mioc_munge_decode(credential, got, sizeof got, reason, sizeof reason), 0);
    assert_memory_equal(got, payload, sizeof payload);
    assert_int_equal(mioc_munge_decode(credential, got, sizeof got, reason, sizeof reason), -1);
    assert_non_null(strstr(reason, "Replay"));
    assert_int_equal(mioc_munge_encode(credential, 100, payload, sizeof payload, reason, sizeof reason), -1);
}

static void proof_holds_for_its_connection_only(void **state)
{
    unsigned char proof[MIOC_SECRET_PROOF_MAX], bound[32] = "this", other[32] = "that", ours[32], theirs[32];
    char reason[256] = "";
    size_t size;

    (void)state;
    MUNGED_NEEDED();
    use_munge(1, 0);
    assert_int_equal(mioc_secret_prove(&tcp.config.secret, bound, proof, &size, ours, reason, sizeof reason), 0);
    assert_int_equal(mioc_secret_check(&tcp.config.secret, other, proof, size, theirs, reason, sizeof reason), -1);
    assert_non_null(strstr(reason, "another connection"));
    assert_int_equal(mioc_secret_prove(&tcp.config.secret, bound, proof, &size, ours, reason, sizeof reason), 0);
    assert_int_equal(mioc_secret_check(&tcp.config.secret, bound, proof, size, theirs, reason, sizeof reason), 0);
    assert_memory_equal(ours, theirs, 32);
}

/* munged is stopped: the agent's thread does not wait for it. */
static void munged_that_hangs_holds_nobody_up(void **state)
{
    struct mioc_event event;
    uint64_t begin, longest = 0;

    (void)state;
    MUNGED_NEEDED();
    use_munge(2, 0);
    tcp_open_node(0);
    tcp_open_node(1);
    assert_int_equal(kill(munged.pid, SIGSTOP), 0);
    for (uint64_t until = mioc_clock_ns() + 1500000000; mioc_clock_ns() < until;)
        for (int i = 0; i < 2; i++) {
            begin = mioc_clock_ns();
            ops->poll(tcp.node[i].t, &event);
            assert_int_equal(event.kind, MIOC_EVENT_NONE);
            longest = mioc_clock_ns() - begin > longest ? mioc_clock_ns() - begin : longest;
            usleep(500);
        }
    assert_true(longest < 300000000);
    assert_int_equal(kill(munged.pid, SIGCONT), 0);
    TCP_UNTIL(tcp_is_complete());
    tcp_end();
}

static void absent_munged_is_said(void **state)
{
    struct mioc_secret secret;
    char reason[256] = "";

    (void)state;
    MUNGED_NEEDED();
    setenv("MUNGE_SOCKET", "/nonexistent/socket", 1);
    assert_int_equal(mioc_secret_from_munge(&secret, reason, sizeof reason), -1);
    assert_non_null(strstr(reason, "MUNGE: "));
    setenv("MUNGE_SOCKET", munged.socket, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nodes_of_one_user_join),
        cmocka_unit_test(other_user_does_not_join),
        cmocka_unit_test(credential_of_another_user_is_refused),
        cmocka_unit_test(credential_is_for_this_user_once),
        cmocka_unit_test(proof_holds_for_its_connection_only),
        cmocka_unit_test(munged_that_hangs_holds_nobody_up),
        cmocka_unit_test(absent_munged_is_said),
    };

    return cmocka_run_group_tests(tests, start, stop);
}
