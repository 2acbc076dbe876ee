/* SPDX-License-Identifier: BSD-3-Clause */
/* item.h - the items of the publish stream, as they stand in every node's arena and on the wire.
 *
 * The publish stream is one byte string that only the root extends and every node holds a prefix of: the arena
 * (store.h). It is a sequence of items. An item's position in the stream is its byte offset in the arena, the same on
 * every node, so "how far a node has come" is one number and forwarding is copying.
 *
 * An item is immutable once published, but for the fields named local_*, which belong to the node and are zero on
 * the wire. Numbers are in the machine's own byte order: all nodes of a job are of one kind (checked at start).
 *
 * A record (STAT, LIST, CONTENT, ACCESS, REALPATH) is the answer to one question, "facet", about one path. The key is
 * the pair (kind, path), where path is the absolute path as the application spelled it, with only "//" and "/./" folded
 * (path.h). The root makes the real call with exactly that spelling, so symlinks, trailing slashes and errors are the
 * kernel's own. A later record of the same key supersedes an earlier one. */
#ifndef MIOC_ITEM_H
#define MIOC_ITEM_H

#include <stddef.h>
#include <stdint.h>

/* The stream's alignment in bytes; every item starts and ends on it. */
#define MIOC_ITEM_ALIGN 8u
/* No item is larger, its chunk's bytes not counted. A directory whose listing would be gets MIOC_FLAG_UNCACHED. */
#define MIOC_ITEM_MAX (192u * 1024u)
/* The most bytes of contents that one CHUNK carries. */
#define MIOC_CHUNK_MAX (128u * 1024u)

enum mioc_item_kind {
    MIOC_ITEM_STAT = 1,   /* struct mioc_stat_record, path, link target */
    MIOC_ITEM_LIST,       /* struct mioc_list_record, path, entries, name table */
    MIOC_ITEM_CONTENT,    /* struct mioc_content_record, path; stands behind its last CHUNK */
    MIOC_ITEM_ACCESS,     /* struct mioc_access_record, path */
    MIOC_ITEM_REALPATH,   /* struct mioc_realpath_record, path, resolved path */
    MIOC_ITEM_CHUNK,      /* struct mioc_chunk_record, no path; the bytes ride behind the item on the wire only */
    MIOC_ITEM_INVALIDATE, /* struct mioc_invalidate_record, path */
    MIOC_ITEM_KINDS
};

/* Item flags. */
#define MIOC_FLAG_UNCACHED \
    0x1u /* the root knows the answer but does not share it (too large, odd): make the real call */
#define MIOC_FLAG_SUBTREE 0x2u /* INVALIDATE: the path and all below it */
#define MIOC_FLAG_STICKY \
    0x4u /* INVALIDATE: the path was opened for writing, so its end is unknown: it is uncached for the rest \
            of the job. The root publishes UNCACHED|STICKY records of kinds STAT, CONTENT, ACCESS and \
            REALPATH behind the INVALIDATE, and a live STICKY record is never superseded. */
#define MIOC_FLAG_EARLY \
    0x8u /* a record that nobody had asked for when it was made: the manifest's. Outside the library directories \
            it counts for MPIIO_CACHE_TTL only, because nobody has touched the path yet */
#define MIOC_FLAG_EVICT \
    0x10u /* INVALIDATE: only the content whose number `token` is, of `pages` pages, to make room \
             for others or because it will never be complete; the path is its CONTENT record's, \
             which is found no more. All nodes have had before what there is of it (node_evict.c) */

#define MIOC_FLAG_BRIEF \
    0x20u /* with UNCACHED, not with STICKY: the root cannot tell yet, as its kernel may go on showing what was there \
             before another node's write. It counts for as many ms as the flags' upper bits say, from when a node \
             applied it */
#define MIOC_BRIEF_SHIFT 8
#define MIOC_BRIEF_MOST_MS 0xffffffu

struct mioc_item {
    uint32_t size;     /* bytes of the whole item, this header included, a multiple of MIOC_ITEM_ALIGN */
    uint16_t kind;     /* enum mioc_item_kind */
    uint16_t path_len; /* bytes, without the NUL that follows the path; 0 where the kind has none */
    uint32_t flags;
    uint32_t local_dead;       /* 1: superseded or invalidated on this node; atomic, written by the agent only */
    uint64_t hash;             /* mioc_item_hash(kind, path); checked on arrival */
    uint64_t local_applied_ms; /* CLOCK_MONOTONIC_COARSE when this node applied it */
};

