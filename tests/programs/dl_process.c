/* SPDX-License-Identifier: BSD-3-Clause */
/* dl_process.c - loads among threads and processes, with descriptors closed, under a debugger, as another user, at the
 * end. */
#include "dl_cases.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#define MANY 24
#define THREADS 8

static pthread_barrier_t barrier;

/* All libraries of many/, each thread from another one on, and some that all want at once. */
static void *load_many(void *first)
{
    long good = 0;
    char name[64];

    pthread_barrier_wait(&barrier);
    for (int i = 0; i < MANY; i++) {
        (void)snprintf(name, sizeof name, "many/m%02d.so", (i + (int)(long)first * 3) % MANY + 1);
        good += value_quietly(load_quietly(at(name), i % 2 == 0 ? RTLD_NOW : RTLD_LAZY), "simple_value") == 1;
        good += value_quietly(load_quietly(at("needs_origin.so"), RTLD_NOW), "needs_origin_value") == 11;
        good += dlopen(at("missing.so"), RTLD_NOW) == NULL && strstr(dlerror(), "missing.so: cannot open") != NULL;
    }
    return (void *)good;
}

static void many_threads(void)
{
    pthread_t thread[THREADS];
    long good = 0;
    void *result;

    pthread_barrier_init(&barrier, NULL, THREADS);
    for (long i = 0; i < THREADS; i++)
        must(pthread_create(&thread[i], NULL, load_many, (void *)i) == 0, "pthread_create");
    for (int i = 0; i < THREADS; i++) {
        pthread_join(thread[i], &result);
        good += (long)result;
    }
    say("%ld of %d", good, THREADS * MANY * 3);
}

/* --- Small stacks ------------------------------------------------------------------------------------------------ */

/* Closed at once, so that each thread loads. The names are made before: at() is the tests', and uses the stack, too. */
static const char *small_names[4];

static void *load_on_small_stack(void *unused)
{
    for (int i = 0; i < 4; i++) {
        void *handle = dlopen(small_names[i], RTLD_NOW);

        if (handle != NULL)
            (void)dlclose(handle);
    }
    return unused;
}

static void small_stacks(void)
{
    /* From the smallest up: glibc gives a thread the larger stack of one that has ended. */
    static const size_t sizes[] = { 16 << 10, 24 << 10, 32 << 10, 64 << 10, 256 << 10 };

    small_names[0] = at("simple.so");
    small_names[1] = at("needs_origin.so");
    small_names[2] = at("needs_slashes.so");
    small_names[3] = at("missing.so");
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        pthread_attr_t attributes;
        pthread_t thread;

        must(pthread_attr_init(&attributes) == 0 && pthread_attr_setstacksize(&attributes, sizes[i]) == 0,
             "pthread_attr");
        must(pthread_create(&thread, &attributes, load_on_small_stack, NULL) == 0, "pthread_create");
        pthread_join(thread, NULL);
        say("%zu bytes of stack are enough", sizes[i]);
        pthread_attr_destroy(&attributes);
    }
}

/* --- Descriptors ------------------------------------------------------------------------------------------------- */

static void closed_range(void)
{
    value(load(at("simple.so"), RTLD_NOW), "simple_value");
    say("close_range: %d", close_range(3, ~0u, 0));
    value(load(at("needs_origin.so"), RTLD_NOW), "needs_origin_value");
    load(at("missing.so"), RTLD_NOW);
    closefrom(3);
    value(load(at("needs_rpath.so"), RTLD_NOW), "needs_rpath_value");
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    say("the next descriptor is %d", fd);
    close(fd);
    for (int i = 3; i < 1024; i++)
        close(i);
    value(load(at("lazy.so"), RTLD_NOW), "lazy_value");
}

/* --- Children ---------------------------------------------------------------------------------------------------- */

static void fork_and_load(int depth)
{
    int status = -1;
    pid_t pid = fork();

    must(pid >= 0, "fork");
    if (pid == 0) {
        say_state("in the child");
        value(load(at("simple.so"), RTLD_NOW), "simple_value");
        value(load(at("needs_rpath.so"), RTLD_NOW), "needs_rpath_value");
        load(at("missing.so"), RTLD_NOW);
        if (depth > 0)
            fork_and_load(depth - 1);
        pthread_barrier_init(&barrier, NULL, 1);
        say("%ld loads", (long)load_many(NULL));
        say_state("in the child");
        _exit(5 + depth);
    }
    must(waitpid(pid, &status, 0) == pid, "waitpid");
    say("status %x", (unsigned)status);
}

