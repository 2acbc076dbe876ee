/* SPDX-License-Identifier: BSD-3-Clause */
/* path.c - makes the store's key of what a call was given, and answers lexical questions about paths. */
#include "path.h"
#include "decimal.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define KEY_SIZE MIOC_PATH_MAX
#define NAME_LIMIT 255u

/* --- Scanning eight bytes at a time ------------------------------------------------------------------------------ */

#define ONES 0x0101010101010101ull
#define LOWS 0x7f7f7f7f7f7f7f7full

static uint64_t load8(const char *at)
{
    uint64_t word;

    memcpy(&word, at, sizeof word);
    return word;
}

/* The top bit of each byte that is zero, exactly. */
static uint64_t zero_bytes(uint64_t word) { return ~(((word & LOWS) + LOWS) | word | LOWS); }

/* Whether a "/" is followed by "/" or ".": otherwise the path has nothing to fold, and no "..". The two characters
 * differ in their lowest bit only. path[len] must be readable. */
static int has_odd_pair(const char *path, uint32_t len)
{
    uint32_t at = 0;

    for (; at + 8 <= len; at += 8)
        if (zero_bytes(load8(path + at) ^ '/' * ONES) & zero_bytes((load8(path + at + 1) | ONES) ^ '/' * ONES))
            return 1;
    for (; at < len; at++)
        if (path[at] == '/' && (path[at + 1] | 1) == '/')
            return 1;
    return 0;
}

static int has_long_name(const char *path, uint32_t len)
{
    const char *end = path + len, *slash;

    for (; (slash = memchr(path, '/', (size_t)(end - path))) != NULL; path = slash + 1)
        if (slash - path > (ptrdiff_t)NAME_LIMIT)
            return 1;
    return end - path > (ptrdiff_t)NAME_LIMIT;
}

/* --- Keys -------------------------------------------------------------------------------------------------------- */

/* `at` is behind a slash, or at it. Returns the place behind all of "/" and "./" that follow, and behind a last ".". */
static const char *skip_slashes(const char *at)
{
    for (;;) {
        if (at[0] == '/')
            at++;
        else if (at[0] == '.' && (at[1] == '/' || at[1] == '\0'))
            at++;
        else
            return at;
    }
}

/* Appends "/" and `path`, folded, to buf[n]. Returns the new length, or -1. */
static int fold_behind(char *buf, uint32_t n, const char *path)
{
    for (const char *at = path;;) {
        const char *next = skip_slashes(at);

        if (n > 0 && buf[n - 1] == '/')
            n--;
        buf[n++] = '/';
        at = next + strcspn(next, "/");
        if (n + (size_t)(at - next) >= KEY_SIZE)
            return -1;
        memcpy(buf + n, next, (size_t)(at - next));
        n += (uint32_t)(at - next);
        if (*at == '\0')
            break;
    }
    buf[n] = '\0';
    return (int)n;
}

/* Writes the absolute path of a directory, a descriptor or AT_FDCWD. Returns its length, or -1. */
static int directory_path(char *buf, int dirfd)
{
    static const char folder[] = "/proc/thread-self/fd/";
    char link[sizeof folder + MIOC_DECIMAL_MAX];
    long n;

    if (dirfd == AT_FDCWD) {
        n = syscall(SYS_getcwd, buf, KEY_SIZE);
        return n > 1 && buf[0] == '/' ? (int)n - 1 : -1; /* "(unreachable)/…" is no absolute path */
    }
    if (dirfd < 0)
        return -1;
    memcpy(link, folder, sizeof folder - 1);
    (void)mioc_decimal(link + sizeof folder - 1, (uint64_t)dirfd);
    n = syscall(SYS_readlinkat, AT_FDCWD, link, buf, KEY_SIZE - 1);
    if (n <= 0 || n >= (long)KEY_SIZE - 1 || buf[0] != '/')
        return -1;
    buf[n] = '\0';
    return (int)n;
}

static int key_in_buffer(struct mioc_path *out, int dirfd, const char *path)
{
    int base = path[0] != '/' ? directory_path(out->buf, dirfd) : 0, n;

    if (base < 0 || (n = fold_behind(out->buf, (uint32_t)base, path)) < 0)
        return -1;
    out->text = out->buf;
    out->len = (uint32_t)n;
    out->base = (uint32_t)base;
    return 0;
}

int mioc_path_key(struct mioc_path *out, int dirfd, const char *path)
{
    int saved = errno, result = 0;
    size_t len;

    if (path == NULL || path[0] == '\0' || (len = strnlen(path, KEY_SIZE)) >= KEY_SIZE)
        return -1;
    if (path[0] == '/' && !has_odd_pair(path, (uint32_t)len)) {
        out->text = path;
        out->len = (uint32_t)len;
        out->base = 0;
    } else {
        result = key_in_buffer(out, dirfd, path);
        errno = saved;
    }
    if (result == 0 && out->len > NAME_LIMIT && has_long_name(out->text, out->len))
        result = -1;
    return result;
}

/* --- Lexical questions ------------------------------------------------------------------------------------------- */

int mioc_path_is_dot(const char *path)
{
    size_t len = strnlen(path, KEY_SIZE);

    while (len > 1 && path[len - 1] == '/')
        len--;
    return len > 0 && path[len - 1] == '.' && (len == 1 || path[len - 2] == '/');
}

int mioc_path_is_sound(const char *path, uint32_t len)
{
    return len > 0 && len < MIOC_PATH_MAX && path[0] == '/' && memchr(path, '\0', len) == NULL;
}

