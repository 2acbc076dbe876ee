/* SPDX-License-Identifier: BSD-3-Clause */
/* test_serve.c - the way from a copy back to its original, detaching, and the importlib rule; the calls themselves are
 * tests/programs/differential.c's. */
#include "store_fixture.h"

#include <sys/resource.h>

/* The interposers are no part of mioc_core. Here they interpose this test, which does no harm. */
#include "interpose/serve.c"
#include "interpose/bytecode.c"
#include "interpose/copy.c"
#include "interpose/detach.c"
#include "interpose/wrap_fd.c"

static struct mioc_policy policy;
static struct mioc_store *store;
static char original[128], text[] = "the original's bytes";

/* A store with a copy of `original`, a real file whose prefix is cached. */
static int setup(void **state)
{
    static _Alignas(8) char buf[256];
    struct mioc_chunk_record *chunk = (void *)buf;
    struct mioc_content_record *r;
    struct stat st;
    int fd;

    if (make_store(state) != 0)
        return -1;
    store = *state;
    (void)snprintf(original, sizeof(original), "%s/file", store_dir);
    fd = open(original, O_CREAT | O_WRONLY, 0640);
    if (fd < 0 || write(fd, text, sizeof(text)) != sizeof(text) || fstat(fd, &st) != 0 || close(fd) != 0)
        return -1;
    (void)mioc_item_begin(buf, MIOC_ITEM_CHUNK, 0, NULL, 0);
    chunk->content = 1;
    chunk->length = (uint32_t)sizeof(text);
    chunk->total = sizeof(text);
    mioc_item_finish(buf, chunk + 1);
    if (mioc_store_append(store, &chunk->item) < 0 || mioc_store_write_chunk(store, chunk, text) != 0)
        return -1;
    r = (void *)record(MIOC_ITEM_CONTENT, 0, original, 0);
    r->open_errno = 0;
    r->content = 1;
    r->size = sizeof(text);
    r->stat =
        (struct mioc_stat){ .ino = st.st_ino, .dev = st.st_dev, .size = sizeof(text), .mode = st.st_mode, .nlink = 1 };
    if (mioc_store_append(store, &r->item) < 0)
        return -1;
    (void)snprintf(policy.prefix[0].path, sizeof(policy.prefix[0].path), "%s", store_dir);
    policy.prefix[0].len = (uint32_t)strlen(store_dir);
    policy.prefix[0].kind = MIOC_POLICY_LIBRARY;
    policy.count = 1;
    mioc_store_set_state(store, MIOC_STORE_ACTIVE);
    mioc_client_start(store, &policy, 1);
    return 0;
}

static int teardown(void **state)
{
    mioc_client_stop();
    (void)unlink(original);
    return remove_store(state);
}

static int open_copy(int flags)
{
    int fd = mioc_store_open_content(store, (const void *)lookup(store, MIOC_ITEM_CONTENT, original), flags);

    assert_true(fd >= 0);
    return fd;
}

static void map_stat_of_a_copy_gives_the_original(void **state)
{
    struct stat st, real;
    int fd = open_copy(0);

    (void)state;
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(stat(original, &real), 0);
    assert_int_not_equal(st.st_ino, real.st_ino);
    assert_int_equal(mioc_serve_map_stat(&st), 1);
    assert_int_equal(st.st_ino, real.st_ino);
    assert_int_equal(st.st_mode, real.st_mode);
    assert_int_equal(mioc_serve_map_stat(&real), 0);
    close(fd);
}

static void names_in_proc_lead_to_the_original(void **state)
{
    static const char *const others[] = { "/proc/self/exe", "/etc/passwd", "relative", "", "/dev/stdin-is-no-copy" };
    char name[64];
    int fd = open_copy(0);

    (void)state;
    (void)snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
    errno = 99;
    assert_string_equal(mioc_serve_original(name), original);
    (void)snprintf(name, sizeof(name), "/dev/fd/%d", fd);
    assert_string_equal(mioc_serve_original(name), original);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        assert_ptr_equal(mioc_serve_original(others[i]), others[i]);
    assert_int_equal(errno, 99);
    close(fd);
}

static void is_store_path_matches_whole_names(void **state)
{
    const char *base = mioc_store_path(store);
    size_t len = strlen(base);
    char path[256];

    (void)state;
    assert_int_equal(mioc_serve_is_store_path(path, (size_t)snprintf(path, sizeof(path), "%s/c/1", base), 0), 1);
    assert_int_equal(mioc_serve_is_store_path(path, (size_t)snprintf(path, sizeof(path), "%s-other/c/1", base), 0), 0);
    assert_int_equal(mioc_serve_is_store_path(base, len, 0), 0);
    assert_int_equal(mioc_serve_is_store_path(base, len, 1), 1);
    assert_int_equal(mioc_serve_is_store_path(base, 3, 1), 1);
    assert_int_equal(mioc_serve_is_store_path("/nowhere", 8, 1), 0);
}

