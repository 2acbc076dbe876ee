/* SPDX-License-Identifier: BSD-3-Clause */
/* sim_check.c - what must hold, always and at the end. */
#include "sim.h"

#include <string.h>

/* Whether what this node serves is the job's business. With leases that ends only when it is not served any more. */
static int is_to_hear(const struct sim_node *n)
{
    return n->sim->config.lease_ns > 0 || (!n->is_cut && !n->is_leaving);
}

/* A write that has returned is seen everywhere, also by who joins later. */
static void check_returned(struct sim_node *n, int key, const struct mioc_item *item)
{
    if (!(item->flags & MIOC_FLAG_UNCACHED) && is_to_hear(n) && sim_version_of(item) < n->sim->settled_version[key])
        sim_fail(n->sim, "node %d serves key %d in version %u, and a write of version %u has returned", n->number, key,
                 sim_version_of(item), n->sim->settled_version[key]);
}

/* What lives for a time does so from when the root read it, but for what it was on its way. */
static void check_age(struct sim_node *n, int key, const struct mioc_item *item)
{
    const struct sim_node *root = &n->sim->node[0];
    const struct mioc_item *first = (const void *)(root->arena + ((const char *)item - n->arena));

    if (n->sim->config.has_joins && sim_has_ttl(key) && !(item->flags & MIOC_FLAG_UNCACHED) && !n->is_cut &&
        n->sim->now / MS + 1000 > first->local_applied_ms + SIM_TTL_MS + SIM_WAY_MS)
        sim_fail(n->sim, "node %d serves key %d, which is %llu ms old", n->number, key,
                 (unsigned long long)(n->sim->now / MS + 1000 - first->local_applied_ms));
}

static void check_content(struct sim_node *n, const struct mioc_item *item)
{
    const struct mioc_content_record *record = (const void *)item;

    if (item->kind == MIOC_ITEM_CONTENT && !(item->flags & MIOC_FLAG_UNCACHED) &&
        (n->is_hollow[record->content] || n->gave_up[record->content]))
        sim_fail(n->sim, "node %d serves content %u, which was given up", n->number, record->content);
}

void sim_check_served(struct sim_node *n, int key, const struct mioc_item *item)
{
    if (!(item->flags & MIOC_FLAG_UNCACHED) && sim_version_of(item) < n->wrote[key])
        sim_fail(n->sim, "node %d serves key %d as it was before its own write, or one that it heard of", n->number,
                 key);
    check_returned(n, key, item);
    check_age(n, key, item);
    check_content(n, item);
}

void sim_check_heard(struct sim_node *n, const struct mioc_invalidate_record *record)
{
    for (unsigned i = 0; i < n->sim->writes; i++) {
        const struct sim_write *write = &n->sim->write[i];

        if (write->node != (int)record->node || write->token != record->token)
            continue;
        for (int key = 0; key < SIM_KEYS; key++)
            if (write->made[key] > n->wrote[key])
                n->wrote[key] = write->made[key];
        return;
    }
    sim_fail(n->sim, "node %d hears of a write that nobody made", n->number);
}

struct settling {
    struct sim_node *node;
    const struct sim_write *write;
};

static void note_settled(void *ctx, int key)
{
    const struct settling *c = ctx;
    uint16_t *version = &c->node->sim->settled_version[key];

    if (c->write->made[key] > *version)
        *version = c->write->made[key];
}

static void check_key_settled(void *ctx, int key)
{
    const struct settling *c = ctx;
    const struct mioc_item *item = sim_served(c->node, key);

    if (item && !(item->flags & MIOC_FLAG_UNCACHED) && sim_version_of(item) < c->write->made[key])
        sim_fail(c->node->sim, "node %d still serves key %d as it was before write %llu of node %d, which has returned",
                 c->node->number, key, (unsigned long long)c->write->token, c->write->node);
}

static int is_of_life(const struct sim_node *n, const struct sim_write *write)
{
    return write->node == n->number && write->token > n->former;
}

/* What the writer is told that all have heard of is served in its old state by nobody. */
void sim_check_settled(struct sim_node *n, uint64_t token)
{
    struct sim *s = n->sim;

    if (token <= n->settled || token > n->tokens)
        sim_fail(s, "node %d is told of write %llu after %llu", n->number, (unsigned long long)token,
                 (unsigned long long)n->settled);
    for (unsigned i = 0; i < s->writes; i++)
        for (int k = 0; k < s->config.nodes && is_of_life(n, &s->write[i]) && s->write[i].token <= token; k++) {
            struct settling c = { &s->node[k], &s->write[i] };

            if (k == 0)
                sim_concerned(c.write->path, c.write->flags, note_settled, &c);
            if (is_to_hear(c.node))
                sim_concerned(c.write->path, c.write->flags, check_key_settled, &c);
        }
}

