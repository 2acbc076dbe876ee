/* SPDX-License-Identifier: BSD-3-Clause */
/* joins.c - joins WAY NANOSECONDS NAME...: a program that is no interpreter, removes files, and makes it hard to
 * find the job's store at its first removal: several threads at once; a fork, a vfork, a signal or a cancellation in
 * the middle; no descriptors. */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char **names;
static unsigned count;
static long delay;
static pthread_barrier_t start;

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void nap(long ns) { nanosleep(&(struct timespec){ ns / 1000000000, ns % 1000000000 }, NULL); }

static void *remove_one(void *name)
{
    pthread_barrier_wait(&start);
    (void)unlink(name);
    return NULL;
}

static pthread_t with_remover(const char *name)
{
    pthread_t thread;

    pthread_barrier_init(&start, NULL, 2);
    if (pthread_create(&thread, NULL, remove_one, (void *)(uintptr_t)name) != 0)
        fail("pthread_create");
    pthread_barrier_wait(&start);
    nap(delay);
    return thread;
}

/* All at once. */
static void threads(void)
{
    pthread_t thread[64];

    pthread_barrier_init(&start, NULL, count);
    for (unsigned i = 0; i < count; i++)
        if (pthread_create(&thread[i], NULL, remove_one, names[i]) != 0)
            fail("pthread_create");
    for (unsigned i = 0; i < count; i++)
        pthread_join(thread[i], NULL);
}

/* The parent's other thread removes meanwhile, the child removes then. */
static void forks(void)
{
    pthread_t thread = with_remover(names[0]);
    pid_t child = fork();

    if (child == 0) {
        for (unsigned i = 1; i < count; i++)
            (void)unlink(names[i]);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    pthread_join(thread, NULL);
}

/* The same, but the child has its parent's memory. */
static void vforks(void)
{
    pthread_t thread = with_remover(names[0]);
    pid_t child = vfork();

    if (child == 0) {
        (void)unlink(names[1]);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    for (unsigned i = 2; i < count; i++)
        (void)unlink(names[i]);
    pthread_join(thread, NULL);
}

/* A child of vfork is killed while it removes. */
static void kills(void)
{
    pid_t child = fork(), grandchild;

    if (child == 0) {
        pthread_t thread;

        grandchild = vfork();
        if (grandchild == 0) {
            struct itimerval soon = { { 0, 0 }, { 0, delay / 1000 + 1 } };

            signal(SIGALRM, SIG_DFL);
            setitimer(ITIMER_REAL, &soon, NULL);
            for (;;)
                (void)unlink(names[0]);
        }
        waitpid(grandchild, NULL, 0);
        thread = with_remover(names[1]);
        for (unsigned i = 2; i < count; i++)
            (void)unlink(names[i]);
        pthread_join(thread, NULL);
        _exit(0);
    }
    waitpid(child, NULL, 0);
}

static void handle(int signal)
{
    int saved = errno;

    (void)signal;
    (void)unlink(names[1]);
    errno = saved;
}

/* A handler removes while the thread that it interrupts does. */
static void handlers(void)
{
    struct sigaction action = { .sa_handler = handle };
    timer_t timer;
    struct itimerspec soon = { { 0, 0 }, { 0, delay + 1 } };

    sigaction(SIGALRM, &action, NULL);
    if (timer_create(CLOCK_MONOTONIC, NULL, &timer) != 0 || timer_settime(timer, 0, &soon, NULL) != 0)
        fail("timer");
    (void)unlink(names[0]);
    for (unsigned i = 2; i < count; i++)
        (void)unlink(names[i]);
    nap(delay); /* the signal ends it, if it comes so late */
}

static void *remove_all(void *type)
{
    int ignored;

    pthread_setcanceltype(*(int *)type, &ignored);
    pthread_barrier_wait(&start);
    for (unsigned i = 0; i + 1 < count; i++) {
        (void)unlink(names[i]);
        pthread_testcancel();
    }
    return NULL;
}

/* A thread is cancelled while it removes, another one removes then. */
static void cancels(int type)
{
    pthread_t thread;

    pthread_barrier_init(&start, NULL, 2);
    if (pthread_create(&thread, NULL, remove_all, &type) != 0)
        fail("pthread_create");
    pthread_barrier_wait(&start);
    nap(delay);
    pthread_cancel(thread);
    pthread_join(thread, NULL);
    (void)unlink(names[count - 1]);
}

/* With its descriptors used up, and their number and the lowest free one as they were. */
static void no_descriptors(void)
{
    struct rlimit few = { 40, 40 };
    int fd, last = -1;

    if (setrlimit(RLIMIT_NOFILE, &few) != 0)
        fail("setrlimit");
    while ((fd = dup(STDERR_FILENO)) >= 0)
        last = fd;
    for (unsigned i = 0; i < count; i++)
        if (unlink(names[i]) != 0)
            fail(names[i]);
    close(last);
    if (dup(STDERR_FILENO) != last || dup(STDERR_FILENO) >= 0 || errno != EMFILE)
        fail("descriptors");
}

/* --- A system that has no more files ----------------------------------------------------------------------------- */

static int listener = -1; /* atomic */
static unsigned shortages;

/* Answers for the kernel: ENFILE for some time, and then as it is. */
static void *run_short(void *unused)
{
    struct timespec began, now;
    long ns = 0;

    while (__atomic_load_n(&listener, __ATOMIC_ACQUIRE) < 0)
        nap(100000);
    clock_gettime(CLOCK_MONOTONIC, &began);
    for (;;) {
        struct seccomp_notif asked = { 0 };
        struct seccomp_notif_resp answer = { 0 };

        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &asked) != 0)
            return unused;
        clock_gettime(CLOCK_MONOTONIC, &now);
        ns = (now.tv_sec - began.tv_sec) * 1000000000 + now.tv_nsec - began.tv_nsec;
        answer.id = asked.id;
        answer.error = ns < 50000000 ? -ENFILE : 0;
        answer.flags = answer.error == 0 ? SECCOMP_USER_NOTIF_FLAG_CONTINUE : 0;
        shortages += answer.error != 0;
        (void)ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
    }
}

