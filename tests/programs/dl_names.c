/* SPDX-License-Identifier: BSD-3-Clause */
/* dl_names.c - how a library is searched, what it is called, and which ones are the same. */
#include "dl_cases.h"

#include <dirent.h>
#include <fcntl.h>
#include <link.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Every name by which the loader tells of a library. */
static void say_names(void *handle, const char *symbol)
{
    struct link_map *map;
    char origin[4096];
    Dl_info info;

    if (handle == NULL)
        return;
    must(dlinfo(handle, RTLD_DI_LINKMAP, &map) == 0 && dlinfo(handle, RTLD_DI_ORIGIN, origin) == 0, "dlinfo");
    say("link map %s, origin %s", map->l_name, origin);
    if (dladdr(dlsym(handle, symbol), &info) != 0)
        say("dladdr %s %s", info.dli_fname, info.dli_sname);
}

static void say_search(void *handle)
{
    Dl_serinfo size, *search;

    must(dlinfo(handle, RTLD_DI_SERINFOSIZE, &size) == 0, "dlinfo");
    search = malloc(size.dls_size);
    must(search != NULL, "malloc");
    must(dlinfo(handle, RTLD_DI_SERINFOSIZE, search) == 0 && dlinfo(handle, RTLD_DI_SERINFO, search) == 0, "dlinfo");
    for (unsigned i = 0; i < search->dls_cnt; i++)
        say("search %s %x", search->dls_serpath[i].dls_name, search->dls_serpath[i].dls_flags);
    free(search);
}

static int say_loaded(struct dl_phdr_info *info, size_t size, void *count)
{
    (void)size;
    if (strstr(info->dlpi_name, "/libs/") != NULL)
        say("loaded %d: %s", (*(int *)count)++, info->dlpi_name);
    return 0;
}

static void names(void)
{
    static const char *const all[] = { "simple.so",        "symbolic.so",         "symbolic2.so",
                                       "hard.so",          "dep/../simple.so",    ".//simple.so",
                                       "dep/libdep.so.1",  "dep/libdep.so.1.2.3", "linked_sub/libbare.so.1",
                                       "sub/libbare.so.1", "needs_origin.so",     "needs_rpath.so",
                                       "needs_slashes.so" };
    void *handle[13];
    int count = 0;

    for (unsigned i = 0; i < 13; i++) {
        handle[i] = load(at(all[i]), RTLD_NOW);
        for (unsigned j = 0; j < i; j++)
            if (handle[i] == handle[j])
                say("the same as %s", all[j]);
        say_names(handle[i], "simple_value");
    }
    value(handle[12], "needs_slashes_value");
    value(handle[11], "needs_rpath_value");
    say_search(handle[10]);
    say_search(handle[11]);
    dl_iterate_phdr(say_loaded, &count);
    unload(handle[12]);
    count = 0;
    dl_iterate_phdr(say_loaded, &count);
}

/* What the program has open itself, and loads by a name of the descriptor or by a link to that. */
static void by_descriptor(void)
{
    char link_to_it[64];
    void *handle[3];
    int fd = open(at("simple.so"), O_RDONLY | O_CLOEXEC);

    must(fd >= 0 && dup2(fd, 77) == 77, "open");
    (void)snprintf(link_to_it, sizeof link_to_it, "/tmp/mioc-link-%d", (int)getpid());
    must(symlink("/proc/self/fd/77", link_to_it) == 0, "symlink");
    for (int turn = 0; turn < 2; turn++) {
        handle[0] = load(turn ? at("simple.so") : "/proc/self/fd/77", RTLD_NOW);
        say_names(handle[0], "simple_value");
        handle[1] = dlopen(link_to_it, RTLD_NOW);
        handle[2] = load(turn ? "/proc/self/fd/77" : at("simple.so"), RTLD_NOW);
        say("by descriptor: %d %d", handle[1] == handle[0], handle[2] == handle[0]);
        for (int i = 0; i < 3; i++)
            must(handle[i] != NULL && dlclose(handle[i]) == 0, "dlclose");
    }
    must(unlink(link_to_it) == 0 && close(77) == 0 && close(fd) == 0, "unlink");
}

