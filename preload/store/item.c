/* SPDX-License-Identifier: BSD-3-Clause */
/* item.c - builds, checks and reads the items of the publish stream. */
#include "item.h"
#include "base/hash.h"
#include "ring.h"
#include <errno.h>
#include <unistd.h>
#include <stddef.h>
#include <string.h>

#define ERRNO_MAX 4095
#define KNOWN_FLAGS \
    (MIOC_FLAG_UNCACHED | MIOC_FLAG_SUBTREE | MIOC_FLAG_STICKY | MIOC_FLAG_EARLY | MIOC_FLAG_EVICT | MIOC_FLAG_BY_LINK)
#define BRIEF_FLAGS (MIOC_FLAG_UNCACHED | MIOC_FLAG_BRIEF)
/* More than CLOCK_MONOTONIC_COARSE can be behind. */
#define TICK_MS 20u

uint64_t mioc_item_hash(unsigned kind, const char *path, uint32_t len)
{
    uint64_t hash = mioc_hash(path, len) ^ kind * 0x9e3779b97f4a7c15ull; /* 2^64 by the golden ratio */

    return hash != 0 ? hash : 1;
}

static char fold(char c) { return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c; }

uint32_t mioc_name_hash(const char *name, uint32_t len)
{
    char folded[256] = ""; /* for gcc, which cannot see that nothing is read if len is 0 */

    if (len > sizeof folded) /* no directory has such a name */
        return 0;
    for (uint32_t i = 0; i < len; i++)
        folded[i] = fold(name[i]);
    return (uint32_t)mioc_hash(folded, len);
}

const char *mioc_item_path(const struct mioc_item *item)
{
    uint32_t at = mioc_item_path_at(item->kind);

    return at ? (const char *)item + at : NULL;
}

/* --- Checking ---------------------------------------------------------------------------------------------------- */

static int is_errno(int32_t value) { return value >= 0 && value <= ERRNO_MAX; }

/* Whether a NUL-terminated text of exactly len bytes is at offset `at`. */
static int is_text(const struct mioc_item *item, uint64_t at, uint32_t len)
{
    const char *text = (const char *)item + at;

    return at + len + 1 <= item->size && text[len] == '\0' && memchr(text, '\0', len) == NULL;
}

static int is_stat_sound(const struct mioc_stat_record *r)
{
    int has_target = !(r->item.flags & MIOC_FLAG_UNCACHED) && r->lstat_errno == 0 && r->link_errno == 0;

    if (!is_errno(r->lstat_errno) || !is_errno(r->stat_errno) || !is_errno(r->link_errno))
        return 0;
    if (!has_target && r->target_len == 0)
        return 1;
    return is_text(&r->item, offsetof(struct mioc_stat_record, path) + r->item.path_len + 1u, r->target_len);
}

static int is_content_sound(const struct mioc_content_record *r)
{
    return is_errno(r->open_errno) && r->size <= INT64_MAX;
}

static int is_access_sound(const struct mioc_access_record *r)
{
    for (unsigned i = 0; i < 8; i++)
        if (!is_errno(r->err[i]) || !is_errno(r->eerr[i]))
            return 0;
    return 1;
}

static int is_realpath_sound(const struct mioc_realpath_record *r)
{
    uint64_t at = offsetof(struct mioc_realpath_record, path) + r->item.path_len + 1u;

    if (!is_errno(r->realpath_errno))
        return 0;
    if ((r->realpath_errno || (r->item.flags & MIOC_FLAG_UNCACHED)) && r->resolved_len == 0)
        return 1;
    return r->resolved_len > 0 && is_text(&r->item, at, r->resolved_len) && ((const char *)r)[at] == '/';
}

static int is_chunk_sound(const struct mioc_chunk_record *r)
{
    return r->item.size == sizeof(*r) && r->item.hash == 0 && r->length >= 1 && r->length <= MIOC_CHUNK_MAX &&
           r->total <= INT64_MAX && r->offset <= r->total && r->length <= r->total - r->offset;
}

