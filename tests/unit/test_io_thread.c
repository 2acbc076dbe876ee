/* SPDX-License-Identifier: BSD-3-Clause */
/* test_io_thread.c - work is done, its result comes back, and the program's descriptors are the same all the while. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/io_thread.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct task {
    int fd;
    long thread;
    struct mioc_io_thread *io_thread;
    int inner;
    int go, is_done;
};

static int note_thread(void *arg)
{
    ((struct task *)arg)->thread = syscall(SYS_gettid);
    return 0;
}

static int open_null(void *arg)
{
    struct task *task = arg;

    task->thread = syscall(SYS_gettid);
    task->fd = open("/dev/null", O_RDONLY);
    return task->fd < 0 ? -1 : 0;
}

static int refuse(void *arg)
{
    (void)arg;
    errno = EPROTO;
    return -1;
}

static int run_within(void *arg)
{
    struct task *task = arg, inner = { 0 };

    task->inner = mioc_io_thread_run(task->io_thread, note_thread, &inner) == 0 && inner.thread == syscall(SYS_gettid);
    return 0;
}

static void run_gives_result_and_errno(void **state)
{
    struct mioc_io_thread *io_thread = mioc_io_thread_new();
    struct task task = { .io_thread = io_thread };

    (void)state;
    assert_non_null(io_thread);
    errno = 77;
    assert_int_equal(mioc_io_thread_run(io_thread, note_thread, &task), 0);
    assert_int_equal(errno, 77);
    assert_true(task.thread != syscall(SYS_gettid));
    assert_int_equal(mioc_io_thread_run(io_thread, refuse, NULL), -1);
    assert_int_equal(errno, EPROTO);
    assert_int_equal(mioc_io_thread_run(io_thread, run_within, &task), 0); /* taken: by whoever calls */
    assert_true(task.inner);
    assert_int_equal(mioc_io_thread_run(NULL, note_thread, &task), 0);
    assert_int_equal(task.thread, syscall(SYS_gettid));
    mioc_io_thread_free(io_thread);
    mioc_io_thread_free(NULL);
}

static int wait_for_go(void *arg)
{
    struct task *task = arg;

    while (!__atomic_load_n(&task->go, __ATOMIC_ACQUIRE))
        sched_yield();
    task->thread = syscall(SYS_gettid);
    __atomic_store_n(&task->is_done, 1, __ATOMIC_RELEASE);
    return 0;
}

static void begin_does_not_wait(void **state)
{
    struct mioc_io_thread *io_thread = mioc_io_thread_new();
    struct task task = { 0 }, other = { 0 };

    (void)state;
    assert_non_null(io_thread);
    assert_int_equal(mioc_io_thread_begin(NULL, wait_for_go, &task), -1);
    errno = 77;
    assert_int_equal(mioc_io_thread_begin(io_thread, wait_for_go, &task), 0);
    assert_int_equal(mioc_io_thread_begin(io_thread, wait_for_go, &task), -1); /* taken */
    assert_int_equal(errno, 77);
    assert_int_equal(mioc_io_thread_run(io_thread, note_thread, &other), 0);
    assert_int_equal(other.thread, syscall(SYS_gettid)); /* so whoever calls does it */
    __atomic_store_n(&task.go, 1, __ATOMIC_RELEASE);
    while (!__atomic_load_n(&task.is_done, __ATOMIC_ACQUIRE))
        sched_yield();
    assert_true(task.thread != syscall(SYS_gettid));
    for (int i = 0; i < 1000; i++) { /* it is free again, and again */
        task.go = 1;
        task.is_done = 0;
        while (mioc_io_thread_begin(io_thread, wait_for_go, &task) != 0)
            sched_yield();
        while (!__atomic_load_n(&task.is_done, __ATOMIC_ACQUIRE))
            sched_yield();
    }
    while (mioc_io_thread_run(io_thread, note_thread, &other) == 0 && other.thread == syscall(SYS_gettid))
        sched_yield();
    mioc_io_thread_free(io_thread);
}

static void wait_ends_when_it_is_free_or_time_is_up(void **state)
{
    struct mioc_io_thread *io_thread = mioc_io_thread_new();
    struct task task = { 0 }, other = { 0 };

    (void)state;
    assert_non_null(io_thread);
    mioc_io_thread_wait(NULL, 1);
    for (int i = 0; i < 1000; i++) {
        task.go = 1;
        assert_int_equal(mioc_io_thread_begin(io_thread, wait_for_go, &task), 0);
        mioc_io_thread_wait(io_thread, 60000000000ull);
        assert_int_equal(mioc_io_thread_run(io_thread, note_thread, &other), 0);
        assert_true(other.thread !=
                    syscall(SYS_gettid)); /* not in the calling thread, which may have no descriptor left */
    }
    task.go = 0;
    assert_int_equal(mioc_io_thread_begin(io_thread, wait_for_go, &task), 0);
    mioc_io_thread_wait(io_thread, 5000000);
    __atomic_store_n(&task.go, 1, __ATOMIC_RELEASE);
    mioc_io_thread_free(io_thread);
}

