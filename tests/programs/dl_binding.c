/* SPDX-License-Identifier: BSD-3-Clause */
/* dl_binding.c - which definition a call reaches: scopes, lazy binding, namespaces, thread-local variables, exceptions.
 */
#include "dl_cases.h"

#include <link.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void under_linked(void)
{
    load(at("under_now.so"), RTLD_LAZY);
    load(at("under.so"), RTLD_NOW);
    void *under = load(at("under.so"), RTLD_LAZY); /* may be loaded: nothing is bound yet */
    void *provider = load(at("provider.so"), RTLD_NOW | RTLD_GLOBAL);
    value(under, "under_value");
    void *now = load(at("under_now.so"), RTLD_NOW);
    value(now, "under_value");
    unload(now);
    unload(under);
    unload(provider);
    provider = load(at("provider2.so"), RTLD_NOW); /* local: not seen by others */
    load(at("under_now.so"), RTLD_NOW);
    say("made global: %s",
        load(at("provider2.so"), RTLD_NOW | RTLD_NOLOAD | RTLD_GLOBAL) == provider ? "the same" : "another");
    value(load(at("under_now.so"), RTLD_NOW), "under_value");
}

static void flags(void)
{
    say("not yet: %s", load(at("simple.so"), RTLD_NOW | RTLD_NOLOAD) == NULL ? "NULL" : "there");
    void *handle = load(at("simple.so"), RTLD_LAZY);
    say("now: %s", load(at("simple.so"), RTLD_NOW | RTLD_NOLOAD) == handle ? "the same" : "another");
    unload(handle);
    unload(handle);
    say("gone: %s", load(at("simple.so"), RTLD_NOW | RTLD_NOLOAD) == NULL ? "NULL" : "there");
    void *stays = load(at("other.so"), RTLD_NOW | RTLD_NODELETE);
    unload(stays);
    say("stays: %s", load(at("other.so"), RTLD_NOW | RTLD_NOLOAD) == stays ? "the same" : "another");
    load(at("provider2.so"), RTLD_NOW | RTLD_GLOBAL);
    handle = load(at("own.so"), RTLD_NOW);
    value(handle, "own_value");
    unload(handle);
    handle = load(at("own.so"), RTLD_NOW | RTLD_DEEPBIND);
    value(handle, "own_value");
    unload(handle);
}

static void bound_in_all_ways(void)
{
    static const char *const names[] = { "lazy",         "noplt",       "ifunc",    "ifunc_calls",
                                         "needs_origin", "needs_rpath", "execstack" };

    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        char file[64], symbol[64];
        int (*libc)(const char *);

        (void)snprintf(file, sizeof file, "%s.so", names[i]);
        (void)snprintf(symbol, sizeof symbol, "%s_value", names[i]);
        void *handle = load(at(file), i % 2 == 0 ? RTLD_LAZY : RTLD_NOW);
        value(handle, symbol);
        (void)snprintf(symbol, sizeof symbol, "%s_libc", names[i]);
        libc = (int (*)(const char *))dlsym(handle, symbol);
        say("calls of libc: %d", libc == NULL ? -1 : libc("42"));
    }
}

static void reloaded(void)
{
    for (int i = 0; i < 20; i++) {
        void *handle = load(at(i % 2 == 0 ? "needs_origin.so" : "ifunc_calls.so"), RTLD_NOW);

        value(handle, i % 2 == 0 ? "needs_origin_value" : "ifunc_calls_value");
        unload(handle);
        say("%s", dlopen(at("dep/libdep.so.1"), RTLD_NOW | RTLD_NOLOAD) == NULL ? "gone" : "there");
    }
}

/* --- Namespaces -------------------------------------------------------------------------------------------------- */

static void namespaces(void)
{
    void *here = load(at("simple.so"), RTLD_NOW), *there = dlmopen(LM_ID_NEWLM, at("simple.so"), RTLD_NOW), *more;
    void *(*inside)(const char *, int);
    struct link_map *map;
    Lmid_t lmid = -5;

    say("dlmopen: %s", there != NULL ? "done" : dlerror());
    value(there, "simple_value");
    say("%s", here == there ? "the same" : "another");
    must(there != NULL && dlinfo(there, RTLD_DI_LMID, &lmid) == 0 && dlinfo(there, RTLD_DI_LINKMAP, &map) == 0,
         "dlinfo");
    say("namespace %ld, %s", (long)lmid, map->l_name);
    more = dlmopen(lmid, at("needs_origin.so"), RTLD_NOW);
    say("another into it: %s", more != NULL ? "done" : dlerror());
    value(more, "needs_origin_value");
    say("missing: %s", dlmopen(lmid, at("missing.so"), RTLD_NOW) == NULL ? dlerror() : "?");
    say("broken: %s", dlmopen(LM_ID_NEWLM, at("broken/text.so"), RTLD_NOW) == NULL ? dlerror() : "?");
    say("base: %s", dlmopen(LM_ID_BASE, at("simple.so"), RTLD_NOW) == here ? "the same" : "another");
    say("none: %s", dlmopen(77, at("simple.so"), RTLD_NOW) == NULL ? dlerror() : "?");
    /* A library in a namespace of its own calls that namespace's loader. */
    more = dlmopen(lmid, at("caller.so"), RTLD_NOW);
    inside = more == NULL ? NULL : (void *(*)(const char *, int))dlsym(more, "caller_dlopen");
    must(inside != NULL, "caller.so");
    more = inside("libbare.so.1", RTLD_NOW);
    say("from inside: %s", more != NULL ? "done" : dlerror());
    value(more, "bare_value");
    must(more != NULL && dlinfo(more, RTLD_DI_LMID, &lmid) == 0, "dlinfo");
    say("namespace %ld", (long)lmid);
    unload(there);
}