/* With EVICT, token is a content's number, from 1 on, and pages its size. Without, pages is 0. */
static int is_invalidate_sound(const struct mioc_invalidate_record *r)
{
    if (!(r->item.flags & MIOC_FLAG_EVICT))
        return r->pages == 0;
    return r->token >= 1 && r->token <= UINT32_MAX && !(r->item.flags & (MIOC_FLAG_SUBTREE | MIOC_FLAG_STICKY));
}

/* One bit for each place where an entry can begin. */
struct starts {
    uint64_t bit[MIOC_ITEM_MAX / 8u / 64u];
};

static int is_start(const struct starts *starts, uint32_t at)
{
    return at % 8 == 0 && at < MIOC_ITEM_MAX && (starts->bit[at / 512u] >> (at / 8u % 64u) & 1u);
}

/* Walks the chain of entries, and notes where they begin. Returns the offset behind the last entry, or 0: the chain is
 * broken. */
static uint64_t walk_entries(const struct mioc_list_record *list, struct starts *starts)
{
    uint64_t at = list->entries;

    if (at % 8 != 0 || at < offsetof(struct mioc_list_record, path) + list->item.path_len + 1u)
        return 0;
    for (uint32_t i = 0; i < list->count; i++) {
        const struct mioc_dirent *entry = (const void *)((const char *)list + at);

        if (at + offsetof(struct mioc_dirent, name) + 2 > list->item.size)
            return 0;
        if (entry->size % 8 != 0 || entry->size < offsetof(struct mioc_dirent, name) + entry->name_len + 1u ||
            at + entry->size > list->item.size || entry->name_len == 0 ||
            !is_text(&list->item, at + offsetof(struct mioc_dirent, name), entry->name_len) ||
            memchr(entry->name, '/', entry->name_len))
            return 0;
        starts->bit[at / 512u] |= 1ull << (at / 8u % 64u);
        at += entry->size;
    }
    return at;
}

static int is_table_sound(const struct mioc_list_record *list, const struct starts *starts)
{
    const uint32_t *table = (const void *)((const char *)list + list->table);
    uint32_t used = 0;
    uint64_t at = list->entries;

    for (uint32_t i = 0; i < list->table_size; i++) {
        if (table[i] != 0 && !is_start(starts, table[i]))
            return 0;
        used += table[i] != 0;
    }
    if (used > list->count)
        return 0;
    /* An entry that the table does not lead to would be answered with ENOENT. */
    for (uint32_t i = 0; i < list->count; i++) {
        const struct mioc_dirent *entry = (const void *)((const char *)list + at);

        if (mioc_list_find(list, entry->name, entry->name_len) == NULL)
            return 0;
        at += entry->size;
    }
    return 1;
}

static int is_list_sound(const struct mioc_list_record *list)
{
    struct starts starts = { { 0 } };
    uint64_t end, table_end = (uint64_t)list->table + 4ull * list->table_size;

    if (!is_errno(list->list_errno) || list->maps_names > 1)
        return 0;
    if (list->table_size == 0)
        return list->count == 0 && (list->list_errno || (list->item.flags & MIOC_FLAG_UNCACHED));
    if ((list->table_size & (list->table_size - 1)) != 0 || list->count > list->table_size / 2 ||
        list->table % 4 != 0 || table_end > list->item.size ||
        list->table < offsetof(struct mioc_list_record, path) + list->item.path_len + 1u)
        return 0;
    end = walk_entries(list, &starts);
    if (end == 0 || (end > list->table && list->entries < table_end))
        return 0;
    return is_table_sound(list, &starts);
}

