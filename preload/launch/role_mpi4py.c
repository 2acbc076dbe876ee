/* SPDX-License-Identifier: BSD-3-Clause */
/* role_mpi4py.c - whether the mpi4py that this interpreter would import is linked with the plug-in's MPI.
 *
 * A process with two MPI libraries aborts (seen: a second MPICH; Open MPI behind MPICH), and MPI cannot be unloaded
 * once it has started. The first directory of sys.path that has mpi4py counts, as for Python. */
#include "role.h"
#include "job/elf.h"
#include "base/folder.h"
#include "base/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MOST_NAMES 8

struct names {
    unsigned count;
    char name[MOST_NAMES][64];
};

struct search {
    const char *dir;      /* of sys.path, which is being searched */
    struct names plugins; /* the MPI libraries that the plug-in needs */
    int is_found;         /* mpi4py is there */
    int is_good;          /* mpi4py is linked with one of those, or with no known MPI */
    char other[64];       /* the MPI library that mpi4py, or the program, is linked with instead */
};

/* libmpi.so.40 (Open MPI), libmpi.so.12, libmpich.so.12, libmpi_cray.so.12, …; but not libmpicxx and libmpifort. */
static int is_mpi(const char *name)
{
    return strncmp(name, "libmpi.so", 9) == 0 || strncmp(name, "libmpich.so", 11) == 0 ||
           strncmp(name, "libmpi_", 7) == 0 || strncmp(name, "libmpi_abi.so", 13) == 0;
}

static void add_name(void *ctx, const char *name)
{
    struct names *names = ctx;

    if (is_mpi(name) && names->count < MOST_NAMES)
        snprintf(names->name[names->count++], sizeof names->name[0], "%s", name);
}

static int has_name(const struct names *names, const char *name)
{
    for (unsigned i = 0; i < names->count; i++)
        if (strcmp(names->name[i], name) == 0)
            return 1;
    return 0;
}

static void judge_extension(struct search *search, const char *path)
{
    struct names needed = { 0 };

    if (mioc_elf_needed(path, add_name, &needed) != 0)
        return;
    search->is_found = 1;
    if (needed.count == 0)
        search->is_good = 1; /* newer mpi4py looks for MPI when it runs, and takes one that is loaded already */
    for (unsigned i = 0; i < needed.count; i++) {
        if (has_name(&search->plugins, needed.name[i]))
            search->is_good = 1;
        else
            snprintf(search->other, sizeof search->other, "%s", needed.name[i]);
    }
}

/* Judges MPI*.so in DIR/mpi4py. */
static int visit_extension(void *ctx, int dirfd, const char *name)
{
    struct search *search = ctx;
    size_t length = strlen(name);
    char path[1400];

    (void)dirfd;
    if (length < 7 || strncmp(name, "MPI.", 4) != 0 || strcmp(name + length - 3, ".so") != 0)
        return 0;
    snprintf(path, sizeof path, "%s/mpi4py/%s", search->dir, name);
    judge_extension(search, path);
    return 0;
}

static void search_directory(struct search *search, const char *dir)
{
    char path[1400];
    int fd;

    if (search->is_found || (size_t)snprintf(path, sizeof path, "%s/mpi4py", dir) >= sizeof path - 300)
        return;
    fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    search->dir = dir;
    (void)mioc_folder_walk(fd, visit_extension, search);
    syscall(SYS_close, fd);
}

/* Fills in the directory above the file's: "/opt/env/bin/python" → "/opt/env". 0, or -1: there is none. */
static int prefix_of(const char *file, char *prefix, size_t size)
{
    const char *slash = strrchr(file, '/');

    if (slash == NULL || slash == file)
        return -1;
    while (slash > file && slash[-1] != '/')
        slash--;
    if (slash <= file + 1 || (size_t)(slash - file) > size)
        return -1;
    snprintf(prefix, size, "%.*s", (int)(slash - 1 - file), file);
    return 0;
}

/* Searches one directory; below /usr three, as distributions have their own places. */
static void search_prefix(struct search *search, const char *prefix, const char *version)
{
    static const char *const lib[] = { "lib", "lib64", "lib" };
    static const char *const packages[] = { "site-packages", "site-packages", "dist-packages" };
    char dir[1200];

    for (unsigned i = 0; i < (strncmp(prefix, "/usr", 4) == 0 ? 3u : 1u); i++) {
        snprintf(dir, sizeof dir, "%s/%s/python%s/%s", prefix, lib[i], version, packages[i]);
        search_directory(search, dir);
    }
}

