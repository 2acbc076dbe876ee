/* SPDX-License-Identifier: BSD-3-Clause */
/* run.c - mpiio-cache run: sets the environment and becomes the program, so that the launcher's task is still the
 * launcher's. */
#include "command.h"
#include "base/config.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PREFIX "MPIIO_CACHE_"

/* "max-file" is MPIIO_CACHE_MAX_FILE: its row, or NULL. */
static const struct mioc_config_row *find_row(const char *option, size_t len)
{
    size_t rows;
    const struct mioc_config_row *row = mioc_config_rows(&rows);

    for (; rows > 0; rows--, row++) {
        const char *name = row->name + sizeof PREFIX - 1;
        size_t i = 0;

        while (i < len && name[i] != '\0' && (option[i] == '-' ? '_' : toupper((unsigned char)option[i])) == name[i])
            i++;
        if (i == len && name[i] == '\0')
            return row;
    }
    return NULL;
}

/* One value, as the library would take it: 0, or 2 after saying what is wrong. */
static int check_value(const char *variable)
{
    static struct mioc_config config;
    char *env[] = { (char *)variable, NULL };

    if (mioc_config_parse(&config, env) == 0)
        return 0;
    return mioc_command_usage("%.*s", (int)strcspn(config.complaint, ";"), config.complaint);
}

/* --name VALUE or --name=VALUE at argv[*at]. 0 or 2. */
static int take_option(char **argv, int *at)
{
    const char *option = argv[*at] + 2, *value;
    size_t len = strcspn(option, "=");
    const struct mioc_config_row *row = find_row(option, len);
    char variable[8192];

    if (row == NULL)
        return mioc_command_usage("run: unknown option --%.*s", (int)len, option);
    value = option[len] == '=' ? option + len + 1 : argv[++*at];
    if (value == NULL || value[0] == '\0')
        return mioc_command_usage("run: --%.*s needs a value: %s", (int)len, option, row->type);
    if ((size_t)snprintf(variable, sizeof variable, "%s=%s", row->name, value) >= sizeof variable)
        return mioc_command_usage("run: the value of --%.*s is too long", (int)len, option);
    if (check_value(variable) != 0)
        return 2;
    return setenv(row->name, value, 1) == 0 ? 0 : mioc_command_usage("run: %s", strerror(errno));
}

/* In front of what is preloaded already, unless it is among that. */
static int preload(void)
{
    const char *before = getenv("LD_PRELOAD");
    char library[PATH_MAX], *value;

    if (mioc_command_find_library("libmpiio_cache.so", library, sizeof library) != 0) {
        fputs("mpiio-cache: libmpiio_cache.so is not installed beside this program\n", stderr);
        return 1;
    }
    if (strpbrk(library, ": \t\n") != NULL) {
        fprintf(stderr, "mpiio-cache: LD_PRELOAD cannot name a library below %s: blank or colon in it\n", library);
        return 1;
    }
    if (before == NULL || before[0] == '\0')
        return setenv("LD_PRELOAD", library, 1) != 0;
    if (strstr(before, "libmpiio_cache.so") != NULL)
        return 0;
    return asprintf(&value, "%s:%s", library, before) < 0 || setenv("LD_PRELOAD", value, 1) != 0;
}

int mioc_command_run(int argc, char **argv)
{
    int at = 0, error;

    for (; at < argc && argv[at][0] == '-'; at++) {
        if (strcmp(argv[at], "--") == 0) {
            at++;
            break;
        }
        if (strcmp(argv[at], "--help") == 0 || strncmp(argv[at], "--", 2) != 0)
            return mioc_command_usage(
                "run [--NAME VALUE]... [--] PROGRAM [ARGUMENT...]; NAME is that of a variable, as in --max-file 1G");
        if (take_option(argv, &at) != 0)
            return 2;
    }
    if (at >= argc)
        return mioc_command_usage("run: expected a program");
    if (preload() != 0)
        return 1;
    execvp(argv[at], argv + at);
    error = errno;
    fprintf(stderr, "mpiio-cache: cannot run %s: %s\n", argv[at], strerror(error));
    return error == ENOENT || error == ENOTDIR ? 127 : 126; /* as a shell */
}
