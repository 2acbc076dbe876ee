/* SPDX-License-Identifier: BSD-3-Clause */
/* loader.h - patches the dynamic loader, so that its own opens are served, or says why not.
 *
 * The loader opens libraries with system calls of its own, which no preload sees. Their call sites in its text become
 * jumps to our stubs, once, while the process has one thread (README.md). patch, unpatch, start, try and check are for
 * that thread; any thread may call the others. All but pass, try and check keep errno. */
#ifndef MIOC_LOADER_H
#define MIOC_LOADER_H

#include "base/config.h"
#include "base/stats.h"
#include "store/store.h"

/* A system call of the loader, as it would go to the kernel. */
struct mioc_loader_call {
    long number, argument[6];
};
/* Answers such a call. Returns the result as the kernel would: -errno on failure. It runs inside ld.so, with the
 * loader's lock held and cancellation disabled. libc may hold locks of its own, because it loads too (NSS, iconv). It
 * allocates nothing, and waits for nothing that may need a load. */
typedef long (*mioc_loader_answer)(const struct mioc_loader_call *call);
/* An answer: makes the system call. */
long mioc_loader_pass(const struct mioc_loader_call *call);

/* Patches this process's loader and tests the patch, unless MPIIO_CACHE_LOADER forbids it. Called once, as soon as the
 * process may become active, before MPI or we start a thread. Afterwards all calls still go to the kernel. If the patch
 * cannot be made, nothing is changed. */
void mioc_loader_patch(const struct mioc_config *config);
/* Undoes the patch, in a process that stays dormant after all, if it still has one thread. */
void mioc_loader_unpatch(void);
/* Once the store is there: composes mioc_loader_text() and counts the outcome. has_agent: the node's agent is in this
 * process. */
void mioc_loader_start(const struct mioc_store *store, int has_agent);
/* From here on `answer` gets all calls, if the loader is patched. */
void mioc_loader_set_answer(mioc_loader_answer answer);
/* "patch", or "plain: REASON", for the line that says what is active; "" before mioc_loader_start(). Lives for ever. */
const char *mioc_loader_text(void);

/* Whether this thread may wait for an answer of the agent now. It may not if three things come together: the thread
 * holds the loader's lock (a load, a constructor), the agent is in this process, and another preload comes after us.
 * That preload's functions may call dlsym() in the agent's thread, which waits for that lock. Then the thread asks the
 * filesystem for what the store does not have. Only the first rank of a node is concerned. */
int mioc_loader_may_ask(void);

/* Whether the loader may get the node's copies. If their filesystem is mounted noexec, or a security module refuses to
 * map them for execution, the loader gets the originals, and only its searches are served. */
int mioc_loader_may_map(void);

/* Whether a translator (valgrind) executes this process: it knows no clone but those of threads, fork and vfork. */
int mioc_loader_is_translated(void);

/* --- pieces, for tests ------------------------------------------------------------------------------------------- */

/* Patches the loader and tests the patch; undoes it if the test fails. Returns NULL, or why it is not patched. *way is
 * the reason's class. */
const char *mioc_loader_try(enum mioc_loader_way *way);
/* For programs, from whose stubs ld.so is too far away: changes nothing, and returns NULL, or why a patch would
 * certainly fail in a process like this one. */
const char *mioc_loader_check(void);

#endif
