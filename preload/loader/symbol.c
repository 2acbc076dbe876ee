/* SPDX-License-Identifier: BSD-3-Clause */
/* symbol.c - looks a name up in the GNU hash table of one loaded object. */
#include "symbol.h"

#include <stdint.h>
#include <string.h>

/* The table's head; behind it a Bloom filter, which is not used here, then buckets and chains. */
struct head {
    uint32_t buckets, first_symbol, filters, shift;
};

struct tables {
    const struct head *hash;
    const ElfW(Sym) * symbol;
    const char *text;
};

/* ld.so has added the address to what it found in the file, unless the section could not be written. */
static const void *pointer(const struct link_map *map, ElfW(Addr) value)
{
    return (const void *)(value < map->l_addr ? map->l_addr + value : value); /* NOLINT: an address */
}

static int read_dynamic(const struct link_map *map, struct tables *t)
{
    *t = (struct tables){ 0 };
    for (const ElfW(Dyn) *d = map->l_ld; d->d_tag != DT_NULL; d++)
        switch (d->d_tag) {
        case DT_GNU_HASH: t->hash = pointer(map, d->d_un.d_ptr); break;
        case DT_SYMTAB: t->symbol = pointer(map, d->d_un.d_ptr); break;
        case DT_STRTAB: t->text = pointer(map, d->d_un.d_ptr); break;
        default: break;
        }
    return t->hash != NULL && t->symbol != NULL && t->text != NULL && t->hash->buckets != 0 ? 0 : -1;
}

static uint32_t hash_of(const char *name)
{
    uint32_t hash = 5381;

    for (; *name != '\0'; name++)
        hash = hash * 33 + (unsigned char)*name;
    return hash;
}

void *mioc_symbol_find(const struct link_map *map, const char *name, size_t *size)
{
    const uint32_t wanted = hash_of(name);
    struct tables t;

    if (read_dynamic(map, &t) != 0)
        return NULL;
    const uint32_t *bucket = (const uint32_t *)((const ElfW(Addr) *)(t.hash + 1) + t.hash->filters);
    const uint32_t *chain = bucket + t.hash->buckets; /* of the first symbol in the table */
    uint32_t at = bucket[wanted % t.hash->buckets];

    if (at < t.hash->first_symbol)
        return NULL;
    /* The lowest bit of the last one is set. */
    for (;; at++) {
        const uint32_t hash = chain[at - t.hash->first_symbol];
        const ElfW(Sym) *symbol = &t.symbol[at];

        if ((hash | 1) == (wanted | 1) && symbol->st_shndx != SHN_UNDEF &&
            strcmp(t.text + symbol->st_name, name) == 0) {
            if (size != NULL)
                *size = symbol->st_size;
            return (void *)(map->l_addr + symbol->st_value); /* NOLINT: an address */
        }
        if (hash & 1)
            return NULL;
    }
}

const struct link_map *mioc_symbol_object(const char *file)
{
    for (const struct link_map *map = _r_debug.r_map; map != NULL; map = map->l_next) {
        const char *slash = strrchr(map->l_name, '/');

        if (strcmp(slash != NULL ? slash + 1 : map->l_name, file) == 0)
            return map;
    }
    return NULL;
}
