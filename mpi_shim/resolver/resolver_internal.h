/* SPDX-License-Identifier: BSD-3-Clause */
/* resolver_internal.h - what the resolver's queues (resolver.c) and its real calls (resolve.c) share. */
#ifndef MIOC_RESOLVER_INTERNAL_H
#define MIOC_RESOLVER_INTERNAL_H

#include "library_path.h"
#include "recent.h"
#include "resolver.h"
#include "job/elf.h"
#include <pthread.h>
#include <sys/stat.h>

/* Finished items wait for the agent up to this many bytes; then threads that read long contents, or what nobody asked for, wait. */
#define MIOC_RESOLVER_QUEUE_MAX (8u * 1024u * 1024u)

/* Directories of sys.path that imports are looked for in, and guesses that may wait. */
#define MIOC_RESOLVER_ROOTS 8u
#define MIOC_RESOLVER_GUESSES 1024u

struct mioc_job {
    struct mioc_job *next;
    unsigned kind;
    uint32_t len;
    uint64_t hash; /* of kind and path */
    uint64_t started; /* when it began to look, CLOCK_MONOTONIC, ns */
    uint64_t writes;  /* … and how many writes the resolver had heard of then */
    int is_early;  /* the manifest's: nobody waits for it */
    int is_listed; /* the manifest's, asked for or not: its content may have been read ahead */
    int is_borrower; /* asked while there may be something that was read ahead: it may use that */
    int is_guess;  /* of resolve_imports.c and resolve_needed.c: nobody waits for it */
    int is_hurried; /* somebody asked while it ran */
    int is_guessed; /* it, or what led to it, is a guess of resolve_imports.c's: nobody may ever ask */
    int is_absent; /* a content that is not there */
    struct mioc_lookup *lookup; /* who needs the library, and where else it may be; NULL: unknown */
    int dirty; /* the path was written since the job began: its answer is thrown away and made anew */
    char path[];
};

struct mioc_job_queue { struct mioc_job *first, **last; };

struct mioc_result {
    struct mioc_result *next;
    size_t mapped; /* 0: it is from the heap */
    uint64_t writes; /* its job's */
    uint32_t bytes_len;
    _Alignas(8) unsigned char item[]; /* the item, then a chunk's bytes */
};

struct mioc_result_queue { struct mioc_result *head, **tail; };

/* A multiset of key hashes. */
struct mioc_keys { struct mioc_key **bucket; size_t buckets, count; };

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
    pthread_mutex_t lock; /* guards all below; never held across a real call or a callback */
    pthread_cond_t work, room;
    struct mioc_job_queue asked, early; /* in order; running ones stay in `active` */
    struct mioc_job *guesses;           /* the last module's first, as the interpreter imports */
    unsigned guesses_waiting;
    struct mioc_libraries libraries;    /* before guesses: dlopen asks for them for certain */
    struct mioc_job *active;
    uint64_t writes;           /* heard of */
    unsigned idle_active;      /* early ones and guesses */
    unsigned listed;           /* jobs, queued and active, that may use what was read ahead: the manifest's, borrowers */
    struct mioc_prefetch *ahead;  /* atomic; NULL: none, or through */
    int has_read_manifest;  /* a thread does, or did */
    int is_manifest_queued; /* it did */
    struct mioc_keys
        keys; /* of all jobs and of all results that wait, or are being put in the store: what is under way */
    struct mioc_result_queue small, bulk;
    const struct mioc_result *in_hand; /* the agent's thread is putting it in the store; NULL: none */
    size_t queued_bytes; /* in both result queues */
    struct mioc_recent *recent; /* NULL until another node writes */
    int has_lost_track;         /* there was no memory for it */
    uint64_t tidied;            /* when it was last seen to that it forgets */
    uint64_t unused;     /* reserved for contents that will not come: to be given back without the lock */
    unsigned threads;    /* alive */
    int stop;
    char tag[64]; /* ".cpython-311.pyc", learned from the first question that has one; empty before */
    unsigned roots; /* atomic, only grows */
    char *root[MIOC_RESOLVER_ROOTS]; /* directories of modules outside of packages, as they were found */
    uint32_t next_content; /* atomic */
    uint64_t calls;        /* atomic */
};

/* One job's answer: a list of results. `bulk` ones may be handed out while the job still runs. */
struct mioc_answer { struct mioc_result_queue results; };

/* Makes the real calls for a job and collects its items; long contents go straight to the bulk queue by
 * mioc_resolver_stream(). Runs without the lock. */
void mioc_resolve(struct mioc_resolver *r, struct mioc_job *job, struct mioc_answer *answer);

/* --- resolver.c --- */
void mioc_results_init(struct mioc_result_queue *q);
/* With the lock held: a result waits for the agent. */
void mioc_resolver_file(struct mioc_resolver *r, struct mioc_result_queue *q, struct mioc_result *result);