static void run_in_a_forked_child_is_its_own_work(void **state)
{
    struct mioc_io_thread *io_thread = mioc_io_thread_new();
    struct task task = { 0 };
    int status;
    pid_t child;

    (void)state;
    assert_non_null(io_thread);
    child = fork();
    if (child == 0) {
        int rc = mioc_io_thread_run(io_thread, note_thread, &task);

        mioc_io_thread_free(io_thread);
        _exit(rc == 0 && task.thread == getpid() ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    mioc_io_thread_free(io_thread);
}

/* In a child: whether what the thread opens is its own, also when the process has no descriptor left, and whether it
 * holds none of the process's: a pipe's reader sees the end of its writer. */
static int has_own_table(void)
{
    struct rlimit limit = { 64, 64 };
    struct mioc_io_thread *io_thread;
    struct task task = { 0 };
    struct pollfd end = { .events = POLLIN };
    int pipe_of[2];

    if (pipe(pipe_of) != 0 || (io_thread = mioc_io_thread_new()) == NULL || setrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 1;
    while (open("/dev/null", O_RDONLY) >= 0)
        ;
    if (errno != EMFILE || mioc_io_thread_run(io_thread, open_null, &task) != 0)
        return 2;
    close(40);
    if (task.fd > 2 || mioc_io_thread_run(io_thread, open_null, &task) != 0 || task.fd > 3 || fcntl(40, F_GETFD) >= 0)
        return 3;
    close(pipe_of[1]);
    end.fd = pipe_of[0];
    return poll(&end, 1, 0) == 1 && (end.revents & POLLHUP) ? 0 : 4;
}

static int in_child(int (*body)(void))
{
    int status;
    pid_t child = fork();

    if (child == 0)
        _exit(body());
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void what_is_opened_aside_is_not_the_program_s(void **state)
{
    (void)state;
    assert_int_equal(in_child(has_own_table), 0);
}

/* Linux 4.18 has no close_range(). */
static int has_own_table_on_an_old_kernel(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_close_range, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = { sizeof filter / sizeof *filter, filter };

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        return 77;
    return syscall(SYS_close_range, 100u, 100u, 0) == 0 || errno != ENOSYS ? 78 : has_own_table();
}

static void on_an_old_kernel_neither(void **state)
{
    (void)state;
    assert_int_equal(in_child(has_own_table_on_an_old_kernel), 0);
}

static int count_threads(void)
{
    DIR *dir = opendir("/proc/self/task");
    int n = 0;

    for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;)
        n += entry->d_name[0] != '.';
    if (dir != NULL)
        closedir(dir);
    return n;
}

static void once_has_descriptors_where_the_program_has_none(void **state)
{
    struct rlimit old, few;
    struct task task = { 0 };
    int fd[64], n = 0, rc, error;

    (void)state;
    getrlimit(RLIMIT_NOFILE, &old);
    few = (struct rlimit){ 40, old.rlim_max };
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    while (n < 64 && (fd[n] = dup(STDERR_FILENO)) >= 0)
        n++;
    errno = 77;
    rc = mioc_io_thread_run_once(open_null, &task);
    error = dup(STDERR_FILENO) < 0 ? errno : 0;
    while (n > 0)
        close(fd[--n]);
    setrlimit(RLIMIT_NOFILE, &old);
    assert_int_equal(rc, 0);
    assert_int_equal(task.fd, 0);    /* its table was empty */
    assert_int_equal(error, EMFILE); /* and the program's is as full as before */
    assert_int_not_equal(task.thread, syscall(SYS_gettid));
}

static void once_is_gone_when_it_returns(void **state)
{
    int before = count_threads();
    struct task task;

    (void)state;
    for (int i = 0; i < 500; i++) {
        assert_int_equal(mioc_io_thread_run_once(note_thread, &task), 0);
        assert_int_equal(count_threads(), before);
    }
    assert_int_equal(mioc_io_thread_run_once(refuse, NULL), -1);
    assert_int_equal(errno, EPROTO);
}

static volatile sig_atomic_t handled;

static void handle(int signal)
{
    struct task task;

    (void)signal;
    handled = mioc_io_thread_run_once(note_thread, &task) == 0 && task.thread != syscall(SYS_gettid) ? 1 : -1;
}

static int raise_within(void *arg)
{
    (void)arg;
    kill(getpid(), SIGUSR1); /* a thread of the program's has it, afterwards */
    return handled != 0;
}

static void once_runs_in_a_handler_and_takes_no_signal(void **state)
{
    struct sigaction action = { .sa_handler = handle }, old;

    (void)state;
    sigaction(SIGUSR1, &action, &old);
    handled = 0;
    assert_int_equal(mioc_io_thread_run_once(raise_within, NULL), 0);
    assert_int_equal(handled, 1);
    sigaction(SIGUSR1, &old, NULL);
}

static void once_runs_in_a_child_of_vfork(void **state)
{
    volatile int rc = -1;
    struct task task;
    int status;
    pid_t child;

    (void)state;
    child = vfork();
    if (child == 0) {
        rc = mioc_io_thread_run_once(note_thread, &task);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(rc, 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(run_gives_result_and_errno),
        cmocka_unit_test(begin_does_not_wait),
        cmocka_unit_test(wait_ends_when_it_is_free_or_time_is_up),
        cmocka_unit_test(run_in_a_forked_child_is_its_own_work),
        cmocka_unit_test(what_is_opened_aside_is_not_the_program_s),
        cmocka_unit_test(on_an_old_kernel_neither),
        cmocka_unit_test(once_has_descriptors_where_the_program_has_none),
        cmocka_unit_test(once_is_gone_when_it_returns),
        cmocka_unit_test(once_runs_in_a_handler_and_takes_no_signal),
        cmocka_unit_test(once_runs_in_a_child_of_vfork),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
