/* SPDX-License-Identifier: BSD-3-Clause */
/* agent_state.h - the data of the protocol's state machine. Only the files of agent/ include it. */
#ifndef MIOC_AGENT_STATE_H
#define MIOC_AGENT_STATE_H

#include "agent.h"

#include <sys/queue.h>

/* Most messages under way to the parent. Further ones wait in the queue, so that the stream always finds buffers. */
#define MIOC_AGENT_UP_WINDOW 8u
/* Most messages that wait in the queue. A parent that takes none of so many counts as dead. */
#define MIOC_AGENT_QUEUE_MAX 16384u
/* Most writes that were sent and that the stream has yet to bring back. */
#define MIOC_AGENT_GONE_MAX 65536u
/* This node's writes that are told apart while they are not settled. Those beyond settle together with the last one. */
#define MIOC_AGENT_WRITES 256u
/* How soon to try again what the transport refused. */
#define MIOC_AGENT_RETRY_NS 1000000ull

/* JOINED and GREETED only with has_joins. */
enum mioc_link_state {
    MIOC_LINK_NONE,
    MIOC_LINK_JOINED,  /* can be reached: the child has yet to say HELLO */
    MIOC_LINK_GREETED, /* it has: the parent has yet to say WELCOME */
    MIOC_LINK_UP,      /* both have; all other messages come behind these */
    MIOC_LINK_LEFT,    /* it said LEAVE, was dismissed, or with has_joins was lost: it is not heard any more */
    MIOC_LINK_DEAD     /* silent, or lost: writes and reports that come belatedly still count */
};

/* The link to a neighbour. Offsets are in the stream. */
struct mioc_agent_link {
    int node;
    enum mioc_link_state state;
    int owes_leave;       /* child: LEAVE is still to be sent */
    uint32_t leave_flags; /* of that LEAVE */
    int owes_wish;        /* child: it is still to be asked for reports */
    int owes_beat;        /* it is to get a HEARTBEAT before its time */
    int is_refused;       /* child: it was dismissed for good, and may tell of its writes */
    int is_served;        /* child: its store may have been served at some time */
    int has_sent;         /* 0: nothing yet, and the first tick sends a heartbeat */
    unsigned inflight;    /* messages whose sent() is outstanding; without has_joins 0 once the peer is gone */
    uint64_t heard, sent; /* times of the last message from and to it */
    uint64_t beaten;      /* with has_joins: time of the last HEARTBEAT to it */
    uint64_t clock;       /* with has_joins, child: the last time of its own that it said; 0: none */
    uint64_t clock_at;    /* and when that came */
    uint64_t needed;      /* child: it knows that its store must not be served before it has so much */
    uint64_t cursor;      /* child: it was sent the stream below this offset */
    uint64_t applied;     /* child: every store of its subtree that is served has applied the stream below this */
    uint64_t awaited;     /* child: behind the last INVALIDATE that its subtree wrote, and waits for */
    uint64_t told;        /* child: it knows that every store of the job has applied the stream below this */
};

/* A composed message that waits in the queue to the parent; or that went, and may be lost with the parent. */
struct mioc_agent_out {
    STAILQ_ENTRY(mioc_agent_out) next;
    uint64_t sent; /* when; 0: not yet */
    uint32_t size;
    _Alignas(8) char bytes[];
};

/* A question that has no answer yet. */
struct mioc_agent_pending {
    TAILQ_ENTRY(mioc_agent_pending) by_age, unsent;
    struct mioc_agent_pending *next; /* in its bucket */
    uint64_t hash;
    uint64_t since; /* when it was last asked */
    uint64_t posed; /* when it was last passed on */
    int is_unsent;  /* waits for room to the parent */
    int is_child;   /* a child has asked it, for whom what is known here may be too old */
    uint32_t kind, len;
    char path[];
};