/* --- resolver_jobs.c --- */
/* With the lock held: whether there is something to do that nobody waits for. */
static inline int mioc_resolver_has_idle_work(const struct mioc_resolver *r)
{
    return r->libraries.queue.first != NULL || r->guesses != NULL || r->early.first != NULL;
}
/* With the lock held: what a thread is to do next, or NULL. */
struct mioc_job *mioc_resolver_next_job(struct mioc_resolver *r);
/* With the lock held: it is active from here on, so that a write makes its answer stale. */
void mioc_resolver_start_job(struct mioc_resolver *r, struct mioc_job *job);
/* Without the lock: answers it, as often as writes overtake it, and frees it. */
void mioc_resolver_run_job(struct mioc_resolver *r, struct mioc_job *job);

/* One with room for `size` bytes of item and chunk, to be filled in, or NULL; and its end. */
struct mioc_result *mioc_result_new(size_t size);
void mioc_result_free(struct mioc_result *result);
/* Queues a result, or a copy of an item, behind the answer; 0 or -1 (ENOMEM). */
void mioc_answer_push(struct mioc_answer *answer, struct mioc_result *result);
int mioc_answer_add(struct mioc_answer *answer, const void *item);
/* Hands one chunk of a job's long content out at once. Waits while the agent is behind; what nobody asked for waits
 * sooner, and so lets pass what somebody did. Takes the result. 0 or -1: stopping. */
int mioc_resolver_stream(struct mioc_resolver *r, const struct mioc_job *job, struct mioc_result *result);
/* With the lock held: queues a job; 0 or -1 (ENOMEM). */
int mioc_resolver_enqueue_early(struct mioc_resolver *r, unsigned kind, const char *path, uint32_t len);
int mioc_resolver_enqueue(struct mioc_resolver *r, unsigned kind, const char *path, uint32_t len);
size_t mioc_result_bytes(const struct mioc_result *result);
/* Queues a speculative job, to which `job` led, unless its answer is known or under way. */
void mioc_resolver_speculate(struct mioc_resolver *r, const struct mioc_job *job, unsigned kind, const char *path,
                             uint32_t len);
/* Answers it now, in this thread, before the answer of `job`, which led to it, unless it is known or under way. The
 * library's paths only. */
void mioc_resolver_bring(struct mioc_resolver *r, const struct mioc_job *job, unsigned kind, const char *path,
                         uint32_t len);
void mioc_resolver_count(struct mioc_resolver *r, unsigned calls);
/* A job for what may be asked soon; NULL: it is known, may not be read, or there is no memory. And queues a list of such, but for those
 * under way, before all guesses that wait. Takes them. */
struct mioc_job *mioc_resolver_new_guess(struct mioc_resolver *r, unsigned kind, const char *path, uint32_t len);
void mioc_resolver_enqueue_guesses(struct mioc_resolver *r, struct mioc_job *first);
/* What is in the store, or on its way there, about a directory's listing. Calls visit() with one that can be read; with
 * the lock held, perhaps. */
enum mioc_listing {
    MIOC_LISTING_UNKNOWN,
    MIOC_LISTING_READ,
    MIOC_LISTING_ABSENT,  /* there is no such directory */
    MIOC_LISTING_UNSHARED /* or an error */
};
enum mioc_listing mioc_resolver_look_at_listing(struct mioc_resolver *r, const char *dir, uint32_t len,
                                                void (*visit)(void *ctx, const struct mioc_list_record *list),
                                                void *ctx);

/* With the lock held: whether a job of that key waits or runs. */
int mioc_resolver_has_job(const struct mioc_resolver *r, uint64_t hash);
/* With the lock held: queues a job of resolve_needed.c; takes the lookup, which may be NULL. -1: it is under way, there
 * are too many, or there is no memory. */
int mioc_resolver_enqueue_needed(struct mioc_resolver *r, unsigned kind, const char *path, uint32_t len,
                                 struct mioc_lookup *lookup);
/* NULL is let pass. */
void mioc_resolver_free_jobs(struct mioc_job *first);

/* With the lock held: the result of that key that is no part of a long content and not known to be in the store yet, or
 * NULL. */
const struct mioc_result *mioc_resolver_find_small(const struct mioc_resolver *r, uint64_t hash);

/* With the lock held: a result that waited is taken out. */
void mioc_resolver_forget(struct mioc_resolver *r, const struct mioc_result *result);

/* --- resolver_invalidate.c --- */
uint64_t mioc_resolver_now(void);
/* Without the lock: 1 if the job's answer would not count whatever it is, and the answer that says so. */
int mioc_resolver_answer_briefly(struct mioc_resolver *r, const struct mioc_job *job, struct mioc_answer *answer);
/* With the lock held: what of a job's answer does not count becomes a BRIEF record. */
void mioc_resolver_doubt(struct mioc_resolver *r, const struct mioc_job *job, struct mioc_answer *answer);

/* --- resolver_abandon.c: contents that will not be complete --- */
/* With the lock held: chunks that wait are dropped; if others are gone already, all nodes are told. Afterwards the
 * caller calls mioc_resolver_release(). */
