/* SPDX-License-Identifier: BSD-3-Clause */
/* test_store_mirror.c - copies of shared objects are opened under their original names, or at least opened. */
#include "store_fixture.h"

#include <limits.h>
#include <sys/stat.h>

static const char *in_store(const struct mioc_store *s, const char *name)
{
    static char path[PATH_MAX];

    snprintf(path, sizeof(path), "%s%s", mioc_store_path(s), name);
    return path;
}

/* Publishes a content whose one byte is its number's last. */
static const struct mioc_content_record *publish(struct mioc_store *s, const char *path, uint32_t content)
{
    _Alignas(8) char buf[128];
    struct mioc_chunk_record *chunk = (void *)buf;
    struct mioc_content_record *r;
    char byte = (char)content;

    mioc_item_finish(buf, mioc_item_begin(buf, MIOC_ITEM_CHUNK, 0, NULL, 0));
    chunk->content = content;
    chunk->length = 1;
    chunk->total = 1;
    if (mioc_store_append(s, &chunk->item) < 0 || mioc_store_write_chunk(s, chunk, &byte) != 0)
        return NULL;
    r = (void *)record(MIOC_ITEM_CONTENT, 0, path, 0);
    r->open_errno = 0;
    r->content = content;
    r->size = 1;
    return mioc_store_append(s, &r->item) < 0 ? NULL : (const void *)lookup(s, MIOC_ITEM_CONTENT, path);
}

/* Opens as a loader would; the path that /proc shows, from the store's on. */
static const char *opened_name(const struct mioc_store *s, const struct mioc_content_record *r)
{
    static char name[PATH_MAX];
    char link[64], byte;
    struct stat st;
    int fd;
    ssize_t n;

    assert_non_null(r);
    errno = 77;
    fd = mioc_store_open_object(s, r, O_CLOEXEC, NULL);
    assert_true(fd >= 0);
    assert_int_equal(errno, 77);
    assert_int_equal(read(fd, &byte, 1), 1);
    assert_int_equal(byte, (char)r->content);
    assert_int_equal(fstat(fd, &st), 0);
    assert_ptr_equal(mioc_store_record_of(s, &st), r);
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    n = readlink(link, name, sizeof(name) - 1);
    assert_true(n > 0);
    name[n] = '\0';
    close(fd);
    assert_memory_equal(name, mioc_store_path(s), strlen(mioc_store_path(s)));
    return name + strlen(mioc_store_path(s));
}

static void object_is_opened_by_its_original_name(void **state)
{
    struct mioc_store *s = *state, *view = mioc_store_attach(mioc_store_path(s));
    const char *python = "/opt/py/lib/x.cpython-311-x86_64-linux-gnu.so", *lib = "/opt/py/lib/libm.so.6.1";
    const struct mioc_content_record *r;
    struct stat st;
    int fd;

    assert_non_null(view);
    publish(s, python, 1);
    publish(s, lib, 2);
    r = (const void *)lookup(view, MIOC_ITEM_CONTENT, python);
    assert_string_equal(opened_name(view, r) + 2, python);
    assert_string_equal(opened_name(view, (const void *)lookup(view, MIOC_ITEM_CONTENT, lib)) + 2, lib);
    fd = mioc_store_open_object(view, r, O_NOFOLLOW, NULL);
    assert_int_equal(fcntl(fd, F_GETFD), 0);
    assert_true(fcntl(fd, F_GETFL) & O_NOFOLLOW);
    close(fd);
    fd = mioc_store_open_object(view, r, 0, NULL);
    assert_int_equal(fcntl(fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK | O_NOFOLLOW), O_RDONLY);
    close(fd);
    assert_int_equal(lstat(in_store(s, "/m/opt/py"), &st), 0);
    assert_int_equal(st.st_mode, S_IFDIR | 0700);
    mioc_store_append(s, invalidation(0, python, 1, 1));
    assert_string_equal(opened_name(view, r) + 2, python); /* who has the record may still open it */
    mioc_store_detach(view);
}

