/* SPDX-License-Identifier: BSD-3-Clause */
/* differential.c - every interposed call on every shape of path, for comparing a plain run with a served one.
 *
 *     differential setup DIR      makes the tree DIR/t
 *     differential read DIR       reads it in all ways
 *     differential write DIR      writes in the empty directory DIR and reads again
 *     differential calls DIR      calls every function that takes a descriptor on one of a file in the empty
 *                                 directory DIR
 *     differential names DIR      prints which those are
 *     differential bytecode DIR   the importlib rule, in DIR */
#include "differential.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static char line[65536];
static size_t used;

void tell(const char *what, const char *path, long rc)
{
    int saved = errno;

    used = 0;
    /* Paths that are made too long on purpose are told by their length. */
    tell_more("%s ", what);
    if (strlen(path) > 300)
        tell_more("<%zu bytes>", strlen(path));
    else
        tell_more("'%s'", path);
    tell_more(" -> %ld %s", rc, saved == ERRNO_UNTOUCHED ? "-" : strerrorname_np(saved));
    errno = saved;
}

void tell_more(const char *format, ...)
{
    va_list arguments;
    int n;

    va_start(arguments, format);
    n = vsnprintf(line + used, sizeof(line) - used, format, arguments);
    va_end(arguments);
    if (n > 0)
        used = used + (size_t)n < sizeof(line) ? used + (size_t)n : sizeof(line) - 1;
}

void tell_end(void)
{
    int saved = errno;

    puts(line);
    errno = saved;
}

void tell_stat(const struct stat *st, int is_same_tree)
{
    tell_more(" mode=%o nlink=%lu uid=%u gid=%u", st->st_mode, (unsigned long)st->st_nlink, st->st_uid, st->st_gid);
    if (!S_ISDIR(st->st_mode) || is_same_tree)
        tell_more(" size=%lld", (long long)st->st_size);
    if (is_same_tree)
        tell_more(" dev=%lx ino=%lu rdev=%lx blksize=%ld blocks=%lld mtime=%lld.%09ld ctime=%lld.%09ld",
                  (unsigned long)st->st_dev, (unsigned long)st->st_ino, (unsigned long)st->st_rdev,
                  (long)st->st_blksize, (long long)st->st_blocks, (long long)st->st_mtim.tv_sec, st->st_mtim.tv_nsec,
                  (long long)st->st_ctim.tv_sec, st->st_ctim.tv_nsec);
}

static uint64_t hash_bytes(uint64_t hash, const unsigned char *bytes, ssize_t n)
{
    while (n-- > 0)
        hash = (hash ^ *bytes++) * 1099511628211u;
    return hash;
}

void tell_content(int fd)
{
    static unsigned char buf[65536];
    uint64_t by_read = 14695981039346656037u, by_pread = by_read;
    off_t total = 0, at = 0;
    ssize_t n;

    while ((n = read(fd, buf, sizeof(buf))) > 0) {
        by_read = hash_bytes(by_read, buf, n);
        total += n;
    }
    tell_more(" read=%lld %016llx %s", (long long)total, (unsigned long long)by_read,
              n < 0 ? strerrorname_np(errno) : "");
    while ((n = pread(fd, buf, 1000, at)) > 0) {
        by_pread = hash_bytes(by_pread, buf, n);
        at += n;
    }
    tell_more(" pread=%016llx", (unsigned long long)by_pread);
}

/* --- The tree ---------------------------------------------------------------------------------------------------- */

static char long_name[256]; /* the longest a name may be */

static void must(int rc, const char *what)
{
    if (rc < 0) {
        perror(what);
        exit(1);
    }
}

static void make_file(const char *path, size_t size, mode_t mode)
{
    int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0600);
    unsigned char *bytes = malloc(size + 1);

    must(fd, path);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)(i * 31 + (i >> 8));
    must((int)write(fd, bytes, size), path);
    must(fchmod(fd, mode), path);
    close(fd);
    free(bytes);
}

