/* SPDX-License-Identifier: BSD-3-Clause */
/* resolver_keys.c - a multiset of key hashes: what the resolver has under way. */
#include "jobs.h"

#include <stdlib.h>

#define FIRST_BUCKETS 256u

struct mioc_key {
    struct mioc_key *next;
    uint64_t hash;
    unsigned times;
};

static struct mioc_key **link_of(const struct mioc_keys *keys, uint64_t hash)
{
    struct mioc_key **link = &keys->bucket[hash & (keys->buckets - 1)];

    while (*link != NULL && (*link)->hash != hash)
        link = &(*link)->next;
    return link;
}

static int grow(struct mioc_keys *keys)
{
    struct mioc_keys grown = { NULL, keys->buckets ? keys->buckets * 2 : FIRST_BUCKETS, keys->count };

    grown.bucket = calloc(grown.buckets, sizeof(struct mioc_key *));
    if (grown.bucket == NULL)
        return -1;
    for (size_t i = 0; i < keys->buckets; i++)
        for (struct mioc_key *key = keys->bucket[i], *next; key != NULL; key = next) {
            struct mioc_key **link = &grown.bucket[key->hash & (grown.buckets - 1)];

            next = key->next;
            key->next = *link;
            *link = key;
        }
    free(keys->bucket);
    *keys = grown;
    return 0;
}

void mioc_keys_add(struct mioc_keys *keys, uint64_t hash)
{
    struct mioc_key **link, *key;

    if (keys->count >= keys->buckets && grow(keys) != 0 && keys->buckets == 0)
        return;
    link = link_of(keys, hash);
    if (*link != NULL) {
        (*link)->times++;
        return;
    }
    key = malloc(sizeof *key);
    if (key == NULL)
        return;
    *key = (struct mioc_key){ NULL, hash, 1 };
    *link = key;
    keys->count++;
}

void mioc_keys_remove(struct mioc_keys *keys, uint64_t hash)
{
    struct mioc_key **link = keys->buckets ? link_of(keys, hash) : NULL, *key;

    if (link == NULL || *link == NULL || --(*link)->times > 0)
        return;
    key = *link;
    *link = key->next;
    free(key);
    keys->count--;
}

int mioc_keys_has(const struct mioc_keys *keys, uint64_t hash)
{
    return keys->buckets > 0 && *link_of(keys, hash) != NULL;
}

void mioc_keys_free(struct mioc_keys *keys)
{
    for (size_t i = 0; i < keys->buckets; i++)
        for (struct mioc_key *key = keys->bucket[i], *next; key != NULL; key = next) {
            next = key->next;
            free(key);
        }
    free(keys->bucket);
}
