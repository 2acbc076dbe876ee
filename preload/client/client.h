/* SPDX-License-Identifier: BSD-3-Clause */
/* client.h - the application thread's side: look up in the store, else ask the agent, else say "make the real call".
 *
 * All functions but mioc_client_start are async-signal-safe and thread-safe and keep errno, and may be called before
 * the start and in vfork children. A returned record lives as long as the process.
 *
 * The breaker: after MIOC_BREAKER_LIMIT deadlines missed in a row this process asks no more and says so once; what the
 * store has is still served. */
#ifndef MIOC_CLIENT_H
#define MIOC_CLIENT_H

#include "base/config.h"
#include "store/item.h"
#include "base/path.h"
#include "policy/policy.h"
#include "base/stats.h"
#include "store/store.h"

#define MIOC_BREAKER_LIMIT 3

/* Puts the store and the policy in force; from then on paths are served. Before, everything is PASS. `rank` is the rank
 * number, -1 for a guest. The structures must live as long as the process. */
void mioc_client_start(struct mioc_store *store, const struct mioc_policy *policy, int rank);
/* For a program that is served nothing (writer_join.h): only its writes are told. Several threads may call it. 1, or
 * 0: there is a store already. */
int mioc_client_start_telling(struct mioc_store *store, const struct mioc_policy *policy);
/* For a program that has no store yet: find() is called before each write is told, and may start the telling. It must
 * be async-signal-safe and keep errno. */
void mioc_client_set_finder(void (*find)(void));
/* Stops serving for good (exec, breaker by force, a write that the agent could not be told of). */
void mioc_client_stop(void);
/* Stops serving for good, but goes on telling writes. */
void mioc_client_stop_serving(void);
/* After a call that may have changed what paths mean or who may have them: does that if it has. Not undone if it is
 * changed back. */
void mioc_client_credentials_changed(void);
/* st_dev of all copies, 0 before the start: what has another one is none. Atomic. */
extern uint64_t mioc_client_copies_dev;
/* NULL before the start. They stay after a stop, because copies may still be open. */
struct mioc_store *mioc_client_store(void);
const struct mioc_policy *mioc_client_policy(void);
int mioc_client_rank(void);
/* The calling thread's calls are never ours from here on (1) or are again (0): for the agent's thread, which cannot ask
 * itself, and whatever runs in it; for resolvers; around calls into MPI on the way to the end. */
void mioc_client_exempt_thread(int is_exempt);
/* Whether this thread's calls are served at all. */
int mioc_client_is_serving(void);
/* After a successful chdir or fchdir. (Calls that change it behind our back cost speed at most.) */
void mioc_client_cwd_changed(void);

/* What one interposed call is about, filled by mioc_client_begin. */
struct mioc_query {
    enum mioc_call call;
    enum mioc_policy_class kind; /* NONE: only timed */
    enum mioc_outcome outcome;   /* PASS until a record answered */
    uint64_t started;
    const char *path;        /* as the program gave it */
    int error_before;        /* while a trace is made: the program's errno */
    int is_dot;              /* the path ends with ".", which the key does not have */
    int has_absence_doubted; /* this process knows that the path's folder is there: no answer from before says otherwise
                                (notify_failed.c) */
    const struct mioc_item *stat;           /* the path's STAT record, where it has been looked up already */
    const struct mioc_content_record *copy; /* of an open by the loader: whose copy it got; NULL: it got none */
    char *room;                             /* of the same: MIOC_PATH_MAX bytes to work in, or NULL */
    struct mioc_path key;                   /* empty where kind is NONE */
};

/* Whether (dirfd, path) is ours to answer: 1 and *q filled, or 0: the caller makes the real call and need not come
 * back. With timers on, calls that are not ours are begun too (1, q->kind is NONE): no record is ever found for them,
 * so they end as real calls and are counted by mioc_client_end. This is the fast path of every call that is not ours.
 * Paths relative to a descriptor are not ours. */
int mioc_client_begin(struct mioc_query *q, enum mioc_call call, int dirfd, const char *path);
/* Whether mioc_client_begin() would certainly say 0, or this stack has no room for what follows it (stack.h): the real
 * call can then be the caller's last act. Asked before a query is on the stack, whose place and the way back through
 * our frames are felt. */
int mioc_client_is_foreign(int dirfd, const char *path);
/* The same for a question of our own, which is not counted and ends without mioc_client_end. */
int mioc_client_peek(struct mioc_query *q, enum mioc_call call, int dirfd, const char *path);
/* The record of that kind for the query's path, by lookup or by asking; NULL: make the real call (uncached, timed out,
 * a listing that is not to be served, …). Never one with MIOC_FLAG_UNCACHED. */
const struct mioc_item *mioc_client_record(struct mioc_query *q, unsigned kind);
/* Like mioc_client_record(STAT), but also answers from what is known of the parent's listing: then NULL is returned and
 * *absent is the errno, ENOENT or ENOTDIR; otherwise *absent is 0. */
const struct mioc_stat_record *mioc_client_stat(struct mioc_query *q, int *absent);
/* For a call that opens: where nothing at all is known of a path that imports open, its content is asked for, which
 * brings all else. */
void mioc_client_expect_content(struct mioc_query *q);
/* Counts the call. */
void mioc_client_end(struct mioc_query *q, uint64_t bytes);

/* After a successful write to a path (any spelling): the node's records of it are dead when this returns, and those of
 * all other nodes, too, unless one of them does not answer within MPIIO_CACHE_TIMEOUT (it is stopped or cut off, and is
 * given up by its neighbours); if the agent cannot be told this process stops serving. Does nothing for paths that are
 * not ours. A path that cannot be resolved is not ours. Counts a call of class WRITE. `flags`: MIOC_FLAG_SUBTREE,
 * MIOC_FLAG_STICKY, and */
#define MIOC_WROTE_SOON \
    0x80000000u /* … but other nodes may hear of it later, also of its renaming by this thread: an import's bytecode \
                 */
void mioc_client_wrote(int dirfd, const char *path, uint32_t flags);
/* After a call on a path that failed: if the store contradicts the error, that answer ends, here when this returns and
 * elsewhere soon. After one that writes (`is_write`) this process is not served what is about the path for a while,
 * unless it agrees. Keeps errno, which must be the call's. */
void mioc_client_failed(int dirfd, const char *path, int is_write);
/* After a successful rename or link of `path` to `new_path` (is_exchange: and back): both are told with SUBTREE. A file
 * that is written to, perhaps, under its old name, because it was STICKY there or that name is not ours, is STICKY
 * under the new one. */
void mioc_client_moved(int dirfd, const char *path, int new_dirfd, const char *new_path, int is_exchange);
/* For a rename, where one path may lead through a symbolic link that is the other path's name: afterwards nobody could
 * tell which folder was meant. Before the call: the folders of both paths, descriptors, or -1 where nothing is to be
 * told. After it: what mioc_client_moved does, in these folders. Then, whatever came of the call: closes them. */
struct mioc_folders {
    int from, to;
};
struct mioc_folders mioc_client_open_folders(int dirfd, const char *path, int new_dirfd, const char *new_path);
void mioc_client_moved_in(const struct mioc_folders *folders, int dirfd, const char *path, int new_dirfd,
                          const char *new_path, int is_exchange);
void mioc_client_close_folders(const struct mioc_folders *folders);

#endif
