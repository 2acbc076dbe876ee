/* SPDX-License-Identifier: BSD-3-Clause */
/* store.h - the node's store: an append-only index in shared memory with one writer, and contents as files.
 *
 * One directory per job and node, MPIIO_CACHE_DIR/mpiio_cache-UID-KEY-RANDOM, mode 0700, holding
 *     owner   the agent's POSIX write lock (fcntl F_SETLK, released by the kernel when the agent's process ends, not
 *             inherited by fork): who cannot be locked out is alive
 *     index   struct mioc_index, hash table, arena: mapped read-write by the agent, read-only by everyone else
 *     ring    requests and statistics (ring.h): mapped read-write by everyone
 *     c/N     content N: mode 0400 once complete, mtime = {arena offset of its CONTENT record / 8, tag}, so that
 *             fstat of a descriptor finds the record again without any table
 *     m/PATH  hard links of the contents that are shared objects, by the original absolute path: what
 *             /proc/PID/maps, and so profilers and debuggers, show of one ends in its own name (a spelling with
 *             "..": m/=N/PATH, PATH without them). No promise: who opens by it checks what it got
 *
 * Writer: one agent thread. Readers: any thread of any process, lock-free, at any time, also in signal handlers. A
 * record is written, then made reachable by a release store in the table; readers load with acquire and verify key and
 * hash. Nothing is ever moved or freed while the job lives, so pointers into the arena stay valid for the life of the
 * mapping. Arena and contents are reserved with posix_fallocate before they are written, so a full tmpfs is ENOSPC
 * to the agent and never SIGBUS to anyone. */
#ifndef MIOC_STORE_H
#define MIOC_STORE_H

#include "base/config.h"
#include "item.h"
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/stat.h>

struct mioc_ring;

#define MIOC_STORE_PREFIX "mpiio_cache-"
#define MIOC_STORE_MAGIC 0x4d494f4331303031ull

/* What the agent says of itself, mioc_store_state(). */
enum mioc_store_state {
    MIOC_STORE_STARTING = 0,
    MIOC_STORE_ACTIVE,
    MIOC_STORE_FULL, /* the agent could append no more, not even a write's INVALIDATE: nothing is served */
    MIOC_STORE_LEFT  /* agent gone, nobody hears of writes any more: nothing is served */
};

/* The root's and this node's device number of a cached prefix (policy.h), so that st_dev is this node's own. */
struct mioc_device_pair {
    uint64_t root, local;
};

struct mioc_store; /* a process's view of a store; every function takes NULL-free pointers */

struct mioc_store_limits {
    uint64_t max_bytes; /* of contents and arena together */
    uint64_t max_arena; /* bytes reserved as address space; default 256 MiB */
};

/* --- Agent's side: one thread ------------------------------------------------------------------------------------ */

/* Creates directory, files and lock below `dir` for `key` (who may find it: role.h) and maps them read-write. Removes,
 * in passing, directories of this user there whose owner is dead (mioc_store_reclaim). On failure nothing is left
 * behind; returns NULL with errno (EACCES/EROFS/ENOENT/ENOSPC …; EINVAL: dir is not absolute; EPERM: it, or a directory
 * above it, belongs to another user than this one and root, or group or all may write to it and it has no sticky bit;
 * EOPNOTSUPP: its filesystem rounds mtimes). Descriptors kept open: the lock (and nothing else). A limit of 0: none
 * (max_bytes), the default (max_arena); RLIMIT_FSIZE lowers max_arena. */
struct mioc_store *mioc_store_create(const char *dir, uint64_t key, const struct mioc_store_limits *limits);

/* Removes the dead stores of this user below dir; directories of others, live ones and foreign names are left alone.
 * Follows no symbolic link. Returns how many it removed. */
int mioc_store_reclaim(const char *dir);

/* Appends one checked item at the arena's end and makes it take effect (record reachable, older one of its key
 * dead; INVALIDATE: records of the path, its parent's STAT and LIST, and with SUBTREE all below, are dead, and a hold
 * with this node's token is lifted; CHUNK: only its place in the stream, the bytes are mioc_store_write_chunk's). A
 * record whose key is on hold, or has a STICKY record, is appended but not made reachable; an UNCACHED|STICKY record
 * itself is, hold or not, and no INVALIDATE ends it. A CONTENT whose bytes did not all arrive is not made reachable
 * either. Keys are compared as spelled by lookup, but holds and invalidations reach every spelling of a path that has
 * the same lexical normal form ("..", trailing slash), or leaves the path by "..". Returns the item's offset, or -1
 * (ENOSPC: state becomes FULL, and every later append fails too, as it would not be in its place; an INVALIDATE takes
 * effect all the same). */
int64_t mioc_store_append(struct mioc_store *s, const struct mioc_item *item);

/* Content files. write_chunk creates (reserving `total`), fills, from the beginning on and without gaps (else EPROTO);
 * 0 or -1 (ENOSPC …): then this content fails, later chunks of it too, the store's state stays. An empty content has no
 * chunk and is made by mioc_store_append of its CONTENT record. read_chunk copies bytes of an earlier chunk out again,
 * for forwarding. */
int mioc_store_write_chunk(struct mioc_store *s, const struct mioc_chunk_record *chunk, const void *bytes);
int mioc_store_read_chunk(struct mioc_store *s, const struct mioc_chunk_record *chunk, void *bytes);
/* Whether a content of that size still fits the limits. */
int mioc_store_has_room(const struct mioc_store *s, uint64_t bytes);

