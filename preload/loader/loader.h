/* SPDX-License-Identifier: BSD-3-Clause */
/* loader.h - whether and how the dynamic loader's own opens are served: by patches of its code, or plain, and then
 * why.
 *
 * The loader opens libraries with system calls of its own, which no preload sees. Their call sites are found in its
 * text in memory, and become jumps to stubs of ours, once, while the process has one thread (README.md). Everything
 * but patch and start is for any thread and keeps errno. */
#ifndef MIOC_LOADER_H
#define MIOC_LOADER_H

#include "base/config.h"
#include "base/stats.h"
#include "store/store.h"

/* A system call of the loader's, as it would go to the kernel. */
struct mioc_loader_call {
    long number, argument[6];
};
/* The result as the kernel gives it: -errno on failure. Runs in the midst of ld.so, with its lock held, whoever
 * loads: dlopen, but also libc itself, with other locks (NSS, iconv); with cancellation disabled. Allocates nothing,
 * and waits for nothing that may need a load. */
typedef long (*mioc_loader_answer)(const struct mioc_loader_call *call);
/* The call as it is. */
long mioc_loader_pass(const struct mioc_loader_call *call);

/* Patches this process's loader and tries it, once, while there is one thread, where MPIIO_CACHE_LOADER does not forbid
 * it: as soon as the process may become active, before MPI or anything of ours starts threads. All calls pass as they
 * are. Does nothing where it cannot be done. */
void mioc_loader_patch(const struct mioc_config *config);
/* The process stays dormant after all: undone, if there is one thread still. */
void mioc_loader_unpatch(void);
/* Says, and counts, what became of the patch, when the store is there. has_agent: what others ask is looked up in this
 * process. */
void mioc_loader_start(const struct mioc_store *store, int has_agent);
/* All calls come to `answer` from here on, if the loader is patched. */
void mioc_loader_set_answer(mioc_loader_answer answer);
/* "patch", or "plain: REASON"; for the line that says what is active. Lives for ever. */
const char *mioc_loader_text(void);

/* Whether this thread may wait for an answer now. Not within a load, where the threads that answer are in this
 * process and another preload comes after us: its functions may well call dlsym(), which waits for the loader's lock,
 * and that is this thread's. What the store does not have is then asked of the filesystem, by the first rank of each
 * node; others are answered. So it is for constructors too. */
int mioc_loader_may_ask(void);

/* Whether the loader may be given the node's copies. Not where their filesystem is mounted noexec, or another guard
 * refuses to map them for execution: then it gets the original, and only its searches are served. */
int mioc_loader_may_map(void);

/* --- pieces, for tests ------------------------------------------------------------------------------------------- */

/* NULL, or why not. Patches and tries; undone where it does not work. */
const char *mioc_loader_try(enum mioc_loader_way *way);
/* NULL, or why it would certainly not work in a process as this one. Changes nothing: for programs, from which ld.so
 * is too far away. */
const char *mioc_loader_check(void);

#endif
