/* SPDX-License-Identifier: BSD-3-Clause */
/* patch.c - this process's own loader is patched: which of its calls come, and what it does with the answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "patch_test.h"
#include "loader/find.h"
#include "loader/handle.h"

#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <iconv.h>
#include <link.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define SONAME "libutil.so.1" /* with no code to speak of, and loaded by nobody here */
#define THREADS 8

static char library_path[4096]; /* where this machine has it */
static unsigned opens, looks;
static const char *refusal;
static enum mioc_loader_way way;

static const char *path_of(const struct mioc_loader_call *call)
{
    return (const char *)call->argument[call->number == SYS_openat];
}

static long count(const struct mioc_loader_call *call)
{
    const enum mioc_callsite_kind kind = mioc_callsite_kind(call->number);

    (void)__atomic_fetch_add(kind == MIOC_CALLSITE_OPEN ? &opens : &looks, 1, __ATOMIC_RELAXED);
    errno = EXFULL;
    return mioc_loader_pass(call);
}

static int setup(void **state)
{
    void *library = dlopen(SONAME, RTLD_NOW);
    struct link_map *map;

    (void)state;
    if (library == NULL || dlinfo(library, RTLD_DI_LINKMAP, &map) != 0)
        return -1;
    (void)snprintf(library_path, sizeof library_path, "%s", map->l_name);
    dlclose(library);
    refusal = mioc_loader_try(&way);
    return 0;
}

static int reset(void **state)
{
    (void)state;
    if (way == MIOC_LOADER_THREADS) /* ThreadSanitizer has one of its own */
        skip();
    opens = looks = 0;
    mioc_loader_set_answer(count);
    return 0;
}

static void load_and_unload(void)
{
    void *library = dlopen(library_path, RTLD_NOW);

    assert_non_null(library);
    assert_int_equal(dlclose(library), 0);
}

/* --- Calls and answers ------------------------------------------------------------------------------------------- */

static void loader_of_this_machine_is_patched(void **state)
{
    (void)state;
    if (refusal != NULL)
        fail_msg("%s", refusal);
    assert_int_equal(way, MIOC_LOADER_PATCH);
}

static void load_comes_and_nothing_else_does(void **state)
{
    struct stat st;

    (void)state;
    load_and_unload();
    assert_int_equal(opens, 1);
    assert_int_equal(looks, 1);
    assert_int_equal(stat("/", &st), 0);
    assert_int_equal(close(open("/dev/null", O_RDONLY | O_CLOEXEC)), 0);
    assert_int_equal(opens + looks, 2);
}

static void searched_directories_come_too(void **state)
{
    (void)state;
    assert_null(dlopen("libmioc_none.so.1", RTLD_NOW));
    (void)dlerror();
    assert_true(opens > 2); /* ld.so.cache, and directories */
}

static long deny(const struct mioc_loader_call *call)
{
    return mioc_callsite_kind(call->number) == MIOC_CALLSITE_OPEN ? -ENOTBLK : mioc_loader_pass(call);
}

static void answer_is_what_the_loader_gets(void **state)
{
    (void)state;
    mioc_loader_set_answer(deny);
    assert_null(dlopen(library_path, RTLD_NOW));
    assert_non_null(strstr(dlerror(), strerror(ENOTBLK)));
    mioc_loader_set_answer(count);
    load_and_unload();
}

static void errno_is_kept(void **state)
{
    void *library;

    (void)state;
    errno = EBADF;
    library = dlopen(library_path, RTLD_NOW);
    assert_int_equal(errno, EBADF);
    dlclose(library);
}

/* --- Identity ---------------------------------------------------------------------------------------------------- */

static char copy_path[] = "/tmp/mioc-patch-XXXXXX";
static struct stat copy_st, original_st;

static void look_as_original(struct stat *st)
{
    if (st->st_dev == copy_st.st_dev && st->st_ino == copy_st.st_ino)
        *st = original_st;
}

