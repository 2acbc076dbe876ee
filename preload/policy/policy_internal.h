/* SPDX-License-Identifier: BSD-3-Clause */
/* policy_internal.h - what policy_*.c share; nobody else includes it.
 *
 *     policy.c         asking: any thread, no system call
 *     policy_build.c   making: prefixes from the interpreter's place, the environment, the configuration
 *     policy_python.c  making: what the interpreter's command line says, and its pyvenv.cfg
 *     policy_mount.c   making: on which mount a path is, and of what type */
#ifndef MIOC_POLICY_INTERNAL_H
#define MIOC_POLICY_INTERNAL_H

#include "policy.h"
#include <sys/types.h>

/* --- policy_mount.c ---------------------------------------------------------------------------------------------- */
struct mioc_place {
    int is_shared; /* by its filesystem's type */
    int is_directory;
    int is_noexec;      /* by its mount's options */
    int maps_names;     /* by its mount's type: files have more names than are listed */
    uint32_t client_ms; /* policy.h, by both */
    uint64_t dev;       /* st_dev */
    char real[4096];    /* path without symbolic links; "" if unknown */
};
/* The text of a mountinfo file, to be free()d; NULL. */
char *mioc_policy_read_mounts(const char *file);
/* Looks where `path` is, without asking the filesystem for more than the walk. 0, or -1 (it is not there). */
int mioc_policy_find_place(struct mioc_place *place, const char *path, const char *mounts);
struct mioc_mount {
    char type[64];
    int is_noexec, maps_names;
    uint32_t client_ms;
};
/* What a filesystem's client that nothing is known of is expected to do. */
#define MIOC_CLIENT_MS 60000u
/* Sets client_most_ms from the shared filesystems that are mounted and the prefixes; both from actimeo_ms where that is
 * not MIOC_ACTIMEO_AUTO. mounts may be NULL. */
void mioc_policy_set_client_times(struct mioc_policy *policy, const char *mounts, uint64_t actimeo_ms);
/* The mount with that id and device (either may be unknown to mounts); 0 or -1. */
int mioc_policy_find_mount(const char *mounts, long id, dev_t dev, struct mioc_mount *mount);

/* --- policy_python.c --------------------------------------------------------------------------------------------- */
struct mioc_python_args {
    int ignores_env, has_no_user_site,
        is_safe_path;   /* -E, -s, -P; -I is all of them; -P: no script's directory, no cwd */
    int uses_cwd;       /* -c, -m, standard input, interactive */
    unsigned used;      /* arguments up to and including the script, the module or the code */
    const char *script; /* the script, or the one that a module such as mpi4py runs; NULL */
};
void mioc_policy_parse_python(struct mioc_python_args *args, char *const *argv, char *const *env);
/* The value of "home" in PLACE/pyvenv.cfg, the directory of the interpreter that the virtual environment was made with:
 * 0 or -1. */
int mioc_policy_read_home(const char *place, char *home, size_t size);

#endif
