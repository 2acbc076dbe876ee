/* SPDX-License-Identifier: BSD-3-Clause */
/* handle.c - where the stubs come to: hands a call of the loader's to whoever answers. */
#include "handle.h"

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

static mioc_loader_answer in_force = mioc_loader_pass; /* atomic */

void mioc_loader_set_answer(mioc_loader_answer answer) { __atomic_store_n(&in_force, answer, __ATOMIC_RELEASE); }

long mioc_loader_pass(const struct mioc_loader_call *call)
{
    const long *a = call->argument, rc = syscall(call->number, a[0], a[1], a[2], a[3], a[4], a[5]);

    return rc == -1 ? -errno : rc;
}

__attribute__((used)) long mioc_loader_handle(const struct mioc_loader_call *call)
{
    const mioc_loader_answer answer = __atomic_load_n(&in_force, __ATOMIC_ACQUIRE);
    int saved = errno, cancel;
    long rc;

    /* ld.so's own calls are no cancellation points, so what is done in their place must be none. */
    (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
    rc = answer(call);
    (void)pthread_setcancelstate(cancel, NULL);
    errno = saved; /* libc's; the loader has its own */
    return rc;
}