static void without_a_copy_nothing_is_opened(void **state)
{
    struct mioc_store *s = *state;

    assert_true(mioc_store_append(s, record(MIOC_ITEM_CONTENT, 0, "/a/none.so", 0)) >= 0);
    assert_true(mioc_store_append(s, record(MIOC_ITEM_CONTENT, MIOC_FLAG_UNCACHED, "/a/large.so", 0)) >= 0);
    assert_int_equal(mioc_store_open_object(s, (const void *)lookup(s, MIOC_ITEM_CONTENT, "/a/none.so"), 0, NULL), -1);
    assert_int_equal(errno, EINVAL);
    assert_int_equal(mioc_store_open_object(s, (const void *)lookup(s, MIOC_ITEM_CONTENT, "/a/large.so"), 0, NULL), -1);
    assert_int_equal(rmdir(in_store(s, "/m")), 0); /* it is empty */
}

static void others_are_opened_by_number(void **state)
{
    struct mioc_store *s = *state;
    char too_long[PATH_MAX], long_name[300];
    const char *table[] = { "/a/b.py", "/a/so", "/a/x.so/", "/a.so/b", "/a/../b.py", too_long, long_name };
    uint32_t content = 10;

    for (size_t i = 0; i < sizeof(too_long); i++)
        too_long[i] = i % 200 == 0 ? '/' : 'd';
    strcpy(too_long + sizeof(too_long) - 41, "/x.so"); /* fits, but not behind the store's path */
    memset(long_name, 'n', sizeof(long_name));
    long_name[0] = '/';
    strcpy(long_name + sizeof(long_name) - 5, ".so");
    for (unsigned i = 0; i < sizeof(table) / sizeof(*table); i++) {
        char expected[32];

        snprintf(expected, sizeof(expected), "/c/%u", ++content);
        assert_string_equal(opened_name(s, publish(s, table[i], content)), expected);
    }
    assert_int_equal(rmdir(in_store(s, "/m")), 0); /* a name that the kernel refuses is no reason to fail */
}

/* As the loader finds them by $ORIGIN/../lib. */
static void spelling_with_dotdot_ends_in_the_real_name(void **state)
{
    static const struct {
        const char *path, *name;
        uint32_t content;
    } table[] = {
        { "/a/numpy/core/../../numpy.libs/libopenblas.so.0", "/m/=1/a/numpy.libs/libopenblas.so.0", 1 },
        { "/a/numpy/linalg/../../numpy.libs/libopenblas.so.0", "/m/=12/a/numpy.libs/libopenblas.so.0", 12 },
        { "/a/numpy.libs/libopenblas.so.0", "/m/a/numpy.libs/libopenblas.so.0", 3 },
        { "/a/x/../../../../outside.so", "/m/=100/outside.so", 100 },
        { "/../outside.so", "/m/=4294967295/outside.so", UINT32_MAX },
    };
    const struct mioc_content_record *found[sizeof(table) / sizeof(*table)];
    struct mioc_store *s = *state;
    char outside[128];
    struct stat st;

    snprintf(outside, sizeof(outside), "%s/outside.so", store_dir); /* what STORE/m/../../outside.so would be */
    assert_int_equal(mkfifo(outside, 0600), 0);
    for (unsigned i = 0; i < sizeof(table) / sizeof(*table); i++)
        found[i] = publish(s, table[i].path, table[i].content);
    for (unsigned i = 0; i < sizeof(table) / sizeof(*table); i++)
        assert_string_equal(opened_name(s, found[i]), table[i].name);
    assert_int_equal(lstat(outside, &st), 0);
    assert_int_equal(st.st_mode, S_IFIFO | 0600);
    assert_int_equal(unlink(outside), 0);
}

static void newer_content_takes_the_name(void **state)
{
    struct mioc_store *s = *state;
    const struct mioc_content_record *old = publish(s, "/a/x.so", 1), *new;

    assert_string_equal(opened_name(s, old), "/m/a/x.so");
    new = publish(s, "/a/x.so", 2);
    assert_ptr_not_equal(old, new);
    assert_string_equal(opened_name(s, new), "/m/a/x.so");
    assert_string_equal(opened_name(s, old), "/c/1");
    assert_int_equal(access(in_store(s, "/c/new"), F_OK), -1);
    /* One that is on hold is nobody's, and what is found of the older one stays right. */
    assert_int_equal(mioc_store_hold(s, "/a/x.so", 7, 0, 5), 0);
    assert_null(publish(s, "/a/x.so", 3));
    assert_string_equal(opened_name(s, new), "/c/2");
}

