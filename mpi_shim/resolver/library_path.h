/* SPDX-License-Identifier: BSD-3-Clause */
/* library_path.h - where the dynamic loader looks for the libraries that an object needs: a guess, for reading ahead.
 *
 * As ld.so(8) says: DT_RPATH of the object and of those that loaded it, unless it has DT_RUNPATH; LD_LIBRARY_PATH; its
 * DT_RUNPATH. Left out: the program's own DT_RPATH, ld.so.cache, the system's directories, relative directories, and
 * parts of LD_LIBRARY_PATH with `$`. Any thread. */
#ifndef MIOC_LIBRARY_PATH_H
#define MIOC_LIBRARY_PATH_H

#include <limits.h>
#include <stdint.h>

/* No more directories are looked through for one object. */
#define MIOC_LIBRARY_DIRS 64u

/* One object's directories, in the loader's order. Immutable, shared by all that hold a reference. */
struct mioc_library_path {
    unsigned refs;      /* atomic */
    unsigned inherited; /* dir[0..inherited): the objects that it loads inherit these */
    unsigned first;     /* dir[first..count): its own libraries are looked for in these */
    unsigned count;
    struct {
        uint32_t at, len;
    } dir[MIOC_LIBRARY_DIRS]; /* where in `text`: a key (path.h) without trailing slash, with a NUL */
    uint32_t used;
    char text[]; /* of `used` bytes */
};

/* What all objects of a process have in common. */
struct mioc_library_world {
    const char *library_path; /* LD_LIBRARY_PATH as it was at the process's start, NULL: none */
    const char *lib;          /* what $LIB stands for, "lib/x86_64-linux-gnu" */
    const char *platform;     /* what $PLATFORM stands for; NULL: unknown */
};

/* The path of the object `object` (absolute, len bytes). rpath and runpath: its own, or NULL. loader: of the object
 * that needs it, or NULL. The caller has the one reference. NULL: no memory. */
struct mioc_library_path *mioc_library_path_new(const struct mioc_library_world *world,
                                                const struct mioc_library_path *loader, const char *object,
                                                uint32_t len, const char *rpath, const char *runpath);
/* Adds a reference; returns `path`. */
struct mioc_library_path *mioc_library_path_ref(struct mioc_library_path *path);
/* Gives up a reference; the last one frees. NULL is let pass. */
void mioc_library_path_unref(struct mioc_library_path *path);

/* The directory in which a name is looked for at this turn. For each directory the turns count its subdirectories of
 * glibc-hwcaps that are for this processor, the best first, then the directory itself. Writes it to `out`, without
 * trailing slash. Its length; 0: there is no such turn. *dir_len: the length of the part above glibc-hwcaps. */
uint32_t mioc_library_path_dir(const struct mioc_library_path *path, unsigned turn, char out[PATH_MAX],
                               uint32_t *dir_len);

#endif