void sim_check_state(struct sim_node *n)
{
    enum mioc_agent_end state = mioc_agent_state(n->agent);

    n->is_cut |= state == MIOC_AGENT_REFUSED && n->is_refused;
    if (state == MIOC_AGENT_PROTOCOL)
        sim_fail(n->sim, "node %d ended by a protocol error", n->number);
    if (state != MIOC_AGENT_RUNNING && !n->is_cut && !n->is_leaving)
        sim_fail(n->sim, "node %d ended (%d) though it and its ancestors are well", n->number, (int)state);
    if (mioc_agent_children(n->agent) >
        (n->sim->config.has_joins ? MIOC_AGENT_CHILDREN_MAX : (unsigned)n->sim->config.arity))
        sim_fail(n->sim, "node %d has too many children", n->number);
    if (n->was_linked && state == MIOC_AGENT_RUNNING && !mioc_agent_is_linked(n->agent) &&
        !(n->sim->config.lease_ns > 0 && n->sim->has_faults))
        sim_fail(n->sim, "node %d was linked and is not any more", n->number);
    n->was_linked = mioc_agent_is_linked(n->agent);
    n->was_served |= n->was_linked;
    if (n->was_linked && n->hollows > 0)
        sim_fail(n->sim, "node %d is served with %u contents of zeros", n->number, n->hollows);
    if (mioc_agent_synced(n->agent) < n->synced)
        sim_fail(n->sim, "node %d says that the stores are less far than they were", n->number);
    n->synced = mioc_agent_synced(n->agent);
}

/* --- When all is quiet ------------------------------------------------------------------------------------------- */

static int is_same_item(const struct mioc_item *a, const struct mioc_item *b)
{
    struct mioc_item head_a = *a, head_b = *b;

    head_a.local_dead = head_b.local_dead = 0;
    head_a.local_applied_ms = head_b.local_applied_ms = 0;
    return memcmp(&head_a, &head_b, sizeof head_a) == 0 && memcmp(a + 1, b + 1, a->size - sizeof *a) == 0;
}

/* The stream without what stands at its end and may be on its way still: that all have had the chunks of a content that
 * was broken off is known seconds later in a deep tree, and only then it is given up. */
static uint64_t end_of_work(const struct sim_node *root)
{
    uint64_t end = 0;

    for (uint64_t at = 0; at < root->end;) {
        const struct mioc_item *item = (const void *)(root->arena + at);

        at += item->size;
        if (!(item->flags & MIOC_FLAG_EVICT))
            end = at;
    }
    return end;
}

static void check_stream(struct sim_node *n)
{
    const struct sim_node *root = &n->sim->node[0];

    if (n->end > root->end || (n->end < end_of_work(root) && !n->is_cut))
        sim_fail(n->sim, "node %d has %llu bytes of the stream's %llu", n->number, (unsigned long long)n->end,
                 (unsigned long long)root->end);
    for (uint64_t at = 0; at < n->end && !n->sim->has_failed; at += ((struct mioc_item *)(n->arena + at))->size)
        if (!is_same_item((const void *)(n->arena + at), (const void *)(root->arena + at)))
            sim_fail(n->sim, "node %d has another item than the root at %llu", n->number, (unsigned long long)at);
}

static void check_fresh(struct sim_node *n)
{
    for (int key = 0; key < SIM_KEYS; key++) {
        const struct mioc_item *item = sim_served(n, key);

        if (item && !(item->flags & MIOC_FLAG_UNCACHED) && sim_version_of(item) != n->sim->version[key] &&
            n->sim->cut_writes[key] == 0)
            sim_fail(n->sim, "node %d still serves key %d in version %u of %u", n->number, key, sim_version_of(item),
                     n->sim->version[key]);
        if (item && (item->flags & MIOC_FLAG_BRIEF) &&
            (n->sim->heard[key] == 0 || n->sim->now > n->sim->heard[key] + n->sim->client_ns + SIM_WORK_NS))
            sim_fail(n->sim, "node %d is still told that key %d cannot be told", n->number, key);
    }
    if (n->holds > 0)
        sim_fail(n->sim, "node %d still holds a path", n->number);
}

/* A path that was opened for writing is served to nobody any more. */
static void check_sticky(struct sim *s, int path)
{
    for (int i = 0; i < s->config.nodes; i++)
        for (unsigned kind = 1; kind <= SIM_KINDS; kind++) {
            const struct mioc_item *item = sim_live(&s->node[i], sim_key(path, kind));

            if (kind != MIOC_ITEM_LIST && !s->node[i].is_cut && !(item && (item->flags & MIOC_FLAG_STICKY)))
                sim_fail(s, "node %d serves key %d, which is written to", i, sim_key(path, kind));
        }
}

static void check_writes(struct sim *s)
{
    const struct sim_node *root = &s->node[0];

    for (unsigned i = 0; i < s->writes; i++) {
        unsigned found = 0;

        for (uint64_t at = 0; at < root->end; at += ((struct mioc_item *)(root->arena + at))->size) {
            const struct mioc_invalidate_record *record = (const void *)(root->arena + at);

            found += record->item.kind == MIOC_ITEM_INVALIDATE && (int)record->node == s->write[i].node &&
                     record->token == s->write[i].token;
        }
        if ((found > 1 && !(s->config.lease_ns > 0 && s->has_faults)) || (found == 0 && !s->write[i].is_cut))
            sim_fail(s, "write %llu of node %d stands %u times in the stream", (unsigned long long)s->write[i].token,
                     s->write[i].node, found);
        if (found > 0 && (s->write[i].flags & MIOC_FLAG_STICKY))
            check_sticky(s, s->write[i].path);
    }
}

