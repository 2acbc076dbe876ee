/* SPDX-License-Identifier: BSD-3-Clause */
/* agent.h - the protocol between the nodes' agents, as a pure state machine: no thread, no clock, no I/O, no MPI.
 *
 * README.md explains the publish stream, joining and leases; mpi_shim/README.md how a write becomes known everywhere.
 *
 * The caller feeds the agent with events (a question, a message, time) and gets calls of struct mioc_agent_host back.
 * One thread calls everything here, the agent's. No host function may call the agent, but for mioc_agent_publish() from
 * resolve(). `path` has `len` bytes and a NUL behind them. Times are nanoseconds of any monotonic clock.
 *
 * With has_joins the transport says when a neighbour can be reached: mioc_agent_joined(). A child that breaks the
 * protocol is dismissed with LEAVE, and the agent goes on; a parent that does ends the agent. One that is lost or says
 * LEAVE leaves an orphan, and another ancestor may take its place, unless the root has said LEAVE. Without has_joins
 * all neighbours are there from the start, and the end of the parent ends the agent. */
#ifndef MIOC_AGENT_H
#define MIOC_AGENT_H

#include "store/item.h"
#include "wire.h"
#include <stddef.h>
#include <stdint.h>

/* Most children that are linked at a time, with has_joins. Others are dismissed. */
#define MIOC_AGENT_CHILDREN_MAX 16u

struct mioc_agent;

struct mioc_agent_config {
    int node, nodes, arity; /* arity >= 1: children of a node. The parent of n is (n - 1) / arity */
    uint64_t request_ns;    /* a pending question is forgotten after this long, so that it can be asked again */
    uint64_t heartbeat_ns;  /* at least one message to each neighbour in this time */
    uint64_t silence_ns;    /* a neighbour that is silent for this long is dead */
    unsigned window;        /* most messages under way to one child */
    int has_joins;          /* links come and go; else all neighbours are there from the start, for good */
    /* With has_joins: a store that does not hear of its parent is served no longer than this, and the job's writes wait
     * as long for a store that was lost. At most silence_ns. */
    uint64_t lease_ns;
    uint64_t stream; /* root, with has_joins: names this stream, not 0; another root's differs */
    /* What this node says of itself when it joins, for the hosts of the agents above; at most MIOC_WIRE_SMALL_MAX. */
    const void *hello;
    uint32_t hello_size;
    /* Root: what the host of each node that joins is to know. At most MIOC_MESSAGE_MAX with its header. */
    const void *welcome;
    uint32_t welcome_size;
};

/* The agent's state: RUNNING, or why it ended. */
enum mioc_agent_end {
    MIOC_AGENT_RUNNING,
    MIOC_AGENT_PARENT_LEFT, /* with has_joins: the root */
    MIOC_AGENT_PEER_DIED,   /* the parent is dead, or could not be told of a write */
    MIOC_AGENT_STORE_FULL,  /* or the store failed, or there was no memory for a question */
    MIOC_AGENT_PROTOCOL,    /* a message failed its check; with has_joins: one of the parent */
    MIOC_AGENT_LEFT,        /* by mioc_agent_leave() */
    MIOC_AGENT_REFUSED      /* the parent did not take this node, or host.welcomed() said -1 */
};

struct mioc_agent_host {
    void *ctx; /* the first argument of all functions below */

    /* --- Store --- */
    /* Whether the store has a live record of the key, not expired. */
    int (*is_known)(void *ctx, unsigned kind, const char *path, uint32_t len);
    /* Appends an item to the store: its offset in the stream, or -1 (mioc_store_append). What comes before
     * mioc_agent_is_linked() can be of any age: a record that lives for a time only must count as expired. */
    int64_t (*append)(void *ctx, const struct mioc_item *item);
    /* Write and read the bytes of a chunk: 0 or -1. */
    int (*write_chunk)(void *ctx, const struct mioc_chunk_record *chunk, const void *bytes);
    int (*read_chunk)(void *ctx, const struct mioc_chunk_record *chunk, void *bytes);
    /* The item at a stream offset; NULL at the end. */
    const struct mioc_item *(*item_at)(void *ctx, uint64_t offset);
    /* The stream offset behind the last item. */
    uint64_t (*end)(void *ctx);

