/* SPDX-License-Identifier: BSD-3-Clause */
/* guard.c - keeps a process as it was while a library that takes liberties starts in it. */
#include "guard.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MOST_FDS 65536
#define SIGNALS 64
#define ENOUGH_FDS 4096

/* The kernel's own idea of an action, so that what a program installed past glibc comes back too. No processor's is
 * larger. */
struct action {
    unsigned char bytes[64];
};

static struct {
    int is_entered;
    sigset_t mask;
    struct action action[SIGNALS + 1];
    unsigned char has_action[SIGNALS + 1];
    char **env;                           /* environ itself at enter, */
    size_t count;                         /* how many entries it had, */
    char **entry, **text;                 /* the entries' addresses, and copies of what stood there */
    struct rlimit descriptors, file_size; /* as they were; 0 where they were not raised */
    unsigned char before[MOST_FDS / 8];   /* descriptors open at enter, and those that we occupy */
    unsigned char ours[MOST_FDS / 8];
} guard;

/* --- Signals ----------------------------------------------------------------------------------------------------- */

/* glibc's own two, for cancellation and setuid in threads: it installs them when the first thread is made, which may be
 * now, and never again. */
static int is_glibcs(int signal) { return signal == 32 || signal == 33; }

static void save_signals(void)
{
    sigset_t all;

    for (int i = 1; i <= SIGNALS; i++)
        guard.has_action[i] = !is_glibcs(i) && syscall(SYS_rt_sigaction, i, NULL, &guard.action[i], 8) == 0;
    /* Those that a thread raises by a fault of its own stay open: a crash handler of the program's is to see them. Not
     * those that somebody else may send to the process, which then is for the program's threads; abort() opens its own.
     */
    sigfillset(&all);
    for (const int *fault = (const int[]){ SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, 0 }; *fault != 0; fault++)
        sigdelset(&all, *fault);
    pthread_sigmask(SIG_SETMASK, &all, &guard.mask);
}

static void restore_signals(void)
{
    for (int i = 1; i <= SIGNALS; i++)
        if (guard.has_action[i] && i != SIGKILL && i != SIGSTOP)
            (void)syscall(SYS_rt_sigaction, i, &guard.action[i], NULL, 8);
}

/* --- Environment ------------------------------------------------------------------------------------------------- */

static void save_environment(char *assignment)
{
    char *value = strchr(assignment, '=');

    guard.env = environ;
    guard.count = 0;
    while (environ != NULL && environ[guard.count] != NULL)
        guard.count++;
    guard.entry = calloc(guard.count + 1, sizeof *guard.entry);
    guard.text = calloc(guard.count + 1, sizeof *guard.text);
    if (environ == NULL || guard.entry == NULL || guard.text == NULL) {
        free(guard.entry);
        free(guard.text);
        guard.entry = NULL; /* then all stays as MPI leaves it */
        return;
    }
    for (size_t i = 0; i < guard.count; i++) {
        guard.entry[i] = environ[i];
        guard.text[i] = strdup(environ[i]);
    }
    *value = '\0';
    (void)setenv(assignment, value + 1, 1);
    *value = '=';
}

/* The vector that the kernel made, main()'s third argument, lies above all frames. One that setenv() made may have been
 * reallocated since; the present one has room for all that it was made from. */
static char **vector_to_restore(void)
{
    return (uintptr_t)guard.env > (uintptr_t)__builtin_frame_address(0) ? guard.env : environ;
}

static void restore_environment(void)
{
    char **vector;

    if (guard.entry == NULL)
        return;
    vector = vector_to_restore();
    for (size_t i = 0; i < guard.count; i++) {
        vector[i] = guard.entry[i];
        /* Changed in place: longer than before it cannot be. */
        if (guard.text[i] != NULL && strcmp(vector[i], guard.text[i]) != 0)
            memcpy(vector[i], guard.text[i], strlen(guard.text[i]) + 1);
        free(guard.text[i]);
    }
    vector[guard.count] = NULL;
    environ = vector;
    free(guard.entry);
    free(guard.text);
    guard.entry = guard.text = NULL;
}

/* --- Limits ------------------------------------------------------------------------------------------------------ */

/* MPICH ends the process when it cannot open or make what it needs, whatever the error handler; the program's soft
 * limits are not meant for it. */
