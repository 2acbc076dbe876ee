/* SPDX-License-Identifier: BSD-3-Clause */
/* test_resolver_thread.c - what a resolver's thread does not share with the program. */
#include "resolver/resolver.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static void ready(void *ctx) { (void)ctx; }
static int reserve(void *ctx, uint64_t bytes, int may_evict)
{
    (void)ctx, (void)bytes, (void)may_evict;
    return 0;
}
static int never(void *ctx, const char *path, uint32_t len)
{
    (void)ctx, (void)path, (void)len;
    return 0;
}
static int is_known(void *ctx, unsigned kind, const char *path, uint32_t len)
{
    (void)kind;
    return never(ctx, path, len);
}

static struct mioc_resolver *new_resolver(void)
{
    const struct mioc_resolver_config config = {
        .threads = 1, .max_file = 4096, .ready = ready, .is_known = is_known, .reserve = reserve, .may_speculate = never
    };
    struct mioc_resolver *r = mioc_resolver_new(&config);

    assert_non_null(r);
    return r;
}

/* When it is there the thread has begun. */
static void wait_for_answer(struct mioc_resolver *r)
{
    struct mioc_resolved out;

    assert_int_equal(mioc_resolver_ask(r, MIOC_ITEM_STAT, "/", 1), 0);
    for (int i = 0; !mioc_resolver_take(r, &out); i++) {
        assert_true(i < 20000);
        nanosleep(&(struct timespec){ 0, 500000 }, NULL);
    }
    mioc_resolved_free(&out);
}

/* How many threads other than this one have the descriptor. */
static unsigned count_others_with(int fd)
{
    DIR *dir = opendir("/proc/self/task");
    struct dirent *entry;
    unsigned count = 0;
    char path[300];

    assert_non_null(dir);
    while ((entry = readdir(dir)) != NULL) {
        snprintf(path, sizeof path, "/proc/self/task/%s/fd/%d", entry->d_name, fd);
        count += entry->d_name[0] != '.' && atol(entry->d_name) != syscall(SYS_gettid) &&
                 faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
    }
    closedir(dir);
    return count;
}

static void *do_nothing(void *unused) { return unused; }

/* Seen: a descriptor of the resolver's, for a moment, at a number that the program expected for its own. And a program
 * that closes all of its descriptors took the file away that was being read. */
static void thread_has_descriptors_of_its_own(void **state)
{
    struct mioc_resolver *r;
    pthread_t thread;
    unsigned others; /* ThreadSanitizer's */
    int end[2];

    (void)state;
    /* It comes with the first thread of ours. */
    assert_int_equal(pthread_create(&thread, NULL, do_nothing, NULL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    nanosleep(&(struct timespec){ 0, 20000000 }, NULL);
    others = count_others_with(STDIN_FILENO);
    r = new_resolver();
    assert_int_equal(pipe(end), 0);
    wait_for_answer(r);
    assert_int_equal(count_others_with(end[0]), others);
    assert_int_equal(count_others_with(STDIN_FILENO), others);
    close(end[0]);
    close(end[1]);
    mioc_resolver_free(r, 1000000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(thread_has_descriptors_of_its_own) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
