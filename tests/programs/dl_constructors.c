/* SPDX-License-Identifier: BSD-3-Clause */
/* dl_constructors.c - what constructors of loaded libraries do while the loader is still at work. */
#include "dl_cases.h"

#include <errno.h>
#include <execinfo.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

extern char **environ;

static sem_t entered, released;

/* Loads hook.so with `hook` called by its constructor and destructor. */
static void *load_hooked(void (*hook)(const char *, const char *))
{
    dl_hook_function = hook;
    void *handle = load(at("hook.so"), RTLD_NOW);
    value(handle, "hook_value");
    return handle;
}

static void say_hook(const char *name, const char *when) { say("%s of %s", when, name); }

static void order(void)
{
    void *one = load_hooked(say_hook), *two = load(at("hook2.so"), RTLD_NOW),
         *three = load(at("hook_dep.so"), RTLD_NOW);

    value(three, "hook_dep_value");
    unload(two);
    unload(one);
    load(at("hook2.so"), RTLD_NOW); /* its destructor runs at exit */
}

/* --- Threads ----------------------------------------------------------------------------------------------------- */

static void *do_work(void *text)
{
    FILE *file = fopen(at("simple.so"), "re");

    snprintf(text, 64, "%s, %d bytes", file != NULL ? "opened" : strerror(errno),
             file != NULL ? (int)fread(text, 1, 4, file) : 0);
    if (file != NULL)
        fclose(file);
    return text;
}

static void *load_when_released(void *text)
{
    must(sem_wait(&released) == 0, "sem_wait");
    void *handle = dlopen(at("needs_origin.so"), RTLD_NOW);
    snprintf(text, 64, "%s, value %d", handle != NULL ? "loaded" : dlerror(),
             value_quietly(handle, "needs_origin_value"));
    return text;
}

static pthread_t later;
static char later_text[64];

static void start_threads(const char *name, const char *when)
{
    pthread_t now;
    char text[64];

    say_hook(name, when);
    if (strcmp(when, "init") != 0)
        return;
    must(pthread_create(&now, NULL, do_work, text) == 0 && pthread_join(now, NULL) == 0, "pthread_create");
    say("a thread of the constructor: %s", text);
    must(pthread_create(&later, NULL, load_when_released, later_text) == 0, "pthread_create");
}

static void threads(void)
{
    sem_init(&released, 0, 0);
    void *handle = load_hooked(start_threads);
    sem_post(&released);
    pthread_join(later, NULL);
    say("a thread that outlives it: %s", later_text);
    unload(handle);
}

/* --- Processes --------------------------------------------------------------------------------------------------- */

