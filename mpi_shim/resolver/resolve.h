/* SPDX-License-Identifier: BSD-3-Clause */
/* resolve.h - the resolver's real calls. Only the resolver's files include it.
 *
 * The caller holds the lock only where that is said. `buf` is room of 3 * PATH_MAX bytes, 8-aligned, for a record. */
#ifndef MIOC_RESOLVE_H
#define MIOC_RESOLVE_H

#include "model.h"

/* --- resolve.c --------------------------------------------------------------------------------------------------- */
/* Makes the real calls for a job and collects its items. Chunks of long contents go by mioc_resolver_stream(). */
void mioc_resolve(struct mioc_resolver *r, struct mioc_job *job, struct mioc_answer *answer);

/* --- resolve_probe.c: steps that the kinds of question share ----------------------------------------------------- */
/* What records carry. Other fields (mount id, DIO alignment) differ from node to node. */
#define MIOC_STATX_SHARED (STATX_BASIC_STATS | STATX_BTIME)
void mioc_resolve_copy_stat(struct mioc_stat *to, const struct statx *from);
/* A statx, counted. 0 or an errno. */
int mioc_resolve_statx(struct mioc_resolver *r, int dirfd, const char *path, int flags, struct mioc_stat *to);
/* Whether an open file changed since `before`, as far as the filesystem's client knows. A page that was read across a
 * truncation is of neither the old file nor the new one (on FUSE: zeros behind the new end). Asks for nothing but size
 * and times of change: a read makes the client's access time old, and to ask for that would be one operation more at
 * the server. Allocates nothing. */
int mioc_resolve_has_changed(int fd, const struct mioc_stat *before);
/* Finishes the item, which ends at `end`, and adds a copy to the answer. 0 or -1. */
int mioc_resolve_add(struct mioc_answer *answer, void *item, const void *end);
/* Adds the record that sends everybody to the real call. */
void mioc_resolve_add_uncached(struct mioc_answer *answer, void *buf, unsigned kind, const struct mioc_job *job);
/* Whether an error (or 0) is about the file and may be shared, and not about this moment. */
int mioc_resolve_is_lasting(int error);
/* Opens a regular file for reading. Opens nothing else: a FIFO's writer or a device would notice. The descriptor; or -1
 * with errno, EINVAL: it is something else, a link too, and *mode says what. Allocates nothing. */
int mioc_resolve_open_regular(const char *path, mode_t *mode);
/* Makes the calls for the STAT record and adds it. 0, or -1: it is not shared. */
int mioc_resolve_add_stat(struct mioc_resolver *r, const struct mioc_job *job, struct mioc_answer *answer, void *buf);

/* --- resolve_next.c ---------------------------------------------------------------------------------------------- */
/* A path was looked at, with the result `error`; `size` is that of a regular file, or 0. Reads, or queues, what an
 * import asks next. */
void mioc_resolve_next(struct mioc_resolver *r, const struct mioc_job *job, int error, uint64_t size);

/* --- resolve_imports.c ------------------------------------------------------------------------------------------- */
/* Bytecode was read: queues guesses for what its module imports. */
void mioc_resolve_imports(struct mioc_resolver *r, const struct mioc_job *job, const unsigned char *bytes, size_t size);
/* A module was found in that directory: notes it, or the place of its outermost package, as a root of imports. */
void mioc_resolve_note_root(struct mioc_resolver *r, const char *dir, uint32_t len);

/* --- resolve_needed.c -------------------------------------------------------------------------------------------- */
/* A content was asked for. Objects that were read by guess, and need a library of that name, are being loaded: their
 * lookups go on. */
void mioc_resolve_wake(struct mioc_resolver *r, struct mioc_job *job);
/* An object is being read, and `source` gives its bytes: looks for the libraries that it needs. */
void mioc_resolve_needed(struct mioc_resolver *r, const struct mioc_job *job, const struct mioc_elf_source *source);
/* To be called before there are threads, and when there are none any more. */
void mioc_resolve_needed_start(struct mioc_resolver *r);
void mioc_resolve_needed_end(struct mioc_resolver *r);

/* --- resolve_lookup.c -------------------------------------------------------------------------------------------- */
/* With the lock held: takes out the lookups that wait for that listing. */
struct mioc_lookup *mioc_resolve_take_parked(struct mioc_resolver *r, uint64_t listing);
/* Goes on with a list of lookups, and takes it. */
void mioc_resolve_look_up(struct mioc_resolver *r, struct mioc_lookup *lookup);

/* --- resolve_name.c ---------------------------------------------------------------------------------------------- */
/* Whether something is found by this path though a directory lists it by another name (in another case, say). */
int mioc_resolve_is_other_name(struct mioc_resolver *r, const struct mioc_job *job);

/* --- resolve_dead.c ---------------------------------------------------------------------------------------------- */
/* If this kernel may take directories for removed that are there: what it says of such ones, and of what is in them,
 * becomes UNCACHED. */
void mioc_resolve_dead(struct mioc_resolver *r, const struct mioc_answer *answer);

/* --- resolve_sticky.c -------------------------------------------------------------------------------------------- */
/* The path was opened for writing, and what is written to it will not be told. */
void mioc_resolve_note_sticky(struct mioc_resolver *r, const char *path, uint32_t len);
/* If the job's path leads to such a file by a link, its answer becomes UNCACHED. */
void mioc_resolve_sticky(struct mioc_resolver *r, const struct mioc_job *job, struct mioc_answer *answer);

/* --- resolve_list.c ---------------------------------------------------------------------------------------------- */
/* `buf` has MIOC_ITEM_MAX bytes. 1: a link leads to the directory, or that cannot be told. */
int mioc_resolve_list(struct mioc_resolver *r, const struct mioc_job *job, struct mioc_answer *answer, void *buf);
/* Adds a REALPATH of the job's directory if a link leads to it and no listing has said so; for "name/" and "name/.." of
 * the directory that it names. Answers from below a link may be shared only when that is known: a writer may use
 * another name. 1: a link leads to it, or that cannot be told. */
int mioc_resolve_folder_link(struct mioc_resolver *r, const struct mioc_job *job, struct mioc_answer *answer);

/* --- resolve_content.c ------------------------------------------------------------------------------------------- */
void mioc_resolve_content(struct mioc_resolver *r, struct mioc_job *job, struct mioc_answer *answer, void *buf);

#endif
