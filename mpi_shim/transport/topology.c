/* SPDX-License-Identifier: BSD-3-Clause */
/* topology.c - which ranks share a node, from one number that each rank gives. */
#include "topology.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static uint64_t fnv(uint64_t hash, const char *text)
{
    while (*text != '\0')
        hash = (hash ^ (unsigned char)*text++) * 0x100000001b3ull;
    return (hash ^ 0xff) * 0x100000001b3ull;
}

static void read_boot_id(char *buf, size_t size)
{
    int fd = (int)syscall(SYS_openat, AT_FDCWD, "/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    long n = 0;

    if (fd >= 0) {
        n = syscall(SYS_read, fd, buf, size - 1);
        syscall(SYS_close, fd);
    }
    buf[n > 0 ? n : 0] = '\0';
}

/* Hashes the machine's boot, its name, and the parent. That is the launcher's daemon, of which each node has one, even
 * where one machine plays several nodes. MPI_Comm_split_type would tell, too, but it blocks and spins. */
uint64_t mioc_topology_node_name(void)
{
    char text[256];
    uint64_t hash = 0xcbf29ce484222325ull;

    read_boot_id(text, sizeof text);
    hash = fnv(hash, text);
    if (gethostname(text, sizeof text) != 0)
        text[0] = '\0';
    text[sizeof text - 1] = '\0';
    hash = fnv(hash, text);
    snprintf(text, sizeof text, "%ld", (long)getppid());
    return fnv(hash, text);
}

struct rank_name {
    uint64_t name;
    int rank;
};

static int by_name(const void *a, const void *b)
{
    const struct rank_name *x = a, *y = b;

    if (x->name != y->name)
        return x->name < y->name ? -1 : 1;
    return x->rank - y->rank;
}

int mioc_topology_number(const uint64_t *names, int size, int *leader, int *node_of)
{
    struct rank_name *sorted = calloc((size_t)size, sizeof *sorted);
    int nodes = 0;

    if (sorted == NULL)
        return -1;
    for (int i = 0; i < size; i++)
        sorted[i] = (struct rank_name){ names[i], i };
    qsort(sorted, (size_t)size, sizeof *sorted, by_name);
    for (int i = 0, first = 0; i < size; i++) {
        if (sorted[i].name != sorted[first].name)
            first = i;
        node_of[sorted[i].rank] = sorted[first].rank; /* its leader, for now */
    }
    free(sorted);
    for (int i = 0; i < size; i++) {
        if (node_of[i] == i) {
            leader[nodes] = i;
            node_of[i] = nodes++;
        } else {
            node_of[i] = node_of[node_of[i]]; /* the leader is lower and has its number already */
        }
    }
    return nodes;
}
