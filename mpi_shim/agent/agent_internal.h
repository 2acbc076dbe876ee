/* SPDX-License-Identifier: BSD-3-Clause */
/* agent_internal.h - what the files of the protocol's state machine call of each other. Only they include it.
 *
 *     agent.c          its life, what this node's threads want, its state
 *     agent_message.c  what the transport says: messages, each checked before use
 *     agent_join.c     links that join: HELLO, WELCOME
 *     agent_pending.c  questions that wait for their record; where each key's newest record stands in the stream
 *     agent_stream.c   the publish stream: takes it in, hands it on
 *     agent_lease.c    until when stores may be served
 *     agent_sync.c     how far all stores are, so that a write can wait until every node has heard of it
 *     agent_report.c   reports on their way to the root
 *     agent_link.c     what is due to neighbours goes out: queue, requests, heartbeats, LEAVE; and their silence
 *     agent_queue.c    composed messages that wait for the parent
 *     agent_post.c     one message goes to the transport
 *     agent_end.c      a neighbour is gone, or the agent ends
 *
 * Only the entry points of agent.h call mioc_agent_flush(). All other code notes what is to be sent, so nothing is sent
 * in the middle of a change. */
#ifndef MIOC_AGENT_INTERNAL_H
#define MIOC_AGENT_INTERNAL_H

#include "agent_state.h"
#include "transport/transport.h"

/* Time never goes back: a caller may have read its clock before the last event came. */
static inline void mioc_agent_set_time(struct mioc_agent *a, uint64_t now)
{
    if (now > a->now)
        a->now = now;
}

/* --- agent.c ----------------------------------------------------------------------------------------------------- */
/* mioc_agent_want(); without memory the agent ends. */
void mioc_agent_take_question(struct mioc_agent *a, unsigned kind, const char *path, uint32_t len, uint64_t hash,
                              int is_child);
/* `node` wrote: puts that into the stream, or passes it on. 0, or -1: too much waits for the parent. */
int mioc_agent_take_written(struct mioc_agent *a, uint32_t node, uint64_t token, uint32_t flags, const char *path,
                            uint32_t len);

/* --- agent_join.c ------------------------------------------------------------------------------------------------ */
/* Copies `bytes` to *to, which is freed first. 0, or -1: no memory, and *to is as it was. */
int mioc_agent_keep(void **to, uint32_t *to_size, const void *bytes, uint32_t size);
/* Whether `node` is `ancestor` or below it. */
int mioc_agent_is_below(const struct mioc_agent *a, uint32_t ancestor, uint32_t node);
/* The link to that child, in whatever state; NULL: there never was one. */
struct mioc_agent_link *mioc_agent_child(struct mioc_agent *a, int node);
/* A child is told LEAVE, and not heard any more. `flags`: MIOC_LEAVE_. */
void mioc_agent_dismiss(struct mioc_agent *a, struct mioc_agent_link *link, uint32_t flags);
/* A neighbour (NULL: none) broke the protocol: dismisses it, or ends the agent. */
void mioc_agent_blame(struct mioc_agent *a, struct mioc_agent_link *link);
/* `peer` can be reached. */
void mioc_agent_meet(struct mioc_agent *a, int peer);
void mioc_agent_take_hello(struct mioc_agent *a, struct mioc_agent_link *link, const struct mioc_message *m);
void mioc_agent_take_welcome(struct mioc_agent *a, const struct mioc_message *m);
void mioc_agent_send_hello(struct mioc_agent *a);
void mioc_agent_send_welcomes(struct mioc_agent *a);

/* --- agent_report.c ---------------------------------------------------------------------------------------------- */
/* Queues that node's report for the parent. 0, or -1: there is no parent, or too much waits for it. */
int mioc_agent_queue_report(struct mioc_agent *a, uint32_t node, const void *bytes, uint32_t size);
/* All children that are linked are to be asked for reports. */
void mioc_agent_ask_children(struct mioc_agent *a);
void mioc_agent_take_report(struct mioc_agent *a, struct mioc_agent_link *link, const struct mioc_message *m);
void mioc_agent_send_wishes(struct mioc_agent *a);

/* --- agent_queue.c ----------------------------------------------------------------------------------------------- */
/* An empty message with room for `size` bytes, or NULL: no memory. Fill in bytes and size, then append it. */
struct mioc_agent_out *mioc_agent_out_new(size_t size);
/* Takes the message. */
void mioc_agent_out_append(struct mioc_agent *a, struct mioc_agent_out *out);
/* Frees the first message. The queue must not be empty. */
void mioc_agent_queue_remove(struct mioc_agent *a);
void mioc_agent_queue_clear(struct mioc_agent *a);
/* The first message has been sent. It is kept where it may have to be sent again. */
void mioc_agent_queue_sent(struct mioc_agent *a);
/* The parent is lost: what went to it may be lost, too, and goes again. */
void mioc_agent_queue_again(struct mioc_agent *a);
/* The stream says that this write came to the root. */
void mioc_agent_queue_confirm(struct mioc_agent *a, uint32_t node, uint64_t token);
/* Forgets what is kept and will not be confirmed. */
void mioc_agent_queue_expire(struct mioc_agent *a);

/* --- agent_pending.c --------------------------------------------------------------------------------------------- */
/* 0, or -1: no memory. */
int mioc_agent_pending_start(struct mioc_agent *a);
/* Forgets all questions, without an answer. */
void mioc_agent_pending_clear(struct mioc_agent *a);
void mioc_agent_pending_free(struct mioc_agent *a);
/* Somebody wants a record that is not here: joins the question to an equal one, or passes it on. May call
 * host.resolve(), so it comes last in its caller. 0, or -1: no memory. */
