/* SPDX-License-Identifier: BSD-3-Clause */
/* path.h - makes the store's key of what a call was given, and answers lexical questions about paths.
 *
 * A key is an absolute path without "//" and "/./". Symbolic links, ".." and a trailing slash stay as they are spelled:
 * the root makes the real call with this very spelling (store/item.h). A last "/." becomes "/", which means the same to
 * whoever may search the directory. The normal form of a key is folded lexically: it also has no ".." and no trailing
 * slash. Paths are compared with what was written by their normal forms.
 *
 * All functions are async-signal-safe and may be called by any thread. They make no system call unless they say so. */
#ifndef MIOC_PATH_H
#define MIOC_PATH_H

#include <stddef.h>
#include <stdint.h>

#define MIOC_PATH_MAX 4096u /* PATH_MAX: the kernel takes no longer path either */

struct mioc_path {
    const char *text; /* NUL-terminated: the caller's own string if that is a key already, else buf */
    uint32_t len;
    uint32_t base; /* how much of it is the directory that the path was relative to; 0: the path was absolute */
    char buf[MIOC_PATH_MAX]; /* not initialised */
};

/* Whether no memory of a process can be at that address: the first page, the kernel's half of the addresses, and
 * numbers that no processor has as an address (text that was taken for a pointer). The caller leaves such a path to the
 * kernel, which says EFAULT. */
static inline int mioc_path_is_nowhere(const char *path)
{
    return (uint64_t)(uintptr_t)path - 4096 >= (1ull << 56) - 4096;
}

/* Makes the key of (dirfd, path). A relative path takes a system call: getcwd for the working directory, a
 * readlink in /proc/thread-self/fd for a descriptor. Returns 0; or -1: there is no key, and the caller makes
 * the real call (the path is NULL, empty, or has 4096 bytes or more; a name has more than 255; the directory
 * is unreachable). Keeps errno. */
int mioc_path_key(struct mioc_path *out, int dirfd, const char *path);

/* Whether the last name of a path, as the program gave it, is ".". */
int mioc_path_is_dot(const char *path);
/* Whether `path` is absolute, shorter than MIOC_PATH_MAX and without a NUL: a message or a manifest may name it. */
int mioc_path_is_sound(const char *path, uint32_t len);
/* Whether the path has a ".." component. */
int mioc_path_has_dotdot(const char *path, uint32_t len);

/* Writes the normal form of an absolute path to out[size], which may be the same memory. Returns its length, or -1 with
 * ENAMETOOLONG. */
int mioc_path_normalize(const char *path, char *out, size_t size);
/* Returns the normal form of a key (NUL-terminated), and its length in *len: `path` itself if that is normal, else buf.
 * A key without a normal form that fits is returned as it is. */
const char *mioc_path_plain(const char *path, uint32_t *len, char buf[MIOC_PATH_MAX]);
/* Writes the normal form of the directory that the i-th ".." of a key leaves (i = 0, 1, …). Returns its length, or 0:
 * the key has no i-th "..". */
uint32_t mioc_path_turn(const char *path, uint32_t len, unsigned i, char out[MIOC_PATH_MAX]);
/* Whether a write to `written` (a normal form; with `subtree` also to all below it) can change what is known about a
 * key. It can if it concerns the path itself or a directory that the key leaves by "..". With `of_names` it also can if
 * it concerns a name in the directory `path`: STAT and LIST records change with a directory's names. */
int mioc_path_is_concerned(const char *path, uint32_t len, int of_names, const char *written, uint32_t written_len,
                           int subtree);

/* Whether `prefix` (no trailing slash, or "/") is the path or one of its ancestors, by whole components. */
int mioc_path_is_below(const char *path, uint32_t len, const char *prefix, uint32_t prefix_len);
/* Returns the length of the path's parent ("/a/b" → 2, "/a" → 1); 0 for "/", and if the last component is empty, "." or
 * "..". */
uint32_t mioc_path_parent(const char *path, uint32_t len);
/* Whether a name (no "/") is a shared object's: X.so, or X.so.N, where N is a digit and then
 * digits, letters and dots. */
int mioc_path_is_object_name(const char *name, uint32_t len);

#endif