/* One that is loaded is found by its soname, without a search. */
static void sonames(void)
{
    load("libdep.so.1", RTLD_NOW);
    void *dep = load(at("dep/libdep.so"), RTLD_NOW);
    say_names(dep, "dep_value");
    say("by soname: %s", load("libdep.so.1", RTLD_NOW) == dep ? "the same" : "another");
    load("libdep.so.1.2.3", RTLD_NOW);
    load("provider.so", RTLD_NOW | RTLD_NOLOAD);
    load(at("provider.so"), RTLD_NOW);
    load("provider.so", RTLD_NOW | RTLD_NOLOAD);
    load("simple.so", RTLD_NOW);
    load(at("missing/libdep.so.1"), RTLD_NOW);
}

static void library_path(void)
{
    void *handle;

    value(load("libenv.so.1", RTLD_NOW), "env_value");
    value(load(at("needs_env.so"), RTLD_NOW), "needs_env_value");
    handle = load("libhw.so.1", RTLD_NOW);
    value(handle, "hw_value");
    say_names(handle, "hw_value");
    say_search(handle);
    load("libdep.so.1", RTLD_NOW);
    value(load("simple.so", RTLD_NOW), "simple_value"); /* where a path is empty, in the working directory */
}

typedef void *(*opener)(const char *name, int flags);

static void call_from(const char *library, const char *prefix)
{
    static const char *const kinds[] = { "dlopen", "dlopen_in_tail", "dlopen_old", "dlopen_by_address" };
    static const char *const names[] = { "libbare.so.1", "$ORIGIN/sub/libbare.so.1", "${ORIGIN}/simple.so",
                                         "libmissing.so.1" };
    void *caller = load(at(library), RTLD_NOW);
    char symbol[64];

    for (unsigned i = 0; i < 4; i++)
        for (unsigned j = 0; j < 4; j++) {
            (void)snprintf(symbol, sizeof symbol, "%s_%s", prefix, kinds[i]);
            opener open = (opener)dlsym(caller, symbol);
            void *handle = open == NULL ? NULL : open(names[j], RTLD_NOW);

            say("%s(%s): %s", symbol, names[j], handle != NULL ? "done" : dlerror());
            say_names(handle, "bare_value");
            unload(handle);
        }
}

static void callers(void)
{
    call_from("caller.so", "caller");
    call_from("caller_rpath.so", "caller_rpath");
    call_from("caller_none.so", "caller_none");
    /* Once it is loaded everybody finds it. */
    void *handle = load(at("sub/libbare.so.1"), RTLD_NOW);
    call_from("caller_none.so", "caller_none");
    unload(handle);
}

/* Code that is in no library, as a just-in-time compiler makes it. */
static void caller_of_no_library(void)
{
    static const unsigned char call[] = { 0x48, 0x83, 0xec, 0x08, 0xff, 0xd2, 0x48, 0x83, 0xc4, 0x08, 0xc3 };
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    void *(*jit)(const char *, int, opener) = (void *(*)(const char *, int, opener))page;
    const char *const all[] = { "libbare.so.1", at("simple.so"), at("needs_origin.so"), at("missing.so"), "libc.so.6" };

    must(page != MAP_FAILED, "mmap");
    memcpy(page, call, sizeof call);
    for (unsigned i = 0; i < 5; i++)
        say("%s: %s", all[i], jit(all[i], RTLD_NOW, dlopen) != NULL ? "done" : dlerror());
    munmap(page, 4096);
}

static void *load_from(const char *folder, const char *path)
{
    must(chdir(folder) == 0, folder);
    void *handle = load(path, RTLD_NOW);
    say_names(handle, "simple_value");
    return handle;
}

