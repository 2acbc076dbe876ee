/* SPDX-License-Identifier: BSD-3-Clause */
/* bind.h - binds at once what this library calls in others.
 *
 * It is linked for lazy binding, because small processes pay for every symbol. But a handler that runs in the midst of ld.so
 * must not call ld.so to bind a symbol: its tables may be half made, and with LD_DEBUG=bindings it would write, trap and bind
 * again without end (seen). */
#ifndef MIOC_BIND_H
#define MIOC_BIND_H

/* From an ordinary thread, before such handlers run. What cannot be found stays as it was. */
void mioc_bind_now(void);

#endif