/* A bare name in dlmopen() too is searched with the caller's path. */
static void namespaces_of_callers(void)
{
    void *caller = load(at("caller.so"), RTLD_NOW);
    void *(*open)(Lmid_t, const char *, int) = (void *(*)(Lmid_t, const char *, int))dlsym(caller, "caller_dlmopen");
    void *handle = open == NULL ? NULL : open(LM_ID_BASE, "libbare.so.1", RTLD_NOW);

    say("into the base: %s", handle != NULL ? "done" : dlerror());
    value(handle, "bare_value");
    unload(handle);
    handle = open == NULL ? NULL : open(LM_ID_NEWLM, "libbare.so.1", RTLD_NOW);
    say("into a new one: %s", handle != NULL ? "done" : dlerror());
    value(handle, "bare_value");
    unload(handle);
}

/* --- Thread-local variables -------------------------------------------------------------------------------------- */

static int is_filled(void *handle, const char *symbol, int with)
{
    char *(*tls)(void) = (char *(*)(void))dlsym(handle, symbol);
    char *at_once = tls == NULL ? NULL : tls();
    int is_good = at_once != NULL && at_once[0] == with && at_once[15] == with;

    if (is_good)
        at_once[0] = (char)(with + 1); /* the next thread must not see it */
    return is_good;
}

static void *check_tls(void *handles)
{
    void **handle = handles;
    long good = 0;

    for (int i = 0; i < 20; i++)
        good += is_filled(handle[i], "tls_tls", 7);
    return (void *)good;
}

static void thread_local_storage(void)
{
    static const int sizes[] = { 16, 64, 256, 512, 1024, 1500, 2048, 4096, 1000000 };
    void *handle[20], *good;
    pthread_t thread[4];
    char name[64];

    for (int i = 0; i < 20; i++) {
        (void)snprintf(name, sizeof name, "tls/t%02d.so", i + 1);
        handle[i] = load(at(name), RTLD_NOW);
    }
    for (int i = 0; i < 4; i++)
        must(pthread_create(&thread[i], NULL, check_tls, handle) == 0, "pthread_create");
    for (int i = 0; i < 4; i++) {
        pthread_join(thread[i], &good);
        say("in a thread: %ld of 20", (long)good);
    }
    say("here: %ld of 20", (long)check_tls(handle));
    /* Together as a rule too much, one alone certainly. */
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        (void)snprintf(name, sizeof name, "tls/static_%d.so", sizes[i]);
        void *one = load(at(name), RTLD_NOW);
        say("filled: %s", one != NULL && is_filled(one, "tls_static_tls", 9) ? "yes" : "no");
    }
}

/* --- Exceptions -------------------------------------------------------------------------------------------------- */

static void exceptions(void)
{
    static const char *const throwers[] = { "throw_own", "throw_standard" };
    void *thrower = load(at("throw.so"), RTLD_NOW), *catcher = load(at("catch.so"), RTLD_NOW);
    int (*catch)(void (*)(int), int, char *, size_t) = NULL;
    char text[256] = "";

    if (catcher != NULL)
        catch = (int (*)(void (*)(int), int, char *, size_t))dlsym(catcher, "catch_from");
    for (unsigned i = 0; i < 2 && catch != NULL; i++) {
        void (*thrown)(int) = (void (*)(int))dlsym(thrower, throwers[i]);

        must(thrown != NULL, throwers[i]);
        say("%s: %d, %s", throwers[i], catch (thrown, 5, text, sizeof text), text);
    }
}

const struct dl_case dl_binding_cases[] = {
    { "under_linked", under_linked },
    { "flags", flags },
    { "bound_in_all_ways", bound_in_all_ways },
    { "reloaded", reloaded },
    { "namespaces", namespaces },
    { "namespaces_of_callers", namespaces_of_callers },
    { "thread_local_storage", thread_local_storage },
    { "exceptions", exceptions },
    { NULL, NULL },
};
