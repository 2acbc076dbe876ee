/* SPDX-License-Identifier: BSD-3-Clause */
/* trace.h - writes what ranks' calls, agents and resolvers did, as events for Perfetto and chrome://tracing.
 *
 * Each rank has one file, rank-NNNNN.json in the folder MPIIO_CACHE_TRACE (%r is the rank, %j the job, %h the host). So
 * has each agent that is a process of its own: node-NNNNN.json, N is its node, %r is "node-N". With MPI the agent and
 * the resolvers are threads of a rank, and in that rank's file. MPIIO_CACHE_TRACE_RANKS says who is traced: the agent
 * of node 0, which is the root, if rank 0 is; the other nodes' agents with "all" only.
 *
 * A file has the JSON array form of the Trace Event Format (Google, 2016). Each event is one line, appended by one
 * write(2), so after SIGKILL the events are there; only the closing bracket is missing, which readers do not need.
 * Times are microseconds since the beginning of 2026, UTC, by the node's clock at the start. pid is the rank, or
 * MIOC_TRACE_NODE_PID plus the node for an agent process; tid is the thread.
 *
 *   X        cat "call": an interposed call; name is its class (stats.h); args {path, answer, errno, bytes}
 *   X        cat "agent": the agent takes a question, or publishes an answer
 *   X        cat "root": a resolver makes the real calls for a question; args of both {kind, path}
 *   s, t, f  cat "question": the flow of a question from the call over agents and resolver to the answer; id is the
 *            key's hash, the same in all files: so a flow goes from file to file
 *   M        names of the process and of threads; the last one, "mpiio_cache_end", has args {events, dropped, bytes}
 *
 * A file is always new. MPIIO_CACHE_TRACE_MAX and the process's limit on file size bound it. An event that does not
 * fit, or cannot be written, is counted as dropped. Children of fork and vfork are not traced.
 *
 * All functions keep errno unless they say otherwise. All but start, reopen and end are for any thread and any signal
 * handler, and write nothing where no trace is made. mioc_trace_is_on() costs one load. */
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

/* What a trace is of: a rank, or a node's agent that is a process of its own. */
enum mioc_trace_of { MIOC_TRACE_RANK, MIOC_TRACE_NODE };
/* No job has so many ranks. */
#define MIOC_TRACE_NODE_PID 1000000000

/* Starts the trace of rank or node `number`, if the configuration wants it. Called while the process has one thread
 * that traces. Returns the file's descriptor, which the caller protects from the program and closes after the end; or
 * -1: there is no trace. If the file cannot be made, rank 0 warns; each traced rank does if rank 0 is not traced. An
 * agent only informs, since rank 0 is traced wherever an agent is. */
int mioc_trace_start(const struct mioc_config *config, enum mioc_trace_of of, int number);
/* Called by a thread that has a descriptor table of its own from here on: it opens the file for itself. */
void mioc_trace_reopen(void);
/* Names the calling thread. `name` goes into JSON as it is. */
void mioc_trace_name_thread(const char *name);
/* Completes the file: waits some time for events under way, and writes the last one. Later events are lost. */
void mioc_trace_end(void);

/* The start of something that will be traced: CLOCK_MONOTONIC, ns; or 0 where no trace is made. */
uint64_t mioc_trace_now(void);
/* Writes a call that began at `started` (CLOCK_MONOTONIC, ns) and ends now. `path` is the program's pointer: it is not
 * read if it is no path, or `error` is EFAULT. */
void mioc_trace_call(enum mioc_call call, enum mioc_outcome outcome, const char *path, int error, uint64_t bytes,
                     uint64_t started);
/* Writes work of the agent or a resolver that began at `started` and ends now. `cat` is "agent" or "root", `kind` an
 * enum mioc_item_kind; the path has `len` bytes. */
void mioc_trace_work(const char *cat, const char *name, unsigned kind, const char *path, uint32_t len,
                     uint64_t started);
/* Writes a step of a question's flow: phase 's' begins it, 't' is a step on the way, 'f' ends it. */
void mioc_trace_flow(char phase, unsigned kind, const char *path, uint32_t len);

/* --- trace_file.c ------------------------------------------------------------------------------------------------ */
/* Makes the folder, if it is not there, and a new, empty rank-NNNNN.json or node-NNNNN.json in it. `job` is the job's
 * name, for %j. Returns a descriptor for appending, which is the caller's; or -1 with errno (EINVAL: a "%" with an
 * unknown letter). On success errno is undefined. */
int mioc_trace_create(const char *folder, enum mioc_trace_of of, int number, const char *job);
/* Opens the file again, for a thread with a descriptor table of its own. `fd` is the process's descriptor. Returns a
 * new one, or -1 with errno. */
int mioc_trace_reopen_file(int fd);

#endif
