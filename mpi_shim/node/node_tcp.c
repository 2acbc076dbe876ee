/* SPDX-License-Identifier: BSD-3-Clause */
/* node_tcp.c - an agent process's way to the other nodes: TCP. */
#include "node_tcp.h"
#include "base/log.h"
#include "base/proc.h"
#include "job/step.h"
#include "node_state.h"
#include "node_watch.h"
#include "transport/tcp.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct mioc_step step; /* where the launcher's variables say who is where */
static char step_name[256];   /* otherwise */
static char parent_host[256];

static int host_of(void *ctx, int node, char *name, size_t size)
{
    const struct mioc_node *me = ctx;

    if (step.nodes > 0)
        return mioc_step_host(&step, node, name, size);
    if (node != (me->world.node - 1) / MIOC_NODE_ARITY)
        return -1; /* hydra's name service has told the parent's only */
    return (size_t)snprintf(name, size, "%s", parent_host) < size ? 0 : -1;
}

static int open_tcp(struct mioc_node *node, const struct mioc_secret *secret, char *reason, size_t size)
{
    const struct mioc_config *config = node->config;
    const struct mioc_tcp_config tcp = {
        .node = node->world.node,
        .nodes = node->world.nodes,
        .arity = MIOC_NODE_ARITY,
        .step = step.nodes > 0 ? step.name : step_name,
        .port_first = config->port_first,
        .port_last = config->port_last,
        .interface = config->interface,
        .is_encrypted = config->encrypt,
        .secret = *secret,
        .host = host_of,
        .ctx = node,
    };

    if (mioc_tcp_open(&node->transport, &tcp, reason, size) != 0)
        return -1;
    node->ops = &mioc_tcp_ops;
    return 0;
}

/* A key file if the user names one; else the launcher's word for this step; else MUNGE. */
static int find_secret(const struct mioc_config *config, struct mioc_secret *secret, char *reason, size_t size)
{
    const char *word = mioc_proc_getenv(environ, "PMI_SHARED_SECRET");

    if (config->keyfile[0] != '\0')
        return mioc_secret_from_file(secret, config->keyfile, step.name, reason, size);
    if (word != NULL && strlen(word) >= MIOC_SECRET_WORD_MIN)
        return mioc_secret_from_word(secret, word, step.name, reason, size);
    return mioc_secret_from_munge(secret, reason, size);
}

static void set_world(struct mioc_node *node, const struct mioc_agent_order *order, int number, int nodes)
{
    node->world = (struct mioc_world){
        .rank = number == 0 ? 0 : -1, .size = order->task.size, .node = number, .nodes = nodes, .local_rank = -1
    };
}

static int begin(struct mioc_node *node, const struct mioc_agent_order *order, char *reason, size_t size)
{
    struct mioc_secret secret;

    set_world(node, order, order->node, order->nodes);
    snprintf(step_name, sizeof step_name, "%s", order->step);
    if (order->nodes > 0) /* the starter knows; of several nodes it will say where the parent is */
        return 0;
    if (mioc_step_find(&step, &order->task, environ, reason, size) != 0)
        return -1;
    set_world(node, order, step.node, step.nodes);
    if (step.nodes == 1)
        return 0;
    return find_secret(node->config, &secret, reason, size) == 0 ? open_tcp(node, &secret, reason, size) : -1;
}

static int join(struct mioc_node *node, const struct mioc_agent_parent *parent, char *reason, size_t size)
{
    struct mioc_secret secret;

    snprintf(parent_host, sizeof parent_host, "%.255s", parent->host);
    if (mioc_secret_from_bytes(&secret, parent->key, step_name, reason, size) != 0 ||
        open_tcp(node, &secret, reason, size) != 0)
        return -1;
    return mioc_watch_fd(node->ops->fd(node->transport));
}

const struct mioc_node_way mioc_node_tcp = { begin, join };