void mioc_resolver_abandon(struct mioc_resolver *r, const char *path, uint32_t len, uint32_t content, uint64_t size);
/* The same for a record that nobody gets, if it is one of a content; is_filed: it stood in a queue. */
void mioc_resolver_abandon_record(struct mioc_resolver *r, const struct mioc_item *item, int is_filed);
/* Takes the content's chunks out of an answer. */
void mioc_answer_drop_chunks(struct mioc_answer *answer, uint32_t content);
/* Without the lock: what was reserved in vain is given back. */
void mioc_resolver_release(struct mioc_resolver *r);

/* --- resolver_manifest.c --- */
/* Without the lock: reads the manifest and queues its questions. */
void mioc_resolver_read_manifest(struct mioc_resolver *r);

/* --- resolver_keys.c --- */
/* Without memory a key is forgotten: it will be read twice at most. */
void mioc_keys_add(struct mioc_keys *keys, uint64_t hash);
void mioc_keys_remove(struct mioc_keys *keys, uint64_t hash);
int mioc_keys_has(const struct mioc_keys *keys, uint64_t hash);
void mioc_keys_free(struct mioc_keys *keys);

/* --- Steps that the kinds of question share (resolve.c) --- */

/* What the records carry; more (mount id, DIO alignment) differs from node to node. */
#define MIOC_STATX_SHARED (STATX_BASIC_STATS | STATX_BTIME)
void mioc_resolve_copy_stat(struct mioc_stat *to, const struct statx *from);
/* 0 or the errno. */
int mioc_resolve_statx(struct mioc_resolver *r, int dirfd, const char *path, int flags, struct mioc_stat *to);
/* Sets the item's size and queues it; 0 or -1. */
int mioc_resolve_add(struct mioc_answer *answer, void *item, const void *end);
/* An answer that is not shared: everyone makes the real call. */
void mioc_resolve_add_uncached(struct mioc_answer *answer, void *buf, unsigned kind, const struct mioc_job *job);
/* Errors that are the file's own answer may be shared; those that say something about this moment may not. */
int mioc_resolve_is_lasting(int error);
/* Opens for reading what is a regular file and no link, and nothing else: opening alone would be felt by a FIFO's writer or a device.
 * -1 with errno, EINVAL where it is something else; *mode then is what. One lookup and one open, allocates nothing. */
int mioc_resolve_open_regular(const char *path, mode_t *mode);
/* Makes and queues the STAT record; -1: it is not shared. */
int mioc_resolve_add_stat(struct mioc_resolver *r, const struct mioc_job *job, struct mioc_answer *answer, void *buf);
/* A path was looked at: what the looker asks next comes before the answer or is under way with it. `error` is what the look
 * gave, `size` that of a regular file, else 0. */
void mioc_resolve_next(struct mioc_resolver *r, const struct mioc_job *job, int error, uint64_t size);
/* resolve_imports.c: bytecode was read: what its module imports is guessed to be asked for soon. */
void mioc_resolve_imports(struct mioc_resolver *r, const struct mioc_job *job, const unsigned char *bytes, size_t size);
/* resolve_needed.c: a content was asked for: if objects that were read by guess need a library of that name, they are
 * being loaded. */
void mioc_resolve_wake(struct mioc_resolver *r, struct mioc_job *job);
/* An object is being read, and its bytes can be had: what it needs is looked for and read. */
void mioc_resolve_needed(struct mioc_resolver *r, const struct mioc_job *job, const struct mioc_elf_source *source);
/* Before there are threads, and when there are none any more. */
void mioc_resolve_needed_start(struct mioc_resolver *r);
void mioc_resolve_needed_end(struct mioc_resolver *r);
/* With the lock held: those that wait for that listing. */
struct mioc_lookup *mioc_resolve_take_parked(struct mioc_resolver *r, uint64_t listing);
/* Goes on with a list of lookups, and takes them. */
void mioc_resolve_look_up(struct mioc_resolver *r, struct mioc_lookup *lookup);
void mioc_lookup_free(struct mioc_lookup *lookup); /* a list; NULL is let pass */
/* A module was found in that directory; it, or where its outermost package is, is a root from here on. */
void mioc_resolve_note_root(struct mioc_resolver *r, const char *dir, uint32_t len);
/* resolve_name.c: whether the path leads to something by a name that its directory lists otherwise. */
int mioc_resolve_is_other_name(struct mioc_resolver *r, const struct mioc_job *job);
void mioc_resolve_list(struct mioc_resolver *r, const struct mioc_job *job, struct mioc_answer *answer, void *buf);
/* Says where the job's directory is if a link leads to it and no listing has said so: what is below a link may be shared only once that is
 * known, as who writes there may know it by another name. */
void mioc_resolve_way(struct mioc_resolver *r, const struct mioc_job *job, struct mioc_answer *answer);
void mioc_resolve_content(struct mioc_resolver *r, struct mioc_job *job, struct mioc_answer *answer, void *buf);

#endif
