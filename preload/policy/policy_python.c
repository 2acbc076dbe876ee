/* SPDX-License-Identifier: BSD-3-Clause */
/* policy_python.c - reads CPython's command line and a pyvenv.cfg, as far as they say where modules come from. */
#include "policy_internal.h"
#include "base/proc.h"
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* A weak reference, bound when we are loaded, costs one symbol lookup. A dlsym() that fails would allocate. */
extern const char *Py_GetVersion(void) __attribute__((weak));

int mioc_policy_python_version(char *buf, size_t size)
{
    unsigned major, minor;

    /* This function may be called before the interpreter is initialised. It returns a constant
     * text, "3.11.2 (main, …". */
    if (Py_GetVersion == NULL || sscanf(Py_GetVersion(), "%u.%u", &major, &minor) != 2)
        return -1;
    snprintf(buf, size, "%u.%u", major, minor);
    return 0;
}

static int has_value(char *const *env, const char *name)
{
    const char *value = mioc_proc_getenv(env, name);

    return value && value[0] != '\0';
}

/* Parses the letters of one argument such as "-sIc". Returns 'c', 'm', or 'M' (the module's name is in this argument)
 * if the options end here, 'a' if an option's value is the next argument, or 0. */
static char parse_letters(struct mioc_python_args *args, const char *letters)
{
    for (; *letters != '\0'; letters++) {
        switch (*letters) {
        case 'I': args->ignores_env = args->has_no_user_site = args->is_safe_path = 1; break;
        case 'E': args->ignores_env = 1; break;
        case 's': args->has_no_user_site = 1; break;
        case 'P': args->is_safe_path = 1; break;
        case 'c': return 'c';
        case 'm': return letters[1] != '\0' ? 'M' : 'm';
        case 'W':
        case 'X': return letters[1] == '\0' ? 'a' : 0;
        default: break;
        }
    }
    return 0;
}

/* Finds app.py in `python -m mpi4py app.py`. mpi4py, cProfile, pdb, coverage, … put the script's directory into
 * sys.path. */
static const char *find_script(char *const *argv)
{
    for (; *argv; argv++) {
        size_t len = strlen(*argv);

        if ((*argv)[0] != '-' && len > 3 && strcmp(*argv + len - 3, ".py") == 0)
            return *argv;
    }
    return NULL;
}

void mioc_policy_parse_python(struct mioc_python_args *args, char *const *argv, char *const *env)
{
    char *const *at = argv && argv[0] ? argv + 1 : NULL;
    char end = 0;

    memset(args, 0, sizeof *args);
    for (; at && *at && (*at)[0] == '-' && (*at)[1] != '\0' && end == 0; at++) {
        if (strcmp(*at, "--") == 0) {
            at++;
            break;
        }
        if (strcmp(*at, "--check-hash-based-pycs") == 0)
            end = 'a';
        else if ((*at)[1] != '-')
            end = parse_letters(args, *at + 1);
        if (end == 'a') {
            end = 0;
            if (at[1])
                at++;
        }
    }
    if (!args->ignores_env) {
        args->has_no_user_site |= has_value(env, "PYTHONNOUSERSITE");
        args->is_safe_path |= has_value(env, "PYTHONSAFEPATH");
    }
    args->uses_cwd = !args->is_safe_path;
    if (end == 'm' || end == 'M')
        args->script = *at ? find_script(at + (end == 'm')) : NULL;
    else if (end == 0 && at && *at && strcmp(*at, "-") != 0) {
        args->script = *at;
        args->uses_cwd = 0;
    }
    if (at != NULL)
        args->used = (unsigned)(at - argv) + (*at != NULL && end != 'M');
}

const char *mioc_policy_script(char *const *argv, char *const *env)
{
    struct mioc_python_args args;

    mioc_policy_parse_python(&args, argv, env);
    return args.script;
}

/* Like getpath.py it takes the first line whose key is "home", in any case and with blanks around it. */
int mioc_policy_read_home(const char *place, char *home, size_t size)
{
    char path[4096], text[4096];
    size_t len;

    if (snprintf(path, sizeof path, "%s/pyvenv.cfg", place) >= (int)sizeof path ||
        mioc_proc_read(path, text, sizeof text) < 0)
        return -1;
    for (const char *line = text; *line != '\0'; line += strcspn(line, "\n"), line += *line == '\n') {
        line += strspn(line, " \t");
        if (strncasecmp(line, "home", 4) != 0)
            continue;
        line += 4;
        line += strspn(line, " \t");
        if (*line != '=')
            continue;
        line++;
        line += strspn(line, " \t");
        len = strcspn(line, "\r\n");
        while (len > 0 && (line[len - 1] == ' ' || line[len - 1] == '\t'))
            len--;
        if (len == 0 || len >= size)
            return -1;
        memcpy(home, line, len);
        home[len] = '\0';
        return 0;
    }
    return -1;
}
