/* SPDX-License-Identifier: BSD-3-Clause */
/* agent_internal.h - what the files of the protocol's state machine share.
 *
 *     agent.c          what the world tells the agent, and how it ends
 *     agent_pending.c  questions that wait for their record, and where each key's newest record stands in the stream
 *     agent_link.c     messages to neighbours: the queue to the parent, requests, heartbeats, LEAVE, silence
 *     agent_stream.c   the publish stream: taking it in, handing it on
 *     agent_sync.c   how far all stores are, so that a write can wait until every node has heard of it
 *
 * Only the entry points in agent.c flush; all else notes what is to be sent, so nothing sends in the middle of a
 * change. */
#ifndef MIOC_AGENT_INTERNAL_H
#define MIOC_AGENT_INTERNAL_H

#include "agent.h"
#include "transport/transport.h"

#include <sys/queue.h>

/* Messages under way to the parent. More waits here, so that requests take no buffers from the stream. */
#define MIOC_AGENT_UP_WINDOW 8u
/* Messages that wait for the parent; beyond, it takes nothing any more and counts as dead. */
#define MIOC_AGENT_QUEUE_MAX 16384u
/* Writes of this node that are told apart while they settle; beyond, the last ones settle together. */
#define MIOC_AGENT_WRITES 256u
/* How soon to try again what the transport refused. */
#define MIOC_AGENT_RETRY_NS 1000000ull

enum mioc_link_state { MIOC_LINK_NONE, MIOC_LINK_UP, MIOC_LINK_LEFT, MIOC_LINK_DEAD };

struct mioc_agent_link { /* to a neighbour */
    int node;
    enum mioc_link_state state;
    int owes_leave;         /* child: LEAVE is to be sent */
    int has_sent;           /* anything yet: the first tick greets */
    unsigned inflight;      /* messages whose sent() is outstanding */
    uint64_t heard, sent;   /* times */
    uint64_t cursor;        /* child: the stream below this offset was sent */
    uint64_t applied;       /* child: all stores of its subtree have applied the stream below this offset */
    uint64_t awaited, told; /* child: behind the last INVALIDATE of its subtree; how far all are, as it was told */
};

struct mioc_agent_out { /* a composed message that waits for the parent */
    STAILQ_ENTRY(mioc_agent_out) next;
    uint32_t size;
    _Alignas(8) char bytes[];
};

struct mioc_agent_pending { /* a question without answer */
    TAILQ_ENTRY(mioc_agent_pending) by_age, unsent;
    struct mioc_agent_pending *next; /* of its bucket */
    uint64_t hash;
    uint64_t since; /* when it was last asked */
    uint64_t posed; /* when it was last passed on */
    int is_unsent;  /* waits for room to the parent */
    uint32_t kind, len;
    char path[];
};

TAILQ_HEAD(mioc_agent_pending_list, mioc_agent_pending);
STAILQ_HEAD(mioc_agent_queue, mioc_agent_out);

/* Key hash → offset of the newest record in the stream. Open addressing, hash 0 is empty, only grows. */
struct mioc_agent_place {
    uint64_t hash, offset;
};

struct mioc_agent {
    struct mioc_agent_config config;
    struct mioc_agent_host host;
    struct mioc_agent_counters counters;
    enum mioc_agent_end state;
    uint64_t now, ticked;

    struct mioc_agent_link parent; /* NONE at the root */
    struct mioc_agent_link *child;
    unsigned children; /* ever */
    int first_child;
    unsigned turn;  /* whose stream goes first in the next round */
    int is_starved; /* the transport refused something: try again soon */

    struct mioc_agent_queue queue;
    unsigned queued;

    struct mioc_agent_pending **bucket;
    unsigned buckets, pendings;
    struct mioc_agent_pending_list by_age, unsent;

    struct mioc_agent_place *place;
    size_t places, places_cap;

    uint64_t settled; /* all stores of the job have applied the stream below this offset */
    uint64_t applied; /* … all of this subtree, as the parent was told */
    uint64_t awaited; /* behind the last INVALIDATE of anybody */
    struct mioc_agent_write {
        uint64_t end, token;
    } write[MIOC_AGENT_WRITES]; /* this node's, not settled, in the stream's order */
    unsigned writes;

    void *scratch; /* root: MIOC_ITEM_MAX bytes to compose INVALIDATE in */
};

