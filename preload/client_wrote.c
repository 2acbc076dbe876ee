/* SPDX-License-Identifier: BSD-3-Clause */
/* client_wrote.c - telling the agent what this process wrote, in every spelling that the cache could know it by; the breaker. */
#include "bystander.h"
#include "client_internal.h"
#include "log.h"
#include "trace.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* How long a write tries to get a slot while all are taken by others who wait. */
#define BUSY_TRIES 50
#define BUSY_PAUSE_NS 2000000
/* An agent that lives says so five times a second. */
#define DEAD_NS 500000000

/* --- The breaker -------------------------------------------------------------------------------------------------- */

uint64_t mioc_client_deadline(void)
{
    struct timespec now = { 0 };

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec + mioc_client.timeout_ns;
}

int mioc_client_is_agent_alive(void *store)
{
    if (mioc_store_is_owner_alive(store))
        return 1;
    /* It never comes back: nobody else on this node has to find out by waiting. But in another root its lock cannot be found. */
    if (mioc_ring_is_silent(mioc_store_ring(store), DEAD_NS))
        mioc_ring_taint(mioc_store_ring(store));
    return 0;
}

void mioc_client_note_status(enum mioc_ask_status status)
{
    struct mioc_client *c = &mioc_client;

    if (status == MIOC_ASK_ANSWERED && __atomic_load_n(&c->missed, __ATOMIC_RELAXED) != 0)
        __atomic_store_n(&c->missed, 0, __ATOMIC_RELAXED);
    if (status != MIOC_ASK_TIMEOUT || __atomic_add_fetch(&c->missed, 1, __ATOMIC_RELAXED) < MIOC_BREAKER_LIMIT)
        return;
    if (!__atomic_exchange_n(&c->is_broken, 1, __ATOMIC_RELAXED))
        mioc_log(MIOC_LOG_WARN, "the cache did not answer %d times in a row within %llu ms: this process (pid %d) asks no more",
                 MIOC_BREAKER_LIMIT, (unsigned long long)(c->timeout_ns / 1000000), (int)getpid());
}

/* --- Writes ------------------------------------------------------------------------------------------------------- */

struct tidings { /* of one write */
    uint32_t flags;
    int told;                 /* how many spellings were ours */
    enum mioc_outcome outcome;
};

static enum mioc_ask_status ask(const char *path, uint32_t len, uint32_t flags)
{
    const struct timespec pause = { .tv_nsec = BUSY_PAUSE_NS };
    struct mioc_store *store = mioc_client_store();
    enum mioc_ask_status status = MIOC_ASK_REAL;

