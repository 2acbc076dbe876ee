/* SPDX-License-Identifier: BSD-3-Clause */
/* dl_sigsys.h - handlers of SIGSYS that count, for the cases about signals. */
#ifndef DL_SIGSYS_H
#define DL_SIGSYS_H

#include "dl_cases.h"

#include <pthread.h>

extern volatile sig_atomic_t dl_count, dl_last_value;
extern pthread_t dl_last_thread;
extern char dl_altstack[64 << 10];

void dl_handler(int sig, siginfo_t *info, void *context);
void dl_plain_handler(int sig);
/* dl_handler, with SIGSYS and one more signal blocked in it. */
void dl_install(int flags, int also_blocked);
void say_count(const char *when);
void say_action(const char *when);
void load_some(void);
/* In all ways by which one comes from a program. */
void raise_and_say(const char *when);

#endif
