/* SPDX-License-Identifier: BSD-3-Clause */
/* writer_join.c - finds the node's store for a program that is served nothing, to tell its writes to (README.md). */
#include "writer_join.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/io_thread.h"
#include "client/client.h"
#include "store/item.h"
#include "base/log.h"
#include "base/real.h"
#include "store/ring.h"
#include "role.h"
#include "base/stack.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MS 1000000ull
/* How long the making of a store may take, from its directory to the last file in it. */
#define MAKING_NS (100 * MS)
/* A directory's time of change is coarse: a second change within this time may leave it as it is. */
#define COARSE_NS (20 * MS)
/* How long a write waits for a descriptor or for memory when the system has none left. */
#define SHORTAGE_NS (10000 * MS)
#define MOST_PAUSE_NS (32 * MS)
/* A value that is no key: this process is in no job step. */
#define NO_STEP 1u

/* All are atomic. */
static int is_allowed;
static uint64_t known_key; /* the job step's key, NO_STEP, or 0: not known yet */
static uint64_t fruitless; /* the state of the directory of stores when it had no store of this step; 0: not known */
static int has_missed;     /* a write was not told */

/* --- One look ---------------------------------------------------------------------------------------------------- */

enum outcome {
    NONE,  /* this step has no store */
    FOUND, /* it has one, which the client knows now */
    EARLY, /* its store is just being made */
    BLIND, /* unknown, for want of a descriptor or of memory */
};

static int is_shortage(int error) { return error == EMFILE || error == ENFILE || error == ENOMEM; }

static int can_open(void)
{
    int fd = (int)syscall(SYS_openat, AT_FDCWD, "/", O_PATH | O_CLOEXEC);

    if (fd >= 0)
        syscall(SYS_close, fd);
    return fd >= 0;
}

static uint64_t find_key(void)
{
    struct mioc_task me = { .rank = -1, .size = -1, .local_rank = -1 };
    uint64_t key = __atomic_load_n(&known_key, __ATOMIC_RELAXED);

    if (key != 0)
        return key;
    (void)mioc_role_find_launcher(&me, environ);
    key = me.launcher == MIOC_LAUNCHER_NONE || me.key == 0 ? NO_STEP : me.key;
    /* Without a descriptor nothing was learned of the processes above. */
    if (key == NO_STEP && !can_open())
        return 0;
    __atomic_store_n(&known_key, key, __ATOMIC_RELAXED);
    return key;
}

/* Returns a number that changes when a name in the directory comes or goes, or 0: the last change is too recent. */
static uint64_t state_of(const char *dir)
{
    struct {
        uint64_t dev, ino;
        struct timespec changed;
    } state;
    struct stat st;

    memset(&state, 0, sizeof state);
    if (syscall(SYS_newfstatat, AT_FDCWD, dir, &st, 0) == 0) {
        if ((uint64_t)mioc_clock_age_ns(&st.st_mtim) < COARSE_NS)
            return 0;
        state.dev = st.st_dev;
        state.ino = st.st_ino;
        state.changed = st.st_mtim;
    }
    return mioc_hash(&state, sizeof state);
}

/* Why a store that was found cannot be used. */
static enum outcome judge(const char *store_dir, int error)
{
    struct stat st;

    if (is_shortage(error))
        return BLIND;
    return syscall(SYS_newfstatat, AT_FDCWD, store_dir, &st, 0) == 0 &&
                   (uint64_t)mioc_clock_age_ns(&st.st_ctim) < MAKING_NS
               ? EARLY
               : NONE;
}

static enum outcome use(const char *store_dir)
{
    const struct mioc_policy *policy = mioc_policy_map(store_dir);
    struct mioc_store *store;

