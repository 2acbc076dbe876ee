/* SPDX-License-Identifier: BSD-3-Clause */
/* manifest_text.c - the manifest's text: makes it from a store, checks and walks it. */
#include "manifest.h"
#include "base/path.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

static const char head[] = "mpiio_cache manifest 1\n";
static const char letters[MIOC_ITEM_KINDS] = { [MIOC_ITEM_STAT] = 'S',
                                               [MIOC_ITEM_LIST] = 'L',
                                               [MIOC_ITEM_CONTENT] = 'C',
                                               [MIOC_ITEM_ACCESS] = 'A',
                                               [MIOC_ITEM_REALPATH] = 'R' };

/* --- In ---------------------------------------------------------------------------------------------------------- */

static unsigned kind_of(char letter)
{
    for (unsigned kind = 1; kind < MIOC_ITEM_KINDS; kind++)
        if (letters[kind] != '\0' && letters[kind] == letter)
            return kind;
    return 0;
}

/* Whether the last line is "end COUNT". */
static int is_end(const char *line, size_t len, unsigned count)
{
    char expected[32];
    int n = snprintf(expected, sizeof expected, "end %u", count);

    return len == (size_t)n && memcmp(line, expected, len) == 0;
}

/* The order does not count: the root's threads finish in any order. */
static uint64_t add_to_sum(uint64_t sum, unsigned kind, const char *path, uint32_t len)
{
    return sum + mioc_item_hash(kind, path, len);
}

/* Walks all lines behind the head. 0, or -1: one is malformed, or the last one is missing. */
static int walk(struct mioc_manifest_text *text,
                void (*visit)(void *ctx, unsigned kind, const char *path, uint32_t len), void *ctx)
{
    const char *at = text->bytes + sizeof head - 1, *end = text->bytes + text->size;

    text->count = 0;
    text->sum = 1;
    for (const char *stop; at < end && (stop = memchr(at, '\n', (size_t)(end - at))) != NULL; at = stop + 1) {
        size_t len = (size_t)(stop - at);
        unsigned kind = len > 2 && at[1] == ' ' ? kind_of(at[0]) : 0;

        if (kind == 0)
            return is_end(at, len, text->count) && stop + 1 == end ? 0 : -1;
        if (len - 2 > UINT16_MAX || !mioc_path_is_sound(at + 2, (uint32_t)len - 2))
            return -1;
        if (visit != NULL)
            visit(ctx, kind, at + 2, (uint32_t)len - 2);
        text->count++;
        text->sum = add_to_sum(text->sum, kind, at + 2, (uint32_t)len - 2);
    }
    return -1;
}

int mioc_manifest_parse(struct mioc_manifest_text *text,
                        void (*visit)(void *ctx, unsigned kind, const char *path, uint32_t len), void *ctx)
{
    size_t head_len = sizeof head - 1;

    if (text->size < head_len || text->size > MIOC_MANIFEST_BYTES_MAX || memcmp(text->bytes, head, head_len) != 0 ||
        walk(text, NULL, NULL) != 0)
        return -1;
    return visit != NULL ? walk(text, visit, ctx) : 0;
}

/* --- Out --------------------------------------------------------------------------------------------------------- */

/* Appends. There is room: a line is shorter than its item in the store. */
static void put(struct mioc_manifest_text *text, const char *bytes, size_t size)
{
    memcpy(text->bytes + text->size, bytes, size);
    text->size += size;
}

static int is_live(const struct mioc_item *item)
{
    return mioc_item_is_record(item->kind) && !(item->flags & MIOC_FLAG_UNCACHED) &&
           __atomic_load_n(&item->local_dead, __ATOMIC_ACQUIRE) == 0;
}

/* Whether another question of the manifest brings the answer, too: a content brings its stat. */
static int is_implied(const struct mioc_store *store, const struct mioc_item *item)
{
    const char *path = mioc_item_path(item);
    const struct mioc_item *content;

    if (item->kind != MIOC_ITEM_STAT)
        return 0;
    content = mioc_store_lookup(store, MIOC_ITEM_CONTENT, path, item->path_len,
                                mioc_item_hash(MIOC_ITEM_CONTENT, path, item->path_len));
    return content != NULL && is_live(content);
}

static int is_error(const struct mioc_item *item)
{
    switch (item->kind) {
    case MIOC_ITEM_STAT: return ((const struct mioc_stat_record *)(const void *)item)->stat_errno != 0;
    case MIOC_ITEM_LIST: return ((const struct mioc_list_record *)(const void *)item)->list_errno != 0;
    case MIOC_ITEM_CONTENT: return ((const struct mioc_content_record *)(const void *)item)->open_errno != 0;
    case MIOC_ITEM_ACCESS: return ((const struct mioc_access_record *)(const void *)item)->err[0] != 0;
    case MIOC_ITEM_REALPATH: return ((const struct mioc_realpath_record *)(const void *)item)->realpath_errno != 0;
    default: return 1;
    }
}

/* Whether only the last manifest asked for it, and it is gone: a package was replaced. */
static int is_forgotten(const struct mioc_item *item) { return (item->flags & MIOC_FLAG_EARLY) && is_error(item); }

/* Whether the record's question belongs into a manifest. A name with a line's end in it does not fit. */
static int is_question(const struct mioc_store *store, const struct mioc_item *item)
{
    return is_live(item) && mioc_item_is_bounded(item) && !is_forgotten(item) && !is_implied(store, item) &&
           memchr(mioc_item_path(item), '\n', item->path_len) == NULL;
}

/* Maps room for the text. 0 or -1. Pages that are never written cost nothing. */
static int make_room(struct mioc_manifest_text *text, uint64_t store_bytes)
{
    size_t most = MIOC_MANIFEST_BYTES_MAX, room = (store_bytes < most ? (size_t)store_bytes : most) + 2 * PATH_MAX;

    *text = (struct mioc_manifest_text){ .sum = 1, .mapped = room };
    text->bytes = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return text->bytes == MAP_FAILED ? -1 : 0;
}

void mioc_manifest_drop(struct mioc_manifest_text *text) { (void)munmap(text->bytes, text->mapped); }

int mioc_manifest_compose(struct mioc_manifest_text *text, const struct mioc_store *store)
{
    uint64_t offset = 0, end = mioc_store_end(store);
    char tail[32];

    if (make_room(text, end) != 0)
        return -1;
    put(text, head, sizeof head - 1);
    while (offset < end && text->size < MIOC_MANIFEST_BYTES_MAX - 2 * PATH_MAX) {
        const struct mioc_item *item = mioc_store_item_at(store, offset);

        if (item == NULL) { /* the program has written over it: nobody knows where the next one begins */
            mioc_manifest_drop(text);
            errno = EPROTO;
            return -1;
        }
        offset += item->size;
        if (!is_question(store, item))
            continue;
        put(text, (const char[]){ letters[item->kind], ' ' }, 2);
        put(text, mioc_item_path(item), item->path_len);
        put(text, "\n", 1);
        text->count++;
        text->sum = add_to_sum(text->sum, item->kind, mioc_item_path(item), item->path_len);
    }
    put(text, tail, (size_t)snprintf(tail, sizeof tail, "end %u\n", text->count));
    return 0;
}
