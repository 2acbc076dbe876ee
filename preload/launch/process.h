/* SPDX-License-Identifier: BSD-3-Clause */
/* process.h - how a rank's process learns of its own end; interpose/wrap_process.c has the code. */
#ifndef MIOC_PROCESS_H
#define MIOC_PROCESS_H

/* From now on quick_exit() ends this rank's work, too. Call it in a rank, before main(). (start.c does the same for
 * exit(); _exit, abort and exec are interposed.) */
void mioc_process_guard(void);

/* From now on _exit(), _Exit() and quick_exit() call `end` before they end the process, in whatever process they are
 * called. Before main(). */
void mioc_process_set_end(void (*end)(int status));

#endif