/* 1: the prefix is a virtual environment; 2: one that also sees its base's packages; 0: it is none. */
static int venv_kind(const char *prefix)
{
    char path[1100], text[2048];
    const char *line;

    snprintf(path, sizeof path, "%s/pyvenv.cfg", prefix);
    if (mioc_proc_read(path, text, sizeof text) < 0)
        return 0;
    line = strstr(text, "include-system-site-packages");
    if (line == NULL)
        return 1;
    line += strcspn(line, "=\n");
    line += *line == '=';
    line += strspn(line, " \t");
    return strncasecmp(line, "true", 4) == 0 ? 2 : 1;
}

static void search_python_path(struct search *search, const char *path)
{
    char dir[1024];

    while (path != NULL && *path != '\0') {
        size_t length = strcspn(path, ":");

        if (length > 0 && length < sizeof dir) {
            snprintf(dir, sizeof dir, "%.*s", (int)length, path);
            search_directory(search, dir);
        }
        path += length + (path[length] == ':');
    }
}

static void search_user(struct search *search, const struct mioc_role_python *python)
{
    const char *base = mioc_proc_getenv(python->env, "PYTHONUSERBASE"), *home = mioc_proc_getenv(python->env, "HOME");
    const char *refused = mioc_proc_getenv(python->env, "PYTHONNOUSERSITE");
    char prefix[1024];

    if ((refused != NULL && *refused != '\0') || (base == NULL && home == NULL))
        return;
    snprintf(prefix, sizeof prefix, base != NULL ? "%s" : "%s/.local", base != NULL ? base : home);
    search_prefix(search, prefix, python->version);
}

static void search_all(struct search *search, const struct mioc_role_python *python)
{
    char prefix[1024];
    int venv = 0;

    search_python_path(search, mioc_proc_getenv(python->env, "PYTHONPATH"));
    if (prefix_of(python->exec_fn, prefix, sizeof prefix) == 0 && (venv = venv_kind(prefix)) != 0)
        search_prefix(search, prefix, python->version);
    if (venv == 1)
        return;
    search_user(search, python);
    if (prefix_of(python->exe, prefix, sizeof prefix) != 0)
        return;
    if (strcmp(prefix, "/usr") == 0) /* Debian's order */
        search_prefix(search, "/usr/local", python->version);
    search_prefix(search, prefix, python->version);
    if (strcmp(prefix, "/usr") == 0)
        search_directory(search, "/usr/lib/python3/dist-packages");
}

/* Stops at an MPI library that the program itself has loaded, and that is not the plug-in's. */
static int judge_loaded(struct dl_phdr_info *info, size_t size, void *ctx)
{
    struct search *search = ctx;
    const char *slash = info->dlpi_name == NULL ? NULL : strrchr(info->dlpi_name, '/');

    (void)size;
    /* A file's name may have more of the version than the name that programs need: libmpich.so.12.2.2. */
    if (slash == NULL || !is_mpi(slash + 1))
        return 0;
    for (unsigned i = 0; i < search->plugins.count; i++)
        if (strncmp(slash + 1, search->plugins.name[i], strlen(search->plugins.name[i])) == 0)
            return 0;
    snprintf(search->other, sizeof search->other, "%s", slash + 1);
    return 1;
}

int mioc_role_check_mpi4py(const struct mioc_role_python *python, const char *plugin, char *reason, size_t size)
{
    struct search search = { 0 };
    int saved = errno, rc = 0;

    if (mioc_elf_needed(plugin, add_name, &search.plugins) != 0 || search.plugins.count == 0) {
        snprintf(reason, size, "%s is no MPI plug-in", plugin);
        rc = -1;
    } else if (dl_iterate_phdr(judge_loaded, &search) != 0) {
        snprintf(reason, size, "the program is linked with %s, the plug-in with %s", search.other,
                 search.plugins.name[0]);
        rc = -1;
    } else {
        search_all(&search, python);
        if (search.is_found && !search.is_good) {
            snprintf(reason, size, "mpi4py is linked with %s, the plug-in with %s", search.other,
                     search.plugins.name[0]);
            rc = -1;
        }
    }
    errno = saved;
    return rc;
}
