/* SPDX-License-Identifier: BSD-3-Clause */
/* lookup.c - finds the answer to a call in the store, or asks the agent for it and waits (README.md). */
#include "client_internal.h"
#include "base/clock.h"
#include "base/stack.h"
#include "loader/loader.h"
#include "observe/trace.h"
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* --- Whose call is it -------------------------------------------------------------------------------------------- */

/* Whether the path could be ours, from its bytes alone; most calls end here. (A path with "//" or "/./" inside a prefix
 * is not recognised, and so is a real call: right, if slow.) */
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
    /* Programs often read data beside their script; the names of data are to cost no getcwd. */
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    return mioc_policy_is_import_name(name, (uint32_t)strlen(name));
}

/* Whether a key is worth making. For an absolute path the class is as cheap as the look at its bytes, so only paths
 * that need a system call are looked at before. (So the loader's names, with 300 slashes in them, are served, too.) */
static int may_have_key(const struct mioc_client *c, int dirfd, const char *path)
{
    return !mioc_path_is_nowhere(path) && (path[0] == '/' || may_be_ours(c, dirfd, path));
}

/* The agent is about to reach the root. Without waiting all ranks would go to the filesystem at once. One deadline is
 * enough for a process: an agent that stands still would hold up each call. */
static __attribute__((noinline)) enum mioc_store_state await_state(const struct mioc_store *store)
{
    enum mioc_store_state state = MIOC_STORE_STARTING;

    if (!__atomic_load_n(&mioc_client.has_awaited, __ATOMIC_RELAXED))
        state = mioc_store_await(store, mioc_client_deadline());
    if (state == MIOC_STORE_STARTING)
        __atomic_store_n(&mioc_client.has_awaited, 1, __ATOMIC_RELAXED);
    return state;
}

/* If the agent has left, is full, is silent, or has no way to the root, nobody hears of other nodes' writes: the store
 * may be old. */
static int is_trustworthy(const struct mioc_store *store)
{
    const struct mioc_ring *ring = mioc_store_ring(store);
    enum mioc_store_state state = mioc_store_get_state(store);

    if (__builtin_expect(state == MIOC_STORE_STARTING, 0))
        state = await_state(store);
    return state == MIOC_STORE_ACTIVE && !mioc_ring_is_tainted(ring) &&
           !mioc_ring_is_silent(ring, mioc_client.trust_ns) && mioc_ring_is_leased(ring);
}

static int is_cwd_at_its_name(struct mioc_query *q);

/* Most calls are not ours; for those only the time is taken, if calls are timed. */
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
    /* The trace tells by errno whether the call failed. */
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

/* Whether the record no longer counts. In a directory that others write to, an absent name may come soon, and what
 * nobody had asked for yet may have changed. And what the root could not tell then, it may tell now. */
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

/* The worst outcome counts: a call that waited for one record and found the next one is a miss. */
static void note_outcome(struct mioc_query *q, enum mioc_outcome outcome)
{
    static const int weight[MIOC_OUTCOMES] = { [MIOC_PASS] = 0, [MIOC_HIT] = 1, [MIOC_MISS] = 2, [MIOC_TIMEOUT] = 3 };

    if (weight[outcome] > weight[q->outcome])
        q->outcome = outcome;
}

/* Asks the agent for a record of path[0..len), and waits for it. 1: look again; 0: make the real call. */
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

/* Whether the key of a relative path means what the kernel means, which follows the path from the directory itself. If
 * another node has renamed that directory, or one above it, this node's kernel has an old name for it. */
static int is_cwd_at_its_name(struct mioc_query *q)
{
    const struct mioc_item *item = look_up(MIOC_ITEM_STAT, q->key.text, q->key.base);
    const struct mioc_stat_record *st = (const void *)item;
    uint64_t ino = __atomic_load_n(&mioc_client.cwd_ino, __ATOMIC_RELAXED);

    if ((item == NULL || is_stale(q, item)) && ask_about(q, MIOC_ITEM_STAT, q->key.text, q->key.base))
        st = (const void *)(item = look_up(MIOC_ITEM_STAT, q->key.text, q->key.base));
    return item != NULL && !(item->flags & MIOC_FLAG_UNCACHED) && st->stat_errno == 0 && st->stat.ino == ino;
}

/* An answer that was got just now by the working directory's name may be from the midst of another node's renaming of
 * it. The kernel would go on from the directory itself, and find what is there. */
