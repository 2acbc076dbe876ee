/* SPDX-License-Identifier: BSD-3-Clause */
/* got_hooks.c - takes dlopen in every object's table of imports for itself, as UCX 1.18's memory events do.
 *
 * The program loads it, and calls got_hooks_install(). */
#include <dlfcn.h>
#include <link.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

EXPORT int got_hooks_install(void);
EXPORT int got_hooks_calls(void);

static void *(*real_dlopen)(const char *, int);
static int calls, replaced;

static void *hooked(const char *name, int flags);

struct tables {
    const ElfW(Rela) * call, *other;
    size_t calls, others;
    const ElfW(Sym) * symbol;
    const char *text;
};

static void replace(const struct dl_phdr_info *info, const struct tables *t, const ElfW(Rela) * r)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    void **slot = (void **)(info->dlpi_addr + r->r_offset); /* NOLINT */

    if (strcmp(t->text + t->symbol[ELF64_R_SYM(r->r_info)].st_name, "dlopen") != 0)
        return;
    if (mprotect((void *)((uintptr_t)slot & -page), page, PROT_READ | PROT_WRITE) == 0) { /* NOLINT */
        *slot = (void *)hooked;
        replaced++;
    }
}

static int visit(struct dl_phdr_info *info, size_t size, void *unused)
{
    struct tables t = { 0 };

    (void)size;
    (void)unused;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Dyn) *d = (const void *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr); /* NOLINT */

        for (; info->dlpi_phdr[i].p_type == PT_DYNAMIC && d->d_tag != DT_NULL; d++)
            switch (d->d_tag) {
            case DT_JMPREL: t.call = (const void *)d->d_un.d_ptr; break; /* NOLINT */
            case DT_PLTRELSZ: t.calls = d->d_un.d_val / sizeof *t.call; break;
            case DT_RELA: t.other = (const void *)d->d_un.d_ptr; break; /* NOLINT */
            case DT_RELASZ: t.others = d->d_un.d_val / sizeof *t.other; break;
            case DT_SYMTAB: t.symbol = (const void *)d->d_un.d_ptr; break; /* NOLINT */
            case DT_STRTAB: t.text = (const void *)d->d_un.d_ptr; break;   /* NOLINT */
            default: break;
            }
    }
    /* The vdso's are not relocated. */
    if (t.symbol == NULL || (uintptr_t)t.symbol < info->dlpi_addr)
        return 0;
    for (size_t i = 0; i < t.calls; i++)
        replace(info, &t, &t.call[i]);
    for (size_t i = 0; i < t.others; i++)
        if (ELF64_R_SYM(t.other[i].r_info) != 0)
            replace(info, &t, &t.other[i]);
    return 0;
}

static void *hooked(const char *name, int flags)
{
    void *handle = real_dlopen(name, flags);

    (void)__atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED);
    (void)dl_iterate_phdr(visit, NULL); /* what has come is hooked, too */
    return handle;
}

/* How many slots were replaced. */
int got_hooks_install(void)
{
    void *libc = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);

    *(void **)&real_dlopen = libc == NULL ? NULL : dlsym(libc, "dlopen");
    if (real_dlopen != NULL)
        (void)dl_iterate_phdr(visit, NULL);
    return replaced;
}

int got_hooks_calls(void) { return calls; }
