/* SPDX-License-Identifier: BSD-3-Clause */
/* process.h - a node's agent as a process of its own: what its starter hands over, and its life (README.md).
 *
 * The node's first cached process starts it (launch/agent_start.h). It is nobody's child, has no inherited descriptor
 * but one, and ends with the node's last rank. */
#ifndef MIOC_PROCESS_AGENT_H
#define MIOC_PROCESS_AGENT_H

#include "job/task.h"
#include "policy/policy.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A stream socket between starter and agent. The starter writes its order. The agent answers with one line:
 * MIOC_AGENT_OK, when the store is there, or the reason why there is none. Where the order says that the parent is to
 * come (hydra), the starter then writes it. Then both close. */
#define MIOC_AGENT_FD 3
#define MIOC_AGENT_OK "ok"
/* The most bytes of that line, with its newline. */
#define MIOC_AGENT_STATUS_MAX 1024
#define MIOC_AGENT_KEY 32u
/* Children of a node. */
#define MIOC_NODE_ARITY 4

/* What the launcher's name service said: the parent's host (the root has none), and the job's key. With it comes a
 * descriptor of the starter's connection to the launcher (SCM_RIGHTS): hydra kills the job if that is closed without a
 * "finalize", and the program may close its own (launch/pmi_relay.h). */
struct mioc_agent_parent {
    int is_known; /* 0: the name service did not say */
    char host[256];
    unsigned char key[MIOC_AGENT_KEY];
};

/* The order. Starter and agent must be of one build: `version` says so. */
struct mioc_agent_order {
    uint64_t version; /* mioc_agent_order_version() */
    pid_t starter;
    int node, nodes;       /* with a step's name; otherwise the agent finds its step by itself */
    char step[256];        /* hydra: the job's name, and the parent is to come; "": no name */
    struct mioc_task task; /* the starter's */
    struct mioc_policy policy;
};

/* Of the policy, which comes last, only what is in use is sent: the order's first bytes, then as many prefixes and
 * excludes as these say. */
#define MIOC_AGENT_ORDER_HEAD offsetof(struct mioc_agent_order, policy.prefix)

static inline uint64_t mioc_agent_order_version(void)
{
    return MIOC_STORE_MAGIC ^ (uint64_t)sizeof(struct mioc_agent_order) << 20;
}

struct mioc_node;

/* The way to the other nodes, which the agent program brings along (node_tcp.h). */
struct mioc_node_way {
    /* Fills in node->world, and node->ops and node->transport if the way is open at once. 0, or -1 and the reason. */
    int (*begin)(struct mioc_node *node, const struct mioc_agent_order *order, char *reason, size_t size);
    /* The starter has said where the parent is. 0, or -1 and the reason. */
    int (*join)(struct mioc_node *node, const struct mioc_agent_parent *parent, char *reason, size_t size);
};

/* Makes the node's store, serves it, and removes it when the node's last rank has ended. Returns the exit status of
 * this process. Main thread. `order` lives as long as the process; `starter` is MIOC_AGENT_FD. */
int mioc_node_serve(const struct mioc_agent_order *order, const struct mioc_node_way *way, int starter);

#endif
