/* SPDX-License-Identifier: BSD-3-Clause */
/* dl_masks.c - loads while signals are blocked: before, by a constructor, in a handler; and while a filter turns calls
 * into signals. */
#include "dl_cases.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

static void load_some(void)
{
    value(load(at("simple.so"), RTLD_NOW), "simple_value");
    load(at("missing.so"), RTLD_NOW);
    unload(load(at("needs_origin.so"), RTLD_NOW));
}

static void block_inside(const char *name, const char *when)
{
    sigset_t all;

    sigfillset(&all);
    must(pthread_sigmask(SIG_SETMASK, &all, NULL) == 0, "pthread_sigmask");
    say("%s of %s", when, name);
}

/* Also with LD_DEBUG=files, where the loader itself writes after the constructor. */
static void blocked(void)
{
    sigset_t before, all;

    must(pthread_sigmask(SIG_SETMASK, NULL, &before) == 0, "pthread_sigmask");
    dl_hook_function = block_inside;
    void *handle = load(at("hook.so"), RTLD_NOW);
    say_mask("loaded");
    load_some();
    unload(handle);
    say_mask("unloaded");
    must(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0, "pthread_sigmask");
    sigfillset(&all);
    must(sigprocmask(SIG_SETMASK, &all, NULL) == 0, "sigprocmask");
    load_some();
    say_mask("blocked all before");
    must(sigprocmask(SIG_SETMASK, &before, NULL) == 0, "sigprocmask");
    load_some();
}

/* A handler with everything blocked runs in a constructor and calls what is not bound yet: with LD_DEBUG=bindings the
 * loader writes about it. */
static void *lazy;
static volatile sig_atomic_t bound;

static void bind_lazily(int sig)
{
    (void)sig;
    bound = value_quietly(lazy, "lazy_value");
}

static void raise_inside(const char *name, const char *when)
{
    say("%s of %s", when, name);
    must(raise(SIGUSR2) == 0, "raise");
}

static void bound_in_handler(void)
{
    struct sigaction action = { .sa_handler = bind_lazily };

    sigfillset(&action.sa_mask);
    must(sigaction(SIGUSR2, &action, NULL) == 0, "sigaction");
    lazy = load(at("lazy.so"), RTLD_LAZY);
    dl_hook_function = raise_inside;
    void *handle = load(at("hook.so"), RTLD_LAZY);
    say("bound: %d", (int)bound);
    unload(handle);
    must(signal(SIGUSR2, SIG_DFL) != SIG_ERR, "signal");
}

/* A sandbox's way: a filter turns a call into SIGSYS, the handler answers it. */
static volatile sig_atomic_t answered;

static void emulate(int sig, siginfo_t *info, void *context)
{
    ucontext_t *user = context;

    (void)sig;
    if (info->si_code == 1 /* SYS_SECCOMP */ && info->si_syscall == SYS_getpgid)
#ifdef __x86_64__
        user->uc_mcontext.gregs[REG_RAX] = 4242;
#else
        user->uc_mcontext.regs[0] = 4242;
#endif
    answered++;
}

static void call_inside(const char *name, const char *when)
{
    say("%s of %s: getpgid is %d", when, name, (int)getpgid(0));
}

static void filtered(void)
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
    must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0,
         "seccomp");
    say("before: %d", (int)getpgid(0));
    dl_hook_function = call_inside;
    load_some();
    unload(load(at("hook.so"), RTLD_NOW));
    say("after: %d, %d signals", (int)getpgid(0), (int)answered);
}

const struct dl_case dl_mask_cases[] = {
    { "blocked", blocked },
    { "bound_in_handler", bound_in_handler },
    { "filtered", filtered },
    { NULL, NULL },
};
