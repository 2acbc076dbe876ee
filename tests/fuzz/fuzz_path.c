/* SPDX-License-Identifier: BSD-3-Clause */
/* fuzz_path.c - paths of any bytes against a reference that does it component by component. */
#include "base/path.h"
#include "fuzz.h"

#include <fcntl.h>

/* Without "", "." and "..": a stack of components. */
static size_t reference(const char *path, char *out)
{
    size_t at[4100], depth = 0, n = 0;

    for (const char *next; *path != '\0'; path = next) {
        size_t len;

        while (*path == '/')
            path++;
        len = strcspn(path, "/");
        next = path + len;
        if (len == 0 || (len == 1 && path[0] == '.'))
            continue;
        if (len == 2 && path[0] == '.' && path[1] == '.') {
            n = depth > 0 ? at[--depth] : 0;
            continue;
        }
        at[depth++] = n;
        out[n++] = '/';
        memcpy(out + n, path, len);
        n += len;
    }
    if (n == 0)
        out[n++] = '/';
    out[n] = '\0';
    return n;
}

static int has_dotdot(const char *path)
{
    for (size_t len; *path != '\0'; path += len + (path[len] == '/')) {
        len = strcspn(path, "/");
        if (len == 2 && path[0] == '.' && path[1] == '.')
            return 1;
    }
    return 0;
}

static int has_component(const char *path, const char *what)
{
    for (size_t len; *path != '\0'; path += len) {
        path += *path == '/';
        len = strcspn(path, "/");
        if (len == strlen(what) && memcmp(path, what, len) == 0 && path[len] != '\0')
            return 1;
    }
    return 0;
}

static void check_key(const char *path)
{
    static char plain[8300], plain_key[8300];
    struct mioc_path key, again;
    char *exact;
    uint32_t parent;

    if (mioc_path_key(&key, AT_FDCWD, path) != 0)
        return;
    PROMISE(key.len > 0 && key.len < 4096 && strlen(key.text) == key.len && key.text[0] == '/');
    PROMISE(strstr(key.text, "//") == NULL && !has_component(key.text, "."));
    PROMISE(mioc_path_key(&again, AT_FDCWD, key.text) == 0 && again.len == key.len &&
            memcmp(again.text, key.text, key.len) == 0);
    if (path[0] == '/') {
        reference(path, plain);
        reference(key.text, plain_key);
        PROMISE(strcmp(plain, plain_key) == 0);
    }
    /* In a place of exactly that size, without a NUL behind it: nothing may be read there. */
    exact = malloc(key.len);
    memcpy(exact, key.text, key.len);
    PROMISE(mioc_path_has_dotdot(exact, key.len) == has_dotdot(key.text));
    parent = mioc_path_parent(exact, key.len);
    PROMISE(parent < key.len || key.len == 1);
    PROMISE(parent == 0 || mioc_path_is_below(exact, key.len, exact, parent));
    (void)mioc_path_is_object_name(exact, key.len);
    free(exact);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char expected[8300], out[8300];
    char *path;
    size_t len, room;

    if (size < 2 || size > 4096)
        return 0;
    room = data[0] < 200 ? sizeof out : data[0] % 64;
    path = calloc(1, size + 1);
    memcpy(path, data + 1, size - 1);
    check_key(path);
    path[0] = '/';
    check_key(path);
    len = reference(path, expected);
    if (mioc_path_normalize(path, out, room) >= 0)
        PROMISE(strlen(out) < room && strcmp(out, expected) == 0);
    else
        PROMISE(room < sizeof out);
    PROMISE(room < sizeof out || strlen(out) == len);
    free(path);
    return 0;
}