static void children(void)
{
    fork_and_load(1);
    value(load(at("simple.so"), RTLD_NOW), "simple_value");
    fork_and_load(0);
}

/* A child that is an interpreter of its own. */
static void guest(void)
{
    char command[8192], line[8192];

    value(load(at("simple.so"), RTLD_NOW), "simple_value");
    (void)snprintf(command, sizeof command,
                   "/usr/bin/python3 -c 'import ctypes; print(ctypes.CDLL(\"%s\").needs_origin_value());"
                   "ctypes.CDLL(\"%s\")' 2>&1",
                   at("needs_origin.so"), at("missing.so"));
    FILE *pipe = popen(command, "re");
    must(pipe != NULL, "popen");
    while (fgets(line, sizeof line, pipe) != NULL)
        say("%.*s", (int)strcspn(line, "\n"), line);
    say("status %d", pclose(pipe));
}

/* --- Under a debugger -------------------------------------------------------------------------------------------- */

/* Child: stops this process as gdb -p does, and counts the signals of which a debugger hears. */
static int trace_parent(int ready, int done)
{
    pid_t parent = getppid(), pid;
    int status, stops = 0;
    char byte = 0;

    if (ptrace(PTRACE_SEIZE, parent, NULL, NULL) != 0 || write(ready, &byte, 1) != 1)
        return 99;
    fcntl(done, F_SETFL, O_NONBLOCK);
    while (read(done, &byte, 1) < 0) {
        pid = waitpid(parent, &status, __WALL | WNOHANG);
        if (pid == parent && WIFSTOPPED(status)) {
            stops++;
            (void)ptrace(PTRACE_CONT, parent, NULL, WSTOPSIG(status));
        }
    }
    /* It detaches by ending. */
    return stops;
}

static void traced(void)
{
    int ready[2], done[2], status = -1;
    char byte = 0;

    load(at("simple.so"), RTLD_NOW);
    must(pipe2(ready, O_CLOEXEC) == 0 && pipe2(done, O_CLOEXEC) == 0, "pipe2");
    pid_t pid = fork();
    if (pid == 0)
        _exit(trace_parent(ready[1], done[0]));
    (void)prctl(PR_SET_PTRACER, pid, 0, 0, 0); /* fails without Yama, where it is not needed */
    must(read(ready[0], &byte, 1) == 1, "read");
    value(load(at("needs_origin.so"), RTLD_NOW), "needs_origin_value");
    load(at("missing.so"), RTLD_NOW);
    must(write(done[1], &byte, 1) == 1 && waitpid(pid, &status, 0) == pid, "waitpid");
    say("stops for signals: %x", (unsigned)status);
    load(at("other.so"), RTLD_NOW);
    for (int i = 0; i < 2; i++) {
        close(ready[i]);
        close(done[i]);
    }
}

/* --- As another user --------------------------------------------------------------------------------------------- */

/* A root that becomes somebody else is not served what it may not read. */
static void other_user(void)
{
    unload(load(at("broken/unreadable.so"), RTLD_NOW));
    unload(load(at("closed/inner.so"), RTLD_NOW));
    must(setgroups(0, NULL) == 0 && setresgid(65534, 65534, 65534) == 0 && setresuid(65534, 65534, 65534) == 0,
         "setresuid");
    load(at("broken/unreadable.so"), RTLD_NOW);
    load(at("closed/inner.so"), RTLD_NOW);
    value(load(at("needs_origin.so"), RTLD_NOW), "needs_origin_value");
}

/* --- At the end -------------------------------------------------------------------------------------------------- */

static void load_at_exit(void)
{
    value(load(at("needs_origin.so"), RTLD_NOW), "needs_origin_value");
    load(at("missing.so"), RTLD_NOW);
}

static void at_exit(void) { must(atexit(load_at_exit) == 0, "atexit"); }

const struct dl_case dl_process_cases[] = {
    { "many_threads", many_threads },
    { "small_stacks", small_stacks },
    { "closed_range", closed_range },
    { "children", children },
    { "guest", guest },
    { "traced", traced },
    { "other_user", other_user },
    { "at_exit", at_exit },
    { NULL, NULL },
};
