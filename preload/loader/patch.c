/* SPDX-License-Identifier: BSD-3-Clause */
/* patch.c - plans the patches of the dynamic loader's text, writes them, and undoes them.
 *
 * Text is writable and executable at once only if it has to be: a policy may forbid text that was writable to become
 * executable again, which is tried before on a page of ld.so's file. While ld.so's text is not executable, nothing may
 * need ld.so. So signals are blocked, and between the two mprotects there are only raw system calls and stores. */
#if defined __x86_64__ || defined __aarch64__

#include "patch.h"
#include "raw.h"
#include "stubs.h"

#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* --- Planning ---------------------------------------------------------------------------------------------------- */

int mioc_plan_sites(const struct mioc_ldso *ld, const struct mioc_callsite *sites, unsigned count,
                    struct mioc_plan *plan, const char **why)
{
    plan->count = 0;
    for (unsigned i = 0; i < count; i++) {
        const enum mioc_callsite_kind kind = mioc_callsite_kind(sites[i].number);

        mioc_loader_resume[i] = sites[i].resume;
        mioc_loader_limit[i] = sites[i].limit;
        /* Today's glibcs call readlink for programs only, so a site of it may stay as it is. */
        if (mioc_plan_site(ld, &sites[i], i, plan) != 0 && kind != MIOC_CALLSITE_READLINK) {
            *why = "ld.so's calls are out of reach";
            return -1;
        }
    }
    return 0;
}

/* --- Protection -------------------------------------------------------------------------------------------------- */

/* How the kernel maps ld.so's text: with PROT_BTI if the processor has branch targets and ld.so was built for them. */
static int text_protection(const struct mioc_ldso *ld)
{
#ifdef __aarch64__
    if (ld->has_bti && (getauxval(AT_HWCAP2) & 1u << 17) != 0)
        return PROT_READ | PROT_EXEC | 0x10;
#else
    (void)ld;
#endif
    return PROT_READ | PROT_EXEC;
}

/* The path of ld.so's file, or "". */
static const char *file_of(const struct mioc_ldso *ld)
{
    for (const struct link_map *map = _r_debug.r_map; map != NULL; map = map->l_next)
        if (map->l_addr == ld->base)
            return map->l_name;
    return "";
}

/* Whether text that was writable and not executable may become executable again. Tries it on a private page of ld.so's
 * file. */
static int is_exchangeable(const struct mioc_ldso *ld)
{
    volatile unsigned char *page;
    int is_possible = 0, fd = (int)syscall(SYS_openat, AT_FDCWD, file_of(ld), O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return 0;
    page = mmap(NULL, 1, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
    (void)syscall(SYS_close, fd);
    if (page == MAP_FAILED)
        return 0;
    if (mprotect((void *)page, 1, PROT_READ | PROT_WRITE) == 0) {
        page[0] = page[0];
        is_possible = mprotect((void *)page, 1, PROT_READ | PROT_EXEC) == 0;
    }
    (void)munmap((void *)page, 1);
    return is_possible;
}

/* --- Writing ----------------------------------------------------------------------------------------------------- */

struct span {
    uintptr_t start, end;
};

/* Writes those changes that are in `span`. */
static void store(const struct mioc_plan *plan, struct span span, int is_undo)
{
    for (unsigned i = 0; i < plan->count; i++) {
        const struct mioc_change *change = &plan->change[i];
        const unsigned char *now = is_undo ? change->before : change->after;
        /* volatile, so that the compiler makes no call of memcpy(). */
        volatile unsigned char *to = (volatile unsigned char *)change->at; /* NOLINT */

        for (unsigned k = 0; change->at >= span.start && change->at < span.end && k < change->size; k++)
            to[k] = now[k];
    }
}

/* getauxval() will not do: before glibc 2.36 it finds nothing on aarch64 if ld.so was started as a program. */
static uintptr_t page_size(void) { return (uintptr_t)sysconf(_SC_PAGESIZE); }

/* Writes the changes in `span`, widened to whole pages. The span is a whole segment, so that it stays one mapping.
 * Returns 0, or -1: nothing is changed. */
static int write_span(const struct mioc_plan *plan, struct span span, int protection, int is_exchange, int is_undo)
{
    const uintptr_t page = page_size(), start = span.start & -page;
    const uintptr_t size = (span.end - start + page - 1) & -page;
    const int writable = is_exchange ? PROT_READ | PROT_WRITE : protection | PROT_WRITE;
    uint64_t all = ~0ull, before = 0;
    long rc;

    (void)mioc_raw(SYS_rt_sigprocmask, SIG_SETMASK, (long)&all, (long)&before, sizeof all);
    rc = mioc_raw(SYS_mprotect, (long)start, (long)size, writable, 0);
    if (rc == 0) {
        store(plan, span, is_undo);
        rc = mioc_raw(SYS_mprotect, (long)start, (long)size, protection, 0);
    }
    __builtin___clear_cache((char *)span.start, (char *)span.end); /* NOLINT */
    (void)mioc_raw(SYS_rt_sigprocmask, SIG_SETMASK, (long)&before, 0, sizeof before);
    return rc == 0 ? 0 : -1;
}

static int write_all(const struct mioc_ldso *ld, const struct mioc_plan *plan, int is_alone, int is_undo)
{
    const struct span stubs = { mioc_stub_at(0), mioc_stub_at(MIOC_MOST_CALLSITES) }, text = { ld->text, ld->text_end };
    const int is_exchange = is_alone && is_exchangeable(ld);

#ifdef __aarch64__
    /* Pages larger than 4 KiB hold other code of ours too, such as this function. */
    if (write_span(plan, stubs, PROT_READ | PROT_EXEC, is_exchange && page_size() <= 4096, is_undo) != 0)
        return -1;
#else
    (void)stubs;
#endif
    return write_span(plan, text, text_protection(ld), is_exchange, is_undo);
}

int mioc_patch_apply(const struct mioc_ldso *ld, const struct mioc_plan *plan, int is_alone)
{
    return write_all(ld, plan, is_alone, 0);
}

int mioc_patch_undo(const struct mioc_ldso *ld, const struct mioc_plan *plan, int is_alone)
{
    return write_all(ld, plan, is_alone, 1);
}

#endif
