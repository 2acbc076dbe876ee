/* SPDX-License-Identifier: BSD-3-Clause */
/* main.c - mpiio-cache: chooses the part, and finds what was installed beside it. */
#include "command.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
    "usage: mpiio-cache run [OPTION...] [--] PROGRAM [ARGUMENT...]\n"
    "       mpiio-cache check [--verbose] [--python PROGRAM]\n"
    "       mpiio-cache config\n"
    "       mpiio-cache stats FILE...\n"
    "       mpiio-cache report [-o FILE.html] TRACE...\n"
    "       mpiio-cache --version | --help\n"
    "\n"
    "run      starts PROGRAM with the library preloaded; each variable is an option: --log info is "
    "MPIIO_CACHE_LOG=info\n"
    "check    says in two lines whether the cache can work here, and exits with 0 (yes) or 1 (no)\n"
    "config   shows every variable, the value in force and where it came from\n"
    "stats    prints the statistics of jobs, and their sum\n"
    "report   makes a page with pictures from traces\n"
    "\n"
    "See mpiio-cache(1) and libmpiio_cache.so(7).\n";

int mioc_command_usage(const char *format, ...)
{
    va_list arguments;

    fputs("mpiio-cache: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputs(" (mpiio-cache --help)\n", stderr);
    return 2;
}

/* folder: as from the program's own; both places, where it was installed and where it was built. */
static int find(const char *const folders[], const char *name, char *path, size_t size)
{
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

    if (n < 0)
        return -1;
    self[n] = '\0';
    *strrchr(self, '/') = '\0';
    for (; *folders != NULL; folders++) {
        char joined[PATH_MAX + 256], real[PATH_MAX];

        snprintf(joined, sizeof joined, "%s/%s/%s", self, *folders, name);
        if (realpath(joined, real) != NULL && strlen(real) < size) {
            strcpy(path, real);
            return 0;
        }
    }
    errno = ENOENT;
    return -1;
}

int mioc_command_find_library(const char *name, char *path, size_t size)
{
    static const char *const folders[] = { MIOC_LIBDIR_FROM_BINDIR, "../lib", NULL };

    return find(folders, name, path, size);
}

int mioc_command_find_helper(const char *name, char *path, size_t size)
{
    static const char *const folders[] = { MIOC_LIBEXECDIR_FROM_BINDIR "/mpiio_cache", "../libexec/mpiio_cache", NULL };

    return find(folders, name, path, size);
}

int mioc_command_helper(const char *name, int argc, char **argv)
{
    char path[PATH_MAX], **arguments = calloc((size_t)argc + 3, sizeof *arguments);

    if (mioc_command_find_helper(name, path, sizeof path) != 0 || arguments == NULL) {
        fprintf(stderr, "mpiio-cache: the program for \"%s\" is not installed beside this one\n", name);
        return 1;
    }
    /* Of Python's own variables none shall hold here; nor is it to be cached. */
    unsetenv("LD_PRELOAD");
    arguments[0] = "python3";
    arguments[1] = path;
    for (int i = 0; i <= argc; i++)
        arguments[i + 2] = i < argc ? argv[i] : NULL;
    execvp(arguments[0], arguments);
    fprintf(stderr, "mpiio-cache: %s needs python3: %s\n", name, strerror(errno));
    return 1;
}

int main(int argc, char **argv)
{
    const char *part = argc > 1 ? argv[1] : NULL;

    if (part == NULL)
        return mioc_command_usage("expected run, check, config, stats or report");
    if (strcmp(part, "--help") == 0 || strcmp(part, "-h") == 0 || strcmp(part, "help") == 0)
        return fputs(help, stdout) < 0;
    if (strcmp(part, "--version") == 0)
        return puts("mpiio-cache " MIOC_VERSION) < 0;
    if (strcmp(part, "run") == 0)
        return mioc_command_run(argc - 2, argv + 2);
    if (strcmp(part, "check") == 0)
        return mioc_command_check(argc - 2, argv + 2);
    if (strcmp(part, "config") == 0)
        return mioc_command_config(argc - 2, argv + 2);
    if (strcmp(part, "stats") == 0 || strcmp(part, "report") == 0)
        return mioc_command_helper(part, argc - 2, argv + 2);
    return mioc_command_usage("there is no \"%s\"; expected run, check, config, stats or report", part);
}