static void setup(void)
{
    char name[64];

    must(mkdir("t", 0755), "t");
    must(chdir("t"), "t");
    make_file("file", 12, 0644);
    make_file("empty", 0, 0644);
    make_file("big", 300001, 0640);
    make_file("script", 5, 0755);
    make_file("suid", 5, 04755);
    make_file("unreadable", 10, 0000);
    make_file("writeonly", 10, 0222);
    make_file("mod.py", 100, 0644);
    make_file("caf\303\251 x", 7, 0644);
    make_file(long_name, 8, 0600);
    must(mkdir("__pycache__", 0755), "mkdir");
    make_file("__pycache__/mod.cpython-311.pyc", 200, 0644);
    must(mkdir("dir", 0755), "mkdir");
    make_file("dir/inner", 20, 0644);
    must(mkdir("dir/sub", 0755), "mkdir");
    make_file("dir/sub/deep", 30, 0644);
    must(mkdir("hollow", 0700), "mkdir");
    must(mkdir("many", 0755), "mkdir");
    for (int i = 0; i < 1500; i++) {
        (void)snprintf(name, sizeof(name), "many/entry%d", i);
        make_file(name, 0, 0644);
    }
    must(mkdir("huge", 0755), "mkdir"); /* its listing is too large to be shared */
    for (int i = 0; i < 1200; i++) {
        (void)snprintf(name, sizeof(name), "huge/%04d", i);
        memset(name + 9, 'x', 40);
        name[49] = '\0';
        must(symlink(name, name), name);
    }
    must(mkdir("unsearchable", 0755), "mkdir");
    make_file("unsearchable/inner", 3, 0644);
    must(chmod("unsearchable", 0644), "chmod");
    must(mkdir("unlistable", 0755), "mkdir");
    make_file("unlistable/inner", 3, 0644);
    must(chmod("unlistable", 0311), "chmod");
    must(mkfifo("fifo", 0644), "fifo");
    must(symlink("file", "link_file"), "symlink");
    must(symlink("dir", "link_dir"), "symlink");
    must(symlink("dir/", "link_slash"), "symlink");
    must(symlink("file/", "link_badslash"), "symlink");
    must(symlink("nowhere", "link_dangling"), "symlink");
    must(symlink("link_loop", "link_loop"), "symlink");
    must(symlink("link_file", "link_chain"), "symlink");
    must(symlink("unreadable", "link_unreadable"), "symlink");
    must(symlink("../t/dir/sub", "link_up"), "symlink");
    must(symlink("fifo", "link_fifo"), "symlink");
    must(symlink("/etc", "link_out"), "symlink");
    (void)!chown("unreadable", 12345, 12345);
}

/* --- The shapes of paths ----------------------------------------------------------------------------------------- */

static const char *const names[] = {
    "file",
    "empty",
    "big",
    "script",
    "suid",
    "unreadable",
    "writeonly",
    "mod.py",
    "caf\303\251 x",
    "__pycache__",
    "__pycache__/mod.cpython-311.pyc",
    "dir",
    "dir/inner",
    "dir/sub",
    "dir/sub/deep",
    "hollow",
    "many",
    "many/entry7",
    "huge",
    "unsearchable",
    "unsearchable/inner",
    "unsearchable/missing",
    "unlistable",
    "unlistable/inner",
    "unlistable/missing",
    "fifo",
    "link_file",
    "link_dir",
    "link_slash",
    "link_badslash",
    "link_dangling",
    "link_loop",
    "link_chain",
    "link_unreadable",
    "link_up",
    "link_up/deep",
    "link_up/../inner",
    "link_fifo",
    "link_out",
    "link_out/passwd",
    "link_out/missing",
    "link_dir/inner",
    "link_dir/missing",
    "link_loop/x",
    "link_dangling/x",
    "link_file/x",
    "missing",
    "missing.py",
    "dir/missing",
    "dir/sub/missing/deeper",
    "missing/../file",
    "file/../file",
    "file/..",
    "dir/../file",
    "dir/..//.//file",
    "dir/../dir/inner",
    ".",
    "..",
    "../t/file",
    "dir/..",
    "dir/../..",
};
static const char *const endings[] = { "", "/", "//", "/.", "/..", "/x" };
#define ENDINGS (sizeof(endings) / sizeof(endings[0]))

