/* SPDX-License-Identifier: BSD-3-Clause */
/* library_path.h - where the dynamic loader looks for the libraries that an object needs, as ld.so(8) says: DT_RPATH of
 * the object and of those that loaded it, if it has no DT_RUNPATH; LD_LIBRARY_PATH; its DT_RUNPATH.
 *
 * The result is a guess, and good for reading ahead only. Left out are the program's own DT_RPATH, ld.so.cache and the
 * system's directories, relative directories, and what LD_LIBRARY_PATH says with `$`. */
#ifndef MIOC_LIBRARY_PATH_H
#define MIOC_LIBRARY_PATH_H

#include <limits.h>
#include <stdint.h>

/* No more directories are looked through for one object. */
#define MIOC_LIBRARY_DIRS 64u

/* One object's directories, in the loader's order. Immutable, shared by all that hold a reference. */
struct mioc_library_path {
    unsigned refs;      /* atomic */
    unsigned inherited; /* dir[0..inherited): what the objects that it loads get from it */
    unsigned first;     /* dir[first..count): where its own libraries are looked for */
    unsigned count;
    struct {
        uint32_t at, len;
    } dir[MIOC_LIBRARY_DIRS]; /* in text: keys (path.h), no trailing slash, NUL-terminated */
    uint32_t used;
    char text[]; /* of `used` bytes */
};

/* What is the same for all objects of a process. */
struct mioc_library_world {
    const char *library_path; /* LD_LIBRARY_PATH as it was at the process's start, NULL: none */
    const char *lib;          /* what $LIB stands for, "lib/x86_64-linux-gnu" */
    const char *platform;     /* what $PLATFORM stands for; NULL: unknown */
};

/* The path of an object: `object` is its own, absolute, len bytes; rpath and runpath are NULL where it has none;
 * loader, which may be NULL, is the path of the object that needs it. NULL: no memory. */
struct mioc_library_path *mioc_library_path_new(const struct mioc_library_world *world,
                                                const struct mioc_library_path *loader, const char *object,
                                                uint32_t len, const char *rpath, const char *runpath);
struct mioc_library_path *mioc_library_path_ref(struct mioc_library_path *path);
/* NULL is let pass. */
void mioc_library_path_unref(struct mioc_library_path *path);

/* The directory behind `turn` that a name is looked for in: turns count all subdirectories of glibc-hwcaps that this
 * processor has (the best first), then the directory itself. Writes it, without trailing slash; its length, or 0: there
 * is no such turn. *dir_len is the length of the directory above glibc-hwcaps, or of all. */
uint32_t mioc_library_path_dir(const struct mioc_library_path *path, unsigned turn, char out[PATH_MAX],
                               uint32_t *dir_len);

#endif
