/* SPDX-License-Identifier: BSD-3-Clause */
/* jobs.h - the resolver's queues: questions in, finished items out. Only the resolver's files include it. */
#ifndef MIOC_RESOLVER_JOBS_H
#define MIOC_RESOLVER_JOBS_H

#include "model.h"

/* --- resolver_keys.c --------------------------------------------------------------------------------------------- */
/* Without memory a key is forgotten: it will be read twice at most. */
void mioc_keys_add(struct mioc_keys *keys, uint64_t hash);
void mioc_keys_remove(struct mioc_keys *keys, uint64_t hash);
int mioc_keys_has(const struct mioc_keys *keys, uint64_t hash);
void mioc_keys_free(struct mioc_keys *keys);

/* --- resolver_results.c ------------------------------------------------------------------------------------------ */
void mioc_results_init(struct mioc_result_queue *q);
/* One with room for `size` bytes of item and chunk, to be filled in, or NULL; and its end. */
struct mioc_result *mioc_result_new(size_t size);
void mioc_result_free(struct mioc_result *result);
size_t mioc_result_bytes(const struct mioc_result *result);
/* Queues a result, or a copy of an item, behind the answer; 0 or -1 (ENOMEM). */
void mioc_answer_push(struct mioc_answer *answer, struct mioc_result *result);
int mioc_answer_add(struct mioc_answer *answer, const void *item);
/* With the lock held: a result waits for the agent. */
void mioc_resolver_file(struct mioc_resolver *r, struct mioc_result_queue *q, struct mioc_result *result);
/* With the lock held: a result that waited is taken out. */
void mioc_resolver_forget(struct mioc_resolver *r, const struct mioc_result *result);
/* With the lock held: the result of that key that is no part of a long content and not known to be in the store yet, or
 * NULL. */
const struct mioc_result *mioc_resolver_find_small(const struct mioc_resolver *r, uint64_t hash);
/* Hands one chunk of a job's long content out at once. Waits while the agent is behind; what nobody asked for waits
 * sooner, and so lets pass what somebody did. Takes the result. 0 or -1: stopping. */
int mioc_resolver_stream(struct mioc_resolver *r, const struct mioc_job *job, struct mioc_result *result);
/* Counts real calls. */
void mioc_resolver_count(struct mioc_resolver *r, unsigned calls);
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

/* --- resolver_queue.c -------------------------------------------------------------------------------------------- */
/* With the lock held: queues a job; 0 or -1 (ENOMEM). */
int mioc_resolver_enqueue(struct mioc_resolver *r, unsigned kind, const char *path, uint32_t len);
int mioc_resolver_enqueue_early(struct mioc_resolver *r, unsigned kind, const char *path, uint32_t len);
/* With the lock held: queues a job of resolve_needed.c; takes the lookup, which may be NULL. -1: it is under way, there
 * are too many, or there is no memory. */
int mioc_resolver_enqueue_needed(struct mioc_resolver *r, unsigned kind, const char *path, uint32_t len,
                                 struct mioc_lookup *lookup);
/* A job for what may be asked soon; NULL: it is known, may not be read, or there is no memory. */
struct mioc_job *mioc_resolver_new_guess(struct mioc_resolver *r, unsigned kind, const char *path, uint32_t len);
/* Queues a list of such, but for those under way, before all guesses that wait. Takes them. */
void mioc_resolver_enqueue_guesses(struct mioc_resolver *r, struct mioc_job *first);
/* Queues a speculative job, to which `job` led, unless its answer is known or under way. */
void mioc_resolver_speculate(struct mioc_resolver *r, const struct mioc_job *job, unsigned kind, const char *path,
                             uint32_t len);
/* Answers it now, in this thread, before the answer of `job`, which led to it, unless it is known or under way. The
 * library's paths only. */
void mioc_resolver_bring(struct mioc_resolver *r, const struct mioc_job *job, unsigned kind, const char *path,
                         uint32_t len);
/* With the lock held: whether a job of that key waits or runs. */
int mioc_resolver_has_job(const struct mioc_resolver *r, uint64_t hash);
/* With the lock held: whether there is something to do that nobody waits for. */
static inline int mioc_resolver_has_idle_work(const struct mioc_resolver *r)
{
    return r->libraries.queue.first != NULL || r->guesses != NULL || r->early.first != NULL;
}
/* With the lock held: what a thread is to do next, or NULL. */
struct mioc_job *mioc_resolver_next_job(struct mioc_resolver *r);
/* With the lock held: it is active from here on, so that a write makes its answer stale. */
void mioc_resolver_start_job(struct mioc_resolver *r, struct mioc_job *job);
/* Frees a list; NULL is an empty one. */
void mioc_resolver_free_jobs(struct mioc_job *first);

/* --- resolver_jobs.c --------------------------------------------------------------------------------------------- */
/* Without the lock: answers it, as often as writes overtake it, and frees it. */
void mioc_resolver_run_job(struct mioc_resolver *r, struct mioc_job *job);

/* --- resolver_invalidate.c --------------------------------------------------------------------------------------- */
/* Without the lock: 1 if the job's answer would not count whatever it is, and the answer that says so. */
int mioc_resolver_answer_briefly(struct mioc_resolver *r, const struct mioc_job *job, struct mioc_answer *answer);
/* With the lock held: what of a job's answer does not count becomes a BRIEF record. */
void mioc_resolver_doubt(struct mioc_resolver *r, const struct mioc_job *job, struct mioc_answer *answer);

/* --- resolver_abandon.c: contents that will not be complete ------------------------------------------------------ */
/* With the lock held: chunks that wait are dropped; if others are gone already, all nodes are told. Afterwards the
 * caller calls mioc_resolver_release(). */
void mioc_resolver_abandon(struct mioc_resolver *r, const char *path, uint32_t len, uint32_t content, uint64_t size);
/* The same for a record that nobody gets, if it is one of a content; is_filed: it stood in a queue. */
void mioc_resolver_abandon_record(struct mioc_resolver *r, const struct mioc_item *item, int is_filed);
/* Takes the content's chunks out of an answer. */
void mioc_answer_drop_chunks(struct mioc_answer *answer, uint32_t content);
/* Without the lock: what was reserved in vain is given back. */
void mioc_resolver_release(struct mioc_resolver *r);

/* --- resolver_manifest.c ----------------------------------------------------------------------------------------- */
/* Without the lock: reads the manifest and queues its questions. */
void mioc_resolver_read_manifest(struct mioc_resolver *r);

#endif
