/* SPDX-License-Identifier: BSD-3-Clause */
/* store_internal.h - the layout that store_*.c share; nobody else includes it.
 *
 *     store_read.c     everyone: lookup, open, fstat's way back
 *     store_attach.c   everyone: finding and mapping a store that is there, whether its agent lives
 *     store_map.c      everyone: as much of the index as is in use
 *     store_own.c      everyone: which ones this process made
 *     store_files.c    agent: making one
 *     store_remove.c   agent: removing one, its own or a dead one
 *     store_write.c    agent: the publish stream
 *     store_reach.c    agent: what of it can be found
 *     store_hold.c     agent: what may not become reachable before the log brings a token back
 *     store_content.c  agent: content files
 *     store_mirror.c   agent and everyone: shared objects under their original names */
#ifndef MIOC_STORE_INTERNAL_H
#define MIOC_STORE_INTERNAL_H

#include "base/io_thread.h"
#include "ring.h"
#include "store.h"
#include <string.h>

#define MIOC_STORE_LAYOUT 3u
#define MIOC_STORE_PATH_MAX 1200u
#define MIOC_STORE_DEFAULT_ARENA (256ull << 20)

/* The hash table is open addressing with linear probing. A slot is {high half of the record's hash, arena offset / 8 +
 * 1} in one word, 0 is empty: the half hash spares the probes of other keys' records, which would be cache misses.
 * Slots never become empty again, so a reader under way never misses what it passed. */
#define MIOC_INDEX_SLOTS (1u << 18)
#define MIOC_INDEX_MASK (MIOC_INDEX_SLOTS - 1)
#define MIOC_INDEX_SLOTS_MAX (MIOC_INDEX_SLOTS / 4 * 3)
#define MIOC_INDEX_TABLE_AT 4096u
#define MIOC_INDEX_ARENA_AT (MIOC_INDEX_TABLE_AT + MIOC_INDEX_SLOTS * 8u)
#define MIOC_ARENA_MAX ((1ull << 35) - 4096) /* what a slot can say */

/* The index file's first page. What the agent changes often stands apart from what readers read often. */
struct mioc_index {
    uint64_t magic; /* stored last: before, the store is not there */
    uint32_t layout, slots;
    uint64_t size; /* of the file, holes included */
    uint64_t key;
    uint64_t view;               /* of the agent's process (credentials.h) */
    _Alignas(64) uint32_t state; /* enum mioc_store_state */
    _Alignas(64) uint64_t end;   /* of the stream; bytes below are written and never change */
    uint64_t allocated;          /* of the arena, reserved in the filesystem */
    uint64_t content_bytes, contents;
    _Alignas(64) uint32_t devices;
    struct mioc_device_pair device[MIOC_MAX_PREFIXES];
};
_Static_assert(sizeof(struct mioc_index) <= MIOC_INDEX_TABLE_AT, "the header is one page");

/* The first mapping of the index ends here, or with its file; each further one is twice as long, up to what a slot can
 * say. */
#define MIOC_INDEX_FIRST_MAP (MIOC_INDEX_ARENA_AT + (2u << 20))
#define MIOC_INDEX_MAPS 16u

struct mioc_store {
    struct mioc_index *index; /* read-only unless writer is set; header and table, and the arena's beginning */
    uint64_t *table;
    char *arena;     /* atomic; of the last mapping: mioc_store_arena() */
    uint64_t mapped; /* atomic; bytes of the arena in it */
    int is_mapping;  /* atomic; somebody is making the next one */
    unsigned maps;
    struct {
        void *at;
        uint64_t size;
    } map[MIOC_INDEX_MAPS];
    struct mioc_ring *ring;
    uint64_t index_size;
    dev_t dev; /* of the index and so of the contents */
    ino_t ino; /* of the index */
    uid_t uid;
    uint32_t path_len;
    char path[MIOC_STORE_PATH_MAX];
    struct mioc_store_writer *writer; /* agent's process only; touched by the agent's thread */
    pid_t pid;                        /* of the agent's process, there */
    int lock_fd;                      /* there, else -1 */
    struct mioc_store *next_own;      /* stores that this process made */
};

