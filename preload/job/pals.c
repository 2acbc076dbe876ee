/* SPDX-License-Identifier: BSD-3-Clause */
/* pals.c - reads the application file of PALS, and believes no number in it. */
#include "pals.h"
#include "hostlist.h"
#include "base/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Where the header says entry size, offset and number of two tables, and how much of it all versions have. A size and
 * an offset have 8 bytes, a number 4. */
#define RANKS_AT 64u
#define NODES_AT 88u
#define HEADER_SIZE 112u
/* The entries begin with these, in all versions. */
struct rank_entry {
    int32_t local_rank, command, node;
};
struct node_entry {
    int32_t id;
    char name[MIOC_PALS_NAME_SIZE];
};
/* How many bytes of entries are read at a time. */
#define BLOCK 4096u

struct table {
    uint64_t entry, offset; /* bytes */
    int count;
};

struct file {
    int fd;
    struct table ranks, nodes;
};

/* Whether all of a table is in the file, with entries of at least `least` bytes, 1 to `most` of them. */
static int has_table(const unsigned char *header, unsigned at, uint64_t file_size, uint64_t least, int most,
                     struct table *table)
{
    uint64_t bytes;
    int32_t count;

    memcpy(&table->entry, header + at, 8);
    memcpy(&table->offset, header + at + 8, 8);
    memcpy(&count, header + at + 16, 4);
    table->count = count;
    return count > 0 && count <= most && table->entry >= least && table->offset >= HEADER_SIZE &&
           !__builtin_mul_overflow(table->entry, (uint64_t)count, &bytes) && table->offset <= file_size &&
           bytes <= file_size - table->offset;
}

/* Opens the file and checks it. Returns NULL; or what is wrong, and file->fd is to be closed all the same. */
static const char *open_file(const char *path, struct file *file)
{
    unsigned char header[HEADER_SIZE];
    struct stat st;
    int32_t version;

    /* Nothing that waits, as a FIFO would. */
    file->fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (file->fd < 0 || syscall(SYS_fstat, file->fd, &st) != 0)
        return errno == ENOENT ? "it is not there" : "it cannot be opened";
    if (!S_ISREG(st.st_mode) || (st.st_uid != geteuid() && st.st_uid != 0) || (st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return "it is no regular file of this user's, or root's, that nobody else may write";
    if (mioc_proc_read_at(file->fd, header, sizeof header, 0) != sizeof header)
        return "it is too short for its header";
    memcpy(&version, header, 4);
    if (version < 1 ||
        !has_table(header, RANKS_AT, (uint64_t)st.st_size, sizeof(struct rank_entry), MIOC_PALS_RANKS_MAX,
                   &file->ranks) ||
        !has_table(header, NODES_AT, (uint64_t)st.st_size, sizeof(struct node_entry), MIOC_HOSTS_MAX, &file->nodes))
        return "its header is malformed";
    return NULL;
}

/* Closes the file. Returns 0; or -1 with the reason, where something is wrong. */
static int finish(const struct file *file, const char *path, const char *why, char *reason, size_t size)
{
    if (file->fd >= 0)
        syscall(SYS_close, file->fd);
    if (why != NULL && size > 0)
        snprintf(reason, size, "PALS_APINFO=%.100s: %s", path, why);
    return why != NULL ? -1 : 0;
}

/* Reads the beginning of an entry. Whether it is there: the file may have become shorter. */
static int read_entry(const struct file *file, const struct table *table, int k, void *entry, size_t size)
{
    return mioc_proc_read_at(file->fd, entry, size, table->offset + table->entry * (uint64_t)k) == (long)size;
}

int mioc_pals_place(const char *path, int rank, struct mioc_pals_place *place, char *reason, size_t size)
{
    struct rank_entry entry;
    struct file file;
    int saved = errno, rc;
    const char *why = open_file(path, &file);

    if (why == NULL && (rank < 0 || rank >= file.ranks.count))
        why = "it has no such rank as PALS_RANKID";
    else if (why == NULL && (!read_entry(&file, &file.ranks, rank, &entry, sizeof entry) || entry.node < 0 ||
                             entry.node >= file.nodes.count || entry.local_rank < 0))
        why = "this rank's entry is malformed";
    if (why == NULL)
        *place = (struct mioc_pals_place){ file.ranks.count, file.nodes.count, entry.node, entry.local_rank };
    rc = finish(&file, path, why, reason, size);
    errno = saved;
    return rc;
}

/* Calls visit() with the beginning of each entry, `size` bytes of it. Many are read at a time. 0, or -1: the file is
 * shorter than it was, or visit() returned -1. */
static int walk(const struct file *file, const struct table *table, size_t size,
                int (*visit)(void *ctx, int k, const void *entry), void *ctx)
{
    unsigned char block[BLOCK];
    uint64_t at_once = BLOCK / table->entry;

    for (int k = 0; k < table->count;) {
        uint64_t n = at_once < (uint64_t)(table->count - k) ? at_once : (uint64_t)(table->count - k);

        if (n == 0)
            n = 1; /* a longer entry */
        if (!read_entry(file, table, k, block, n == 1 ? size : (size_t)(n * table->entry)))
            return -1;
        for (uint64_t i = 0; i < n; i++, k++)
            if (visit(ctx, k, block + i * table->entry) != 0)
                return -1;
    }
    return 0;
}

struct counting {
    int node, count;
};

static int count_rank(void *ctx, int k, const void *bytes)
{
    struct counting *counting = ctx;
    struct rank_entry entry;

    (void)k;
    memcpy(&entry, bytes, sizeof entry);
    counting->count += entry.node == counting->node;
    return 0;
}

int mioc_pals_count_on_node(const char *path, int node)
{
    struct counting counting = { node, 0 };
    struct file file;
    int saved = errno, rc = -1;

    if (open_file(path, &file) == NULL)
        rc = walk(&file, &file.ranks, sizeof(struct rank_entry), count_rank, &counting);
    (void)finish(&file, path, NULL, NULL, 0);
    errno = saved;
    return rc == 0 ? counting.count : -1;
}

static int take_name(void *ctx, int k, const void *bytes)
{
    char *name = (char *)ctx + (size_t)k * MIOC_PALS_NAME_SIZE;
    struct node_entry entry;

    memcpy(&entry, bytes, sizeof entry);
    if (memchr(entry.name, '\0', sizeof entry.name) == NULL || !mioc_hostlist_is_name(entry.name))
        return -1;
    memcpy(name, entry.name, sizeof entry.name);
    return 0;
}

int mioc_pals_names(const char *path, int nodes, char *names, char *reason, size_t size)
{
    struct file file;
    int saved = errno, rc;
    const char *why = open_file(path, &file);

    if (why == NULL && file.nodes.count != nodes)
        why = "it has changed";
    else if (why == NULL && walk(&file, &file.nodes, sizeof(struct node_entry), take_name, names) != 0)
        why = "a node's name is malformed";
    rc = finish(&file, path, why, reason, size);
    errno = saved;
    return rc;
}
