/* SPDX-License-Identifier: BSD-3-Clause */
/* bench_dlopen.c - times loads through the preload and libc's own in one process; a library for bench_dlopen.py, since only
 * interpreters become ranks. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

/* Both through a pointer, so that they cost the same indirect call. */
static void *(*hooked)(const char *, int) = dlopen;
static void *(*bare)(const char *, int);

EXPORT const char *bench_prepare(void);
EXPORT const char *bench_load(int is_hooked, const char *path, double *ns);
EXPORT int bench_is_mapped(const char *text);

/* NULL, or what is wrong. */
const char *bench_prepare(void)
{
    void *libc = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);

    if (libc == NULL)
        return dlerror();
    *(void **)&bare = dlsym(libc, "dlopen");
    return bare == NULL ? dlerror() : bare == hooked ? "dlopen is not interposed" : NULL;
}

static int64_t now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ll + t.tv_nsec;
}

/* Loads what is not loaded, as Python does, and unloads it; *ns is the load's alone. NULL, or what is wrong. */
const char *bench_load(int is_hooked, const char *path, double *ns)
{
    void *handle;
    int64_t start;

    if (bare(path, RTLD_NOW | RTLD_NOLOAD) != NULL)
        return "it is loaded already";
    (void)dlerror();
    start = now();
    handle = (is_hooked ? hooked : bare)(path, RTLD_NOW);
    *ns = (double)(now() - start);
    if (handle == NULL)
        return dlerror();
    if (dlclose(handle) != 0)
        return dlerror();
    if (bare(path, RTLD_NOW | RTLD_NOLOAD) != NULL)
        return "it stays loaded";
    (void)dlerror();
    return NULL;
}

/* Whether a mapping's name holds the text. */
int bench_is_mapped(const char *text)
{
    char line[4400];
    FILE *maps = fopen("/proc/self/maps", "r");
    int is_found = 0;

    while (maps != NULL && fgets(line, sizeof line, maps) != NULL)
        is_found |= strstr(line, text) != NULL;
    if (maps != NULL)
        (void)fclose(maps);
    return is_found;
}
