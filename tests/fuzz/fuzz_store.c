/* SPDX-License-Identifier: BSD-3-Clause */
/* fuzz_store.c - a real store that takes whatever passes the check of the wire, and readers of an index that lies.
 *
 * First a parent's stream: items that mioc_item_check() lets through, chunks, holds. Promises: what is found is what
 * was asked for, is not dead, and lies in the arena; a copy that can be opened has the size that its record says. Then
 * bytes of slots, items and the header are turned, as a stray write of the agent's program would: readers may find
 * nothing or wrong things, but end, and touch nothing outside of the arena (their view of it lies between pages that
 * cannot be touched). */
#include "store/store_internal.h"
#include "fuzz_items.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#define AROUND (1ull << 36) /* more than a slot can say */
#define MAX_ARENA (1u << 20)

static struct mioc_store *writer, *reader;
static char dir[64];
static _Alignas(8) char item[MIOC_ITEM_MAX + 4096], bytes[MIOC_CHUNK_MAX];
static uint64_t used;  /* of the arena, before the lies */
static unsigned walks; /* over the whole table, which take time, that this input may still cause */

static void clean_up(void)
{
    mioc_store_remove(writer);
    mioc_store_detach(writer);
    (void)rmdir(dir);
}

/* A reader whose index has nothing before or behind it. */
static void make_reader(void)
{
    char path[MIOC_STORE_PATH_MAX + 8], *around;
    int fd;

    reader = mioc_store_attach(mioc_store_path(writer));
    PROMISE(reader != NULL);
    snprintf(path, sizeof path, "%s/index", mioc_store_path(writer));
    fd = open(path, O_RDONLY);
    around = mmap(NULL, 2 * AROUND, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    PROMISE(fd >= 0 && around != MAP_FAILED);
    around = mmap(around + AROUND, reader->index_size, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0);
    PROMISE(around != MAP_FAILED);
    close(fd);
    reader->index = (void *)around;
    reader->table = (void *)(around + MIOC_INDEX_TABLE_AT);
    reader->arena = around + MIOC_INDEX_ARENA_AT;
}

static void start(void)
{
    const struct mioc_store_limits limits = { .max_bytes = 2u << 20, .max_arena = MAX_ARENA };

    strcpy(dir, access("/dev/shm", W_OK) == 0 ? "/dev/shm/mioc-fuzz.XXXXXX" : "/tmp/mioc-fuzz.XXXXXX");
    PROMISE(mkdtemp(dir) != NULL);
    writer = mioc_store_create(dir, 1, &limits);
    PROMISE(writer != NULL);
    atexit(clean_up);
    make_reader();
}

/* As new. */
static void empty(void)
{
    struct mioc_store_writer *w = writer->writer;
    char path[MIOC_STORE_PATH_MAX];

    writer->index->magic = MIOC_STORE_MAGIC;
    writer->index->end = writer->index->content_bytes = writer->index->contents = 0;
    writer->index->state = MIOC_STORE_ACTIVE;
    writer->index->devices = 0;
    memset(writer->table, 0, MIOC_INDEX_SLOTS * 8u);
    memset(writer->arena, 0, used);
    mioc_hold_free(w);
    w->holds = w->used = 0;
    w->node = 1;
    w->is_full = w->holds_all = 0;
    w->odds = w->arrivals = 0;
    for (uint32_t i = 0; i < 4; i++) {
        mioc_store_content_path(writer, i, path);
        (void)unlink(path);
    }
}

/* --- Honest ------------------------------------------------------------------------------------------------------ */

static void look_up(struct fuzz_input *in, int is_honest)
{
    uint32_t len;
    const char *path = fuzz_path(in, &len);
    unsigned kind = 1 + fuzz_byte(in) % 5;
    const struct mioc_item *found = mioc_store_lookup(reader, kind, path, len, mioc_item_hash(kind, path, len));
    const char *arena = reader->arena;

    if (found == NULL)
        return;
    PROMISE((const char *)found >= arena && (const char *)found + found->size <= arena + MAX_ARENA);
    PROMISE(found->kind == kind && found->path_len == len && memcmp(mioc_item_path(found), path, len) == 0);
    PROMISE(!is_honest || mioc_item_check(found, found->size) == 0);
    if (kind == MIOC_ITEM_LIST) {
        const struct mioc_list_record *list = (const void *)found;
        const struct mioc_dirent *entry = mioc_list_find(list, "b.py", 4);
        uint32_t at = list->entries;

        PROMISE(entry == NULL || strcmp(entry->name, "b.py") == 0);
        for (uint32_t i = 0; i < list->count && (entry = mioc_list_entry(list, at)) != NULL; i++, at += entry->size)
            PROMISE(strnlen(entry->name, 256) <= entry->name_len);
    }
    if (kind == MIOC_ITEM_STAT) {
        const struct mioc_stat_record *st = (const void *)found;
        struct stat to;

        mioc_store_fill_stat(reader, &st->stat, &to);
        if (st->target_len > 0)
            PROMISE(memchr(st->path + len + 1, 'x', st->target_len) != (void *)1);
    }
    if (kind == MIOC_ITEM_CONTENT) {
        const struct mioc_content_record *record = (const void *)found;
        int fd = is_honest ? mioc_store_open_content(reader, record, O_CLOEXEC) : -1;
        struct stat st;

        if (fd >= 0) {
            PROMISE(fstat(fd, &st) == 0 && (uint64_t)st.st_size == record->size);
            PROMISE(mioc_store_record_of(reader, &st) == record);
            close(fd);
        }
    }
}

static void append(struct fuzz_input *in)
{
    unsigned kind = 1 + fuzz_byte(in) % (MIOC_ITEM_KINDS - 1);
    uint32_t size = fuzz_item(in, item, kind);
    struct mioc_item *it = (void *)item;
    uint64_t end = mioc_store_end(writer);
    int64_t at;

    fuzz_mutate(in, item, size);
    if (mioc_item_check(item, size) != 0 ||
        (it->kind == MIOC_ITEM_INVALIDATE && (it->flags & MIOC_FLAG_SUBTREE) && (walks == 0 || walks-- == 0)))
        return;
    if (it->kind == MIOC_ITEM_CHUNK) {
        memset(bytes, fuzz_byte(in), 64);
        (void)mioc_store_write_chunk(writer, (void *)it, bytes);
    }
    at = mioc_store_append(writer, it);
    PROMISE(at < 0 || ((uint64_t)at == end && mioc_store_end(writer) == end + it->size));
    if (at >= 0 && it->kind == MIOC_ITEM_CHUNK)
        (void)mioc_store_read_chunk(writer, (void *)it, bytes);
}

static void live(struct fuzz_input *in)
{
    uint32_t len;
    const char *path;

    switch (fuzz_byte(in) % 6) {
    case 0: look_up(in, 1); break;
    case 1:
        path = fuzz_path(in, &len);
        (void)mioc_store_hold(writer, path, len, fuzz_byte(in) % 2 && walks > 0 && walks-- > 0, fuzz_byte(in) % 8);
        break;
    default: append(in); break;
    }
}

/* --- Lies -------------------------------------------------------------------------------------------------------- */

static void lie(struct fuzz_input *in)
{
    uint64_t end = writer->index->end < MAX_ARENA ? writer->index->end : MAX_ARENA, at = 0;
    struct stat st = { .st_dev = reader->dev, .st_mode = S_IFREG | 0400, .st_uid = reader->uid };
    uint32_t len;
    const char *path;

    switch (fuzz_byte(in) % 8) {
    case 0: /* a slot that leads anywhere */
    case 1: {
        unsigned kind = 1 + fuzz_byte(in) % 5;
        uint64_t hash;

        path = fuzz_path(in, &len);
        hash = mioc_item_hash(kind, path, len);
        writer->table[hash & MIOC_INDEX_MASK] = (hash >> 32 << 32) | (uint32_t)fuzz_odd_number(in, end / 8);
        look_up(in, 0);
        break;
    }
    case 2: writer->index->end = fuzz_odd_number(in, MAX_ARENA); break;
    case 3:
        writer->index->devices = (uint32_t)fuzz_odd_number(in, MIOC_MAX_PREFIXES);
        (void)mioc_store_local_dev(reader, 7);
        break;
    case 4:
        st.st_mtim.tv_sec = (time_t)fuzz_odd_number(in, end / 8);
        st.st_mtim.tv_nsec = 1 + (long)fuzz_number(in, 4);
        (void)mioc_store_record_of(reader, &st);
        (void)mioc_store_item_at(reader, fuzz_odd_number(in, end));
        break;
    case 5: /* numbers in items, whatever their place */
        if (end >= 16) {
            at = fuzz_number(in, 2) % (end - 8);
            memcpy(writer->arena + at, &(uint64_t){ fuzz_odd_number(in, end) }, fuzz_byte(in) % 8 + 1);
        }
        break;
    case 6: { /* fields of an item that can be found */
        unsigned kind = 1 + fuzz_byte(in) % 5;
        const struct mioc_item *found;

        path = fuzz_path(in, &len);
        found = mioc_store_lookup(writer, kind, path, len, mioc_item_hash(kind, path, len));
        if (found != NULL) {
            char *to = writer->arena + ((const char *)found - writer->arena);

            at = (uint64_t)(fuzz_byte(in) % 2 ? 0 : sizeof *found) + fuzz_byte(in) % 10 * 4u;
            if (at + 4 <= found->size)
                memcpy(to + at, &(uint32_t){ (uint32_t)fuzz_odd_number(in, found->size) }, 4);
        }
        look_up(in, 0);
        break;
    }
    default: look_up(in, 0); break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = { data, size };
    unsigned honest;

    if (writer == NULL)
        start();
    empty();
    honest = fuzz_byte(&in);
    walks = 3;
    for (unsigned i = 0; in.left > 0 && i < honest; i++)
        live(&in);
    used = mioc_store_end(writer);
    for (unsigned i = 0; in.left > 0 && i < 200; i++)
        lie(&in);
    return 0;
}
