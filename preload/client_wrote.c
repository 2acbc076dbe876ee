/* SPDX-License-Identifier: BSD-3-Clause */
/* client_wrote.c - telling the agent what this process wrote, in every spelling that the cache could know it by; the breaker. */
#include "aside.h"
#include "bystander.h"
#include "cancel.h"
#include "client_internal.h"
#include "log.h"
#include "trace.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

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
    /* It has ended, though its process may go on for as long as it likes: what was asked behind its last look is nobody's. */
    if (mioc_store_get_state(store) == MIOC_STORE_LEFT)
        return 0;
    /* The look at its lock takes a descriptor for a moment, which other threads of the program could miss. */
    if (mioc_ring_is_beating(mioc_store_ring(store), DEAD_NS) || mioc_store_is_owner_alive(store))
        return 1;
    /* It never comes back: nobody else on this node has to find out by waiting. But in another root its lock cannot be found. */
    if (mioc_ring_is_silent(mioc_store_ring(store), DEAD_NS))
        mioc_ring_taint(mioc_store_ring(store));
    return 0;
}

void mioc_client_note_status(enum mioc_ask_status status)
{
    struct mioc_client *c = &mioc_client;

    if ((status == MIOC_ASK_ANSWERED || status == MIOC_ASK_UNSETTLED) && __atomic_load_n(&c->missed, __ATOMIC_RELAXED) != 0)
        __atomic_store_n(&c->missed, 0, __ATOMIC_RELAXED);
    if (status != MIOC_ASK_TIMEOUT || __atomic_add_fetch(&c->missed, 1, __ATOMIC_RELAXED) < MIOC_BREAKER_LIMIT)
        return;
    if (!__atomic_exchange_n(&c->is_broken, 1, __ATOMIC_RELAXED))
        mioc_log(MIOC_LOG_WARN, "the cache did not answer %d times in a row within %llu ms; this process (pid %d) asks no more, running uncached "
                 "where it has no answer yet. MPIIO_CACHE_TIMEOUT gives slow nodes more time",
                 MIOC_BREAKER_LIMIT, (unsigned long long)(c->timeout_ns / 1000000), (int)getpid());
}

/* --- Writes ------------------------------------------------------------------------------------------------------- */

struct tidings { /* of one write */
    uint32_t flags;
    int told;                 /* how many spellings were ours */
    int is_unsettled;         /* other nodes have yet to hear of it */
    int has_sticky;           /* one of them is written to for longer */
    enum mioc_outcome outcome;
};

static enum mioc_ask_status ask_agent(enum mioc_ask what, uint32_t flags, const char *path, uint32_t len)
{
    struct mioc_store *store = mioc_client_store();

    return mioc_ring_ask(mioc_store_ring(store), what, flags, path, len, mioc_client_deadline(),
                         mioc_client_is_agent_alive, store);
}

static enum mioc_ask_status ask(const char *path, uint32_t len, uint32_t flags)
{
    enum mioc_ask_status status = MIOC_ASK_REAL;

    /* A store without agent is served to nobody (mioc_client_begin) and never again: there is nothing to be dead. */
    if (mioc_store_get_state(mioc_client_store()) > MIOC_STORE_ACTIVE)
        return MIOC_ASK_ANSWERED;
    if (__atomic_load_n(&mioc_client.is_broken, __ATOMIC_RELAXED))
        return status;
    status = ask_agent(MIOC_ASK_INVALIDATE, flags, path, len);
    mioc_client_note_status(status);
    return status;
}

static int is_sticky(const char *path, uint32_t len)
{
    const struct mioc_item *item = mioc_store_lookup(mioc_client_store(), MIOC_ITEM_STAT, path, len,
                                                     mioc_item_hash(MIOC_ITEM_STAT, path, len));

    return item != NULL && (item->flags & MIOC_FLAG_STICKY) != 0;
}

/* The store goes on saying what was there before the write, to every process of the node. */
static void give_up(const char *path)
{
    mioc_ring_taint(mioc_store_ring(mioc_client_store()));
    if (__atomic_load_n(&mioc_client.is_serving, __ATOMIC_RELAXED))
        mioc_log(MIOC_LOG_DEBUG, "nobody to tell that %s was written: this process goes on without the cache", path);
    mioc_client_stop();
}

