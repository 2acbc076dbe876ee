/* SPDX-License-Identifier: BSD-3-Clause */
/* test_log.c - what stands on standard error after a message, and what a message must never do to its process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int saved_stderr, reader;
static char got[64 * 1024];

static void capture(void)
{
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    saved_stderr = dup(STDERR_FILENO);
    assert_int_equal(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
    close(ends[1]);
    reader = ends[0];
}

static const char *captured(void)
{
    size_t used = 0;
    assert_int_equal(dup2(saved_stderr, STDERR_FILENO), STDERR_FILENO); /* closes the last writing end */
    close(saved_stderr);
    for (ssize_t n; (n = read(reader, got + used, sizeof got - 1 - used)) > 0;)
        used += (size_t)n;
    close(reader);
    got[used] = '\0';
    return got;
}

static void log_message_is_one_line_with_its_level(void **state)
{
    (void)state;
    mioc_log_set_level(MIOC_LOG_DEBUG);
    capture();
    mioc_log(MIOC_LOG_ERROR, "no %s", "good");
    mioc_log(MIOC_LOG_WARN, "%d left", 3);
    mioc_log(MIOC_LOG_INFO, "active: %s", "2 ranks");
    mioc_log(MIOC_LOG_DEBUG, "x");
    assert_string_equal(captured(), "mpiio_cache: error: no good\nmpiio_cache: warning: 3 left\n"
                                    "mpiio_cache: active: 2 ranks\nmpiio_cache: x\n");
}

static void log_below_threshold_is_silent(void **state)
{
    (void)state;
    mioc_log_set_level(MIOC_LOG_WARN);
    capture();
    mioc_log(MIOC_LOG_INFO, "not this");
    mioc_log(MIOC_LOG_WARN, "this");
    mioc_log_set_level(MIOC_LOG_NONE);
    mioc_log(MIOC_LOG_ERROR, "nor this");
    mioc_log(MIOC_LOG_NONE, "nor that");
    assert_string_equal(captured(), "mpiio_cache: warning: this\n");
    mioc_log_set_level(MIOC_LOG_DEBUG);
}

static void log_too_long_is_cut_at_a_character(void **state)
{
    (void)state;
    for (size_t shift = 0; shift < 3; shift++) {
        char text[5000] = "..";
        size_t used = shift;
        for (; used + 3 < sizeof text; used += 2)
            memcpy(text + used, "ö", 3);
        capture();
        mioc_log(MIOC_LOG_INFO, "%s", text);
        const char *line = captured();
        size_t len = strlen(line);
        assert_true(len <= MIOC_LOG_LINE_MAX && len > MIOC_LOG_LINE_MAX - 8);
        assert_string_equal(line + len - strlen("ö…\n"), "ö…\n");
    }
}

static void log_of_just_the_longest_length_is_not_cut(void **state)
{
    char text[MIOC_LOG_LINE_MAX + 1];
    (void)state;
    for (size_t n = 1005; n <= 1015; n++) {
        memset(text, 'a', n);
        text[n] = '\0';
        capture();
        mioc_log(MIOC_LOG_INFO, "%s", text);
        const char *line = captured();
        size_t whole = strlen("mpiio_cache: \n") + n;
        if (whole <= MIOC_LOG_LINE_MAX) {
            assert_int_equal(strlen(line), whole);
            assert_null(strstr(line, "…"));
        } else {
            assert_true(strlen(line) <= MIOC_LOG_LINE_MAX);
            assert_non_null(strstr(line, "…\n"));
        }
    }
}

static void log_control_characters_do_not_reach_the_terminal(void **state)
{
    (void)state;
    capture();
    mioc_log(MIOC_LOG_INFO, "a%sb", "\n\x1b[2J\t\x7f");
    assert_string_equal(captured(), "mpiio_cache: a??[2J??b\n");
}

static void log_keeps_errno(void **state)
{
    (void)state;
    errno = ENOTTY;
    capture();
    errno = ENOTTY;
    mioc_log(MIOC_LOG_INFO, "x");
    assert_int_equal(errno, ENOTTY);
    captured();
    int fd = dup(STDERR_FILENO);
    close(STDERR_FILENO);
    errno = ENOTTY;
    mioc_log(MIOC_LOG_INFO, "to nobody");
    assert_int_equal(errno, ENOTTY);
    dup2(fd, STDERR_FILENO);
    close(fd);
}

