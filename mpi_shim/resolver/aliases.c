/* SPDX-License-Identifier: BSD-3-Clause */
/* aliases.c - the symbolic links that the root knows of: under which other names a write concerns records. */
#include "aliases.h"
#include "base/path.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct alias {
    uint32_t len, to_len;
    char *to; /* in the same memory, behind the name */
    char name[];
};

struct mioc_aliases {
    struct alias **alias;
    unsigned count, cap;
    char *found[MIOC_ALIASES_MOST + 1]; /* the path that was written, and its other names */
    unsigned finds;
};

struct mioc_aliases *mioc_aliases_new(void) { return calloc(1, sizeof(struct mioc_aliases)); }

static void forget_found(struct mioc_aliases *a)
{
    while (a->finds > 0)
        free(a->found[--a->finds]);
}

void mioc_aliases_free(struct mioc_aliases *a)
{
    if (a == NULL)
        return;
    forget_found(a);
    for (unsigned i = 0; i < a->count; i++)
        free(a->alias[i]);
    free(a->alias);
    free(a);
}

/* Replaces `from` at the beginning of `path` by `to`. The length; 0: `path` is not below `from`, or grows too long. */
static uint32_t replace(const char *path, uint32_t len, const char *from, uint32_t from_len, const char *to,
                        uint32_t to_len, char out[MIOC_PATH_MAX])
{
    if (!mioc_path_is_below(path, len, from, from_len) || to_len + (len - from_len) >= MIOC_PATH_MAX)
        return 0;
    memcpy(out, to, to_len);
    memcpy(out + to_len, path + from_len, len - from_len);
    out[to_len + len - from_len] = '\0';
    return to_len + len - from_len;
}

/* --- Learning ---------------------------------------------------------------------------------------------------- */

/* Replaces `path` by where the known links lead it. */
static void follow(const struct mioc_aliases *a, char path[MIOC_PATH_MAX], uint32_t *len)
{
    char next[MIOC_PATH_MAX];

    for (unsigned i = 0, steps = 0; i < a->count && steps < 16; i++) {
        const struct alias *alias = a->alias[i];
        uint32_t n = replace(path, *len, alias->name, alias->len, alias->to, alias->to_len, next);

        if (n == 0 || (n == *len && memcmp(next, path, n) == 0))
            continue;
        memcpy(path, next, n + 1);
        *len = n;
        i = UINT32_MAX; /* from the first on again */
        steps++;
    }
}

static int is_known(const struct mioc_aliases *a, const char *name, uint32_t len, const char *to, uint32_t to_len)
{
    for (unsigned i = 0; i < a->count; i++) {
        const struct alias *alias = a->alias[i];
        char by_it[MIOC_PATH_MAX];
        uint32_t n = replace(name, len, alias->name, alias->len, alias->to, alias->to_len, by_it);

        if (n == to_len && memcmp(by_it, to, n) == 0) /* or it follows from a link above */
            return 1;
    }
    return 0;
}

static const struct alias *add(struct mioc_aliases *a, const char *name, uint32_t len, const char *to, uint32_t to_len)
{
    struct alias *alias;

    if (a->count == a->cap) {
        unsigned cap = a->cap ? a->cap * 2 : 16;
        struct alias **grown = realloc(a->alias, cap * sizeof(*grown));

        if (grown == NULL)
            return NULL;
        a->alias = grown;
        a->cap = cap;
    }
    alias = malloc(sizeof(*alias) + len + to_len + 2);
    if (alias == NULL)
        return NULL;
    alias->len = len;
    alias->to_len = to_len;
    alias->to = alias->name + len + 1;
    memcpy(alias->name, name, len);
    alias->name[len] = '\0';
    memcpy(alias->to, to, to_len);
    alias->to[to_len] = '\0';
    return a->alias[a->count++] = alias;
}

/* Where a symbolic link leads, with the links of its directory followed. The length; 0: unknown. */
static uint32_t target_of(const struct mioc_aliases *a, const char *name, uint32_t len, const char *target,
                          uint32_t target_len, char out[MIOC_PATH_MAX])
{
    char text[2 * MIOC_PATH_MAX];
    uint32_t parent = mioc_path_parent(name, len);
    int n;

    if (target_len == 0 || target_len >= MIOC_PATH_MAX || parent == 0)
        return 0;
    memcpy(text, name, parent);
    text[parent] = '\0';
    if (target[0] == '/')
        parent = 0;
    else
        follow(a, text, &parent);
    if (parent > 0)
        text[parent++] = '/';
    memcpy(text + parent, target, target_len);
    text[parent + target_len] = '\0';
    n = mioc_path_normalize(text, out, MIOC_PATH_MAX);
    return n > 0 ? (uint32_t)n : 0;
}

