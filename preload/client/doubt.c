/* SPDX-License-Identifier: BSD-3-Clause */
/* doubt.c - what a process does not believe for a while after a call of its own has failed (README.md, doubts). */
#include "base/clock.h"
#include "base/hash.h"
#include "client_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define DOUBTS 64u

/* The last doubts, a ring. All fields are atomic. */
struct doubts {
    struct {
        uint64_t name, folder;  /* hashes of the normal forms */
        uint64_t until_ms;      /* 0: this entry is empty */
        unsigned itself, below; /* enum doubt_kind */
    } ring[DOUBTS];
    unsigned count; /* how many there have been */
};
static struct doubts doubts;   /* of all records */
static struct doubts by_links; /* of records with BY_LINK only: by the names that can be found the store is right */

/* What is not believed of a path; a later one includes those before. */
enum doubt_kind {
    DOUBT_NONE,
    DOUBT_ABSENCE, /* that it is absent */
    DOUBT_ALL,
};

/* What is not believed of the name itself, and of all below it. */
struct doubt {
    enum doubt_kind itself, below;
    int is_by_link; /* only of records with BY_LINK */
};

static struct doubt doubt_of(int error, int is_by_link)
{
    if (error == EEXIST || error == EADDRINUSE)
        return (struct doubt){ DOUBT_ABSENCE, DOUBT_ABSENCE, is_by_link };
    if (error == EISDIR || error == ENOTEMPTY) /* the error also says what it is: a record could contradict that */
        return (struct doubt){ DOUBT_ALL, DOUBT_ABSENCE, is_by_link };
    return (struct doubt){ DOUBT_ALL, DOUBT_ALL, is_by_link };
}

static uint64_t hash_of(const char *plain, uint32_t len) { return len > 0 ? mioc_hash(plain, len) : 0; }

