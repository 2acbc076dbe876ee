/* SPDX-License-Identifier: BSD-3-Clause */
/* dl_masks.c - loads while signals are blocked: before, by a constructor, in a handler. */
#include "dl_sigsys.h"

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

/* A handler with everything blocked runs in a constructor and calls what is not bound yet: with LD_DEBUG=bindings the loader
 * writes about it. */
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

const struct dl_case dl_mask_cases[] = { { "blocked", blocked }, { "bound_in_handler", bound_in_handler }, { NULL, NULL } };
