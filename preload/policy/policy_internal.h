/* SPDX-License-Identifier: BSD-3-Clause */
/* policy_internal.h - what policy_*.c share; nobody else includes it.
 *
 *     policy.c         asking: any thread, no system call
 *     policy_build.c   making: prefixes from the interpreter's place, the environment and the configuration
 *     policy_order.c   making: the order of prefixes
 *     policy_python.c  making: what the interpreter's command line and a pyvenv.cfg say
 *     policy_mount.c   making: on which mount a path is, and of what type
 *     policy_file.c    a policy in a store's directory */
#ifndef MIOC_POLICY_INTERNAL_H
#define MIOC_POLICY_INTERNAL_H

#include "policy.h"
#include <sys/types.h>

/* --- policy_order.c ---------------------------------------------------------------------------------------------- */

/* Sorts the prefixes, longest first, and fills in the heads. */
void mioc_policy_order(struct mioc_policy *policy);

/* --- policy_mount.c ---------------------------------------------------------------------------------------------- */

/* The client_ms of a filesystem type about which nothing is known. */
#define MIOC_CLIENT_MS 60000u

struct mioc_place {
    int is_shared; /* by its filesystem's type */
    int is_directory;
    int is_noexec;      /* by its mount's options */
    int maps_names;     /* policy.h, by its filesystem's type */
    uint32_t client_ms; /* policy.h, by both */
    uint64_t dev;       /* st_dev */
    char real[4096];    /* path without symbolic links; "": unknown */
};
/* Finds out where `path` is, and asks the filesystem for no more than the walk. `mounts` may be NULL. Returns 0, or -1:
 * the path is not there. */
int mioc_policy_find_place(struct mioc_place *place, const char *path, const char *mounts);

/* Reads a mountinfo file. Returns its text, which the caller frees, or NULL. */
char *mioc_policy_read_mounts(const char *file);
struct mioc_mount {
    char type[64];
    int is_noexec, maps_names;
    uint32_t client_ms;
};
/* Finds the mount with that id and device; `mounts` need to have only one of them. Returns 0 or -1. */
int mioc_policy_find_mount(const char *mounts, long id, dev_t dev, struct mioc_mount *mount);
/* Sets client_most_ms from the shared mounts and the prefixes. An actimeo_ms other than MIOC_ACTIMEO_AUTO takes the
 * place of all client times. `mounts` may be NULL. */
void mioc_policy_set_client_times(struct mioc_policy *policy, const char *mounts, uint64_t actimeo_ms);

/* --- policy_python.c --------------------------------------------------------------------------------------------- */

struct mioc_python_args {
    int ignores_env, has_no_user_site; /* -E, -s; -I sets all three */
    int is_safe_path;                  /* -P: neither the script's directory nor the working directory is in sys.path */
    int uses_cwd;                      /* -c, -m, standard input, interactive */
    unsigned used;                     /* number of arguments up to and with the script, the module or the code */
    const char *script;                /* the script, or the one that a module such as mpi4py runs; NULL: none */
};
void mioc_policy_parse_python(struct mioc_python_args *args, char *const *argv, char *const *env);
/* Reads "home" from PLACE/pyvenv.cfg: the directory of the interpreter that made the virtual environment. Returns 0 or
 * -1. */
int mioc_policy_read_home(const char *place, char *home, size_t size);

#endif
