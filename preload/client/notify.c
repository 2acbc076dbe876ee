/* SPDX-License-Identifier: BSD-3-Clause */
/* notify.c - tells the agent what this process wrote, by each name that the cache could know it by (README.md). */
#include "base/hash.h"
#include "base/cancel.h"
#include "client_internal.h"
#include "base/log.h"
#include "base/stack.h"
#include "observe/trace.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* --- Writes ------------------------------------------------------------------------------------------------------ */

/* The notice of one write, by all its names. */
struct write_notice {
    uint32_t flags;
    int told;        /* how many names were told */
    int is_unsynced; /* other nodes have yet to hear of it */
    int has_sticky;  /* one of the names is STICKY: the file may still be written to */
    enum mioc_outcome outcome;
};

static enum mioc_ask_status ask_agent(enum mioc_ask what, uint32_t flags, const char *path, uint32_t len)
{
    struct mioc_store *store = mioc_client_store();

    return mioc_ring_ask(mioc_store_ring(store), what, flags, path, len, mioc_client_deadline(),
                         mioc_client_is_agent_alive, store);
}

/* Tells the agent of one name. ANSWERED or UNSYNCED: this node serves nothing old any more. */
static enum mioc_ask_status ask(const char *path, uint32_t len, uint32_t flags)
{
    enum mioc_ask_status status = MIOC_ASK_REAL;

    /* A store without an agent is served to nobody, and never again (mioc_client_begin): nothing in it needs to die. */
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
    const struct mioc_item *item =
        mioc_store_lookup(mioc_client_store(), MIOC_ITEM_STAT, path, len, mioc_item_hash(MIOC_ITEM_STAT, path, len));

    return item != NULL && (item->flags & MIOC_FLAG_STICKY) != 0;
}

/* The store goes on saying what was there before the write: no process of this node may believe it. */
static void distrust_store(void)
{
    mioc_ring_taint(mioc_store_ring(mioc_client_store()));
    mioc_client_stop();
}

static void give_up(const char *path)
{
    if (__atomic_load_n(&mioc_client.is_serving, __ATOMIC_RELAXED))
        mioc_log(MIOC_LOG_DEBUG, "nobody to tell that %s was written: this process goes on without the cache", path);
    distrust_store();
}

/* Tells one name, in the normal form by which paths are compared. If ".." leaves a symbolic link, that form names
 * another file, which loses a record, no more. */
static __attribute__((noinline)) void tell(void *ctx, const char *spelled, uint32_t len)
{
    struct write_notice *t = ctx;
    char buf[MIOC_PATH_MAX];
    const char *path = mioc_path_plain(spelled, &len, buf);
    enum mioc_ask_status status = ask(path, len, t->flags);

    t->told++;
    if (status == MIOC_ASK_TIMEOUT)
        t->outcome = MIOC_TIMEOUT;
    t->is_unsynced |= status == MIOC_ASK_UNSYNCED;
    t->has_sticky |= is_sticky(path, len);
    if (status != MIOC_ASK_ANSWERED && status != MIOC_ASK_UNSYNCED)
        give_up(path);
}

/* Tells all names of the path. `folder`: the path's folder as it was before the call, or -1. 0, or -1: there may be
 * more names. */
static int tell_all(struct write_notice *t, int folder, int dirfd, const char *path)
{
    const struct mioc_names names = { .visit = tell,
                                      .ctx = t,
                                      .subtree = (t->flags & MIOC_FLAG_SUBTREE) != 0,
                                      .with_target = 1,
                                      .has_folder = folder >= 0,
                                      .folder = folder };

    return mioc_client_each_name(&names, dirfd, path);
}

static void tell_all_or_give_up(struct write_notice *t, int folder, int dirfd, const char *path)
{
    if (tell_all(t, folder, dirfd, path) != 0)
        give_up(path);
}

/* Waits until all nodes have heard of the write: their ranks may learn of it, by MPI or otherwise, as soon as the call
 * returns. A node that does not answer is stopped or gone; its neighbours find that out, and this call waits no longer
 * than any other. */
static void await_other_nodes(struct write_notice *t)
{
    if (ask_agent(MIOC_ASK_SYNC, 0, "/", 1) == MIOC_ASK_TIMEOUT)
        t->outcome = MIOC_TIMEOUT;
}

/* --- Entry points ------------------------------------------------------------------------------------------------ */

static void (*find_store)(void); /* atomic */

void mioc_client_set_finder(void (*find)(void)) { __atomic_store_n(&find_store, find, __ATOMIC_RELEASE); }

int mioc_client_is_telling(void)
{
    void (*find)(void) = __atomic_load_n(&find_store, __ATOMIC_ACQUIRE);

    if (find != NULL)
        find();
    return mioc_client_is_serving() ||
           (__atomic_load_n(&mioc_client.is_telling, __ATOMIC_ACQUIRE) && !mioc_client_is_exempt());
}

/* A hash of the last path that this thread wrote with MIOC_WROTE_SOON. */
static __thread uint64_t written_soon __attribute__((tls_model("initial-exec")));

static uint64_t hash_of(const char *path)
{
    return mioc_path_is_nowhere(path) ? 0 : mioc_hash(path, strnlen(path, 4096));
}

