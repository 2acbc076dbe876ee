/* SPDX-License-Identifier: BSD-3-Clause */
/* dl_pending.c - SIGSYS that is pending, ignored or has its default action. */
#include "dl_sigsys.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

/* For the thread, for the process. */
static void say_pending(const char *when)
{
    FILE *file = fopen("/proc/thread-self/status", "re");
    char line[256];

    must(file != NULL, "/proc/thread-self/status");
    while (fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, "SigPnd", 6) == 0 || strncmp(line, "ShdPnd", 6) == 0)
            say("%s: %.6s %d", when, line, (int)(strtoull(line + 7, NULL, 16) >> (SIGSYS - 1) & 1));
    fclose(file);
}

static void sigsys_pending(void)
{
    sigset_t one;
    siginfo_t info;

    sigemptyset(&one);
    sigaddset(&one, SIGSYS);
    dl_install(0, 0);
    for (int kind = 0; kind < 4; kind++) {
        must(pthread_sigmask(SIG_BLOCK, &one, NULL) == 0, "pthread_sigmask");
        if (kind % 2 == 0)
            must(raise(SIGSYS) == 0, "raise");
        else
            must(sigqueue(getpid(), SIGSYS, (union sigval){ .sival_int = kind }) == 0, "sigqueue");
        say_pending("before");
        load_some();
        say_pending("after");
        say_mask("after");
        say_count("after");
        if (kind >= 2) {
            must(sigtimedwait(&one, &info, &(struct timespec){ 5, 0 }) == SIGSYS, "sigtimedwait");
            say("taken: code %d, value %d", info.si_code, info.si_value.sival_int);
        }
        must(pthread_sigmask(SIG_UNBLOCK, &one, NULL) == 0, "pthread_sigmask");
        say_count("unblocked");
        say("value %d", (int)dl_last_value);
    }
    must(signal(SIGSYS, SIG_DFL) != SIG_ERR, "signal");
}

static void sigsys_descriptor(void)
{
    struct signalfd_siginfo info;
    sigset_t one;

    sigemptyset(&one);
    sigaddset(&one, SIGSYS);
    must(pthread_sigmask(SIG_BLOCK, &one, NULL) == 0, "pthread_sigmask");
    int fd = signalfd(-1, &one, SFD_CLOEXEC | SFD_NONBLOCK);
    must(fd >= 0, "signalfd");
    must(raise(SIGSYS) == 0, "raise");
    load_some();
    say("read %d bytes", (int)read(fd, &info, sizeof info));
    say("signal %u, code %d", info.ssi_signo, info.ssi_code);
    say("then %d, %s", (int)read(fd, &info, sizeof info), strerror(errno));
    close(fd);
    must(pthread_sigmask(SIG_UNBLOCK, &one, NULL) == 0, "pthread_sigmask");
}

/* What a program that we start finds. */
static void say_inherited(const char *when)
{
    FILE *pipe = popen("grep -E '^Sig(Blk|Ign|Cgt)' /proc/self/status", "re");
    char line[128];

    must(pipe != NULL, "popen");
    while (fgets(line, sizeof line, pipe) != NULL)
        say("%s: %.24s", when, line);
    pclose(pipe);
}

static void raise_in_child(const char *when)
{
    int status = -1;
    pid_t pid = fork();

    if (pid == 0) {
        (void)raise(SIGSYS);
        _exit(3);
    }
    must(pid > 0 && waitpid(pid, &status, 0) == pid, "fork");
    say("%s: the child's status is %x", when, (unsigned)status);
}

static void sigsys_ignored(void)
{
    say_inherited("at first");
    load_some();
    say_inherited("loaded");
    raise_in_child("default");
    must(signal(SIGSYS, SIG_IGN) == SIG_DFL, "signal");
    load_some();
    say_action("loaded");
    must(raise(SIGSYS) == 0, "raise");
    say_inherited("ignored");
    raise_in_child("ignored");
    dl_install((int)SA_RESETHAND, 0);
    load_some();
    must(raise(SIGSYS) == 0, "raise");
    say_count("once");
    say_action("once");
    load_some();
    raise_in_child("reset");
}

/* Dies of SIGSYS, as plain. */
static void sigsys_default(void)
{
    load_some();
    (void)raise(SIGSYS);
}

const struct dl_case dl_pending_cases[] = {
    { "sigsys_pending", sigsys_pending }, { "sigsys_descriptor", sigsys_descriptor }, { "sigsys_ignored", sigsys_ignored },
    { "sigsys_default", sigsys_default }, { NULL, NULL },
};