static void raise_limit(__rlimit_resource_t resource, rlim_t enough, struct rlimit *old)
{
    struct rlimit limit;

    old->rlim_cur = 0;
    if (getrlimit(resource, &limit) != 0 || limit.rlim_cur >= enough || limit.rlim_cur >= limit.rlim_max)
        return;
    *old = limit;
    limit.rlim_cur = limit.rlim_max < enough ? limit.rlim_max : enough;
    if (setrlimit(resource, &limit) != 0)
        old->rlim_cur = 0;
}

static void restore_limit(__rlimit_resource_t resource, struct rlimit *old)
{
    if (old->rlim_cur != 0)
        (void)setrlimit(resource, old);
    old->rlim_cur = 0;
}

/* --- Descriptors ------------------------------------------------------------------------------------------------- */

static int is_set(const unsigned char *bits, long fd)
{
    return fd >= 0 && fd < MOST_FDS && (bits[fd / 8] >> (fd % 8) & 1);
}

static void set(unsigned char *bits, long fd)
{
    if (fd >= 0 && fd < MOST_FDS)
        bits[fd / 8] = (unsigned char)(bits[fd / 8] | 1 << (fd % 8));
}

/* Lists /proc/self/fd by raw system calls: past the interposers, and without an allocation that could open something.
 */
static void visit_open(void (*visit)(int fd))
{
    int dir = (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    union {
        struct dirent64 entry;
        char bytes[8192];
    } buf;
    long n;

    if (dir < 0)
        return;
    while ((n = syscall(SYS_getdents64, dir, buf.bytes, sizeof buf)) > 0)
        for (long at = 0; at < n;) {
            const struct dirent64 *entry = (const struct dirent64 *)(buf.bytes + at);
            char *end;
            long fd = strtol(entry->d_name, &end, 10);

            if (end != entry->d_name && *end == '\0' && fd != dir && fd < MOST_FDS)
                visit((int)fd);
            at += entry->d_reclen;
        }
    syscall(SYS_close, dir);
}

static void note_before(int fd) { set(guard.before, fd); }

/* How far to occupy: MPI must find room above, whatever the limit. */
static int occupied_end(int first)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < 128)
        return 0;
    if (limit.rlim_cur < 512 && (rlim_t)first > limit.rlim_cur / 4)
        return (int)(limit.rlim_cur / 4);
    return first;
}

static void occupy(int end)
{
    int fd = (int)syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDONLY | O_CLOEXEC);

    while (fd >= 0 && fd < end) {
        set(guard.ours, fd);
        fd = (int)syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 0);
    }
    if (fd >= end)
        syscall(SYS_close, fd);
}

void mioc_guard_enter(char *assignment, int first)
{
    save_signals();
    save_environment(assignment);
    raise_limit(RLIMIT_NOFILE, ENOUGH_FDS, &guard.descriptors);
    raise_limit(RLIMIT_FSIZE, RLIM_INFINITY, &guard.file_size);
    memset(guard.before, 0, sizeof guard.before);
    memset(guard.ours, 0, sizeof guard.ours);
    visit_open(note_before);
    occupy(occupied_end(first));
    guard.is_entered = 1;
}

void mioc_guard_restore(void)
{
    if (!guard.is_entered)
        return;
    restore_signals();
    restore_environment();
    restore_limit(RLIMIT_FSIZE, &guard.file_size); /* the store is made next, and keeps to it */
}

static void (*new_visitor)(int fd); /* one thread, so a variable will do */

static void visit_if_new(int fd)
{
    if (!is_set(guard.before, fd) && !is_set(guard.ours, fd))
        new_visitor(fd);
}

void mioc_guard_visit_new(void (*visit)(int fd))
{
    if (!guard.is_entered)
        return;
    new_visitor = visit;
    visit_open(visit_if_new);
}

void mioc_guard_leave(void)
{
    if (!guard.is_entered)
        return;
    guard.is_entered = 0;
    for (int fd = 0; fd < MOST_FDS; fd++)
        if (is_set(guard.ours, fd))
            syscall(SYS_close, fd);
    restore_limit(RLIMIT_NOFILE, &guard.descriptors); /* what is open above stays so */
    pthread_sigmask(SIG_SETMASK, &guard.mask, NULL);
}