/* A content that is still arriving. */
struct mioc_arrival {
    uint32_t content;
    int failed;
    uint64_t total, received;
};

struct mioc_hold;
#define MIOC_HOLD_BUCKETS 256u

struct mioc_store_writer {
    struct mioc_store_limits limits;
    struct mioc_io_thread *io_thread; /* where files are opened: the program's descriptors stay as they are */
    uint32_t node;
    uint32_t used; /* slots that are not empty */
    int is_full;   /* an item did not fit: what comes after it can never be appended */
    struct mioc_hold *hold[MIOC_HOLD_BUCKETS], *subtree_hold;
    unsigned holds;
    int holds_all; /* no memory for a hold: nothing may become reachable any more */
    struct mioc_odd {
        uint64_t offset, plain;
        int has_turns;
    } * odd; /* reachable records whose path is not in normal form */
    size_t odds, odds_cap;
    struct mioc_arrival *arrival;
    size_t arrivals, arrivals_cap;
};

/* --- store_map.c ------------------------------------------------------------------------------------------------- */
/* Maps the index as far as it is used, and the table. 0 or -1. */
int mioc_store_map_index(struct mioc_store *s, int fd, int is_writer);
void mioc_store_unmap_index(struct mioc_store *s);
/* Maps more of it: the arena then, or NULL: it cannot be had, or with is_patient = 0 another thread (or the one that
 * this signal handler interrupts) is just doing so. */
char *mioc_store_map_more(struct mioc_store *s, uint64_t end, int is_patient);
/* Where the arena's bytes below `end` are, which is within the file; NULL: nowhere now. Pointers into it stay valid. */
static inline const char *mioc_store_arena(const struct mioc_store *s, uint64_t end)
{
    if (__builtin_expect(end <= __atomic_load_n(&s->mapped, __ATOMIC_ACQUIRE), 1))
        return __atomic_load_n(&s->arena, __ATOMIC_RELAXED);
    return mioc_store_map_more((struct mioc_store *)(uintptr_t)s, end, 0);
}

/* --- store_read.c ------------------------------------------------------------------------------------------------ */
static inline uint64_t mioc_slot_make(uint64_t hash, uint64_t offset)
{
    return (hash >> 32 << 32) | (offset / MIOC_ITEM_ALIGN + 1);
}
static inline int mioc_slot_may_be(uint64_t slot, uint64_t hash) { return slot >> 32 == hash >> 32; }
/* What the agent has appended at `offset`. */
static inline void *mioc_store_appended(const struct mioc_store *s, uint64_t offset)
{
    return __atomic_load_n(&s->arena, __ATOMIC_RELAXED) + offset;
}
static inline struct mioc_item *mioc_slot_item(const struct mioc_store *s, uint64_t slot)
{
    return mioc_store_appended(s, ((slot & 0xffffffffu) - 1) * MIOC_ITEM_ALIGN);
}
static inline int mioc_item_is(const struct mioc_item *item, unsigned kind, const char *path, uint32_t len,
                               uint64_t hash)
{
    return item->hash == hash && item->kind == kind && item->path_len == len &&
           memcmp((const char *)item + mioc_item_path_at(kind), path, len) == 0;
}
static inline int mioc_item_is_dead(const struct mioc_item *item)
{
    return __atomic_load_n(&item->local_dead, __ATOMIC_ACQUIRE) != 0;
}
/* The mark in a copy's mtime nanoseconds. */
static inline int64_t mioc_content_tag(uint64_t hash) { return 1 + (int64_t)(hash % 999999999u); }
static inline uint64_t mioc_page_round(uint64_t bytes) { return (bytes + 4095) & ~4095ull; }
/* Path of a content's file, without stdio so that signal handlers may. */
void mioc_store_content_path(const struct mioc_store *s, uint32_t content, char path[MIOC_STORE_PATH_MAX]);

/* --- store_attach.c ---------------------------------------------------------------------------------------------- */
/* A zeroed view, not from the heap: writes attach, and may do so in signal handlers and vfork children (writer_join.h).
 * NULL with errno. */
struct mioc_store *mioc_store_new(void);
void mioc_store_free(struct mioc_store *s);
/* Opens MPIIO_CACHE_DIR and gives its path without symbolic links and without a last slash: a descriptor. -1 with errno
 * (EINVAL: not absolute; ENAMETOOLONG; EPERM: others than root and this user could put their own in the place of what
 * is in it). */
