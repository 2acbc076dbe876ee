/* SPDX-License-Identifier: BSD-3-Clause */
/* wrap_mpi.h - MPI without sessions: the cache's own MPI_Init_thread, and a life cycle of its own for the application.
 *
 * Where there are no sessions (Open MPI 4, MPICH 3) MPI can be started once, and the cache has done so before main().
 * So the plug-in stands in for the functions that begin and end MPI: the application finds MPI uninitialised,
 * initialises it at the level it asks for, and ends it, for real; with that the cache's use of MPI ends too. For that
 * the plug-in is loaded RTLD_GLOBAL: its names come before those of the MPI library that an extension module is linked
 * with. They do not where the program itself is linked with MPI. */
#ifndef MIOC_WRAP_MPI_H
#define MIOC_WRAP_MPI_H

/* The cache's start: MPI_THREAD_MULTIPLE, or -1 and what was given instead, or MPI's error code. Main thread. */
int mioc_wrap_mpi_start(int *error);
/* Whether the application has MPI initialised and not finalised. */
int mioc_wrap_mpi_is_shared(void);
/* Whether it ever had it initialised. */
int mioc_wrap_mpi_was_shared(void);
/* Whether MPI itself has been finalised, for good. */
int mioc_wrap_mpi_is_over(void);
/* Who is to be told, in the thread that calls MPI_Finalize and before that begins. */
void mioc_wrap_mpi_watch(void (*finalizing)(void));

#endif