static void path_that_is_file_and_directory_has_one_of_the_names(void **state)
{
    struct mioc_store *s = *state;

    assert_string_equal(opened_name(s, publish(s, "/a/x.so", 1)), "/m/a/x.so");
    assert_string_equal(opened_name(s, publish(s, "/a/x.so/y.so", 2)), "/c/2");
    assert_string_equal(opened_name(s, publish(s, "/b/x.so/d/y.so", 3)), "/m/b/x.so/d/y.so");
    assert_string_equal(opened_name(s, publish(s, "/b/x.so", 4)), "/c/4");
    assert_int_equal(access(in_store(s, "/c/new"), F_OK), -1);
    assert_string_equal(opened_name(s, publish(s, "/b/z.so", 5)), "/m/b/z.so");
}

/* Whatever stands in the name's place, the copy's bytes come. */
static void name_that_leads_elsewhere_is_not_believed(void **state)
{
    struct mioc_store *s = *state;
    const struct mioc_content_record *r = publish(s, "/a/x.so", 1), *other = publish(s, "/a/y.so", 2);
    char name[PATH_MAX], copy[PATH_MAX];

    strcpy(name, in_store(s, "/m/a/x.so"));
    strcpy(copy, in_store(s, "/m/a/y.so"));
    assert_int_equal(unlink(name), 0);
    assert_string_equal(opened_name(s, r), "/c/1");
    assert_int_equal(link(copy, name), 0);
    assert_string_equal(opened_name(s, r), "/c/1");
    assert_int_equal(unlink(name), 0);
    assert_int_equal(symlink("/etc/passwd", name), 0);
    assert_string_equal(opened_name(s, r), "/c/1");
    assert_int_equal(unlink(name), 0);
    assert_int_equal(mkdir(name, 0700), 0);
    assert_string_equal(opened_name(s, r), "/c/1");
    assert_string_equal(opened_name(s, other), "/m/a/y.so");
}

static int publishes_under_private_umask(void *arg)
{
    struct mioc_store *s;
    int fd = -1;

    (void)arg;
    if (geteuid() == 0 && setuid(65534) != 0) /* root may search any directory */
        return 99;
    umask(0177);
    s = mioc_store_create(store_dir, KEY, &limits);
    if (s == NULL)
        return 1;
    if (publish(s, "/a/b/x.so", 1) && publish(s, "/a/c/x.so", 2))
        fd = mioc_store_open_object(s, (const void *)lookup(s, MIOC_ITEM_CONTENT, "/a/b/x.so"), 0, NULL);
    if (fd < 0 || access(in_store(s, "/m/a/b/x.so"), F_OK) != 0 || access(in_store(s, "/m/a/c/x.so"), F_OK) != 0)
        return 2;
    mioc_store_remove(s);
    return access(mioc_store_path(s), F_OK) == 0 ? 3 : 0;
}

static void names_are_made_under_any_umask(void **state)
{
    int result;

    (void)state;
    assert_int_equal(chmod(store_dir, 01777), 0);
    result = in_child(publishes_under_private_umask, NULL);
    if (result == 99)
        skip();
    assert_int_equal(result, 0);
}

/* --- Readers beside the writer ----------------------------------------------------------------------------------- */

#define VERSIONS 3000u

/* Opens what it finds until it has seen the last version. */
static int reads_every_version(void *path)
{
    struct mioc_store *view = mioc_store_attach(path);
    const struct mioc_content_record *r;

    if (view == NULL)
        return 1;
    do {
        struct stat st;
        int fd;

        r = (const void *)lookup(view, MIOC_ITEM_CONTENT, "/a/x.so");
        if (r == NULL)
            return 2;
        fd = mioc_store_open_object(view, r, 0, NULL);
        if (fd < 0)
            return 3;
        if (fstat(fd, &st) != 0 || mioc_store_record_of(view, &st) != r)
            return 4;
        close(fd);
    } while (r->content != VERSIONS);
    return 0;
}

