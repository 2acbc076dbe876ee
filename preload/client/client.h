/* SPDX-License-Identifier: BSD-3-Clause */
/* client.h - asks the store, or else the node's agent, for an application thread, and tells the agent what it writes.
 *
 * README.md has the way of a question, of a write and of a failed call. Unless a comment says otherwise any thread may
 * call these functions, in signal handlers, in children of vfork and before mioc_client_start(), too; they keep errno.
 * A record that they return lives as long as the process. */
#ifndef MIOC_CLIENT_H
#define MIOC_CLIENT_H

#include "base/config.h"
#include "store/item.h"
#include "base/path.h"
#include "policy/policy.h"
#include "base/stats.h"
#include "store/store.h"

/* The breaker opens after so many missed deadlines in a row. Then this process asks no more, and says so once; what the
 * store has is still served. */
#define MIOC_BREAKER_LIMIT 3

/* --- What is in force -------------------------------------------------------------------------------------------- */

/* Serves paths from now on; before, no path is ours. `rank` is the rank's number, -1 for a guest. Store and policy must
 * live as long as the process. Main thread, before main(). */
void mioc_client_start(struct mioc_store *store, const struct mioc_policy *policy, int rank);
/* For a program that is served nothing: tells its writes from now on. 1, or 0: there is a store already. Several
 * threads may call this at once, with the same store and policy. */
int mioc_client_start_telling(struct mioc_store *store, const struct mioc_policy *policy);
/* For a program that has no store yet: find() runs before each write is told, and may call mioc_client_start_telling().
 * It must be async-signal-safe and keep errno. */
void mioc_client_set_finder(void (*find)(void));
/* Neither serves nor tells any more, for good: the agent could not be told of a write. */
void mioc_client_stop(void);
/* Serves nothing any more, for good; writes are still told. */
void mioc_client_stop_serving(void);
/* Call this after a call that may have changed what paths mean or who may have them (credentials.h). If they are others
 * than at the start this process is served nothing any more, even if they change back. */
void mioc_client_credentials_changed(void);
/* Call this after a successful chdir or fchdir. If one is missed, only speed is lost. */
void mioc_client_cwd_changed(void);

/* st_dev of all copies: a file with another one is no copy. 0 before the start. Atomic. */
extern uint64_t mioc_client_copies_dev;
/* NULL before the start; not after a stop, because copies may still be open. */
struct mioc_store *mioc_client_store(void);
const struct mioc_policy *mioc_client_policy(void);
/* -1: a guest, or not started. */
int mioc_client_rank(void);
/* 1: the calling thread's calls are real calls from now on; 0: no more so. For the agent's thread, which cannot ask
 * itself, for resolvers, and around calls into MPI on the way to the end. */
void mioc_client_exempt_thread(int is_exempt);
/* Whether this thread's calls are served at all. */
int mioc_client_is_serving(void);

/* --- Questions --------------------------------------------------------------------------------------------------- */

/* One interposed call. mioc_client_begin() fills it in. */
struct mioc_query {
    enum mioc_call call;
    enum mioc_policy_class kind; /* NONE: this call is not ours, only timed */
    enum mioc_outcome outcome;   /* PASS until a record answered */
    uint64_t started;
    const char *path;             /* as the program gave it; only where kind is NONE */
    int error_before;             /* the program's errno before the call */
    int is_dot;                   /* the path ends with ".", which the key does not have */
    int has_absence_doubted;      /* a record that says that the path is absent is not believed (README.md, doubts) */
    const struct mioc_item *stat; /* the path's STAT record, if it has been looked up already */
    const struct mioc_content_record *copy; /* after an open by the loader: whose copy it got; NULL: none */
    char *room;                             /* for an open by the loader: MIOC_PATH_MAX bytes to work in; or NULL */
    struct mioc_path key;                   /* empty where kind is NONE */
};

/* Whether (dirfd, path) is ours to answer. 1: *q is filled in, and mioc_client_end() is due. 0: make the real call, and
 * nothing else. If calls are timed, those that are not ours begin, too (1, and kind is NONE): no record is ever found
 * for them. A path relative to a descriptor is not ours. Most calls of a program end here, so this is fast. */
int mioc_client_begin(struct mioc_query *q, enum mioc_call call, int dirfd, const char *path);
/* Whether mioc_client_begin() would certainly return 0, or this stack has no room for what follows (stack.h): then the
 * real call can be the caller's last act. Ask this first: a query takes 4 KiB of stack. */
int mioc_client_is_foreign(int dirfd, const char *path);
/* As mioc_client_begin(), but for a question of our own: it is not counted, and may end without mioc_client_end(). */
int mioc_client_peek(struct mioc_query *q, enum mioc_call call, int dirfd, const char *path);
/* Returns the record of that kind for the query's path, and asks the agent for it if need be. NULL: make the real call.
 * The record never has MIOC_FLAG_UNCACHED. */
const struct mioc_item *mioc_client_record(struct mioc_query *q, unsigned kind);
/* Returns the STAT record as mioc_client_record() does, but a listing above the path may answer, too. Then it returns
 * NULL and *absent is the errno, ENOENT or ENOTDIR; else *absent is 0. */
const struct mioc_stat_record *mioc_client_stat(struct mioc_query *q, int *absent);
/* For a call that opens: if nothing is known of the path, and its name is one that imports open, asks for its content;
 * the other records come with that. */
void mioc_client_expect_content(struct mioc_query *q);
/* Ends the call: counts it, and traces it with the errno that it leaves. */
void mioc_client_end(struct mioc_query *q, uint64_t bytes);

/* --- Writes ------------------------------------------------------------------------------------------------------ */

/* After a successful write to a path, in any spelling. When this returns the node's records of the path are dead, and
 * those of all other nodes, too, unless a node does not answer within MPIIO_CACHE_TIMEOUT (then its neighbours give it
 * up). If the agent cannot be told this process stops. Does nothing for a path that is not ours or cannot be resolved.
 * Counts a call of class WRITE. `flags`: MIOC_FLAG_SUBTREE, MIOC_FLAG_STICKY, MIOC_WROTE_SOON. */
void mioc_client_wrote(int dirfd, const char *path, uint32_t flags);
/* The write is an import's bytecode: other nodes may hear of it later, also of this thread's renaming of the path. */
#define MIOC_WROTE_SOON 0x80000000u
/* After a call on a path failed; errno must be the call's. If the store contradicts the error its records are dead: on
 * this node when this returns, elsewhere soon. If the call was to write (`is_write`), this process doubts for a while
 * what the store says of the path (README.md, doubts). */
void mioc_client_failed(int dirfd, const char *path, int is_write);

/* The folders of a rename's two paths. One path may lead through a symbolic link that is the other path's name: after
 * the call nobody can tell which folders were meant. So open them before the call, and close them in any case. A
 * descriptor is -1 where nothing is to be told. */
struct mioc_folders {
    int from, to;
};
struct mioc_folders mioc_client_open_folders(int dirfd, const char *path, int new_dirfd, const char *new_path);
/* After a successful rename or link of `path` to `new_path` (is_exchange: and back): tells both names, with SUBTREE. If
 * the file may still be written to, because its old name is STICKY or not ours, the new name becomes STICKY. A link has
 * no folders opened: { -1, -1 }. */
void mioc_client_moved_in(const struct mioc_folders *folders, int dirfd, const char *path, int new_dirfd,
                          const char *new_path, int is_exchange);
void mioc_client_close_folders(const struct mioc_folders *folders);

#endif