static void no_files(void)
{
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = { sizeof rules / sizeof rules[0], rules };
    pthread_t thread;
    long fd;

    if (pthread_create(&thread, NULL, run_short, NULL) != 0)
        fail("pthread_create");
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &filter);
    if (fd < 0) {
        perror("seccomp");
        exit(77);
    }
    __atomic_store_n(&listener, (int)fd, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < count; i++)
        if (unlink(names[i]) != 0)
            fail(names[i]);
    if (shortages == 0)
        fail("no shortage");
    _exit(0);
}

/* By a descriptor that was opened for reading, and nothing before. */
static void by_descriptor(void)
{
    for (unsigned i = 0; i < count; i++) {
        int fd = open(names[i], O_RDONLY);

        if (fd < 0 || fchmod(fd, 0600) != 0)
            fail(names[i]);
        close(fd);
    }
}

int main(int argc, char **argv)
{
    const char *way = argc > 3 ? argv[1] : "";

    delay = argc > 3 ? atol(argv[2]) : 0;
    names = argv + 3;
    count = (unsigned)(argc - 3);
    if (strcmp(way, "threads") == 0)
        threads();
    else if (strcmp(way, "fork") == 0)
        forks();
    else if (strcmp(way, "vfork") == 0)
        vforks();
    else if (strcmp(way, "killed") == 0)
        kills();
    else if (strcmp(way, "handler") == 0)
        handlers();
    else if (strcmp(way, "cancel") == 0)
        cancels(PTHREAD_CANCEL_DEFERRED);
    else if (strcmp(way, "cancel-at-once") == 0)
        cancels(PTHREAD_CANCEL_ASYNCHRONOUS);
    else if (strcmp(way, "no-descriptors") == 0)
        no_descriptors();
    else if (strcmp(way, "no-files") == 0)
        no_files();
    else if (strcmp(way, "descriptor") == 0)
        by_descriptor();
    else
        return 2;
    return 0;
}
