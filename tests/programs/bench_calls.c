/* SPDX-License-Identifier: BSD-3-Clause */
/* bench_calls.c - times hooked against bare calls in one process; a library for bench_calls.py, since only interpreters
 * become ranks.
 *
 * Hooked: the name as any program calls it, which the loader binds to the preload's. Bare: libc's own, from its handle.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

enum operation { STAT, OPEN_CLOSE, OPEN_READ_CLOSE };

/* Both sides go through a table, so that they cost the same indirect call. */
struct calls {
    int (*stat)(const char *, struct stat *);
    int (*open)(const char *, int, ...);
    ssize_t (*read)(int, void *, size_t);
    int (*close)(int);
};

static struct calls hooked = { stat, open, read, close }, bare;

EXPORT int bench_open_libc(void);
EXPORT int bench_batch(int is_hooked, int what, const char *path, int n, int expected_errno, double *ns);
EXPORT int bench_series(int is_hooked, const char *folder, int n, double *ns);
EXPORT int bench_is_served(const char *path);

/* 0, or -1 if libc's own functions cannot be had. */
int bench_open_libc(void)
{
    void *libc = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
    if (libc == NULL)
        return -1;
    *(void **)&bare.stat = dlsym(libc, "stat");
    *(void **)&bare.open = dlsym(libc, "open");
    *(void **)&bare.read = dlsym(libc, "read");
    *(void **)&bare.close = dlsym(libc, "close");
    return bare.stat != NULL && bare.open != NULL && bare.read != NULL && bare.close != NULL ? 0 : -1;
}

/* Whether opening this file gives the node's copy. Asks the kernel itself, past all hooks. */
int bench_is_served(const char *path)
{
    char link[64], target[4096];
    int fd = hooked.open(path, O_RDONLY | O_CLOEXEC);
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    long n = syscall(SYS_readlinkat, AT_FDCWD, link, target, sizeof target - 1);
    target[n > 0 ? n : 0] = '\0';
    (void)hooked.close(fd);
    return strstr(target, "/mpiio_cache-") != NULL;
}

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ll + t.tv_nsec;
}

/* 0 or the errno of the first part that failed. */
static int do_once(const struct calls *calls, enum operation what, const char *path)
{
    static char buffer[1 << 20];
    struct stat st;
    if (what == STAT)
        return calls->stat(path, &st) == 0 ? 0 : errno;
    int fd = calls->open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    int error = 0;
    if (what == OPEN_READ_CLOSE && calls->read(fd, buffer, sizeof buffer) <= 0)
        error = EIO;
    if (calls->close(fd) != 0)
        error = errno;
    return error;
}

/* n times the same; *ns per call. 0, or what a call gave instead of the expected errno. */
int bench_batch(int is_hooked, int what, const char *path, int n, int expected_errno, double *ns)
{
    const struct calls *calls = is_hooked ? &hooked : &bare;
    int64_t start = now();
    for (int i = 0; i < n; i++) {
        int error = do_once(calls, (enum operation)what, path);
        if (error != expected_errno)
            return error != 0 ? error : -1;
    }
    *ns = (double)(now() - start) / n;
    return 0;
}

/* stat of folder/f0 … f(n-1), each once; *ns per call. 0 or an errno. */
int bench_series(int is_hooked, const char *folder, int n, double *ns)
{
    const struct calls *calls = is_hooked ? &hooked : &bare;
    int64_t start = now();
    for (int i = 0; i < n; i++) {
        char path[4096];
        if (snprintf(path, sizeof path, "%s/f%d", folder, i) >= (int)sizeof path)
            return ENAMETOOLONG;
        int error = do_once(calls, STAT, path);
        if (error != 0)
            return error;
    }
    *ns = (double)(now() - start) / n;
    return 0;
}