static int may_be_of_cwd(struct mioc_query *q, const struct mioc_item *item)
{
    return q->key.base == 0 || (mioc_item_says_there(item) && is_cwd_at_its_name(q));
}

/* Whether whoever may read the directory's names may look them up, too. If not, an absent name may be EACCES. */
static int is_searchable(const struct mioc_stat *dir)
{
    return (dir->mode & 0111) == 0111 || ((dir->mode & 0100) && dir->uid == geteuid());
}

/* Whether the record of "folder/" is right for "folder/.", which needs the right to search the folder. */
static int is_right_with_dot(const struct mioc_item *item)
{
    const struct mioc_stat_record *st = (const void *)item;
    const struct mioc_list_record *list = (const void *)item;

    if (item->kind == MIOC_ITEM_STAT)
        return st->stat_errno != 0 || is_searchable(&st->stat);
    return item->kind == MIOC_ITEM_LIST && (list->list_errno != 0 || is_searchable(&list->stat));
}

/* Whether the record may be looked at with doubt, as a link leads to what it is about. */
static int is_by_link(const struct mioc_item *item)
{
    return (item->flags & MIOC_FLAG_BY_LINK) && __atomic_load_n(&mioc_client.link_doubts_until_ms, __ATOMIC_RELAXED);
}

/* Returns the record for the call, or NULL: the root does not share the answer, or this process knows better. */
static const struct mioc_item *accept(struct mioc_query *q, const struct mioc_item *item, enum mioc_outcome outcome)
{
    if ((item->flags & MIOC_FLAG_UNCACHED) || (q->has_absence_doubted && !mioc_item_says_there(item)) ||
        (q->is_dot && !is_right_with_dot(item)) || (is_by_link(item) && mioc_client_is_record_doubtful(item))) {
        q->outcome = MIOC_PASS;
        return NULL;
    }
    note_outcome(q, outcome);
    return item;
}

/* Returns the record for the call. `item` is what the store has, or NULL; if it does not count the agent is asked. */
static const struct mioc_item *find_or_ask(struct mioc_query *q, unsigned kind, const struct mioc_item *item)
{
    if (item != NULL && !is_stale(q, item))
        return accept(q, item, MIOC_HIT);
    if (ask(q, kind) && (item = look_up(kind, q->key.text, q->key.len)) != NULL && may_be_of_cwd(q, item))
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
    return find_or_ask(q, kind, look_up(kind, q->key.text, q->key.len));
}

/* Returns the errno that a folder's listing gives for a name in it, or 0: the listing does not tell. */
static int absent_in(const struct mioc_list_record *list, const char *name, uint32_t len)
{
    if (list->item.flags & MIOC_FLAG_UNCACHED)
        return 0;
    if (list->list_errno != 0)
        return list->list_errno == ENOENT || list->list_errno == ENOTDIR ? list->list_errno : 0;
    if (name[0] == '.') /* .snapshot and .zfs are there, but in no listing */
        return 0;
    return is_searchable(&list->stat) && !mioc_list_may_have(list, name, len) ? ENOENT : 0;
}

/* Returns the errno that the nearest known listing above the path gives for it, 0: it does not tell, or -1: the listing
 * is doubtful, make the real call. */
static int absent_by_listing(const struct mioc_query *q)
{
    const char *path = q->key.text;
    uint32_t len = q->kind == MIOC_POLICY_LIBRARY ? q->key.len : 0, parent;

    while (len > 0 && (parent = mioc_path_parent(path, len)) > 0) {
        const struct mioc_list_record *list = (const void *)look_up(MIOC_ITEM_LIST, path, parent);
        uint32_t at = path[parent] == '/' ? parent + 1 : parent;

        if (list != NULL && is_by_link(&list->item) && mioc_client_is_doubtful_by_link(path, q->key.len, parent))
            return -1;
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
    item = find_or_ask(q, MIOC_ITEM_STAT, item);
    /* The root may answer the first question about a name in a folder with the folder's listing alone. */
    if (item == NULL && q->key.base == 0 && q->outcome == MIOC_PASS &&
        look_up(MIOC_ITEM_STAT, q->key.text, q->key.len) == NULL && (*absent = absent_by_listing(q)) > 0)
        note_outcome(q, MIOC_MISS);
    *absent = *absent > 0 ? *absent : 0;
    return (const void *)item;
}

/* Only by names that imports open, as those are regular files': a FIFO's writer or a device would feel an open. */
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