/* Which other names a file has is then not to be found out. */
static int is_out_of_descriptors(void)
{
    return errno == EMFILE || errno == ENFILE;
}

/* In the form by which it is compared with what is known. Where ".." leaves a link that is another file: no harm to it. */
static __attribute__((noinline)) void tell(struct tidings *t, const char *spelled, uint32_t len)
{
    char buf[MIOC_PATH_MAX];
    const char *path = mioc_path_plain(spelled, &len, buf);
    enum mioc_ask_status status = ask(path, len, t->flags);

    t->told++;
    if (status == MIOC_ASK_TIMEOUT)
        t->outcome = MIOC_TIMEOUT;
    t->is_unsettled |= status == MIOC_ASK_UNSETTLED;
    t->has_sticky |= is_sticky(path, len);
    if (status != MIOC_ASK_ANSWERED && status != MIOC_ASK_UNSETTLED)
        give_up(path);
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

static int is_concerned(const struct tidings *t, const char *path, uint32_t len)
{
    return mioc_policy_is_concerned(mioc_client.policy, path, len, (t->flags & MIOC_FLAG_SUBTREE) != 0);
}

/* The same file with its directory spelled as the kernel does, and whether where it leads is to be asked. 0, or -1: no such directory, or no
 * last name. */
static int find_physical(struct mioc_path *out, const char *path, uint32_t len, int *is_link)
{
    char parent[4096], c;
    uint32_t parent_len;
    int fd, result;

    while (len > 1 && path[len - 1] == '/')
        len--;
    parent_len = mioc_path_parent(path, len);
    *is_link = parent_len == 0 && len > 1; /* "..": it may lead anywhere */
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
    *is_link = syscall(SYS_readlinkat, fd, path, &c, 1) > 0;
    (void)syscall(SYS_close, fd);
    return result;
}

/* What a link leads to was written, perhaps, and not the link: no harm to the other if not. 0, or -1: there is no
 * descriptor. */
static __attribute__((noinline)) int tell_target(struct tidings *t, const char *path)
{
    char name[40], target[4096];
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_PATH | O_CLOEXEC);
    long n;

    if (fd < 0)
        return is_out_of_descriptors() ? -1 : 0;
    (void)snprintf(name, sizeof(name), "/proc/thread-self/fd/%d", fd);
    n = syscall(SYS_readlinkat, AT_FDCWD, name, target, sizeof(target) - 1);
    (void)syscall(SYS_close, fd);
    if (n <= 0)
        return 0;
    target[n] = '\0';
    if (is_concerned(t, target, (uint32_t)n))
        tell(t, target, (uint32_t)n);
    if (has_alias(target, (uint32_t)n))
        tell_aliases(t, target, (uint32_t)n);
    return 0;
}

struct spelling {
    struct tidings *t;
    const char *path;
    uint32_t len;
};

/* 0, or -1: there is no descriptor. */
static __attribute__((noinline)) int find_and_tell(void *arg)
{
    const struct spelling *spelling = arg;
    struct tidings *t = spelling->t;
    const char *path = spelling->path;
    uint32_t len = spelling->len;
    struct mioc_path physical;
    int is_link;

    errno = 0;
    if (find_physical(&physical, path, len, &is_link) != 0) {
        if (is_out_of_descriptors())
            return -1;
    } else if (physical.len != len || memcmp(physical.text, path, len) != 0) {
        if (is_concerned(t, physical.text, physical.len))
            tell(t, physical.text, physical.len);
        if (has_alias(physical.text, physical.len))
            tell_aliases(t, physical.text, physical.len);
    }
    return is_link ? tell_target(t, path) : 0;
}

/* The path goes through a symbolic link below the prefix, perhaps: the other spelling is ours as well. */
static void tell_physical(struct tidings *t, const char *path, uint32_t len)
{
    struct spelling spelling = { t, path, len };

    if (find_and_tell(&spelling) != 0 && mioc_aside_run_once(find_and_tell, &spelling) != 0)
        give_up(path);
}

static __attribute__((noinline)) void tell_all(struct tidings *t, int dirfd, const char *path)
{
    struct mioc_path key;

    if (mioc_path_is_nowhere(path) || mioc_path_key(&key, dirfd, path) != 0)
        return;
    if (is_concerned(t, key.text, key.len)) {
        tell(t, key.text, key.len);
        tell_physical(t, key.text, key.len);
    }
    if (has_alias(key.text, key.len))
        tell_aliases(t, key.text, key.len);
}