static void log_to_closed_pipe_raises_no_signal(void **state)
{
    (void)state;
    pid_t child = fork();
    if (child == 0) { /* SIGPIPE's default action would end it */
        sigset_t mask;
        signal(SIGPIPE, SIG_DFL);
        capture();
        close(reader);
        mioc_log(MIOC_LOG_INFO, "to nobody");
        sigpending(&mask);
        int is_pending = sigismember(&mask, SIGPIPE);
        sigprocmask(SIG_BLOCK, NULL, &mask);
        _exit(is_pending || sigismember(&mask, SIGPIPE) ? 1 : 0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void log_keeps_a_pending_sigpipe(void **state)
{
    sigset_t pipe_only, old, pending;
    (void)state;
    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_only, &old);
    pthread_kill(pthread_self(), SIGPIPE);
    capture();
    int gone = reader;
    reader = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(gone);
    mioc_log(MIOC_LOG_INFO, "to nobody");
    captured();
    sigpending(&pending);
    assert_true(sigismember(&pending, SIGPIPE));
    struct timespec none = { 0 };
    assert_int_equal(sigtimedwait(&pipe_only, NULL, &none), SIGPIPE);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

static void log_to_a_reader_that_does_not_read_returns(void **state)
{
    struct timespec from, to;
    char block[4096] = { 0 };
    (void)state;
    capture();
    fcntl(STDERR_FILENO, F_SETFL, O_NONBLOCK);
    while (write(STDERR_FILENO, block, sizeof block) > 0)
        ;
    fcntl(STDERR_FILENO, F_SETFL, 0);
    clock_gettime(CLOCK_MONOTONIC, &from);
    mioc_log(MIOC_LOG_INFO, "never seen");
    clock_gettime(CLOCK_MONOTONIC, &to);
    assert_true(to.tv_sec - from.tv_sec <= 5);
    close(reader);
    reader = open("/dev/null", O_RDONLY | O_CLOEXEC);
    captured();
}

static void write_returns_what_went_wrong(void **state)
{
    (void)state;
    assert_int_equal(mioc_log_write(-1, "x", 1), -1);
    assert_int_equal(errno, EBADF);
    int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_int_equal(mioc_log_write(fd, "x", 1), -1);
    assert_int_equal(errno, ENOSPC);
    close(fd);
}

/* More than a pipe holds, read slowly in small pieces: every byte arrives, in order. */
static void *read_slowly(void *argument)
{
    size_t *count = argument;
    unsigned char piece[777];
    for (ssize_t n; (n = read(reader, piece, sizeof piece)) > 0;)
        for (ssize_t i = 0; i < n; i++, (*count)++)
            if (piece[i] != (unsigned char)(*count % 251))
                return (void *)1;
    return NULL;
}

static void write_of_much_reaches_a_slow_reader_whole(void **state)
{
    static unsigned char bytes[300000];
    int ends[2];
    size_t count = 0;
    pthread_t thread;
    void *is_wrong;
    (void)state;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(i % 251);
    assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    fcntl(ends[0], F_SETFL, 0);
    reader = ends[0];
    pthread_create(&thread, NULL, read_slowly, &count);
    assert_int_equal(mioc_log_write(ends[1], bytes, sizeof bytes), 0);
    close(ends[1]);
    pthread_join(thread, &is_wrong);
    close(ends[0]);
    assert_null(is_wrong);
    assert_int_equal(count, sizeof bytes);
}

static void *log_often(void *argument)
{
    for (int i = 0; i < 50; i++)
        mioc_log(MIOC_LOG_INFO, "thread %s says something of some length", (const char *)argument);
    return NULL;
}

static void log_from_many_threads_keeps_lines_whole(void **state)
{
    static const char *const names[] = { "a", "b", "c", "d" };
    pthread_t threads[4];
    int counts[4] = { 0 };
    (void)state;
    capture();
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, log_often, (void *)(uintptr_t)names[i]);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    captured();
    for (char *line = strtok(got, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        assert_int_equal(strlen(line), strlen("mpiio_cache: thread a says something of some length"));
        counts[line[20] - 'a']++;
    }
    for (int i = 0; i < 4; i++)
        assert_int_equal(counts[i], 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(log_message_is_one_line_with_its_level),
        cmocka_unit_test(log_below_threshold_is_silent),
        cmocka_unit_test(log_too_long_is_cut_at_a_character),
        cmocka_unit_test(log_of_just_the_longest_length_is_not_cut),
        cmocka_unit_test(log_control_characters_do_not_reach_the_terminal),
        cmocka_unit_test(log_keeps_errno),
        cmocka_unit_test(log_to_closed_pipe_raises_no_signal),
        cmocka_unit_test(log_keeps_a_pending_sigpipe),
        cmocka_unit_test(log_to_a_reader_that_does_not_read_returns),
        cmocka_unit_test(write_returns_what_went_wrong),
        cmocka_unit_test(write_of_much_reaches_a_slow_reader_whole),
        cmocka_unit_test(log_from_many_threads_keeps_lines_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
