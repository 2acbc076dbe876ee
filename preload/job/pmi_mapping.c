/* SPDX-License-Identifier: BSD-3-Clause */
/* pmi_mapping.c - on which node a rank is, from the launcher's PMI_process_mapping. */
#include "pmi_names.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define MOST_NODES (1 << 20)

/* Reads "(first node,nodes,ranks on each)" at `at`. Returns the place behind it, or NULL: it is malformed. */
static const char *read_block(const char *at, long block[3])
{
    char *end;

    if (*at != '(')
        return NULL;
    for (int i = 0; i < 3; i++) {
        block[i] = strtol(at + 1, &end, 10);
        if (end == at + 1 || *end != (i < 2 ? ',' : ')'))
            return NULL;
        at = end;
    }
    if (block[0] < 0 || block[1] < 1 || block[2] < 1 || block[0] >= MOST_NODES || block[1] > MOST_NODES - block[0])
        return NULL;
    return at + 1;
}

/* Gives the ranks to the nodes, block by block. `number` maps a node's id to its number, which counts from 1. */
static int walk(const char *blocks, int size, int rank, int *number, struct mioc_pmi_place *place)
{
    const char *at = blocks;
    int next = 0;

    while (next < size) {
        long block[3];

        at = read_block(at, block);
        if (at == NULL)
            return -1;
        for (long node = block[0]; node < block[0] + block[1]; node++)
            for (long i = 0; i < block[2] && next < size; i++, next++) {
                int is_first = number[node] == 0;

                if (is_first)
                    number[node] = ++place->nodes;
                if (next == rank)
                    *place = (struct mioc_pmi_place){ place->nodes, number[node] - 1, is_first };
            }
        at = *at == ',' ? at + 1 : blocks;
    }
    return 0;
}

int mioc_pmi_parse_mapping(const char *text, int size, int rank, struct mioc_pmi_place *place)
{
    static const char head[] = "(vector,";
    size_t bytes = MOST_NODES * sizeof(int);
    int *number, rc;

    *place = (struct mioc_pmi_place){ 0, -1, 0 };
    if (strncmp(text, head, sizeof head - 1) != 0)
        return -1;
    /* Not from malloc(): after a free() of so much, malloc() would take the program's large blocks from the heap, and
     * give less back. */
    number = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (number == MAP_FAILED)
        return -1;
    rc = walk(text + sizeof head - 1, size, rank, number, place);
    (void)munmap(number, bytes);
    return rc == 0 && place->index >= 0 ? 0 : -1;
}
