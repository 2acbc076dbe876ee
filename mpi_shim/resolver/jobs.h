/* SPDX-License-Identifier: BSD-3-Clause */
/* jobs.h - the resolver's queues: questions in, finished items out. Only the resolver's files include it.
 *
 * "With the lock held": the caller holds r->lock. Callers of other functions with a resolver do not. */
#ifndef MIOC_RESOLVER_JOBS_H
#define MIOC_RESOLVER_JOBS_H

#include "model.h"

/* --- resolver_keys.c --------------------------------------------------------------------------------------------- */
/* A multiset: a key that was added twice must be removed twice. Without memory a key is not noted, and may be read
 * twice. */
void mioc_keys_add(struct mioc_keys *keys, uint64_t hash);
void mioc_keys_remove(struct mioc_keys *keys, uint64_t hash);
int mioc_keys_has(const struct mioc_keys *keys, uint64_t hash);
void mioc_keys_free(struct mioc_keys *keys);

/* --- resolver_results.c ------------------------------------------------------------------------------------------ */
void mioc_results_init(struct mioc_result_queue *q);
/* A result with room for `size` bytes of item and chunk, to be filled in; NULL: no memory. */
struct mioc_result *mioc_result_new(size_t size);
void mioc_result_free(struct mioc_result *result);
/* Bytes of its item and its chunk. */
size_t mioc_result_bytes(const struct mioc_result *result);
/* Appends a result to the answer, and takes it. */
void mioc_answer_push(struct mioc_answer *answer, struct mioc_result *result);
/* Appends a copy of an item. 0 or -1 (ENOMEM). */
int mioc_answer_add(struct mioc_answer *answer, const void *item);
/* With the lock held: puts a result into a queue for the agent. */
void mioc_resolver_file(struct mioc_resolver *r, struct mioc_result_queue *q, struct mioc_result *result);
/* With the lock held: a result was taken out of its queue other than by the agent. */
void mioc_resolver_forget(struct mioc_resolver *r, const struct mioc_result *result);
/* With the lock held: the small result of that key that waits for the agent, or that the agent is publishing; NULL. */
const struct mioc_result *mioc_resolver_find_small(const struct mioc_resolver *r, uint64_t hash);
/* Queues one chunk of a job's long content at once, and takes it. Waits while too much waits for the agent; a job that
 * nobody waits for does so earlier, and lets the others pass. 0, or -1: the resolver stops. */
int mioc_resolver_stream(struct mioc_resolver *r, const struct mioc_job *job, struct mioc_result *result);
/* Counts real calls. Any thread, no lock. */
void mioc_resolver_count(struct mioc_resolver *r, unsigned calls);
/* What the store, or a result on its way there, says about a directory's listing. Calls visit() with it if it can be
 * read, possibly with the lock held. */
enum mioc_listing {
    MIOC_LISTING_UNKNOWN,
    MIOC_LISTING_READ,    /* visit() was called */
    MIOC_LISTING_ABSENT,  /* there is no such directory */
    MIOC_LISTING_UNSHARED /* it is not shared, or cannot be read */
};
enum mioc_listing mioc_resolver_look_at_listing(struct mioc_resolver *r, const char *dir, uint32_t len,
                                                void (*visit)(void *ctx, const struct mioc_list_record *list),
                                                void *ctx);

/* --- resolver_queue.c -------------------------------------------------------------------------------------------- */
/* With the lock held: queues a question that somebody waits for. 0 or -1 (ENOMEM). */
int mioc_resolver_enqueue(struct mioc_resolver *r, unsigned kind, const char *path, uint32_t len);
/* The same for a question of the manifest, unless it is under way. */
int mioc_resolver_enqueue_early(struct mioc_resolver *r, unsigned kind, const char *path, uint32_t len);
/* With the lock held: queues a job of resolve_needed.c. 0, and it takes the lookup, which may be NULL. -1: it is under
 * way, there are too many, or there is no memory. */
int mioc_resolver_enqueue_needed(struct mioc_resolver *r, unsigned kind, const char *path, uint32_t len,
                                 struct mioc_lookup *lookup);
/* A job for a question that may come soon. NULL: its answer is known, it may not be read, or there is no memory. */
struct mioc_job *mioc_resolver_new_guess(struct mioc_resolver *r, unsigned kind, const char *path, uint32_t len);
/* Queues a list of such jobs, before all guesses that wait, and takes them. Those under way are dropped. */
void mioc_resolver_enqueue_guesses(struct mioc_resolver *r, struct mioc_job *first);
/* Queues a question that follows from `job`, unless its answer is known or under way. */
void mioc_resolver_speculate(struct mioc_resolver *r, const struct mioc_job *job, unsigned kind, const char *path,
                             uint32_t len);
/* Answers a question that follows from `job`, now and in this thread, so that its answer comes before that of `job`.
 * Does nothing if the answer is known or under way, or the path is not in a library directory. */
void mioc_resolver_bring(struct mioc_resolver *r, const struct mioc_job *job, unsigned kind, const char *path,
                         uint32_t len);
/* With the lock held: whether a job of that key waits or runs. */
int mioc_resolver_has_job(const struct mioc_resolver *r, uint64_t hash);
/* With the lock held: whether there is something to do that nobody waits for. */
static inline int mioc_resolver_has_idle_work(const struct mioc_resolver *r)
{
    return r->libraries.queue.first != NULL || r->guesses != NULL || r->early.first != NULL;
}
/* With the lock held: takes out the job that a thread is to do next; NULL: none. */
struct mioc_job *mioc_resolver_next_job(struct mioc_resolver *r);
/* With the lock held: the job is active from here on, and a write to its path makes its answer stale. */
void mioc_resolver_start_job(struct mioc_resolver *r, struct mioc_job *job);
/* Frees a list; NULL is an empty one. */
void mioc_resolver_free_jobs(struct mioc_job *first);

/* --- resolver_jobs.c --------------------------------------------------------------------------------------------- */
/* Answers a job, again as often as writes overtake it, and frees it. */
void mioc_resolver_run_job(struct mioc_resolver *r, struct mioc_job *job);

/* --- resolver_invalidate.c --------------------------------------------------------------------------------------- */
/* 1: the job's answer would not count, whatever it is, and `answer` gets the BRIEF record that says so. 0: it may. */
int mioc_resolver_answer_briefly(struct mioc_resolver *r, const struct mioc_job *job, struct mioc_answer *answer);
/* With the lock held: items of a job's answer that do not count become BRIEF records. */
void mioc_resolver_doubt(struct mioc_resolver *r, const struct mioc_job *job, struct mioc_answer *answer);

/* --- resolver_abandon.c: contents that will not be complete ------------------------------------------------------ */
/* With the lock held: drops the content's chunks that wait. If others have left already, a result tells all nodes. Call
 * mioc_resolver_release() afterwards. */
void mioc_resolver_abandon(struct mioc_resolver *r, const char *path, uint32_t len, uint32_t content, uint64_t size);
/* The same for a record that is thrown away, if it is of a content. is_filed: it stood in a queue. */
void mioc_resolver_abandon_record(struct mioc_resolver *r, const struct mioc_item *item, int is_filed);
/* Frees the content's chunks in an answer. */
void mioc_answer_drop_chunks(struct mioc_answer *answer, uint32_t content);
/* Gives back room that was reserved in vain. */
void mioc_resolver_release(struct mioc_resolver *r);

/* --- resolver_manifest.c ----------------------------------------------------------------------------------------- */
/* Reads the manifest and queues its questions. Blocks as long as its filesystem does. */
void mioc_resolver_read_manifest(struct mioc_resolver *r);

#endif
