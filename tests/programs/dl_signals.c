/* SPDX-License-Identifier: BSD-3-Clause */
/* dl_signals.c - a program's own handler of SIGSYS: before, in and after loads. */
#include "dl_sigsys.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <semaphore.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

static void sigsys_before(void)
{
    struct sigaction old;

    say_action("at first");
    dl_install(SA_RESTART, SIGUSR1);
    load_some();
    say_action("loaded");
    raise_and_say("raised");
    load_some();
    must(sigaction(SIGSYS, &(struct sigaction){ .sa_handler = SIG_DFL }, &old) == 0, "sigaction");
    say("old one: %s", old.sa_sigaction == dl_handler ? "the program's" : "foreign");
    say_action("reset");
    load_some();
    say_action("at last");
}

/* All of libc's ways. */
static void sigsys_interfaces(void)
{
    load_some();
    say("signal: %s", signal(SIGSYS, dl_plain_handler) == SIG_DFL ? "default" : "foreign");
    say_action("signal");
    load_some();
    raise_and_say("signal");
    say("sysv_signal: %s", sysv_signal(SIGSYS, dl_plain_handler) == dl_plain_handler ? "ours" : "foreign");
    say_action("sysv_signal");
    load_some();
    must(raise(SIGSYS) == 0, "raise");
    say_action("after one");
    say_count("sysv_signal");
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    say("sigset: %s", sigset(SIGSYS, dl_plain_handler) == SIG_DFL ? "default" : "foreign");
    load_some();
    raise_and_say("sigset");
    say("sigset hold: %s", sigset(SIGSYS, SIG_HOLD) == dl_plain_handler ? "ours" : "foreign");
    say_mask("held");
    load_some();
    say_mask("still held");
    say("sigset release: %s", sigset(SIGSYS, dl_plain_handler) == SIG_HOLD ? "was held" : "was not");
    must(siginterrupt(SIGSYS, 1) == 0, "siginterrupt");
    say_action("siginterrupt");
    say("signal: %s", signal(SIGSYS, dl_plain_handler) == dl_plain_handler ? "ours" : "foreign");
    say_action("signal after siginterrupt");
    must(siginterrupt(SIGSYS, 0) == 0, "siginterrupt");
    say_action("siginterrupt");
    say("ssignal: %s", ssignal(SIGSYS, dl_plain_handler) == dl_plain_handler ? "ours" : "foreign");
    say_action("ssignal");
    must(sigignore(SIGSYS) == 0, "sigignore");
#pragma GCC diagnostic pop
    load_some();
    say_action("sigignore");
    must(raise(SIGSYS) == 0, "raise");
    say("still here");
    errno = 0;
    say("bad: %d %d", sigaction(SIGKILL, &(struct sigaction){ .sa_handler = SIG_IGN }, NULL), errno);
    say("bad: %d", signal(65, dl_plain_handler) == SIG_ERR ? errno : 0);
    must(signal(SIGSYS, SIG_DFL) != SIG_ERR, "signal");
}

static void install_inside(const char *name, const char *when)
{
    say("%s of %s", when, name);
    if (strcmp(when, "init") != 0)
        return;
    say_action("inside, at first");
    dl_install(0, 0);
    say_action("inside");
    raise_and_say("inside");
    unload(load(at("other.so"), RTLD_NOW));
}

/* By other functions, in a constructor. */
static void set_inside(const char *name, const char *when)
{
    static __sighandler_t (*const function[])(int, __sighandler_t) = { signal, ssignal, sysv_signal };

    say("%s of %s", when, name);
    for (unsigned i = 0; i < sizeof function / sizeof function[0]; i++) {
        __sighandler_t old = function[i](SIGSYS, dl_plain_handler);

        say("%u: %s", i, old == dl_plain_handler ? "ours" : old == SIG_DFL ? "default" : "foreign");
        say_action("set");
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
        must(siginterrupt(SIGSYS, i % 2 == 0) == 0, "siginterrupt");
#pragma GCC diagnostic pop
        say_action("siginterrupt");
        unload(load(at("needs_origin.so"), RTLD_NOW));
        must(raise(SIGSYS) == 0, "raise");
        say_count("raised");
    }
}

static void sigsys_set_inside(void)
{
    dl_hook_function = set_inside;
    void *handle = load(at("hook.so"), RTLD_NOW);
    say_action("afterwards");
    must(signal(SIGSYS, SIG_IGN) != SIG_ERR && raise(SIGSYS) == 0, "signal");
    unload(handle);
    say_action("afterwards");
    must(signal(SIGSYS, SIG_DFL) != SIG_ERR, "signal");
}

static void sigsys_inside(void)
{
    dl_hook_function = install_inside;
    void *handle = load(at("hook.so"), RTLD_NOW);
    say_action("afterwards");
    raise_and_say("afterwards");
    load_some();
    raise_and_say("after more");
    unload(handle);
    must(signal(SIGSYS, SIG_DFL) != SIG_ERR, "signal");
}