/* Opens the copy by the original's name, and shows the original's device and inode. */
static long serve(const struct mioc_loader_call *call)
{
    const long *a = call->argument;
    long rc;

    if (mioc_callsite_kind(call->number) == MIOC_CALLSITE_OPEN && strcmp(path_of(call), library_path) == 0) {
        rc = syscall(SYS_openat, AT_FDCWD, copy_path, O_RDONLY | O_CLOEXEC);
        return rc < 0 ? -errno : rc;
    }
    rc = mioc_loader_pass(call);
    if (rc == 0 && call->number == SYS_fstat)
        look_as_original((struct stat *)a[1]);
    else if (rc == 0 && call->number == SYS_newfstatat)
        look_as_original((struct stat *)a[2]);
    return rc;
}

static void make_copy(void)
{
    static char bytes[1 << 20];
    int in = open(library_path, O_RDONLY | O_CLOEXEC), out = mkstemp(copy_path);
    ssize_t n = read(in, bytes, sizeof bytes);

    assert_true(in >= 0 && out >= 0 && n > 0 && write(out, bytes, (size_t)n) == n);
    assert_int_equal(fstat(in, &original_st) + fstat(out, &copy_st) + close(in) + close(out), 0);
}

static int is_in_maps(const char *text)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[4400];
    int is_found = 0;

    assert_non_null(maps);
    while (fgets(line, sizeof line, maps) != NULL)
        is_found |= strstr(line, text) != NULL;
    (void)fclose(maps);
    return is_found;
}

static void copy_is_known_as_the_original_by_all_its_names(void **state)
{
    char other_name[4100];
    void *first, *second;
    struct link_map *map;

    (void)state;
    make_copy();
    mioc_loader_set_answer(serve);
    first = dlopen(library_path, RTLD_NOW);
    assert_non_null(first);
    assert_true(is_in_maps(copy_path));
    assert_int_equal(dlinfo(first, RTLD_DI_LINKMAP, &map), 0);
    assert_string_equal(map->l_name, library_path);
    (void)snprintf(other_name, sizeof other_name, "/.%s", library_path); /* really opened */
    second = dlopen(other_name, RTLD_NOW);
    assert_ptr_equal(first, second);
    assert_int_equal(dlclose(first) + dlclose(second) + unlink(copy_path), 0);
}

/* --- Who loads --------------------------------------------------------------------------------------------------- */

static void namespaces_come_too(void **state)
{
    void *library;

    (void)state;
    library = dlmopen(LM_ID_NEWLM, library_path, RTLD_NOW);
    if (library == NULL)
        skip();              /* sanitizers cannot */
    assert_true(opens >= 2); /* and a libc */
    assert_true(looks >= 2);
    dlclose(library);
}

static int status_of(pid_t child)
{
    int status;

    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

/* In a child, where nothing has been loaded yet. */
static void libcs_own_loads_come_too(void **state)
{
    pid_t child = fork();

    (void)state;
    if (child == 0) {
        iconv_t conversion = iconv_open("KOI8-R", "UTF-16");
        int is_loaded = conversion != (iconv_t)-1 && opens > 0;

        _exit(is_loaded ? 0 : 1);
    }
    assert_int_equal(status_of(child), 0);
}

static void forked_children_load(void **state)
{
    pid_t child = fork();

    (void)state;
    if (child == 0) {
        load_and_unload();
        _exit(opens == 1 && looks == 1 ? 0 : 1);
    }
    assert_int_equal(status_of(child), 0);
}

static void *load_often(void *failures)
{
    for (int i = 0; i < 200; i++) {
        void *library = dlopen(library_path, RTLD_NOW);

        if (library == NULL || dlclose(library) != 0)
            *(int *)failures += 1;
    }
    return NULL;
}

static void threads_load_at_once(void **state)
{
    pthread_t threads[THREADS];
    int failures[THREADS] = { 0 };

    (void)state;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, load_often, &failures[i]), 0);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(failures[i], 0);
    }
    assert_true(opens > 0 && looks == opens);
}

/* --- What is different in the midst of a load -------------------------------------------------------------------- */

static int locked_inside, is_cancelled_inside;

static long look_around(const struct mioc_loader_call *call)
{
    locked_inside = mioc_loader_is_locked();
    return count(call);
}

static void *is_locked_here(void *unused)
{
    (void)unused;
    return (void *)(intptr_t)mioc_loader_is_locked();
}