    /* --- Root only --- */
    /* Starts the real calls for a question. The answer comes by mioc_agent_publish(), before this returns or later. */
    void (*resolve)(void *ctx, unsigned kind, const char *path, uint32_t len);
    /* `node` wrote this path, and its INVALIDATE is about to go into the stream: answers under way are made anew. */
    void (*invalidated)(void *ctx, const char *path, uint32_t len, uint32_t flags, uint32_t node);
    /* The i-th other name under which a write to this path concerns records (aliases.h). Its length; 0: no more. */
    uint32_t (*other_name)(void *ctx, unsigned i, const char *path, uint32_t flags, char out[]);

    /* --- Transport --- */
    /* A buffer of MIOC_MESSAGE_MAX bytes, or NULL: none is free now. With fewer buffers than arity * window + 9, one
     * child that stands still could keep them all; with has_joins the number is
     * MIOC_AGENT_CHILDREN_MAX * (window + 1) + 9, as children that were dismissed get a last message, too. */
    void *(*get_buffer)(void *ctx);
    /* Takes back a buffer that was not sent. */
    void (*put_buffer)(void *ctx, void *buffer);
    /* Sends `message`, a buffer of get_buffer(), without a copy; mioc_agent_sent() follows. 0, or -1 with errno:
     * EAGAIN (later), anything else (the peer is lost). After -1 the agent gives the buffer back. */
    int (*send)(void *ctx, int peer, void *message, size_t size);

    /* --- This node --- */
    /* Wakes this node's threads that wait for the key. kind 0: all of them. `answered`: look into the store again (1),
     * or make the real call (0). */
    void (*answer)(void *ctx, unsigned kind, const char *path, uint32_t len, int answered);
    /* Every store of the job that is still served has applied this node's writes up to `token`. */
    void (*settled)(void *ctx, uint64_t token);
    /* Root: a report of `node` arrived. It replaces an older one of that node. */
    void (*report)(void *ctx, int node, const void *bytes, uint32_t size);
    /* The root wants reports: call mioc_agent_send_report() soon, but not from here. May be NULL. */
    void (*wanted_report)(void *ctx);

    /* --- With has_joins; each may be NULL --- */
    /* `node` has joined, here or further below, and says this of itself. -1: this agent does not take it; a node that
     * joined here is dismissed, one further below is not announced further up. */
    int (*hello)(void *ctx, int node, const void *bytes, uint32_t size);
    /* The parent took this node; the bytes are the root's. Called once, before all else that comes from above. -1: this
     * node cannot take part; the agent ends (REFUSED). */
    int (*welcomed)(void *ctx, const void *bytes, uint32_t size);
    /* This node is not linked any more, for a while: its store must not be served from now on, and its threads that
     * wait for a record make the real call. */
    void (*unlinked)(void *ctx);
    /* This node has no use for its link to that ancestor any more: mioc_agent_lost() is to follow. */
    void (*hang_up)(void *ctx, int peer);
};

/* Both structures are copied. NULL with errno: EINVAL, ENOMEM. */
struct mioc_agent *mioc_agent_new(const struct mioc_agent_config *config, const struct mioc_agent_host *host,
                                  uint64_t now);
void mioc_agent_free(struct mioc_agent *a);

/* --- Events ------------------------------------------------------------------------------------------------------ */

/* A thread of this node wants a record. answer() is called: at once if the record is known here, else later. */
void mioc_agent_ask(struct mioc_agent *a, unsigned kind, const char *path, uint32_t len, uint64_t now);
/* A thread of this node wrote a path, and the host has put its hold in force under `token`, which rises; with has_joins
 * also over the lives of a node, as the stream brings back what an earlier process of this node wrote. `token` 0:
 * nobody waits for this write. settled() says later that every node has heard of the write; in a job of one node it
 * does so before this returns. It never does if the agent ends. */
void mioc_agent_wrote(struct mioc_agent *a, const char *path, uint32_t len, uint32_t flags, uint64_t token,
                      uint64_t now);
