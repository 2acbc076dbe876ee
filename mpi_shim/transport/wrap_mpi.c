/* SPDX-License-Identifier: BSD-3-Clause */
/* wrap_mpi.c - stands in for the functions that begin and end MPI, in plug-ins for an MPI without sessions.
 *
 * It has both names of each function: a profiler that the application has under MPI_ calls PMPI_. The real functions
 * are those that come after this plug-in in its own search order. */
#include "wrap_mpi.h"

#include <dlfcn.h>
#include <mpi.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

#define EXPORT __attribute__((visibility("default")))
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* The life cycle that the application sees. */
static atomic_int is_initialized, is_finalized, is_over;
static int level = MPI_THREAD_SINGLE;
static pthread_t main_thread; /* the one that called MPI_Init, as MPI defines it */
static void (*on_finalize)(void);

int mioc_wrap_mpi_start(int *error)
{
    int provided = MPI_THREAD_SINGLE;

    *error = REAL(PMPI_Init_thread)(NULL, NULL, MPI_THREAD_MULTIPLE, &provided);
    return *error == MPI_SUCCESS && provided == MPI_THREAD_MULTIPLE ? 0 : -1;
}

int mioc_wrap_mpi_is_shared(void) { return atomic_load(&is_initialized) && !atomic_load(&is_finalized); }

int mioc_wrap_mpi_was_shared(void) { return atomic_load(&is_initialized); }

int mioc_wrap_mpi_is_over(void) { return atomic_load(&is_over); }

void mioc_wrap_mpi_watch(void (*finalizing)(void)) { on_finalize = finalizing; }

/* The application gets the level that it asks for: MPI runs at the highest one. */
static int init(int required, int *provided)
{
    /* A second time: MPI itself complains. */
    if (atomic_exchange(&is_initialized, 1))
        return REAL(PMPI_Init_thread)(NULL, NULL, required, provided);
    level = required < MPI_THREAD_SINGLE     ? MPI_THREAD_SINGLE
            : required > MPI_THREAD_MULTIPLE ? MPI_THREAD_MULTIPLE
                                             : required;
    *provided = level;
    main_thread = pthread_self();
    return MPI_SUCCESS;
}

EXPORT int MPI_Init_thread(int *argc, char ***argv, int required, int *provided)
{
    (void)argc;
    (void)argv;
    return init(required, provided);
}

EXPORT int MPI_Init(int *argc, char ***argv)
{
    int provided;

    (void)argc;
    (void)argv;
    return init(MPI_THREAD_SINGLE, &provided);
}

EXPORT int MPI_Initialized(int *flag)
{
    *flag = atomic_load(&is_initialized);
    return MPI_SUCCESS;
}

EXPORT int MPI_Finalized(int *flag)
{
    *flag = atomic_load(&is_finalized);
    return MPI_SUCCESS;
}

EXPORT int MPI_Query_thread(int *provided)
{
    if (!atomic_load(&is_initialized))
        return REAL(PMPI_Comm_call_errhandler)(MPI_COMM_WORLD, MPI_ERR_OTHER);
    *provided = level;
    return MPI_SUCCESS;
}

EXPORT int MPI_Is_thread_main(int *flag)
{
    if (!atomic_load(&is_initialized))
        return REAL(PMPI_Comm_call_errhandler)(MPI_COMM_WORLD, MPI_ERR_OTHER);
    *flag = pthread_equal(main_thread, pthread_self()) != 0;
    return MPI_SUCCESS;
}

EXPORT int MPI_Finalize(void)
{
    int rc;

    if (!atomic_load(&is_initialized))
        return REAL(PMPI_Comm_call_errhandler)(MPI_COMM_WORLD, MPI_ERR_OTHER);
    if (atomic_load(&is_finalized))
        return REAL(PMPI_Finalize)(); /* a second time: MPI itself complains */
    if (on_finalize != NULL)
        on_finalize();
    rc = REAL(PMPI_Finalize)();
    atomic_store(&is_over, 1);
    atomic_store(&is_finalized, 1);
    return rc;
}

EXPORT int PMPI_Init_thread(int *argc, char ***argv, int required, int *provided)
{
    return MPI_Init_thread(argc, argv, required, provided);
}
EXPORT int PMPI_Init(int *argc, char ***argv) { return MPI_Init(argc, argv); }
EXPORT int PMPI_Initialized(int *flag) { return MPI_Initialized(flag); }
EXPORT int PMPI_Finalized(int *flag) { return MPI_Finalized(flag); }
EXPORT int PMPI_Query_thread(int *provided) { return MPI_Query_thread(provided); }
EXPORT int PMPI_Is_thread_main(int *flag) { return MPI_Is_thread_main(flag); }
EXPORT int PMPI_Finalize(void) { return MPI_Finalize(); }
