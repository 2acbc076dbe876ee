/* SPDX-License-Identifier: BSD-3-Clause */
/* client_internal.h - what the files of client/ share; nobody else includes it, but their tests. */
#ifndef MIOC_CLIENT_INTERNAL_H
#define MIOC_CLIENT_INTERNAL_H

#include "client.h"
#include "store/ring.h"
#include <string.h>
#include <sys/types.h>

/* What is in force in this process. */
struct mioc_client {
    int is_serving;   /* atomic: paths are served */
    int is_telling;   /* atomic: writes are told, although nothing is served */
    int cwd;          /* atomic, enum mioc_policy_class: the most that a relative path can be */
    uint64_t cwd_ino; /* atomic: the working directory's inode; 0: not known */
    int rank;
    int is_broken;                    /* atomic: the breaker is open */
    unsigned missed;                  /* atomic: deadlines missed in a row */
    int has_awaited;                  /* atomic: the store was STARTING for a whole deadline; no call waits for it */
    uint64_t credentials;             /* those that paths are served for (credentials.h) */
    pid_t pid;                        /* whose memory this is: set by fork, not by vfork */
    struct mioc_store *store;         /* atomic */
    const struct mioc_policy *policy; /* what the store is served by */
    uint64_t trust_ns;                /* how long after its last beat the agent is trusted to hear of writes */
    uint64_t timeout_ns, ttl_ms;      /* MPIIO_CACHE_TIMEOUT, MPIIO_CACHE_TTL */
    uint64_t doubts_until_ms;         /* atomic: when the last doubt ends, mioc_clock_coarse_ms(); 0: there is none */
    uint64_t link_doubts_until_ms;    /* atomic: the same for records that a link leads to */
};
extern struct mioc_client mioc_client;

/* All functions here are async-signal-safe. */

/* --- state.c ----------------------------------------------------------------------------------------------------- */
/* From now on mioc_client.pid follows fork. */
void mioc_client_watch_forks(void);
/* Whether the calling thread is exempt. */
int mioc_client_is_exempt(void);

/* --- breaker.c --------------------------------------------------------------------------------------------------- */
/* When a wait that begins now must end: ns of CLOCK_MONOTONIC. */
uint64_t mioc_client_deadline(void);
/* For mioc_ring_ask(). Taints the store of a dead agent, so that no other process of the node waits for it. */
int mioc_client_is_agent_alive(void *store);
/* Counts missed deadlines in a row; opens the breaker. */
void mioc_client_note_status(enum mioc_ask_status status);

/* --- names.c ----------------------------------------------------------------------------------------------------- */
/* Which names of a file are wanted, and who gets them. */
struct mioc_names {
    void (*visit)(void *ctx, const char *path, uint32_t len);
    void *ctx;
    int subtree;     /* also names that are not ours, if something below could be */
    int everywhere;  /* also all other names that are not ours */
    int with_target; /* also what the path leads to, if it is a symbolic link */
    int has_folder;  /* `folder` is the path's folder, a descriptor from before the call */
    int folder;
};
/* Calls visit() with each name by which the cache could know what (dirfd, path) names: as spelled; with its folder as
 * the kernel spells it; what it leads to; and through each prefix that is a symbolic link. 0, or -1: there may be more
 * names, but there was no descriptor to find them with. Changes errno. */
int mioc_client_each_name(const struct mioc_names *names, int dirfd, const char *path);
/* Opens the path's folder if what is in it must be told. Returns a descriptor, which the caller closes, or -1.
 * Changes errno. */
int mioc_client_open_folder(int dirfd, const char *path);
/* Whether the cache could know the path by one of its names, as far as its spelling tells. */
int mioc_client_may_know(const char *path, uint32_t len);

/* --- doubt.c ----------------------------------------------------------------------------------------------------- */
/* A writing call on the path failed by `error`, or the store was wrong about the path: for MPIIO_CACHE_TIMEOUT this
 * process is served nothing that could contradict the error. is_right: by all names that can be found the store agrees
 * with the error, so only what a link leads to is not served. Changes errno. */
void mioc_client_note_doubt(const char *path, int error, int is_right);
/* Call this if doubts_until_ms is set. 0: make the real call for the query's path; 1: serve it, with
 * q->has_absence_doubted set. */
int mioc_client_may_serve(struct mioc_query *q);
/* Whether the listing `list`, of the query's path[0..len), may be older than what this process knows. */
int mioc_client_is_doubtful(const struct mioc_query *q, const struct mioc_list_record *list, uint32_t len);
/* Call these if link_doubts_until_ms is set, for a record with BY_LINK: whether it, or what it says of a name below it,
 * path[0..len), could contradict an error. Of the path only the folder, path[0..folder), leads through links. */
int mioc_client_is_record_doubtful(const struct mioc_item *item);
int mioc_client_is_doubtful_by_link(const char *path, uint32_t len, uint32_t folder);

/* --- notify.c ---------------------------------------------------------------------------------------------------- */
/* Whether this process's writes must be told. Looks for the store first, in a program that is served nothing. */
int mioc_client_is_telling(void);
/* The store is wrong about the path and all below: invalidates that, on this node at once, elsewhere soon. Not counted
 * as a call. Changes errno. */
void mioc_client_invalidate(const char *path);

#endif
