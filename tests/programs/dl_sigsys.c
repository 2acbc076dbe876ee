/* SPDX-License-Identifier: BSD-3-Clause */
/* dl_sigsys.c - what the cases about signals share. */
#include "dl_sigsys.h"

#include <unistd.h>

volatile sig_atomic_t dl_count, dl_last_value;
char dl_altstack[64 << 10];
pthread_t dl_last_thread;
static volatile sig_atomic_t last_code, last_is_on_altstack;

void dl_handler(int sig, siginfo_t *info, void *context)
{
    (void)context;
    (void)sig;
    dl_count++;
    last_code = info->si_code;
    dl_last_value = info->si_value.sival_int;
    dl_last_thread = pthread_self();
    last_is_on_altstack = (char *)&sig >= dl_altstack && (char *)&sig < dl_altstack + sizeof dl_altstack;
}

void dl_plain_handler(int sig) { (void)sig; dl_count++; last_code = 99; }

void say_count(const char *when)
{
    say("%s: %d signals, the last with code %d%s", when, (int)dl_count, (int)last_code, last_is_on_altstack ? ", on its stack" : "");
}

void say_action(const char *when)
{
    struct sigaction action;
    char blocked[65] = "";

    must(sigaction(SIGSYS, NULL, &action) == 0, "sigaction");
    for (int sig = 1; sig <= 64; sig++)
        blocked[sig - 1] = sigismember(&action.sa_mask, sig) == 1 ? '1' : '0';
    say("%s: %s, flags %x, mask %s", when, action.sa_handler == SIG_DFL ? "default" : action.sa_handler == SIG_IGN ? "ignored" :
        action.sa_sigaction == dl_handler ? "the program's" : action.sa_handler == dl_plain_handler ? "the plain one" : "foreign",
        (unsigned)action.sa_flags & ~0x04000000u, blocked);
}

void dl_install(int flags, int also_blocked)
{
    struct sigaction action = { .sa_sigaction = dl_handler, .sa_flags = SA_SIGINFO | flags };

    sigemptyset(&action.sa_mask);
    if (also_blocked != 0)
        sigaddset(&action.sa_mask, also_blocked);
    must(sigaction(SIGSYS, &action, NULL) == 0, "sigaction");
}

void load_some(void)
{
    value(load(at("simple.so"), RTLD_NOW), "simple_value");
    load(at("missing.so"), RTLD_NOW);
    unload(load(at("needs_origin.so"), RTLD_NOW));
}

void raise_and_say(const char *when)
{
    must(raise(SIGSYS) == 0, "raise");
    say_count(when);
    must(kill(getpid(), SIGSYS) == 0, "kill");
    must(sigqueue(getpid(), SIGSYS, (union sigval){ .sival_int = 17 }) == 0, "sigqueue");
    say_count("from the process");
    say("value %d", (int)dl_last_value);
}

