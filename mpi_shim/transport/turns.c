/* SPDX-License-Identifier: BSD-3-Clause */
/* turns.c - a timer whose signal's handler yields the processor. */
#include "turns.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define TURN_NS 200000
/* The timer wakes a sleeping thread, so turns become longer while it sleeps, up to the tick that the kernel would leave
 * it. */
#define LONGEST_NS 4000000

static struct {
    int is_on; /* of the thread that began; its handler reads it */
    timer_t timer;
    struct sigaction old;
    int64_t length; /* of this turn, ns */
    long sleeps;    /* how often the thread had slept before it */
} turns;

static long count_sleeps(void)
{
    struct rusage usage = { .ru_nvcsw = 0 };

    (void)getrusage(RUSAGE_THREAD, &usage);
    return usage.ru_nvcsw;
}

static void begin_turn(int64_t length)
{
    const struct itimerspec once = { .it_value = { 0, (long)length } };

    turns.length = length;
    turns.sleeps = count_sleeps();
    (void)timer_settime(turns.timer, 0, &once, NULL);
}

static int is_timers(const siginfo_t *info) { return info->si_code == SI_TIMER && info->si_value.sival_ptr == &turns; }

/* The signal is blocked. One of the timer's may still be pending. */
static void end(void)
{
    sigset_t only;
    siginfo_t info;

    turns.is_on = 0;
    (void)timer_delete(turns.timer);
    sigemptyset(&only);
    sigaddset(&only, SIGFPE);
    if (sigtimedwait(&only, &info, &(struct timespec){ 0, 0 }) == SIGFPE && !is_timers(&info))
        (void)raise(SIGFPE); /* somebody else's: it waits until SIGFPE is open again */
    (void)sigaction(SIGFPE, &turns.old, NULL);
}

static void give_turn(int signal, siginfo_t *info, void *context)
{
    int saved = errno;

    (void)context;
    if (!turns.is_on) {
        if (!is_timers(info))
            (void)raise(signal);
    } else if (is_timers(info)) {
        int was_asleep = count_sleeps() != turns.sleeps;

        if (!was_asleep)
            (void)sched_yield();
        begin_turn(!was_asleep ? TURN_NS : turns.length * 2 < LONGEST_NS ? turns.length * 2 : LONGEST_NS);
    } else {
        end();
        if (info->si_code <= 0) /* it was sent; a fault comes again by itself */
            (void)raise(signal);
    }
    errno = saved;
}

static int is_traced(void)
{
    char text[4096];
    int fd = (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/status", O_RDONLY | O_CLOEXEC);
    long n = fd >= 0 ? syscall(SYS_read, fd, text, sizeof text - 1) : 0;

    if (fd >= 0)
        syscall(SYS_close, fd);
    text[n > 0 ? n : 0] = '\0';
    return strstr(text, "\nTracerPid:\t0\n") == NULL;
}

static int is_open(void)
{
    sigset_t mask;

    return pthread_sigmask(SIG_BLOCK, NULL, &mask) == 0 && !sigismember(&mask, SIGFPE);
}

void mioc_turns_start(int ranks)
{
    struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGFPE, .sigev_value.sival_ptr = &turns };
    struct sigaction action = { .sa_sigaction = give_turn, .sa_flags = SA_SIGINFO | SA_RESTART };
    int saved = errno;

#ifdef sigev_notify_thread_id
    event.sigev_notify_thread_id = (pid_t)syscall(SYS_gettid);
#else
    event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
#endif
    sigfillset(&action.sa_mask);
    if (ranks > sysconf(_SC_NPROCESSORS_ONLN) && is_open() && !is_traced() &&
        timer_create(CLOCK_MONOTONIC, &event, &turns.timer) == 0) {
        if (sigaction(SIGFPE, &action, &turns.old) == 0) {
            turns.is_on = 1;
            begin_turn(TURN_NS);
        } else {
            (void)timer_delete(turns.timer);
        }
    }
    errno = saved;
}

void mioc_turns_end(void)
{
    sigset_t only, old;
    int saved = errno;

    sigemptyset(&only);
    sigaddset(&only, SIGFPE);
    (void)pthread_sigmask(SIG_BLOCK, &only, &old);
    if (turns.is_on)
        end();
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    errno = saved;
}
