/* SPDX-License-Identifier: BSD-3-Clause */
/* loader.h - whether and how dlopen() is served: by dispatch (dispatch.h), or plain, and then why.
 *
 * Everything but mioc_loader_start is for any thread and keeps errno. */
#ifndef MIOC_LOADER_H
#define MIOC_LOADER_H

#include "config.h"
#include "stats.h"
#include "store.h"

/* Decides for this process, once, before it has threads. Until then every load is plain and not counted. has_agent: what others ask is
 * looked up in this process. */
void mioc_loader_start(const struct mioc_config *config, const struct mioc_store *store, int has_agent);
/* "dispatch", or "plain: REASON"; for the line that says what is active. Lives for ever. */
const char *mioc_loader_text(void);
/* How a load that begins now has to go; not counted yet. */
enum mioc_loader_way mioc_loader_way(void);

/* Whether this thread may wait for an answer now. Not within a load, where the threads that answer are in this process and another
 * preload comes after us: its functions may well call dlsym(), which waits for the loader's lock, and that is this thread's.
 * What the store does not have is then asked of the filesystem, by the first rank of each node; others are answered. So it is
 * for constructors too, but not for those of plain loads: what they open may wait for as long as a call waits at all. */
int mioc_loader_may_ask(void);

/* Whether the loader may be given the node's copies. Not where their filesystem is mounted noexec, or another guard refuses
 * to map them for execution: then it gets the original, and only its searches are served. */
int mioc_loader_may_map(void);

#endif
