/* SPDX-License-Identifier: BSD-3-Clause */
/* path.h - turning what a call was given into the key that the store uses.
 *
 * A key is absolute, without "//" and "/./" and a last "/.", otherwise as spelled: symbolic links, ".." and a trailing
 * slash stay, because the root makes the real call with the very same spelling (item.h). A last "/." becomes "/", which
 * means the same to who may search the directory. */
#ifndef MIOC_PATH_H
#define MIOC_PATH_H

#include <stddef.h>
#include <stdint.h>

#define MIOC_PATH_MAX 4096u /* PATH_MAX: the kernel takes no longer path either */

struct mioc_path {
    const char *text; /* NUL-terminated; the caller's own string where it is a key already, else buf */
    uint32_t len;
    uint32_t base; /* how much of it is the directory that the path was relative to; 0: the path was absolute */
    char buf[MIOC_PATH_MAX]; /* not initialised */
};

/* Whether nobody's memory can be there: the first page, the kernel's half of the addresses, numbers beyond all
 * processors' (text that was taken for an address). Such a path is left to the kernel, which says EFAULT. */
static inline int mioc_path_is_nowhere(const char *path)
{
    return (uint64_t)(uintptr_t)path - 4096 >= (1ull << 56) - 4096;
}

/* Resolves (dirfd, path) to a key; needs no system call where path is absolute. For reading, a relative path makes it
 * look up the working directory (getcwd) or the directory descriptor (/proc/self/fd). 0, or -1: no key (empty,
 * NULL, 4096 bytes or more, a name of more than 255, unreachable directory) and the caller makes the real call. errno
 * is kept. Async-signal-safe. */
int mioc_path_key(struct mioc_path *out, int dirfd, const char *path);

/* Whether the last name of a path as it was given is ".". */
int mioc_path_is_dot(const char *path);
/* Whether `path` is absolute, shorter than MIOC_PATH_MAX and without a NUL inside: what a message or a manifest may
 * name. */
int mioc_path_is_sound(const char *path, uint32_t len);
/* Whether the path has a ".." component. */
int mioc_path_has_dotdot(const char *path, uint32_t len);
/* Folds "..", ".", "//" and trailing slashes lexically into out[size], which may be where path is; length or -1
 * (ENAMETOOLONG). path is absolute. */
int mioc_path_normalize(const char *path, char *out, size_t size);
/* The normal form of a key, by which paths are compared with what was written: path itself where it is that already
 * (NUL-terminated), else in buf, and its length. One that has none stays as it is. */
const char *mioc_path_plain(const char *path, uint32_t *len, char buf[MIOC_PATH_MAX]);
/* The directory that the i-th ".." of a key leaves (i = 0, 1, …), in normal form: its length, 0: there is no such one.
 */
uint32_t mioc_path_turn(const char *path, uint32_t len, unsigned i, char out[MIOC_PATH_MAX]);
/* Whether a write to `written` (in normal form), with `subtree` to all below it too, concerns what is known of a key:
 * the path itself, a directory that it leaves by "..", and if that is `of_names` (what a STAT or LIST says changes with
 * a directory's names) something in it. */
int mioc_path_is_concerned(const char *path, uint32_t len, int of_names, const char *written, uint32_t written_len,
                           int subtree);
/* Whether `prefix` (no trailing slash, or "/") is path or one of its ancestors, by whole components. */
int mioc_path_is_below(const char *path, uint32_t len, const char *prefix, uint32_t prefix_len);
/* Length of the parent of path ("/a/b" → 2, "/a" → 1), 0 for "/" or where the last component is empty, "." or "..". */
uint32_t mioc_path_parent(const char *path, uint32_t len);
/* Whether a name (no "/") is that of a shared object: X.so, or X.so. and a digit with digits, letters and dots behind
 * it. */
int mioc_path_is_object_name(const char *name, uint32_t len);

#endif
