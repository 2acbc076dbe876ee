/* SPDX-License-Identifier: BSD-3-Clause */
/* wrap_dl.c - dlopen and dlmopen: the real ones, under dispatch (dispatch.h), and the answers to what the loader asks then.
 *
 * The loader keeps the original names, so its search rules, $ORIGIN, link_map, dladdr and its messages are right by construction. But
 * it takes its caller by the return address, and searches a name without a slash, or with a $, by that object's RUNPATH:
 * hence the entry in assembly. For such names the call returns through a `ret` in the caller's own code. */
#include "bridge.h"
#include "dispatch.h"
#include "identity.h"
#include "loader.h"
#include "serve.h"
#include <dlfcn.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <unwind.h>

#ifdef __x86_64__

/* --- Answers ---------------------------------------------------------------------------------------------------------- */

#define KERNEL_O_LARGEFILE 0100000 /* glibc's own calls set it; here it has no meaning */

static long raw(long number, const long a[6])
{
    long rc = syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);

    return rc == -1 ? -errno : rc;
}

static long or_error(long rc)
{
    return rc < 0 ? -errno : rc;
}

/* What an open gave: whether the loader's look at it has to be answered. It may be a copy though the open was the real one: the program
 * has one open and loads /proc/self/fd/N, or a link to it. */
static long opened(long fd, struct mioc_copy copy, int *is_copy)
{
    struct stat st;

    if (fd < 0 || (copy.record == NULL && syscall(SYS_fstat, fd, &st) != 0))
        return fd;
    if (copy.record == NULL)
        copy = (struct mioc_copy){ mioc_serve_record_of(&st), st.st_dev, st.st_ino };
    if (copy.record == NULL)
        mioc_identity_settle();
    else
        *is_copy = !mioc_identity_lend(copy.dev, copy.ino, mioc_store_local_dev(mioc_client_store(), copy.record->stat.dev), copy.record->stat.ino);
    return fd;
}

static long answer_open(long number, const long a[6], int dirfd, const char *path, int flags, int *is_copy)
{
    struct mioc_query q;
    uint64_t bytes = 0;
    long rc = MIOC_NOT_SERVED;

    flags &= ~KERNEL_O_LARGEFILE;
    if ((flags & ~MIOC_SERVE_OPEN_FLAGS) != 0 || !mioc_client_begin(&q, MIOC_CALL_LOADER, dirfd, path))
        return opened(raw(number, a), (struct mioc_copy){ NULL, 0, 0 }, is_copy);
    q.copy.record = NULL;
    rc = mioc_serve_open(&q, flags, &bytes);
    rc = opened(rc == MIOC_NOT_SERVED ? raw(number, a) : or_error(rc), q.copy, is_copy);
    mioc_client_end(&q, bytes);
    return rc;
}

static long answer_stat(long number, const long a[6], int dirfd, const char *path, struct stat *st, int flags)
{
    const struct mioc_stat *found;
    struct mioc_query q;
    long rc;

    if ((flags & ~(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT)) != 0 || !mioc_client_begin(&q, MIOC_CALL_LOADER, dirfd, path))
        return raw(number, a);
    rc = mioc_serve_find(&q, (flags & AT_SYMLINK_NOFOLLOW) != 0, &found);
    if (rc == 0)
        mioc_store_fill_stat(mioc_client_store(), found, st);
    rc = rc == MIOC_NOT_SERVED ? raw(number, a) : or_error(rc);
    mioc_client_end(&q, 0);
    return rc;
}

/* By device and inode the loader knows what it has loaded already, under whatever name. */
static long answer_fstat(long number, const long a[6], struct stat *st)
{
    long rc = raw(number, a);

    if (rc == 0)
        (void)mioc_serve_map_stat(st);
    return rc;
}

static long answer(long number, const long a[6], int *is_copy)
{
    const char *first = (const char *)a[0], *second = (const char *)a[1];

    switch (number) {
    case SYS_open:
        return answer_open(number, a, AT_FDCWD, first, (int)a[1], is_copy);
    case SYS_openat:
        return answer_open(number, a, (int)a[0], second, (int)a[2], is_copy);
    case SYS_stat:
        return answer_stat(number, a, AT_FDCWD, first, (struct stat *)a[1], 0);
    case SYS_lstat:
        return answer_stat(number, a, AT_FDCWD, first, (struct stat *)a[1], AT_SYMLINK_NOFOLLOW);
    case SYS_fstat:
        return answer_fstat(number, a, (struct stat *)a[1]);
    case SYS_newfstatat:
        if (mioc_serve_is_fd_itself((int)a[0], second, (int)a[3]))
            return answer_fstat(number, a, (struct stat *)a[2]);
        return answer_stat(number, a, (int)a[0], second, (struct stat *)a[2], (int)a[3]);
    case SYS_access:
        return or_error(access(first, (int)a[1]));
    case SYS_readlink:
        return or_error(readlink(first, (char *)a[1], (size_t)a[2]));
    default:
        return raw(number, a);
    }
}

/* --- The way in and out ------------------------------------------------------------------------------------------------ */

/* Shared with the assembly below. */
struct entry {
    void *function;      /* 0: the real one */
    unsigned long bridge; /* 8: the `ret` to return through, or 0 */
};
_Static_assert(sizeof(struct entry) == 16 && __builtin_offsetof(struct entry, bridge) == 8, "wrap_dl.c's assembly knows it");

enum { WAY_JUMP = 0, WAY_CALL = 1 };

