/* SPDX-License-Identifier: BSD-3-Clause */
/* exported.h - a table with a successful call of every name that the library exports, for tests of what all of them
 * must keep.
 *
 * A library for Python (only interpreters become ranks) and for exported_main.c. Each CASE prepares what its function
 * needs, calls it by CALL(arguments), and says by DONE(condition) whether the call succeeded; it may do so several
 * times. The tests hold the names against the version script, so a new interposer without a case is seen. */
#ifndef EXPORTED_H
#define EXPORTED_H

#include <stddef.h>

enum { IN_CHILD = 1 /* the call changes the process, or ends it: it is made in a forked child */ };

/* Before main(). */
void exported_add(const char *name, void (*run)(void), int flags);

#define CASE_(name, flags) \
    static void case_##name(void); \
    __attribute__((constructor)) static void add_##name(void) { exported_add(#name, case_##name, flags); } \
    static void case_##name(void)
#define CASE(name) CASE_(name, 0)
#define CASE_IN_CHILD(name) CASE_(name, IN_CHILD)
/* Another name of the same function, or of one with the same arguments. */
#define SAME(name, other) \
    CASE(name) { case_##other(); }
#define SAME_IN_CHILD(name, other) \
    CASE_IN_CHILD(name) { case_##other(); }

/* The function under test with up to six arguments, numbers or pointers; what it returns. CALL_INT: of functions that
 * return int. */
long exported_call(const long arguments[6]);
void exported_done(int is_success);
#define EXPORTED_CHOOSE(a, b, c, d, e, f, n, ...) n
#define EXPORTED_1(a) (long)(a)
#define EXPORTED_2(a, b) (long)(a), (long)(b)
#define EXPORTED_3(a, b, c) EXPORTED_2(a, b), (long)(c)
#define EXPORTED_4(a, b, c, d) EXPORTED_3(a, b, c), (long)(d)
#define EXPORTED_5(a, b, c, d, e) EXPORTED_4(a, b, c, d), (long)(e)
#define EXPORTED_6(a, b, c, d, e, f) EXPORTED_5(a, b, c, d, e), (long)(f)
#define CALL(...) \
    exported_call((const long[6]){ EXPORTED_CHOOSE(__VA_ARGS__, EXPORTED_6, EXPORTED_5, EXPORTED_4, EXPORTED_3, \
                                                   EXPORTED_2, EXPORTED_1, 0)(__VA_ARGS__) })
#define CALL_INT(...) (int)CALL(__VA_ARGS__)
#define DONE(condition) exported_done(condition)

/* --- Where the case runs: a directory below a cached prefix or elsewhere, absolute or relative ------------------- */

/* Names in the place, in buffers that the sixth call after takes again. */
const char *there(const char *name);
/* The same for a name that was not used before, and for a new file of that kind; made behind the library's back, by
 * system calls. */
const char *fresh(void);
const char *fresh_file(void);
/* An open descriptor of the place's file, for reading: of a copy where the file is cached. Behind the library's back
 * the original was removed in the place "gone", the copy's name in "lost". The caller closes it. */
int open_there(void);
int directory_there(void);
/* The body of a case that makes one call with that descriptor. */
#define WITH_FILE(fd, call) \
    { \
        int fd = open_there(); \
        DONE(call >= 0); \
        close(fd); \
    }

#endif
