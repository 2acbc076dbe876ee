/* SPDX-License-Identifier: BSD-3-Clause */
/* item_layout.h - the shapes of the publish stream's items, in every node's arena and on the wire (README.md).
 *
 * Every item starts with struct mioc_item. A published item never changes, except for the fields named local_*, which
 * belong to the node and are zero on the wire. Numbers are in the machine's byte order: all nodes of a job are of one
 * kind, which is checked at start.
 *
 * A record (STAT, LIST, CONTENT, ACCESS, REALPATH) answers one question about one path. Its key is (kind, path): the
 * path as the application spelled it, with only "//" and "/./" folded (base/path.h). The root makes the real call with
 * this spelling. A later record of a key supersedes an earlier one. */
#ifndef MIOC_ITEM_LAYOUT_H
#define MIOC_ITEM_LAYOUT_H

#include <stdint.h>

/* The alignment of items in bytes. */
#define MIOC_ITEM_ALIGN 8u
/* The most bytes of an item, without a chunk's bytes. A directory with a larger listing is UNCACHED. */
#define MIOC_ITEM_MAX (192u * 1024u)
/* The most bytes of contents that one CHUNK carries. */
#define MIOC_CHUNK_MAX (128u * 1024u)

enum mioc_item_kind {
    MIOC_ITEM_STAT = 1,   /* struct mioc_stat_record, path, link target */
    MIOC_ITEM_LIST,       /* struct mioc_list_record, path, entries, name table */
    MIOC_ITEM_CONTENT,    /* struct mioc_content_record, path; comes behind the last CHUNK of its content */
    MIOC_ITEM_ACCESS,     /* struct mioc_access_record, path */
    MIOC_ITEM_REALPATH,   /* struct mioc_realpath_record, path, resolved path */
    MIOC_ITEM_CHUNK,      /* struct mioc_chunk_record, no path; its bytes follow on the wire, not in the arena */
    MIOC_ITEM_INVALIDATE, /* struct mioc_invalidate_record, path */
    MIOC_ITEM_KINDS
};

/* The root does not share the answer (it is too large, or odd): make the real call. */
#define MIOC_FLAG_UNCACHED 0x1u
/* INVALIDATE: the path and all below it. */
#define MIOC_FLAG_SUBTREE 0x2u
/* INVALIDATE: the path was opened for writing, which may go on, so it stays uncached for the rest of the job: the root
 * publishes UNCACHED|STICKY records of the kinds STAT, CONTENT, ACCESS and REALPATH behind it. Nothing supersedes a
 * live STICKY record. */
#define MIOC_FLAG_STICKY 0x4u
/* A record of the manifest, made before anybody asked for it. Outside of the library directories it counts for
 * MPIIO_CACHE_TTL only. */
#define MIOC_FLAG_EARLY 0x8u
/* INVALIDATE: drop only content number `token`, of `pages` pages, whose CONTENT record has the path: to make room, or
 * because the content will never be complete (mpi_shim/node/node_evict.c). */
#define MIOC_FLAG_EVICT 0x10u
/* With UNCACHED, without STICKY: the root's kernel may still show the state before another node's write. The record
 * counts for as many ms as the upper bits of the flags say, from the time when a node applied it. */
#define MIOC_FLAG_BRIEF 0x20u
/* A record: on the way to what it is about the root followed a symbolic link, or cannot tell that it did not. If only
 * its directory was reached so, and the REALPATH of that is known, that has the path without links. */
#define MIOC_FLAG_BY_LINK 0x40u
#define MIOC_BRIEF_SHIFT 8
#define MIOC_BRIEF_MOST_MS 0xffffffu

struct mioc_item {
    uint32_t size;     /* bytes of the whole item, this header included; a multiple of MIOC_ITEM_ALIGN */
    uint16_t kind;     /* enum mioc_item_kind */
    uint16_t path_len; /* bytes, without the NUL that follows the path; 0 if the kind has no path */
    uint32_t flags;
    uint32_t local_dead;       /* atomic; 1: superseded or invalidated on this node; only the agent writes it */
    uint64_t hash;             /* mioc_item_hash(kind, path); checked on arrival */
    uint64_t local_applied_ms; /* CLOCK_MONOTONIC_COARSE when this node applied the item */
};

/* The part of struct statx that is the same on all nodes (statx(2)). dev is the root's
 * number: store.h translates it. */
struct mioc_stat {
    uint64_t ino, size, blocks, attributes, attributes_mask;
    uint64_t dev, rdev;                 /* as makedev(3) */
    int64_t atime, mtime, ctime, btime; /* seconds */
    uint32_t atime_ns, mtime_ns, ctime_ns, btime_ns;
    uint32_t mode, uid, gid, nlink, blksize;
    uint32_t mask; /* STATX_* bits of what the root's kernel filled in */
};

struct mioc_stat_record {
    struct mioc_item item;
    int32_t lstat_errno; /* 0, or the errno of lstat(path); then only stat_errno counts of what follows */
    int32_t stat_errno;  /* 0, or the errno of stat(path) */
    int32_t link_errno;  /* 0: the target is that of readlink(path); EINVAL: no symbolic link; else readlink's errno */
    uint32_t target_len; /* bytes of the link target, which follows the path's NUL and has a NUL of its own */
    struct mioc_stat lstat, stat; /* equal if the path is no symbolic link */
    char path[];
};

/* One directory entry. Entries are in readdir(3)'s order, aligned to 8 bytes, and include "." and "..". */
struct mioc_dirent {
    uint64_t ino;
    uint16_t size; /* bytes to the next entry */
    uint8_t type;  /* DT_* */
    uint8_t name_len;
    char name[]; /* NUL-terminated */
};

struct mioc_list_record {
    struct mioc_item item;
    int32_t list_errno; /* 0, or the errno of opendir(path) */
    uint32_t count;     /* of entries */
    uint32_t entries;   /* offset of the first struct mioc_dirent from the item's start */
    /* Offset of uint32_t table[table_size], a hash table with open addressing and linear probing. A name's first slot
     * is mioc_name_hash(name) & (table_size - 1). A slot holds an entry's offset; 0: empty. */
    uint32_t table;
    uint32_t table_size;   /* a power of two, at least 2 * count */
    uint32_t maps_names;   /* 1: the directory can have names that it does not list, see mioc_list_may_have(); else 0 */
    struct mioc_stat stat; /* of the directory, before it was read */
    char path[];
};

struct mioc_content_record {
    struct mioc_item item;
    int32_t open_errno;    /* 0, or the errno of open(path, O_RDONLY) */
    uint32_t content;      /* the content's number; only if there is no error and no UNCACHED */
    uint64_t size;         /* bytes */
    struct mioc_stat stat; /* fstat of what was read */
    char path[];
};

/* err[mode] is faccessat(path, mode)'s errno or 0, eerr[mode] the same with AT_EACCESS; mode is 0 (F_OK) to 7, sums of
 * X_OK (1), W_OK (2) and R_OK (4). */
struct mioc_access_record {
    struct mioc_item item;
    int32_t err[8], eerr[8];
    char path[];
};

struct mioc_realpath_record {
    struct mioc_item item;
    int32_t realpath_errno;
    uint32_t resolved_len; /* bytes of the resolved path, which follows the path's NUL and has a NUL of its own */
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
    uint64_t token; /* the asking node's count of invalidations: lifts the hold there */
    char path[];
};

#endif
