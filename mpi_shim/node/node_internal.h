/* SPDX-License-Identifier: BSD-3-Clause */
/* node_internal.h - what the files of node/ call of each other. Only they include it. */
#ifndef MIOC_NODE_INTERNAL_H
#define MIOC_NODE_INTERNAL_H

#include "node.h"
#include "node_state.h"

/* --- node_state.c ------------------------------------------------------------------------------------------------ */
/* Bytes that this node's store may take: MPIIO_CACHE_MAX_BYTES, or what the machine allows at the first call. */
uint64_t mioc_node_store_limit(const struct mioc_config *config);

/* --- node_store.c ------------------------------------------------------------------------------------------------ */
/* Makes this node's store, with the policy in it; an agent process makes its table itself. 0 or an errno. */
int mioc_node_create_store(struct mioc_node *node, uint64_t key);
/* Says in `line` why the node `number` has no store. */
void mioc_node_say_unusable(const struct mioc_node *node, int number, int error, char *line, size_t size);

/* --- node_agent.c ------------------------------------------------------------------------------------------------ */
/* Creates the agent and, on the root, the resolver. Meets the neighbours until `until`, so that MPI opens its
 * connections before the program starts. 0 or -1. */
int mioc_node_agent_start(struct mioc_node *node, uint64_t until);
/* Starts the agent's thread. 0 or -1. */
int mioc_node_agent_run(struct mioc_node *node);
/* Is the agent's thread: returns when the node may end, and the agent has left. */
void mioc_node_agent_loop(struct mioc_node *node);
/* Makes no call into the transport any more, if there is one. */
void mioc_node_abandon(struct mioc_node *node);

/* --- node_events.c: agent's thread ------------------------------------------------------------------------------- */
/* Takes what the transport has. How many of these events were news, and not a mere heartbeat. */
unsigned mioc_node_poll(struct mioc_node *node);
/* Main thread, before there is an agent's thread: waits until each neighbour was heard once, at most until `until`. */
void mioc_node_meet(struct mioc_node *node, uint64_t until);
/* Lets the transport move what is under way, for a moment. */
void mioc_node_flush(struct mioc_node *node);

/* --- node_requests.c: agent's thread ----------------------------------------------------------------------------- */
/* Takes requests from the ring; `request` is room for one. How many. */
unsigned mioc_node_take_requests(struct mioc_node *node, struct mioc_ask_request *request);
/* Root: publishes what the resolver has finished. How many items. */
unsigned mioc_node_take_resolved(struct mioc_node *node);

/* --- node_host.c ------------------------------------------------------------------------------------------------- */
/* Creates the agent and, on the root, the resolver. 0 or -1. */
int mioc_node_host_start(struct mioc_node *node);
/* Takes back a buffer of the agent's; NULL is let pass. */
void mioc_node_put_buffer(void *ctx, void *buffer);
/* Gives the memory of free buffers back to the kernel, for a while in which none is needed. */
void mioc_node_clear_buffers(struct mioc_node *node);
/* Any thread: whether the policy serves such answers. Allocates nothing. */
int mioc_node_may_serve(void *ctx, unsigned kind, const char *path, uint32_t len);
/* Answers the requests that wait for the key. kind 0: all of them, and the store is served no more. */
void mioc_node_answer(void *ctx, unsigned kind, const char *path, uint32_t len, int answered);

/* --- node_end.c -------------------------------------------------------------------------------------------------- */
/* The application ends MPI, which all ranks do together, and with it ours (transport.h). What comes after is not
 * cached. */
void mioc_node_finalize(void);

