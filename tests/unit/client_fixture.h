/* SPDX-License-Identifier: BSD-3-Clause */
/* client_fixture.h - a client with a real store and ring, and a thread that plays their agent; for test_lookup*.c. */
#ifndef CLIENT_FIXTURE_H
#define CLIENT_FIXTURE_H

#include "store_fixture.h"

#include "client/client_internal.h"
#include "base/log.h"

#include <pthread.h>
#include <sys/stat.h>
#include <time.h>

#define SECOND 1000000000ull

static struct mioc_policy policy;
static struct mioc_stats stats;
static struct mioc_query q;
static char tree[64]; /* a directory that the policy covers as a library */

/* --- The agent: a thread that does what the test wants ----------------------------------------------------------- */

static struct {
    struct mioc_store *store;
    pthread_t thread;
    int is_running, is_silent, answers_nothing, lists_only; /* atomic */
    unsigned asked;                                         /* atomic */
    char written[16][MIOC_PATH_MAX];
    unsigned flags[16], writes;
    int is_unsynced; /* other nodes have yet to hear of writes */
    int never_syncs; /* atomic */
    unsigned syncs;
} agent;

static void append(const struct mioc_item *item) { assert_true(mioc_store_append(agent.store, item) >= 0); }

static struct mioc_item *with_error(unsigned kind, const char *path, int error)
{
    struct mioc_item *item = record(kind, 0, path, 7);

    if (kind == MIOC_ITEM_STAT)
        ((struct mioc_stat_record *)(void *)item)->lstat_errno = ((struct mioc_stat_record *)(void *)item)->stat_errno =
            error;
    if (kind == MIOC_ITEM_LIST)
        ((struct mioc_list_record *)(void *)item)->list_errno = error;
    return item;
}

/* What is there has the inode that it really has. */
static struct mioc_item *truthful(unsigned kind, const char *path)
{
    struct mioc_item *item = record(kind, 0, path, 7);
    struct stat st;

    if (kind == MIOC_ITEM_STAT && stat(path, &st) == 0)
        ((struct mioc_stat_record *)(void *)item)->stat.ino = st.st_ino;
    return item;
}

/* A listing with one name, "there". */
static struct mioc_item *listing(const char *path, uint32_t mode)
{
    static _Alignas(8) char buf[MIOC_ITEM_MAX];
    struct mioc_list_record *list = (void *)buf;
    char *at = mioc_item_begin(buf, MIOC_ITEM_LIST, 0, path, (uint32_t)strlen(path));
    struct mioc_dirent *entry;
    uint32_t *table;

    while ((at - buf) % 8 != 0)
        *at++ = '\0';
    entry = (void *)at;
    memset(entry, 0, 24);
    entry->size = 24;
    entry->name_len = 5;
    strcpy(entry->name, "there");
    table = (void *)(at + 24);
    table[0] = table[1] = 0;
    table[mioc_name_hash("there", 5) & 1] = (uint32_t)(at - buf);
    list->stat.mode = S_IFDIR | mode;
    list->stat.uid = geteuid();
    list->count = 1;
    list->entries = (uint32_t)(at - buf);
    list->table = list->entries + 24;
    list->table_size = 2;
    mioc_item_finish(buf, table + 2);
    assert_int_equal(mioc_item_check(buf, list->item.size), 0);
    return &list->item;
}

static void answer(const struct mioc_ask_request *request)
{
    struct mioc_ring *ring = mioc_store_ring(agent.store);
    enum mioc_ask_status status = MIOC_ASK_ANSWERED;

    if (request->what == MIOC_ASK_SYNC) {
        agent.syncs++;
        if (__atomic_load_n(&agent.never_syncs, __ATOMIC_ACQUIRE))
            return;
    } else if (request->what == MIOC_ASK_INVALIDATE) {
        if (agent.is_unsynced)
            status = MIOC_ASK_UNSYNCED;
        strcpy(agent.written[agent.writes % 16], request->path);
        agent.flags[agent.writes++ % 16] = request->kind;
        mioc_store_hold(agent.store, request->path, request->len, (request->kind & MIOC_FLAG_SUBTREE) != 0,
                        agent.writes);
    } else if (__atomic_load_n(&agent.lists_only, __ATOMIC_ACQUIRE)) {
        char parent[MIOC_PATH_MAX];

        strcpy(parent, request->path);
        parent[mioc_path_parent(request->path, request->len)] = '\0';
        append(listing(parent, 0755));
    } else if (!__atomic_load_n(&agent.answers_nothing, __ATOMIC_ACQUIRE)) {
        append(strstr(request->path, "missing") ? with_error(request->kind, request->path, ENOENT)
                                                : truthful(request->kind, request->path));
    }
    mioc_ring_answer(ring, request->slot, status);
}