int mioc_agent_want(struct mioc_agent *a, unsigned kind, const char *path, uint32_t len, uint64_t hash, int is_child);
/* A record stands in the stream at `offset`: notes the place and wakes who waits for it, if this node is linked. */
void mioc_agent_pending_answer(struct mioc_agent *a, const struct mioc_item *item, uint64_t offset);
/* The node is linked from now on: wakes all who wait for what is known. */
void mioc_agent_pending_review(struct mioc_agent *a);
/* All questions go to the parent once more. */
void mioc_agent_pending_again(struct mioc_agent *a);
/* Forgets questions that have waited for request_ns. */
void mioc_agent_pending_expire(struct mioc_agent *a);
/* Whether the newest record of this key stands at or behind `offset`. */
int mioc_agent_is_behind(const struct mioc_agent *a, uint64_t hash, uint64_t offset);

/* --- agent_end.c ------------------------------------------------------------------------------------------------- */
/* Ends the agent, once: answers local waiters "real call", and owes LEAVE to every neighbour that is still there. */
void mioc_agent_stop(struct mioc_agent *a, enum mioc_agent_end state);
/* A neighbour is gone (`state`: LEFT or DEAD). Without its parent the agent has none until another ancestor joins;
 * without has_joins it ends. */
void mioc_agent_drop(struct mioc_agent *a, struct mioc_agent_link *link, enum mioc_link_state state);
/* The flags of LEAVE to a child, as this agent has ended: MIOC_LEAVE_. */
uint32_t mioc_agent_farewell(const struct mioc_agent *a);
/* A neighbour says LEAVE. */
void mioc_agent_take_leave(struct mioc_agent *a, struct mioc_agent_link *link, const struct mioc_message *m);

/* --- agent_post.c ------------------------------------------------------------------------------------------------ */
/* A buffer for one message; NULL: try later. */
void *mioc_agent_buffer(struct mioc_agent *a);
/* Hands `buf` (of mioc_agent_buffer()) to the transport, or back. 0, or -1: try later, or the link was dropped. */
int mioc_agent_post(struct mioc_agent *a, struct mioc_agent_link *link, void *buf, size_t size);

/* --- agent_link.c ------------------------------------------------------------------------------------------------ */
/* Sends a heartbeat to each neighbour that got nothing for heartbeat_ns. */
void mioc_agent_heartbeats(struct mioc_agent *a);
/* Drops neighbours that were silent for silence_ns. */
void mioc_agent_listen(struct mioc_agent *a);
/* When the next tick is due. */
uint64_t mioc_agent_next(const struct mioc_agent *a);
/* Sends all that may be sent now. */
void mioc_agent_flush(struct mioc_agent *a);

/* --- agent_lease.c ----------------------------------------------------------------------------------------------- */
/* A child says its time. */
void mioc_agent_note_clock(struct mioc_agent *a, struct mioc_agent_link *link, uint64_t clock);
/* How long that child may be served, from the last time on that it said; 0: nothing can be said. */
uint64_t mioc_agent_grant(const struct mioc_agent *a, const struct mioc_agent_link *link);
/* A child that was linked is lost, without a word: it and those below may be served until their leases end. */
void mioc_agent_note_lost(struct mioc_agent *a, const struct mioc_agent_link *link);
/* Whether there are such. */
int mioc_agent_has_lost(const struct mioc_agent *a);
/* The parent says until when this node may be served. */
void mioc_agent_take_grant(struct mioc_agent *a, uint64_t clock, uint64_t grant);
/* The neighbour is to get a HEARTBEAT now, if its last one is not too young. */
void mioc_agent_owe_beat(const struct mioc_agent *a, struct mioc_agent_link *link);
/* Tells the host and those who wait if this node has become ready, or is not ready any more. */
void mioc_agent_note_readiness(struct mioc_agent *a);

/* --- agent_sync.c ------------------------------------------------------------------------------------------------ */
/* An INVALIDATE was applied here; `end` is the stream's end behind it. */
void mioc_agent_sync_note(struct mioc_agent *a, const struct mioc_invalidate_record *record, uint64_t end);
/* A neighbour's HEARTBEAT says how far others are. */
void mioc_agent_sync_take(struct mioc_agent *a, struct mioc_agent_link *link, const struct mioc_message *m);
/* Settles this node's writes that all have heard of, and tells neighbours that wait for such news. */
void mioc_agent_sync(struct mioc_agent *a);
/* Sends a HEARTBEAT. 0, or -1: not now. */
int mioc_agent_beat(struct mioc_agent *a, struct mioc_agent_link *link);
/* Whether news is due that a write waits for. */
int mioc_agent_is_syncing(const struct mioc_agent *a);

/* --- agent_stream.c ---------------------------------------------------------------------------------------------- */
/* Takes one checked item into the store. 0, or -1: the agent has ended. */
int mioc_agent_apply(struct mioc_agent *a, const struct mioc_item *item, const void *bytes);
/* Takes in all items of a STREAM message. */
void mioc_agent_take_stream(struct mioc_agent *a, const struct mioc_message *m);
/* Sends the children what they lack, as far as windows and buffers allow. */
void mioc_agent_pump(struct mioc_agent *a);
/* Root: puts an INVALIDATE into the stream, one for each other name of the path, and what belongs to it. */
void mioc_agent_invalidate(struct mioc_agent *a, uint32_t node, uint64_t token, uint32_t flags, const char *path,
                           uint32_t len);

#endif