static void reader_beside_the_writer_gets_its_record_s_copy(void **state)
{
    struct mioc_store *s = *state;
    pid_t pid;
    int status;

    assert_non_null(publish(s, "/a/x.so", 1));
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(reads_every_version((void *)(uintptr_t)mioc_store_path(s)));
    for (uint32_t i = 2; i <= VERSIONS; i++)
        assert_non_null(publish(s, "/a/x.so", i));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* --- Removing ---------------------------------------------------------------------------------------------------- */

static char neighbour[80];

/* A store with a tree that is deeper than any path, has names like those that removing gives, and links that lead out
 * of it. */
static void fill_tree(struct mioc_store *s)
{
    char deep[1024] = "";
    int fd;

    for (unsigned i = 0; i < 500; i++)
        strcat(deep, "/d");
    strcat(deep, "/x.so");
    assert_memory_equal(opened_name(s, publish(s, deep, 1)), "/m/d/d/", 7);
    assert_string_equal(opened_name(s, publish(s, "/.0/.1/.0/x.so", 2)), "/m/.0/.1/.0/x.so");
    assert_string_equal(opened_name(s, publish(s, "/.1/.0/.1/x.so", 3)), "/m/.1/.0/.1/x.so");
    assert_string_equal(opened_name(s, publish(s, "/.2.so", 4)), "/m/.2.so");
    fd = open(in_store(s, "/m/d"), O_RDONLY | O_DIRECTORY);
    assert_true(fd >= 0);
    for (unsigned i = 0; i < 3000; i++) {
        int below;

        assert_int_equal(mkdirat(fd, "e", 0700), 0);
        below = openat(fd, "e", O_RDONLY | O_DIRECTORY);
        assert_true(below >= 0);
        close(fd);
        fd = below;
    }
    assert_int_equal(symlinkat(neighbour, fd, "e"), 0);
    close(fd);
    assert_int_equal(symlink(neighbour, in_store(s, "/m/d/neighbour")), 0);
    assert_int_equal(symlink(neighbour, in_store(s, "/m/neighbour")), 0);
}

static void make_neighbour(void)
{
    char file[100];

    snprintf(neighbour, sizeof(neighbour), "%s/neighbour", store_dir);
    snprintf(file, sizeof(file), "%s/file", neighbour);
    assert_int_equal(mkdir(neighbour, 0700), 0);
    assert_int_equal(close(open(file, O_CREAT | O_WRONLY, 0600)), 0);
}

/* It is as it was. */
static void remove_neighbour(void)
{
    char file[100];

    snprintf(file, sizeof(file), "%s/file", neighbour);
    assert_int_equal(unlink(file), 0);
    assert_int_equal(rmdir(neighbour), 0);
}

static void remove_takes_a_tree_of_any_depth(void **state)
{
    struct mioc_store *s = mioc_store_create(store_dir, KEY, &limits);
    const struct mioc_content_record *r;

    (void)state;
    assert_non_null(s);
    make_neighbour();
    fill_tree(s);
    r = publish(s, "/b/x.so", 5);
    mioc_store_remove(s);
    assert_int_equal(access(mioc_store_path(s), F_OK), -1);
    assert_int_equal(mioc_store_open_object(s, r, 0, NULL), -1);
    assert_int_equal(errno, ENOENT);
    assert_non_null(lookup(s, MIOC_ITEM_CONTENT, "/b/x.so"));
    mioc_store_detach(s);
    remove_neighbour();
}

static int dies_with_a_store(void *arg)
{
    struct mioc_store *s = mioc_store_create(store_dir, KEY, &limits);

    (void)arg;
    if (s == NULL)
        return 1;
    fill_tree(s);
    raise(SIGKILL);
    return 2;
}

static void reclaim_takes_a_dead_store_s_tree(void **state)
{
    (void)state;
    make_neighbour();
    assert_int_equal(in_child(dies_with_a_store, NULL), 128 + SIGKILL);
    assert_int_equal(mioc_store_reclaim(store_dir), 1);
    remove_neighbour();
}

#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, make_store, remove_store)
#define WITH_DIR(test) cmocka_unit_test_setup_teardown(test, make_dir, remove_dir)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        WITH_STORE(object_is_opened_by_its_original_name),
        WITH_STORE(without_a_copy_nothing_is_opened),
        WITH_STORE(others_are_opened_by_number),
        WITH_STORE(spelling_with_dotdot_ends_in_the_real_name),
        WITH_STORE(newer_content_takes_the_name),
        WITH_STORE(path_that_is_file_and_directory_has_one_of_the_names),
        WITH_STORE(name_that_leads_elsewhere_is_not_believed),
        WITH_DIR(names_are_made_under_any_umask),
        WITH_STORE(reader_beside_the_writer_gets_its_record_s_copy),
        WITH_DIR(remove_takes_a_tree_of_any_depth),
        WITH_DIR(reclaim_takes_a_dead_store_s_tree),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
