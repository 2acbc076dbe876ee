/* SPDX-License-Identifier: BSD-3-Clause */
/* state.c - what is in force in this process: the store, the policy, and whether it is served. */
#include "client_internal.h"
#include "base/log.h"
#include "base/stack.h"
#include "base/credentials.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

struct mioc_client mioc_client;
uint64_t mioc_client_copies_dev;

static __thread int thread_is_exempt __attribute__((tls_model("initial-exec")));

static void note_fork(void) { __atomic_store_n(&mioc_client.pid, getpid(), __ATOMIC_RELAXED); }

void mioc_client_start(struct mioc_store *store, const struct mioc_policy *policy, int rank)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct mioc_client *c = &mioc_client;

    c->policy = policy;
    c->rank = rank;
    c->timeout_ns = mioc_config()->timeout_ms * 1000000;
    c->trust_ns = mioc_config_trust_ns(mioc_config());
    c->ttl_ms = mioc_config()->ttl_ms;
    c->missed = 0;
    c->is_broken = 0;
    c->doubts_until_ms = c->link_doubts_until_ms = 0;
    c->credentials = mioc_credentials();
    c->pid = getpid();
    __atomic_store_n(&mioc_client_copies_dev, mioc_store_dev(store), __ATOMIC_RELAXED);
    __atomic_store_n(&c->store, store, __ATOMIC_RELEASE);
    (void)pthread_once(&once, mioc_client_watch_forks);
    mioc_client_cwd_changed();
    __atomic_store_n(&c->is_serving, 1, __ATOMIC_RELEASE);
}

/* Several threads may be here at once, each with its own mapping of the same store and policy. All write the same
 * values, and whoever sees the store sees the rest. */
int mioc_client_start_telling(struct mioc_store *store, const struct mioc_policy *policy)
{
    struct mioc_client *c = &mioc_client;
    struct mioc_store *none = NULL;

    __atomic_store_n(&c->policy, policy, __ATOMIC_RELAXED);
    __atomic_store_n(&c->rank, -1, __ATOMIC_RELAXED);
    __atomic_store_n(&c->timeout_ns, mioc_config()->timeout_ms * 1000000, __ATOMIC_RELAXED);
    __atomic_store_n(&mioc_client_copies_dev, mioc_store_dev(store), __ATOMIC_RELAXED);
    __atomic_store_n(&c->is_telling, 1, __ATOMIC_RELAXED);
    return __atomic_compare_exchange_n(&c->store, &none, store, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

void mioc_client_watch_forks(void) { (void)pthread_atfork(NULL, NULL, note_fork); }

void mioc_client_stop(void)
{
    __atomic_store_n(&mioc_client.is_serving, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&mioc_client.is_telling, 0, __ATOMIC_RELEASE);
}

void mioc_client_stop_serving(void)
{
    /* A child of vfork must not stop its parent, whose memory it has; it will exec soon. */
    if (mioc_client_store() == NULL || mioc_client.pid != (pid_t)syscall(SYS_getpid) ||
        !__atomic_exchange_n(&mioc_client.is_serving, 0, __ATOMIC_ACQ_REL))
        return;
    __atomic_store_n(&mioc_client.is_telling, 1, __ATOMIC_RELEASE);
    mioc_log(MIOC_LOG_DEBUG,
             "another user, group, root or mount namespace: this process (pid %d) goes on without the cache",
             (int)getpid());
}

static __attribute__((noinline)) int compare_credentials(void *unused)
{
    (void)unused;
    return mioc_credentials() == mioc_client.credentials ? 0 : -1;
}

/* If there is no memory to compare them, they are taken for others. */
void mioc_client_credentials_changed(void)
{
    int saved = errno;

    if (mioc_client_store() != NULL && __atomic_load_n(&mioc_client.is_serving, __ATOMIC_ACQUIRE) &&
        mioc_stack_run(MIOC_STACK_SERVED, compare_credentials, NULL) != 0)
        mioc_client_stop_serving();
    errno = saved;
}

struct mioc_store *mioc_client_store(void) { return __atomic_load_n(&mioc_client.store, __ATOMIC_ACQUIRE); }

const struct mioc_policy *mioc_client_policy(void) { return mioc_client_store() ? mioc_client.policy : NULL; }

int mioc_client_rank(void) { return mioc_client_store() ? mioc_client.rank : -1; }

void mioc_client_exempt_thread(int is_exempt) { thread_is_exempt = is_exempt; }

int mioc_client_is_exempt(void) { return thread_is_exempt; }

int mioc_client_is_serving(void)
{
    return __atomic_load_n(&mioc_client.is_serving, __ATOMIC_ACQUIRE) && !thread_is_exempt;
}

static __attribute__((noinline)) enum mioc_policy_class look_at_cwd(const struct mioc_policy *policy)
{
    char cwd[4096];

    if (syscall(SYS_getcwd, cwd, sizeof cwd) <= 0 || cwd[0] != '/')
        return MIOC_POLICY_NONE;
    return mioc_policy_covers_cwd(policy, cwd);
}

/* 0: not known. It asks no server, because an inode's number does not change. */
static __attribute__((noinline)) uint64_t ino_of_cwd(void)
{
    struct statx st;

    return syscall(SYS_statx, AT_FDCWD, ".", AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_INO, &st) == 0 ? st.stx_ino
                                                                                                        : 0;
}

/* A child of vfork has its parent's memory, but a working directory of its own: its chdir does not count here. */
void mioc_client_cwd_changed(void)
{
    enum mioc_policy_class covered = MIOC_POLICY_LIBRARY;
    struct mioc_client *c = &mioc_client;
    uint64_t ino = 0;
    int saved = errno;

    /* Without room on the stack to look, any relative path may be ours; a call that uses one looks again. */
    if (mioc_client_store() != NULL && getpid() == __atomic_load_n(&c->pid, __ATOMIC_RELAXED)) {
        if (mioc_stack_has_room(MIOC_STACK_SERVED))
            covered = look_at_cwd(c->policy);
        if (covered != MIOC_POLICY_NONE)
            ino = ino_of_cwd();
        __atomic_store_n(&c->cwd_ino, ino, __ATOMIC_RELAXED);
        __atomic_store_n(&c->cwd, (int)covered, __ATOMIC_RELAXED);
    }
    errno = saved;
}
