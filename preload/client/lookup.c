/* SPDX-License-Identifier: BSD-3-Clause */
/* lookup.c - reading: finds the answer to an interposed call in the store, or asks the agent for it and waits. */
#include "client_internal.h"
#include "base/clock.h"
#include "base/stack.h"
#include "loader/loader.h"
#include "observe/trace.h"
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* --- Whose call is it -------------------------------------------------------------------------------------------- */

/* Only what can be told from the bytes as they stand; most calls end here. (A path with "//" or "/./" in the middle of
 * a prefix is not recognised and not served, which is right, if slow.) */
static int may_be_ours(const struct mioc_client *c, int dirfd, const char *path)
{
    size_t len;
    int covered;

    if (mioc_path_is_nowhere(path))
        return 0;
    if (path[0] == '/') {
        if (path[1] == '/' || path[1] == '.')
            return 1;
        len = strnlen(path, 4096);
        return mioc_policy_is_candidate(c->policy, path, (uint32_t)len);
    }
    covered = __atomic_load_n(&c->cwd, __ATOMIC_RELAXED);
    if (covered == MIOC_POLICY_NONE || dirfd != AT_FDCWD || path[0] == '\0')
        return 0;
    if (covered == MIOC_POLICY_LIBRARY)
        return 1;
    /* Data beside a script is common: its names cost no getcwd. */
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    return mioc_policy_is_import_name(name, (uint32_t)strlen(name));
}

/* A path as it stands is classified as fast as it is looked at: only what needs a system call is looked at before. (So
 * the loader's names, with 300 slashes in the middle, are served too.) */
static int may_have_key(const struct mioc_client *c, int dirfd, const char *path)
{
    return !mioc_path_is_nowhere(path) && (path[0] == '/' || may_be_ours(c, dirfd, path));
}

/* Once the agent has left, is full or stands still, nobody hears of other nodes' writes: what the store has may be old.
 */
static int is_trustworthy(const struct mioc_store *store)
{
    const struct mioc_ring *ring = mioc_store_ring(store);

    return mioc_store_get_state(store) == MIOC_STORE_ACTIVE && !mioc_ring_is_tainted(ring) &&
           !mioc_ring_is_silent(ring, mioc_client.timeout_ns);
}

static int is_cwd_at_its_name(struct mioc_query *q);

/* Most calls are nobody's of ours: nothing is noted for them but the time, if that is wanted. */
static inline __attribute__((always_inline)) int begin(struct mioc_query *q, enum mioc_call call, int dirfd,
                                                       const char *path)
{
    const struct mioc_client *c = &mioc_client;

    q->started = mioc_stats_now();
    q->call = call;
    q->outcome = MIOC_PASS;
    q->has_absence_doubted = q->is_dot = 0;
    q->stat = NULL;
    q->copy = NULL;
    q->room = NULL;
    if (mioc_client_is_serving() && may_have_key(c, dirfd, path) && mioc_path_key(&q->key, dirfd, path) == 0) {
        q->is_dot = q->key.text != path && mioc_path_is_dot(path);
        q->kind = q->key.text == path ? mioc_policy_classify_plain(c->policy, path, q->key.len)
                                      : mioc_policy_classify(c->policy, q->key.text, q->key.len);
        if (q->kind != MIOC_POLICY_NONE && is_trustworthy(mioc_client_store()) &&
            (__atomic_load_n(&c->doubts_until_ms, __ATOMIC_RELAXED) == 0 || mioc_client_may_serve(q)) &&
            (q->key.base == 0 || is_cwd_at_its_name(q)))
            return 1;
    }
    if (q->started == 0 || mioc_client_is_exempt())
        return 0;
    q->kind = MIOC_POLICY_NONE;
    q->key.text = "";
    q->key.len = 0;
    q->path = path;
    return 1;
}

int mioc_client_is_foreign(int dirfd, const char *path)
{
    return (!mioc_stats_is_timed() && (!mioc_client_is_serving() || !may_be_ours(&mioc_client, dirfd, path))) ||
           !mioc_stack_has_room(MIOC_STACK_SERVED);
}

int mioc_client_peek(struct mioc_query *q, enum mioc_call call, int dirfd, const char *path)
{
    return begin(q, call, dirfd, path);
}

int mioc_client_begin(struct mioc_query *q, enum mioc_call call, int dirfd, const char *path)
{
    if (!begin(q, call, dirfd, path))
        return 0;
    /* So that the trace can tell whether the call failed. */
    q->error_before = errno;
    if (mioc_trace_is_on())
        errno = 0;
    return 1;
}

static void trace_end(struct mioc_query *q, uint64_t bytes, int error)
{
    if (q->started != 0)
        mioc_trace_call(q->call, q->outcome, q->kind == MIOC_POLICY_NONE ? q->path : q->key.text, error, bytes,
                        q->started);
}

