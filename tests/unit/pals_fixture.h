/* SPDX-License-Identifier: BSD-3-Clause */
/* pals_fixture.h - an application file of PALS, as Slurm's version 1 and later versions write it. */
#ifndef MIOC_PALS_FIXTURE_H
#define MIOC_PALS_FIXTURE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pals_table {
    uint64_t entry, offset;
    int32_t count, pad;
};
struct pals_header {
    int32_t version, pad;
    uint64_t total;
    struct pals_table profiles, commands, ranks, nodes, nics;
};

/* Ranks one after the other on `nodes` nodes, host-0 and so on. `longer`: bytes that each entry and the header have
 * beyond version 1. */
struct pals_file {
    struct pals_header *header; /* in bytes[] */
    size_t size;
    unsigned char bytes[65536];
};

static inline unsigned char *pals_entry(struct pals_file *file, const struct pals_table *table, int k)
{
    return file->bytes + table->offset + table->entry * (uint64_t)k;
}

static inline void pals_make(struct pals_file *file, int version, int ranks, int nodes, size_t longer)
{
    struct pals_header header = { .version = version };
    uint64_t at = sizeof header + longer;

    header.profiles = (struct pals_table){ 52 + longer, at, 0, 0 };
    header.commands = (struct pals_table){ 12 + longer, at, 1, 0 };
    at += header.commands.entry;
    header.ranks = (struct pals_table){ 12 + longer, at, ranks, 0 };
    at += header.ranks.entry * (uint64_t)ranks;
    header.nodes = (struct pals_table){ 68 + longer, at, nodes, 0 };
    at += header.nodes.entry * (uint64_t)nodes;
    header.nics = (struct pals_table){ 48 + longer, at, 0, 0 };
    header.total = file->size = at;
    if (file->size > sizeof file->bytes)
        abort();
    memset(file->bytes, 0xee, sizeof file->bytes);
    memcpy(file->bytes, &header, sizeof header);
    file->header = (struct pals_header *)(void *)file->bytes;
    for (int k = 0; k < ranks; k++) {
        int each = (ranks + nodes - 1) / nodes;

        memcpy(pals_entry(file, &header.ranks, k), (int32_t[]){ k % each, 0, k / each }, 12);
    }
    for (int k = 0; k < nodes; k++) {
        unsigned char *entry = pals_entry(file, &header.nodes, k);

        memset(entry, 0, 68);
        memcpy(entry, &k, 4);
        snprintf((char *)entry + 4, 64, "host-%d", k);
    }
}

#endif