static void say_status(const char *what, int status)
{
    say("%s: %s %d", what, WIFEXITED(status) ? "exit" : "signal",
        WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
}

static void start_processes(const char *name, const char *when)
{
    char *const arguments[] = { "sh", "-c", "exit 4", NULL };
    char line[64] = "";
    int status = -1;
    pid_t pid;

    say_hook(name, when);
    pid = fork();
    if (pid == 0)
        _exit(7);
    must(pid > 0 && waitpid(pid, &status, 0) == pid, "fork");
    say_status("fork", status);
    pid = fork();
    if (pid == 0) {
        void *handle = dlopen(at("needs_origin.so"), RTLD_NOW);

        say("loaded in the child: %s", handle != NULL ? "done" : dlerror());
        _exit(value(handle, "needs_origin_value"));
    }
    must(pid > 0 && waitpid(pid, &status, 0) == pid, "fork");
    say_status("fork that loads", status);
    say_status("system", system("exit 3"));
    must(posix_spawn(&pid, "/bin/sh", NULL, NULL, arguments, environ) == 0 && waitpid(pid, &status, 0) == pid,
         "posix_spawn");
    say_status("posix_spawn", status);
    FILE *pipe = popen("echo words", "re");
    must(pipe != NULL && fgets(line, sizeof line, pipe) != NULL, "popen");
    say("popen: %.5s, %d", line, pclose(pipe));
}

static void processes(void) { unload(load_hooked(start_processes)); }

static void exec_inside(const char *name, const char *when)
{
    say_hook(name, when);
    execl("/bin/echo", "echo", "replaced by", when, (char *)NULL);
}

static void replaced_by_exec(void) { load_hooked(exec_inside); }

static void exit_inside(const char *name, const char *when)
{
    say_hook(name, when);
    exit(5);
}

static void ended_by_exit(void) { load_hooked(exit_inside); }

static void _exit_inside(const char *name, const char *when)
{
    say_hook(name, when);
    _exit(6);
}

static void ended_by__exit(void) { load_hooked(_exit_inside); }

/* --- The loader again -------------------------------------------------------------------------------------------- */

static void load_inside(const char *name, const char *when)
{
    static void *inner;

    say_hook(name, when);
    if (strcmp(name, "hook") == 0 && strcmp(when, "init") == 0) {
        inner = load(at("hook2.so"), RTLD_NOW);
        value(inner, "hook2_value");
        load(at("missing.so"), RTLD_NOW);
        load(at("under_now.so"), RTLD_NOW);
        unload(load(at("needs_origin.so"), RTLD_NOW));
    } else if (strcmp(name, "hook") == 0) {
        unload(inner);
        load(at("lazy.so"), RTLD_NOW);
    } else if (strcmp(when, "init") == 0) {
        value(load(at("ifunc.so"), RTLD_NOW), "ifunc_value");
    }
}

static void loads_others(void)
{
    unload(load_hooked(load_inside));
    unload(load_hooked(load_inside));
}

/* --- Leaving a constructor in other ways ------------------------------------------------------------------------- */

static jmp_buf out;

static void jump_out(const char *name, const char *when)
{
    say_hook(name, when);
    dl_hook_function = NULL;
    if (strcmp(when, "init") == 0)
        longjmp(out, 1);
}

static void left_by_longjmp(void)
{
    if (setjmp(out) == 0)
        load_hooked(jump_out);
    say("out");
    unload(load(at("simple.so"), RTLD_NOW));
    value(load(at("other.so"), RTLD_NOW), "other_value");
    load(at("missing.so"), RTLD_NOW);
}

/* Not through the loader's own frames: the program ends. */
static void left_by_exception(void)
{
    void *catcher = load(at("catch.so"), RTLD_NOW);
    int (*catch)(const char *) = catcher == NULL ? NULL : (int (*)(const char *))dlsym(catcher, "catch_from_dlopen");

    must(catch != NULL, "catch.so");
    say("caught %d", catch (at("throw_init.so")));
}

static ucontext_t outside, inside;
static char coroutine_stack[512 << 10];

static void switch_away(const char *name, const char *when)
{
    say_hook(name, when);
    if (strcmp(when, "init") == 0)
        must(swapcontext(&inside, &outside) == 0, "swapcontext");
}

static void coroutine(void) { load_hooked(switch_away); }

/* As greenlets may: the loader's calls do not end in the order in which they began. */
static void left_and_entered_again(void)
{
    must(getcontext(&inside) == 0, "getcontext");
    inside.uc_stack.ss_sp = coroutine_stack;
    inside.uc_stack.ss_size = sizeof coroutine_stack;
    inside.uc_link = &outside;
    makecontext(&inside, coroutine, 0);
    must(swapcontext(&outside, &inside) == 0, "swapcontext");
    value(load(at("needs_origin.so"), RTLD_NOW), "needs_origin_value");
    must(swapcontext(&outside, &inside) == 0, "swapcontext");
    value(load(at("other.so"), RTLD_NOW), "other_value");
}

/* --- Cancelled --------------------------------------------------------------------------------------------------- */

static int is_cancellable; /* whether the constructor waits at a cancellation point */
static const char *cancelled_name;
static void *cancelled_handle;

static void wait_inside(const char *name, const char *when)
{
    int spins = 0;

    (void)name;
    if (strcmp(when, "init") != 0)
        return;
    sem_post(&entered);
    if (is_cancellable)
        sem_wait(&released);
    else
        while (sem_trywait(&released) != 0)
            spins++;
}

static void post(void *semaphore) { sem_post(semaphore); }

static void *load_and_test(void *cleaned)
{
    cancelled_handle = NULL;
    pthread_cleanup_push(post, cleaned);
    cancelled_handle = dlopen(cancelled_name, RTLD_NOW);
    pthread_testcancel();
    pthread_cleanup_pop(0);
    return NULL;
}

static void cancel(const char *name)
{
    sem_t cleaned;
    pthread_t thread;
    void *result;
    int count = 0;

    (void)backtrace((void *[1]){ NULL }, 1); /* loads what pthread_cancel needs: it could not while the other loads */
    sem_init(&cleaned, 0, 0);
    sem_init(&entered, 0, 0);
    sem_init(&released, 0, 0);
    dl_hook_function = wait_inside;
    cancelled_name = name;
    must(pthread_create(&thread, NULL, load_and_test, &cleaned) == 0, "pthread_create");
    must(sem_wait(&entered) == 0 && pthread_cancel(thread) == 0, "pthread_cancel");
    if (!is_cancellable)
        sem_post(&released);
    must(pthread_join(thread, &result) == 0 && sem_getvalue(&cleaned, &count) == 0, "pthread_join");
    say("%s, cleaned up %d times, %s", result == PTHREAD_CANCELED ? "cancelled" : "not cancelled", count,
        cancelled_handle != NULL ? "loaded" : "not loaded");
}

/* The request is there before: a load is no cancellation point. */
static void *load_with_request(void *name)
{
    cancelled_handle = NULL;
    must(pthread_cancel(pthread_self()) == 0, "pthread_cancel");
    cancelled_handle = dlopen(name, RTLD_NOW);
    (void)dlopen("libmissing.so.1", RTLD_NOW);
    pthread_testcancel();
    return NULL;
}

static void cancelled_before(void)
{
    const char *const names[] = { at("needs_origin.so"), "libenv.so.1" };
    pthread_t thread;
    void *result;

    (void)backtrace((void *[1]){ NULL }, 1);
    for (int i = 0; i < 2; i++) {
        must(pthread_create(&thread, NULL, load_with_request, (void *)(uintptr_t)names[i]) == 0, "pthread_create");
        pthread_join(thread, &result);
        say("%s, %s", result == PTHREAD_CANCELED ? "cancelled" : "not cancelled",
            cancelled_handle != NULL ? "loaded" : "not loaded");
    }
}

static void cancelled_afterwards(void)
{
    const char *const names[] = { at("hook.so"), "libhook.so.1" };

    for (int i = 0; i < 2; i++) {
        cancel(names[i]);
        value(cancelled_handle, "hook_value");
        unload(cancelled_handle);
    }
}

/* The dead thread keeps the loader's lock, so that no other may load and nobody exit(). */
static void cancelled_inside(void)
{
    is_cancellable = 1;
    cancel(at("hook.so"));
    say_state("cancelled");
    _exit(0);
}

static void cancelled_inside_by_soname(void)
{
    is_cancellable = 1;
    cancel("libhook.so.1");
    say_state("cancelled");
    _exit(0);
}

/* --- The stack --------------------------------------------------------------------------------------------------- */

/* How many frames lie between the constructor and the case, and whether all of these below are seen. */
static void trace_inside(const char *name, const char *when)
{
    void *frame[100];
    Dl_info info;
    int n = backtrace(frame, 100), at_case = -1;

    for (int i = 0; i < n; i++)
        if (dladdr(frame[i], &info) != 0 && info.dli_sname != NULL && strcmp(info.dli_sname, "dl_case") == 0)
            at_case = i;
    say("%s of %s: %d frames from dl_case on", when, name, at_case < 0 ? -1 : n - at_case);
}

static void backtraces(void)
{
    trace_inside("nothing", "start");
    unload(load_hooked(trace_inside));
    unload(load("libhook.so.1", RTLD_NOW)); /* its caller matters */
    void *handle = dlmopen(LM_ID_BASE, at("hook2.so"), RTLD_NOW);
    say("dlmopen: %s", handle != NULL ? "done" : dlerror());
    unload(handle);
    unload(dlmopen(LM_ID_BASE, "libhook.so.1", RTLD_NOW));
}

const struct dl_case dl_constructor_cases[] = {
    { "order", order },
    { "threads", threads },
    { "processes", processes },
    { "replaced_by_exec", replaced_by_exec },
    { "ended_by_exit", ended_by_exit },
    { "ended_by__exit", ended_by__exit },
    { "loads_others", loads_others },
    { "left_by_longjmp", left_by_longjmp },
    { "left_by_exception", left_by_exception },
    { "left_and_entered_again", left_and_entered_again },
    { "cancelled_afterwards", cancelled_afterwards },
    { "cancelled_inside", cancelled_inside },
    { "cancelled_inside_by_soname", cancelled_inside_by_soname },
    { "cancelled_before", cancelled_before },
    { "backtraces", backtraces },
    { NULL, NULL },
};
