/* SPDX-License-Identifier: BSD-3-Clause */
/* bench_dlopen.c - times loads in the process that it is loaded into; a library for bench_dlopen.py, since only
 * interpreters become ranks. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define EXPORT __attribute__((visibility("default")))

EXPORT const char *bench_load(const char *path, double *ns);
EXPORT int bench_is_mapped(const char *text);

static int64_t now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ll + t.tv_nsec;
}

/* Loads what is not loaded, as Python does, and unloads it; *ns is the load's alone. NULL, or what is wrong. */
const char *bench_load(const char *path, double *ns)
{
    void *handle;
    int64_t start;

    if (dlopen(path, RTLD_NOW | RTLD_NOLOAD) != NULL)
        return "it is loaded already";
    (void)dlerror();
    start = now();
    handle = dlopen(path, RTLD_NOW);
    *ns = (double)(now() - start);
    if (handle == NULL)
        return dlerror();
    if (dlclose(handle) != 0)
        return dlerror();
    if (dlopen(path, RTLD_NOW | RTLD_NOLOAD) != NULL)
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
