/* SPDX-License-Identifier: BSD-3-Clause */
/* manifest.h - the questions of a program's last run, so that the next run's root can read the answers before anybody
 * asks.
 *
 * It is a text file in the user's cache directory, one for each interpreter, program and set of prefixes:
 *
 *     mpiio_cache manifest 1
 *     C /sw/lib/python3.11/__pycache__/os.cpython-311.pyc
 *     L /sw/lib/python3.11
 *     end 2
 *
 * A line is a question: its kind (S stat, L listing, C content, A access, R realpath) and its path, in the order of the
 * questions. It holds no answers: the root reads these from the filesystem, and only where the policy serves them. So a
 * stale or hostile manifest costs speed at most. One that is not whole, not a regular file, too large, or somebody
 * else's counts as none. */
#ifndef MIOC_MANIFEST_H
#define MIOC_MANIFEST_H

#include "base/config.h"
#include "policy/policy.h"
#include "store/store.h"
#include <limits.h>
#include <stddef.h>
#include <stdint.h>

/* A larger one is neither read nor written: 32 MiB, some 300,000 questions. */
#define MIOC_MANIFEST_BYTES_MAX (32u << 20)
/* Most manifests in a cache directory; the one that was used longest ago goes first. */
#define MIOC_MANIFEST_FILES_MAX 64u

struct mioc_manifest {
    char dir[PATH_MAX]; /* absolute; "": no manifest */
    char name[NAME_MAX + 1];
    int is_own_dir; /* 1: the user's cache directory, which is made and kept small; 0: MPIIO_CACHE_MANIFEST=FILE */
    unsigned ahead; /* questions that the resolver took over from it; atomic */
    int is_through; /* 1: mioc_manifest_read has returned; atomic */
    int is_bad;     /* 1: `problem` says what is wrong with the file; atomic, after it */
    char problem[512];
    uint64_t read; /* sum of the questions that were read, 0: none; atomic, the writing thread compares */
};

/* Finds this run's manifest. `env` is the environment. Never fails: without a usable place m->dir is "". */
void mioc_manifest_find(struct mioc_manifest *m, const struct mioc_config *config, const struct mioc_policy *policy,
                        char *const *env);

/* Checks the whole text, then calls visit() with each question. How many there are, 0 if there is no manifest; or -1
 * without a call, and m->problem for people: damaged, foreign, too large, unreadable. Any thread, once. Blocks as long
 * as its filesystem does. */
int mioc_manifest_read(struct mioc_manifest *m, void (*visit)(void *ctx, unsigned kind, const char *path, uint32_t len),
                       void *ctx);

/* Reads the text, unchecked, of a manifest that is a regular file of this user's. Allocates nothing. 0, or -1: there is
 * none, or `room` bytes are too few. */
int mioc_manifest_load(const struct mioc_manifest *m, char *buffer, size_t room, size_t *size);

/* Writes the questions that the store answers, unless they are those that were read. 0, or -1 with `problem` for
 * people. Replaces the file at once or not at all. Any thread. Blocks as long as the filesystem does. Calls no
 * malloc(), whose lock may be taken for ever at the end of a process. */
int mioc_manifest_write(const struct mioc_manifest *m, const struct mioc_store *store, char *problem, size_t size);

/* --- Pieces, for tests (manifest_text.c) ------------------------------------------------------------------------- */

struct mioc_manifest_text {
    char *bytes;
    size_t size;
    unsigned count;
    uint64_t sum;  /* over the questions, in any order */
    size_t mapped; /* bytes to unmap */
};
/* Checks text->bytes[0..size), fills in count and sum, then calls visit(), if any, with each question. 0, or -1: it is
 * damaged. */
int mioc_manifest_parse(struct mioc_manifest_text *text,
                        void (*visit)(void *ctx, unsigned kind, const char *path, uint32_t len), void *ctx);
/* Makes the text of a store's questions; mioc_manifest_drop() frees it. 0, or -1 with errno (ENOMEM; EPROTO: the
 * program has written over the store). */
int mioc_manifest_compose(struct mioc_manifest_text *text, const struct mioc_store *store);
void mioc_manifest_drop(struct mioc_manifest_text *text);

#endif