/* Two threads that write one entry at the same time may mix two names; then one is doubted longer, or shorter. */
static void note(const struct doubt *doubt, const char *plain, uint32_t len)
{
    struct doubts *d = doubt->is_by_link ? &by_links : &doubts;
    unsigned i = __atomic_fetch_add(&d->count, 1, __ATOMIC_RELAXED) % DOUBTS;
    uint64_t until = mioc_clock_coarse_ms() + mioc_client.timeout_ns / 1000000;

    __atomic_store_n(&d->ring[i].until_ms, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&d->ring[i].name, hash_of(plain, len), __ATOMIC_RELAXED);
    __atomic_store_n(&d->ring[i].folder, hash_of(plain, mioc_path_parent(plain, len)), __ATOMIC_RELAXED);
    __atomic_store_n(&d->ring[i].itself, doubt->itself, __ATOMIC_RELAXED);
    __atomic_store_n(&d->ring[i].below, doubt->below, __ATOMIC_RELAXED);
    __atomic_store_n(&d->ring[i].until_ms, until, __ATOMIC_RELEASE);
    __atomic_store_n(&mioc_client.link_doubts_until_ms, until, __ATOMIC_RELEASE);
    if (!doubt->is_by_link)
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

void mioc_client_note_doubt(const char *path, int error, int is_right)
{
    struct doubt doubt = doubt_of(error, is_right);
    const struct mioc_names names = { .visit = note_names, .ctx = &doubt, .everywhere = 1, .with_target = 1 };

    (void)mioc_client_each_name(&names, AT_FDCWD, path);
}

/* What is not believed of a path, by the doubts about `at`: the hash of the path itself, or (is_above) of a folder
 * above it. */
static enum doubt_kind noted(const struct doubts *d, uint64_t at, int is_above, uint64_t now)
{
    enum doubt_kind most = DOUBT_NONE, one;

    for (unsigned i = 0; i < DOUBTS; i++) {
        if (now >= __atomic_load_n(&d->ring[i].until_ms, __ATOMIC_ACQUIRE))
            continue;
        if (!is_above && at == __atomic_load_n(&d->ring[i].folder, __ATOMIC_RELAXED))
            return DOUBT_ALL;
        if (at != __atomic_load_n(&d->ring[i].name, __ATOMIC_RELAXED))
            continue;
        one = __atomic_load_n(is_above ? &d->ring[i].below : &d->ring[i].itself, __ATOMIC_RELAXED);
        most = one > most ? one : most;
    }
    return most;
}

/* Whether a time has come until which there are doubts; then it is set to 0. */
static int is_over(uint64_t *until_ms, uint64_t now)
{
    uint64_t until = __atomic_load_n(until_ms, __ATOMIC_ACQUIRE);

    if (now < until)
        return 0;
    (void)__atomic_compare_exchange_n(until_ms, &until, 0, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    return 1;
}

/* The most that is doubted of a path in normal form, by its own name and those above it. */
static enum doubt_kind most_noted(const struct doubts *d, const char *plain, uint32_t len, uint64_t now)
{
    enum doubt_kind most = DOUBT_NONE, one;

    for (int is_above = 0; len > 1; len = mioc_path_parent(plain, len), is_above = 1) {
        one = noted(d, hash_of(plain, len), is_above, now);
        most = one > most ? one : most;
    }
    return most;
}

static enum doubt_kind doubt_about(const char *path, uint32_t len)
{
    uint64_t now = mioc_clock_coarse_ms();
    char buf[MIOC_PATH_MAX];
    const char *plain;

    if (is_over(&mioc_client.doubts_until_ms, now))
        return DOUBT_NONE;
    plain = mioc_path_plain(path, &len, buf);
    return most_noted(&doubts, plain, len, now);
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

/* --- Records that a link leads to -------------------------------------------------------------------------------- */

static const struct mioc_item *look_up(unsigned kind, const char *path, uint32_t len)
{
    return mioc_store_lookup(mioc_client_store(), kind, path, len, mioc_item_hash(kind, path, len));
}

/* Replaces the folder path[0..folder) by where it is without links. The length of the path in normal form; 0: that is
 * not known. */
static uint32_t without_links(const char *path, uint32_t len, uint32_t folder, char out[MIOC_PATH_MAX])
{
    const struct mioc_realpath_record *real =
        folder > 0 ? (const void *)look_up(MIOC_ITEM_REALPATH, path, folder) : NULL;
    uint32_t n;

    if (real == NULL || (real->item.flags & MIOC_FLAG_UNCACHED) || real->realpath_errno != 0 ||
        mioc_path_has_dotdot(path, len) || real->resolved_len + (len - folder) >= MIOC_PATH_MAX)
        return 0;
    n = real->resolved_len > 1 ? real->resolved_len : 0; /* without the slash of "/" */
    memcpy(out, real->path + real->item.path_len + 1, n);
    memcpy(out + n, path + folder, len - folder);
    for (n += len - folder; n > 1 && out[n - 1] == '/'; n--)
        ;
    return n;
}

__attribute__((noinline)) int mioc_client_is_doubtful_by_link(const char *path, uint32_t len, uint32_t folder)
{
    uint64_t now = mioc_clock_coarse_ms();
    char plain[MIOC_PATH_MAX];

    if (is_over(&mioc_client.link_doubts_until_ms, now))
        return 0;
    len = without_links(path, len, folder, plain);
    return len == 0 || most_noted(&doubts, plain, len, now) != DOUBT_NONE ||
           most_noted(&by_links, plain, len, now) != DOUBT_NONE;
}

/* Whether the last name of the record's path may be a link. */
static int may_end_in_link(const struct mioc_item *item, const char *path)
{
    const struct mioc_stat_record *st = (const void *)item;

    if (item->kind != MIOC_ITEM_STAT)
        st = (const void *)look_up(MIOC_ITEM_STAT, path, item->path_len);
    return st == NULL || (st->item.flags & MIOC_FLAG_UNCACHED) || (st->lstat_errno == 0 && S_ISLNK(st->lstat.mode));
}

int mioc_client_is_record_doubtful(const struct mioc_item *item)
{
    const char *path = mioc_item_path(item);
    uint32_t len = item->path_len;

    if (item->kind == MIOC_ITEM_LIST || item->kind == MIOC_ITEM_REALPATH)
        return mioc_client_is_doubtful_by_link(path, len, len);
    while (len > 1 && (path[len - 1] == '/' || (path[len - 1] == '.' && path[len - 2] == '/')))
        len--;
    if (len < item->path_len) /* "name/" is in the folder "name" */
        return mioc_client_is_doubtful_by_link(path, len, len);
    return mioc_client_is_doubtful_by_link(path, len, may_end_in_link(item, path) ? 0 : mioc_path_parent(path, len));
}