/* --- node_join.c: agent's thread of an agent process of several nodes -------------------------------------------- */
/* Fills in what the protocol needs for links that come and go. */
void mioc_node_prepare_join(struct mioc_node *node, struct mioc_agent_config *config);
/* mioc_agent_host's hello() and welcomed(). */
int mioc_node_take_hello(void *ctx, int number, const void *bytes, uint32_t size);
int mioc_node_take_welcome(void *ctx, const void *bytes, uint32_t size);
/* mioc_agent_host's unlinked(). */
void mioc_node_unlinked(void *ctx);
/* Whether questions are answered at all: the way to the root is there. Always so with MPI. */
int mioc_node_is_linked(const struct mioc_node *node);
/* Whether it is so early that threads wait for the link. */
int mioc_node_waits_for_link(const struct mioc_node *node, uint64_t now);
/* Puts the store in force while it is linked; and apart once nobody waits for that any more. */
void mioc_node_attend_link(struct mioc_node *node, uint64_t now);
/* Takes what the starter says of the parent. */
void mioc_node_attend_starter(struct mioc_node *node);
/* Once the starter has ended: says "finalize" to hydra, if its program has not spoken with hydra itself. */
void mioc_node_attend_launcher(struct mioc_node *node);

/* --- node_job_end.c: agent's thread of an agent process ---------------------------------------------------------- */
/* Writes the manifest and gives rank 0 the report once it has ended. `processes`: how many ranks of the node run. 1:
 * call it again soon. */
int mioc_node_attend_job_end(struct mioc_node *node, unsigned processes);

/* Sends this node's report up, if the root has asked for it. */
void mioc_node_attend_report(struct mioc_node *node);

/* --- node_memory.c ----------------------------------------------------------------------------------------------- */
/* Starts a thread that sets is_short when the memory cgroup's limit is near. Does nothing where there is no limit. */
void mioc_node_watch_memory(struct mioc_node *node);

/* --- node_report.c ----------------------------------------------------------------------------------------------- */
/* Everything that the node's processes have counted so far; at the root also the other nodes' newest reports, and the
 * root's own figures. */
void mioc_node_fill_report(const struct mioc_node *node, struct mioc_report *report);

/* --- node_manifest.c --------------------------------------------------------------------------------------------- */
/* Rank 0, before MPI starts: begins to read the contents that the last run asked for. */
void mioc_node_manifest_start(struct mioc_node *node);
/* After a start that failed: throws them away. */
void mioc_node_manifest_drop(struct mioc_node *node);
/* Ending thread of the root: has the store's I/O thread write the manifest, once. That thread may be busy: call this
 * again and again. */
void mioc_node_manifest_save(struct mioc_node *node);
/* Whether that is under way. */
int mioc_node_manifest_is_saving(const struct mioc_node *node);
/* Waits until the manifest is written, at most until `until`. A process that ends earlier loses it, no more. */
void mioc_node_manifest_wait(struct mioc_node *node, uint64_t until);
/* Says what went wrong with reading or writing it, if anything did: as a warning only if the user chose the file. */
void mioc_node_manifest_complain(struct mioc_node *node);

/* --- node_evict.c: root ------------------------------------------------------------------------------------------ */
/* Sets the room; `bytes` is the bound of the tightest node. */
void mioc_node_set_bound(struct mioc_node *node, uint64_t bytes);
/* A node with a smaller bound has joined. */
void mioc_node_lower_bound(struct mioc_node *node, uint64_t bytes);
/* Resolver's threads. Takes room for a content of `bytes`. With may_evict others are given up for it, which takes a
 * moment. 0, or -1: there is no room. */
int mioc_node_reserve(void *ctx, uint64_t bytes, int may_evict);
/* Any thread: gives back room that was taken in vain. */
void mioc_node_release(void *ctx, uint64_t bytes);
/* Agent's thread: 1 if the item says that a content will not be complete, else 0. With 1 it takes the item and keeps it
 * until all nodes may be told. */
int mioc_node_take_abandoned(struct mioc_node *node, const struct mioc_resolved *resolved);
/* Agent's thread: a record was published at that stream offset. */
void mioc_node_note_published(struct mioc_node *node, const struct mioc_item *item, uint64_t offset);
/* Agent's thread: gives up contents that will not be complete, and the oldest ones if a resolver's thread waits for
 * room. How many. */
unsigned mioc_node_make_room(struct mioc_node *node);

#endif