int mioc_path_has_dotdot(const char *path, uint32_t len)
{
    if (len >= 2 && path[0] == '.' && path[1] == '.' && (len == 2 || path[2] == '/'))
        return 1;
    if (len < 3 || !has_odd_pair(path, len - 1)) /* reads no byte behind the path */
        return 0;
    for (uint32_t at = 0; at + 3 <= len; at++)
        if (path[at] == '/' && path[at + 1] == '.' && path[at + 2] == '.' && (at + 3 == len || path[at + 3] == '/'))
            return 1;
    return 0;
}

int mioc_path_normalize(const char *path, char *out, size_t size)
{
    size_t n = 0;

    for (const char *at = path; *at != '\0';) {
        const char *name = at + strspn(at, "/");
        size_t len = strcspn(name, "/");

        at = name + len;
        if (len == 0 || (len == 1 && name[0] == '.'))
            continue;
        if (len == 2 && name[0] == '.' && name[1] == '.') {
            while (n > 0 && out[--n] != '/')
                ;
            continue;
        }
        if (n + 1 + len >= size) {
            errno = ENAMETOOLONG;
            return -1;
        }
        out[n++] = '/';
        memmove(out + n, name, len);
        n += len;
    }
    if (n == 0 && size < 2) {
        errno = ENAMETOOLONG;
        return -1;
    }
    if (n == 0)
        out[n++] = '/';
    out[n] = '\0';
    return (int)n;
}

/* Whether a path is in normal form. */
static int is_plain(const char *path, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++) {
        if (path[i] != '/')
            continue;
        if (path[i + 1] == '/' || (path[i + 1] == '\0' && len > 1))
            return 0;
        if (path[i + 1] == '.' && (path[i + 2] == '/' || path[i + 2] == '\0' ||
                                   (path[i + 2] == '.' && (path[i + 3] == '/' || path[i + 3] == '\0'))))
            return 0;
    }
    return 1;
}

const char *mioc_path_plain(const char *path, uint32_t *len, char buf[MIOC_PATH_MAX])
{
    int folded;

    if (is_plain(path, *len))
        return path;
    folded = mioc_path_normalize(path, buf, MIOC_PATH_MAX);
    if (folded <= 0)
        return path;
    *len = (uint32_t)folded;
    return buf;
}

uint32_t mioc_path_turn(const char *path, uint32_t len, unsigned i, char out[MIOC_PATH_MAX])
{
    uint32_t n = 0, name_len;

    if (len >= MIOC_PATH_MAX)
        return 0;
    for (const char *name = path + strspn(path, "/"); *name != '\0'; name += name_len, name += strspn(name, "/")) {
        name_len = (uint32_t)strcspn(name, "/");
        if (name_len == 1 && name[0] == '.')
            continue;
        if (name_len != 2 || name[0] != '.' || name[1] != '.') {
            out[n++] = '/';
            memcpy(out + n, name, name_len);
            n += name_len;
            continue;
        }
        if (i-- == 0) {
            if (n == 0)
                out[n++] = '/';
            out[n] = '\0';
            return n;
        }
        while (n > 0 && out[--n] != '/')
            ;
    }
    return 0;
}

static int is_written(const char *path, uint32_t len, const char *written, uint32_t written_len, int subtree)
{
    return (len == written_len && memcmp(path, written, len) == 0) ||
           (subtree && mioc_path_is_below(path, len, written, written_len));
}

int mioc_path_is_concerned(const char *path, uint32_t len, int of_names, const char *written, uint32_t written_len,
                           int subtree)
{
    char buf[MIOC_PATH_MAX];
    uint32_t plain_len = len, n;
    const char *plain = mioc_path_plain(path, &plain_len, buf);

    if (is_written(plain, plain_len, written, written_len, subtree) ||
        (of_names && plain_len == mioc_path_parent(written, written_len) && memcmp(plain, written, plain_len) == 0))
        return 1;
    for (unsigned i = 0; plain == buf && (n = mioc_path_turn(path, len, i, buf)) > 0; i++)
        if (is_written(buf, n, written, written_len, subtree))
            return 1;
    return 0;
}

int mioc_path_is_below(const char *path, uint32_t len, const char *prefix, uint32_t prefix_len)
{
    if (prefix_len == 1 && prefix[0] == '/')
        return len > 0 && path[0] == '/';
    return len >= prefix_len && (len == prefix_len || path[prefix_len] == '/') && memcmp(path, prefix, prefix_len) == 0;
}

uint32_t mioc_path_parent(const char *path, uint32_t len)
{
    const char *slash = memrchr(path, '/', len);
    uint32_t at, name;

    if (slash == NULL)
        return 0;
    at = (uint32_t)(slash - path);
    name = len - at - 1;
    if (name == 0 || (slash[1] == '.' && (name == 1 || (name == 2 && slash[2] == '.'))))
        return 0;
    return at > 0 ? at : 1;
}

static int is_digit(char c) { return c >= '0' && c <= '9'; }

/* Not isalnum(), which depends on the program's locale. */
static int is_version(const char *text, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++) {
        char lower = (char)(text[i] | 0x20);

        if (!is_digit(text[i]) && text[i] != '.' && !(lower >= 'a' && lower <= 'z'))
            return 0;
    }
    return len > 0 && is_digit(text[0]);
}

int mioc_path_is_object_name(const char *name, uint32_t len)
{
    const char *end = name + len, *at = name + 1;

    if (len <= 3)
        return 0;
    if (memcmp(end - 3, ".so", 3) == 0)
        return 1;
    while ((at = memmem(at, (size_t)(end - at), ".so.", 4)) != NULL) {
        at += 4;
        if (is_version(at, (uint32_t)(end - at)))
            return 1;
    }
    return 0;
}
