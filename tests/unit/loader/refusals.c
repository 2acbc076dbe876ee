/* SPDX-License-Identifier: BSD-3-Clause */
/* refusals.c - tries to patch the loader where it may not be done; and what of it is left in memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "patch_test.h"
#include "loader/loader.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MDWE 65 /* PR_SET_MDWE: Linux 6.3 */
#define MDWE_REFUSE_EXEC_GAIN 1
#define MSEAL 462 /* Linux 6.10 */
#define SONAME "libutil.so.1"

const char *patch_program;

static const ElfW(Phdr) * text_of_loader(void)
{
    const ElfW(Ehdr) *header = (const void *)_r_debug.r_ldbase; /* NOLINT */
    const ElfW(Phdr) *segment = (const void *)((const char *)header + header->e_phoff);

    while (segment->p_type != PT_LOAD || !(segment->p_flags & PF_X))
        segment++;
    return segment;
}

static const char *text_bytes(void) { return (const char *)_r_debug.r_ldbase + text_of_loader()->p_vaddr; } /* NOLINT */

/* mprotect() with all of these bits of protection fails. */
static int forbid_protection(unsigned bits)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mprotect, 0, 4),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 32), /* the third argument */
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, bits),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, bits, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { .len = sizeof filter / sizeof filter[0], .filter = filter };

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return -1;
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

static int seal(void)
{
    const ElfW(Phdr) *text = text_of_loader();
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), start = (uintptr_t)text_bytes() & -page;

    return (int)syscall(MSEAL, start, ((uintptr_t)text_bytes() + text->p_memsz - start + page - 1) & -page, 0ul);
}

static void *wait_for_end(void *lock)
{
    pthread_mutex_lock(lock);
    return NULL;
}

static int start_thread(void)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_t thread;

    return pthread_mutex_lock(&lock) == 0 && pthread_create(&thread, NULL, wait_for_end, &lock) == 0 ? 0 : -1;
}

/* 0, or -1: cannot be had here. */
static int forbid(const char *what)
{
    if (strcmp(what, "mdwe") == 0)
        return prctl(MDWE, MDWE_REFUSE_EXEC_GAIN, 0, 0, 0);
    if (strcmp(what, "exec") == 0)
        return forbid_protection(PROT_EXEC);
    if (strcmp(what, "write+exec") == 0)
        return forbid_protection(PROT_WRITE | PROT_EXEC);
    if (strcmp(what, "sealed") == 0)
        return seal();
    return strcmp(what, "thread") == 0 ? start_thread() : 0;
}

int try_where(const char *what)
{
    const size_t size = text_of_loader()->p_filesz;
    enum mioc_loader_way way;
    const char *why;
    char *before = malloc(size);
    void *library;

    if (before == NULL || forbid(what) != 0) {
        puts("cannot be had");
        return 0;
    }
    memcpy(before, text_bytes(), size);
    errno = EXFULL;
    why = mioc_loader_try(&way);
    library = dlopen(SONAME, RTLD_NOW);
    printf("%s, %s, text %s, loads %s\n", mioc_loader_way_names[way], why != NULL ? why : "patched",
           memcmp(before, text_bytes(), size) == 0 ? "as it was" : "changed",
           library != NULL && dlclose(library) == 0 ? "go on" : "fail");
    (void)fflush(stdout);
    _exit(0);
}

static const char *answer_where(const char *what)
{
    static char line[512];
    char command[4200];
    FILE *pipe;

    (void)snprintf(command, sizeof command, "%s%s --try %s", strcmp(what, "valgrind") == 0 ? "valgrind -q " : "",
                   patch_program, what);
    pipe = popen(command, "re");
    if (pipe == NULL || fgets(line, sizeof line, pipe) == NULL)
        line[0] = '\0';
    line[strcspn(line, "\n")] = '\0';
    if (pipe == NULL || pclose(pipe) != 0)
        return "it failed";
    return line;
}

/* --- Tests ------------------------------------------------------------------------------------------------------- */

/* ld.so's text is one mapping, never to be written, and at most two pages of it are this process's own. */
void text_is_one_mapping_and_mostly_shared(void **state)
{
    FILE *smaps = fopen("/proc/self/smaps", "re");
    int mappings = 0, is_text = 0;
    long dirty = 0;
    char line[4400];

    (void)state;
    assert_non_null(smaps);
    while (fgets(line, sizeof line, smaps) != NULL) {
        if (strchr(line, '-') != NULL && strchr(line, '-') < strchr(line, ' ')) {
            is_text = strstr(line, "/ld-") != NULL && strstr(line, " r-xp ") != NULL;
            mappings += is_text;
            assert_null(strstr(line, " rwx"));
        }
        if (is_text)
            (void)sscanf(line, "Private_Dirty: %ld", &dirty);
    }
    (void)fclose(smaps);
    print_message("%ld KiB of ld.so's text are private\n", dirty);
    assert_int_equal(mappings, 1);
    assert_true(dirty > 0 && dirty <= 8);
}

/* A sanitizer's program does not run under valgrind. */
static int has_valgrind(void)
{
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
    return 0;
#else
    return system("command -v valgrind >/dev/null 2>&1") == 0;
#endif
}

void policies_that_forbid_it_are_respected(void **state)
{
    static const char refused[] = "text, ld.so's text may not be written, text as it was, loads go on";
    static const struct {
        const char *what, *answer;
    } cases[] = {
        { "nothing", "patch, patched, text changed, loads go on" },
        { "mdwe", refused },
        { "exec", refused },
        { "sealed", refused },
        { "write+exec", "patch, patched, text changed, loads go on" }, /* never both at once */
        { "valgrind", "form, valgrind, text as it was, loads go on" },
        { "thread", "threads, there are more threads, or no /proc that says, text as it was, loads go on" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const int is_missing = strcmp(cases[i].what, "valgrind") == 0 && !has_valgrind();
        const char *answer = is_missing ? "cannot be had" : answer_where(cases[i].what);

        if (strcmp(answer, "cannot be had") == 0)
            print_message("%s cannot be had here\n", cases[i].what);
        else if (strcmp(answer, cases[i].answer) != 0)
            fail_msg("%s: %s", cases[i].what, answer);
    }
}
