/* SPDX-License-Identifier: BSD-3-Clause */
/* resolve_list.c - the root reads directories: entries in readdir's order, and a table of their names. */
#include "base/path.h"
#include "base/real.h"
#include "jobs.h"
#include "resolve.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Appends one entry at `at`. The place behind it; NULL: the item would become too large. */
static char *add_entry(char *buf, char *at, const struct dirent *from)
{
    size_t name_len = strlen(from->d_name);
    size_t size = (sizeof(struct mioc_dirent) + name_len + 1 + 7) & ~(size_t)7;
    struct mioc_dirent *entry = (void *)at;

    if (name_len > 255 || (size_t)(at - buf) + size > MIOC_ITEM_MAX / 2)
        return NULL;
    memset(entry, 0, size);
    entry->ino = from->d_ino;
    entry->size = (uint16_t)size;
    entry->type = from->d_type;
    entry->name_len = (uint8_t)name_len;
    memcpy(entry->name, from->d_name, name_len + 1);
    return at + size;
}

/* Appends the hash table. The item's end; NULL: it would become too large. */
static char *add_name_table(char *buf, char *at)
{
    struct mioc_list_record *list = (void *)buf;
    uint32_t size = 4, offset = list->entries, *table = (void *)at;

    while (size < 2 * list->count)
        size *= 2;
    if ((size_t)(at - buf) + size * sizeof *table > MIOC_ITEM_MAX)
        return NULL;
    memset(table, 0, size * sizeof *table);
    for (uint32_t i = 0; i < list->count; i++) {
        const struct mioc_dirent *entry = (const void *)(buf + offset);
        uint32_t slot = mioc_name_hash(entry->name, entry->name_len) & (size - 1);

        while (table[slot] != 0)
            slot = (slot + 1) & (size - 1);
        table[slot] = offset;
        offset += entry->size;
    }
    list->table = (uint32_t)(at - buf);
    list->table_size = size;
    return at + size * sizeof *table;
}

/* Reads all entries and makes the table. The item's end; NULL: too large, or an error. */
static char *read_entries(struct mioc_resolver *r, char *buf, char *at, DIR *dir)
{
    struct mioc_list_record *list = (void *)buf;

    at = buf + (((size_t)(at - buf) + 7) & ~(size_t)7);
    list->entries = (uint32_t)(at - buf);
    for (;;) {
        const struct dirent *entry;

        errno = 0;
        entry = mioc_real(readdir)(dir);
        if (entry == NULL)
            break;
        at = add_entry(buf, at, entry);
        if (at == NULL)
            return NULL;
        list->count++;
        list->maps_names |= !mioc_name_is_ascii(entry->d_name, (uint32_t)strlen(entry->d_name));
    }
    mioc_resolver_count(r, 1);
    return errno == 0 ? add_name_table(buf, at) : NULL;
}

/* Adds a REALPATH of an open directory if a link leads to it (aliases.h); of "name/.." by its normal form, from which
 * the aliases can learn. Reads /proc/thread-self, not /proc/self: this thread has descriptors of its own. 1: a link
 * leads to it, or that cannot be told. */
static int add_realpath(const char *path, uint32_t len, int fd, struct mioc_answer *answer)
{
    static const char deleted[] = " (deleted)";
    char name[48], real[PATH_MAX], plain[PATH_MAX], *end;
    struct mioc_realpath_record *record;
    ssize_t n;

    (void)snprintf(name, sizeof name, "/proc/thread-self/fd/%d", fd);
    n = mioc_real(readlink)(name, real, sizeof real - 1);
    if (n <= 0 || real[0] != '/' || mioc_path_normalize(path, plain, sizeof plain) <= 0)
        return 1;
    real[n] = '\0';
    if (strcmp(real, plain) == 0)
        return 0;
    if (mioc_path_has_dotdot(path, len)) {
        path = plain;
        len = (uint32_t)strlen(plain);
    }
    if (((size_t)n >= sizeof deleted && strcmp(real + n - (sizeof deleted - 1), deleted) == 0) ||
        (record = malloc(sizeof *record + len + (size_t)n + 16)) == NULL)
        return 1;
    end = mioc_item_begin(record, MIOC_ITEM_REALPATH, 0, path, len);
    record->resolved_len = (uint32_t)n;
    memcpy(end, real, (size_t)n + 1);
    (void)mioc_resolve_add(answer, record, end + n + 1);
    free(record);
    return 1;
}

