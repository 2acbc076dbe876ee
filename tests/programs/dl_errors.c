/* SPDX-License-Identifier: BSD-3-Clause */
/* dl_errors.c - libraries that cannot be loaded: dlerror's words. */
#include "dl_cases.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static void load_all(const char *const *name)
{
    for (; *name != NULL; name++) {
        void *handle = load(at(*name), RTLD_NOW);

        say("and again");
        unload(load(at(*name), RTLD_LAZY));
        unload(handle);
    }
}

static void missing(void)
{
    static const char *const names[] = {
        "missing.so", "missing/inner.so", "simple.so/inner.so", "simple.so/", "dangling.so",
        "loop.so",    "needs_none.so",    "dep/../missing.so",  "",           NULL
    };

    load_all(names);
    load("libmissing.so.1", RTLD_NOW);
    load("missing.so", RTLD_NOW);
    load("./missing.so", RTLD_NOW);
    load("$ORIGIN/missing.so", RTLD_NOW);
    load("$NOTHING/missing.so", RTLD_NOW);
    load("libc.so.6 ", RTLD_NOW);
    load("/", RTLD_NOW);
    load(".", RTLD_NOW);
}

static void broken(void)
{
    static const char *const names[] = {
        "broken/empty.so",      "broken/short.so", "broken/text.so", "broken/class32.so", "broken/machine.so",
        "broken/big_endian.so", "broken/osabi.so", "broken/dir.so",  "broken/program.so", NULL
    };

    load_all(names);
}

/* The loader maps it and dies of what is not there. */
static void truncated(void) { load(at("broken/truncated.so"), RTLD_NOW); }

static void undefined(void)
{
    static const char *const names[] = { "under_now.so", "under.so", "needs_version.so", NULL };

    load_all(names);
    load(at("simple.so"), 0);
    load(at("simple.so"), 0x40000000);
    (void)dlerror();
    say("nothing left to say: %s", dlerror() == NULL ? "true" : "false");
    void *handle = load(at("simple.so"), RTLD_NOW);
    say("no such symbol: %s", dlsym(handle, "nothing") == NULL ? dlerror() : "?");
    unload(handle);
    say("closed: %s", dlclose(&errno) != 0 ? dlerror() : "?");
}

/* Run as root and as nobody. */
static void unreadable(void)
{
    static const char *const names[] = { "broken/unreadable.so", "closed/inner.so", NULL };

    load_all(names);
    value(load(at("simple.so"), RTLD_NOW), "simple_value");
}

static void long_names(void)
{
    char name[9000];

    memset(name, 'x', sizeof name);
    name[255] = '\0';
    load(name, RTLD_NOW);
    load(at(name), RTLD_NOW);
    name[255] = 'x';
    name[256] = '\0';
    load(at(name), RTLD_NOW);
    name[256] = 'x';
    memset(name, '/', sizeof name - 100);
    strcpy(name + sizeof name - 100, "x.so");
    load(name, RTLD_NOW);
    (void)snprintf(name, sizeof name, "%s", at(""));
    for (size_t n = strlen(name); n < 4080; n += 2)
        strcpy(name + n, "./");
    strcat(name, "simple.so");
    value(load(name, RTLD_NOW), "simple_value");
    strcpy(name + strlen(name) - 9, "././././simple.so");
    load(name, RTLD_NOW);
}

/* With one descriptor free a library can be loaded, with none it cannot. */
static void descriptors(void)
{
    struct rlimit before, limit;
    int first = open("/dev/null", O_RDONLY | O_CLOEXEC);

    must(first >= 0 && getrlimit(RLIMIT_NOFILE, &before) == 0, "getrlimit");
    limit = before;
    limit.rlim_cur = (rlim_t)first + 1;
    must(setrlimit(RLIMIT_NOFILE, &limit) == 0, "setrlimit");
    load(at("simple.so"), RTLD_NOW);
    load(at("needs_origin.so"), RTLD_NOW);
    close(first);
    value(load(at("simple.so"), RTLD_NOW), "simple_value");
    value(load(at("needs_origin.so"), RTLD_NOW), "needs_origin_value");
    must(setrlimit(RLIMIT_NOFILE, &before) == 0, "setrlimit");
}

static void errno_after(void)
{
    const char *const names[] = { "simple.so",      "simple.so",       "missing.so",
                                  "broken/text.so", "needs_origin.so", "needs_none.so" };

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        errno = 12345;
        void *handle = dlopen(at(names[i]), RTLD_NOW);
        int saved = errno;

        say("%s: %s, errno %d", names[i], handle == NULL ? "no" : "yes", saved);
        errno = 0;
        if (handle != NULL && i != 0)
            (void)dlclose(handle);
        say("then errno %d", errno);
    }
}

/* Where libraries may not be executed: the test mounts it so. */
static void simple(void)
{
    value(load(at("simple.so"), RTLD_NOW), "simple_value");
    value(load(at("needs_origin.so"), RTLD_NOW), "needs_origin_value");
}

const struct dl_case dl_error_cases[] = {
    { "missing", missing },         { "broken", broken },
    { "truncated", truncated },     { "undefined", undefined },
    { "unreadable", unreadable },   { "long_names", long_names },
    { "descriptors", descriptors }, { "errno_after", errno_after },
    { "simple", simple },           { NULL, NULL },
};
