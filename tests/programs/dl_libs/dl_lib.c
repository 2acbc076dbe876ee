/* SPDX-License-Identifier: BSD-3-Clause */
/* dl_lib.c - the one source of the libraries that the loader's tests load. What is in one is said by macros:
 *
 *     NAME=foo             names begin with foo_
 *     VALUE=7              foo_value() returns 7
 *     CALLS=bar_value      ... plus bar_value(), of another library or of none
 *     IFUNC                foo_value() is chosen by a resolver
 *     TLS=100              foo_tls() gives the address of 100 thread-local bytes, all of VALUE; initial-exec with
 *                          TLS_STATIC
 *     HOOK                 constructor and destructor call dl_hook("foo", "init" or "fini"), the test's
 *     CALLER               foo_dlopen() and others call the loader: a bare name is searched with the caller's
 *                          RUNPATH */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#define JOIN_(a, b) a##_##b
#define JOIN(a, b) JOIN_(a, b)
#define FN(suffix) JOIN(NAME, suffix)
#define TEXT_(a) #a
#define TEXT(a) TEXT_(a)
#ifndef VALUE
#define VALUE 1
#endif

#ifdef CALLS
int CALLS(void);
#define OTHER CALLS()
#else
#define OTHER 0
#endif

#ifdef IFUNC
static int chosen(void) { return VALUE + OTHER; }
static int not_chosen(void) { return -1; }
/* Not static and with calls of its own: relocated before it runs, or it crashes. */
void *FN(resolver)(void);
void *FN(resolver)(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("sse2") ? (void *)chosen : (void *)not_chosen;
}
int FN(value)(void) __attribute__((ifunc(TEXT(FN(resolver)))));
#else
int FN(value)(void) { return VALUE + OTHER; }
#endif

/* Through the procedure linkage table, or with -fno-plt past it. */
int FN(libc)(const char *text) { return atoi(text) + (int)strlen(text); }

#ifdef TLS
#ifdef TLS_STATIC
__attribute__((tls_model("initial-exec")))
#endif
static __thread char tls[TLS] = { [0 ... TLS - 1] = VALUE };
char *FN(tls)(void) { return tls; }
#endif

#ifdef HOOK
void dl_hook(const char *name, const char *when) __attribute__((weak)); /* missing in another namespace */
__attribute__((constructor)) static void init(void)
{
    if (dl_hook != NULL)
        dl_hook(TEXT(NAME), "init");
}
__attribute__((destructor)) static void fini(void)
{
    if (dl_hook != NULL)
        dl_hook(TEXT(NAME), "fini");
}
#endif

#ifdef CALLER
void *FN(dlopen)(const char *name, int flags)
{
    void *volatile handle = dlopen(name, flags); /* volatile: no tail call */

    return handle;
}
void *FN(dlopen_in_tail)(const char *name, int flags) { return dlopen(name, flags); }
void *FN(dlmopen)(Lmid_t lmid, const char *name, int flags)
{
    void *volatile handle = dlmopen(lmid, name, flags);

    return handle;
}
/* As programs linked before glibc 2.34 know it. */
extern void *old_dlopen(const char *, int);
__asm__(".symver old_dlopen, dlopen@GLIBC_2.2.5");
void *FN(dlopen_old)(const char *name, int flags)
{
    void *volatile handle = old_dlopen(name, flags);

    return handle;
}
/* By an address that the loader itself gave. */
void *FN(dlopen_by_address)(const char *name, int flags)
{
    void *(*open)(const char *, int) = (void *(*)(const char *, int))dlsym(RTLD_DEFAULT, "dlopen");
    void *volatile handle = open(name, flags);

    return handle;
}
#endif
