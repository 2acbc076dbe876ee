/* SPDX-License-Identifier: BSD-3-Clause */
/* node_tcp.h - an agent process's way to the other nodes: TCP. In the agent program only, which links libsodium. */
#ifndef MIOC_NODE_TCP_H
#define MIOC_NODE_TCP_H

#include "process.h"

extern const struct mioc_node_way mioc_node_tcp;

#endif