static void detach_keeps_offset_and_flags(void **state)
{
    static const int flags[] = { 0, O_CLOEXEC, O_NONBLOCK };

    (void)state;
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        int fd = open_copy(flags[i]), fl = fcntl(fd, F_GETFL), keeps = fcntl(fd, F_GETFD);
        struct stat st, real;

        assert_int_equal(lseek(fd, 5, SEEK_SET), 5);
        errno = 99;
        assert_int_equal(mioc_serve_detach(fd), 0);
        assert_int_equal(errno, 99);
        assert_int_equal(fstat(fd, &st) | stat(original, &real), 0);
        assert_int_equal(st.st_ino, real.st_ino);
        assert_int_equal(lseek(fd, 0, SEEK_CUR), 5);
        assert_int_equal(fcntl(fd, F_GETFL) & ~O_NOFOLLOW & ~O_CLOEXEC, fl & ~O_NOFOLLOW & ~O_CLOEXEC);
        assert_int_equal(fcntl(fd, F_GETFD), keeps);
        assert_int_equal(mioc_serve_detach(fd), 0); /* it is none any more */
        close(fd);
    }
    assert_int_equal(mioc_serve_detach(-1), 0);
}

static void detach_from_another_file_of_that_name_fails(void **state)
{
    char kept[160];
    int fd = open_copy(0);
    mode_t before, after;
    struct stat st;

    (void)state;
    (void)snprintf(kept, sizeof(kept), "%s.kept", original);
    assert_int_equal(rename(original, kept), 0);
    close(open(original, O_CREAT | O_WRONLY, 0600));
    assert_int_equal(fstat(fd, &st), 0);
    before = st.st_mode;
    assert_int_equal(fchmod(fd, 0777), -1);
    assert_int_equal(errno, ESTALE);
    assert_int_equal(fstat(fd, &st), 0);
    after = st.st_mode;
    assert_int_equal(before, after);
    assert_int_equal(unlink(original), 0);
    assert_int_equal(fchmod(fd, 0777), -1);
    assert_int_equal(errno, ESTALE);
    close(fd);
    (void)rename(kept, original);
}

/* Before Linux 6.10. */
static int fcntl_of_an_old_kernel(int fd, int command, ...)
{
    va_list arguments;
    void *argument;

    va_start(arguments, command);
    argument = va_arg(arguments, void *);
    va_end(arguments);
    return command == F_DUPFD_QUERY ? mioc_serve_fail(EINVAL) : (int)syscall(SYS_fcntl, fd, command, argument);
}

static ino_t inode_behind(int fd)
{
    struct stat st;

    assert_int_equal(fstat(fd, &st), 0);
    return st.st_ino;
}

static void detach_reaches_all_that_share_an_opening(void **state)
{
    __typeof__(&fcntl) real = mioc_real(fcntl);
    struct stat st;

    (void)state;
    assert_int_equal(stat(original, &st), 0);
    for (int is_old = 0; is_old < 2; is_old++) {
        int fd = open_copy(0), other = open_copy(0), second = dup(fd), third = fcntl(fd, F_DUPFD_CLOEXEC, 100);
        ino_t copy = inode_behind(fd);

        if (is_old)
            mioc_real_functions.fcntl = fcntl_of_an_old_kernel;
        assert_int_equal(fcntl(other, F_SETSIG, SIGRTMAX - 1), 0); /* the mark of an old kernel, by chance */
        assert_int_equal(lseek(second, 5, SEEK_SET), 5);
        assert_int_equal(lseek(third, 0, SEEK_CUR), 5);
        errno = 99;
        assert_int_equal(mioc_serve_detach(second), 0);
        assert_int_equal(errno, 99);
        assert_int_equal(marking, 0);
        assert_true(inode_behind(fd) == st.st_ino && inode_behind(second) == st.st_ino &&
                    inode_behind(third) == st.st_ino);
        assert_true(inode_behind(other) == copy && copy != st.st_ino);
        assert_int_equal(fcntl(fd, F_GETFD), 0);
        assert_int_equal(fcntl(third, F_GETFD), FD_CLOEXEC);
        assert_int_equal(lseek(third, 2, SEEK_CUR), 7);
        assert_int_equal(lseek(fd, 0, SEEK_CUR), 7);
        assert_int_equal(fcntl(fd, F_GETSIG), 0);
        assert_int_equal(fcntl(other, F_GETSIG), SIGRTMAX - 1);
        close(fd);
        close(other);
        close(second);
        close(third);
    }
    mioc_real_functions.fcntl = real;
}

