/* SPDX-License-Identifier: BSD-3-Clause */
/* real.h - the libc functions behind our interposers: the names, once.
 *
 * mioc_real(open)(path, flags) calls the next `open` after ours in the link map. The signature comes from the system
 * header by __typeof__, so it cannot drift. A name is bound on first use, because other libraries' constructors call us
 * before ours has run. Binding takes no lock (symbol.h) and may be done twice with the same result, so it is right in
 * any thread, in a forked child and in a signal handler. Names that this libc lacks are NULL (real_names.h, OPTIONAL);
 * stat and its family are never NULL. Everything outside wrap_*.c uses libc's I/O only through here, so that it never
 * meets our own hooks. */
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
/* Binds one, by its offset in the table; keeps errno. */
void *mioc_real_find(size_t slot);
/* Binds all. An interpreter does it before main(): a lookup later could fall between the program's dlopen() and its
 * dlerror(), whose message any lookup clears. Other programs use few names, and each costs a third of a microsecond. */
void mioc_real_bind(void);
/* Whether another object than libc has some of what threads of ours look at files with: a preload after us. What its
 * functions do, and which locks they take, is not known. */
int mioc_real_is_shadowed(void);

#define mioc_real(name) \
    (__builtin_expect(__atomic_load_n(&mioc_real_functions.name, __ATOMIC_RELAXED) != NULL, 1) \
         ? __atomic_load_n(&mioc_real_functions.name, __ATOMIC_RELAXED) \
         : (__typeof__(&name))mioc_real_find(offsetof(struct mioc_real_table, name)))

#endif
