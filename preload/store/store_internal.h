/* SPDX-License-Identifier: BSD-3-Clause */
/* store_internal.h - the functions that store_*.c share; nobody else includes it.
 *
 *     store_read.c     everyone: looks records up, opens contents, leads from fstat back to a record
 *     store_attach.c   everyone: finds and maps a store, says whether its agent lives
 *     store_map.c      everyone: maps as much of the index as is in use
 *     store_own.c      everyone: which stores this process made
 *     store_files.c    agent: makes a store
 *     store_remove.c   agent: removes a store, its own or a dead one
 *     store_write.c    agent: the publish stream
 *     store_reach.c    agent: which records can be found
 *     store_hold.c     agent: which keys are on hold
 *     store_content.c  agent: files of contents
 *     store_mirror.c   agent and everyone: shared objects under their original names */
#ifndef MIOC_STORE_INTERNAL_H
#define MIOC_STORE_INTERNAL_H

#include "store_layout.h"

/* --- store_map.c ------------------------------------------------------------------------------------------------- */

/* Maps the beginning of the index with the table. Returns 0, or -1 with errno. */
int mioc_store_map_index(struct mioc_store *s, int fd, int is_writer);
void mioc_store_unmap_index(struct mioc_store *s);
/* Maps more of the index, up to `end` in the arena. Returns the arena, or NULL: it cannot be mapped, or, unless
 * is_patient, somebody else is mapping it, perhaps the thread that this signal handler interrupts. Keeps errno. */
char *mioc_store_map_more(struct mioc_store *s, uint64_t end, int is_patient);
/* Returns the arena with its bytes below `end`, which is within the file; or NULL: it cannot be mapped now. Pointers
 * into the arena stay valid. */
static inline const char *mioc_store_arena(const struct mioc_store *s, uint64_t end)
{
    if (__builtin_expect(end <= __atomic_load_n(&s->mapped, __ATOMIC_ACQUIRE), 1))
        return __atomic_load_n(&s->arena, __ATOMIC_RELAXED);
    return mioc_store_map_more((struct mioc_store *)(uintptr_t)s, end, 0);
}

/* --- store_read.c ------------------------------------------------------------------------------------------------ */

/* Writes the path of a content's file. Async-signal-safe: no stdio. */
void mioc_store_content_path(const struct mioc_store *s, uint32_t content, char path[MIOC_STORE_PATH_MAX]);

/* --- store_attach.c ---------------------------------------------------------------------------------------------- */

/* Returns a zeroed handle, or NULL with errno. It is not from the heap, because writers attach in signal handlers and
 * children of vfork, too (launch/writer_join.h). */
struct mioc_store *mioc_store_new(void);
void mioc_store_free(struct mioc_store *s);
/* Opens MPIIO_CACHE_DIR, and writes its path without symbolic links and without a last slash. Returns a descriptor, or
 * -1 with errno (EINVAL: not absolute; ENAMETOOLONG; EPERM: others than root and this user could replace what is in
 * it). */
int mioc_store_open_parent(const char *dir, char path[MIOC_STORE_PATH_MAX]);
/* Maps index and ring of an open store directory. Returns 0, or -1 with errno. */
int mioc_store_map(struct mioc_store *s, int dirfd, int is_writer);
/* Whether a name is that of a store of this user; *key is the store's key then. */
int mioc_store_is_name(const char *name, uint64_t *key);
/* The name of `owner` before it is locked. */
#define MIOC_STORE_NEW_OWNER "owner.new"
/* Whether this is the name of a file by which processes take turns to start an agent. */
int mioc_store_is_turn(const char *name);
/* Opens the directory of that name if it is this user's. Returns a descriptor, or -1 with errno. */
int mioc_store_open_dir(int dirfd, const char *name);

/* --- store_files.c ----------------------------------------------------------------------------------------------- */

/* open(2), close-on-exec, without following a last symbolic link. */
int mioc_store_open(int dirfd, const char *path, int flags);
/* posix_fallocate() that respects RLIMIT_FSIZE, whose signal would end the program. Returns 0, or -1 with errno. */
int mioc_store_reserve(int fd, uint64_t offset, uint64_t length);

/* --- store_own.c ------------------------------------------------------------------------------------------------- */

/* Whether this very process made the store of that name. Its `owner` must not be opened here: closing it would release
 * the lock. Any thread. */
int mioc_store_is_own(const char *name);
/* Notes that this process made a store, and that it detaches one. One thread at a time. */
void mioc_store_own(struct mioc_store *s);
void mioc_store_disown(struct mioc_store *s);

/* --- store_remove.c ---------------------------------------------------------------------------------------------- */

/* Takes the lock of an open `owner`. Returns 0, or -1 with errno. */
int mioc_store_lock_owner(int fd);
/* Unlinks the known names in an open store directory, and the directory itself. `owner` goes last: while it is there
 * and locked, nobody else removes the store. Returns 0 or -1. */
int mioc_store_unlink(int parent, const char *name, int dirfd);

/* --- store_write.c ----------------------------------------------------------------------------------------------- */

/* Reserves the arena up to `end`, and maps it. Returns 0 or -1. */
int mioc_store_grow(struct mioc_store *s, uint64_t end);

/* --- store_reach.c ----------------------------------------------------------------------------------------------- */

/* Returns the slot where a record of that key is, or belongs. *is_new: the slot is empty. */
uint32_t mioc_store_slot(const struct mioc_store *s, unsigned kind, const char *path, uint32_t len, uint64_t hash,
                         int *is_new);
/* Makes an appended record reachable, unless a hold or a sticky record forbids it. */
void mioc_store_link(struct mioc_store *s, struct mioc_item *item, uint64_t offset);
/* Marks dead: the records of a path in normal form, its parent's STAT and LIST, and with `subtree`
 * all below the path. */
void mioc_store_kill(struct mioc_store *s, const char *plain, uint32_t len, int subtree);

/* --- store_hold.c ------------------------------------------------------------------------------------------------ */

/* Puts the keys that mioc_store_kill() marks dead on hold. Returns 0, or -1: no memory, so all keys are on hold. */
int mioc_hold_add(struct mioc_store_writer *w, const char *plain, uint32_t len, int subtree, uint64_t token);
/* Lifts the hold of that path and token. */
void mioc_hold_lift(struct mioc_store_writer *w, const char *plain, uint32_t len, uint64_t token);
/* Whether a key in normal form is on hold. */
int mioc_hold_has(const struct mioc_store_writer *w, unsigned kind, const char *plain, uint32_t len);
/* Whether a directory that a path leaves by ".." is on hold. Only the directory itself matters, not what it lists. */
int mioc_hold_has_turn(const struct mioc_store_writer *w, const char *path, uint32_t len);
void mioc_hold_free(struct mioc_store_writer *w);

/* --- store_content.c --------------------------------------------------------------------------------------------- */

/* Makes the file of an appended CONTENT record immutable, and tags it. Returns 0; or -1: the record must not become
 * reachable. */
int mioc_store_seal(struct mioc_store *s, const struct mioc_content_record *record, uint64_t offset);
/* Unlinks the file of a content, complete or not. Processes that have it open or mapped keep it. */
void mioc_store_drop_content(struct mioc_store *s, uint32_t content, uint32_t pages);

/* --- store_mirror.c ---------------------------------------------------------------------------------------------- */

/* Gives the sealed copy of a shared object its name in m/, in place of an older copy. Best effort; keeps errno. */
void mioc_store_mirror(struct mioc_store *s, const struct mioc_content_record *record);

#endif