static void detach_keeps_what_was_set_since_the_open(void **state)
{
    int fd = open_copy(0), flags;

    (void)state;
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK | O_APPEND), 0);
    flags = fcntl(fd, F_GETFL);
    assert_int_equal(mioc_serve_detach(fd), 0);
    assert_int_equal(fcntl(fd, F_GETFL), flags);
    close(fd);
    fd = open_copy(O_NOFOLLOW);
    flags = fcntl(fd, F_GETFL);
    assert_int_equal(mioc_serve_detach(fd), 0);
    assert_int_equal(fcntl(fd, F_GETFL), flags);
    close(fd);
}

static void detach_of_a_path_descriptor_gives_one(void **state)
{
    char name[64];
    struct stat st;
    int copy = open_copy(0), fd;

    (void)state;
    (void)snprintf(name, sizeof(name), "/proc/self/fd/%d", copy);
    fd = open(name, O_PATH | O_CLOEXEC);
    assert_int_equal(mioc_serve_detach(fd), 0);
    assert_int_equal(stat(original, &st), 0);
    assert_true(inode_behind(fd) == st.st_ino);
    assert_true(fcntl(fd, F_GETFL) & O_PATH);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    close(fd);
    close(copy);
}

/* An open of it would wait for a writer, or wake one that waits. */
static void fifo_in_the_originals_place_is_not_opened(void **state)
{
    int fd = open_copy(0), seen = inotify_init1(IN_NONBLOCK), mode;
    char kept[160], event[512];
    struct stat st;

    (void)state;
    (void)snprintf(kept, sizeof(kept), "%s.kept", original);
    assert_int_equal(rename(original, kept), 0);
    assert_int_equal(mkfifo(original, 0600), 0);
    assert_true(inotify_add_watch(seen, original, IN_OPEN) >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    mode = (int)st.st_mode;
    alarm(20);
    assert_int_equal(fchmod(fd, 0777), -1);
    assert_int_equal(errno, ESTALE);
    errno = 99;
    assert_int_equal(flock(fd, LOCK_EX), 0); /* of the copy */
    assert_int_equal(errno, 99);
    alarm(0);
    assert_int_equal(read(seen, event, sizeof(event)), -1);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_mode, mode);
    close(seen);
    close(fd);
    assert_int_equal(rename(kept, original), 0);
}

static void lock_without_a_descriptor_for_the_original_fails(void **state)
{
    struct rlimit before, few;
    int fd = open_copy(0);

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = before;
    few.rlim_cur = 1;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    assert_int_equal(flock(fd, LOCK_EX), -1);
    assert_int_equal(errno, ENOLCK);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
    close(fd);
}

/* Filesystems give a number to the next file soon. */
static void another_file_of_the_same_number_is_not_the_original(void **state)
{
    struct mioc_content_record *known = (void *)(uintptr_t)lookup(store, MIOC_ITEM_CONTENT, original);
    struct mioc_stat before = known->stat;
    struct statx st;
    int fd = open_copy(0);

    (void)state;
    if (statx(AT_FDCWD, original, 0, STATX_BTIME, &st) != 0 || !(st.stx_mask & STATX_BTIME))
        skip();
    known->stat.mask = STATX_BTIME;
    known->stat.btime = st.stx_btime.tv_sec - 1;
    known->stat.btime_ns = st.stx_btime.tv_nsec;
    assert_int_equal(mioc_serve_detach(fd), -1);
    assert_int_equal(errno, ESTALE);
    known->stat.btime++;
    assert_int_equal(mioc_serve_detach(fd), 0);
    known->stat = before;
    close(fd);
}

