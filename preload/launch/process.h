/* SPDX-License-Identifier: BSD-3-Clause */
/* process.h - the ways in which a rank's process ends, becomes another program, or closes what is not its own. */
#ifndef MIOC_PROCESS_H
#define MIOC_PROCESS_H

/* In a rank, before main(): the end by quick_exit() is guarded from now on. exit() is start.c's, all else is
 * interposed. */
void mioc_process_guard(void);

#endif