void mioc_client_end(struct mioc_query *q, uint64_t bytes)
{
    int error = errno;

    mioc_stats_count(q->call, q->outcome, bytes, mioc_stats_since(q->started));
    if (mioc_trace_is_on())
        trace_end(q, bytes, error);
    errno = error != 0 ? error : q->error_before;
}

/* --- Looking up -------------------------------------------------------------------------------------------------- */

static const struct mioc_item *look_up(unsigned kind, const char *path, uint32_t len)
{
    return mioc_store_lookup(mioc_client_store(), kind, path, len, mioc_item_hash(kind, path, len));
}

/* In a directory that others write to, a name that is not there may be there soon, and what is there may have changed
 * before anybody touched it. What the root could not tell, it may be able to tell now. */
static int is_stale(const struct mioc_query *q, const struct mioc_item *item)
{
    int is_brief = (item->flags & MIOC_FLAG_BRIEF) != 0,
        is_import = q->kind == MIOC_POLICY_IMPORT && !(item->flags & MIOC_FLAG_UNCACHED);
    uint64_t now_ms;

    if (!is_brief && !(is_import && ((item->flags & MIOC_FLAG_EARLY) || mioc_item_says_absent(item))))
        return 0;
    now_ms = mioc_clock_coarse_ms();
    return is_brief ? mioc_item_is_over(item, now_ms) : now_ms >= item->local_applied_ms + mioc_client.ttl_ms;
}

/* Worse outcomes stay: a call that waited for one record and found the next is a miss. */
static void note_outcome(struct mioc_query *q, enum mioc_outcome outcome)
{
    static const int weight[MIOC_OUTCOMES] = { [MIOC_PASS] = 0, [MIOC_HIT] = 1, [MIOC_MISS] = 2, [MIOC_TIMEOUT] = 3 };

    if (weight[outcome] > weight[q->outcome])
        q->outcome = outcome;
}

/* Asks for a record of path[0..len) and waits for it. 1: look again. */
static int ask_about(struct mioc_query *q, unsigned kind, const char *path, uint32_t len)
{
    struct mioc_store *store = mioc_client_store();
    enum mioc_ask_status status;

    if (mioc_store_get_state(store) != MIOC_STORE_ACTIVE || __atomic_load_n(&mioc_client.is_broken, __ATOMIC_RELAXED) ||
        !mioc_loader_may_ask())
        return 0;
    if (mioc_trace_is_on())
        mioc_trace_flow('s', kind, path, len);
    status = mioc_ring_ask(mioc_store_ring(store), MIOC_ASK_RECORD, kind, path, len, mioc_client_deadline(),
                           mioc_client_is_agent_alive, store);
    mioc_client_note_status(status);
    if (mioc_trace_is_on())
        mioc_trace_flow('f', kind, path, len);
    if (status == MIOC_ASK_TIMEOUT)
        note_outcome(q, MIOC_TIMEOUT);
    return status == MIOC_ASK_ANSWERED;
}

static int ask(struct mioc_query *q, unsigned kind) { return ask_about(q, kind, q->key.text, q->key.len); }

/* The kernel follows a relative path from the directory itself. Where another node has renamed that, or a folder above
 * it, the name that this node's kernel gives it leads elsewhere. */
static int is_cwd_at_its_name(struct mioc_query *q)
{
    const struct mioc_item *item = look_up(MIOC_ITEM_STAT, q->key.text, q->key.base);
    const struct mioc_stat_record *st = (const void *)item;
    uint64_t ino = __atomic_load_n(&mioc_client.cwd_ino, __ATOMIC_RELAXED);

    if ((item == NULL || is_stale(q, item)) && ask_about(q, MIOC_ITEM_STAT, q->key.text, q->key.base))
        st = (const void *)(item = look_up(MIOC_ITEM_STAT, q->key.text, q->key.base));
    return item != NULL && !(item->flags & MIOC_FLAG_UNCACHED) && st->stat_errno == 0 && st->stat.ino == ino;
}

/* Whether everybody who may read the directory's names may look them up too; else a name that is not there is EACCES.
 */
static int is_searchable(const struct mioc_stat *dir)
{
    return (dir->mode & 0111) == 0111 || ((dir->mode & 0100) && dir->uid == geteuid());
}

/* "folder/." needs the right to search it, which its key, "folder/", does not. */
static int is_right_with_dot(const struct mioc_item *item)
{
    const struct mioc_stat_record *st = (const void *)item;
    const struct mioc_list_record *list = (const void *)item;

    if (item->kind == MIOC_ITEM_STAT)
        return st->stat_errno != 0 || is_searchable(&st->stat);
    return item->kind == MIOC_ITEM_LIST && (list->list_errno != 0 || is_searchable(&list->stat));
}