static int is_blocking(const char *path) { return strstr(path, "fifo") != NULL; }

static void probe(int dirfd, const char *path)
{
    probe_metadata(dirfd, path);
    probe_links(dirfd, path);
    probe_directory(dirfd, path);
    probe_open(dirfd, path);
    if (dirfd == AT_FDCWD && !is_blocking(path))
        probe_stdio(path);
    fflush(stdout);
}

static void probe_shapes(const char *prefix, int dirfd, size_t most_endings)
{
    char path[8192];

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        for (size_t j = 0; j < most_endings; j++) {
            (void)snprintf(path, sizeof(path), "%s%s%s", prefix, names[i], endings[j]);
            probe(dirfd, path);
        }
    (void)snprintf(path, sizeof(path), "%s%s", prefix, long_name);
    probe(dirfd, path);
    strcat(path, "y");
    probe(dirfd, path);
}

/* prefix + "./././…" + "file", `length` bytes in all. */
static void probe_length(const char *prefix, size_t length)
{
    char path[8192];
    size_t n = (size_t)snprintf(path, sizeof(path), "%s", prefix);

    while (n + 6 < length) {
        path[n++] = '.';
        path[n++] = '/';
    }
    while (n + 4 < length)
        path[n++] = '/';
    memcpy(path + n, "file", 5);
    probe(AT_FDCWD, path);
}

static void read_all(const char *base)
{
    char prefix[2048];
    int dirfd, file;

    (void)snprintf(prefix, sizeof(prefix), "%s/t/", base);
    probe_shapes(prefix, AT_FDCWD, ENDINGS);
    probe_length(prefix, 4094);
    probe_length(prefix, 4095);
    probe_length(prefix, 4096);
    probe_length(prefix, 5000);
    must(chdir(prefix), "chdir");
    probe_shapes("", AT_FDCWD, 2);
    probe_shapes(".//./", AT_FDCWD, 1);
    probe(AT_FDCWD, "");
    dirfd = open(".", O_RDONLY | O_DIRECTORY);
    must(dirfd, "open");
    must(chdir("/"), "chdir");
    probe_shapes("", dirfd, ENDINGS);
    probe(dirfd, "");
    probe(dirfd, prefix);
    file = openat(dirfd, "file", O_RDONLY);
    must(file, "open");
    probe(file, "");
    probe(file, "x");
    probe(file, prefix);
    probe(-1, "x");
    probe(-1, prefix);
    must(fchdir(dirfd), "fchdir");
    probe(AT_FDCWD, "file");
    must(chdir("dir"), "chdir");
    probe(AT_FDCWD, "inner");
    probe(AT_FDCWD, "../file");
    probe(AT_FDCWD, "/etc/passwd");
    close(dirfd);
}

int main(int argc, char **argv)
{
    /* Not through stdio's own descriptors later: everything is printed by one stream that is open from the start. */
    setvbuf(stdout, NULL, _IOFBF, 1 << 16);
    memset(long_name, 'n', sizeof(long_name) - 1);
    umask(022);
    if (argc != 3 || chdir(argv[2]) != 0) {
        fprintf(stderr, "usage: differential setup|read|write|calls|names|bytecode DIR\n");
        return 2;
    }
    if (strcmp(argv[1], "setup") == 0)
        setup();
    else if (strcmp(argv[1], "read") == 0)
        read_all(argv[2]);
    else if (strcmp(argv[1], "write") == 0)
        run_writes();
    else if (strcmp(argv[1], "calls") == 0)
        run_calls();
    else if (strcmp(argv[1], "names") == 0)
        tell_calls();
    else
        run_bytecode();
    return fflush(stdout) == 0 ? 0 : 1;
}
