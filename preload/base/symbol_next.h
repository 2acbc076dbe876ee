/* SPDX-License-Identifier: BSD-3-Clause */
/* symbol_next.h - finds a function behind ours in the link map, without ld.so. */
#ifndef MIOC_SYMBOL_NEXT_H
#define MIOC_SYMBOL_NEXT_H

/* What dlsym(RTLD_NEXT, name) finds from this library, if that is a function of libc or of an object before it; NULL:
 * ask dlsym(). Takes no lock, allocates nothing, needs some 200 bytes of stack: right in a signal's handler whatever it
 * interrupts, a dlopen() of this or another thread, too. Keeps errno, and what dlerror() says. */
void *mioc_symbol_next(const char *name);

#endif
