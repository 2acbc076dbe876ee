# SPDX-License-Identifier: BSD-3-Clause
"""bench_pingpong.py - messages between two ranks while the cache's agents look at MPI,
and what the agents take while nobody asks.

usage: bench_pingpong.py FOLDER-OF-MIOC_MPI FOLDER-OF-IMPORTS plain|session IDLE-SECONDS RESULT
session: opens a session with MPI_THREAD_MULTIPLE first, as the cache does. RESULT gets what rank 0 measured.
"""
import json
import os
import sys
import time

mpi, imports, how, idle, result = sys.argv[1:6]
sys.path[:0] = [mpi, imports]
import mioc_mpi
import one

if how == "session":
    mioc_mpi.session()
mioc_mpi.init()
# Behind MPI's start the agents' threads are the only ones that run while this one sleeps, but for UCX's own.
time.sleep(2)
since, used = time.monotonic(), time.process_time()
time.sleep(float(idle))
agent = (time.process_time() - used) / (time.monotonic() - since)
# Blocks longer than the longest pause of an agent, so that there is a look at MPI in each.
figures = {"idle": agent, "latency_us": [], "messages_per_us": []}
mioc_mpi.exchange(1, 1000)
for block in range(12):
    figures["latency_us"].append(mioc_mpi.exchange(1, 50000) / 50000 / 2 * 1e6)
    figures["messages_per_us"].append(2000 * 64 / mioc_mpi.exchange(64, 2000) / 1e6)
if mioc_mpi.rank() == 0:
    with open(result, "w") as file:
        json.dump(figures, file)
mioc_mpi.finalize()
