/* SPDX-License-Identifier: BSD-3-Clause */
/* fuzz_library_path.c - what objects say of where their libraries are. The input: LD_LIBRARY_PATH, then for each object
 * of a chain its path, DT_RPATH and DT_RUNPATH, NUL-terminated; "\1" alone: it has none. Promises: directories are keys
 * without trailing slash; the work is bounded. */
#include "resolver/library_path.h"
#include "base/path.h"
#include "fuzz.h"

#include <fcntl.h>

static void check(const struct mioc_library_path *path)
{
    char dir[PATH_MAX];
    struct mioc_path key;
    uint32_t len, above;
    unsigned turn = 0;

    PROMISE(path->inherited <= path->count && path->first <= path->count && path->count <= MIOC_LIBRARY_DIRS);
    for (; (len = mioc_library_path_dir(path, turn, dir, &above)) > 0; turn++) {
        PROMISE(len < PATH_MAX && strlen(dir) == len && above <= len && above > 1 && dir[0] == '/' &&
                dir[len - 1] != '/');
        PROMISE(mioc_path_key(&key, AT_FDCWD, dir) == 0 && key.len == len && memcmp(key.text, dir, len) == 0);
    }
    PROMISE(turn <= 4 * MIOC_LIBRARY_DIRS);
}

/* The next text of the input; NULL: it says that there is none, or the input is at its end. */
static const char *next(const char **at, const char *end)
{
    const char *text = *at;

    if (text >= end)
        return NULL;
    *at += strlen(text) + 1;
    return strcmp(text, "\1") == 0 ? NULL : text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = malloc(size + 1);
    const char *at = copy, *end = copy + size;
    struct mioc_library_world world = { .lib = "lib64", .platform = "haswell" };
    struct mioc_library_path *loader = NULL;

    PROMISE(copy != NULL);
    memcpy(copy, data, size);
    copy[size] = '\0';
    world.library_path = next(&at, end);
    while (at < end) {
        const char *object = next(&at, end), *rpath = next(&at, end), *runpath = next(&at, end);
        struct mioc_library_path *path;

        if (object == NULL || object[0] != '/')
            break;
        path = mioc_library_path_new(&world, loader, object, (uint32_t)strlen(object), rpath, runpath);
        PROMISE(path != NULL);
        check(path);
        mioc_library_path_unref(loader);
        loader = path;
    }
    mioc_library_path_unref(loader);
    free(copy);
    return 0;
}
