/* SPDX-License-Identifier: BSD-3-Clause */
/* transport_wait.c - waits for an MPI request without spinning. */
#include "transport_mpi.h"

#include <errno.h>
#include <time.h>

#define NAP_FIRST_NS 20000l
#define NAP_LAST_NS 1000000l

static void nap(long *ns)
{
    struct timespec time = { 0, *ns };

    nanosleep(&time, NULL);
    if ((*ns += *ns / 2) > NAP_LAST_NS)
        *ns = NAP_LAST_NS;
}

int mioc_transport_complete(struct mioc_transport *t, int rc, MPI_Request *request)
{
    long ns = NAP_FIRST_NS;
    int is_done = 0;

    while (rc == MPI_SUCCESS && !is_done) {
        rc = PMPI_Test(request, &is_done, MPI_STATUS_IGNORE);
        if (rc == MPI_SUCCESS && !is_done)
            nap(&ns);
    }
    if (rc == MPI_SUCCESS)
        return 0;
    t->is_broken = 1;
    errno = EIO;
    return -1;
}
