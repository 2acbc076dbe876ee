/* SPDX-License-Identifier: BSD-3-Clause */
/* manifest.h - what the last run of a program asked, so that the next one's root can read it before anybody asks.
 *
 * A text file in the user's cache directory, one for each interpreter, program and set of prefixes:
 *
 *     mpiio_cache manifest 1
 *     C /sw/lib/python3.11/__pycache__/os.cpython-311.pyc
 *     L /sw/lib/python3.11
 *     end 2
 *
 * A line is a question: its kind (S stat, L listing, C content, A access, R realpath) and its path, in the order in
 * which they were asked. No answer is in it: contents and metadata are read from the filesystem, and only where the
 * policy serves them, so one that is stale or hostile costs speed at most. One that is not whole, not a regular file,
 * too large, or somebody else's is as good as none. */
#ifndef MIOC_MANIFEST_H
#define MIOC_MANIFEST_H

#include "base/config.h"
#include "policy/policy.h"
#include "store/store.h"
#include <limits.h>
#include <stddef.h>
#include <stdint.h>

/* More is neither read nor written: 32 MiB, some 300,000 questions. */
#define MIOC_MANIFEST_BYTES_MAX (32u << 20)
/* A cache directory holds no more of them; the one that was used longest ago goes first. */
#define MIOC_MANIFEST_FILES_MAX 64u

struct mioc_manifest {
    char dir[PATH_MAX]; /* absolute; "": no manifest */
    char name[NAME_MAX + 1];
    int is_own_dir; /* 1: the user's cache directory, which is made and kept small; 0: MPIIO_CACHE_MANIFEST=FILE */
    unsigned ahead; /* questions that the reader took; atomic */
    int is_through; /* 1: mioc_manifest_read has returned; atomic */
    int is_bad;     /* 1: `problem` says what is wrong with the file; atomic, after it */
    char problem[512];
    uint64_t read; /* sum of the text that was read, 0: none; atomic, from the reading thread to the writing one */
};

/* Where this run's is. `env` is the environment. Never fails: without a usable place dir is "". */
void mioc_manifest_find(struct mioc_manifest *m, const struct mioc_config *config, const struct mioc_policy *policy,
                        char *const *env);

/* Calls visit() with each question, none before the whole text was checked. How many there were, 0 if there is no
 * manifest; or -1 with m->problem for people, visit() not having been called: damaged, foreign, too large, unreadable.
 * Blocks as long as its filesystem does. */
int mioc_manifest_read(struct mioc_manifest *m, void (*visit)(void *ctx, unsigned kind, const char *path, uint32_t len),
                       void *ctx);

/* The unchecked text of a file that is as it should be, for threads that may not allocate: 0 or -1 (`room` is too
 * small, too). */
int mioc_manifest_load(const struct mioc_manifest *m, char *buffer, size_t room, size_t *size);

/* Writes what the store holds, unless that is what was read. 0, or -1 with `problem`. The file is replaced at once or
 * not at all. Reads the store only; any thread; blocks as long as the filesystem does. Allocates nothing from malloc(),
 * whose lock may be taken for ever at the end of a process. */
int mioc_manifest_write(const struct mioc_manifest *m, const struct mioc_store *store, char *problem, size_t size);

/* --- Pieces, for tests (manifest_text.c) ------------------------------------------------------------------------- */

/* Of the questions in a text, in any order: the same for the same ones. */
struct mioc_manifest_text {
    char *bytes;
    size_t size;
    unsigned count;
    uint64_t sum;
    size_t mapped;
};
/* Checks text->bytes[0..size) and fills in the rest; with visit, walks the questions. 0, or -1. */
int mioc_manifest_parse(struct mioc_manifest_text *text,
                        void (*visit)(void *ctx, unsigned kind, const char *path, uint32_t len), void *ctx);
/* The text of a store, to be dropped. 0, or -1 with errno (ENOMEM; EPROTO: the program wrote over the store). */
int mioc_manifest_compose(struct mioc_manifest_text *text, const struct mioc_store *store);
void mioc_manifest_drop(struct mioc_manifest_text *text);

#endif
