/* SPDX-License-Identifier: BSD-3-Clause */
/* store.h - a node's store: an append-only index in shared memory with one writer, and contents as files (README.md).
 *
 * The agent, one thread, writes. Everybody else reads: any thread of any process, lock-free, at any time, also in
 * signal handlers. No function takes NULL unless it says so. */
#ifndef MIOC_STORE_H
#define MIOC_STORE_H

#include "base/config.h"
#include "item.h"
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/stat.h>

struct mioc_ring;
struct mioc_io_thread;

#define MIOC_STORE_PREFIX "mpiio_cache-"
/* Behind PREFIX, user and key: the file of launch/agent_start.c. A reclaim removes old ones. */
#define MIOC_STORE_TURN "-turn"
#define MIOC_STORE_MAGIC 0x4d494f4331303031ull

/* What the agent says about itself. States only go forward. */
enum mioc_store_state {
    MIOC_STORE_STARTING = 0, /* nothing is served yet; mioc_store_await() waits */
    MIOC_STORE_APART,        /* the way to the root is not there, and nobody waits for it; nothing is served */
    MIOC_STORE_ACTIVE,
    MIOC_STORE_FULL, /* the agent can append no more, not even a write's INVALIDATE: nothing is served */
    MIOC_STORE_LEFT  /* the agent is gone, so nobody hears of writes: nothing is served */
};

/* The root's and this node's device number of a cached prefix, so that st_dev is this node's own. */
struct mioc_device_pair {
    uint64_t root, local;
};

struct mioc_store; /* a process's handle of a store */

struct mioc_store_limits {
    uint64_t max_bytes; /* of contents and arena together; 0: no limit */
    uint64_t max_arena; /* bytes of address space; 0: 256 MiB. RLIMIT_FSIZE lowers it */
};

/* --- Agent's side: one thread ------------------------------------------------------------------------------------ */

/* Makes a store below `dir` for `key` (launch/role.h: who may find it), takes its lock, and maps it read-write. First
 * it removes dead stores as mioc_store_reclaim() does. The only descriptor that stays open is the lock's. Returns NULL
 * with errno, and then leaves nothing behind (EACCES, EROFS, ENOENT, ENOSPC, …; EINVAL: dir is not absolute; EPERM:
 * somebody other than this user and root could replace what is in dir; EOPNOTSUPP: its filesystem rounds mtimes). */
struct mioc_store *mioc_store_create(const char *dir, uint64_t key, const struct mioc_store_limits *limits);
/* The same in two steps, as the second takes long: until mioc_store_make_table() others may attach and find nothing,
 * and nothing may be appended. 0, or -1 with errno. */
struct mioc_store *mioc_store_begin(const char *dir, uint64_t key, const struct mioc_store_limits *limits);
int mioc_store_make_table(struct mioc_store *s);
/* Another limit for contents and arena together. */
void mioc_store_set_max_bytes(struct mioc_store *s, uint64_t max_bytes);
/* Removes this user's dead stores below dir. Leaves alone what belongs to others, lives, or has another name. Follows
 * no symbolic link. Returns how many stores it removed. */
int mioc_store_reclaim(const char *dir);

/* Appends one checked item and makes it take effect: a record becomes reachable and supersedes an older one, unless a
 * hold, a STICKY record or missing bytes forbid it; an INVALIDATE marks records dead, and lifts the hold that has this
 * node's token; a CHUNK only takes its place in the stream. Returns the item's offset; or -1 with ENOSPC: the state is
 * FULL from now on, and every later append fails. An INVALIDATE takes effect even then. */
int64_t mioc_store_append(struct mioc_store *s, const struct mioc_item *item);

/* Writes the bytes of a chunk to the content's file; the first chunk makes the file and reserves all of it. Chunks come
 * in order and without gaps. Returns 0; or -1 with errno (EPROTO: a gap; ENOSPC, …): this content has failed, and so do
 * its later chunks; the state stays. An empty content has no chunk: mioc_store_append() makes its file. */
int mioc_store_write_chunk(struct mioc_store *s, const struct mioc_chunk_record *chunk, const void *bytes);
/* Reads the bytes of an earlier chunk, to forward them. Returns 0, or -1 with errno. */
int mioc_store_read_chunk(struct mioc_store *s, const struct mioc_chunk_record *chunk, void *bytes);
/* Whether a content of that size fits the limits. */
int mioc_store_has_room(const struct mioc_store *s, uint64_t bytes);

/* Marks records dead that a write on this node concerns: those of `path`, its parent's LIST and STAT, and with
 * `subtree` all below. Puts these keys on hold until the stream brings an INVALIDATE with this node's `token`. Returns
 * 0; or -1 with errno (ENOMEM: all keys are on hold from now on). */
int mioc_store_hold(struct mioc_store *s, const char *path, uint32_t len, int subtree, uint64_t token);
/* Says which node this is, whose tokens lift holds. */
void mioc_store_set_node(struct mioc_store *s, uint32_t node);
/* Goes forward to a state, and wakes mioc_store_await(). Any thread of the agent's process. */
void mioc_store_set_state(struct mioc_store *s, enum mioc_store_state state);
void mioc_store_set_devices(struct mioc_store *s, const struct mioc_device_pair *pairs, unsigned n);

