/* SPDX-License-Identifier: BSD-3-Clause */
/* agent.h - the protocol, as a pure state machine: no thread, no clock, no I/O, no MPI.
 *
 * Nodes form a k-ary tree by number: the parent of n is (n - 1) / k. Requests go up and are merged at every hop; the
 * publish stream (item.h) comes down, each agent copying it into its store and on to its children at their own pace: a
 * child's place is one stream offset, so there is no queue to overflow. A REQUEST names its sender's end of stream, and
 * is dropped only where a live record of the key stands at or behind that: then it is on its way down. (An older one
 * can be live here and dead there: held after a write of that node's own, or expired by its clock.)
 *
 * Everything outside is behind struct mioc_agent_host; tests/sim puts thousands of agents on virtual time.
 * Single-threaded: all calls from the agent's thread. Times are nanoseconds of any monotonic clock. */
#ifndef MIOC_AGENT_H
#define MIOC_AGENT_H

#include "store/item.h"
#include "wire.h"
#include <stddef.h>
#include <stdint.h>

struct mioc_agent;

struct mioc_agent_config {
    int node, nodes, arity; /* arity >= 1 */
    uint64_t request_ns;    /* a pending request is forgotten after this long, so that it can be asked again */
    uint64_t heartbeat_ns;  /* at least one message to each neighbour in this time */
    uint64_t silence_ns;    /* a neighbour silent for this long is dead */
    uint64_t ttl_ns;        /* for is_fresh */
    unsigned window;        /* most STREAM messages under way to one child */
};

enum mioc_agent_end {
    MIOC_AGENT_RUNNING,
    MIOC_AGENT_PARENT_LEFT,
    MIOC_AGENT_PEER_DIED,
    MIOC_AGENT_STORE_FULL,
    MIOC_AGENT_PROTOCOL,
    MIOC_AGENT_LEFT /* by mioc_agent_leave() */
};

struct mioc_agent_host {
    void *ctx;
    /* Store. is_known: the key has a live, unexpired record here. append: see mioc_store_append (offset or -1). */
    int (*is_known)(void *ctx, unsigned kind, const char *path, uint32_t len);
    int64_t (*append)(void *ctx, const struct mioc_item *item);
    int (*write_chunk)(void *ctx, const struct mioc_chunk_record *chunk, const void *bytes);
    int (*read_chunk)(void *ctx, const struct mioc_chunk_record *chunk, void *bytes);
    const struct mioc_item *(*item_at)(void *ctx, uint64_t offset); /* NULL at the end */
    uint64_t (*end)(void *ctx);
    /* Root only: start the real calls for this question; the answers come back by mioc_agent_publish(), at once or
     * later. */
    void (*resolve)(void *ctx, unsigned kind, const char *path, uint32_t len);
    /* Root only: before each INVALIDATE goes into the stream: answers under way for this path must be made anew. `node`
     * wrote. */
    void (*invalidated)(void *ctx, const char *path, uint32_t len, uint32_t flags, uint32_t node);
    /* Root only: the i-th other name under which a write to this path concerns records (aliases.h); its length, 0: no
     * more. */
    uint32_t (*other_name)(void *ctx, unsigned i, const char *path, uint32_t flags, char out[]);
    /* Transport: copies nothing; `message` is from get_buffer and goes back through it. 0 or -1 with errno (EAGAIN,
     * EPIPE); a message that was not sent is given back by put_buffer. With fewer buffers than arity * window + 9 one
     * child that stands still could keep them all. */
    void *(*get_buffer)(void *ctx);              /* MIOC_MESSAGE_MAX bytes, or NULL: none free now */
    void (*put_buffer)(void *ctx, void *buffer); /* gives an unsent one back */
    int (*send)(void *ctx, int peer, void *message, size_t size);
    /* Those who wait on this node for that key: look again (status of ring.h: ANSWERED or REAL). kind 0: all who wait.
     */
    void (*answer)(void *ctx, unsigned kind, const char *path, uint32_t len, int answered);
    /* All writes of this node up to this token are applied in every store of the job that is still served. */
    void (*settled)(void *ctx, uint64_t token);
    /* A report of a subtree came from a child (root merges, others merge and pass on when they end). */
    void (*report)(void *ctx, int child, const void *bytes, uint32_t size);
};

struct mioc_agent *mioc_agent_new(const struct mioc_agent_config *config, const struct mioc_agent_host *host,
                                  uint64_t now);
void mioc_agent_free(struct mioc_agent *a);

/* A local thread wants a record. If it is known here already the host's answer() is called at once. */
void mioc_agent_ask(struct mioc_agent *a, unsigned kind, const char *path, uint32_t len, uint64_t now);
/* A local thread wrote a path; the host has put its hold in force under `token` (rising). Root: publishes; others: tell
 * the parent. When all have heard of it the host's settled() says so, at once in a job of one node. It takes about 4
 * messages on each level of the tree, one after the other: INVALIDATE up, STREAM down, HEARTBEAT up and down; and never
 * comes if the agent ends. */
void mioc_agent_wrote(struct mioc_agent *a, const char *path, uint32_t len, uint32_t flags, uint64_t token,
                      uint64_t now);
/* Root: all stores of the job have applied the stream below this offset, so that no agent will hand it on any more. */
uint64_t mioc_agent_synced(const struct mioc_agent *a);
/* Root only: a resolver's finished item goes into the stream (with a chunk's bytes). 0, or -1: the store is full. */
int mioc_agent_publish(struct mioc_agent *a, const struct mioc_item *item, const void *bytes, uint64_t now);
/* A message from a neighbour; every byte is checked. One that fails the check ends the agent with MIOC_AGENT_PROTOCOL.
 */
void mioc_agent_message(struct mioc_agent *a, int peer, const void *bytes, size_t size, uint64_t now);
/* A send to `peer` finished: there is room in its window. */
void mioc_agent_sent(struct mioc_agent *a, int peer, uint64_t now);
/* The transport lost a peer. */
void mioc_agent_lost(struct mioc_agent *a, int peer, uint64_t now);
/* Time passes: heartbeats, silence, forgotten requests, streams that wait for a buffer. Returns when it wants the next
 * tick at latest. */
uint64_t mioc_agent_tick(struct mioc_agent *a, uint64_t now);
/* This node ends: LEAVE to parent and children, a report (may be NULL) to the parent first. */
void mioc_agent_leave(struct mioc_agent *a, const void *report, uint32_t size, uint64_t now);

/* How it stands. After anything but RUNNING all local waiters were answered "real call", and nothing more is sent but
 * what is owed: LEAVE to children and parent, and to the parent what waited for it before. Go on with sent() and tick()
 * until mioc_agent_is_busy() says 0, for a moment at most. */
enum mioc_agent_end mioc_agent_state(const struct mioc_agent *a);
/* Whether work is under way that the next milliseconds will bring news of (pending requests, unsent stream, messages
 * whose sent() is outstanding): poll fast. */
int mioc_agent_is_busy(const struct mioc_agent *a);
/* Whether there is more of the stream than any child can be sent now: what is large had better wait for what is small.
 */
int mioc_agent_is_saturated(const struct mioc_agent *a);
/* Children (and through them subtrees) that have neither left nor died: a root that ends waits for 0. */
unsigned mioc_agent_children(const struct mioc_agent *a);

struct mioc_agent_counters {
    uint64_t requests_local, requests_children, requests_merged, requests_sent, requests_resolved /* root */, items,
        bytes_sent, messages_sent, invalidations;
};
const struct mioc_agent_counters *mioc_agent_counters(const struct mioc_agent *a);

#endif
