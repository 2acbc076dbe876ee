/* SPDX-License-Identifier: BSD-3-Clause */
/* dl_cases.h - what the cases of the loader's tests share. A case loads libraries of dl_libs/ and says what it sees;
 * loader.bats compares that with a plain run. Because only interpreters become ranks, this is a library for
 * dl_cases.py.
 *
 * Environment: DL_LIBS is the folder of the libraries, DL_RW a folder of the rank's own below it. */
#ifndef DL_CASES_H
#define DL_CASES_H

#include <dlfcn.h>
#include <signal.h>
#include <stddef.h>

struct dl_case {
    const char *name;
    void (*run)(void);
};

/* Each ends with a row of NULL. */
extern const struct dl_case dl_error_cases[], dl_name_cases[], dl_binding_cases[], dl_constructor_cases[],
    dl_mask_cases[], dl_process_cases[], dl_libc_cases[], dl_stress_cases[];

/* One line of output, numbered and with the rank, because lines of several ranks mix. From one thread at a time. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Ends the program if what a test relies on is not so. */
void must(int condition, const char *what);

/* The path of a library: $DL_LIBS/name. A thread keeps eight of them. */
const char *at(const char *name);
const char *at_rw(const char *name); /* in the rank's own folder */

/* dlopen, said: "load name: done", or dlerror's words. */
void *load(const char *path, int flags);
void *load_quietly(const char *path, int flags); /* said only if it fails */
void unload(void *handle);
/* What `symbol` in the library returns, said; -1 if it has none. */
int value(void *handle, const char *symbol);
int value_quietly(void *handle, const char *symbol);
/* Signal mask, signals caught, ignored and blocked as the kernel says, descriptors. */
void say_state(const char *when);
void say_mask(const char *when);

/* What constructors and destructors of hook*.so call; NULL: nothing. */
extern void (*dl_hook_function)(const char *name, const char *when);

#endif
