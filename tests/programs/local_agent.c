/* SPDX-License-Identifier: BSD-3-Clause */
/* local_agent.c - a preloadable cache of one process, for tests of the interposers: a store, an agent's thread with the
 * real resolver behind it, no launcher, no MPI, no other node.
 *
 * Linked with the library's own objects into a library of the tests' own. MPIIO_CACHE_PATHS says what is cached,
 * MPIIO_CACHE_DIR where the store is, LOCAL_AGENT_RANK which rank to be (default 0). Without MPIIO_CACHE_PATHS it does
 * nothing. Its children are not served: they find LOCAL_AGENT_PID set to another process. */
#include "resolver/aliases.h"
#include "resolver/resolver.h"
#include "client/client.h"
#include "interpose/wrap_loader.h"
#include "base/real.h"
#include "store/ring.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define QUESTIONS_MAX 512
#define CHECK(condition) \
    do { \
        if (!(condition)) \
            fail(#condition); \
    } while (0)

struct question {
    int waits;
    struct mioc_ask_request request;
};

static struct mioc_store *store;
static struct mioc_policy policy;
static struct mioc_resolver *resolver;
static struct mioc_aliases *aliases;
static uint64_t token; /* writes so far */
static struct question question[QUESTIONS_MAX];
static pid_t owner;
static pthread_t thread;
static int stopping;
static _Alignas(8) unsigned char scratch[MIOC_ITEM_MAX];

static void fail(const char *what)
{
    fprintf(stderr, "local_agent: %s: %m\n", what);
    _exit(99);
}

static void on_ready(void *ctx)
{
    (void)ctx;
    mioc_ring_wake(mioc_store_ring(store));
}
static int on_reserve(void *ctx, uint64_t bytes, int may_evict)
{
    (void)may_evict;
    (void)ctx;
    return mioc_store_has_room(store, bytes) ? 0 : -1;
}
static int on_may_speculate(void *ctx, const char *path, uint32_t len)
{
    (void)ctx;
    return mioc_policy_classify(&policy, path, len) == MIOC_POLICY_LIBRARY;
}
static int on_is_known(void *ctx, unsigned kind, const char *path, uint32_t len)
{
    (void)ctx;
    return mioc_store_lookup(store, kind, path, len, mioc_item_hash(kind, path, len)) != NULL;
}

static void ask(const struct mioc_ask_request *request)
{
    if (on_is_known(NULL, request->kind, request->path, request->len)) {
        mioc_ring_answer(mioc_store_ring(store), request->slot, MIOC_ASK_ANSWERED);
        return;
    }
    for (unsigned i = 0; i < QUESTIONS_MAX; i++)
        if (!question[i].waits) {
            question[i].request = *request;
            question[i].waits = 1;
            CHECK(mioc_resolver_ask(resolver, request->kind, request->path, request->len) == 0);
            return;
        }
    mioc_ring_answer(mioc_store_ring(store), request->slot, MIOC_ASK_REAL);
}

static void invalidate(const char *path, uint32_t len, uint32_t flags, uint64_t write)
{
    static const unsigned kinds[] = { MIOC_ITEM_STAT, MIOC_ITEM_CONTENT, MIOC_ITEM_ACCESS, MIOC_ITEM_REALPATH };
    struct mioc_invalidate_record *record = (void *)scratch;
    char *end = mioc_item_begin(scratch, MIOC_ITEM_INVALIDATE, flags, path, len);

    mioc_resolver_invalidate(resolver, path, len, flags, 0);
    record->token = write;
    mioc_item_finish(scratch, end);
    CHECK(mioc_item_check(scratch, sizeof(scratch)) == 0);
    CHECK(mioc_store_append(store, (void *)scratch) >= 0);
    for (unsigned i = 0; i < 4 && (flags & MIOC_FLAG_STICKY); i++) {
        mioc_item_finish(scratch, mioc_item_begin(scratch, kinds[i], MIOC_FLAG_UNCACHED | MIOC_FLAG_STICKY, path, len));
        CHECK(mioc_store_append(store, (void *)scratch) >= 0);
    }
}

static void wrote(const struct mioc_ask_request *request)
{
    static char other[MIOC_PATH_MAX];
    uint32_t len;

    CHECK(mioc_store_hold(store, request->path, request->len, (request->kind & MIOC_FLAG_SUBTREE) != 0, ++token) == 0);
    for (unsigned i = 0; (len = mioc_aliases_next(aliases, i, request->path, request->kind, other)) > 0; i++)
        invalidate(other, len, request->kind, 0);
    invalidate(request->path, request->len, request->kind, token);
    mioc_ring_answer(mioc_store_ring(store), request->slot, MIOC_ASK_ANSWERED);
}

static void publish(const struct mioc_resolved *resolved)
{
    const struct mioc_item *item = resolved->item;
    const char *path = mioc_item_path(item), *name;
    uint32_t len;

    if (mioc_aliases_learn(aliases, item, &name, &len) && token > 0) {
        mioc_resolved_doubt(resolved);
        invalidate(name, len, MIOC_FLAG_SUBTREE, 0);
    }
    CHECK(mioc_item_check(item, item->size) == 0);
    if (item->kind == MIOC_ITEM_CHUNK)
        CHECK(mioc_store_write_chunk(store, (const void *)item, resolved->bytes) == 0);
    CHECK(mioc_store_append(store, item) >= 0);
    for (unsigned i = 0; i < QUESTIONS_MAX && path != NULL; i++) {
        struct mioc_ask_request *request = &question[i].request;

        if (question[i].waits && request->kind == item->kind && request->len == item->path_len &&
            memcmp(request->path, path, request->len) == 0) {
            question[i].waits = 0;
            mioc_ring_answer(mioc_store_ring(store), request->slot, MIOC_ASK_ANSWERED);
        }
    }
}

static void *run(void *unused)
{
    static struct mioc_ask_request request;
    struct mioc_resolved resolved;

    mioc_client_exempt_thread(1);
    while (!__atomic_load_n(&stopping, __ATOMIC_ACQUIRE)) {
        while (mioc_ring_take(mioc_store_ring(store), &request)) {
            if (request.what == MIOC_ASK_RECORD)
                ask(&request);
            else
                wrote(&request);
        }
        while (mioc_resolver_take(resolver, &resolved)) {
            publish(&resolved);
            mioc_resolved_free(&resolved);
        }
        mioc_ring_sleep(mioc_store_ring(store), 100000000);
    }
    return unused;
}

static void start_threads(void)
{
    struct mioc_resolver_config config = { .threads = 2,
                                           .max_file = 64u << 20,
                                           .ready = on_ready,
                                           .reserve = on_reserve,
                                           .may_speculate = on_may_speculate,
                                           .is_known = on_is_known };
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    CHECK((aliases = mioc_aliases_new()) != NULL);
    CHECK((resolver = mioc_resolver_new(&config)) != NULL);
    CHECK(pthread_create(&thread, NULL, run, NULL) == 0);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

__attribute__((constructor)) static void local_agent_start(void)
{
    struct mioc_store_limits limits = { .max_bytes = 256u << 20, .max_arena = 64u << 20 };
    static char empty[] = "", *argv[] = { empty, NULL };
    const char *rank = getenv("LOCAL_AGENT_RANK");
    char pid[16];

    if (mioc_config()->paths[0] == '\0' || getenv("LOCAL_AGENT_PID") != NULL)
        return;
    mioc_loader_patch(mioc_config()); /* before there are threads */
    CHECK(mioc_policy_build_self(&policy, 1, argv, mioc_config()) == 0);
    CHECK((store = mioc_store_create(mioc_config()->dir, (uint64_t)getpid(), &limits)) != NULL);
    owner = getpid();
    (void)snprintf(pid, sizeof(pid), "%d", (int)owner);
    setenv("LOCAL_AGENT_PID", pid, 1);
    mioc_ring_init(mioc_store_ring(store), owner);
    mioc_store_set_node(store, 0);
    mioc_store_set_state(store, MIOC_STORE_ACTIVE);
    mioc_real_bind(); /* as start.c does: a thread of ours that needs ld.so would wait for the load that waits for it */
    start_threads();
    mioc_loader_start(store, 1);
    mioc_loader_set_answer(mioc_answer_loader);
    mioc_client_start(store, &policy, rank == NULL ? 0 : atoi(rank));
}

/* Also says how many calls were served, so that a test that passes because nothing was cached is seen to. */
__attribute__((destructor)) static void local_agent_stop(void)
{
    const struct mioc_stats *stats = mioc_stats_current();
    const char *report = getenv("LOCAL_AGENT_REPORT");
    FILE *f = NULL;

    if (store == NULL || owner != getpid())
        return;
    mioc_client_stop();
    __atomic_store_n(&stopping, 1, __ATOMIC_RELEASE);
    mioc_ring_wake(mioc_store_ring(store));
    pthread_join(thread, NULL);
    mioc_resolver_free(resolver, 1000000000);
    if (report != NULL)
        f = mioc_real(fopen)(report, "w");
    for (unsigned call = 0; call < MIOC_CALLS && f != NULL; call++)
        fprintf(f, "%s hit %llu miss %llu pass %llu timeout %llu\n", mioc_call_names[call],
                (unsigned long long)stats->row[call].outcome[MIOC_HIT],
                (unsigned long long)stats->row[call].outcome[MIOC_MISS],
                (unsigned long long)stats->row[call].outcome[MIOC_PASS],
                (unsigned long long)stats->row[call].outcome[MIOC_TIMEOUT]);
    if (f != NULL)
        fclose(f);
    mioc_store_remove(store);
}
