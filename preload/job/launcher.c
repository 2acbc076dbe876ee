/* SPDX-License-Identifier: BSD-3-Clause */
/* launcher.c - finds a launcher's row in the table, and what its variables say. */
#include "launcher.h"
#include "base/hash.h"
#include "base/proc.h"

#include <stddef.h>
#include <string.h>

/* clang-format off */
static const struct mioc_launcher_row rows[] = {
#define X(kind, people, mark, rank, size, local_rank, on_node, nodes, id1, id2, id3, hosts1, hosts2, where, secret) \
    { MIOC_LAUNCHER_##kind, mark, rank, size, local_rank, on_node, nodes, { id1, id2, id3 }, { hosts1, hosts2 } },
    MIOC_LAUNCHERS(X)
#undef X
};
/* clang-format on */
#define ROWS (sizeof rows / sizeof rows[0])

/* The value of a variable that is there and not empty, or NULL. */
static const char *value_of(char *const *env, const char *name)
{
    const char *value = name[0] != '\0' ? mioc_proc_getenv(env, name) : NULL;

    return value != NULL && value[0] != '\0' ? value : NULL;
}

static int number_of(char *const *env, const char *name)
{
    return name[0] != '\0' ? mioc_proc_getenv_number(env, name) : -1;
}

const struct mioc_launcher_row *mioc_launcher_find(char *const *env)
{
    for (size_t i = 0; i < ROWS; i++)
        if (rows[i].kind != MIOC_LAUNCHER_OWN && number_of(env, rows[i].rank) >= 0 &&
            value_of(env, rows[i].mark) != NULL)
            return &rows[i];
    return NULL;
}

int mioc_launcher_is_any(char *const *env)
{
    for (size_t i = 0; i < ROWS; i++)
        if (mioc_proc_getenv(env, rows[i].rank) != NULL)
            return 1;
    return 0;
}

struct mioc_launcher_hosts mioc_launcher_hosts(const struct mioc_launcher_row *row, const char *all, char *const *env)
{
    if (all[0] != '\0')
        return (struct mioc_launcher_hosts){ all, "MPIIO_CACHE_HOSTS" };
    for (size_t i = 0; row != NULL && i < sizeof row->hosts / sizeof row->hosts[0]; i++) {
        const char *list = value_of(env, row->hosts[i]);

        if (list != NULL)
            return (struct mioc_launcher_hosts){ list, row->hosts[i] };
    }
    return (struct mioc_launcher_hosts){ NULL, NULL };
}

int mioc_launcher_size(const struct mioc_launcher_row *row, char *const *env)
{
    int size = number_of(env, row->size);

    return size > 0 ? size : -1;
}

int mioc_launcher_on_node(const struct mioc_launcher_row *row, char *const *env)
{
    int on_node = number_of(env, row->on_node);

    if (number_of(env, row->nodes) == 1)
        return mioc_launcher_size(row, env);
    return on_node > 0 ? on_node : -1;
}

unsigned long long mioc_launcher_hash(const struct mioc_launcher_row *row, char *const *env, unsigned long long hash)
{
    for (size_t i = 0; row != NULL && i < sizeof row->id / sizeof row->id[0]; i++) {
        const char *value = value_of(env, row->id[i]);
        uint64_t pair[2] = { hash, value != NULL ? mioc_hash(value, strlen(value)) : 0 };

        hash = mioc_hash(pair, sizeof pair);
    }
    return hash;
}