/* As programs with a runtime of their own install it: past libc. */
static void sigsys_raw(void)
{
    struct { void *function; unsigned long flags; void *restorer; unsigned long mask; } action = { 0 }, old = { 0 };

    load_some();
    dl_install(0, 0); /* for libc's restorer */
    must(syscall(SYS_rt_sigaction, SIGSYS, NULL, &action, 8) == 0, "rt_sigaction");
    say("raw: %s", action.function == (void *)dl_handler ? "the program's" : "foreign");
    must(signal(SIGSYS, SIG_DFL) != SIG_ERR, "signal");
    action.function = (void *)dl_handler;
    must(syscall(SYS_rt_sigaction, SIGSYS, &action, &old, 8) == 0, "rt_sigaction");
    say("raw old: %s", old.function == NULL ? "default" : "foreign");
    load_some();
    say_action("loaded");
    raise_and_say("loaded");
    must(signal(SIGSYS, SIG_DFL) != SIG_ERR, "signal");
}

static void sigsys_altstack(void)
{
    stack_t stack = { .ss_sp = dl_altstack, .ss_size = sizeof dl_altstack }, old;

    must(sigaltstack(&stack, NULL) == 0, "sigaltstack");
    dl_install(SA_ONSTACK, 0);
    load_some();
    raise_and_say("on the stack");
    must(sigaltstack(NULL, &old) == 0, "sigaltstack");
    say("still: %s, flags %d", old.ss_sp == dl_altstack ? "ours" : "foreign", old.ss_flags);
    stack.ss_flags = SS_DISABLE;
    must(sigaltstack(&stack, NULL) == 0, "sigaltstack");
    must(signal(SIGSYS, SIG_DFL) != SIG_ERR, "signal");
}

/* A sandbox's way: a filter turns a call into SIGSYS, the dl_handler answers it. */
static void emulate(int sig, siginfo_t *info, void *context)
{
    ucontext_t *user = context;

    (void)sig;
    if (info->si_code == 1 /* SYS_SECCOMP */ && info->si_syscall == SYS_getpgid)
        user->uc_mcontext.gregs[REG_RAX] = 4242;
    dl_count++;
}

static void call_inside(const char *name, const char *when)
{
    say("%s of %s: getpgid is %d", when, name, (int)getpgid(0));
}

static void sigsys_filter(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getpgid, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { .len = 4, .filter = filter };
    struct sigaction action = { .sa_sigaction = emulate, .sa_flags = SA_SIGINFO };

    must(sigaction(SIGSYS, &action, NULL) == 0, "sigaction");
    must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0, "seccomp");
    say("before: %d", (int)getpgid(0));
    dl_hook_function = call_inside;
    load_some();
    unload(load(at("hook.so"), RTLD_NOW));
    say("after: %d, %d signals", (int)getpgid(0), (int)dl_count);
}

/* --- To a thread that loads --- */

static sem_t entered, released;
static pthread_t loading;

static void wait_inside(const char *name, const char *when)
{
    (void)name;
    if (strcmp(when, "init") != 0)
        return;
    sem_post(&entered);
    while (sem_wait(&released) != 0) /* EINTR */
        ;
}

static void *signal_it(void *unused)
{
    must(sem_wait(&entered) == 0, "sem_wait");
    must(pthread_kill(loading, SIGSYS) == 0, "pthread_kill");
    while (__atomic_load_n(&dl_count, __ATOMIC_ACQUIRE) == 0)
        ;
    sem_post(&released);
    return unused;
}

static void sigsys_to_thread(void)
{
    pthread_t thread;

    sem_init(&entered, 0, 0);
    sem_init(&released, 0, 0);
    loading = pthread_self();
    dl_install(0, 0);
    dl_hook_function = wait_inside;
    must(pthread_create(&thread, NULL, signal_it, NULL) == 0, "pthread_create");
    unload(load(at("hook.so"), RTLD_NOW));
    pthread_join(thread, NULL);
    say_count("while loading");
    say("in the thread that loaded: %s", pthread_equal(dl_last_thread, loading) ? "yes" : "no");
    must(signal(SIGSYS, SIG_DFL) != SIG_ERR, "signal");
}

const struct dl_case dl_signal_cases[] = {
    { "sigsys_before", sigsys_before }, { "sigsys_interfaces", sigsys_interfaces }, { "sigsys_inside", sigsys_inside },
    { "sigsys_set_inside", sigsys_set_inside }, { "sigsys_raw", sigsys_raw }, { "sigsys_altstack", sigsys_altstack },
    { "sigsys_filter", sigsys_filter }, { "sigsys_to_thread", sigsys_to_thread }, { NULL, NULL },
};