/* The part of struct statx that all nodes share (statx(2)). dev is the root's number: store.h translates it. */
struct mioc_stat {
    uint64_t ino, size, blocks, attributes, attributes_mask;
    uint64_t dev, rdev;                 /* as makedev(3) */
    int64_t atime, mtime, ctime, btime; /* seconds */
    uint32_t atime_ns, mtime_ns, ctime_ns, btime_ns;
    uint32_t mode, uid, gid, nlink, blksize, mask; /* mask: STATX_* bits that the root's kernel filled */
};

struct mioc_stat_record {
    struct mioc_item item;
    int32_t lstat_errno; /* 0, or what lstat(path) failed with; then nothing below but stat_errno counts */
    int32_t stat_errno;  /* 0, or what stat(path) failed with */
    int32_t link_errno;  /* 0: target holds readlink(path); EINVAL: not a symbolic link; else readlink's errno */
    uint32_t target_len; /* bytes of the link target, which follows the path's NUL, itself NUL-terminated */
    struct mioc_stat lstat, stat; /* equal where the path is no symbolic link */
    char path[];
};

/* One directory entry, in readdir(3)'s order; entries are 8-aligned and "." and ".." are among them. */
struct mioc_dirent {
    uint64_t ino;
    uint16_t size; /* bytes to the next entry */
    uint8_t type;  /* DT_* */
    uint8_t name_len;
    char name[]; /* NUL-terminated */
};

struct mioc_list_record {
    struct mioc_item item;
    int32_t list_errno;    /* 0, or what opendir(path) failed with */
    uint32_t count;        /* entries */
    uint32_t entries;      /* offset of the first struct mioc_dirent from the item's start */
    uint32_t table;        /* offset of uint32_t table[table_size]: open addressing, linear probing, by
                              mioc_name_hash(name) & (table_size - 1); a slot holds an entry's offset, 0 is empty */
    uint32_t table_size;   /* a power of two, at least 2 * count */
    uint32_t maps_names;   /* 1: what is not listed may be there all the same, see mioc_list_may_have(); else 0 */
    struct mioc_stat stat; /* of the directory, before it was read */
    char path[];
};

struct mioc_content_record {
    struct mioc_item item;
    int32_t open_errno;    /* 0, or what open(path, O_RDONLY) failed with */
    uint32_t content;      /* which content (store.h); meaningful without error and without UNCACHED */
    uint64_t size;         /* bytes */
    struct mioc_stat stat; /* fstat of what was read */
    char path[];
};

struct mioc_access_record {
    struct mioc_item item;
    int32_t err[8];  /* faccessat(path, mode, AT_EACCESS-free) for mode 0..7 (F_OK, X_OK=1, W_OK=2, R_OK=4 and sums):
                        errno */
    int32_t eerr[8]; /* the same with AT_EACCESS */
    char path[];
};

struct mioc_realpath_record {
    struct mioc_item item;
    int32_t realpath_errno;
    uint32_t resolved_len; /* the resolved path follows the path's NUL, itself NUL-terminated */
    char path[];
};

struct mioc_chunk_record {
    struct mioc_item item; /* path_len 0, hash 0 */
    uint32_t content;
    uint32_t length; /* 1..MIOC_CHUNK_MAX */
    uint64_t offset;
    uint64_t total; /* bytes of the whole content, so that the first chunk can reserve them */
};

struct mioc_invalidate_record {
    struct mioc_item item;
    uint32_t node;  /* who asked */
    uint32_t pages; /* EVICT; else 0 */
    uint64_t token; /* the asking node's count of invalidations: lifts its local hold (store.h) */
    char path[];
};

/* Whether a kind is one that a question can ask for: STAT to REALPATH. */
static inline int mioc_item_is_record(unsigned kind) { return kind >= MIOC_ITEM_STAT && kind <= MIOC_ITEM_REALPATH; }
/* mioc_hash() of the path, mixed with the kind. Never 0. */
uint64_t mioc_item_hash(unsigned kind, const char *path, uint32_t len);
/* Of the name in lower case, as far as it is ASCII: names that differ by that alone have one hash. */
uint32_t mioc_name_hash(const char *name, uint32_t len);
int mioc_name_is_ascii(const char *name, uint32_t len);