/* Where nothing was lost and nothing too slow, each key is asked and read once, and once more for each reason to: a
 * write, and that what could not be told after it can be told. */
static void check_counts(struct sim *s)
{
    for (int key = 0; key < SIM_KEYS; key++) {
        unsigned expiries =
            sim_has_ttl(key) ? 2 + (unsigned)(2 * SIM_WORK_NS / MS / (SIM_TTL_MS - 2 * SIM_COARSE_MS)) : 0;
        unsigned writes = s->invalidations[key] * (s->client_ns > 0 ? 2 : 1);
        /* What lives for a time has passed for who joins late. */
        unsigned late = s->config.has_joins && (sim_has_ttl(key) || (writes > 0 && s->client_ns > 0))
                            ? (unsigned)s->config.nodes
                            : 0;
        unsigned reads = 1 + writes + expiries + s->evictions[key] + late;
        unsigned askers = s->config.has_joins ? MIOC_AGENT_CHILDREN_MAX : (unsigned)s->config.arity;
        unsigned rounds = s->invalidations[key] == 0 ? reads : 2 * reads;

        if (s->resolves[key] > reads)
            sim_fail(s, "key %d was resolved %u times for %u reasons", key, s->resolves[key], reads);
        if (s->requests[key] > rounds * askers)
            sim_fail(s, "the root was asked %u times for key %d (%u invalidations)", s->requests[key], key,
                     s->invalidations[key]);
    }
}

/* With joins, of a node that is well. */
static void check_linked(struct sim_node *n)
{
    if (!mioc_agent_is_linked(n->agent))
        sim_fail(n->sim, "node %d is never linked", n->number);
    /* A HELLO that is on its way for long can be lost with who has it: the root makes less room than it could. */
    if (n->number > 0 && ((n->hello_life != n->life && !n->sim->has_faults) || n->welcomes != 1))
        sim_fail(n->sim, "the root has heard of life %u of node %d, not of %u (%u welcomes)", n->hello_life, n->number,
                 n->life, n->welcomes);
}

/* Whether the root, which takes everybody else, has no place left. */
static int is_root_full(const struct sim *s)
{
    return mioc_agent_children(s->node[0].agent) == MIOC_AGENT_CHILDREN_MAX;
}

void sim_check_quiet(struct sim *s)
{
    int is_root_well = !s->node[0].is_cut;

    s->quiet_synced = mioc_agent_synced(s->node[0].agent);

    for (int i = 0; i < s->config.nodes && !s->has_failed; i++) {
        struct sim_node *n = &s->node[i];

        /* With so many that have lost their parents, one may find no place. */
        n->is_cut |= s->config.has_joins && s->has_faults && n->agent != NULL && !mioc_agent_is_linked(n->agent) &&
                     is_root_full(s);
        check_stream(n);
        if (is_root_well && !n->is_cut)
            check_fresh(n);
        if (s->config.has_joins && is_root_well && !n->is_cut)
            check_linked(n);
        if (n->settled != n->tokens && !n->is_cut && is_root_well)
            sim_fail(s, "node %d waits for ever for its write %llu", i, (unsigned long long)n->settled + 1);
        if (n->waiters > 0 && !n->is_gone && !(s->config.has_joins && n->is_cut)) /* who is alone may wait */
            sim_fail(s, "node %d has %u questions without end", i, n->waiters);
    }
    if (is_root_well)
        check_writes(s);
    if (!s->has_faults && !s->is_slow)
        check_counts(s);
}

/* --- When all have left ------------------------------------------------------------------------------------------ */

void sim_check_over(struct sim *s)
{
    unsigned well = 0, reported = 1;

    for (int i = 0; i < s->config.nodes; i++) {
        const struct sim_node *n = &s->node[i];

        well += !n->is_cut;
        reported += n->reports > 0;
        if (n->reports > (n->life > 1 ? n->life : 1))
            sim_fail(s, "the root has %u reports of node %d", n->reports, i);
        if (!n->is_gone && !n->is_absent)
            sim_fail(s, "node %d (agent %d) does not end", i, (int)mioc_agent_state(n->agent));
        if (!s->has_faults && n->buffers != 0)
            sim_fail(s, "node %d keeps %u buffers", i, n->buffers);
    }
    for (const struct sim_job *job = s->jobs; job; job = job->next)
        /* In its last moment the root may have learnt that it could be. */
        if (job->abandoned_at > 0 && !s->node[0].is_cut &&
            (job->abandoned_at <= s->quiet_synced || job->abandoned_at > mioc_agent_synced(s->node[0].agent)))
            sim_fail(s, "content %u will not be complete, and is never given up", job->content);
    if (!s->node[0].is_cut && reported < well)
        sim_fail(s, "the root has the reports of %u nodes, %u are well", reported, well);
}