/* Returns the lock's descriptor, or -1 in other processes. Closing it, or any other descriptor of `owner`, in the
 * agent's process releases the lock. */
int mioc_store_lock_fd(const struct mioc_store *s);
/* Returns the thread that opens the store's files (base/io_thread.h), which may do others' work too; NULL in other
 * processes. */
struct mioc_io_thread *mioc_store_io_thread(const struct mioc_store *s);
/* Unlinks all contents; the memory of those that nobody has open or mapped is free. Set another state than ACTIVE
 * before. */
void mioc_store_give_back(struct mioc_store *s);
/* Unlinks everything. Mappings and open contents stay valid, in this process too. */
void mioc_store_remove(struct mioc_store *s);

/* --- Everyone ---------------------------------------------------------------------------------------------------- */

/* Maps an existing store read-only (the ring read-write), after checks of owner, mode, magic and sizes. No descriptor
 * stays open. Returns NULL with errno; EXDEV: its agent is in another PID namespace, and cannot be asked. */
struct mioc_store *mioc_store_attach(const char *store_dir);
/* Taints a store that cannot be attached, because its agent does not hear of a write: nobody is served from it any
 * more. */
void mioc_store_distrust(const char *store_dir);
/* Unmaps and frees the handle; in the agent's process it also releases the lock. No thread may use
 * the handle any more. */
void mioc_store_detach(struct mioc_store *s);
/* Writes the path of this user's live store for `key` below dir. Returns 0, or -1 with errno (ENOENT; EAGAIN: one is
 * being made; EMFILE, ENFILE: no descriptor is left to tell). */
int mioc_store_find(const char *dir, uint64_t key, char *path, size_t size);

/* Returns the live record of a key, or NULL. `hash` is mioc_item_hash(kind, path, len). No system call. */
const struct mioc_item *mioc_store_lookup(const struct mioc_store *s, unsigned kind, const char *path, uint32_t len,
                                          uint64_t hash);
/* Returns the item at a stream offset, or NULL: no item can be there, or it is at or behind mioc_store_end(). */
const struct mioc_item *mioc_store_item_at(const struct mioc_store *s, uint64_t offset);
uint64_t mioc_store_end(const struct mioc_store *s);

/* Opens the copy of a content read-only; open_flags is 0, O_CLOEXEC or O_NONBLOCK. Returns a descriptor, or -1 with
 * errno: the caller makes the real call. */
int mioc_store_open_content(const struct mioc_store *s, const struct mioc_content_record *record, int open_flags);
/* The same for a shared object that is to be mapped: by its name in m/ if that leads to exactly this copy. open_flags
 * may also have O_NOFOLLOW. `room` is 4096 bytes of memory for callers with a small stack, or NULL. Raw system calls,
 * no lock, no allocation: the loader's stubs use it. Keeps errno on success. */
int mioc_store_open_object(const struct mioc_store *s, const struct mioc_content_record *record, int open_flags,
                           char *room);
/* Returns the record whose copy has the status `st` (from a real fstat), or NULL: st is none of our copies'. No system
 * call. */
const struct mioc_content_record *mioc_store_record_of(const struct mioc_store *s, const struct stat *st);

/* Fills in a struct stat, with this node's device number. */
void mioc_store_fill_stat(const struct mioc_store *s, const struct mioc_stat *from, struct stat *to);
/* Returns this node's number for the root's device, or root_dev if no pair has it. */
uint64_t mioc_store_local_dev(const struct mioc_store *s, uint64_t root_dev);
/* Whether root_dev on the root can be `dev` on this node; also 1 if no pair has root_dev (a mount below a prefix). */
int mioc_store_may_be_dev(const struct mioc_store *s, uint64_t root_dev, uint64_t dev);

enum mioc_store_state mioc_store_get_state(const struct mioc_store *s);
/* Sleeps while the state is STARTING, until the agent's process is gone, or CLOCK_MONOTONIC is at `until` (ns). Returns
 * the state. Never in the agent's process. */
enum mioc_store_state mioc_store_await(const struct mioc_store *s, uint64_t until);
/* Whether the agent's process holds its lock, or may hold it for all that can be told. Opens and closes `owner`: never
 * call it in the agent's process. Keeps errno. */
int mioc_store_is_owner_alive(const struct mioc_store *s);
/* Returns the credentials of the process that made the store (base/credentials.h). */
uint64_t mioc_store_credentials(const struct mioc_store *s);
const char *mioc_store_path(const struct mioc_store *s);
/* Returns st_dev of all copies. */
uint64_t mioc_store_dev(const struct mioc_store *s);
struct mioc_ring *mioc_store_ring(const struct mioc_store *s);
/* Stores the bytes of arena and contents in use, and the number of contents. */
void mioc_store_usage(const struct mioc_store *s, uint64_t *arena_bytes, uint64_t *content_bytes, uint64_t *contents);

#endif
