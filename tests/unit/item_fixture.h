/* SPDX-License-Identifier: BSD-3-Clause */
/* item_fixture.h - an item of each kind; for test_item*.c. */
#ifndef ITEM_FIXTURE_H
#define ITEM_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/item.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Alignas(8) char item_buf[MIOC_ITEM_MAX];
static struct mioc_list_record *const __attribute__((unused)) list = (void *)item_buf;
static struct mioc_item *const item = (void *)item_buf;

#define PATH "/lib/python3.11/os.py"
#define LEN ((uint32_t)sizeof(PATH) - 1)

static char *begin(unsigned kind)
{
    memset(item_buf, 0xa5, sizeof(item_buf)); /* what the builder leaves must be seen */
    return mioc_item_begin(item_buf, kind, 0, PATH, LEN);
}

static void build_stat(void)
{
    struct mioc_stat_record *r = (void *)item_buf;
    char *end = begin(MIOC_ITEM_STAT);

    r->target_len = 5;
    memcpy(end, "os.pc", 6);
    mioc_item_finish(item_buf, end + 6);
}

static void build_list_of(const char *const *names, uint32_t count, uint32_t table_size)
{
    struct mioc_list_record *r = (void *)item_buf;
    char *end = begin(MIOC_ITEM_LIST);
    uint32_t at = ((uint32_t)(end - item_buf) + 7) & ~7u, *table;

    memset(end, 0, 8);
    r->count = count;
    r->entries = at;
    for (uint32_t i = 0; i < count; i++) {
        struct mioc_dirent *entry = (void *)(item_buf + at);
        uint32_t len = (uint32_t)strlen(names[i]);

        entry->ino = i + 1;
        entry->type = 8;
        entry->name_len = (uint8_t)len;
        entry->size = (uint16_t)((offsetof(struct mioc_dirent, name) + len + 1 + 7) & ~7u);
        memcpy(entry->name, names[i], len + 1);
        at += entry->size;
    }
    r->table = at;
    r->table_size = table_size;
    table = (void *)(item_buf + at);
    memset(table, 0, 4u * table_size);
    for (uint32_t i = 0, offset = r->entries; i < count; i++) {
        const struct mioc_dirent *entry = (void *)(item_buf + offset);
        uint32_t slot = mioc_name_hash(entry->name, entry->name_len);

        while (table[slot & (table_size - 1)])
            slot++;
        table[slot & (table_size - 1)] = offset;
        offset += entry->size;
    }
    mioc_item_finish(item_buf, table + table_size);
}

static void build_list(void)
{
    static const char *const names[] = { ".", "..", "os.py", "re" };

    build_list_of(names, 4, 8);
}

static void build_content(void)
{
    struct mioc_content_record *r = (void *)item_buf;
    char *end = begin(MIOC_ITEM_CONTENT);

    r->size = 17;
    mioc_item_finish(item_buf, end);
}

static void build_access(void) { mioc_item_finish(item_buf, begin(MIOC_ITEM_ACCESS)); }

static void build_realpath(void)
{
    struct mioc_realpath_record *r = (void *)item_buf;
    char *end = begin(MIOC_ITEM_REALPATH);

    r->resolved_len = 2;
    memcpy(end, "/x", 3);
    mioc_item_finish(item_buf, end + 3);
}

static void build_chunk(void)
{
    struct mioc_chunk_record *r = (void *)item_buf;
    char *end;

    memset(item_buf, 0xa5, sizeof(item_buf));
    end = mioc_item_begin(item_buf, MIOC_ITEM_CHUNK, 0, NULL, 0);
    r->length = 10;
    r->offset = 5;
    r->total = 15;
    mioc_item_finish(item_buf, end);
}

static void build_invalidate(void) { mioc_item_finish(item_buf, begin(MIOC_ITEM_INVALIDATE)); }

static void (*const builders[])(void)
    __attribute__((unused)) = { build_stat,     build_list,  build_content,   build_access,
                                build_realpath, build_chunk, build_invalidate };

#endif
