/* SPDX-License-Identifier: BSD-3-Clause */
/* handle.c - the stubs call this: it hands a system call of the loader to the answer in force. */
#include "handle.h"

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

static mioc_loader_answer in_force = mioc_loader_pass; /* atomic: the answer in force */

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

    /* ld.so's own calls are no cancellation points, so what replaces them must be none. */
    (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
    rc = answer(call);
    (void)pthread_setcancelstate(cancel, NULL);
    errno = saved; /* this is libc's errno; the loader has its own */
    return rc;
}
