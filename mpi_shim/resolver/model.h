/* SPDX-License-Identifier: BSD-3-Clause */
/* model.h - the resolver's data: questions (jobs), finished items (results), and which lock guards what. Only the
 * resolver's files include it. */
#ifndef MIOC_RESOLVER_MODEL_H
#define MIOC_RESOLVER_MODEL_H

#include "library_lookup.h"
#include "library_path.h"
#include "recent.h"
#include "resolver.h"
#include "job/elf.h"
#include <pthread.h>
#include <sys/stat.h>

/* So many bytes of finished items may wait for the agent. Then threads that read long contents wait, and nothing is
 * begun that nobody waits for. */
#define MIOC_RESOLVER_QUEUE_MAX (8u * 1024u * 1024u)

/* Most directories of sys.path in which imports are looked for; most guesses that wait. */
#define MIOC_RESOLVER_ROOTS 8u
#define MIOC_RESOLVER_GUESSES 1024u

/* Bits for the last names of STICKY files (resolve_sticky.c). */
#define MIOC_STICKY_BITS 4096u

/* A question. Waiting ones are in a queue, running ones in `active`. */
struct mioc_job {
    struct mioc_job *next;
    unsigned kind;
    uint32_t len;
    uint64_t hash;              /* of kind and path */
    uint64_t started;           /* when its look began, CLOCK_MONOTONIC, ns */
    uint64_t writes;            /* how many writes the resolver had heard of then */
    int is_early;               /* the manifest's, and nobody waits for it */
    int is_listed;              /* the manifest's, even if somebody asked since: may use what was read ahead */
    int is_borrower;            /* asked while contents are being read ahead: may use them, too */
    int is_guess;               /* of resolve_imports.c or resolve_needed.c, and nobody waits for it */
    int is_hurried;             /* somebody asked while it ran */
    int is_guessed;             /* it follows from a guess of resolve_imports.c: nobody may ever ask */
    int is_absent;              /* a content whose file is not there */
    struct mioc_lookup *lookup; /* of a library: where else it may be, and what needs it; NULL: unknown */
    int dirty;                  /* the path was written since the look began: the answer is made anew */
    char path[];
};

struct mioc_job_queue {
    struct mioc_job *first, **last;
};

/* A finished item that waits for the agent. */
struct mioc_result {
    struct mioc_result *next;
    size_t mapped;                    /* bytes of its mapping; 0: it is from the heap */
    uint32_t bytes_len;               /* of a chunk */
    uint64_t writes;                  /* of its job */
    _Alignas(8) unsigned char item[]; /* the item, behind it a chunk's bytes */
};

struct mioc_result_queue {
    struct mioc_result *head, **tail;
};

/* A multiset of key hashes. */
struct mioc_keys {
    struct mioc_key **bucket;
    size_t buckets, count;
};

/* The search for libraries that objects need (resolve_needed.c). */
struct mioc_libraries {
    struct mioc_library_world world;
    struct mioc_keys names;      /* of libraries that are loaded or looked for */
    struct mioc_job_queue queue; /* in the loader's order */
    unsigned waiting;            /* jobs in it */
    struct mioc_lookup *parked;  /* lookups that wait for a listing */
    struct mioc_lookup *dormant; /* lookups of guessed objects, until somebody asks for one of their names */
    unsigned sleepers;           /* how many of these */
    unsigned going_on;           /* jobs that are answered, and lead to others just now */
};

struct mioc_resolver {
    struct mioc_resolver_config config;
    /* mioc_resolver_run_job(). A pointer, so that resolver_queue.c, which an answer calls, does not call answers. */
    void (*run_job)(struct mioc_resolver *r, struct mioc_job *job);
    /* Guards all below but `atomic`. Never held across a real call, nor across a callback but
     * client_ns(), find() and is_known(), which take no lock. */
    pthread_mutex_t lock;
    pthread_cond_t work, room;          /* something to do for threads; room in the result queues */
    struct mioc_job_queue asked, early; /* early: the manifest's; both in their order */
    struct mioc_job *guesses;           /* those of the last module first, as the interpreter imports */
    unsigned guesses_waiting;
    struct mioc_libraries libraries; /* they go before guesses: dlopen asks for them for certain */
    struct mioc_job *active;
    unsigned idle_active;           /* active jobs that nobody waits for */
    unsigned listed;                /* jobs, queued and active, that may use what was read ahead */
    struct mioc_prefetch *prefetch; /* atomic; contents that were read ahead; NULL: none, or not needed any more */
    int has_read_manifest;          /* a thread reads the manifest, or has read it */
    int is_manifest_queued;         /* all its questions are queued */
    /* What is under way: the keys of all jobs, of results that wait, and of the one that the agent is publishing. */
    struct mioc_keys keys;
    struct mioc_result_queue small, bulk;   /* bulk: long contents */
    const struct mioc_result *in_hand;      /* the result that the agent's thread is publishing; NULL: none */
    size_t queued_bytes;                    /* in both result queues */
    uint64_t writes;                        /* how many the resolver has heard of */
    struct mioc_recent *recent;             /* writes of other nodes; NULL: there was none yet */
    int has_lost_track;                     /* there was no memory for `recent`: no answer is lasting any more */
    struct mioc_recent *own;                /* what this node removed or renamed; NULL: nothing yet */
    int has_dead;                           /* atomic; this kernel may take directories for removed (resolve_dead.c) */
    uint64_t tidied;                        /* when old writes were last forgotten */
    uint64_t sticky[MIOC_STICKY_BITS / 64]; /* atomic; one for each last name of a STICKY file */
    uint64_t unused;                        /* bytes reserved in vain; config.release() gets them without the lock */
    unsigned threads;                       /* that live */
    int stop;
    char tag[64];                    /* ".cpython-311.pyc", from the first question that has one; empty before */
    unsigned roots;                  /* atomic, only grows */
    char *root[MIOC_RESOLVER_ROOTS]; /* directories of modules outside of packages, in the order of finding */
    uint32_t next_content;           /* atomic */
    uint64_t calls;                  /* atomic */
};

/* One job's answer. Chunks of a long content are not in it: mioc_resolver_stream() queues them while the job runs. */
struct mioc_answer {
    struct mioc_result_queue results;
};

#endif