/* Local invalidation with hold: records of `path` (all kinds), of its parent's listing and stat, and with `subtree` of
 * all below, are dead at once; until the log brings an INVALIDATE with this node's `token`, arriving records of these
 * keys stay unreachable (they may have been read before the write). */
int mioc_store_hold(struct mioc_store *s, const char *path, uint32_t len, int subtree, uint64_t token);

/* Which node's tokens lift holds here. */
void mioc_store_set_node(struct mioc_store *s, uint32_t node);
void mioc_store_set_state(struct mioc_store *s, enum mioc_store_state state);
void mioc_store_set_devices(struct mioc_store *s, const struct mioc_device_pair *pairs, unsigned n);

/* The descriptor that carries the lock, for the process to protect: closing it, or any other descriptor of `owner`, in
 * the agent's process ends the lock. -1 in every other process's view. */
int mioc_store_lock_fd(const struct mioc_store *s);

/* Gives the memory of all contents back that nobody has open or mapped: their names are gone for good. Set another
 * state than ACTIVE before. */
void mioc_store_give_back(struct mioc_store *s);
/* The thread that opens its files (io_thread.h), which has time for others' work; NULL where the store is not this
 * process's. */
struct mioc_io_thread;
struct mioc_io_thread *mioc_store_io_thread(const struct mioc_store *s);
/* Unlinks everything. Mappings and open contents of others stay valid. Keeps this process's mapping. */
void mioc_store_remove(struct mioc_store *s);

/* --- Everyone ---------------------------------------------------------------------------------------------------- */

/* Maps an existing store read-only (ring read-write) after checking owner, mode, magic and sizes; no descriptor stays
 * open. NULL with errno. */
struct mioc_store *mioc_store_attach(const char *store_dir);
/* Forgets a view, and as the agent releases the lock: for a start that failed, and tests. No thread may use it any
 * more. */
void mioc_store_detach(struct mioc_store *s);
/* The live store of this user for `key` below dir: writes its path, 0 or -1 (ENOENT; EAGAIN: one is just being made;
 * EMFILE, ENFILE: it cannot be told). */
int mioc_store_find(const char *dir, uint64_t key, char *path, size_t size);

/* The live record of that key, or NULL. `hash` is mioc_item_hash(kind, path, len). Lock-free, no system call. */
const struct mioc_item *mioc_store_lookup(const struct mioc_store *s, unsigned kind, const char *path, uint32_t len,
                                          uint64_t hash);
/* The item at a stream offset below mioc_store_end(), NULL at the end. Used to forward and to map fstat back. */
const struct mioc_item *mioc_store_item_at(const struct mioc_store *s, uint64_t offset);
uint64_t mioc_store_end(const struct mioc_store *s);

/* Opens the copy of a content read-only: open_flags is 0, O_CLOEXEC or O_NONBLOCK. A descriptor, or -1 with errno
 * (then the caller makes the real call). */
int mioc_store_open_content(const struct mioc_store *s, const struct mioc_content_record *record, int open_flags);
/* The same for an object that is to be mapped: opened by its name in m/ if that leads to exactly this record's copy,
 * otherwise as above. Raw system calls only, no lock, no allocation: for the handler of the loader's system calls too.
 * errno is kept on success. open_flags may have O_NOFOLLOW, too. `room` is 4096 bytes to work in, for threads with
 * small stacks; NULL: there is none. */
int mioc_store_open_object(const struct mioc_store *s, const struct mioc_content_record *record, int open_flags,
                           char *room);
/* If st (from a real fstat) is that of one of our copies: its record, otherwise NULL. No system call. */
const struct mioc_content_record *mioc_store_record_of(const struct mioc_store *s, const struct stat *st);

/* struct stat of a record, with the device number translated to this node's. */
void mioc_store_fill_stat(const struct mioc_store *s, const struct mioc_stat *from, struct stat *to);
uint64_t mioc_store_local_dev(const struct mioc_store *s, uint64_t root_dev);
/* Whether what the root sees on root_dev may be what this node sees on dev: yes, too, where the root's number is not
 * known (a mount below a prefix). */
int mioc_store_may_be_dev(const struct mioc_store *s, uint64_t root_dev, uint64_t dev);

enum mioc_store_state mioc_store_get_state(const struct mioc_store *s);
/* Sleeps until the agent's start is over, its process is gone, or CLOCK_MONOTONIC has come to `until` (ns); the state
 * then. Never in the agent's process. */
enum mioc_store_state mioc_store_await(const struct mioc_store *s, uint64_t until);
/* What paths meant to the process that made it (credentials.h). */
uint64_t mioc_store_credentials(const struct mioc_store *s);
const char *mioc_store_path(const struct mioc_store *s);
/* st_dev of all copies. */
uint64_t mioc_store_dev(const struct mioc_store *s);
struct mioc_ring *mioc_store_ring(const struct mioc_store *s);
/* Bytes of arena and contents in use; items published. */
void mioc_store_usage(const struct mioc_store *s, uint64_t *arena_bytes, uint64_t *content_bytes, uint64_t *contents);
/* Whether the agent's process still holds its lock (opens and closes `owner`; never call it in the agent's process). */
int mioc_store_is_owner_alive(const struct mioc_store *s);

#endif
