/* SPDX-License-Identifier: BSD-3-Clause */
/* wrap_mpi.h - MPI without sessions (Open MPI 4, MPICH 3): the cache starts it, and the application sees a life cycle
 * of its own.
 *
 * README.md, "Without sessions", explains it. Any thread, unless a function says otherwise. */
#ifndef MIOC_WRAP_MPI_H
#define MIOC_WRAP_MPI_H

/* Starts MPI with MPI_THREAD_MULTIPLE. Main thread. 0; or -1 with MPI's error code. MPI_SUCCESS: the level is lower. */
int mioc_wrap_mpi_start(int *error);
/* Whether the application has MPI initialised and not finalised. */
int mioc_wrap_mpi_is_shared(void);
/* Whether it ever had it initialised. */
int mioc_wrap_mpi_was_shared(void);
/* Whether MPI itself is finalised, for good. */
int mioc_wrap_mpi_is_over(void);
/* finalizing() will be called in the thread that calls MPI_Finalize, before MPI ends. Main thread. */
void mioc_wrap_mpi_watch(void (*finalizing)(void));

#endif