int mioc_store_open_parent(const char *dir, char path[MIOC_STORE_PATH_MAX]);
/* Maps index and ring of an open store directory. 0 or -1. */
int mioc_store_map(struct mioc_store *s, int dirfd, int is_writer);
/* Whether a name is that of one of this user's stores; *key then is whose. */
int mioc_store_is_name(const char *name, uint64_t *key);
/* Opens the directory of that name if it is this user's, else -1. */
int mioc_store_open_dir(int dirfd, const char *name);

/* --- store_files.c ----------------------------------------------------------------------------------------------- */
/* open(2) without following a last symbolic link, close-on-exec. */
int mioc_store_open(int dirfd, const char *path, int flags);
/* posix_fallocate that respects RLIMIT_FSIZE (whose signal would end the program). 0, or -1 with errno. */
int mioc_store_reserve(int fd, uint64_t offset, uint64_t length);

/* --- store_own.c ------------------------------------------------------------------------------------------------- */
/* Whether this very process made the store of that name: its lock is lost if anybody here opens and closes `owner`. */
int mioc_store_is_own(const char *name);
/* Any thread may ask; one at a time says that a store was made, or is detached. */
void mioc_store_own(struct mioc_store *s);
void mioc_store_disown(struct mioc_store *s);

/* --- store_remove.c ---------------------------------------------------------------------------------------------- */
/* Takes the lock of an open `owner`. 0 or -1. */
int mioc_store_lock_owner(int fd);
/* Unlinks the known names in an open store directory and the directory itself, `owner` last: as long as it is there and
 * locked nobody else removes. 0 or -1. */
int mioc_store_unlink(int parent, const char *name, int dirfd);

/* --- store_write.c ----------------------------------------------------------------------------------------------- */
/* Reserves the arena up to `end`, and maps it. 0 or -1. */
int mioc_store_grow(struct mioc_store *s, uint64_t end);

/* --- store_reach.c ----------------------------------------------------------------------------------------------- */
/* Where a record of that key is or belongs in the table. *is_new: it needs a slot that was empty. */
uint32_t mioc_store_slot(const struct mioc_store *s, unsigned kind, const char *path, uint32_t len, uint64_t hash,
                         int *is_new);
/* Makes an appended record reachable unless a hold or a sticky record forbids it. */
void mioc_store_link(struct mioc_store *s, struct mioc_item *item, uint64_t offset);
/* Records of the plain path, of its parent's STAT and LIST, and with subtree all below are dead from now on. */
void mioc_store_kill(struct mioc_store *s, const char *plain, uint32_t len, int subtree);

/* --- store_hold.c ------------------------------------------------------------------------------------------------ */
int mioc_hold_add(struct mioc_store_writer *w, const char *plain, uint32_t len, int subtree, uint64_t token);
void mioc_hold_lift(struct mioc_store_writer *w, const char *plain, uint32_t len, uint64_t token);
int mioc_hold_has(const struct mioc_store_writer *w, unsigned kind, const char *plain, uint32_t len);
/* … for a directory that a path leaves by "..": only that it is there matters. */
int mioc_hold_has_turn(const struct mioc_store_writer *w, const char *path, uint32_t len);
void mioc_hold_free(struct mioc_store_writer *w);

/* --- store_content.c --------------------------------------------------------------------------------------------- */
/* Makes the file of an appended CONTENT record immutable and tags it. 0, or -1: it is not to be made reachable. */
int mioc_store_seal(struct mioc_store *s, const struct mioc_content_record *record, uint64_t offset);

/* Unlinks the file of a content, of a sealed one or what has come of one. Who has it open or mapped keeps it. */
void mioc_store_drop_content(struct mioc_store *s, uint32_t content, uint32_t pages);

/* --- store_mirror.c ---------------------------------------------------------------------------------------------- */
/* Gives the sealed copy of a shared object its name in m/, in the place of an older copy's. That it has none is no
 * failure. */
void mioc_store_mirror(struct mioc_store *s, const struct mioc_content_record *record);

#endif
