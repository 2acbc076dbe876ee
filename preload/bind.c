/* SPDX-License-Identifier: BSD-3-Clause */
/* bind.c - does for this library's calls what ld.so does at the first of each. */
#include "bind.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <stddef.h>

#ifdef __x86_64__

extern const char __ehdr_start[] __attribute__((visibility("hidden"))); /* where the library is mapped, by the linker */

#define VERSION_HIDDEN 0x8000u

struct tables {
    const ElfW(Rela) *call;
    size_t calls;
    const ElfW(Sym) *symbol;
    const char *text;
    const ElfW(Versym) *version; /* a symbol's index into what follows, may be NULL */
    const ElfW(Verneed) *needed;
    int is_bound;
};

/* ld.so has added the address to what it found in the file, unless the section could not be written. */
static const void *pointer(ElfW(Addr) value)
{
    ElfW(Addr) base = (ElfW(Addr))__ehdr_start;

    return (const void *)(value < base ? base + value : value); /* NOLINT: an address */
}

static void read_dynamic(struct tables *t)
{
    for (const ElfW(Dyn) *d = _DYNAMIC; d->d_tag != DT_NULL; d++)
        switch (d->d_tag) {
        case DT_JMPREL: t->call = pointer(d->d_un.d_ptr); break;
        case DT_PLTRELSZ: t->calls = d->d_un.d_val / sizeof *t->call; break;
        case DT_SYMTAB: t->symbol = pointer(d->d_un.d_ptr); break;
        case DT_STRTAB: t->text = pointer(d->d_un.d_ptr); break;
        case DT_VERSYM: t->version = pointer(d->d_un.d_ptr); break;
        case DT_VERNEED: t->needed = pointer(d->d_un.d_ptr); break;
        case DT_FLAGS: t->is_bound |= (d->d_un.d_val & DF_BIND_NOW) != 0; break;
        case DT_FLAGS_1: t->is_bound |= (d->d_un.d_val & DF_1_NOW) != 0; break;
        default: break;
        }
}

/* The version by which a symbol is asked for; NULL: any. */
static const char *version_of(const struct tables *t, size_t symbol)
{
    const ElfW(Verneed) *library = t->needed;
    unsigned index = t->version == NULL ? 0 : t->version[symbol] & ~VERSION_HIDDEN;

    while (library != NULL && index > VER_NDX_GLOBAL) {
        const ElfW(Vernaux) *version = (const void *)((const char *)library + library->vn_aux);

        for (unsigned i = 0; i < library->vn_cnt; i++) {
            if (version->vna_other == index)
                return t->text + version->vna_name;
            version = (const void *)((const char *)version + version->vna_next);
        }
        library = library->vn_next == 0 ? NULL : (const void *)((const char *)library + library->vn_next);
    }
    return NULL;
}

static const void *object_of(const void *address)
{
    Dl_info info;

    return dladdr(address, &info) == 0 ? NULL : info.dli_fbase;
}

/* As ld.so binds: to the first object that has the version, or the name without any. dlvsym() takes no name without a version, and
 * so would pass by another preload's malloc(), and find libc's free(). */
static void *find(const char *name, const char *version)
{
    void *any = dlsym(RTLD_DEFAULT, name), *exact = version == NULL ? any : dlvsym(RTLD_DEFAULT, name, version);

    if (any == NULL || exact == NULL)
        (void)dlerror(); /* the program must not find our failed lookup */
    if (any != NULL && exact != NULL && any != exact && object_of(any) == object_of(exact))
        return exact;
    return any != NULL ? any : exact;
}

void mioc_bind_now(void)
{
    struct tables t = { 0 };

    read_dynamic(&t);
    if (t.is_bound || t.call == NULL || t.symbol == NULL || t.text == NULL)
        return; /* bound at the start, and not to be written any more */
    for (size_t i = 0; i < t.calls; i++) {
        size_t symbol = ELF64_R_SYM(t.call[i].r_info);
        const char *name = t.text + t.symbol[symbol].st_name, *version = version_of(&t, symbol);
        void *found;

        if (ELF64_R_TYPE(t.call[i].r_info) != R_X86_64_JUMP_SLOT)
            continue;
        found = find(name, version);
        if (found != NULL)
            __atomic_store_n((void **)(__ehdr_start + t.call[i].r_offset), found, __ATOMIC_RELAXED);
    }
}

#else
void mioc_bind_now(void) {} /* there is no dispatch */
#endif
