/* SPDX-License-Identifier: BSD-3-Clause */
/* cancel.h - keeps a cancelled thread alive from a write until the notice of that write is given.
 *
 * A thread with PTHREAD_CANCEL_ASYNCHRONOUS can end at any instruction. From before the real call until the notice is
 * given, such a thread can end at cancellation points only; a pending cancellation acts right after that. Other threads
 * see no difference: giving notice is no cancellation point, and a real call that is one stays one. Any thread; keeps
 * errno. */
#ifndef MIOC_CANCEL_H
#define MIOC_CANCEL_H

#include <pthread.h>

/* Defers cancellation. Returns the type that mioc_cancel_restore() puts back. */
static inline int mioc_cancel_defer(void)
{
    int type = PTHREAD_CANCEL_DEFERRED;

    (void)pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &type);
    return type;
}

static inline void mioc_cancel_restore(int type)
{
    if (type != PTHREAD_CANCEL_DEFERRED)
        (void)pthread_setcanceltype(type, &type);
}

/* Evaluates `call`, an expression that makes the real call and gives notice of it, with cancellation deferred. Its
 * value is that of `call`. */
#define MIOC_UNCANCELLED(call) \
    __extension__({ \
        int type_ = mioc_cancel_defer(); \
        __typeof__(call) value_ = (call); \
        mioc_cancel_restore(type_); \
        value_; \
    })

#endif