/* Root only: appends a finished item, with the bytes of a chunk, to the stream. 0, or -1 with errno: the agent has
 * ended, or the store is full, which ends it. */
int mioc_agent_publish(struct mioc_agent *a, const struct mioc_item *item, const void *bytes, uint64_t now);
/* The transport's JOINED: `peer` can be reached from now on; mioc_agent_lost() ends that. A second one for a peer that
 * was not lost replaces a child's link, and is the parent's end. */
void mioc_agent_joined(struct mioc_agent *a, int peer, uint64_t now);
/* A message came from `peer`. Every byte is checked; a message that fails ends the agent (MIOC_AGENT_PROTOCOL), or with
 * has_joins the child's link. */
void mioc_agent_message(struct mioc_agent *a, int peer, const void *bytes, size_t size, uint64_t now);
/* A send to `peer` has finished. */
void mioc_agent_sent(struct mioc_agent *a, int peer, uint64_t now);
/* The transport has lost a peer. Without its parent the agent has no link until another ancestor joins; without
 * has_joins it ends. */
void mioc_agent_lost(struct mioc_agent *a, int peer, uint64_t now);
/* Time has passed: heartbeats, silence, old questions, sends that waited for a buffer. The latest time of the next
 * call. */
uint64_t mioc_agent_tick(struct mioc_agent *a, uint64_t now);
/* This node ends: the root gets its report (may be NULL), parent and children get LEAVE. */
void mioc_agent_leave(struct mioc_agent *a, const void *report, uint32_t size, uint64_t now);
/* Sends this node's report, at most MIOC_WIRE_SMALL_MAX bytes, on its way to the root. 0, or -1: there is no way up
 * now, or too much waits for it. */
int mioc_agent_send_report(struct mioc_agent *a, const void *bytes, uint32_t size, uint64_t now);
/* Root: asks all nodes that are linked now for their reports. */
void mioc_agent_want_reports(struct mioc_agent *a, uint64_t now);

/* --- State ------------------------------------------------------------------------------------------------------- */

/* An agent that has ended has answered all waiters "real call". It still sends what it owes: what was queued for the
 * parent, and LEAVE. Go on with sent() and tick() until mioc_agent_is_busy() is 0, for a moment at most. */
enum mioc_agent_end mioc_agent_state(const struct mioc_agent *a);
/* Whether the store is as new as the job's: at the root always; else once the parent has welcomed this node and the
 * stream has come as far as it said then. Before, records may be reachable that a write which has returned has made
 * wrong, so *nothing in the store may be served*; questions and writes can be handed in, and wait. Stays 1 while the
 * agent is RUNNING; with has_joins only until the parent is lost or the lease ends. */
int mioc_agent_is_linked(const struct mioc_agent *a);
/* When the store must not be served any more if nothing else is heard of this agent; 0: it must not be served now.
 * UINT64_MAX: no time ends it. */
uint64_t mioc_agent_served_until(const struct mioc_agent *a);
/* Whether the next milliseconds will bring news (pending questions, unsent stream, sends under way): poll fast. */
int mioc_agent_is_busy(const struct mioc_agent *a);
/* Whether no child can be sent more of the stream now: large items should wait, so that small ones do not queue. */
int mioc_agent_is_saturated(const struct mioc_agent *a);
/* Root: every store of the job that is served has applied the stream below this offset; it never goes back. A node that
 * joins later is sent that part again, with zeros for the bytes of contents that were given up. */
uint64_t mioc_agent_synced(const struct mioc_agent *a);
/* Children that are linked: have neither left nor died. A root that ends waits for 0. */
unsigned mioc_agent_children(const struct mioc_agent *a);

struct mioc_agent_counters {
    uint64_t requests_local, requests_children; /* questions of this node, of its subtree */
    uint64_t requests_merged;                   /* of these: joined to a question or a record under way */
    uint64_t requests_sent, requests_resolved;  /* to the parent; on the root: to the resolver */
    uint64_t items, bytes_sent, messages_sent, invalidations;
};
const struct mioc_agent_counters *mioc_agent_counters(const struct mioc_agent *a);

#endif