static int is_payload_sound(const struct mioc_item *item)
{
    const void *record = item;

    switch (item->kind) {
    case MIOC_ITEM_STAT: return is_stat_sound(record);
    case MIOC_ITEM_LIST: return is_list_sound(record);
    case MIOC_ITEM_CONTENT: return is_content_sound(record);
    case MIOC_ITEM_ACCESS: return is_access_sound(record);
    case MIOC_ITEM_REALPATH: return is_realpath_sound(record);
    case MIOC_ITEM_CHUNK: return is_chunk_sound(record);
    case MIOC_ITEM_INVALIDATE: return is_invalidate_sound(record);
    default: return 1;
    }
}

static int is_path_sound(const struct mioc_item *item)
{
    uint32_t at = mioc_item_path_at(item->kind);
    const char *path = (const char *)item + at;

    if (at == 0)
        return item->path_len == 0 && item->size >= sizeof(struct mioc_chunk_record);
    return at <= item->size && item->path_len > 0 && item->path_len < MIOC_PATH_MAX &&
           is_text(item, at, item->path_len) && path[0] == '/' &&
           item->hash == mioc_item_hash(item->kind, path, item->path_len);
}

static int are_flags_sound(uint32_t flags)
{
    return (flags & MIOC_FLAG_BRIEF) ? (flags & ((1u << MIOC_BRIEF_SHIFT) - 1)) == BRIEF_FLAGS
                                     : (flags & ~KNOWN_FLAGS) == 0;
}

int mioc_item_check(const void *bytes, uint32_t available)
{
    const struct mioc_item *item = bytes;

    if ((uintptr_t)bytes % MIOC_ITEM_ALIGN == 0 && available >= sizeof(*item) && item->size <= available &&
        item->size >= sizeof(*item) && item->size <= MIOC_ITEM_MAX && item->size % MIOC_ITEM_ALIGN == 0 &&
        item->kind > 0 && item->kind < MIOC_ITEM_KINDS && are_flags_sound(item->flags) && is_path_sound(item) &&
        is_payload_sound(item))
        return 0;
    errno = EPROTO;
    return -1;
}

/* --- Use and building -------------------------------------------------------------------------------------------- */

const struct mioc_dirent *mioc_list_entry(const struct mioc_list_record *list, uint32_t at)
{
    const uint64_t fixed = offsetof(struct mioc_dirent, name);
    const struct mioc_dirent *entry = (const void *)((const char *)list + at);

    if (at % 8 != 0 || at + fixed >= list->item.size || entry->size % 8 != 0 ||
        entry->size <= fixed + entry->name_len || at + (uint64_t)entry->size > list->item.size ||
        entry->name[entry->name_len] != '\0')
        return NULL;
    return entry;
}

const struct mioc_dirent *mioc_list_find(const struct mioc_list_record *list, const char *name, uint32_t len)
{
    const uint32_t *table = (const void *)((const char *)list + list->table);
    uint32_t at = mioc_name_hash(name, len);

    for (uint32_t probes = 0; probes < list->table_size; probes++, at++) {
        uint32_t offset = table[at & (list->table_size - 1)];
        const struct mioc_dirent *entry;

        if (offset == 0)
            return NULL;
        entry = mioc_list_entry(list, offset);
        if (entry != NULL && entry->name_len == len && memcmp(entry->name, name, len) == 0)
            return entry;
    }
    return NULL;
}

int mioc_name_is_ascii(const char *name, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++)
        if ((unsigned char)name[i] >= 0x80)
            return 0;
    return 1;
}

/* Some filesystems have names such as "PROGRA~1", "file:stream", "name." and "name " for what they list under another
 * name. */
static int is_plain_name(const char *name, uint32_t len)
{
    return len > 0 && name[len - 1] != '.' && name[len - 1] != ' ' && memchr(name, '~', len) == NULL &&
           memchr(name, ':', len) == NULL && mioc_name_is_ascii(name, len);
}

static int is_equal_folded(const char *a, const char *b, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++)
        if (fold(a[i]) != fold(b[i]))
            return 0;
    return 1;
}