static void *run_agent(void *arg)
{
    struct mioc_ring *ring = mioc_store_ring(agent.store);
    static struct mioc_ask_request request;

    mioc_client_exempt_thread(1);
    while (__atomic_load_n(&agent.is_running, __ATOMIC_ACQUIRE)) {
        while (mioc_ring_take(ring, &request)) {
            __atomic_add_fetch(&agent.asked, 1, __ATOMIC_ACQ_REL);
            if (!__atomic_load_n(&agent.is_silent, __ATOMIC_ACQUIRE))
                answer(&request);
        }
        mioc_ring_sleep(ring, SECOND / 20);
    }
    return arg;
}

static void set(int *flag, int value) { __atomic_store_n(flag, value, __ATOMIC_RELEASE); }
static unsigned asked(void) { return __atomic_load_n(&agent.asked, __ATOMIC_ACQUIRE); }

/* --- Set up ------------------------------------------------------------------------------------------------------ */

static void add_prefix(unsigned i, const char *path, enum mioc_policy_class kind)
{
    strcpy(policy.prefix[i].path, path);
    policy.prefix[i].len = (uint32_t)strlen(path);
    policy.prefix[i].kind = kind;
    policy.count = i + 1;
}

static __attribute__((unused)) int make_client(void **state)
{
    if (make_store(state) != 0)
        return -1;
    memset(&agent, 0, sizeof agent);
    memset(&stats, 0, sizeof stats);
    memset(&policy, 0, sizeof policy);
    strcpy(tree, "/tmp/mioc_client_XXXXXX");
    if (mkdtemp(tree) == NULL)
        return -1;
    add_prefix(0, tree, MIOC_POLICY_LIBRARY);
    add_prefix(1, "/lib_prefix", MIOC_POLICY_LIBRARY);
    add_prefix(2, "/imports", MIOC_POLICY_IMPORT);
    agent.store = *state;
    agent.is_running = 1;
    mioc_store_set_state(agent.store, MIOC_STORE_ACTIVE);
    mioc_stats_use(&stats, 0);
    mioc_client_start(agent.store, &policy, 3);
    mioc_client.timeout_ns = 5 * SECOND;
    mioc_client.ttl_ms = 1000000;
    return pthread_create(&agent.thread, NULL, run_agent, NULL);
}

static int remove_client(void **state)
{
    char command[128];

    __atomic_store_n(&agent.is_running, 0, __ATOMIC_RELEASE);
    mioc_ring_wake(mioc_store_ring(agent.store));
    pthread_join(agent.thread, NULL);
    mioc_client_stop();
    mioc_stats_use(NULL, 0);
    snprintf(command, sizeof command, "rm -r '%s'", tree);
    return system(command) | remove_store(state);
}

static int begin(const char *path) { return mioc_client_begin(&q, MIOC_CALL_STAT, AT_FDCWD, path); }

/* One whole stat: 0, an errno, or -1 for the real call. */
static int stat_of(const char *path)
{
    const struct mioc_stat_record *r;
    int absent, result;

    errno = 99;
    if (!begin(path))
        return -1;
    r = mioc_client_stat(&q, &absent);
    result = r ? r->stat_errno : absent ? absent : -1;
    mioc_client_end(&q, 0);
    assert_int_equal(errno, 99);
    return result;
}

static void expect_counts(enum mioc_call call, uint64_t hit, uint64_t miss, uint64_t pass, uint64_t timeout)
{
    const uint64_t *n = stats.row[call].outcome;

    if (n[MIOC_HIT] != hit || n[MIOC_MISS] != miss || n[MIOC_PASS] != pass || n[MIOC_TIMEOUT] != timeout)
        fail_msg("hit %d miss %d pass %d timeout %d", (int)n[MIOC_HIT], (int)n[MIOC_MISS], (int)n[MIOC_PASS],
                 (int)n[MIOC_TIMEOUT]);
}

#define WITH_CLIENT(f) cmocka_unit_test_setup_teardown(f, make_client, remove_client)

#endif
