/* SPDX-License-Identifier: BSD-3-Clause */
/* guard.c - keeps signals, environment and descriptors of a process as they were while MPI starts in it. */
#include "guard.h"
#include "base/folder.h"

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

/* A signal's action as the kernel has it, so that one that was installed past glibc comes back, too. On no processor it
 * is larger. */
struct action {
    unsigned char bytes[64];
};

static struct {
    int is_entered;
    sigset_t mask;
    struct action action[SIGNALS + 1];
    unsigned char has_action[SIGNALS + 1];
    char **env;                           /* environ at enter, */
    size_t count;                         /* how many entries it had, */
    char **entry, **text;                 /* the entries' addresses, and copies of what stood there */
    struct rlimit descriptors, file_size; /* as they were; 0 where they were not raised */
    unsigned char before[MOST_FDS / 8];   /* descriptors open at enter, and those that we occupy */
    unsigned char ours[MOST_FDS / 8];
} guard;

/* --- Signals ----------------------------------------------------------------------------------------------------- */

/* glibc's own two signals, for cancellation and setuid in threads. glibc installs their handlers once, with the first
 * thread, which may be now. So they must stay. */
static int is_glibcs(int signal) { return signal == 32 || signal == 33; }

static void save_signals(void)
{
    sigset_t all;

    for (int i = 1; i <= SIGNALS; i++)
        guard.has_action[i] = !is_glibcs(i) && syscall(SYS_rt_sigaction, i, NULL, &guard.action[i], 8) == 0;
    /* Signals of a thread's own faults stay open, for the program's crash handler. Those that others may send to the
     * process are blocked: MPI's threads inherit the mask, and the program's get them. abort() opens its own. */
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

/* The kernel's vector, main()'s third argument, lies above all frames: it is used again. A vector that setenv() made
 * may have been reallocated since. Then the present one has room for all entries of the old one. */
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
        /* Changed in place, so it has not become longer. */
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

/* MPICH ends the process, whatever the error handler, when it cannot open or make what it needs. The program's soft
 * limits must not do that. */
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

struct descriptor_visit {
    void (*visit)(int fd);
};

static int visit_name(void *ctx, int dir, const char *name)
{
    char *end;
    long fd = strtol(name, &end, 10);

    if (end != name && *end == '\0' && fd != dir && fd < MOST_FDS)
        ((const struct descriptor_visit *)ctx)->visit((int)fd);
    return 0;
}

static void visit_open(void (*visit)(int fd))
{
    int dir = (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (dir < 0)
        return;
    (void)mioc_folder_walk(dir, visit_name, &(struct descriptor_visit){ visit });
    syscall(SYS_close, dir);
}

static void note_before(int fd) { set(guard.before, fd); }

/* Up to which number to occupy: MPI must find room above, whatever the limit. */
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
    restore_limit(RLIMIT_FSIZE, &guard.file_size); /* the store is made next, within the program's limit */
}

static void (*new_visitor)(int fd); /* of the one thread that calls the guard */

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
    restore_limit(RLIMIT_NOFILE, &guard.descriptors); /* descriptors above it stay open */
    pthread_sigmask(SIG_SETMASK, &guard.mask, NULL);
}
