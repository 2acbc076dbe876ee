/* SPDX-License-Identifier: BSD-3-Clause */
/* doubt.c - what a process does not believe for a while after a call of its own has failed (README.md, doubts). */
#include "base/clock.h"
#include "base/hash.h"
#include "client_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define DOUBTS 64u

/* The last doubts, a ring. All fields are atomic. */
static struct {
    uint64_t name, folder;  /* hashes of the normal forms */
    uint64_t until_ms;      /* 0: this entry is empty */
    unsigned itself, below; /* enum doubt_kind */
} doubts[DOUBTS];
static unsigned doubted; /* how many there have been */

/* What is not believed of a path; a later one includes those before. */
enum doubt_kind {
    DOUBT_NONE,
    DOUBT_ABSENCE, /* that it is absent */
    DOUBT_ALL,
};

/* What is not believed of the name itself, and of all below it. */
struct doubt {
    enum doubt_kind itself, below;
};

static struct doubt doubt_of(int error)
{
    if (error == EEXIST || error == EADDRINUSE)
        return (struct doubt){ DOUBT_ABSENCE, DOUBT_ABSENCE };
    if (error == EISDIR || error == ENOTEMPTY) /* the error also says what it is: a record could contradict that */
        return (struct doubt){ DOUBT_ALL, DOUBT_ABSENCE };
    return (struct doubt){ DOUBT_ALL, DOUBT_ALL };
}

static uint64_t hash_of(const char *plain, uint32_t len) { return len > 0 ? mioc_hash(plain, len) : 0; }

/* Two threads that write one entry at the same time may mix two names; then one is doubted longer, or shorter. */
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

/* Notes one name. Of "folder/.." the error says whether "folder" is there. */
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

/* What is not believed of a path, by the doubts about `at`: the hash of the path itself, or (is_above) of a folder
 * above it. */
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

    if (now >= until) { /* the last doubt has ended */
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

/* The name that the error says is there, and all below it, have no doubtful listing: only their absence is doubted. */
__attribute__((noinline)) int mioc_client_is_doubtful(const struct mioc_query *q, const struct mioc_list_record *list,
                                                      uint32_t len)
{
    return q->has_absence_doubted && (list->list_errno != 0 || doubt_about(q->key.text, len) != DOUBT_ABSENCE);
}