/* Other nodes are to know what this one did before their ranks can learn that it was done, by MPI or otherwise. If one of them does
 * not answer it is stopped or gone; its neighbours find that out, and this call waits no longer than any other. */
static void settle(struct tidings *t)
{
    if (ask_agent(MIOC_ASK_SETTLE, 0, "/", 1) == MIOC_ASK_TIMEOUT)
        t->outcome = MIOC_TIMEOUT;
}

/* --- Entry points --------------------------------------------------------------------------------------------------- */

static int is_telling(void)
{
    mioc_bystander_join();
    return mioc_client_is_serving() || (__atomic_load_n(&mioc_client.is_telling, __ATOMIC_ACQUIRE) && !mioc_client_is_exempt());
}

/* Of the last path that was written with MIOC_WROTE_SOON. */
static __thread uint64_t written_soon __attribute__((tls_model("initial-exec")));

static uint64_t hash_of(const char *path)
{
    return mioc_path_is_nowhere(path) ? 0 : mioc_item_hash(0, path, (uint32_t)strnlen(path, 4096));
}

static void finish(struct tidings *t, const char *path, uint64_t started, int is_soon)
{
    if (t->is_unsettled && !is_soon)
        settle(t);
    if (t->told == 0 && (started == 0 || mioc_client_is_exempt()))
        return;
    mioc_stats_count(MIOC_CALL_WRITE, t->outcome, 0, mioc_stats_since(started));
    if (mioc_trace_is_on() && started != 0)
        mioc_trace_call(MIOC_CALL_WRITE, t->outcome, path, 0, 0, started);
}

void mioc_client_wrote(int dirfd, const char *path, uint32_t flags)
{
    struct tidings t = { .flags = flags & ~MIOC_WROTE_SOON, .outcome = MIOC_PASS };
    uint64_t started = mioc_stats_now();
    int saved = errno, is_soon = (flags & MIOC_WROTE_SOON) != 0, type = mioc_cancel_defer();

    if (is_telling())
        tell_all(&t, dirfd, path);
    if (is_soon)
        written_soon = hash_of(path);
    finish(&t, path, started, is_soon);
    errno = saved;
    mioc_cancel_restore(type);
}

/* importlib and py_compile close "X.pyc.140212345" before they rename it to "X.pyc". */
static int is_finished_bytecode(const char *path, const char *new_path)
{
    const char *name = strrchr(path, '/'), *new_name = strrchr(new_path, '/');
    size_t len;

    name = name != NULL ? name + 1 : path;
    new_name = new_name != NULL ? new_name + 1 : new_path;
    len = strlen(new_name);
    return len > 4 && strcmp(new_name + len - 4, ".pyc") == 0 && strncmp(name, new_name, len) == 0 && name[len] == '.' &&
           name[len + 1] != '\0' && name[len + 1 + strspn(name + len + 1, "0123456789")] == '\0';
}

static int is_regular(int dirfd, const char *path)
{
    struct stat st;

    return syscall(SYS_newfstatat, dirfd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode);
}

void mioc_client_moved(int dirfd, const char *path, int new_dirfd, const char *new_path, int is_exchange)
{
    struct tidings t = { .flags = MIOC_FLAG_SUBTREE, .outcome = MIOC_PASS };
    uint64_t started = mioc_stats_now();
    int saved = errno, type = mioc_cancel_defer();

    if (is_telling()) {
        if (is_exchange && is_regular(dirfd, path))
            t.flags |= MIOC_FLAG_STICKY;
        tell_all(&t, dirfd, path);
        t.flags = MIOC_FLAG_SUBTREE;
        if ((t.told == 0 || t.has_sticky || is_exchange) && is_regular(new_dirfd, new_path) && !is_finished_bytecode(path, new_path))
            t.flags |= MIOC_FLAG_STICKY;
        tell_all(&t, new_dirfd, new_path);
    }
    finish(&t, path, started, written_soon != 0 && written_soon == hash_of(path));
    written_soon = 0;
    errno = saved;
    mioc_cancel_restore(type);
}
