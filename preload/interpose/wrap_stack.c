/* SPDX-License-Identifier: BSD-3-Clause */
/* wrap_stack.c - notes where a thread's alternate signal stack is (stack.h). */
#include "serve.h"
#include "base/stack.h"

/* Signals are blocked, so that no handler runs between the call and the note. */
MIOC_EXPORT int sigaltstack(const stack_t *restrict stack, stack_t *restrict old)
{
    uint64_t blocked;
    int rc;

    if (stack == NULL)
        return mioc_real(sigaltstack)(stack, old);
    mioc_stack_set_signals(~0ull, &blocked);
    rc = mioc_real(sigaltstack)(stack, old);
    if (rc == 0)
        mioc_stack_note(stack);
    mioc_stack_set_signals(blocked, NULL);
    return rc;
}
