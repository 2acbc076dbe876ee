/* SPDX-License-Identifier: BSD-3-Clause */
/* fuzz_items.h - items of the publish stream out of fuzz input: well-formed ones, and the same with bytes turned. */
#ifndef MIOC_FUZZ_ITEMS_H
#define MIOC_FUZZ_ITEMS_H

#include "store/item.h"
#include "fuzz.h"

/* Few paths, related to one another, so that records meet. */
static const char *const fuzz_paths[] = { "/",           "/a",        "/a/b",   "/a/b.py",      "/a/b/",
                                          "/a/../a/b",   "/a/b/c.so", "/a/./b", "/a/b/../b.py", "/lib",
                                          "/lib/x.so.1", "/a/b/..",   "/..",    "/a/b/c/d/e" };
#define FUZZ_PATHS (sizeof fuzz_paths / sizeof fuzz_paths[0])

static inline const char *fuzz_path(struct fuzz_input *in, uint32_t *len)
{
    static char odd[5000];
    unsigned which = fuzz_byte(in);
    const uint8_t *bytes;
    size_t n;

    if (which < 240) {
        const char *path = fuzz_paths[which % FUZZ_PATHS];

        *len = (uint32_t)strlen(path);
        return path;
    }
    if (which < 248) { /* as long as can be */
        n = 4080 + which % 16;
        memset(odd, 'x', n);
        odd[0] = '/';
        for (size_t i = 200; i < n; i += 200)
            odd[i] = '/';
    } else {
        n = fuzz_bytes(in, fuzz_byte(in), &bytes);
        memcpy(odd, bytes, n);
    }
    odd[n] = '\0';
    *len = (uint32_t)n;
    return odd;
}

static inline char *fuzz_list(struct fuzz_input *in, struct mioc_list_record *list, char *end)
{
    static const char *const names[] = { ".", "..", "b", "b.py", "__init__.py", "c.so" };
    unsigned count = fuzz_byte(in) % 7;
    uint32_t size = 2, *table;
    char *at = (char *)list + ((size_t)(end - (char *)list + 7) & ~(size_t)7);

    memset(end, 0, (size_t)(at - end));
    list->entries = (uint32_t)(at - (char *)list);
    list->count = count;
    while (size < 2 * count)
        size *= 2;
    table = (uint32_t *)(void *)(at + count * 40u);
    memset(table, 0, size * 4u);
    for (unsigned i = 0; i < count; i++, at += 40) {
        struct mioc_dirent *entry = (void *)at;
        const char *name = names[i % 6];
        uint32_t slot = mioc_name_hash(name, (uint32_t)strlen(name));

        memset(entry, 0, 40);
        entry->ino = i;
        entry->size = 40;
        entry->name_len = (uint8_t)strlen(name);
        strcpy(entry->name, name);
        while (table[slot & (size - 1)] != 0)
            slot++;
        table[slot & (size - 1)] = (uint32_t)(at - (char *)list);
    }
    list->table = (uint32_t)((char *)table - (char *)list);
    list->table_size = size;
    return (char *)(table + size);
}

/* Composes an item, well-formed for sure only if its path is. Its size. */
static inline uint32_t fuzz_item(struct fuzz_input *in, void *buf, unsigned kind)
{
    uint32_t len = 0, flags = fuzz_byte(in);
    const char *path = kind == MIOC_ITEM_CHUNK ? "" : fuzz_path(in, &len);
    char *end = mioc_item_begin(buf, kind, flags < 128 ? 0 : flags & 7u, path, len);

    switch (kind) {
    case MIOC_ITEM_STAT: {
        struct mioc_stat_record *r = buf;
        const uint8_t *bytes;
        size_t n = fuzz_bytes(in, fuzz_byte(in) % 16, &bytes);

        r->link_errno = n ? 0 : 22;
        r->target_len = (uint32_t)n;
        r->lstat.size = r->stat.size = fuzz_odd_number(in, 4096);
        r->lstat.mode = 0100644;
        memcpy(end, bytes, n);
        end[n] = '\0';
        end += n ? n + 1 : 0;
        break;
    }
    case MIOC_ITEM_LIST: end = fuzz_list(in, buf, end); break;
    case MIOC_ITEM_CONTENT: {
        struct mioc_content_record *r = buf;

        r->content = fuzz_byte(in) % 4;
        r->size = fuzz_byte(in) < 200 ? fuzz_number(in, 2) : fuzz_odd_number(in, INT64_MAX);
        break;
    }
    case MIOC_ITEM_REALPATH: {
        struct mioc_realpath_record *r = buf;

        strcpy(end, "/a/b");
        r->resolved_len = 4;
        end += 5;
        break;
    }
    case MIOC_ITEM_CHUNK: {
        struct mioc_chunk_record *r = buf;
        int is_odd = fuzz_byte(in) >= 200;

        r->content = fuzz_byte(in) % 4;
        r->offset = is_odd ? fuzz_odd_number(in, MIOC_CHUNK_MAX) : fuzz_number(in, 2);
        r->length = is_odd ? (uint32_t)fuzz_odd_number(in, MIOC_CHUNK_MAX) : (uint32_t)fuzz_number(in, 2) + 1;
        r->total = is_odd ? fuzz_odd_number(in, INT64_MAX) : r->offset + r->length + fuzz_number(in, 1) % 4 * 100;
        break;
    }
    case MIOC_ITEM_INVALIDATE: {
        struct mioc_invalidate_record *r = buf;

        r->node = fuzz_byte(in) % 4;
        r->token = fuzz_byte(in) % 8;
        break;
    }
    default: break;
    }
    return mioc_item_finish(buf, end);
}

/* Turns a few bytes. Where the path is still in place the hash may be made right again, as whoever lies would. */
static inline void fuzz_mutate(struct fuzz_input *in, void *buf, uint32_t size)
{
    unsigned turns = fuzz_byte(in);

    turns = turns < 128 ? 0 : turns % 5;
    for (unsigned i = 0; i < turns; i++) {
        uint32_t at = (uint32_t)(fuzz_byte(in) < 160 ? fuzz_byte(in) : fuzz_number(in, 3)) % size;

        ((uint8_t *)buf)[at] = fuzz_byte(in);
    }
    if (turns > 0 && fuzz_byte(in) % 2) {
        struct mioc_item *item = buf;
        uint32_t at = mioc_item_path_at(item->kind);

        if (at > 0 && at + (uint64_t)item->path_len <= size)
            item->hash = mioc_item_hash(item->kind, (const char *)buf + at, item->path_len);
    }
}

#endif
