/* SPDX-License-Identifier: BSD-3-Clause */
/* dl_cases.c - runs a case by its name, and what all cases need. */
#include "dl_cases.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define OWN_DESCRIPTORS 200          /* the cache's own are above */
#define THREADS_SIGNALS (3ull << 31) /* 32 and 33 are glibc's; it takes 33 when first needed */

EXPORT int dl_case(const char *name);
EXPORT void dl_hook(const char *name, const char *when);

static const struct dl_case *const tables[] = { dl_error_cases,       dl_name_cases,  dl_binding_cases,
                                                dl_constructor_cases, dl_mask_cases,  dl_process_cases,
                                                dl_libc_cases,        dl_stress_cases };

void (*dl_hook_function)(const char *name, const char *when);
static const char *current = "?";
static int lines;

/* --- Saying ------------------------------------------------------------------------------------------------------ */

void say(const char *format, ...)
{
    const char *rank = getenv("PMI_RANK");
    char text[8192];
    va_list arguments;
    int n = snprintf(text, sizeof text, "[%s] %s %03d: ", rank == NULL ? "-" : rank, current, ++lines);

    va_start(arguments, format);
    n += vsnprintf(text + n, sizeof text - (size_t)n - 1, format, arguments);
    va_end(arguments);
    if (n > (int)sizeof text - 2)
        n = (int)sizeof text - 2;
    text[n++] = '\n';
    if (write(STDOUT_FILENO, text, (size_t)n) != n)
        abort();
}

void must(int condition, const char *what)
{
    if (condition)
        return;
    say("%s: %s", what, strerror(errno));
    _exit(99);
}

void say_mask(const char *when)
{
    sigset_t mask;
    char text[65] = "";

    must(pthread_sigmask(SIG_SETMASK, NULL, &mask) == 0, "pthread_sigmask");
    for (int sig = 1; sig <= 64; sig++)
        text[sig - 1] = sigismember(&mask, sig) == 1 ? '1' : '0';
    say("%s: mask %s", when, text);
}

static void say_signals(const char *when)
{
    FILE *file = fopen("/proc/self/status", "re");
    char line[256];

    must(file != NULL, "/proc/self/status");
    while (fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, "Sig", 3) == 0 && strncmp(line, "SigQ", 4) != 0)
            say("%s: %.7s %016llx", when, line, strtoull(line + 7, NULL, 16) & ~THREADS_SIGNALS);
    fclose(file);
}

static void say_descriptor(const char *when, const char *name, int dir)
{
    char target[4096];
    ssize_t n = readlinkat(dir, name, target, sizeof target - 1);

    target[n < 0 ? 0 : n] = '\0';
    if (strchr(target, '[') != NULL) /* pipe:[123] */
        *strchr(target, '[') = '\0';
    say("%s: descriptor %s is %s", when, name, target);
}

/* The outputs have names that differ, and the launcher's descriptor is kept where a rank closes all. */
static int is_the_programs(int fd)
{
    const char *launcher = getenv("PMI_FD");

    return fd != STDOUT_FILENO && fd != STDERR_FILENO && fd < OWN_DESCRIPTORS &&
           (launcher == NULL || fd != atoi(launcher));
}

static void say_descriptors(const char *when)
{
    DIR *dir = opendir("/proc/self/fd");
    struct dirent *entry;

    must(dir != NULL, "/proc/self/fd");
    while ((entry = readdir(dir)) != NULL)
        if (entry->d_name[0] != '.' && is_the_programs(atoi(entry->d_name)) && atoi(entry->d_name) != dirfd(dir))
            say_descriptor(when, entry->d_name, dirfd(dir));
    closedir(dir);
}

void say_state(const char *when)
{
    say_mask(when);
    say_signals(when);
    say_descriptors(when);
}

/* --- Loading ----------------------------------------------------------------------------------------------------- */

static const char *join(const char *folder, const char *name)
{
    static __thread char path[8][4096];
    static __thread unsigned next;
    char *to = path[next++ % 8];

    must(folder != NULL, "DL_LIBS and DL_RW must be set");
    (void)snprintf(to, sizeof path[0], "%s/%s", folder, name);
    return to;
}

const char *at(const char *name) { return join(getenv("DL_LIBS"), name); }

const char *at_rw(const char *name)
{
    char in_own[512];

    (void)snprintf(in_own, sizeof in_own, "rw/%s.%s", getenv("PMI_RANK"), name);
    return at(in_own);
}

void *load_quietly(const char *path, int flags)
{
    void *handle = dlopen(path, flags);

    if (handle == NULL)
        say("load: %s", dlerror());
    return handle;
}

void *load(const char *path, int flags)
{
    void *handle = load_quietly(path, flags);

    if (handle != NULL)
        say("load %s: done", path);
    return handle;
}

void unload(void *handle)
{
    if (handle != NULL && dlclose(handle) != 0)
        say("unload: %s", dlerror());
}

int value_quietly(void *handle, const char *symbol)
{
    int (*function)(void) = NULL;

    if (handle != NULL)
        function = (int (*)(void))dlsym(handle, symbol);
    return function == NULL ? -1 : function();
}

int value(void *handle, const char *symbol)
{
    int result = value_quietly(handle, symbol);

    say("%s is %d", symbol, result);
    return result;
}

void dl_hook(const char *name, const char *when)
{
    if (dl_hook_function != NULL)
        dl_hook_function(name, when);
}

int dl_case(const char *name)
{
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++)
        for (const struct dl_case *c = tables[i]; c->name != NULL; c++)
            if (strcmp(c->name, name) == 0) {
                current = c->name;
                say_state("before");
                c->run();
                say_state("after");
                return 0;
            }
    return -1;
}
