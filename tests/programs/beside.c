/* SPDX-License-Identifier: BSD-3-Clause */
/* beside.c - another preloaded library, of the kind that tracers and profilers are: it overrides the start of main and
 * calls that we override too, passes them on to the next library, and counts those that name something below
 * $BESIDE_BELOW. At the end it adds a line to $BESIDE_LOG.PMI_RANK. With $BESIDE_THREAD_MS each thread that rank 0
 * starts takes that long. */
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#pragma GCC visibility push(default)

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static unsigned opens, stats, lists, loads, mains;

static void count(unsigned *counter, const char *path)
{
    const char *below = getenv("BESIDE_BELOW");

    if (below != NULL && path != NULL && strncmp(path, below, strlen(below)) == 0)
        __atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}

#define MODE(mode, flags) \
    mode_t mode = 0; \
    if ((flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE) { \
        va_list arguments; \
        va_start(arguments, flags); \
        mode = va_arg(arguments, mode_t); \
        va_end(arguments); \
    }

int open(const char *path, int flags, ...)
{
    MODE(mode, flags)
    count(&opens, path);
    return NEXT(open)(path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    MODE(mode, flags)
    count(&opens, path);
    return NEXT(open64)(path, flags, mode);
}

int openat(int dirfd, const char *path, int flags, ...)
{
    MODE(mode, flags)
    count(&opens, path);
    return NEXT(openat)(dirfd, path, flags, mode);
}

#define COUNTED(counter, result, name, parameters, ...) \
    result name parameters \
    { \
        count(&counter, path); \
        return NEXT(name)(__VA_ARGS__); \
    }

COUNTED(opens, FILE *, fopen, (const char *restrict path, const char *restrict mode), path, mode)
COUNTED(opens, FILE *, fopen64, (const char *restrict path, const char *restrict mode), path, mode)
COUNTED(stats, int, stat, (const char *restrict path, struct stat *restrict st), path, st)
COUNTED(stats, int, stat64, (const char *restrict path, struct stat64 *restrict st), path, st)
COUNTED(stats, int, lstat, (const char *restrict path, struct stat *restrict st), path, st)
COUNTED(stats, int, lstat64, (const char *restrict path, struct stat64 *restrict st), path, st)
COUNTED(stats, int, fstatat, (int fd, const char *restrict path, struct stat *restrict st, int flags), fd, path, st,
        flags)
COUNTED(stats, int, fstatat64, (int fd, const char *restrict path, struct stat64 *restrict st, int flags), fd, path, st,
        flags)
COUNTED(lists, DIR *, opendir, (const char *path), path)
COUNTED(loads, void *, dlopen, (const char *path, int mode), path, mode)

/* In passing, as of a library that watches descriptors. */
int close(int fd) { return NEXT(close)(fd); }
struct dirent *readdir(DIR *stream) { return NEXT(readdir)(stream); }
struct dirent64 *readdir64(DIR *stream) { return NEXT(readdir64)(stream); }
int closedir(DIR *stream) { return NEXT(closedir)(stream); }
int fcntl(int fd, int command, ...)
{
    va_list arguments;
    void *argument;

    va_start(arguments, command);
    argument = va_arg(arguments, void *);
    va_end(arguments);
    return NEXT(fcntl)(fd, command, argument);
}

int pthread_create(pthread_t *restrict thread, const pthread_attr_t *restrict attr, void *(*run)(void *),
                   void *restrict argument)
{
    const char *rank = getenv("PMI_RANK"), *ms = getenv("BESIDE_THREAD_MS");

    if (rank != NULL && ms != NULL && strcmp(rank, "0") == 0)
        (void)usleep((useconds_t)atoi(ms) * 1000);
    return NEXT(pthread_create)(thread, attr, run, argument);
}

static void report(void)
{
    const char *log = getenv("BESIDE_LOG"), *rank = getenv("PMI_RANK");
    char name[512];
    FILE *out;

    if (log == NULL || rank == NULL || mains == 0)
        return;
    (void)snprintf(name, sizeof name, "%s.%s", log, rank);
    out = NEXT(fopen)(name, "a");
    if (out == NULL)
        return;
    (void)fprintf(out, "opens %u stats %u lists %u loads %u\n", opens, stats, lists, loads);
    (void)fclose(out);
}

typedef int (*main_function)(int argc, char **argv, char **envp);
static main_function program_main;

static int our_main(int argc, char **argv, char **envp)
{
    mains++;
    (void)atexit(report);
    return program_main(argc, argv, envp);
}

int __libc_start_main(main_function main, int argc, char **argv, void (*init)(void), void (*fini)(void),
                      void (*rtld_fini)(void), void *stack_end);
int __libc_start_main(main_function main, int argc, char **argv, void (*init)(void), void (*fini)(void),
                      void (*rtld_fini)(void), void *stack_end)
{
    program_main = main;
    return NEXT(__libc_start_main)(our_main, argc, argv, init, fini, rtld_fini, stack_end);
}
