/* SPDX-License-Identifier: BSD-3-Clause */
/* client_internal.h - what the files of client/ share; nobody else includes it. */
#ifndef MIOC_CLIENT_INTERNAL_H
#define MIOC_CLIENT_INTERNAL_H

#include "client.h"
#include "store/ring.h"
#include <string.h>
#include <sys/types.h>

struct mioc_client {
    int is_serving;   /* atomic */
    int is_telling;   /* atomic: writes are told though nothing is served */
    int cwd;          /* atomic, enum mioc_policy_class: what a relative path can be at most */
    uint64_t cwd_ino; /* atomic: of the working directory, 0: unknown */
    int rank;
    int is_broken;            /* atomic: the breaker is open */
    unsigned missed;          /* atomic: deadlines missed in a row */
    uint64_t view;            /* whose paths and rights are served (credentials.h) */
    pid_t pid;                /* whose memory this is: that of the last fork, not of a vfork */
    struct mioc_store *store; /* atomic */
    const struct mioc_policy *policy;
    uint64_t timeout_ns, ttl_ms;
    uint64_t
        doubts_until_ms; /* atomic; until when there may be anything that this process looks at itself, 0: nothing */
};
extern struct mioc_client mioc_client;

/* --- state.c ----------------------------------------------------------------------------------------------------- */
void mioc_client_watch_forks(void);
int mioc_client_is_exempt(void);

/* --- breaker.c --------------------------------------------------------------------------------------------------- */
/* When a wait that begins now has to end, CLOCK_MONOTONIC. */
uint64_t mioc_client_deadline(void);
int mioc_client_is_agent_alive(void *store);
/* Counts missed deadlines; opens the breaker. */
void mioc_client_note_status(enum mioc_ask_status status);

/* --- names.c ----------------------------------------------------------------------------------------------------- */
struct mioc_names {
    void (*visit)(void *ctx, const char *path, uint32_t len);
    void *ctx;
    int subtree;     /* also where only something below the name is ours */
    int with_target; /* what a symbolic link leads to, too */
    int has_folder;  /* the path's, as it was when the call was made: */
    int folder;
};
/* Calls visit() for each name by which the cache could know what (dirfd, path) names: the path; with its folder spelled
 * as the kernel does; where it leads; those that prefixes give them that are symbolic links. 0, or -1: for want of
 * descriptors there may be more. Overwrites errno. */
int mioc_client_each_name(const struct mioc_names *names, int dirfd, const char *path);
/* A descriptor of the path's folder, if what is in there is to be told; else -1. Overwrites errno. */
int mioc_client_open_folder(int dirfd, const char *path);
/* Whether any of them could be ours, as far as the spelling tells. */
int mioc_client_may_know(const char *path, uint32_t len);

/* --- doubt.c ----------------------------------------------------------------------------------------------------- */
/* After a writing call on that path failed by `error`, or where the store was wrong about it: for MPIIO_CACHE_TIMEOUT
 * this process is served nothing that could contradict the error. Overwrites errno. */
void mioc_client_note_doubt(const char *path, int error);
/* Asked where doubts_until_ms is set. 0: the real call is to be made for that path. Sets q->has_absence_doubted. */
int mioc_client_may_serve(struct mioc_query *q);
/* Whether the listing of the query's path's first len bytes may be from before what this process knows. */
int mioc_client_is_doubtful(const struct mioc_query *q, const struct mioc_list_record *list, uint32_t len);

/* --- notify.c ---------------------------------------------------------------------------------------------------- */
/* Whether what this process writes is to be told; looks for the store of a program that is served nothing. */
int mioc_client_is_telling(void);
/* Path and all below are not as the store says: that ends, here at once, elsewhere soon. Not counted as a call.
 * Overwrites errno. */
void mioc_client_learned(const char *path);

#endif