static void bytecode_write_of_an_import_is_told_from_others(void **state)
{
    const int creation = O_EXCL | O_CREAT | O_WRONLY | O_CLOEXEC;
    char pyc[160], temporary[192], other[192];
    struct mioc_query q;

    (void)state;
    (void)snprintf(pyc, sizeof(pyc), "%s/m.pyc", store_dir);
    (void)snprintf(temporary, sizeof(temporary), "%s.1402345", pyc);
    (void)snprintf(other, sizeof(other), "%s.14x", pyc);
    assert_int_equal(mioc_serve_is_bytecode_write(AT_FDCWD, temporary, creation), 0);
    assert_int_equal(mioc_client_begin(&q, MIOC_CALL_OPEN, AT_FDCWD, pyc), 1);
    mioc_serve_bytecode_read(&q);
    assert_int_equal(mioc_serve_is_bytecode_write(AT_FDCWD, temporary, creation), 1);
    assert_int_equal(mioc_serve_is_bytecode_write(AT_FDCWD, temporary, O_CREAT | O_WRONLY), 0);
    assert_int_equal(mioc_serve_is_bytecode_write(AT_FDCWD, temporary, O_EXCL | O_CREAT | O_RDWR), 0);
    assert_int_equal(mioc_serve_is_bytecode_write(AT_FDCWD, other, creation), 0);
    assert_int_equal(mioc_serve_is_bytecode_write(AT_FDCWD, pyc, creation), 0);
    assert_int_equal(mioc_serve_is_bytecode_write(AT_FDCWD, "/elsewhere/m.pyc.1", creation), 0);
    mioc_client_start(store, &policy, 0); /* who is not refused it, but need not wait either */
    assert_int_equal(mioc_serve_is_bytecode_write(AT_FDCWD, temporary, creation), 1);
    mioc_client_start(store, &policy, 1);
    mioc_serve_bytecode_lstat(&q); /* py_compile */
    assert_int_equal(mioc_serve_is_bytecode_write(AT_FDCWD, temporary, creation), 0);
}

static void own_source_bytecode_is_written(void **state)
{
    static const char *const others[] = { "__pycache__/n.cpython-311.pyc", "__pycache__/mm.cpython-311.pyc", "m.pyc",
                                          "p/__pycache__/m.cpython-311.pyc" };
    const int creation = O_EXCL | O_CREAT | O_WRONLY | O_CLOEXEC;
    char py[160], pyc[192], temporary[224];
    struct mioc_query q;

    (void)state;
    (void)snprintf(py, sizeof(py), "%s/m.py", store_dir);
    for (int is_written = 0; is_written < 2; is_written++) {
        (void)snprintf(pyc, sizeof(pyc), "%s/__pycache__/m.cpython-311.pyc", store_dir);
        (void)snprintf(temporary, sizeof(temporary), "%s.1402345", pyc);
        assert_int_equal(mioc_client_begin(&q, MIOC_CALL_OPEN, AT_FDCWD, pyc), 1);
        mioc_serve_bytecode_read(&q);
        assert_int_equal(mioc_serve_is_bytecode_write(AT_FDCWD, temporary, creation), !is_written);
        for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
            (void)snprintf(pyc, sizeof(pyc), "%s/%s", store_dir, others[i]);
            (void)snprintf(temporary, sizeof(temporary), "%s.1402345", pyc);
            assert_int_equal(mioc_client_begin(&q, MIOC_CALL_OPEN, AT_FDCWD, pyc), 1);
            mioc_serve_bytecode_read(&q);
            assert_int_equal(mioc_serve_is_bytecode_write(AT_FDCWD, temporary, creation), 1);
        }
        errno = 77;
        mioc_serve_wrote_source(AT_FDCWD, py);
        assert_int_equal(errno, 77);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(map_stat_of_a_copy_gives_the_original, setup, teardown),
        cmocka_unit_test_setup_teardown(names_in_proc_lead_to_the_original, setup, teardown),
        cmocka_unit_test_setup_teardown(is_store_path_matches_whole_names, setup, teardown),
        cmocka_unit_test_setup_teardown(detach_keeps_offset_and_flags, setup, teardown),
        cmocka_unit_test_setup_teardown(detach_from_another_file_of_that_name_fails, setup, teardown),
        cmocka_unit_test_setup_teardown(detach_reaches_all_that_share_an_opening, setup, teardown),
        cmocka_unit_test_setup_teardown(detach_keeps_what_was_set_since_the_open, setup, teardown),
        cmocka_unit_test_setup_teardown(detach_of_a_path_descriptor_gives_one, setup, teardown),
        cmocka_unit_test_setup_teardown(fifo_in_the_originals_place_is_not_opened, setup, teardown),
        cmocka_unit_test_setup_teardown(lock_without_a_descriptor_for_the_original_fails, setup, teardown),
        cmocka_unit_test_setup_teardown(another_file_of_the_same_number_is_not_the_original, setup, teardown),
        cmocka_unit_test_setup_teardown(bytecode_write_of_an_import_is_told_from_others, setup, teardown),
        cmocka_unit_test_setup_teardown(own_source_bytecode_is_written, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
