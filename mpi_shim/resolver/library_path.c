/* SPDX-License-Identifier: BSD-3-Clause */
/* library_path.c - the dynamic loader's search path for one object, from what the object and its environment say. */
#include "library_path.h"
#include "base/path.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

/* Of all directories of one object together. */
#define TEXT_MAX 32768u

struct building {
    const struct mioc_library_world *world;
    const char *origin; /* the object's directory */
    uint32_t origin_len;
    struct mioc_library_path *path;
};

/* --- $ORIGIN and its like ---------------------------------------------------------------------------------------- */

/* What the token at `at`, behind a `$`, stands for. The token's length; 0: it is unknown. */
static size_t token(const struct building *b, const char *at, const char *end, const char **value, size_t *len)
{
    const struct {
        const char *name, *value;
        size_t len;
    } tokens[] = {
        { "ORIGIN", b->origin, b->origin_len },
        { "LIB", b->world->lib, b->world->lib != NULL ? strlen(b->world->lib) : 0 },
        { "PLATFORM", b->world->platform, b->world->platform != NULL ? strlen(b->world->platform) : 0 },
    };
    const size_t is_braced = at < end && *at == '{';

    for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++) {
        const size_t name_len = strlen(tokens[i].name), whole = name_len + 2 * is_braced;

        if (tokens[i].value == NULL || (size_t)(end - at) < whole ||
            memcmp(at + is_braced, tokens[i].name, name_len) != 0 || (is_braced && at[whole - 1] != '}'))
            continue;
        *value = tokens[i].value;
        *len = tokens[i].len;
        return whole;
    }
    return 0;
}

/* Replaces the tokens in one element of a list, and makes a key of it, without trailing slashes. `out` is room for it.
 * Its length; 0: it is of no use. */
static uint32_t expand(const struct building *b, const char *at, const char *end, char out[PATH_MAX],
                       struct mioc_path *key)
{
    size_t used = 0;

    while (at < end) {
        const char *value = at;
        size_t len = 1, taken = 1;

        if (*at == '$') {
            taken = token(b, at + 1, end, &value, &len);
            if (taken++ == 0)
                return 0;
        }
        if (len >= PATH_MAX - used)
            return 0;
        memcpy(out + used, value, len);
        used += len;
        at += taken;
    }
    out[used] = '\0';
    if (out[0] != '/' || mioc_path_key(key, AT_FDCWD, out) != 0)
        return 0;
    for (used = key->len; used > 0 && key->text[used - 1] == '/'; used--)
        ;
    return (uint32_t)used;
}

/* --- Directories ------------------------------------------------------------------------------------------------- */

/* Adds a directory, but none twice among those from `first` on. */
static void add_dir(struct mioc_library_path *path, unsigned first, const char *dir, uint32_t len)
{
    for (unsigned i = first; i < path->count; i++)
        if (path->dir[i].len == len && memcmp(path->text + path->dir[i].at, dir, len) == 0)
            return;
    if (path->count == MIOC_LIBRARY_DIRS || len + 1 > TEXT_MAX - path->used)
        return;
    path->dir[path->count].at = path->used;
    path->dir[path->count++].len = len;
    memcpy(path->text + path->used, dir, len);
    path->used += len;
    path->text[path->used++] = '\0';
}

static void add_list(const struct building *b, unsigned first, const char *list, const char *separators)
{
    while (list != NULL) {
        const size_t len = strcspn(list, separators);
        char out[PATH_MAX];
        struct mioc_path dir;
        const uint32_t dir_len = expand(b, list, list + len, out, &dir);

        if (dir_len > 0)
            add_dir(b->path, first, dir.text, dir_len);
        list = list[len] != '\0' ? list + len + 1 : NULL;
    }
}

/* Adds LD_LIBRARY_PATH, without elements that have tokens: these stand for the program's place, not this object's. */
static void add_environment(const struct building *b, unsigned first)
{
    const struct building plain = { .world = &(struct mioc_library_world){ 0 }, .path = b->path };

    add_list(&plain, first, b->world->library_path, ":;");
}

struct mioc_library_path *mioc_library_path_new(const struct mioc_library_world *world,
                                                const struct mioc_library_path *loader, const char *object,
                                                uint32_t len, const char *rpath, const char *runpath)
{
    const char *slash = memrchr(object, '/', len);
    struct mioc_library_path *path = malloc(sizeof *path + TEXT_MAX), *fitted;
    const struct building b = { world, object, slash != NULL ? (uint32_t)(slash - object) : 0, path };

    if (path == NULL)
        return NULL;
    path->refs = 1;
    path->count = path->used = 0;
    if (runpath == NULL)
        add_list(&b, 0, rpath, ":");
    for (unsigned i = 0; loader != NULL && i < loader->inherited; i++)
        add_dir(path, 0, loader->text + loader->dir[i].at, loader->dir[i].len);
    path->inherited = path->count;
    path->first = runpath == NULL ? 0 : path->inherited;
    add_environment(&b, path->first);
    add_list(&b, path->first, runpath, ":");
    fitted = realloc(path, sizeof *path + path->used);
    return fitted != NULL ? fitted : path;
}

struct mioc_library_path *mioc_library_path_ref(struct mioc_library_path *path)
{
    __atomic_fetch_add(&path->refs, 1, __ATOMIC_RELAXED);
    return path;
}

void mioc_library_path_unref(struct mioc_library_path *path)
{
    if (path != NULL && __atomic_sub_fetch(&path->refs, 1, __ATOMIC_ACQ_REL) == 0)
        free(path);
}

/* --- Turns ------------------------------------------------------------------------------------------------------- */

/* The subdirectories of glibc-hwcaps that all versions of glibc look into, the best first. */
#ifdef __x86_64__
static const char *const hwcaps[] = { "x86-64-v4", "x86-64-v3", "x86-64-v2" };
#define LEVELS 3u

static unsigned levels_beyond_us(void)
{
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("sse4.2") || !__builtin_cpu_supports("popcnt"))
        return 3;
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !__builtin_cpu_supports("bmi2"))
        return 2;
    return !__builtin_cpu_supports("avx512bw") || !__builtin_cpu_supports("avx512dq") ||
           !__builtin_cpu_supports("avx512vl");
}
#else
static const char *const hwcaps[] = { "" };
#define LEVELS 0u

static unsigned levels_beyond_us(void) { return 0; }
#endif

uint32_t mioc_library_path_dir(const struct mioc_library_path *path, unsigned turn, char out[PATH_MAX],
                               uint32_t *dir_len)
{
    static const char below[] = "/glibc-hwcaps/";
    const unsigned beyond = levels_beyond_us(), each = LEVELS - beyond + 1, i = path->first + turn / each,
                   level = beyond + turn % each;
    uint32_t len;

    if (i >= path->count)
        return 0;
    len = *dir_len = path->dir[i].len;
    memcpy(out, path->text + path->dir[i].at, len + 1);
    if (level != LEVELS && len + sizeof below + strlen(hwcaps[level]) <= PATH_MAX) {
        memcpy(out + len, below, sizeof below - 1);
        strcpy(out + len + sizeof below - 1, hwcaps[level]);
        len += (uint32_t)(sizeof below - 1 + strlen(hwcaps[level]));
    }
    return len;
}
