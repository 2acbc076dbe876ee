/* SPDX-License-Identifier: BSD-3-Clause */
/* bystander.c - finds the store for a program that is no interpreter and writes, so that its writes are told. */
#include "bystander.h"
#include "client.h"
#include "real.h"
#include "role.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define POLICY_NAME "policy"

enum { NEVER, ALLOWED, JOINING, DONE };
static int state; /* atomic */
static __thread int is_joining __attribute__((tls_model("initial-exec")));

/* --- The policy ----------------------------------------------------------------------------------------------------- */

static int policy_path(const char *store_dir, char *path, size_t size)
{
    int n = snprintf(path, size, "%s/" POLICY_NAME, store_dir);

    return n > 0 && (size_t)n < size ? 0 : -1;
}

int mioc_bystander_save_policy(const struct mioc_policy *policy, const char *store_dir)
{
    const char *from = (const char *)policy;
    size_t left = sizeof *policy;
    char path[1300];
    int fd, saved = errno;

    if (policy_path(store_dir, path, sizeof path) != 0 ||
        (fd = mioc_real(open)(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600)) < 0)
        return -1;
    while (left > 0) {
        ssize_t n = mioc_real(write)(fd, from, left);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        from += n;
        left -= (size_t)n;
    }
    mioc_real(close)(fd);
    errno = saved;
    return left == 0 ? 0 : -1;
}

static const struct mioc_policy *map_policy(const char *store_dir)
{
    const struct mioc_policy *policy = MAP_FAILED;
    char path[1300];
    struct stat st;
    int fd;

    if (policy_path(store_dir, path, sizeof path) != 0 ||
        (fd = mioc_real(open)(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)) < 0)
        return NULL;
    if (mioc_real(fstat)(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() && st.st_size == sizeof *policy)
        policy = mmap(NULL, sizeof *policy, PROT_READ, MAP_SHARED, fd, 0);
    mioc_real(close)(fd);
    if (policy == MAP_FAILED)
        return NULL;
    if (!mioc_policy_is_sound(policy)) {
        (void)munmap((void *)(uintptr_t)policy, sizeof *policy);
        return NULL;
    }
    return policy;
}

/* --- Joining -------------------------------------------------------------------------------------------------------- */

static void join(void)
{
    const struct mioc_config *config = mioc_config();
    struct mioc_identity me = { .rank = -1, .size = -1, .local_rank = -1 };
    const struct mioc_policy *policy;
    struct mioc_store *store;

    if (config->disable)
        return;
    (void)mioc_role_find_launcher(&me, environ);
    if (me.launcher == MIOC_LAUNCHER_NONE || me.key == 0 ||
        mioc_store_find(config->dir, me.key, me.store, sizeof me.store) != 0 ||
        (policy = map_policy(me.store)) == NULL || (store = mioc_store_attach(me.store)) == NULL)
        return;
    mioc_client_start_telling(store, policy);
}

void mioc_bystander_allow(void)
{
    __atomic_store_n(&state, ALLOWED, __ATOMIC_RELEASE);
}

void mioc_bystander_join(void)
{
    int saved = errno, now = __atomic_load_n(&state, __ATOMIC_ACQUIRE);

    if (now == NEVER || now == DONE || is_joining)
        return;
    now = ALLOWED;
    if (__atomic_compare_exchange_n(&state, &now, JOINING, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
        is_joining = 1;
        join();
        is_joining = 0;
        __atomic_store_n(&state, DONE, __ATOMIC_RELEASE);
    }
    /* Another thread's write is not to go untold because this one is under way. */
    for (int i = 0; i < 1000 && __atomic_load_n(&state, __ATOMIC_ACQUIRE) == JOINING; i++)
        (void)sched_yield();
    errno = saved;
}
