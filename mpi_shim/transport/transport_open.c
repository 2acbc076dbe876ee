/* SPDX-License-Identifier: BSD-3-Clause */
/* transport_open.c - starts MPI, in a session of its own or shared with the application, and finds each rank's node. */
#include "topology.h"
#include "transport_mpi.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void name_library(struct mioc_world *world)
{
    static char text[MPI_MAX_LIBRARY_VERSION_STRING];
    char version[64];
    int length = 0;

    text[0] = '\0';
    (void)PMPI_Get_library_version(text, &length);
    if (sscanf(text, "MPICH Version: %63s", version) == 1)
        snprintf(world->library, sizeof world->library, "MPICH %s", version);
    else if (sscanf(text, "Open MPI v%63[^, ]", version) == 1)
        snprintf(world->library, sizeof world->library, "Open MPI %s", version);
    else
        snprintf(world->library, sizeof world->library, "%.*s", (int)strcspn(text, "\r\n"), text);
}

static int explain(int rc, const char *what, char *reason, size_t size)
{
    char text[MPI_MAX_ERROR_STRING] = "";
    int length = 0;

    (void)PMPI_Error_string(rc, text, &length);
    snprintf(reason, size, "%s failed: %.*s", what, (int)strcspn(text, "\r\n"), text);
    return -1;
}

#ifdef MIOC_WITHOUT_SESSIONS
static int open_mpi(struct mioc_transport *t, char *reason, size_t size)
{
    int error;

    (void)t;
    if (mioc_wrap_mpi_start(&error) == 0)
        return 0;
    if (error != MPI_SUCCESS)
        return explain(error, "MPI_Init_thread", reason, size);
    snprintf(reason, size, "this MPI does not give MPI_THREAD_MULTIPLE");
    return -1;
}

static int open_communicator(struct mioc_transport *t, char *reason, size_t size)
{
    MPI_Request request;
    int rc = PMPI_Comm_idup(MPI_COMM_WORLD, &t->job, &request);

    if (rc == MPI_SUCCESS && mioc_transport_complete(t, rc, &request) == 0)
        rc = PMPI_Comm_set_errhandler(t->job, MPI_ERRORS_RETURN);
    else if (rc == MPI_SUCCESS)
        rc = MPI_ERR_OTHER;
    return rc == MPI_SUCCESS ? 0 : explain(rc, "MPI_Comm_idup", reason, size);
}
#else
static int open_mpi(struct mioc_transport *t, char *reason, size_t size)
{
    char level[64] = "";
    int has_level = 0, rc;
    MPI_Info info = MPI_INFO_NULL;

    rc = PMPI_Info_create(&info);
    if (rc == MPI_SUCCESS)
        rc = PMPI_Info_set(info, "thread_level", "MPI_THREAD_MULTIPLE");
    if (rc == MPI_SUCCESS)
        rc = PMPI_Session_init(info, MPI_ERRORS_RETURN, &t->session);
    if (info != MPI_INFO_NULL)
        (void)PMPI_Info_free(&info);
    if (rc != MPI_SUCCESS)
        return explain(rc, "MPI_Session_init", reason, size);
    if (PMPI_Session_get_info(t->session, &info) == MPI_SUCCESS) {
        (void)PMPI_Info_get(info, "thread_level", (int)sizeof level - 1, level, &has_level);
        (void)PMPI_Info_free(&info);
    }
    if (has_level && strcmp(level, "MPI_THREAD_MULTIPLE") != 0) {
        snprintf(reason, size, "this MPI gives %s only, not MPI_THREAD_MULTIPLE", level);
        return -1;
    }
    return 0;
}

static int open_communicator(struct mioc_transport *t, char *reason, size_t size)
{
    MPI_Group group;
    int rc = PMPI_Group_from_session_pset(t->session, "mpi://WORLD", &group);

    if (rc != MPI_SUCCESS)
        return explain(rc, "MPI_Group_from_session_pset", reason, size);
    rc = PMPI_Comm_create_from_group(group, "mpiio_cache", MPI_INFO_NULL, MPI_ERRORS_RETURN, &t->job);
    (void)PMPI_Group_free(&group);
    return rc == MPI_SUCCESS ? 0 : explain(rc, "MPI_Comm_create_from_group", reason, size);
}
#endif

static int open_job(struct mioc_transport *t, char *reason, size_t size)
{
    if (open_communicator(t, reason, size) != 0)
        return -1;
    if (PMPI_Comm_rank(t->job, &t->world.rank) != MPI_SUCCESS ||
        PMPI_Comm_size(t->job, &t->world.size) != MPI_SUCCESS) {
        snprintf(reason, size, "MPI does not know this rank");
        return -1;
    }
    return 0;
}

/* Fills in which node this rank is on, and its place among that node's ranks. */
static void find_place(struct mioc_transport *t)
{
    struct mioc_world *world = &t->world;

    world->node = t->node_of[world->rank];
    for (int i = 0; i < world->size; i++)
        if (t->node_of[i] == world->node) {
            world->local_rank += i < world->rank;
            world->local_size++;
        }
}

static int find_nodes(struct mioc_transport *t, char *reason, size_t reason_size)
{
    size_t size = (size_t)t->world.size;
    uint64_t mine = mioc_topology_node_name(), *names = calloc(size, sizeof *names);
    MPI_Request request;
    int rc = -1;

    t->leader = calloc(size, sizeof *t->leader);
    t->node_of = calloc(size, sizeof *t->node_of);
    t->is_met = calloc(size, 1);
    snprintf(reason, reason_size, "out of memory");
    if (names == NULL || t->leader == NULL || t->node_of == NULL || t->is_met == NULL)
        goto done;
    snprintf(reason, reason_size, "MPI failed while the ranks looked for their nodes");
    if (mioc_transport_complete(t, PMPI_Iallgather(&mine, 1, MPI_UINT64_T, names, 1, MPI_UINT64_T, t->job, &request),
                                &request) != 0)
        goto done;
    t->world.nodes = mioc_topology_number(names, t->world.size, t->leader, t->node_of);
    if (t->world.nodes < 1) {
        snprintf(reason, reason_size, "out of memory");
        goto done;
    }
    find_place(t);
    rc = 0;
done:
    free(names);
    return rc;
}

int mioc_transport_open(struct mioc_transport *t, char *reason, size_t size)
{
    if (open_mpi(t, reason, size) != 0 || open_job(t, reason, size) != 0 || find_nodes(t, reason, size) != 0)
        return -1;
    name_library(&t->world);
    return 0;
}
