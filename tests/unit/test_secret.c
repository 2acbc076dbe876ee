/* SPDX-License-Identifier: BSD-3-Clause */
/* test_secret.c - a step's key comes from a file that only its user reads, or from the launcher's word; its proofs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "transport/secret.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char path[64], reason[512];
static struct mioc_secret one, other;

static void make_file(size_t size, mode_t mode)
{
    static char bytes[8192];
    int fd;

    memset(bytes, 'x', sizeof bytes);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, bytes, size), size);
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
    *reason = '\0';
}

static int from_file(const char *step) { return mioc_secret_from_file(&one, path, step, reason, sizeof reason); }

static int set_up(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "/tmp/mioc_secret.%d", (int)getpid());
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    (void)unlink(path);
    return 0;
}

static void file_of_its_owner_alone_gives_a_key(void **state)
{
    static const mode_t modes[] = { 0600, 0400, 0700 };

    (void)state;
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        make_file(32, modes[i]);
        assert_int_equal(from_file("step"), 0);
        assert_int_equal(one.has_key, 1);
    }
    make_file(4096, 0600);
    assert_int_equal(from_file("step"), 0);
}

static void file_that_others_can_read_or_write_is_refused(void **state)
{
    static const mode_t modes[] = { 0640, 0604, 0620, 0602, 0610, 0601, 0644, 0666 };

    (void)state;
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        make_file(32, modes[i]);
        assert_int_equal(from_file("step"), -1);
        assert_non_null(strstr(reason, path));
        assert_non_null(strstr(reason, "others than its owner"));
    }
}

static void file_of_another_user_is_refused(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        print_message("skipped: it needs root\n");
        skip();
    }
    make_file(32, 0600);
    assert_int_equal(chown(path, 65534, 65534), 0);
    assert_int_equal(from_file("step"), -1);
    assert_non_null(strstr(reason, "another user"));
    /* Root's is everybody's who can read it. */
    assert_int_equal(chown(path, 0, 0), 0);
    assert_int_equal(from_file("step"), 0);
    assert_int_equal(seteuid(65534), 0);
    assert_int_equal(from_file("step"), -1);
    assert_int_equal(seteuid(0), 0);
    assert_non_null(strstr(reason, "Permission denied"));
}

static void what_is_no_key_file_is_refused(void **state)
{
    (void)state;
    make_file(31, 0600);
    assert_int_equal(from_file("step"), -1);
    assert_non_null(strstr(reason, "less than 32"));
    make_file(4097, 0600);
    assert_int_equal(from_file("step"), -1);
    assert_non_null(strstr(reason, "more than 4096"));
    unlink(path);
    assert_int_equal(from_file("step"), -1);
    assert_non_null(strstr(reason, "No such file"));
    assert_int_equal(mkfifo(path, 0600), 0); /* nobody writes: it does not wait */
    assert_int_equal(from_file("step"), -1);
    assert_non_null(strstr(reason, "not a regular file"));
    unlink(path);
    assert_int_equal(mioc_secret_from_file(&one, "/tmp", "step", reason, sizeof reason), -1);
}

static void each_step_has_a_key_of_its_own(void **state)
{
    static const unsigned char bytes[32] = "random";

    (void)state;
    make_file(32, 0600);
    assert_int_equal(from_file("job 1.0"), 0);
    other = one;
    assert_int_equal(from_file("job 1.1"), 0);
    assert_memory_not_equal(one.key, other.key, sizeof one.key);
    assert_int_equal(from_file("job 1.0"), 0);
    assert_memory_equal(one.key, other.key, sizeof one.key);
    assert_int_equal(mioc_secret_from_bytes(&one, bytes, "job 1.0", reason, sizeof reason), 0);
    assert_memory_not_equal(one.key, other.key, sizeof one.key);
    assert_null(memmem(one.key, sizeof one.key, bytes, 6));
}

static void word_of_the_launcher_gives_a_key(void **state)
{
    (void)state;
    assert_int_equal(mioc_secret_from_word(&one, "123456789012345", "step", reason, sizeof reason), -1);
    assert_non_null(strstr(reason, "launcher's secret"));
    assert_int_equal(mioc_secret_from_word(&one, "1234567890123456", "step", reason, sizeof reason), 0);
    assert_int_equal(mioc_secret_from_word(&other, "1234567890123457", "step", reason, sizeof reason), 0);
    assert_memory_not_equal(one.key, other.key, sizeof one.key);
    assert_int_equal(mioc_secret_from_word(&other, "1234567890123456", "step", reason, sizeof reason), 0);
    assert_memory_equal(one.key, other.key, sizeof one.key);
}

static void proof_holds_for_its_key_and_its_words_only(void **state)
{
    unsigned char proof[MIOC_SECRET_PROOF_MAX], bound[32] = "this", wrong[32] = "that", ours[32], theirs[32];
    size_t size = 0;

    (void)state;
    assert_int_equal(mioc_secret_from_word(&one, "1234567890123456", "step", reason, sizeof reason), 0);
    assert_int_equal(mioc_secret_from_word(&other, "1234567890123457", "step", reason, sizeof reason), 0);
    assert_int_equal(mioc_secret_prove(&one, bound, proof, &size, ours, reason, sizeof reason), 0);
    assert_int_equal(mioc_secret_check(&one, bound, proof, size, theirs, reason, sizeof reason), 0);
    assert_memory_equal(ours, theirs, 32);
    assert_int_equal(mioc_secret_check(&one, wrong, proof, size, theirs, reason, sizeof reason), -1);
    assert_int_equal(mioc_secret_check(&other, bound, proof, size, theirs, reason, sizeof reason), -1);
    assert_int_equal(mioc_secret_check(&one, bound, proof, size - 1, theirs, reason, sizeof reason), -1);
    assert_int_equal(mioc_secret_check(&one, bound, proof, size + 1, theirs, reason, sizeof reason), -1);
    assert_int_equal(mioc_secret_check(&one, bound, proof, 0, theirs, reason, sizeof reason), -1);
    proof[31] ^= 1;
    assert_int_equal(mioc_secret_check(&one, bound, proof, size, theirs, reason, sizeof reason), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(file_of_its_owner_alone_gives_a_key),
        cmocka_unit_test(file_that_others_can_read_or_write_is_refused),
        cmocka_unit_test(file_of_another_user_is_refused),
        cmocka_unit_test(what_is_no_key_file_is_refused),
        cmocka_unit_test(each_step_has_a_key_of_its_own),
        cmocka_unit_test(word_of_the_launcher_gives_a_key),
        cmocka_unit_test(proof_holds_for_its_key_and_its_words_only),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