/* Waits for the other nodes if need be, and counts the call. */
static void finish(struct write_notice *t, const char *path, uint64_t started, int is_soon)
{
    if (t->is_unsynced && !is_soon)
        await_other_nodes(t);
    if (t->told == 0 && (started == 0 || mioc_client_is_exempt()))
        return;
    mioc_stats_count(MIOC_CALL_WRITE, t->outcome, 0, mioc_stats_since(started));
    if (mioc_trace_is_on() && started != 0)
        mioc_trace_call(MIOC_CALL_WRITE, t->outcome, path, 0, 0, started);
}

/* A change that was made, for work on another stack. */
struct change {
    int dirfd, new_dirfd;
    const char *path, *new_path; /* new_path: of a rename or link only */
    struct mioc_folders folders;
    uint32_t flags;
    int is_exchange;
};

static void tell_change(int (*work)(void *change), struct change *change)
{
    int saved = errno, type = mioc_cancel_defer();

    if ((mioc_client_is_telling() || mioc_stats_is_timed()) && mioc_stack_run(MIOC_STACK_TOLD, work, change) != 0 &&
        mioc_client_store() != NULL)
        distrust_store(); /* there is no memory for a stack, so it cannot be told */
    errno = saved;
    mioc_cancel_restore(type);
}

static __attribute__((noinline)) int tell_written(void *arg)
{
    const struct change *change = arg;
    struct write_notice t = { .flags = change->flags & ~MIOC_WROTE_SOON, .outcome = MIOC_PASS };
    uint64_t started = mioc_stats_now();
    int is_soon = (change->flags & MIOC_WROTE_SOON) != 0;

    if (mioc_client_is_telling())
        tell_all_or_give_up(&t, -1, change->dirfd, change->path);
    if (is_soon)
        written_soon = hash_of(change->path);
    finish(&t, change->path, started, is_soon);
    return 0;
}

void mioc_client_wrote(int dirfd, const char *path, uint32_t flags)
{
    struct change change = { .dirfd = dirfd, .path = path, .flags = flags };

    tell_change(tell_written, &change);
}

void mioc_client_invalidate(const char *path)
{
    struct write_notice t = { .flags = MIOC_FLAG_SUBTREE };

    (void)tell_all(&t, -1, AT_FDCWD, path); /* by the names that can be found */
}

/* Whether importlib or py_compile made this rename: they close "X.pyc.140212345" before they rename it to "X.pyc". */
static int is_finished_bytecode(const char *path, const char *new_path)
{
    const char *name = strrchr(path, '/'), *new_name = strrchr(new_path, '/');
    size_t len;

    name = name != NULL ? name + 1 : path;
    new_name = new_name != NULL ? new_name + 1 : new_path;
    len = strlen(new_name);
    return len > 4 && strcmp(new_name + len - 4, ".pyc") == 0 && strncmp(name, new_name, len) == 0 &&
           name[len] == '.' && name[len + 1] != '\0' && name[len + 1 + strspn(name + len + 1, "0123456789")] == '\0';
}

static __attribute__((noinline)) int is_regular(int dirfd, const char *path)
{
    struct stat st;

    return syscall(SYS_newfstatat, dirfd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode);
}

static int open_both(void *arg)
{
    struct change *change = arg;

    change->folders.from = mioc_client_open_folder(change->dirfd, change->path);
    change->folders.to = mioc_client_open_folder(change->new_dirfd, change->new_path);
    return 0;
}

struct mioc_folders mioc_client_open_folders(int dirfd, const char *path, int new_dirfd, const char *new_path)
{
    struct change change = { dirfd, new_dirfd, path, new_path, { -1, -1 }, 0, 0 };
    int saved = errno;

    if (mioc_client_is_telling())
        (void)mioc_stack_run(MIOC_STACK_TOLD, open_both, &change);
    errno = saved;
    return change.folders;
}

void mioc_client_close_folders(const struct mioc_folders *folders)
{
    int saved = errno;

    if (folders->from >= 0)
        (void)syscall(SYS_close, folders->from);
    if (folders->to >= 0)
        (void)syscall(SYS_close, folders->to);
    errno = saved;
}

static __attribute__((noinline)) int tell_moved(void *arg)
{
    struct write_notice t = { .flags = MIOC_FLAG_SUBTREE, .outcome = MIOC_PASS };
    const struct change *d = arg;
    uint64_t started = mioc_stats_now();

    if (mioc_client_is_telling()) {
        if (d->is_exchange && is_regular(d->dirfd, d->path))
            t.flags |= MIOC_FLAG_STICKY;
        tell_all_or_give_up(&t, d->folders.from, d->dirfd, d->path);
        t.flags = MIOC_FLAG_SUBTREE;
        if ((t.told == 0 || t.has_sticky || d->is_exchange) && is_regular(d->new_dirfd, d->new_path) &&
            !is_finished_bytecode(d->path, d->new_path))
            t.flags |= MIOC_FLAG_STICKY;
        tell_all_or_give_up(&t, d->folders.to, d->new_dirfd, d->new_path);
    }
    finish(&t, d->path, started, written_soon != 0 && written_soon == hash_of(d->path));
    written_soon = 0;
    return 0;
}

void mioc_client_moved_in(const struct mioc_folders *folders, int dirfd, const char *path, int new_dirfd,
                          const char *new_path, int is_exchange)
{
    struct change change = { dirfd, new_dirfd, path, new_path, *folders, MIOC_FLAG_SUBTREE, is_exchange };

    tell_change(tell_moved, &change);
}