/* Whether the path ends in "..". The resolver publishes no path whose directory is not where its normal form says, but
 * a last ".." it has not looked at. */
static int ends_upwards(const char *path, uint32_t len)
{
    while (len > 1 && (path[len - 1] == '/' || (path[len - 1] == '.' && path[len - 2] == '/')))
        len--;
    return len >= 3 && memcmp(path + len - 3, "/..", 3) == 0;
}

int mioc_aliases_learn(struct mioc_aliases *a, const struct mioc_item *item, const char **name, uint32_t *len)
{
    const struct mioc_stat_record *st = (const void *)item;
    const struct mioc_realpath_record *real = (const void *)item;
    char plain[MIOC_PATH_MAX], to[MIOC_PATH_MAX];
    const struct alias *alias;
    uint32_t to_len = 0;
    int n;

    /* A BRIEF record counts, too: a link that leads there no more does no harm. */
    if (a == NULL || ((item->flags & MIOC_FLAG_UNCACHED) && !(item->flags & MIOC_FLAG_BRIEF)) ||
        (item->kind != MIOC_ITEM_STAT && item->kind != MIOC_ITEM_REALPATH) ||
        (item->kind == MIOC_ITEM_STAT ? st->lstat_errno != 0 || st->link_errno != 0 : real->realpath_errno != 0) ||
        ends_upwards(mioc_item_path(item), item->path_len) ||
        (n = mioc_path_normalize(mioc_item_path(item), plain, sizeof plain)) <= 0)
        return 0;
    if (item->kind == MIOC_ITEM_STAT) {
        to_len = target_of(a, plain, (uint32_t)n, st->path + item->path_len + 1, st->target_len, to);
    } else if (real->resolved_len < sizeof to) {
        to_len = real->resolved_len;
        memcpy(to, real->path + item->path_len + 1, to_len + 1);
    }
    if (to_len == 0 || (to_len == (uint32_t)n && memcmp(to, plain, to_len) == 0) ||
        is_known(a, plain, (uint32_t)n, to, to_len) || (alias = add(a, plain, (uint32_t)n, to, to_len)) == NULL)
        return 0;
    *name = alias->name;
    *len = alias->len;
    return 1;
}

/* --- Finding ----------------------------------------------------------------------------------------------------- */

static void find(struct mioc_aliases *a, const char *path, uint32_t len)
{
    for (unsigned i = 0; i < a->finds; i++)
        if (strlen(a->found[i]) == len && memcmp(a->found[i], path, len) == 0)
            return;
    if (a->finds <= MIOC_ALIASES_MOST && (a->found[a->finds] = strndup(path, len)) != NULL)
        a->finds++;
}

static void find_all(struct mioc_aliases *a, const char *path, uint32_t flags)
{
    char plain[MIOC_PATH_MAX];
    int n = mioc_path_normalize(path, plain, sizeof plain);

    forget_found(a);
    if (n <= 0)
        return;
    find(a, plain, (uint32_t)n);
    for (unsigned at = 0; at < a->finds; at++)
        for (unsigned i = 0; i < a->count; i++) {
            const struct alias *alias = a->alias[i];
            uint32_t found_len = (uint32_t)strlen(a->found[at]);
            uint32_t other = replace(a->found[at], found_len, alias->to, alias->to_len, alias->name, alias->len, plain);

            if (other > 0)
                find(a, plain, other);
            /* With SUBTREE, what lies below was written, too: a folder was moved, and the link's target with it. */
            if ((flags & MIOC_FLAG_SUBTREE) && mioc_path_is_below(alias->to, alias->to_len, a->found[at], found_len))
                find(a, alias->name, alias->len);
        }
}

uint32_t mioc_aliases_next(struct mioc_aliases *a, unsigned i, const char *path, uint32_t flags,
                           char out[MIOC_PATH_MAX])
{
    uint32_t n;

    if (a == NULL || a->count == 0)
        return 0;
    if (i == 0)
        find_all(a, path, flags);
    if (i + 1 >= a->finds)
        return 0;
    n = (uint32_t)strlen(a->found[i + 1]);
    memcpy(out, a->found[i + 1], n + 1);
    return n;
}
