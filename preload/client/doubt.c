/* SPDX-License-Identifier: BSD-3-Clause */
/* doubt.c - what a process whose writing call failed looks at itself for a while.
 *
 * The error tells that a name is there, or gone. Where the store says nothing of the name, an answer from before may be
 * on its way; and the root may look through a kernel in which the other's call has not returned yet. So this process
 * makes real calls until the other's write has been heard of, or will not be: MPIIO_CACHE_TIMEOUT.
 *
 * An answer that agrees with the error cannot be told from plain's. Where a name is there, what is said to be there
 * below it is served; only that something is not there is looked at. Of the name's folder all is looked at: its listing
 * has the name, or has it not. */
#include "base/clock.h"
#include "base/hash.h"
#include "client_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define DOUBTS 64u /* the last ones */

/* Each atomic; hashes of normal forms. */
static struct {
    uint64_t name, folder, until_ms;
    unsigned itself, below; /* enum doubt_kind */
} doubts[DOUBTS];
static unsigned doubted;

/* What is not believed of a path. */
enum doubt_kind {
    DOUBT_NONE,
    DOUBT_ABSENCE, /* that it is not there */
    DOUBT_ALL,
};

/* After an error: of the name, and of all below it. */
struct doubt {
    enum doubt_kind itself, below;
};

static struct doubt doubt_of(int error)
{
    if (error == EEXIST || error == EADDRINUSE)
        return (struct doubt){ DOUBT_ABSENCE, DOUBT_ABSENCE };
    if (error == EISDIR || error == ENOTEMPTY) /* it is more than there */
        return (struct doubt){ DOUBT_ALL, DOUBT_ABSENCE };
    return (struct doubt){ DOUBT_ALL, DOUBT_ALL };
}

static uint64_t hash_of(const char *plain, uint32_t len) { return len > 0 ? mioc_hash(plain, len) : 0; }

/* Threads that note at the same time may mix two names' entries: then one of them is looked at longer, or less long. */
static void note(const struct doubt *doubt, const char *plain, uint32_t len)
{
    unsigned i = __atomic_fetch_add(&doubted, 1, __ATOMIC_RELAXED) % DOUBTS;
    uint64_t until = mioc_clock_coarse_ms() + mioc_client.timeout_ns / 1000000;

    __atomic_store_n(&doubts[i].until_ms, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&doubts[i].name, hash_of(plain, len), __ATOMIC_RELAXED);
    __atomic_store_n(&doubts[i].folder, hash_of(plain, mioc_path_parent(plain, len)), __ATOMIC_RELAXED);
    __atomic_store_n(&doubts[i].itself, doubt->itself, __ATOMIC_RELAXED);
    __atomic_store_n(&doubts[i].below, doubt->below, __ATOMIC_RELAXED);
    __atomic_store_n(&doubts[i].until_ms, until, __ATOMIC_RELEASE);
    __atomic_store_n(&mioc_client.doubts_until_ms, until, __ATOMIC_RELEASE);
}

/* Of "folder/.." the error says that "folder" is there, or not. */
static __attribute__((noinline)) void note_names(void *ctx, const char *path, uint32_t len)
{
    const int is_turn = len > 3 && memcmp(path + len - 3, "/..", 3) == 0;
    char buf[MIOC_PATH_MAX];
    uint32_t n = len;
    const char *plain = is_turn ? buf : mioc_path_plain(path, &n, buf);

    if (!is_turn)
        note(ctx, plain, n);
    for (unsigned i = 0; is_turn && (n = mioc_path_turn(path, len, i, buf)) > 0; i++)
        note(ctx, buf, n);
}

void mioc_client_note_doubt(const char *path, int error)
{
    struct doubt doubt = doubt_of(error);
    const struct mioc_names names = { .visit = note_names, .ctx = &doubt, .subtree = 1, .with_target = 1 };

    (void)mioc_client_each_name(&names, AT_FDCWD, path);
}

/* `at`: the path, or with is_above what it is in. */
static enum doubt_kind noted(uint64_t at, int is_above, uint64_t now)
{
    enum doubt_kind most = DOUBT_NONE, one;

    for (unsigned i = 0; i < DOUBTS; i++) {
        if (now >= __atomic_load_n(&doubts[i].until_ms, __ATOMIC_ACQUIRE))
            continue;
        if (!is_above && at == __atomic_load_n(&doubts[i].folder, __ATOMIC_RELAXED))
            return DOUBT_ALL;
        if (at != __atomic_load_n(&doubts[i].name, __ATOMIC_RELAXED))
            continue;
        one = __atomic_load_n(is_above ? &doubts[i].below : &doubts[i].itself, __ATOMIC_RELAXED);
        most = one > most ? one : most;
    }
    return most;
}

static enum doubt_kind doubt_about(const char *path, uint32_t len)
{
    uint64_t until = __atomic_load_n(&mioc_client.doubts_until_ms, __ATOMIC_ACQUIRE), now = mioc_clock_coarse_ms();
    enum doubt_kind most = DOUBT_NONE, one;
    char buf[MIOC_PATH_MAX];
    const char *plain;
    int is_above = 0;

    if (now >= until) { /* the last one is over */
        (void)__atomic_compare_exchange_n(&mioc_client.doubts_until_ms, &until, 0, 0, __ATOMIC_RELAXED,
                                          __ATOMIC_RELAXED);
        return DOUBT_NONE;
    }
    for (plain = mioc_path_plain(path, &len, buf); len > 1; len = mioc_path_parent(plain, len), is_above = 1) {
        one = noted(hash_of(plain, len), is_above, now);
        most = one > most ? one : most;
    }
    return most;
}

__attribute__((noinline)) int mioc_client_may_serve(struct mioc_query *q)
{
    enum doubt_kind doubt = doubt_about(q->key.text, q->key.len);

    q->has_absence_doubted = doubt == DOUBT_ABSENCE;
    return doubt != DOUBT_ALL;
}

/* Not that of the folder that is there, or of one below it. */
__attribute__((noinline)) int mioc_client_is_doubtful(const struct mioc_query *q, const struct mioc_list_record *list,
                                                      uint32_t len)
{
    return q->has_absence_doubted && (list->list_errno != 0 || doubt_about(q->key.text, len) != DOUBT_ABSENCE);
}