/* Where the path stands in an item of that kind: its offset from the item's start, 0 for kinds without one. */
static inline uint32_t mioc_item_path_at(unsigned kind)
{
    switch (kind) {
    case MIOC_ITEM_STAT: return offsetof(struct mioc_stat_record, path);
    case MIOC_ITEM_LIST: return offsetof(struct mioc_list_record, path);
    case MIOC_ITEM_CONTENT: return offsetof(struct mioc_content_record, path);
    case MIOC_ITEM_ACCESS: return offsetof(struct mioc_access_record, path);
    case MIOC_ITEM_REALPATH: return offsetof(struct mioc_realpath_record, path);
    case MIOC_ITEM_INVALIDATE: return offsetof(struct mioc_invalidate_record, path);
    default: return 0;
    }
}
/* The path of any record, NULL for kinds without one. The item must be valid. */
const char *mioc_item_path(const struct mioc_item *item);

/* Whether bytes[0..available) start with a whole, well-formed item: sizes, offsets, NULs, kind, hash, every entry and
 * table slot of a listing. Everything that came from another process goes through here before use. 0 or -1 (EPROTO). */
int mioc_item_check(const void *bytes, uint32_t available);

/* Whether what the item says of its own sizes stays inside the item: enough, and cheap enough, for each look at an item
 * that was checked when it came, but stands in memory that a stray write of the agent's program can reach. The item's
 * own size must be right. */
static inline int mioc_item_is_bounded(const struct mioc_item *item)
{
    const void *record = item;
    uint64_t at = mioc_item_path_at(item->kind), end = at + item->path_len + 1u;

    if (at == 0 || end > item->size)
        return 0;
    switch (item->kind) {
    case MIOC_ITEM_STAT:
        return ((const struct mioc_stat_record *)record)->target_len == 0 ||
               end + ((const struct mioc_stat_record *)record)->target_len < item->size;
    case MIOC_ITEM_LIST: {
        const struct mioc_list_record *list = record;

        return list->table % 4 == 0 && list->entries % 8 == 0 && (list->table_size & (list->table_size - 1)) == 0 &&
               list->table + 4ull * list->table_size <= item->size;
    }
    case MIOC_ITEM_REALPATH:
        return ((const struct mioc_realpath_record *)record)->resolved_len == 0 ||
               end + ((const struct mioc_realpath_record *)record)->resolved_len < item->size;
    default: return 1;
    }
}

/* Whether a record that counts for a time only has outlived it. now_ms: CLOCK_MONOTONIC_COARSE. */
static inline int mioc_item_is_over(const struct mioc_item *item, uint64_t now_ms)
{
    return (item->flags & MIOC_FLAG_BRIEF) && now_ms >= item->local_applied_ms + (item->flags >> MIOC_BRIEF_SHIFT);
}

/* Of a record of a path: whether it says that the path is there, in each way that it can be asked; that it, or where it
 * leads, is not (ENOENT). */
int mioc_item_says_there(const struct mioc_item *item);
int mioc_item_says_absent(const struct mioc_item *item);

/* The entry of that name in a bounded listing, or NULL. */
const struct mioc_dirent *mioc_list_find(const struct mioc_list_record *list, const char *name, uint32_t len);
/* Whether a look for the name could find something in that directory. Filesystems may compare names by more than
 * their bytes: they fold case (casefold directories of ext4, f2fs and tmpfs; xfs with ascii-ci; SMB, FAT, NTFS,
 * HFS+, APFS), normalize (zfs, HFS+), or have several names of one file; and what NFS or FUSE lead to can be any of
 * them, which no client can tell. So a listing proves only that a plain ASCII name is not there that differs from
 * all in it by more than case, and nothing where it has names beyond ASCII, which fold in many ways, or where the
 * mount's type says that names are mapped. For other names the filesystem is asked, once for all. That costs exact
 * filesystems next to nothing, and is right without a probe. */
int mioc_list_may_have(const struct mioc_list_record *list, const char *name, uint32_t len);
/* The entry at that offset of a bounded listing; NULL if none can be there. */
const struct mioc_dirent *mioc_list_entry(const struct mioc_list_record *list, uint32_t at);

/* Builders: compose an item in buf (8-aligned, at least MIOC_ITEM_MAX bytes) with header and path filled in, the fixed
 * part zero; return the place behind the path's NUL (a CHUNK: behind the item). mioc_item_finish() sets the size from
 * `end` (pads with zeros). */
char *mioc_item_begin(void *buf, unsigned kind, uint32_t flags, const char *path, uint32_t len);
uint32_t mioc_item_finish(void *buf, const void *end);
/* The flags of a record that counts for that long, and a clock's tick. */
uint32_t mioc_item_brief(uint64_t ns);

#endif
