/* SPDX-License-Identifier: BSD-3-Clause */
/* agent_internal.h - what the files of the protocol's state machine call of each other. Only they include it.
 *
 *     agent.c          the events, and the way in for messages
 *     agent_pending.c  questions that wait for their record; where each key's newest record stands in the stream
 *     agent_stream.c   the publish stream: takes it in, hands it on
 *     agent_sync.c     how far all stores are, so that a write can wait until every node has heard of it
 *     agent_link.c     what is due to neighbours goes out: queue, requests, heartbeats, LEAVE; and their silence
 *     agent_queue.c    composed messages that wait for the parent
 *     agent_post.c     one message goes to the transport
 *     agent_end.c      a neighbour is gone, or the agent ends
 *
 * Only the entry points in agent.c call mioc_agent_flush(). All other code notes what is to be sent, so nothing is sent
 * in the middle of a change. */
#ifndef MIOC_AGENT_INTERNAL_H
#define MIOC_AGENT_INTERNAL_H

#include "agent_state.h"
#include "transport/transport.h"

/* --- agent_queue.c ----------------------------------------------------------------------------------------------- */
/* An empty message with room for `size` bytes, or NULL: no memory. Fill in bytes and size, then append it. */
struct mioc_agent_out *mioc_agent_out_new(size_t size);
/* Takes the message. */
void mioc_agent_out_append(struct mioc_agent *a, struct mioc_agent_out *out);
/* Frees the first message. The queue must not be empty. */
void mioc_agent_queue_remove(struct mioc_agent *a);
void mioc_agent_queue_clear(struct mioc_agent *a);

/* --- agent_pending.c --------------------------------------------------------------------------------------------- */
/* 0, or -1: no memory. */
int mioc_agent_pending_start(struct mioc_agent *a);
/* Forgets all questions, without an answer. */
void mioc_agent_pending_clear(struct mioc_agent *a);
void mioc_agent_pending_free(struct mioc_agent *a);
/* Somebody wants a record that is not here: joins the question to an equal one, or passes it on. May call
 * host.resolve(), so it comes last in its caller. 0, or -1: no memory. */
int mioc_agent_want(struct mioc_agent *a, unsigned kind, const char *path, uint32_t len, uint64_t hash, int is_child);
/* A record stands in the stream at `offset`: notes the place and wakes who waits for it. */
void mioc_agent_pending_answer(struct mioc_agent *a, const struct mioc_item *item, uint64_t offset);
/* Forgets questions that have waited for request_ns. */
void mioc_agent_pending_expire(struct mioc_agent *a);
/* Whether the newest record of this key stands at or behind `offset`. */
int mioc_agent_is_behind(const struct mioc_agent *a, uint64_t hash, uint64_t offset);

/* --- agent_end.c ------------------------------------------------------------------------------------------------- */
/* Ends the agent, once: answers local waiters "real call", and owes LEAVE to every neighbour that is still there. */
void mioc_agent_stop(struct mioc_agent *a, enum mioc_agent_end state);
/* A neighbour is gone (`state`: LEFT or DEAD). Without its parent the agent ends. */
void mioc_agent_drop(struct mioc_agent *a, struct mioc_agent_link *link, enum mioc_link_state state);

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
