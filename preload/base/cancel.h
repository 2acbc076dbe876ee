/* SPDX-License-Identifier: BSD-3-Clause */
/* cancel.h - a thread that is cancelled must not end between a write and its being told.
 *
 * One that may be cancelled at any moment (PTHREAD_CANCEL_ASYNCHRONOUS) is cancelled at points of cancellation only
 * from before the real call until all is told, and then at once. The others notice nothing: telling is no point of
 * cancellation, and a real call that is one stays one. */
#ifndef MIOC_CANCEL_H
#define MIOC_CANCEL_H

#include <pthread.h>

/* What to give to mioc_cancel_restore(). */
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

/* The value of a call and its telling, an expression, as one. */
#define MIOC_UNCANCELLED(call) \
    __extension__({ \
        int type_ = mioc_cancel_defer(); \
        __typeof__(call) value_ = (call); \
        mioc_cancel_restore(type_); \
        value_; \
    })

#endif
