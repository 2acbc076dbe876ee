/* SPDX-License-Identifier: BSD-3-Clause */
/* trace.h - what a rank's calls, its agent and its resolvers did, as events that Perfetto and chrome://tracing open.
 *
 * One file a rank, MPIIO_CACHE_TRACE (a folder; %r is the rank, %j the job, %h the host) /rank-NNNNN.json, in the
 * JSON array form of the Trace Event Format (Google, 2016): every event is one write(2) that appends one line, so
 * that what was traced is there after SIGKILL; only the closing bracket, which readers do not need, is missing then.
 * Times are microseconds since the beginning of 2026, UTC, by the node's clocks at the start; pid is the rank, tid
 * the thread's. Events:
 *
 *   X  cat "call": an interposed call, name its class (stats.h); args {path, answer, errno, bytes}
 *   X  cat "agent": the agent takes a question, or publishes an answer; cat "root": a resolver makes the real calls
 *      for one
 *   s, t, f  cat "question": a flow from the call that asks over agents and resolver to the answer; id is the key's
 *            hash
 *   M  names of process and threads; the last one, "mpiio_cache_end", has args {events, dropped, bytes}
 *
 * A file is new, and bounded by MPIIO_CACHE_TRACE_MAX and the process's limit of files' sizes; what does not fit, or
 * cannot be written, is counted as dropped. Forked children and the children of vfork are not traced. All but start,
 * reopen and end: any thread, async-signal-safe, errno kept; nothing but one load where no trace is made. */
#ifndef MIOC_TRACE_H
#define MIOC_TRACE_H

#include "base/config.h"
#include "base/stats.h"
#include <stdint.h>

extern int mioc_trace_state; /* 1: on; atomic, read through mioc_trace_is_on() */
static inline int mioc_trace_is_on(void)
{
    return __builtin_expect(__atomic_load_n(&mioc_trace_state, __ATOMIC_RELAXED), 0);
}

/* In a rank, before main, with no other thread about; `job` is a name that may go into a path. Does nothing where no
 * trace of this rank is wanted. What cannot be made is one warning (of the first traced rank). Returns the descriptor
 * that the process is to protect, or -1. */
int mioc_trace_start(const struct mioc_config *config, int rank, const char *job);
/* In a thread that has a descriptor table of its own from here on. */
void mioc_trace_reopen(void);
void mioc_trace_name_thread(const char *name);
/* Completes the file. */
void mioc_trace_end(void);

/* When something began that is to be traced: CLOCK_MONOTONIC ns, or 0 where no trace is made. */
uint64_t mioc_trace_now(void);
/* A call that began at `started` (CLOCK_MONOTONIC ns) and ends now. path may be any pointer that the program gave
 * unless error is EFAULT. */
void mioc_trace_call(enum mioc_call call, enum mioc_outcome outcome, const char *path, int error, uint64_t bytes,
                     uint64_t started);
/* cat is "agent" or "root". `kind`: enum mioc_item_kind. */
void mioc_trace_work(const char *cat, const char *name, unsigned kind, const char *path, uint32_t len,
                     uint64_t started);
/* phase: 's' begins the flow of a question, 't' is on its way, 'f' ends it. */
void mioc_trace_flow(char phase, unsigned kind, const char *path, uint32_t len);

/* --- trace_file.c ------------------------------------------------------------------------------------------------ */
/* A new, empty rank-NNNNN.json in the folder, which is made if need be, open for appending; or -1 with errno. */
int mioc_trace_create(const char *folder, int rank, const char *job);
/* The same file for a thread that has a descriptor table of its own; `fd` is the process's. -1: none. */
int mioc_trace_reopen_file(int fd);

#endif
