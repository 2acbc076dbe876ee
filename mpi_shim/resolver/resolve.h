/* SPDX-License-Identifier: BSD-3-Clause */
/* resolve.h - the resolver's real calls. Only the resolver's files include it. All functions run without the lock
 * unless they say otherwise. */
#ifndef MIOC_RESOLVE_H
#define MIOC_RESOLVE_H

#include "model.h"

/* --- resolve.c --------------------------------------------------------------------------------------------------- */
/* Makes the real calls for a job and collects its items; long contents go straight to the bulk queue by
 * mioc_resolver_stream(). Runs without the lock. */
void mioc_resolve(struct mioc_resolver *r, struct mioc_job *job, struct mioc_answer *answer);

/* --- resolve_probe.c: steps that the kinds of question share ----------------------------------------------------- */
/* What the records carry; more (mount id, DIO alignment) differs from node to node. */
#define MIOC_STATX_SHARED (STATX_BASIC_STATS | STATX_BTIME)
void mioc_resolve_copy_stat(struct mioc_stat *to, const struct statx *from);
/* 0 or the errno. */
int mioc_resolve_statx(struct mioc_resolver *r, int dirfd, const char *path, int flags, struct mioc_stat *to);
/* Sets the item's size and queues it; 0 or -1. */
int mioc_resolve_add(struct mioc_answer *answer, void *item, const void *end);
/* An answer that is not shared: everyone makes the real call. */
void mioc_resolve_add_uncached(struct mioc_answer *answer, void *buf, unsigned kind, const struct mioc_job *job);
/* Errors that are the file's own answer may be shared; those that say something about this moment may not. */
int mioc_resolve_is_lasting(int error);
/* Opens for reading what is a regular file and no link, and nothing else: opening alone would be felt by a FIFO's
 * writer or a device. -1 with errno, EINVAL where it is something else; *mode then is what. One lookup and one open,
 * allocates nothing. */
int mioc_resolve_open_regular(const char *path, mode_t *mode);
/* Makes and queues the STAT record; -1: it is not shared. */
int mioc_resolve_add_stat(struct mioc_resolver *r, const struct mioc_job *job, struct mioc_answer *answer, void *buf);

/* --- resolve_next.c ---------------------------------------------------------------------------------------------- */
/* A path was looked at: what the looker asks next comes before the answer or is under way with it. `error` is what the
 * look gave, `size` that of a regular file, else 0. */
void mioc_resolve_next(struct mioc_resolver *r, const struct mioc_job *job, int error, uint64_t size);

/* --- resolve_imports.c ------------------------------------------------------------------------------------------- */
/* Bytecode was read: what its module imports is guessed to be asked for soon. */
void mioc_resolve_imports(struct mioc_resolver *r, const struct mioc_job *job, const unsigned char *bytes, size_t size);
/* A module was found in that directory; it, or where its outermost package is, is a root from here on. */
void mioc_resolve_note_root(struct mioc_resolver *r, const char *dir, uint32_t len);

/* --- resolve_needed.c -------------------------------------------------------------------------------------------- */
/* A content was asked for: if objects that were read by guess need a library of that name, they are being loaded. */
void mioc_resolve_wake(struct mioc_resolver *r, struct mioc_job *job);
/* An object is being read, and its bytes can be had: what it needs is looked for and read. */
void mioc_resolve_needed(struct mioc_resolver *r, const struct mioc_job *job, const struct mioc_elf_source *source);
/* Before there are threads, and when there are none any more. */
void mioc_resolve_needed_start(struct mioc_resolver *r);
void mioc_resolve_needed_end(struct mioc_resolver *r);

/* --- resolve_lookup.c -------------------------------------------------------------------------------------------- */
/* With the lock held: those that wait for that listing. */
struct mioc_lookup *mioc_resolve_take_parked(struct mioc_resolver *r, uint64_t listing);
/* Goes on with a list of lookups, and takes them. */
void mioc_resolve_look_up(struct mioc_resolver *r, struct mioc_lookup *lookup);

/* --- resolve_name.c ---------------------------------------------------------------------------------------------- */
/* Whether the path leads to something by a name that its directory lists otherwise. */
int mioc_resolve_is_other_name(struct mioc_resolver *r, const struct mioc_job *job);

/* --- resolve_list.c ---------------------------------------------------------------------------------------------- */
void mioc_resolve_list(struct mioc_resolver *r, const struct mioc_job *job, struct mioc_answer *answer, void *buf);
/* Says where the job's directory is if a link leads to it and no listing has said so: what is below a link may be
 * shared only once that is known, as who writes there may know it by another name. */
void mioc_resolve_way(struct mioc_resolver *r, const struct mioc_job *job, struct mioc_answer *answer);

/* --- resolve_content.c ------------------------------------------------------------------------------------------- */
void mioc_resolve_content(struct mioc_resolver *r, struct mioc_job *job, struct mioc_answer *answer, void *buf);

#endif