    /* A store without agent is served to nobody (mioc_client_begin) and never again: there is nothing to be dead. */
    if (mioc_store_get_state(store) > MIOC_STORE_ACTIVE)
        return MIOC_ASK_ANSWERED;
    if (__atomic_load_n(&mioc_client.is_broken, __ATOMIC_RELAXED))
        return status;
    for (int i = 0; i < BUSY_TRIES; i++) {
        status = mioc_ring_ask(mioc_store_ring(store), MIOC_ASK_INVALIDATE, flags, path, len, mioc_client_deadline(),
                               mioc_client_is_agent_alive, store);
        if (status != MIOC_ASK_BUSY)
            break;
        (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
    }
    mioc_client_note_status(status);
    return status;
}

static void tell(struct tidings *t, const char *path, uint32_t len)
{
    enum mioc_ask_status status = ask(path, len, t->flags);

    t->told++;
    if (status == MIOC_ASK_TIMEOUT)
        t->outcome = MIOC_TIMEOUT;
    if (status == MIOC_ASK_ANSWERED)
        return;
    /* The store goes on saying what was there before the write, to every process of the node. */
    mioc_ring_taint(mioc_store_ring(mioc_client_store()));
    if (__atomic_load_n(&mioc_client.is_serving, __ATOMIC_RELAXED))
        mioc_log(MIOC_LOG_DEBUG, "nobody to tell that %s was written: this process goes on without the cache", path);
    mioc_client_stop();
}

/* One spelling, and those that reach it through a prefix that is a symbolic link. */
static __attribute__((noinline)) void tell_aliases(struct tidings *t, const char *path, uint32_t len)
{
    const struct mioc_policy *policy = mioc_client.policy;
    char alias[4096], last[4096] = "";

    for (unsigned i = 0; i < policy->count; i++) {
        uint32_t alias_len = mioc_policy_alias(policy, i, path, len, alias, sizeof alias);

        if (alias_len == 0 || strcmp(alias, last) == 0 ||
            !mioc_policy_is_concerned(policy, alias, alias_len, (t->flags & MIOC_FLAG_SUBTREE) != 0))
            continue;
        memcpy(last, alias, alias_len + 1);
        tell(t, alias, alias_len);
    }
}

static int has_alias(const char *path, uint32_t len)
{
    const struct mioc_policy *policy = mioc_client.policy;

    for (unsigned i = 0; i < policy->count; i++)
        if (policy->prefix[i].real_len > 0 &&
            mioc_path_is_below(path, len, policy->prefix[i].real, policy->prefix[i].real_len))
            return 1;
    return 0;
}

/* The same file with its directory spelled as the kernel does. 0, or -1: no such directory, or no last name. */
static int find_physical(struct mioc_path *out, const char *path, uint32_t len)
{
    char parent[4096];
    uint32_t parent_len;
    int fd, result;

    while (len > 1 && path[len - 1] == '/')
        len--;
    parent_len = mioc_path_parent(path, len);
    if (parent_len == 0 || len >= sizeof parent)
        return -1;
    memcpy(parent, path, len);
    parent[len] = '\0';
    path = parent + (parent[parent_len] == '/' ? parent_len + 1 : parent_len);
    if (parent_len > 1) {
        parent[parent_len] = '\0';
        fd = (int)syscall(SYS_openat, AT_FDCWD, parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
    } else {
        fd = (int)syscall(SYS_openat, AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    }
    if (fd < 0)
        return -1;
    result = mioc_path_key(out, fd, path);
    (void)syscall(SYS_close, fd);
    return result;
}

/* The path goes through a symbolic link below the prefix, perhaps: the other spelling is ours as well. */
static __attribute__((noinline)) void tell_physical(struct tidings *t, const char *path, uint32_t len)
{
    struct mioc_path physical;

    if (find_physical(&physical, path, len) != 0 || (physical.len == len && memcmp(physical.text, path, len) == 0))
        return;
    if (mioc_policy_is_concerned(mioc_client.policy, physical.text, physical.len, (t->flags & MIOC_FLAG_SUBTREE) != 0))
        tell(t, physical.text, physical.len);
    if (has_alias(physical.text, physical.len))
        tell_aliases(t, physical.text, physical.len);
}

static __attribute__((noinline)) void tell_all(struct tidings *t, int dirfd, const char *path)
{
    struct mioc_path key;

    if ((uintptr_t)path < 4096 || mioc_path_key(&key, dirfd, path) != 0)
        return;
    if (mioc_policy_is_concerned(mioc_client.policy, key.text, key.len, (t->flags & MIOC_FLAG_SUBTREE) != 0)) {
        tell(t, key.text, key.len);
        tell_physical(t, key.text, key.len);
    }
    if (has_alias(key.text, key.len))
        tell_aliases(t, key.text, key.len);
}

static void count_write(enum mioc_outcome outcome, const char *path, uint64_t started)
{
    mioc_stats_count(MIOC_CALL_WRITE, outcome, 0, mioc_stats_since(started));
    if (mioc_trace_is_on() && started != 0)
        mioc_trace_call(MIOC_CALL_WRITE, outcome, path, 0, 0, started);
}

void mioc_client_wrote(int dirfd, const char *path, uint32_t flags)
{
    struct tidings t = { .flags = flags, .outcome = MIOC_PASS };
    uint64_t started = mioc_stats_now();
    int saved = errno;

    if (mioc_client_store() == NULL)
        mioc_bystander_join();
    if (mioc_client_is_serving() || __atomic_load_n(&mioc_client.is_telling, __ATOMIC_ACQUIRE))
        tell_all(&t, dirfd, path);
    if (t.told > 0 || (started != 0 && !mioc_client_is_exempt()))
        count_write(t.outcome, path, started);
    errno = saved;
}
