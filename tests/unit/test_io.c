/* SPDX-License-Identifier: BSD-3-Clause */
/* test_io.c - reads and writes go on after a short count and a signal, and end at the end of a file and at an error. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* More than a pipe holds, so that one write(2) or read(2) cannot do it. */
#define SIZE (300u * 1024u)

static char pattern[SIZE], bytes[SIZE];
static int ends[2];

static int open_pipe(void **state)
{
    (void)state;
    for (unsigned i = 0; i < SIZE; i++)
        pattern[i] = (char)(i * 31 + i / 251);
    memset(bytes, 0, sizeof bytes);
    return pipe(ends);
}

static int close_pipe(void **state)
{
    (void)state;
    close(ends[0]);
    close(ends[1]);
    return 0;
}

static void *write_pattern(void *arg) { return mioc_io_write(ends[1], pattern, SIZE) == 0 ? arg : NULL; }

static void read_and_write_of_more_than_a_pipe_holds_are_whole(void **state)
{
    pthread_t thread;
    void *result;

    assert_int_equal(pthread_create(&thread, NULL, write_pattern, state), 0);
    assert_int_equal(mioc_io_read(ends[0], bytes, SIZE), SIZE);
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_ptr_equal(result, state);
    assert_memory_equal(bytes, pattern, SIZE);
}

static void read_at_the_end_is_short(void **state)
{
    (void)state;
    assert_int_equal(mioc_io_write(ends[1], "four", 4), 0);
    close(ends[1]);
    assert_int_equal(mioc_io_read(ends[0], bytes, SIZE), 4);
    assert_int_equal(mioc_io_read(ends[0], bytes, SIZE), 0);
    assert_int_equal(mioc_io_read(ends[0], bytes, 0), 0);
}

static void error_is_said(void **state)
{
    (void)state;
    assert_int_equal(mioc_io_read(ends[1], bytes, 1), -1);
    assert_int_equal(errno, EBADF);
    assert_int_equal(mioc_io_write(ends[0], bytes, 1), -1);
    assert_int_equal(errno, EBADF);
    assert_int_equal(mioc_io_pread(ends[0], bytes, 1, 0), -1);
    assert_int_equal(errno, ESPIPE);
    assert_int_equal(mioc_io_pwrite(ends[1], bytes, 1, 0), -1);
    assert_int_equal(errno, ESPIPE);
}

static void offset_of_the_descriptor_stays(void **state)
{
    char name[] = "/tmp/mioc-test.XXXXXX";
    int fd = mkstemp(name);

    (void)state;
    assert_true(fd >= 0);
    unlink(name);
    assert_int_equal(mioc_io_pwrite(fd, pattern, SIZE, 10), 0);
    assert_int_equal(mioc_io_pread(fd, bytes, SIZE, 11), SIZE - 1);
    assert_memory_equal(bytes, pattern + 1, SIZE - 1);
    assert_int_equal(lseek(fd, 0, SEEK_CUR), 0);
    assert_int_equal(mioc_io_read(fd, bytes, 11), 11);
    assert_int_equal(bytes[10], pattern[0]);
    assert_int_equal(lseek(fd, 0, SEEK_CUR), 11);
    close(fd);
}

/* --- Signals ----------------------------------------------------------------------------------------------------- */

static volatile sig_atomic_t handled;
static pid_t reader;

static void note_signal(int number) { handled = number; }

static void *read_five(void *arg)
{
    __atomic_store_n(&reader, (pid_t)syscall(SYS_gettid), __ATOMIC_RELEASE);
    return mioc_io_read(ends[0], bytes, 5) == 5 ? arg : NULL;
}

/* The thread sleeps in read(2) and nowhere else. */
static int is_asleep(pid_t thread)
{
    char path[64], text[512] = "", *end;
    FILE *file;

    snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)thread);
    file = fopen(path, "r");
    assert_non_null(file);
    assert_true(fread(text, 1, sizeof text - 1, file) > 0);
    fclose(file);
    end = strrchr(text, ')');
    return end != NULL && end[2] == 'S';
}

static void read_goes_on_after_a_signal(void **state)
{
    struct sigaction action = { .sa_handler = note_signal }; /* without SA_RESTART */
    pthread_t thread;
    void *result;

    assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
    assert_int_equal(pthread_create(&thread, NULL, read_five, state), 0);
    while (__atomic_load_n(&reader, __ATOMIC_ACQUIRE) == 0 || !is_asleep(reader))
        sched_yield();
    assert_int_equal(pthread_kill(thread, SIGUSR1), 0);
    while (handled == 0)
        sched_yield();
    assert_int_equal(write(ends[1], "five!", 5), 5);
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_ptr_equal(result, state);
    assert_memory_equal(bytes, "five!", 5);
}

static void descriptor_comes_with_its_bytes_and_without_one_none_does(void **state)
{
    int pair[2], passed = -1, pipe_fd[2];
    char text[8] = "";

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_int_equal(pipe(pipe_fd), 0);
    assert_int_equal(mioc_io_receive_fd(pair[1], text, sizeof text, &passed), -1);
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(mioc_io_send_fd(pair[0], "one", 3, pipe_fd[1]), 0);
    assert_int_equal(mioc_io_receive_fd(pair[1], text, sizeof text, &passed), 3);
    assert_memory_equal(text, "one", 3);
    assert_true(passed >= 0 && passed != pipe_fd[1] && (fcntl(passed, F_GETFD) & FD_CLOEXEC));
    assert_int_equal(write(passed, "x", 1), 1);
    assert_int_equal(read(pipe_fd[0], text, 1), 1);
    assert_int_equal(close(passed), 0);
    passed = -1;
    assert_int_equal(send(pair[0], "two", 3, 0), 3);
    assert_int_equal(mioc_io_receive_fd(pair[1], text, sizeof text, &passed), 3);
    assert_int_equal(passed, -1);
    assert_int_equal(close(pair[0]), 0);
    assert_int_equal(mioc_io_receive_fd(pair[1], text, sizeof text, &passed), 0);
    assert_int_equal(mioc_io_send_fd(pair[1], "late", 4, pipe_fd[0]), -1); /* and no SIGPIPE */
    assert_int_equal(errno, EPIPE);
    (void)close(pair[1]);
    (void)close(pipe_fd[0]);
    (void)close(pipe_fd[1]);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_pipe, close_pipe)
    const struct CMUnitTest tests[] = {
        TEST(read_and_write_of_more_than_a_pipe_holds_are_whole),
        TEST(read_at_the_end_is_short),
        TEST(error_is_said),
        TEST(offset_of_the_descriptor_stays),
        TEST(read_goes_on_after_a_signal),
        cmocka_unit_test(descriptor_comes_with_its_bytes_and_without_one_none_does),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
