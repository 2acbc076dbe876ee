/* SPDX-License-Identifier: BSD-3-Clause */
/* real.h - the real functions behind our interposers: mioc_real(open)(path, flags) calls the next `open` after ours.
 *
 * The signature comes from the system header by __typeof__, so it cannot drift. A name is bound on its first use,
 * because other libraries' constructors call us before ours has run. Binding takes no lock (symbol.h), and two threads
 * that bind one name get the same function, so mioc_real() works in any thread, in a forked child and in a signal
 * handler. A name that this libc lacks is NULL (real_names.h, OPTIONAL); stat and its family never are. All code
 * outside of wrap_*.c calls libc's I/O functions by mioc_real() only, so that it never calls our interposers. */
#ifndef MIOC_REAL_H
#define MIOC_REAL_H

#include "real_names.h"
#include <stddef.h>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations" /* readdir_r */
struct mioc_real_table {
#define X(name) __typeof__(&name) name;
    MIOC_REAL_NAMES(X)
#undef X
};
#pragma GCC diagnostic pop

extern struct mioc_real_table mioc_real_functions;
/* Binds the function at that offset in the table, and returns it or NULL. Keeps errno. */
void *mioc_real_find(size_t slot);
/* Binds all functions. An interpreter does this before main(): a later lookup may come between the program's dlopen()
 * and its dlerror(), and a lookup clears dlerror()'s message. Other programs bind at first use, as they use few names,
 * and each costs 0.3 µs. Keeps errno. */
void mioc_real_bind(void);
/* Whether another preload, behind us, has one of the functions that our threads use on files. What such a function
 * does, and which locks it takes, is not known. Keeps errno. */
int mioc_real_is_shadowed(void);

#define mioc_real(name) \
    (__builtin_expect(__atomic_load_n(&mioc_real_functions.name, __ATOMIC_RELAXED) != NULL, 1) \
         ? __atomic_load_n(&mioc_real_functions.name, __ATOMIC_RELAXED) \
         : (__typeof__(&name))mioc_real_find(offsetof(struct mioc_real_table, name)))

#endif