static void relative(void)
{
    int fd = open(at("dep"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    void *first = load_from(at(""), "./simple.so");

    say("%s", load_from(at("sub"), "../simple.so") == first ? "the same" : "another");
    load_from(at("sub"), "./simple.so");
    load_from("..", "sub/libbare.so.1");
    load_from("/", "./simple.so");
    must(fchdir(fd) == 0, "fchdir");
    load("./libdep.so.1", RTLD_NOW);
    load("../needs_origin.so", RTLD_NOW);
    must(syscall(SYS_chdir, at("")) == 0, "chdir");
    load("./other.so", RTLD_NOW);
    load("./libdep.so.1.2.3", RTLD_NOW);
    close(fd);
    must(mkdir(at_rw("gone"), 0755) == 0 && chdir(at_rw("gone")) == 0 && rmdir(at_rw("gone")) == 0, "rmdir");
    load("./simple.so", RTLD_NOW);
    load("../hard.so", RTLD_NOW);
    must(chdir("/") == 0, "chdir");
}

static void none_and_main(void)
{
    void *program = load("", RTLD_NOW), *null = dlopen(NULL, RTLD_NOW);
    struct link_map *map;

    say("NULL and the empty name: %s", program == null ? "the same" : "two");
    must(dlinfo(null, RTLD_DI_LINKMAP, &map) == 0, "dlinfo");
    say("its name is '%s'", map->l_name);
    say("getpid %s", dlsym(null, "getpid") != NULL ? "found" : "missing");
    say("simple_value %s", dlsym(null, "simple_value") != NULL ? "found" : "missing");
    load(at("simple.so"), RTLD_NOW | RTLD_GLOBAL);
    say("simple_value %s", dlsym(null, "simple_value") != NULL ? "found" : "missing");
    unload(null);
}

/* The rank's own library, written by it. */
static void copy(const char *from, const char *to)
{
    char bytes[65536];
    int in = open(from, O_RDONLY | O_CLOEXEC), out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
    ssize_t n;

    must(in >= 0 && out >= 0, to);
    while ((n = read(in, bytes, sizeof bytes)) > 0)
        must(write(out, bytes, (size_t)n) == n, "write");
    must(close(out) == 0, "close");
    close(in);
}

static void replaced(void)
{
    load(at_rw("made.so"), RTLD_NOW);
    copy(at("simple.so"), at_rw("made.so"));
    void *handle = load(at_rw("made.so"), RTLD_NOW);
    value(handle, "simple_value");
    copy(at("other.so"), at_rw("new.so"));
    must(rename(at_rw("new.so"), at_rw("made.so")) == 0, "rename");
    say("while loaded: %s", load(at_rw("made.so"), RTLD_NOW) == handle ? "the same" : "another");
    unload(handle);
    unload(handle);
    handle = load(at_rw("made.so"), RTLD_NOW);
    value(handle, "other_value");
    value(handle, "simple_value");
    unload(handle);
    copy(at("lazy.so"), at_rw("made.so")); /* its dependency is not here */
    load(at_rw("made.so"), RTLD_NOW);
    copy(at("simple.so"), at_rw("made.so"));
    unload(load(at_rw("made.so"), RTLD_NOW));
    must(truncate(at_rw("made.so"), 100) == 0, "truncate");
    load(at_rw("made.so"), RTLD_NOW);
    must(unlink(at_rw("made.so")) == 0, "unlink");
    load(at_rw("made.so"), RTLD_NOW);
    must(symlink(at("other.so"), at_rw("made.so")) == 0, "symlink");
    handle = load(at_rw("made.so"), RTLD_NOW);
    value(handle, "other_value");
    unload(handle);
    must(unlink(at_rw("made.so")) == 0 && mkdir(at_rw("made.so"), 0700) == 0, "mkdir");
    load(at_rw("made.so"), RTLD_NOW);
    must(rmdir(at_rw("made.so")) == 0, "rmdir");
}

/* A child replaces it, behind our back. */
static void replaced_by_child(void)
{
    char command[8192];

    copy(at("simple.so"), at_rw("child.so"));
    unload(load(at_rw("child.so"), RTLD_NOW));
    (void)snprintf(command, sizeof command, "cp %s %s.new && mv %s.new %s", at("other.so"), at_rw("child.so"),
                   at_rw("child.so"), at_rw("child.so"));
    must(system(command) == 0, "cp");
    void *handle = load(at_rw("child.so"), RTLD_NOW);
    value(handle, "other_value");
    unload(handle);
    (void)snprintf(command, sizeof command, "rm %s", at_rw("child.so"));
    must(system(command) == 0, "rm");
    load(at_rw("child.so"), RTLD_NOW);
}

const struct dl_case dl_name_cases[] = {
    { "names", names },       { "by_descriptor", by_descriptor },
    { "sonames", sonames },   { "library_path", library_path },
    { "callers", callers },   { "caller_of_no_library", caller_of_no_library },
    { "relative", relative }, { "none_and_main", none_and_main },
    { "replaced", replaced }, { "replaced_by_child", replaced_by_child },
    { NULL, NULL },
};