/* For a load of which nothing comes to us. */
static int go_past(void)
{
    if (mioc_dispatch_is_elsewhere())
        mioc_identity_stop();
    return WAY_JUMP;
}

/* Called by the entries; `caller` is where dlopen returns to. WAY_JUMP: go there as if we were not here. */
__attribute__((visibility("hidden"))) int mioc_dl_enter(struct entry *entry, const char *name, unsigned long caller,
                                                        int is_dlmopen);
__attribute__((visibility("hidden"))) void mioc_dl_leave(void);

__attribute__((used)) int mioc_dl_enter(struct entry *entry, const char *name, unsigned long caller, int is_dlmopen)
{
    enum mioc_loader_way way;
    int saved = errno;

    entry->function = is_dlmopen ? (void *)mioc_real(dlmopen) : (void *)mioc_real(dlopen);
    entry->bridge = 0;
    /* Without a name it is the program itself, which is there. */
    if (mioc_is_null(name) || name[0] == '\0')
        return WAY_JUMP;
    if (is_dlmopen)
        mioc_identity_stop();
    if (!mioc_client_is_serving())
        return go_past();
    way = mioc_loader_way();
    if (way == MIOC_LOADER_DISPATCH && (strchr(name, '/') == NULL || strchr(name, '$') != NULL)) {
        entry->bridge = mioc_bridge_find(caller);
        if (entry->bridge == 0)
            way = MIOC_LOADER_CALLER;
    }
    if (way == MIOC_LOADER_DISPATCH && mioc_dispatch_begin(answer) != 0)
        way = MIOC_LOADER_SYSTEM;
    mioc_stats_count_load(way);
    errno = saved;
    return way == MIOC_LOADER_DISPATCH ? WAY_CALL : go_past();
}

__attribute__((used)) void mioc_dl_leave(void)
{
    mioc_identity_end();
    mioc_dispatch_end();
}

/* The entries' frame is left without a return: a thread is cancelled in a constructor. */
__attribute__((visibility("hidden"))) _Unwind_Reason_Code mioc_dl_unwind(int version, _Unwind_Action actions,
                                                                        _Unwind_Exception_Class class,
                                                                        struct _Unwind_Exception *exception,
                                                                        struct _Unwind_Context *context);

__attribute__((used)) _Unwind_Reason_Code mioc_dl_unwind(int version, _Unwind_Action actions, _Unwind_Exception_Class class,
                                                         struct _Unwind_Exception *exception, struct _Unwind_Context *context)
{
    (void)version, (void)class, (void)exception, (void)context;
    if (actions & _UA_CLEANUP_PHASE)
        mioc_dl_leave();
    return _URC_CONTINUE_UNWIND;
}

/* Both: rdi, rsi, rdx hold the arguments, 40(%rsp) after the pushes the return address. The stack is a multiple of 16 at calls.
 * Through the bridge: the real function finds the bridge as its return address, and the bridge's ret finds 3f. */
#define ENTRY(name, which_argument, is_dlmopen) \
    __asm__(".text\n.p2align 4\n.globl " name "\n.type " name ",@function\n" name ":\n" \
            ".cfi_startproc\n" \
            ".cfi_personality 0x1b, mioc_dl_unwind\n" /* pcrel | sdata4 */ \
            "endbr64\n" \
            "push %rdi\n.cfi_adjust_cfa_offset 8\n" \
            "push %rsi\n.cfi_adjust_cfa_offset 8\n" \
            "push %rdx\n.cfi_adjust_cfa_offset 8\n" \
            "sub $16, %rsp\n.cfi_adjust_cfa_offset 16\n" \
            "mov %" which_argument ", %rsi\n" \
            "mov %rsp, %rdi\n" \
            "mov 40(%rsp), %rdx\n" \
            "mov $" is_dlmopen ", %ecx\n" \
            "call mioc_dl_enter\n" \
            "mov (%rsp), %r11\n" \
            "mov 8(%rsp), %r10\n" \
            "mov 16(%rsp), %rdx\n" \
            "mov 24(%rsp), %rsi\n" \
            "mov 32(%rsp), %rdi\n" \
            "test %eax, %eax\n" \
            "jnz 1f\n" \
            ".cfi_remember_state\n" \
            "add $40, %rsp\n.cfi_adjust_cfa_offset -40\n" \
            "jmp *%r11\n" \
            ".cfi_restore_state\n" \
            "1: test %r10, %r10\n" \
            "jnz 2f\n" \
            "call *%r11\n" \
            "jmp 4f\n" \
            "2: sub $8, %rsp\n.cfi_adjust_cfa_offset 8\n" \
            "lea 3f(%rip), %rcx\n" \
            "push %rcx\n.cfi_adjust_cfa_offset 8\n" \
            "push %r10\n.cfi_adjust_cfa_offset 8\n" \
            "jmp *%r11\n" \
            ".cfi_adjust_cfa_offset -16\n" \
            "nop\n" /* unwinders look at the byte before the return address */ \
            "3: add $8, %rsp\n.cfi_adjust_cfa_offset -8\n" \
            "4: mov %rax, (%rsp)\n" \
            "call mioc_dl_leave\n" \
            "mov (%rsp), %rax\n" \
            "add $40, %rsp\n.cfi_adjust_cfa_offset -40\n" \
            "ret\n" \
            ".cfi_endproc\n" \
            ".size " name ", .-" name "\n")

ENTRY("dlopen", "rdi", "0");
ENTRY("dlmopen", "rsi", "1");

#endif /* elsewhere libc's own are what programs find */