int mioc_list_may_have(const struct mioc_list_record *list, const char *name, uint32_t len)
{
    const uint32_t *table = (const void *)((const char *)list + list->table);
    uint32_t at = mioc_name_hash(name, len);

    if (list->maps_names || !is_plain_name(name, len))
        return 1;
    for (uint32_t probes = 0; probes < list->table_size; probes++, at++) {
        uint32_t offset = table[at & (list->table_size - 1)];
        const struct mioc_dirent *entry;

        if (offset == 0)
            return 0;
        entry = mioc_list_entry(list, offset);
        if (entry != NULL && entry->name_len == len && is_equal_folded(entry->name, name, len))
            return 1;
    }
    return 0;
}

char *mioc_item_begin(void *buf, unsigned kind, uint32_t flags, const char *path, uint32_t len)
{
    struct mioc_item *item = buf;
    uint32_t at = mioc_item_path_at(kind);
    char *place = (char *)buf + at;

    if (at == 0) { /* a CHUNK */
        memset(buf, 0, sizeof(struct mioc_chunk_record));
        item->kind = (uint16_t)kind;
        item->flags = flags;
        return (char *)buf + sizeof(struct mioc_chunk_record);
    }
    memset(buf, 0, at);
    memcpy(place, path, len);
    place[len] = '\0';
    item->kind = (uint16_t)kind;
    item->flags = flags;
    item->path_len = (uint16_t)len;
    item->hash = mioc_item_hash(kind, path, len);
    return place + len + 1;
}

uint32_t mioc_item_finish(void *buf, const void *end)
{
    struct mioc_item *item = buf;
    uint32_t used = (uint32_t)((const char *)end - (const char *)buf);
    uint32_t size = (used + MIOC_ITEM_ALIGN - 1) & ~(MIOC_ITEM_ALIGN - 1);

    memset((char *)buf + used, 0, size - used);
    item->size = size;
    return size;
}

uint32_t mioc_item_brief(uint64_t ns)
{
    uint64_t ms = ns / 1000000 + 1 + TICK_MS;

    return BRIEF_FLAGS | (uint32_t)(ms < MIOC_BRIEF_MOST_MS ? ms : MIOC_BRIEF_MOST_MS) << MIOC_BRIEF_SHIFT;
}

int mioc_item_says_there(const struct mioc_item *item)
{
    const struct mioc_stat_record *st = (const void *)item;

    switch (item->kind) {
    case MIOC_ITEM_STAT: return st->lstat_errno == 0 && st->stat_errno == 0;
    case MIOC_ITEM_LIST: return ((const struct mioc_list_record *)(const void *)item)->list_errno == 0;
    case MIOC_ITEM_CONTENT: return ((const struct mioc_content_record *)(const void *)item)->open_errno == 0;
    case MIOC_ITEM_ACCESS: return ((const struct mioc_access_record *)(const void *)item)->err[F_OK] == 0;
    case MIOC_ITEM_REALPATH: return ((const struct mioc_realpath_record *)(const void *)item)->realpath_errno == 0;
    default: return 0;
    }
}

int mioc_item_says_absent(const struct mioc_item *item)
{
    const struct mioc_stat_record *st = (const void *)item;

    switch (item->kind) {
    case MIOC_ITEM_STAT: return st->lstat_errno == ENOENT || (st->lstat_errno == 0 && st->stat_errno == ENOENT);
    case MIOC_ITEM_LIST: return ((const struct mioc_list_record *)(const void *)item)->list_errno == ENOENT;
    case MIOC_ITEM_CONTENT: return ((const struct mioc_content_record *)(const void *)item)->open_errno == ENOENT;
    case MIOC_ITEM_ACCESS: return ((const struct mioc_access_record *)(const void *)item)->err[F_OK] == ENOENT;
    case MIOC_ITEM_REALPATH: return ((const struct mioc_realpath_record *)(const void *)item)->realpath_errno == ENOENT;
    default: return 0;
    }
}
