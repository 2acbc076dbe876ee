/* SPDX-License-Identifier: BSD-3-Clause */
/* model.h - the resolver's data: questions (jobs), finished items (results), and who guards what. Only the resolver's
 * files include it. */
#ifndef MIOC_RESOLVER_MODEL_H
#define MIOC_RESOLVER_MODEL_H

#include "library_lookup.h"
#include "library_path.h"
#include "recent.h"
#include "resolver.h"
#include "job/elf.h"
#include <pthread.h>
#include <sys/stat.h>

/* Finished items wait for the agent up to this many bytes; then threads that read long contents, or what nobody asked
 * for, wait. */
#define MIOC_RESOLVER_QUEUE_MAX (8u * 1024u * 1024u)

/* Directories of sys.path that imports are looked for in, and guesses that may wait. */
#define MIOC_RESOLVER_ROOTS 8u
#define MIOC_RESOLVER_GUESSES 1024u

struct mioc_job {
    struct mioc_job *next;
    unsigned kind;
    uint32_t len;
    uint64_t hash;              /* of kind and path */
    uint64_t started;           /* when it began to look, CLOCK_MONOTONIC, ns */
    uint64_t writes;            /* … and how many writes the resolver had heard of then */
    int is_early;               /* the manifest's: nobody waits for it */
    int is_listed;              /* the manifest's, asked for or not: its content may have been read ahead */
    int is_borrower;            /* asked while there may be something that was read ahead: it may use that */
    int is_guess;               /* of resolve_imports.c and resolve_needed.c: nobody waits for it */
    int is_hurried;             /* somebody asked while it ran */
    int is_guessed;             /* it, or what led to it, is a guess of resolve_imports.c's: nobody may ever ask */
    int is_absent;              /* a content that is not there */
    struct mioc_lookup *lookup; /* who needs the library, and where else it may be; NULL: unknown */
    int dirty;                  /* the path was written since the job began: its answer is thrown away and made anew */
    char path[];
};

struct mioc_job_queue {
    struct mioc_job *first, **last;
};

struct mioc_result {
    struct mioc_result *next;
    size_t mapped; /* 0: it is from the heap */
    uint32_t bytes_len;
    uint64_t writes;                  /* its job's */
    _Alignas(8) unsigned char item[]; /* the item, then a chunk's bytes */
};

struct mioc_result_queue {
    struct mioc_result *head, **tail;
};

/* A multiset of key hashes. */
struct mioc_keys {
    struct mioc_key **bucket;
    size_t buckets, count;
};

/* What objects need (resolve_needed.c). */
struct mioc_libraries {
    struct mioc_library_world world;
    struct mioc_keys names;      /* loaded, or looked for */
    struct mioc_job_queue queue; /* in the loader's order */
    unsigned waiting;            /* in it */
    struct mioc_lookup *parked;  /* each waits for a listing */
    struct mioc_lookup *dormant; /* of objects that are guessed: each waits until somebody asks for one of its names */
    unsigned sleepers;           /* dormant ones */
    unsigned going_on;           /* jobs that are done, but for what they lead to */
};

struct mioc_resolver {
    struct mioc_resolver_config config;
    /* mioc_resolver_run_job(): an answer may bring another one with it, but resolver_queue.c knows no real calls. */
    void (*run_job)(struct mioc_resolver *r, struct mioc_job *job);
    pthread_mutex_t lock; /* guards all below; never held across a real call or a callback */
    pthread_cond_t work, room;
    struct mioc_job_queue asked, early; /* in order; running ones stay in `active` */
    struct mioc_job *guesses;           /* the last module's first, as the interpreter imports */
    unsigned guesses_waiting;
    struct mioc_libraries libraries; /* before guesses: dlopen asks for them for certain */
    struct mioc_job *active;
    unsigned idle_active; /* early ones and guesses */
    unsigned listed;      /* jobs, queued and active, that may use what was read ahead: the manifest's, borrowers */
    struct mioc_prefetch *ahead; /* atomic; NULL: none, or through */
    int has_read_manifest;       /* a thread does, or did */
    int is_manifest_queued;      /* it did */
    struct mioc_keys
        keys; /* of all jobs and of all results that wait, or are being put in the store: what is under way */
    struct mioc_result_queue small, bulk;
    const struct mioc_result *in_hand; /* the agent's thread is putting it in the store; NULL: none */
    size_t queued_bytes;               /* in both result queues */
    uint64_t writes;                   /* heard of */
    struct mioc_recent *recent;        /* NULL until another node writes */
    int has_lost_track;                /* there was no memory for it */
    uint64_t tidied;                   /* when it was last seen to that it forgets */
    uint64_t unused;                   /* reserved for contents that will not come: to be given back without the lock */
    unsigned threads;                  /* alive */
    int stop;
    char tag[64];   /* ".cpython-311.pyc", learned from the first question that has one; empty before */
    unsigned roots; /* atomic, only grows */
    char *root[MIOC_RESOLVER_ROOTS]; /* directories of modules outside of packages, as they were found */
    uint32_t next_content;           /* atomic */
    uint64_t calls;                  /* atomic */
};

/* One job's answer: a list of results. `bulk` ones may be handed out while the job still runs. */
struct mioc_answer {
    struct mioc_result_queue results;
};

#endif