/* What a call gets of a record that was found: nothing if the root does not share it, or this process knows better. */
static const struct mioc_item *accept(struct mioc_query *q, const struct mioc_item *item, enum mioc_outcome outcome)
{
    if ((item->flags & MIOC_FLAG_UNCACHED) || (q->has_absence_doubted && !mioc_item_says_there(item)) ||
        (q->is_dot && !is_right_with_dot(item))) {
        q->outcome = MIOC_PASS;
        return NULL;
    }
    note_outcome(q, outcome);
    return item;
}

/* `item`: what has been found. */
static const struct mioc_item *record_behind(struct mioc_query *q, unsigned kind, const struct mioc_item *item)
{
    if (item != NULL && !is_stale(q, item))
        return accept(q, item, MIOC_HIT);
    if (ask(q, kind) && (item = look_up(kind, q->key.text, q->key.len)) != NULL)
        return accept(q, item, MIOC_MISS);
    if (q->outcome != MIOC_TIMEOUT)
        q->outcome = MIOC_PASS;
    return NULL;
}

const struct mioc_item *mioc_client_record(struct mioc_query *q, unsigned kind)
{
    if (q->kind == MIOC_POLICY_NONE ||
        (kind == MIOC_ITEM_LIST && !mioc_policy_is_whole(mioc_client.policy, q->key.text, q->key.len)))
        return NULL;
    return record_behind(q, kind, look_up(kind, q->key.text, q->key.len));
}

/* The errno that a directory's listing gives for the name behind it, or 0: it says nothing. */
static int absent_in(const struct mioc_list_record *list, const char *name, uint32_t len)
{
    if (list->item.flags & MIOC_FLAG_UNCACHED)
        return 0;
    if (list->list_errno != 0)
        return list->list_errno == ENOENT || list->list_errno == ENOTDIR ? list->list_errno : 0;
    if (name[0] == '.') /* .snapshot, .zfs: there, but in no listing */
        return 0;
    return is_searchable(&list->stat) && !mioc_list_may_have(list, name, len) ? ENOENT : 0;
}

/* The errno that the nearest known listing above this path gives for it, 0: it says nothing, -1: that is for the kernel
 * to say. */
static int absent_by_listing(const struct mioc_query *q)
{
    const char *path = q->key.text;
    uint32_t len = q->kind == MIOC_POLICY_LIBRARY ? q->key.len : 0, parent;

    while (len > 0 && (parent = mioc_path_parent(path, len)) > 0) {
        const struct mioc_list_record *list = (const void *)look_up(MIOC_ITEM_LIST, path, parent);
        uint32_t at = path[parent] == '/' ? parent + 1 : parent;

        if (list != NULL)
            return mioc_client_is_doubtful(q, list, parent) ? -1 : absent_in(list, path + at, len - at);
        len = parent;
    }
    return 0;
}

const struct mioc_stat_record *mioc_client_stat(struct mioc_query *q, int *absent)
{
    const struct mioc_item *item;

    *absent = 0;
    if (q->kind == MIOC_POLICY_NONE)
        return NULL;
    item = q->stat != NULL ? q->stat : look_up(MIOC_ITEM_STAT, q->key.text, q->key.len);
    if (item == NULL) {
        *absent = absent_by_listing(q);
        if (*absent > 0)
            note_outcome(q, MIOC_HIT);
    }
    if (*absent != 0) {
        *absent = *absent > 0 ? *absent : 0;
        return NULL;
    }
    item = record_behind(q, MIOC_ITEM_STAT, item);
    /* The root may answer a first question with the listing alone. */
    if (item == NULL && q->outcome == MIOC_PASS && look_up(MIOC_ITEM_STAT, q->key.text, q->key.len) == NULL &&
        (*absent = absent_by_listing(q)) > 0)
        note_outcome(q, MIOC_MISS);
    *absent = *absent > 0 ? *absent : 0;
    return (const void *)item;
}

/* Only by names that are regular files' everywhere: opening alone would be felt by a FIFO's writer or a device. */
void mioc_client_expect_content(struct mioc_query *q)
{
    uint32_t parent;

    if (q->kind == MIOC_POLICY_NONE || (q->stat = look_up(MIOC_ITEM_STAT, q->key.text, q->key.len)) != NULL)
        return;
    parent = mioc_path_parent(q->key.text, q->key.len);
    if (parent > 0 && mioc_policy_is_import_name(q->key.text + parent + 1, q->key.len - parent - 1) &&
        look_up(MIOC_ITEM_CONTENT, q->key.text, q->key.len) == NULL && absent_by_listing(q) == 0 &&
        ask(q, MIOC_ITEM_CONTENT))
        note_outcome(q, MIOC_MISS);
}
