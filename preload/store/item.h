/* SPDX-License-Identifier: BSD-3-Clause */
/* item.h - builds, checks and reads the items of the publish stream (item_layout.h).
 *
 * All functions are async-signal-safe and may be called by any thread. Those that take an item expect a bounded one,
 * unless they say otherwise. */
#ifndef MIOC_ITEM_H
#define MIOC_ITEM_H

#include "item_layout.h"
#include <stddef.h>
#include <stdint.h>

/* --- Keys -------------------------------------------------------------------------------------------------------- */

/* Whether a question can ask for an item of that kind: STAT to REALPATH. */
static inline int mioc_item_is_record(unsigned kind) { return kind >= MIOC_ITEM_STAT && kind <= MIOC_ITEM_REALPATH; }
/* Returns mioc_hash() of the path, mixed with the kind. Never 0. */
uint64_t mioc_item_hash(unsigned kind, const char *path, uint32_t len);
/* Returns the offset of the path from the item's start; 0 if the kind has no path. */
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
/* Returns the path of a valid item, or NULL if the kind has no path. */
const char *mioc_item_path(const struct mioc_item *item);

/* --- Checks ------------------------------------------------------------------------------------------------------ */

/* Checks that bytes[0..available) start with a whole, well-formed item: sizes, offsets, NULs, kind, hash, every entry
 * and table slot of a listing. Whatever came from another process is checked here before it is used. Returns 0, or -1
 * with EPROTO. */
int mioc_item_check(const void *bytes, uint32_t available);

/* Whether what the item says about its own sizes stays inside of the item, whose `size` must be right. Each reader asks
 * this again for an item that was checked on arrival: it lies in memory that a stray write of the agent's program can
 * reach. */
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

/* Whether a BRIEF record has outlived its time. now_ms: CLOCK_MONOTONIC_COARSE. */
static inline int mioc_item_is_over(const struct mioc_item *item, uint64_t now_ms)
{
    return (item->flags & MIOC_FLAG_BRIEF) && now_ms >= item->local_applied_ms + (item->flags >> MIOC_BRIEF_SHIFT);
}

/* Whether a record says that its path is there; both for the path itself and for what a symbolic link leads to. */
int mioc_item_says_there(const struct mioc_item *item);
/* Whether a record says ENOENT, for the path or for what a symbolic link leads to. */
int mioc_item_says_absent(const struct mioc_item *item);

/* --- Listings ---------------------------------------------------------------------------------------------------- */

/* Returns the hash of a name with ASCII letters in lower case: names that differ only in ASCII case have one hash. */
uint32_t mioc_name_hash(const char *name, uint32_t len);
int mioc_name_is_ascii(const char *name, uint32_t len);
/* Returns the entry with exactly that name, or NULL. */
const struct mioc_dirent *mioc_list_find(const struct mioc_list_record *list, const char *name, uint32_t len);
/* Returns the entry at that offset, or NULL if no entry can be there. */
const struct mioc_dirent *mioc_list_entry(const struct mioc_list_record *list, uint32_t at);
/* Whether a lookup of the name could find something in that directory; 0 proves that it cannot. README.md says which
 * names a listing proves absent. */
int mioc_list_may_have(const struct mioc_list_record *list, const char *name, uint32_t len);

/* --- Building ---------------------------------------------------------------------------------------------------- */

/* Starts an item in buf (aligned to 8 bytes, at least MIOC_ITEM_MAX bytes): fills in header and path, and zeros the
 * fixed part. Returns the place behind the path's NUL; for a CHUNK, behind the item. */
char *mioc_item_begin(void *buf, unsigned kind, uint32_t flags, const char *path, uint32_t len);
/* Pads the item, which ends at `end`, with zeros, and sets its size. Returns the size. */
uint32_t mioc_item_finish(void *buf, const void *end);
/* Returns the flags of a BRIEF record that counts for `ns` and one tick of the coarse clock. */
uint32_t mioc_item_brief(uint64_t ns);

#endif
