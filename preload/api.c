/* SPDX-License-Identifier: BSD-3-Clause */
/* api.c - the public functions (mpiio_cache.h). */
#include "mpiio_cache.h"
#include "client/client.h"
#include "interpose/serve.h"
#include "start.h"
#include "base/stats.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

MIOC_EXPORT const char *mpiio_cache_version(void) { return MIOC_VERSION; }

MIOC_EXPORT int mpiio_cache_status(const char **text)
{
    int is_active = mioc_client_is_serving();

    if (text != NULL)
        *text = is_active || mioc_start_line()[0] != 'a'
                    ? mioc_start_line()
                    : "inactive: this process went on without the cache (its node's agent is gone, or could not be "
                      "told of a write)";
    return is_active;
}

/* The place for the next text, and the room there. Text that does not fit is only measured. */
static char *at(char *json, size_t size, size_t used) { return used < size ? json + used : NULL; }

static size_t left(size_t size, size_t used) { return used < size ? size - used : 0; }

MIOC_EXPORT size_t mpiio_cache_statistics(char *json, size_t size)
{
    const struct mioc_stats *stats = mioc_stats_current();
    size_t used = (size_t)snprintf(json, size, "{\"calls\": {");

    for (int call = 0; call < MIOC_CALLS; call++) {
        const struct mioc_stats_row *row = &stats->row[call];

        used +=
            (size_t)snprintf(at(json, size, used), left(size, used),
                             "%s\"%s\": {\"hit\": %" PRIu64 ", \"miss\": %" PRIu64 ", \"passed\": %" PRIu64
                             ", \"timeout\": %" PRIu64 ", \"bytes\": %" PRIu64 "}",
                             call == 0 ? "" : ", ", mioc_call_names[call], row->outcome[MIOC_HIT],
                             row->outcome[MIOC_MISS], row->outcome[MIOC_PASS], row->outcome[MIOC_TIMEOUT], row->bytes);
    }
    return used + (size_t)snprintf(at(json, size, used), left(size, used), "}}");
}

MIOC_EXPORT int mpiio_cache_invalidate(const char *path)
{
    if (path == NULL || path[0] == '\0')
        return mioc_serve_fail(EINVAL);
    if (!mioc_client_is_serving())
        return mioc_serve_fail(ENODATA);
    mioc_client_wrote(AT_FDCWD, path, MIOC_FLAG_SUBTREE);
    return 0;
}