TAILQ_HEAD(mioc_agent_pending_list, mioc_agent_pending);
STAILQ_HEAD(mioc_agent_queue, mioc_agent_out);

/* Where the newest record of a key hash stands in the stream. Open addressing; hash 0 is an empty place; only grows. */
struct mioc_agent_place {
    uint64_t hash, offset;
};

/* A write of this node: `end` is the offset behind its INVALIDATE. */
struct mioc_agent_write {
    uint64_t end, token;
};

/* A content that was given up: `end` is the offset behind that word of the stream. */
struct mioc_agent_evicted {
    uint64_t content, end;
};

struct mioc_agent {
    struct mioc_agent_config config;
    struct mioc_agent_host host;
    struct mioc_agent_counters counters;
    enum mioc_agent_end state;
    uint64_t now, ticked; /* ticked: time of the last tick */

    struct mioc_agent_link parent; /* NONE at the root */
    struct mioc_agent_link *child;
    unsigned children, children_cap; /* links in the list, whatever became of them */
    int is_interior;                 /* has, or may get, children */
    unsigned turn;                   /* the child whose stream goes first in the next round */
    int is_starved;                  /* the transport refused something: try again soon */

    struct mioc_agent_queue queue; /* to the parent */
    unsigned queued;
    struct mioc_agent_queue gone; /* with has_joins: went to the parent, and would have to go to another one */
    unsigned gones;
    uint64_t expired; /* when old ones were looked for */

    struct mioc_agent_pending **bucket;
    unsigned buckets, pendings;
    struct mioc_agent_pending_list by_age, unsent;

    struct mioc_agent_place *place;
    size_t places, places_cap;

    void *hello, *welcome; /* welcome: the root's, or what came with WELCOME */
    uint32_t hello_size, welcome_size;
    uint64_t stream;                    /* which stream the store has; 0: none yet */
    uint64_t born;                      /* this node joined when the stream was so long */
    uint64_t needed;                    /* its store must not be served before it has the stream below this offset */
    struct mioc_agent_evicted *evicted; /* has_joins, interior nodes: the contents that were given up */
    size_t evictions, evictions_cap;

    uint64_t settled; /* every store of the job that is served has applied the stream below this offset */
    uint64_t applied; /* every such store of this subtree has, as the parent was told */
    uint64_t awaited; /* behind the last INVALIDATE that somebody waits for */
    struct mioc_agent_write write[MIOC_AGENT_WRITES]; /* those not settled, in the stream's order */
    unsigned writes;
    uint64_t noted_token;             /* the last of them that the stream brought back: it may bring one twice */
    uint64_t first_token, last_token; /* of this node's writes that are waited for; 0: there was none */

    /* With has_joins; without it `lease` is UINT64_MAX, and nothing is ever lost. */
    uint64_t lease;        /* this node may be served until then; UINT64_MAX at the root */
    uint64_t greeted;      /* the time that HELLO said */
    uint64_t lost_until;   /* stores below that were lost may be served until then, */
    uint64_t lost_applied; /* and have applied the stream below this */
    int was_ready, has_served, is_over;

    void *scratch; /* root: MIOC_ITEM_MAX bytes to compose INVALIDATE in */
};

static inline int mioc_agent_is_root(const struct mioc_agent *a) { return a->config.node == 0; }

/* mioc_agent_is_linked() of agent.h. */
static inline int mioc_agent_is_ready(const struct mioc_agent *a)
{
    return a->state == MIOC_AGENT_RUNNING &&
           (mioc_agent_is_root(a) ||
            (a->parent.state == MIOC_LINK_UP && a->host.end(a->host.ctx) >= a->needed && a->now < a->lease));
}

/* Whether the transport can reach the peer, and nobody has ended the link. */
static inline int mioc_agent_is_there(const struct mioc_agent_link *link)
{
    return link->state == MIOC_LINK_JOINED || link->state == MIOC_LINK_GREETED || link->state == MIOC_LINK_UP;
}

#endif