    if (policy == NULL)
        return judge(store_dir, errno);
    store = mioc_store_attach(store_dir);
    if (store == NULL) {
        int error = errno;

        (void)munmap((void *)(uintptr_t)policy, sizeof *policy);
        if (error == EXDEV) /* no process of that namespace can be told */
            mioc_store_distrust(store_dir);
        return judge(store_dir, error);
    }
    if (__atomic_exchange_n(&has_missed, 0, __ATOMIC_RELAXED))
        mioc_ring_taint(mioc_store_ring(store));
    /* The policy stays mapped: where another thread was first, the client may have its store and this policy. */
    if (!mioc_client_start_telling(store, policy))
        mioc_store_detach(store);
    return FOUND;
}

/* Whether nothing has changed since the last look in vain. Needs no descriptor. */
static int is_fruitless(void)
{
    uint64_t before = __atomic_load_n(&fruitless, __ATOMIC_RELAXED);

    return before != 0 && before == state_of(mioc_config()->dir);
}

static enum outcome look(void)
{
    const struct mioc_config *config;
    enum outcome outcome;
    char path[1024];
    uint64_t key, state;

    if (is_fruitless())
        return NONE;
    if (!can_open())
        return is_shortage(errno) ? BLIND : NONE;
    config = mioc_config();
    key = config->disable ? NO_STEP : find_key();
    if (key == 0)
        return BLIND;
    if (key == NO_STEP) {
        __atomic_store_n(&is_allowed, 0, __ATOMIC_RELAXED);
        return NONE;
    }
    state = state_of(config->dir);
    if (mioc_store_find(config->dir, key, path, sizeof path) == 0)
        outcome = use(path);
    else if (is_shortage(errno))
        outcome = BLIND;
    else
        outcome = errno == EAGAIN ? EARLY : NONE;
    if (outcome == NONE)
        __atomic_store_n(&fruitless, state, __ATOMIC_RELAXED);
    return outcome;
}

static int look_once(void *outcome)
{
    int state;

    /* libc's open and close are cancellation points. */
    (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    *(enum outcome *)outcome = look();
    (void)pthread_setcancelstate(state, &state);
    return 0;
}

/* --- Joining ----------------------------------------------------------------------------------------------------- */

void mioc_writer_join_allow(void)
{
    __atomic_store_n(&is_allowed, 1, __ATOMIC_RELAXED);
    mioc_client_set_finder(mioc_writer_join);
}

/* Sleeps; no cancellation point, unlike nanosleep(). */
static void nap(uint64_t ns)
{
    struct timespec time = { 0, (long)ns };

    (void)syscall(SYS_ppoll, NULL, 0, &time, NULL, 8);
}

/* Notes that a write was not told; the store is distrusted once it is found. */
static void miss(uint64_t waited)
{
    if (!__atomic_exchange_n(&has_missed, 1, __ATOMIC_RELAXED))
        mioc_log(MIOC_LOG_WARN,
                 "the system had no descriptor or memory left for %llu ms; ranks may not notice what this "
                 "process (pid %d) writes. The administrator can raise fs.file-max",
                 (unsigned long long)(waited / MS), (int)getpid());
}

static int join(void *unused)
{
    uint64_t waited = 0;

    (void)unused;
    for (uint64_t pause = MS;; pause = pause < MOST_PAUSE_NS ? pause * 2 : pause) {
        enum outcome outcome = NONE;

        (void)look_once(&outcome);
        if (outcome == BLIND)
            (void)mioc_io_thread_run_once(look_once, &outcome);
        if (outcome == NONE || outcome == FOUND)
            return 0;
        if (waited >= (outcome == EARLY ? MAKING_NS : SHORTAGE_NS)) {
            if (outcome == BLIND)
                miss(waited);
            return 0;
        }
        nap(pause);
        waited += pause;
    }
}

void mioc_writer_join(void)
{
    int saved = errno;

    if (!__atomic_load_n(&is_allowed, __ATOMIC_RELAXED) || mioc_client_store() != NULL)
        return;
    (void)mioc_stack_run(MIOC_STACK_TOLD, join, NULL);
    errno = saved;
}
