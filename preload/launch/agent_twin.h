/* SPDX-License-Identifier: BSD-3-Clause */
/* agent_twin.h - whether the store that a rank found is another job's (README.md, "Launchers without code of their
 * own"). */
#ifndef MIOC_AGENT_TWIN_H
#define MIOC_AGENT_TWIN_H

#include "job/task.h"
#include "store/store.h"
#include <stddef.h>

/* Looks for another living process of this rank's number in the store, before this rank is in it. */
enum mioc_twin {
    MIOC_TWIN_NONE,
    MIOC_TWIN_ABOVE, /* this process is below it, and so its guest */
    MIOC_TWIN_OTHER, /* of another job: the store may hold what has changed since; the reason says so */
};
enum mioc_twin mioc_agent_twin(const struct mioc_task *me, const struct mioc_store *store, char *reason, size_t size);
/* Whether the process that started this one has gone, as the shell of "python server.py &" has. A program may have
 * started it, and be surprised by what it says. */
int mioc_agent_is_orphan(void);

#endif