static long ask_elsewhere(const struct mioc_loader_call *call)
{
    pthread_t thread;
    void *answer;

    if (pthread_create(&thread, NULL, is_locked_here, NULL) == 0 && pthread_join(thread, &answer) == 0)
        locked_inside = (int)(intptr_t)answer;
    return count(call);
}

static void loaders_lock_is_known(void **state)
{
    (void)state;
    assert_int_equal(mioc_loader_is_locked(), 0);
    mioc_loader_set_answer(look_around);
    load_and_unload();
    assert_int_equal(locked_inside, 1);
    assert_int_equal(mioc_loader_is_locked(), 0);
    mioc_loader_set_answer(ask_elsewhere);
    load_and_unload();
    assert_int_equal(locked_inside, 0);
}

/* Would be a cancellation point. */
static long test_cancellation(const struct mioc_loader_call *call)
{
    is_cancelled_inside = 1;
    pthread_testcancel();
    is_cancelled_inside = 0;
    return mioc_loader_pass(call);
}

static void *load_with_request(void *handle)
{
    (void)pthread_cancel(pthread_self());
    *(void **)handle = dlopen(library_path, RTLD_NOW);
    pthread_testcancel();
    return NULL;
}

static void load_is_no_cancellation_point(void **state)
{
    void *result, *handle = NULL;
    pthread_t thread;

    (void)state;
    mioc_loader_set_answer(test_cancellation);
    assert_int_equal(pthread_create(&thread, NULL, load_with_request, &handle), 0);
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_ptr_equal(result, PTHREAD_CANCELED);
    assert_non_null(handle);
    assert_int_equal(is_cancelled_inside, 0);
    dlclose(handle);
}

static int frames;
static void *frame[64];

static long trace_back(const struct mioc_loader_call *call)
{
    frames = backtrace(frame, 64);
    return mioc_loader_pass(call);
}

/* From the answer through the stub, ld.so and dlopen to this very function. */
static __attribute__((noinline)) void unwinder_sees_through_the_stub(void **state)
{
    int is_through = 0;
    Dl_info info;

    (void)state;
    (void)backtrace(frame, 1); /* loads what it needs */
    mioc_loader_set_answer(trace_back);
    load_and_unload();
    for (int i = 0; i < frames; i++)
        is_through |=
            dladdr(frame[i], &info) != 0 && info.dli_sname != NULL && strcmp(info.dli_sname, "patch_tests") == 0;
    assert_true(frames > 8);
    assert_true(is_through);
}

/* --- What is left of it ------------------------------------------------------------------------------------------ */

static void second_patch_is_refused(void **state)
{
    enum mioc_loader_way second;

    (void)state;
    assert_non_null(mioc_loader_try(&second));
    assert_int_equal(second, MIOC_LOADER_FORM);
    load_and_unload();
    assert_int_equal(opens, 1);
}

int patch_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(loader_of_this_machine_is_patched, reset),
        cmocka_unit_test_setup(load_comes_and_nothing_else_does, reset),
        cmocka_unit_test_setup(searched_directories_come_too, reset),
        cmocka_unit_test_setup(answer_is_what_the_loader_gets, reset),
        cmocka_unit_test_setup(errno_is_kept, reset),
        cmocka_unit_test_setup(copy_is_known_as_the_original_by_all_its_names, reset),
        cmocka_unit_test_setup(namespaces_come_too, reset),
        cmocka_unit_test_setup(libcs_own_loads_come_too, reset),
        cmocka_unit_test_setup(forked_children_load, reset),
        cmocka_unit_test_setup(threads_load_at_once, reset),
        cmocka_unit_test_setup(loaders_lock_is_known, reset),
        cmocka_unit_test_setup(load_is_no_cancellation_point, reset),
        cmocka_unit_test_setup(unwinder_sees_through_the_stub, reset),
        cmocka_unit_test_setup(text_is_one_mapping_and_mostly_shared, reset),
        cmocka_unit_test_setup(second_patch_is_refused, reset),
        cmocka_unit_test_setup(policies_that_forbid_it_are_respected, reset),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
