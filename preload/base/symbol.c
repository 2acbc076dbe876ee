/* SPDX-License-Identifier: BSD-3-Clause */
/* symbol.c - finds symbols in the hash tables of loaded objects, without ld.so. */
#include "symbol.h"

#include <elf.h>
#include <link.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define VERSION_HIDDEN 0x8000u
/* The object that defines this function is libc. */
#define LIBC "gnu_get_libc_version"
#define WORD_BITS (8u * (unsigned)sizeof(ElfW(Addr)))

/* The head of the table. Behind it are a Bloom filter of `words` words, the buckets, and the chains. */
struct gnu_hash {
    uint32_t buckets, first_symbol, words, shift;
};

struct object {
    ElfW(Addr) base;
    const ElfW(Sym) * symbol;
    const char *text;
    const ElfW(Versym) * version; /* NULL: every version counts */
    const struct gnu_hash *hash;
};

static uint32_t hash_of(const char *name)
{
    uint32_t hash = 5381;

    for (; *name != '\0'; name++)
        hash = hash * 33 + (unsigned char)*name;
    return hash;
}

/* The address that an entry of the dynamic section means. ld.so has added the object's base to the entry, except in the
 * kernel's own object (vDSO), and where the section is read-only. */
static const void *pointer(ElfW(Addr) base, ElfW(Addr) value)
{
    return (const void *)(value < base ? base + value : value); /* NOLINT: an address */
}

/* Returns 0, or -1: the object has no table that we can read. */
static int read_object(const struct link_map *map, struct object *o)
{
    o->base = map->l_addr;
    o->symbol = NULL;
    o->text = NULL;
    o->version = NULL;
    o->hash = NULL;
    for (const ElfW(Dyn) *d = map->l_ld; d->d_tag != DT_NULL; d++)
        switch (d->d_tag) {
        case DT_SYMTAB: o->symbol = pointer(o->base, d->d_un.d_ptr); break;
        case DT_STRTAB: o->text = pointer(o->base, d->d_un.d_ptr); break;
        case DT_VERSYM: o->version = pointer(o->base, d->d_un.d_ptr); break;
        case DT_GNU_HASH: o->hash = pointer(o->base, d->d_un.d_ptr); break;
        default: break;
        }
    return o->symbol != NULL && o->text != NULL && o->hash != NULL ? 0 : -1;
}

/* Whether a search for the default version finds this symbol. */
static int is_found(const struct object *o, uint32_t index)
{
    const ElfW(Sym) *symbol = &o->symbol[index];
    unsigned bind = ELF64_ST_BIND(symbol->st_info); /* as ELF32_ST_BIND */

    return symbol->st_shndx != SHN_UNDEF && (bind == STB_GLOBAL || bind == STB_WEAK) &&
           (o->version == NULL || ((o->version[index] & VERSION_HIDDEN) == 0 && o->version[index] != VER_NDX_LOCAL));
}

static const ElfW(Sym) * find_in(const struct object *o, const char *name, uint32_t hash)
{
    const ElfW(Addr) *bloom = (const void *)(o->hash + 1);
    const uint32_t *bucket = (const void *)(bloom + o->hash->words), *chain = bucket + o->hash->buckets;
    ElfW(Addr) word = bloom[hash / WORD_BITS & (o->hash->words - 1)];
    uint32_t index, seen;

    if (o->hash->buckets == 0 || !(word >> hash % WORD_BITS & word >> (hash >> o->hash->shift) % WORD_BITS & 1))
        return NULL;
    index = bucket[hash % o->hash->buckets];
    if (index < o->hash->first_symbol)
        return NULL;
    do { /* the lowest bit of a chain's last hash is set */
        seen = chain[index - o->hash->first_symbol];
        if ((seen ^ hash) < 2 && strcmp(o->text + o->symbol[index].st_name, name) == 0 && is_found(o, index))
            return &o->symbol[index];
        index++;
    } while ((seen & 1) == 0);
    return NULL;
}

void *mioc_symbol_next(const char *name)
{
    uint32_t hash = hash_of(name), libc = hash_of(LIBC);
    const struct link_map *map = _r_debug.r_map;

    while (map != NULL && map->l_ld != _DYNAMIC)
        map = map->l_next;
    while (map != NULL && (map = map->l_next) != NULL) {
        struct object o;
        const ElfW(Sym) * symbol;

        if (read_object(map, &o) != 0)
            return NULL; /* an object without this kind of table may have the name */
        symbol = find_in(&o, name, hash);
        if (symbol != NULL) /* for an indirect function (STT_GNU_IFUNC) ld.so has to run its resolver */
            return ELF64_ST_TYPE(symbol->st_info) == STT_FUNC ? (void *)(o.base + symbol->st_value) : NULL;
        if (find_in(&o, LIBC, libc) != NULL)
            return NULL;
    }
    return NULL;
}

void *mioc_symbol_find(const struct link_map *map, const char *name, size_t *size)
{
    const ElfW(Sym) *symbol = NULL;
    struct object o;

    if (read_object(map, &o) == 0) {
        o.version = NULL;
        symbol = find_in(&o, name, hash_of(name));
    }
    if (symbol == NULL)
        return NULL;
    if (size != NULL)
        *size = symbol->st_size;
    return (void *)(o.base + symbol->st_value); /* NOLINT: an address */
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