static inline int mioc_agent_is_root(const struct mioc_agent *a) { return a->config.node == 0; }

/* --- agent_queue.c ----------------------------------------------------------------------------------------------- */
/* Queues a composed message of at most `size` bytes for the parent; NULL: no memory. Fill bytes, then append. */
struct mioc_agent_out *mioc_agent_out_new(size_t size);
void mioc_agent_out_append(struct mioc_agent *a, struct mioc_agent_out *out);
/* The first one, which there must be. */
void mioc_agent_queue_remove(struct mioc_agent *a);
void mioc_agent_queue_clear(struct mioc_agent *a);

/* --- agent_pending.c --------------------------------------------------------------------------------------------- */
int mioc_agent_pending_start(struct mioc_agent *a);
void mioc_agent_pending_clear(struct mioc_agent *a);
void mioc_agent_pending_free(struct mioc_agent *a);
/* Wants a record that is not here: merges, or passes the question on. May call host.resolve(), so it comes last. 0, or
 * -1: no memory. */
int mioc_agent_want(struct mioc_agent *a, unsigned kind, const char *path, uint32_t len, uint64_t hash, int is_child);
/* A record stands in the stream at `offset`: notes the place and answers who waits. */
void mioc_agent_pending_answer(struct mioc_agent *a, const struct mioc_item *item, uint64_t offset);
/* Forgets what waited too long. */
void mioc_agent_pending_expire(struct mioc_agent *a);
/* Whether the newest record of this key stands at or behind `offset`. */
int mioc_agent_is_behind(const struct mioc_agent *a, uint64_t hash, uint64_t offset);

/* --- agent_end.c ------------------------------------------------------------------------------------------------- */
/* Ends it, once: local waiters are answered, LEAVE is owed to whoever is still there. */
void mioc_agent_stop(struct mioc_agent *a, enum mioc_agent_end state);
/* A neighbour is gone. */
void mioc_agent_drop(struct mioc_agent *a, struct mioc_agent_link *link, enum mioc_link_state state);

/* --- agent_post.c ------------------------------------------------------------------------------------------------ */
/* NULL: try later. */
void *mioc_agent_buffer(struct mioc_agent *a);
/* Composes nothing: hands `buf` (of mioc_agent_buffer) to the transport or back. 0, or -1: try later, or the link was
 * dropped. */
int mioc_agent_post(struct mioc_agent *a, struct mioc_agent_link *link, void *buf, size_t size);

/* --- agent_link.c ------------------------------------------------------------------------------------------------ */
void mioc_agent_heartbeats(struct mioc_agent *a);
/* Drops who was silent for too long. */
void mioc_agent_listen(struct mioc_agent *a);
/* When time matters again. */
uint64_t mioc_agent_next(const struct mioc_agent *a);
/* Sends all that may be sent now. */
void mioc_agent_flush(struct mioc_agent *a);

/* --- agent_sync.c ------------------------------------------------------------------------------------------------ */
/* An INVALIDATE was applied here; `end` is the stream's end behind it. */
void mioc_agent_sync_note(struct mioc_agent *a, const struct mioc_invalidate_record *record, uint64_t end);
/* A neighbour's HEARTBEAT says how far others are. */
void mioc_agent_sync_take(struct mioc_agent *a, struct mioc_agent_link *link, const struct mioc_message *m);
/* Answers this node's writes that all have heard of, and tells neighbours who wait for that. */
void mioc_agent_sync(struct mioc_agent *a);
/* Sends a HEARTBEAT. 0, or -1: not now. */
int mioc_agent_beat(struct mioc_agent *a, struct mioc_agent_link *link);
/* Whether news is due that a write waits for. */
int mioc_agent_is_syncing(const struct mioc_agent *a);

/* --- agent_stream.c ---------------------------------------------------------------------------------------------- */
/* Takes one checked item into the store. 0, or -1 and the agent has ended. */
int mioc_agent_apply(struct mioc_agent *a, const struct mioc_item *item, const void *bytes);
void mioc_agent_take_stream(struct mioc_agent *a, const struct mioc_message *m);
/* Sends the children what they lack, as far as windows and buffers allow. */
void mioc_agent_pump(struct mioc_agent *a);
/* Root: an INVALIDATE goes into the stream, with what belongs to it. */
void mioc_agent_invalidate(struct mioc_agent *a, uint32_t node, uint64_t token, uint32_t flags, const char *path,
                           uint32_t len);

#endif