static void note_by_link(void *ctx, const struct mioc_list_record *list)
{
    *(int *)ctx = (list->item.flags & MIOC_FLAG_BY_LINK) != 0;
}

/* Adds a REALPATH of the directory path[0..len) if a link leads to it. 0 or 1 as add_realpath(); -1: there is no such
 * directory. If its listing is known, its REALPATH was published before that. */
static int add_folder_link(struct mioc_resolver *r, const char *path, uint32_t len, struct mioc_answer *answer)
{
    int fd, is_by_link = 1;
    char folder[PATH_MAX];

    if (len >= sizeof folder ||
        mioc_resolver_look_at_listing(r, path, len, note_by_link, &is_by_link) == MIOC_LISTING_READ)
        return is_by_link;
    memcpy(folder, path, len);
    folder[len] = '\0';
    fd = mioc_real(open)(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    is_by_link = add_realpath(folder, len, fd, answer);
    mioc_real(close)(fd);
    return is_by_link;
}

int mioc_resolve_folder_link(struct mioc_resolver *r, const struct mioc_job *job, struct mioc_answer *answer)
{
    uint32_t len = job->len, parent;
    char plain[PATH_MAX];
    int is_by_link, n;

    while (len > 1 && (job->path[len - 1] == '/' || (job->path[len - 1] == '.' && job->path[len - 2] == '/')))
        len--;
    parent = mioc_path_parent(job->path, len);
    if (parent == 0 && len > 1) { /* "name/..": is_as_it_reads() has seen that this is what its normal form says */
        n = mioc_path_normalize(job->path, plain, sizeof plain);
        return n == 1 ? 0 : n <= 0 || add_folder_link(r, plain, (uint32_t)n, answer) != 0;
    }
    /* "name/" is where the link "name" leads; if that is nowhere, it is as absent as the name in its folder. */
    if (len < job->len && len > 1 && (is_by_link = add_folder_link(r, job->path, len, answer)) >= 0)
        return is_by_link;
    return parent > 1 && add_folder_link(r, job->path, parent, answer) != 0; /* a link may lead to nothing */
}

int mioc_resolve_list(struct mioc_resolver *r, const struct mioc_job *job, struct mioc_answer *answer, void *buf)
{
    struct mioc_list_record *list = buf;
    char *end = mioc_item_begin(buf, MIOC_ITEM_LIST, 0, job->path, job->len);
    DIR *dir = mioc_real(opendir)(job->path);
    int is_by_link = 1;

    mioc_resolver_count(r, 1);
    if (dir == NULL) {
        list->list_errno = errno;
        /* ld.so may look for more names in there that are missing, too. */
        if (errno == ENOENT && !job->is_early && mioc_path_parent(job->path, job->len) > 1)
            mioc_resolver_speculate(r, job, MIOC_ITEM_LIST, job->path, mioc_path_parent(job->path, job->len));
        if (!mioc_resolve_is_lasting(list->list_errno))
            end = NULL;
        else
            list->entries = list->table = 0;
    } else {
        int error = mioc_resolve_statx(r, mioc_real(dirfd)(dir), "", AT_EMPTY_PATH, &list->stat);

        is_by_link = add_realpath(job->path, job->len, mioc_real(dirfd)(dir), answer);
        end = error == 0 ? read_entries(r, buf, end, dir) : NULL;
        if (r->config.maps_names != NULL && r->config.maps_names(r->config.ctx, job->path, job->len))
            list->maps_names = 1;
        mioc_real(closedir)(dir);
    }
    if (end == NULL)
        mioc_resolve_add_uncached(answer, buf, MIOC_ITEM_LIST, job);
    else
        (void)mioc_resolve_add(answer, buf, end);
    return is_by_link;
}
