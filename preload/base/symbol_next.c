/* SPDX-License-Identifier: BSD-3-Clause */
/* symbol_next.c - finds a function behind ours in the link map, without ld.so.
 *
 * dlsym() takes ld.so's lock, may free the message of a failed call before it, and needs a kilobyte or two of stack:
 * too much for the first call of a function in a signal's handler, which libc itself would serve. The objects of a
 * program's start, up to libc, stay for ever and in the order in which symbols are looked for; only they are read. */
#include "symbol_next.h"

#include <elf.h>
#include <link.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define VERSION_HIDDEN 0x8000u
#define LIBC "gnu_get_libc_version" /* who has it */
#define WORD_BITS (8u * (unsigned)sizeof(ElfW(Addr)))

struct gnu_hash {
    uint32_t buckets, first, words, shift;
};

struct object {
    ElfW(Addr) base;
    const ElfW(Sym) * symbol;
    const char *text;
    const ElfW(Versym) * version; /* may be NULL */
    const struct gnu_hash *hash;
};

static uint32_t hash_of(const char *name)
{
    uint32_t hash = 5381;

    for (; *name != '\0'; name++)
        hash = hash * 33 + (unsigned char)*name;
    return hash;
}

/* ld.so has added the object's address to what it found in the file; not in the kernel's own object, nor where the
 * section could not be written. */
static const void *pointer(ElfW(Addr) base, ElfW(Addr) value)
{
    return (const void *)(value < base ? base + value : value); /* NOLINT: an address */
}

/* 0, or -1: it has no table that we can read. */
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

/* Whether a search without a version finds this one. */
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
    if (index < o->hash->first)
        return NULL;
    do {
        seen = chain[index - o->hash->first];
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
        if (symbol != NULL) /* what has to be called to say where the function is, is ld.so's business */
            return ELF64_ST_TYPE(symbol->st_info) == STT_FUNC ? (void *)(o.base + symbol->st_value) : NULL;
        if (find_in(&o, LIBC, libc) != NULL)
            return NULL;
    }
    return NULL;
}
